import os
from itertools import combinations, islice
from pathlib import Path

import numpy as np
import pytest
import torch
from noted import COUNT, STANDARD, STRONG, Noted, Pair, assert_same, error_of, evaluation, training, write
from PIL import Image

from segfit.data.augment import Fit, augment, choose_partner, rng_for
from segfit.data.cache import prepare
from segfit.data.decode import read_image
from segfit.data.loader import Batch, TrainLoader
from segfit.errors import DataError, RecipeError
from segfit.labels import LabelSpace, select

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),  # Python 3.12 and later
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Noted:
    return write(tmp_path_factory.mktemp("data"))


@pytest.fixture
def labels(source: Noted) -> LabelSpace:
    return select(source.labels)


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
        loader = TrainLoader(source, records, labels, STRONG, batch=4, seed=seed)
        return [i for batch in loader.epoch(0) for i in batch.ids]

    assert order(0) == order(0)
    assert order(0) != order(1)


def test_samples_are_what_augment_makes_of_seed_epoch_and_id(source: Noted, labels: LabelSpace) -> None:
    records = source.records("train")
    position = {record.id: i for i, record in enumerate(records)}

    def read(index: int) -> Pair:
        return read_image(records[index].image), labels.encode(source.read_mask(records[index]))

    for epoch in (0, 3):
        for batch in training(source).epoch(epoch):
            for i, image, mask in zip(batch.ids, batch.images, batch.masks, strict=True):
                index = position[i]

                def partner(rng: np.random.Generator, index: int = index) -> Pair:
                    return read((index + 1 + int(rng.integers(COUNT - 1))) % COUNT)

                wanted_image, wanted_mask = augment(*read(index), STRONG, rng_for(7, epoch, i), partner)
                np.testing.assert_array_equal(image.permute(1, 2, 0), wanted_image)
                np.testing.assert_array_equal(mask, wanted_mask)


def test_samples_are_mixed_with_any_other_record() -> None:
    rng = np.random.default_rng(0)
    assert {choose_partner(3, 5, rng) for _ in range(99)} == {0, 1, 2, 4}
    assert choose_partner(0, 1, rng) == 0


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


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_change_nothing_and_live_on(source: Noted, workers: int) -> None:
    alone, helped = training(source, batch=2), training(source, batch=2, workers=workers)
    source.notes()
    processes = []
    for epoch in (0, 1):
        found = list(helped.epoch(epoch))
        processes.append({process for process, _ in source.notes()})
        assert_same(found, list(alone.epoch(epoch)))
        assert {process for process, _ in source.notes()} == {str(os.getpid())}
    assert processes[0] == processes[1]
    assert len(processes[0]) == workers
    assert str(os.getpid()) not in processes[0]


@pytest.mark.parametrize("workers", [0, 1])
def test_an_epoch_resumes_at_any_step_without_reading_what_came_before(source: Noted, workers: int) -> None:
    loader = training(source, config=STANDARD, workers=workers)  # without partners, which are read, too
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


# --- sampling and cache ----------------------------------------------------------------------------------------------


def test_weights_decide_how_often_an_image_comes_and_its_copies_differ(source: Noted) -> None:
    weights = np.ones(COUNT)
    weights[5] = 6.0
    alone = training(source, batch=2, weights=lambda: weights)
    whole = list(alone.epoch(1))
    samples = [pair for batch in whole for pair in zip(batch.ids, batch.images, strict=True)]
    copies = [image for i, image in samples if i == "05"]
    assert len(samples) == COUNT
    assert len(copies) in {4, 5}  # 6 / 19 of 14
    assert not any(torch.equal(a, b) for a, b in combinations(copies, 2))
    # One of the copies is what an epoch without weights has.
    plain = dict(
        pair for batch in training(source, batch=2).epoch(1) for pair in zip(batch.ids, batch.images, strict=True)
    )
    assert sum(torch.equal(copy, plain["05"]) for copy in copies) == 1
    assert_same(list(training(source, batch=2, weights=lambda: weights, workers=2).epoch(1)), whole)
    assert_same(list(alone.epoch(1, start=3)), whole[3:])
    ranks = [training(source, batch=2, weights=lambda: weights, rank=rank, world=2).epoch(1) for rank in (0, 1)]
    assert [a.ids + b.ids for a, b in zip(*ranks, strict=True)] == [batch.ids for batch in whole]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_cache_changes_nothing_but_the_source_of_the_pixels(source: Noted, tmp_path: Path, workers: int) -> None:
    prepare(source, {"train": source.records("train")}, tmp_path / "cache", short_side=64)
    source.notes()
    cached = list(training(source, cache=tmp_path / "cache", workers=workers).epoch(0))
    assert source.notes() == []
    assert_same(cached, list(training(source).epoch(0)))


def test_a_cache_of_other_files_is_refused(source: Noted, tmp_path: Path) -> None:
    prepare(source, {"train": source.records("train")[1:]}, tmp_path / "cache", short_side=64)
    with pytest.raises(DataError, match="not in the cache"):
        training(source, cache=tmp_path / "cache")


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
        np.testing.assert_array_equal(sample.images[0], Fit((24, 32), "short-side")(read_image(record.image)))
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
                np.testing.assert_array_equal(sample.images[0], reference.images[0])
                np.testing.assert_array_equal(sample.mask, reference.mask)
