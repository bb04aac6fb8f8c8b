from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segfit.data.census import Census, count_ratios, take_census
from segfit.data.folder import Folder
from segfit.errors import DataError
from segfit.labels import select


def dataset(root: Path, masks: list[np.ndarray]) -> Folder:
    for folder in ("images/train", "masks/train"):
        (root / folder).mkdir(parents=True)
    for i, mask in enumerate(masks):
        (root / f"images/train/{i:02}.png").write_bytes(b"counting reads masks only")
        Image.fromarray(mask).save(root / f"masks/train/{i:02}.png")
    (root / "classes.txt").write_text("sky\nroad\ncar\n")
    return Folder(root, first=1, ignore=(0, 255))


def test_ratios_are_shares_of_all_pixels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    masks = [rng.choice([0, 1, 2, 255], size=(h, w)).astype(np.uint8) for h, w in ((5, 9), (40, 30), (1, 1), (17, 8))]
    source = dataset(tmp_path, masks)
    table = count_ratios(source, "train")
    pixels = np.concatenate([mask.ravel() for mask in masks])
    assert table.ratios == tuple(float(np.mean(pixels == i)) for i in (1, 2, 3))
    assert table.ratios[2] == 0
    assert (table.names, table.ids, table.ignored) == (source.labels.names, source.labels.ids, source.labels.ignored)


def test_unannotated_pixels_count_in_the_whole(tmp_path: Path) -> None:
    table = count_ratios(dataset(tmp_path, [np.array([[0, 255], [1, 2]], np.uint8)]), "train")
    assert table.ratios == (0.25, 0.25, 0.0)


@pytest.mark.parametrize("wrong", [4, 254, 300])
def test_an_unknown_id_names_the_first_file(tmp_path: Path, wrong: int) -> None:
    good = np.ones((3, 3), np.uint16)
    source = dataset(tmp_path, [good, good * wrong, good * wrong])
    with pytest.raises(DataError) as error:
        count_ratios(source, "train")
    assert f"01.png: label id {wrong} is neither" in str(error.value)


def test_an_unreadable_mask_and_an_unknown_split(tmp_path: Path) -> None:
    source = dataset(tmp_path, [np.ones((3, 3), np.uint8)] * 3)
    (tmp_path / "masks/train/02.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"02\.png: the file is empty"):
        count_ratios(source, "train")
    with pytest.raises(DataError, match="no split folder"):
        count_ratios(source, "val")


def test_what_is_learnt_is_counted_by_train_id(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    masks = [rng.choice([0, 1, 2, 3, 255], size=(6, 7)).astype(np.uint8) for _ in range(4)]
    source = dataset(tmp_path, masks)
    census = take_census(source, source.records("train"))
    labels = select(source.labels, classes=["car", "sky"], rest="other")
    encoded = [labels.encode(mask) for mask in masks]
    expected = [[np.count_nonzero(mask == train) for train in range(len(labels))] for mask in encoded]
    np.testing.assert_array_equal(census.learnt(labels), expected)
    # A label space may know more classes than were counted.
    few = replace(source.labels, ids=(3,), names=("car",), colors=source.labels.colors[2:])
    counted = replace(census, table=few, pixels=census.pixels[:, 2:]).learnt(labels)
    np.testing.assert_array_equal(counted, np.where(np.array(labels.names) == "car", expected, 0))


def test_rows_are_the_census_of_fewer_images(tmp_path: Path) -> None:
    source = dataset(tmp_path, [np.full((3 + i, 4), 1 + i % 3, np.uint8) for i in range(5)])
    records = source.records("train")
    part = take_census(source, records).rows(np.array([1, 4]))
    alone = take_census(source, [records[1], records[4]])
    assert part.ids == alone.ids
    np.testing.assert_array_equal(part.sizes, alone.sizes)
    np.testing.assert_array_equal(part.pixels, alone.pixels)


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_ranks_count_together_what_one_counts_alone(tmp_path: Path, ranks: int) -> None:
    rng = np.random.default_rng(1)
    source = dataset(tmp_path, [rng.choice([0, 1, 2, 255], size=(4 + i, 5)).astype(np.uint8) for i in range(5)])
    records = source.records("train")
    whole = take_census(source, records)
    dealt = Census.dealt([take_census(source, records[rank::ranks]) for rank in range(ranks)])
    assert dealt.ids == whole.ids
    np.testing.assert_array_equal(dealt.sizes, whole.sizes)
    np.testing.assert_array_equal(dealt.pixels, whole.pixels)
