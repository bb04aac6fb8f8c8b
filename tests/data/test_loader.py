import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typing_extensions import override

from segfit.config import AugmentConfig
from segfit.data import Record, SourceMask
from segfit.data.augment import augment, fit, rng_for
from segfit.data.decode import read_image
from segfit.data.folder import Folder
from segfit.data.loader import Batch, EvalLoader, TrainLoader
from segfit.errors import DataError, RecipeError
from segfit.labels import LabelSpace, select

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),  # a machine with one core
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),  # Python 3.12 and later
]

COUNT = 14
STANDARD = AugmentConfig(size=(24, 32), scale=(0.5, 2.0), flip=0.5, color=0.4)


class Noted(Folder):
    """A folder dataset that notes which process has read which mask."""

    @override
    def read_mask(self, record: Record) -> SourceMask:
        with (self.root / "notes.txt").open("a") as notes:
            notes.write(f"{os.getpid()} {record.id}\n")
        return super().read_mask(record)

    def notes(self) -> list[list[str]]:
        """Return (process, id) of every mask read since the last call."""
        path = self.root / "notes.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [line.split() for line in lines]


def write(root: Path, count: int = COUNT) -> Noted:
    rng = np.random.default_rng(0)
    for folder in ("images/train", "masks/train"):
        (root / folder).mkdir(parents=True)
    for i in range(count):
        height, width = rng.integers(20, 60, 2)
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(
            root / f"images/train/{i:02}.png"
        )
        Image.fromarray(rng.integers(0, 4, (height, width), dtype=np.uint8)).save(root / f"masks/train/{i:02}.png")
    (root / "classes.txt").write_text("sky\nroad\ncar\n")
    return Noted(root, ignore=(3,))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Noted:
    return write(tmp_path_factory.mktemp("data"))


@pytest.fixture
def labels(source: Noted) -> LabelSpace:
    return select(source.labels)


def training(source: Folder, *, batch: int = 4, **options: int) -> TrainLoader:
    records = source.records("train")
    return TrainLoader(source, records, select(source.labels), STANDARD, batch=batch, seed=7, **options)


def evaluation(source: Folder, *, batch: int = 4, **options: int) -> EvalLoader:
    records, labels = source.records("train"), select(source.labels)
    return EvalLoader(source, records, labels, size=(24, 32), resize="short-side", batch=batch, **options)


def assert_same(first: list[Batch], second: list[Batch]) -> None:
    assert [batch.ids for batch in first] == [batch.ids for batch in second]
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.masks, b.masks)


# --- training --------------------------------------------------------------------------------------------------------


def test_a_batch_has_the_promised_form(source: Noted) -> None:
    batch = next(training(source).epoch(0))
    assert len(batch.ids) == 4
    assert batch.images.shape == (4, 3, 24, 32)
    assert batch.masks.shape == (4, 24, 32)
    assert batch.images.dtype == batch.masks.dtype == torch.uint8
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert set(batch.masks.unique().tolist()) <= {0, 1, 2, 255}


def test_an_epoch_is_a_permutation_without_the_incomplete_batch(source: Noted) -> None:
    loader = training(source)
    assert len(loader) == 3
    orders = [[i for batch in loader.epoch(epoch) for i in batch.ids] for epoch in range(12)]
    assert all(len(order) == len(set(order)) == 12 for order in orders)
    assert len({tuple(order) for order in orders}) == 12
    assert {i for order in orders for i in order} == {record.id for record in source.records("train")}


def test_the_seed_decides_the_order(source: Noted, labels: LabelSpace) -> None:
    records = source.records("train")

    def order(seed: int) -> list[str]:
        loader = TrainLoader(source, records, labels, STANDARD, batch=4, seed=seed)
        return [i for batch in loader.epoch(0) for i in batch.ids]

    assert order(0) == order(0)
    assert order(0) != order(1)


def test_samples_are_what_augment_makes_of_seed_epoch_and_id(source: Noted, labels: LabelSpace) -> None:
    records = {record.id: record for record in source.records("train")}
    for epoch in (0, 3):
        for batch in training(source).epoch(epoch):
            for i, image, mask in zip(batch.ids, batch.images, batch.masks, strict=True):
                pair = read_image(records[i].image), labels.encode(source.read_mask(records[i]))
                wanted_image, wanted_mask = augment(*pair, STANDARD, rng_for(7, epoch, i))
                np.testing.assert_array_equal(image.permute(1, 2, 0), wanted_image)
                np.testing.assert_array_equal(mask, wanted_mask)


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_share_the_batches_of_a_single_rank(source: Noted, world: int) -> None:
    alone = list(training(source).epoch(2))
    shares = [list(training(source, rank=rank, world=world).epoch(2)) for rank in range(world)]
    joined = [
        Batch(
            ids=sum((part.ids for part in parts), ()),
            images=torch.cat([part.images for part in parts]),
            masks=torch.cat([part.masks for part in parts]),
        )
        for parts in zip(*shares, strict=True)
    ]
    assert_same(joined, alone)


def test_workers_change_nothing_and_live_on(source: Noted) -> None:
    alone, helped = training(source), training(source, workers=2)
    source.notes()
    processes = []
    for epoch in (0, 1):
        found = list(helped.epoch(epoch))
        processes.append({process for process, _ in source.notes()})
        assert_same(found, list(alone.epoch(epoch)))
        assert {process for process, _ in source.notes()} == {str(os.getpid())}
    assert processes[0] == processes[1]
    assert len(processes[0]) == 2
    assert str(os.getpid()) not in processes[0]


@pytest.mark.parametrize("workers", [0, 1])
def test_an_epoch_resumes_at_any_step_without_reading_what_came_before(source: Noted, workers: int) -> None:
    loader = training(source, workers=workers)
    whole = list(loader.epoch(5))
    for start in range(4):
        source.notes()
        assert_same(list(loader.epoch(5, start=start)), whole[start:])
        read = {i for _, i in source.notes()}
        assert read == {i for batch in whole[start:] for i in batch.ids}


@pytest.mark.parametrize("workers", [0, 1])
def test_an_epoch_may_be_broken_off(source: Noted, workers: int) -> None:
    loader = training(source, batch=2, workers=workers)
    assert len(list(islice(loader.epoch(0), 2))) == 2
    assert_same(list(loader.epoch(1)), list(training(source, batch=2).epoch(1)))


@pytest.mark.parametrize("workers", [0, 1])
def test_the_global_generators_are_left_alone(source: Noted, workers: int) -> None:
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 (the global state is what this test is about)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    list(training(source, workers=workers).epoch(0))
    list(evaluation(source, workers=workers))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002


def test_everything_that_a_worker_needs_can_be_sent_to_a_spawned_process(source: Noted) -> None:
    loader = training(source, batch=7, workers=1)
    loader._loader.multiprocessing_context = "spawn"
    assert_same(list(loader.epoch(0)), list(training(source, batch=7).epoch(0)))


# --- errors ----------------------------------------------------------------------------------------------------------


def test_too_few_records_and_ranks_that_cannot_share(source: Noted) -> None:
    with pytest.raises(DataError, match=r"14 training images.*lower train\.batch from 15"):
        training(source, batch=15)
    with pytest.raises(RecipeError, match=r"train\.batch: 4 is not a multiple of the 3 ranks"):
        training(source, batch=4, world=3)


def spoil_size(root: Path) -> None:
    Image.fromarray(np.zeros((5, 6), np.uint8)).save(root / "masks/train/00.png")
    Image.fromarray(np.zeros((7, 8, 3), np.uint8)).save(root / "images/train/00.png")


def spoil_label(root: Path) -> None:
    Image.fromarray(np.full((7, 8), 9, np.uint8)).save(root / "masks/train/00.png")
    Image.fromarray(np.zeros((7, 8, 3), np.uint8)).save(root / "images/train/00.png")


def spoil_file(root: Path) -> None:
    path = root / "images/train/00.png"
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_size, "masks/train/00.png: the mask is 6x5 and its image 8x7 pixels"),
        (spoil_label, "masks/train/00.png: label id 9 is not in the label space"),
        (spoil_file, "images/train/00.png: truncated"),
    ],
)
def test_bad_data_is_the_same_one_line_everywhere(tmp_path: Path, workers: int, spoil: object, message: str) -> None:
    source = write(tmp_path / "data", 2)
    spoil(tmp_path / "data")  # type: ignore[operator]
    for batches in (training(source, batch=2, workers=workers).epoch(0), evaluation(source, workers=workers)):
        kind, text = error_of(batches)
        assert kind is DataError
        assert message in text
        assert "\n" not in text


def error_of(batches: Iterable[object]) -> tuple[type[Exception], str]:
    """Return the error that reading meets; unlike `pytest.raises` it keeps no frame, and with it no worker, alive."""
    try:
        list(batches)
    except DataError as error:
        return type(error), str(error)
    raise AssertionError("no error")


# --- evaluation ------------------------------------------------------------------------------------------------------


def test_groups_of_consecutive_records(source: Noted, labels: LabelSpace) -> None:
    loader = evaluation(source)
    assert loader.batch == 4
    assert len(loader) == 4
    groups = list(loader)
    assert [len(group) for group in groups] == [4, 4, 4, 2]
    samples = [sample for group in groups for sample in group]
    for sample, record in zip(samples, source.records("train"), strict=True):
        assert sample.id == record.id
        np.testing.assert_array_equal(sample.image, fit(read_image(record.image), (24, 32), "short-side"))
        np.testing.assert_array_equal(sample.mask, labels.encode(source.read_mask(record)))


@pytest.mark.parametrize("world", [2, 3, 5])
def test_ranks_take_turns(source: Noted, world: int) -> None:
    alone = [[sample.id for sample in group] for group in evaluation(source)]
    for rank in range(world):
        loader = evaluation(source, rank=rank, world=world)
        share = [[sample.id for sample in group] for group in loader]
        assert share == alone[rank::world]
        assert len(loader) == len(share)


def test_workers_change_nothing_and_the_loader_can_be_read_again(source: Noted) -> None:
    helped = evaluation(source, workers=2)
    for _ in range(2):
        for group, wanted in zip(helped, evaluation(source), strict=True):
            for sample, reference in zip(group, wanted, strict=True):
                assert sample.id == reference.id
                np.testing.assert_array_equal(sample.image, reference.image)
                np.testing.assert_array_equal(sample.mask, reference.mask)
