"""Are the labels in the masks the dataset's?"""

from pathlib import Path

import cv2
import numpy as np
import pytest
from corpus import HEIGHT, VOC, WIDTH, Corpus, encoded, indexed, labels
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segfit.data.check import check_dataset
from segfit.data.check.masks import RAMP, _count, _ramp
from segfit.data.check.tables import describe_fit, known_tables, pack, unpack
from segfit.data.decode import read_index_mask
from segfit.data.folder import Folder

RGB = np.array(VOC, np.uint8).reshape(-1, 3)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus(tmp_path / "data")


def faults(corpus: Corpus, **options: object) -> set[tuple[str, str]]:
    result = check_dataset(Folder(corpus.root, **options), corpus.root, ["train"])
    return {(fault.code, fault.path.name) for fault in result.faults}


def details(corpus: Corpus, **options: object) -> dict[str, str]:
    result = check_dataset(Folder(corpus.root, **options), corpus.root, ["train"])
    return {fault.code: fault.detail for fault in result.faults}


# --- ids -------------------------------------------------------------------------------------------------------------


def test_zero_that_is_no_class_is_explained(corpus: Corpus) -> None:
    corpus.labelled("a", encoded(labels(0, highest=4), "PNG"))
    assert "data.ignore=[0]" in details(corpus, first=1)["labels-shifted"]
    assert faults(corpus, first=1, ignore=(0,)) == set()


def test_ids_from_one_are_explained(corpus: Corpus) -> None:
    corpus.labelled("a", encoded(labels(0) + np.uint8(1), "PNG"))
    assert details(corpus)["labels-shifted"] == "ids are 1..4, the 4 classes count from 0: data.first=1"
    assert faults(corpus, first=1) == set()


def test_one_id_too_many_is_explained(corpus: Corpus) -> None:
    corpus.labelled("a", encoded(labels(0, highest=4), "PNG"))
    assert details(corpus)["labels-shifted"].startswith("ids are 0..4, one more than the 4 classes")
    assert faults(corpus, ignore=(4,)) == set()


def test_zero_and_255_in_all_masks_are_two_classes(corpus: Corpus) -> None:
    for name in "ab":
        corpus.labelled(name, encoded((labels(ord(name)) > 1) * np.uint8(255), "PNG"))
    assert faults(corpus) == {("mask-binary", "a.png"), ("mask-binary", "b.png")}
    corpus.labelled("c", encoded(labels(5), "PNG"))
    assert faults(corpus) == set(), "another mask shows that 255 marks gaps"


def test_ids_beyond_8_bits_are_named(corpus: Corpus) -> None:
    corpus.labelled("a", encoded(labels(0).astype(np.uint16) * 1000, "PNG"))
    assert details(corpus)["mask-unknown-ids"].startswith("1000 (")


def test_the_palette_of_unknown_ids_is_recognised(corpus: Corpus) -> None:
    mask = labels(0) + np.uint8(100)
    corpus.labelled("a", indexed(mask, (0, 0, 0) * 100 + VOC))
    assert details(corpus)["mask-unknown-ids"].endswith("the colours of its palette fit Pascal VOC")


def test_another_tools_palette_is_no_fault(corpus: Corpus) -> None:
    for number in range(3):
        corpus.labelled(str(number), indexed(labels(number)))
    corpus.labelled("other", indexed(labels(9), tuple(range(12))))
    assert faults(corpus) == set()


# --- colours ---------------------------------------------------------------------------------------------------------


def table(corpus: Corpus, *rows: str) -> None:
    (corpus.root / "colors.csv").write_text("\n".join(rows) + "\n")


VOC_ROWS = ("0,0,0,one", "128,0,0,two", "0,128,0,three", "128,128,0,four")


def test_colour_masks_with_their_table_are_good(corpus: Corpus) -> None:
    table(corpus, *VOC_ROWS)
    corpus.labelled("rgb", encoded(RGB[labels(0)], "PNG"))
    corpus.labelled("palette", indexed(labels(1)))
    assert faults(corpus, colors="colors.csv") == set()


def test_indices_where_colours_are_expected(corpus: Corpus) -> None:
    table(corpus, *VOC_ROWS)
    corpus.labelled("a", encoded(labels(0), "PNG"))
    assert details(corpus, colors="colors.csv") == {"mask-indices": "grey values 0..3 (L)"}


def test_black_and_white_masks_may_have_a_colour_table(corpus: Corpus) -> None:
    table(corpus, "0,0,0,no", "255,255,255,yes")
    corpus.labelled("grey", encoded((labels(0) > 1) * np.uint8(255), "PNG"))
    corpus.labelled("rgb", encoded(np.repeat((labels(1) > 1)[..., None] * np.uint8(255), 3, 2), "PNG"))
    assert faults(corpus, colors="colors.csv") == set()


def test_colours_that_the_table_lacks(corpus: Corpus) -> None:
    table(corpus, *VOC_ROWS[:3])
    mask = labels(0)
    corpus.labelled("a", encoded(RGB[mask], "PNG"))
    expected = f"(128, 128, 0) ({(mask == 3).sum():,} px); all its colours fit Pascal VOC"
    assert details(corpus, colors="colors.csv") == {"mask-unknown-colors": expected}


def test_smooth_borders_between_colours(corpus: Corpus) -> None:
    table(corpus, *VOC_ROWS)
    smooth = cv2.resize(RGB[labels(0, 48, 36)], (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    corpus.labelled("a", encoded(smooth, "PNG"))
    assert faults(corpus, colors="colors.csv") == {("mask-blended", "a.png")}


def test_the_datasets_own_colour_table_is_compared_with(corpus: Corpus) -> None:
    table(corpus, "red,green,blue,name", "10,20,30,one", "40,50,60,two", "70,80,90,three", "1,2,3,four")
    own = np.array([(10, 20, 30), (40, 50, 60), (70, 80, 90), (1, 2, 3)], np.uint8)
    corpus.labelled("a", encoded(own[labels(0)], "PNG"))
    assert details(corpus)["mask-colors"] == "4 colours (RGB), which fit colors.csv of the dataset"


def test_grey_stored_as_rgb_is_recognised(corpus: Corpus) -> None:
    corpus.labelled("a", encoded(np.repeat(labels(0)[..., None], 3, 2), "PNG"))
    assert details(corpus)["mask-colors"].endswith("are grey: three equal channels")


def test_every_published_table_fits_itself_best() -> None:
    tables = known_tables()
    assert {entry.title: len(entry.colors) for entry in tables} == {
        "ADE20K": 150,  # two classes share a colour, and black is "other"
        "Pascal VOC": 22,
        "Cityscapes": 29,
        "CamVid, 32 classes": 32,
        "CamVid, 11 classes": 13,
    }
    for entry in tables:
        values = np.array(sorted(entry.colors))
        assert describe_fit(values, np.ones(len(values), int), tables) == f"fit {entry.title}"
    assert describe_fit(np.array([1, 2]), np.array([5, 5]), tables) == "fit no known colour table"


@given(arrays(np.uint8, (5, 3)))
def test_packing_can_be_undone(colors: np.ndarray) -> None:
    assert [unpack(value) for value in pack(colors).tolist()] == [tuple(color) for color in colors.tolist()]


# --- counting and borders --------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(arrays(st.sampled_from([np.uint8, np.uint16, np.uint32]), st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_counts_agree_with_numpy(values: np.ndarray) -> None:
    for counted, reference in zip(_count(values), np.unique(values, return_counts=True), strict=True):
        np.testing.assert_array_equal(counted, reference)


def test_outlines_are_a_class_and_not_a_mixture(corpus: Corpus) -> None:
    inside = (labels(0, highest=1) > 0).astype(np.uint8)
    grown = cv2.dilate(inside, np.ones((3, 3), np.uint8))
    corpus.labelled("a", encoded(inside + grown, "PNG"))
    assert faults(corpus) == set()


@pytest.mark.parametrize("folder", ["camvid/masks", "ade20k-mini/annotations"])
def test_real_masks_are_told_from_blended_ones(real_data: Path, folder: str) -> None:
    for path in sorted((real_data / folder).rglob("*.png"))[::40]:
        mask = read_index_mask(path)
        assert _ramp(mask) < 0.75 * RAMP
        size = mask.shape[1] * 3 // 4, mask.shape[0] * 3 // 4
        assert _ramp(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)) < RAMP
        assert _ramp(cv2.resize(mask, size, interpolation=cv2.INTER_LINEAR)) > RAMP
        jpeg = cv2.imdecode(cv2.imencode(".jpg", mask, [cv2.IMWRITE_JPEG_QUALITY, 90])[1], cv2.IMREAD_GRAYSCALE)
        assert _ramp(jpeg) > RAMP
