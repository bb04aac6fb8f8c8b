"""Run-length codes against slow ones in plain Python, and exact round trips of any map."""

import os
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from segfit.errors import SubmissionError
from segfit.ship.rle import (
    _MANY,
    Runs,
    decode_classes,
    decode_pairs,
    encode_class,
    encode_classes,
    encode_pairs,
    format_runs,
    parse_runs,
)

DTYPES = st.sampled_from([np.uint8, np.uint16, np.int64])


@st.composite
def masks(draw: st.DrawFn) -> NDArray[np.integer]:
    """Draw a map of few or of any classes, one pixel wide or high at times, in either memory order."""
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    dtype = draw(DTYPES)
    highest = draw(st.sampled_from([1, 3, 255 if dtype is np.uint8 else 65535]))
    mask = draw(hnp.arrays(dtype, shape, elements=st.integers(0, highest)))
    return draw(st.sampled_from([mask, np.asfortranarray(mask), mask[:, ::-1]]))


def slow_pairs(mask: NDArray[np.integer]) -> list[list[int]]:
    return [[class_id, len(list(run))] for class_id, run in groupby(mask.ravel().tolist())]


def slow_class(mask: NDArray[np.integer], class_id: int) -> list[list[int]]:
    height, width = mask.shape
    runs: list[list[int]] = []
    for position in range(height * width):
        if mask[position % height, position // height] != class_id:
            continue
        if runs and sum(runs[-1]) == position + 1:
            runs[-1][1] += 1
        else:
            runs.append([position + 1, 1])
    return runs


@given(masks())
def test_pairs_equal_the_slow_code_and_come_back(mask: NDArray[np.integer]) -> None:
    pairs = encode_pairs(mask)
    assert pairs.dtype == np.int64
    assert pairs.tolist() == slow_pairs(mask)
    again = decode_pairs(parse_runs(format_runs(pairs)), mask.shape)
    assert again.dtype == np.uint16
    assert np.array_equal(again, mask)


@given(masks())
def test_classes_equal_the_slow_code_and_come_back(mask: NDArray[np.integer]) -> None:
    runs = encode_classes(mask)
    assert list(runs) == np.unique(mask).tolist()
    for class_id, own in runs.items():
        assert own.dtype == np.int64
        assert own.tolist() == slow_class(mask, class_id)
        assert np.array_equal(own, encode_class(mask, class_id))
    text = {class_id: parse_runs(format_runs(own)) for class_id, own in runs.items()}
    again = decode_classes(text, mask.shape)
    assert again.dtype == np.uint16
    assert again.flags.c_contiguous
    assert np.array_equal(again, mask)


@given(masks(), st.data())
@settings(max_examples=50)
def test_what_no_class_covers_is_background_and_the_order_of_runs_is_free(
    mask: NDArray[np.integer], data: st.DataObject
) -> None:
    runs = encode_classes(mask)
    left_out = data.draw(st.sampled_from(sorted(runs)))
    kept = {class_id: data.draw(st.permutations(own.tolist())) for class_id, own in runs.items()}
    del kept[left_out]
    order = data.draw(st.permutations(list(kept)))
    result = decode_classes({c: np.array(kept[c], dtype=np.int64) for c in order}, mask.shape, background=left_out)
    assert np.array_equal(result, mask)


def test_known_codes() -> None:
    mask = np.array([[0, 0, 7], [7, 7, 7]], dtype=np.uint8)
    assert format_runs(encode_pairs(mask)) == "0 2 7 4"
    assert format_runs(encode_class(mask, 7)) == "2 1 4 3"
    assert format_runs(encode_class(mask, 0)) == "1 1 3 1"
    assert encode_class(mask, 3).shape == (0, 2)
    assert format_runs(encode_class(mask, 3)) == ""
    assert parse_runs("").shape == (0, 2)


@given(
    hnp.arrays(np.int64, st.tuples(st.integers(1, 300), st.just(2)), elements=st.integers(0, 10**18 - 1)),
    st.integers(0, 18),
)
def test_many_numbers_are_written_and_read_as_few_are(runs: Runs, places: int) -> None:
    """Above some hundreds of numbers the text is made of digits place by place, and read in one go."""
    numbers = np.tile(runs % 10**places, (-(-_MANY // (2 * len(runs))), 1))
    text = " ".join(str(number) for pair in numbers.tolist() for number in pair)
    assert format_runs(numbers) == text
    assert parse_runs(text).tolist() == numbers.tolist()
    assert parse_runs(text.replace(" ", "\n")).tolist() == numbers.tolist()


def test_no_runs_at_all_is_background() -> None:
    assert decode_classes({}, (2, 3), background=9).tolist() == [[9, 9, 9], [9, 9, 9]]
    assert decode_classes({4: parse_runs(" ")}, (1, 2)).tolist() == [[0, 0]]


def test_runs_that_touch_do_not_overlap() -> None:
    assert decode_classes({1: parse_runs("1 1 2 1"), 2: parse_runs("3 2")}, (2, 2)).T.ravel().tolist() == [1, 1, 2, 2]


def test_a_million_runs_take_no_python_loop() -> None:
    """A checkerboard is the worst case; a loop over its pixels would take minutes for what follows."""
    import time

    mask = (np.indices((1000, 1000)).sum(axis=0) % 2).astype(np.uint8)
    started = time.process_time()
    assert np.array_equal(decode_pairs(encode_pairs(mask), mask.shape), mask)
    assert np.array_equal(decode_classes(encode_classes(mask), mask.shape), mask)
    assert time.process_time() - started < 5


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3", "3 numbers do not make pairs"),
        ("1 x", "'x' is not a whole number"),
        ("1 2.0", "'2.0' is not a whole number"),
        ("1 1_0", "'1_0' is not a whole number"),
        ("1 +1", "'[+]1' is not a whole number"),
        ("1,2", "'1,2' is not a whole number"),
        ("1 ٣", "is not a whole number"),
        ("1 9223372036854775808", "is not a whole number"),
        ("1 nan", "'nan' is not a whole number"),
    ],
)
def test_text_that_is_not_pairs_of_numbers(text: str, message: str) -> None:
    with pytest.raises(SubmissionError, match=message):
        parse_runs(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 3", r"add up to 3, not to 2 x 2 = 4 pixels"),
        ("1 3 2 2", r"add up to 5, not to 2 x 2 = 4 pixels"),
        ("", r"add up to 0"),
        ("1 4 2 0", r"run 2 has the length 0"),
        ("1 5 2 -1", r"run 1 has the length 5"),
        ("1 4 2 -1", r"run 2 has the length -1"),
        ("-1 4", r"class -1 is not between 0 and 65535"),
        ("65536 4", r"class 65536 is not between 0 and 65535"),
        # Sixteen times 2^60 is 2^64, which is 0 in int64.
        (" ".join(["1 999999999999999999"] * 16), r"run 1 has the length 999999999999999999"),
    ],
)
def test_pairs_that_are_no_image(text: str, message: str) -> None:
    with pytest.raises(SubmissionError, match=message):
        decode_pairs(parse_runs(text), (2, 2))


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ({3: "1 0"}, "class 3: run 1 has the length 0"),
        ({3: "1 1 2 -2"}, "class 3: run 2 has the length -2"),
        ({3: "0 1"}, "class 3: the run '0 1' leaves the image's pixels 1..4"),
        ({3: "4 2"}, "class 3: the run '4 2' leaves the image's pixels 1..4"),
        ({3: "999999999999999999 1"}, "leaves the image"),
        ({3: "1 2 2 1"}, "runs of class 3 overlap at pixel 2"),
        ({3: "1 4", 1: "3 1"}, "runs of class 1 and 3 overlap at pixel 3"),
        ({3: "2 1", 1: "2 1"}, "runs of class 1 and 3 overlap at pixel 2"),
        ({70000: "1 1"}, "class 70000 is not between"),
        ({-1: "1 1"}, "class -1 is not between"),
    ],
)
def test_runs_that_do_not_fit_an_image(runs: dict[int, str], message: str) -> None:
    parsed: dict[int, Runs] = {class_id: parse_runs(text) for class_id, text in runs.items()}
    with pytest.raises(SubmissionError, match=message):
        decode_classes(parsed, (2, 2))


@given(hnp.arrays(np.int64, st.tuples(st.integers(0, 4), st.just(2)), elements=st.integers(-3, 8)))
def test_whatever_decodes_is_what_the_runs_say(runs: Runs) -> None:
    """Any pairs of numbers either decode to exactly the pixels they name, or are refused."""
    named = [start - 1 + i for start, length in runs.tolist() for i in range(max(length, 0))]
    fits = all(0 <= pixel < 6 for pixel in named) and len(set(named)) == len(named) and (runs[:, 1] > 0).all()
    try:
        mask = decode_classes({1: runs}, (2, 3))
    except SubmissionError:
        assert not fits
    else:
        assert fits
        assert np.flatnonzero(mask.T.ravel()).tolist() == sorted(named)


# --- real masks ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not os.environ.get("SEGFIT_TEST_DATA"), reason="SEGFIT_TEST_DATA names no folder with ADE20K masks")
def test_ade20k_masks_come_back() -> None:
    folder = Path(os.environ["SEGFIT_TEST_DATA"]) / "ade20k-sample" / "ADEChallengeData2016" / "annotations"
    paths = sorted(folder.rglob("*.png"))
    assert paths
    for path in paths[:20]:
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        pairs, classes = encode_pairs(mask), encode_classes(mask)
        assert np.array_equal(decode_pairs(pairs, mask.shape), mask)
        assert np.array_equal(decode_classes(classes, mask.shape), mask)
        assert len(pairs) < mask.size / 4
