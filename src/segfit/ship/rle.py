"""Run-length codes of label maps.

Two codes, both exact for any map of class ids 0..65535:

* **pairs**: (class, run length) of every run, row by row; the code that the paper describes (section III.A: "the first
  number representing the class obtained as a result and the second number consisting of the number of consecutive
  times it appears in the output").
* **per class**: (start, run length) of the runs of one class, column by column, the first pixel being 1; Kaggle's code
  for masks. Pixels that no class covers are background.

As text both are their numbers with spaces between them.
"""

import re
from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from segfit.errors import SubmissionError

__all__ = [
    "HIGHEST_CLASS",
    "LabelMap",
    "Runs",
    "check_runs",
    "decode_classes",
    "decode_pairs",
    "encode_class",
    "encode_classes",
    "encode_pairs",
    "format_runs",
    "parse_runs",
]

LabelMap = NDArray[np.integer]
"""`(H, W)` class ids."""

Runs = NDArray[np.int64]
"""`(n, 2)`: (class, length) or (start, length)."""

HIGHEST_CLASS = 2**16 - 1
"""Decoded maps are uint16."""

# At most 18 digits fit in int64 whatever they are; int() alone would also take "1_0" and other scripts' digits.
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_MOST = 10**18 - 1

_MANY = 400
"""From so many numbers on, digits are made place by place: what that costs by itself is what as many `str` cost."""


def encode_pairs(mask: LabelMap) -> Runs:
    """Return the (class, length) pairs of `(H, W)` class ids in row order."""
    flat = mask.ravel()
    assert flat.size, "an image has at least one pixel"
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    return np.stack([_checked(flat[starts]), np.diff(starts, append=flat.size)], axis=1)


def decode_pairs(pairs: Runs, shape: tuple[int, int]) -> NDArray[np.uint16]:
    """Return the `(H, W)` class ids that `encode_pairs` coded.

    Raises:
        SubmissionError: a class out of range, a length that is not positive, or lengths that do not add up to H x W.
    """
    classes, lengths = pairs[:, 0], pairs[:, 1]
    pixels = shape[0] * shape[1]
    _check_classes(classes)
    _check_lengths(lengths, pixels)
    if (covered := int(lengths.sum())) != pixels:
        raise SubmissionError(
            f"the run lengths add up to {covered}, not to {shape[0]} x {shape[1]} = {pixels} pixels: "
            f"write a pair for every run of the image"
        )
    return np.repeat(classes.astype(np.uint16), lengths).reshape(shape)


def encode_class(mask: LabelMap, class_id: int) -> Runs:
    """Return the (start, length) runs of one class of `(H, W)` class ids; `(0, 2)` when it does not occur."""
    values, starts, lengths = _column_runs(mask)
    own = values == class_id
    return np.stack([starts[own] + 1, lengths[own]], axis=1)


def encode_classes(mask: LabelMap) -> dict[int, Runs]:
    """Return the (start, length) runs of every class in `(H, W)` class ids, classes ascending."""
    values, starts, lengths = _column_runs(mask)
    # Numbers of 16 bits are sorted by counting them.
    order = np.argsort(values.astype(np.uint16), kind="stable")
    runs = np.stack([starts + 1, lengths], axis=1)[order]
    classes, first = np.unique(values[order], return_index=True)
    return dict(zip(classes.tolist(), np.split(runs, first[1:]), strict=True))


def decode_classes(runs: Mapping[int, Runs], shape: tuple[int, int], background: int = 0) -> NDArray[np.uint16]:
    """Return the `(H, W)` class ids that `encode_classes` coded; runs may come in any order.

    Args:
        runs: (start, length) runs of each class.
        shape: (H, W).
        background: class of the pixels that no run covers.

    Raises:
        SubmissionError: a class out of range, a length that is not positive, a run that leaves the image, or two that
            overlap.
    """
    pixels = shape[0] * shape[1]
    _check_classes(np.array([background, *runs]))
    for class_id, own in runs.items():
        try:
            check_runs(own, shape)
        except SubmissionError as error:
            raise SubmissionError(f"class {class_id}: {error}") from None
    stacked = np.concatenate([np.empty((0, 2), dtype=np.int64), *runs.values()])
    order = np.argsort(stacked[:, 0], kind="stable")
    starts, lengths = stacked[order, 0] - 1, stacked[order, 1]
    classes = np.repeat(np.array([*runs], dtype=np.uint16), [len(own) for own in runs.values()])[order]
    ends = np.concatenate([[0], starts + lengths])
    gaps = np.append(starts, pixels) - ends
    if (gaps < 0).any():
        second = int(np.argmax(gaps < 0))
        pair = sorted({int(classes[second - 1]), int(classes[second])})
        raise SubmissionError(
            f"runs of class {' and '.join(map(str, pair))} overlap at pixel {starts[second] + 1}: "
            f"give every pixel to one run only"
        )
    # Background before, between and after the runs: gap, run, gap, …, run, gap.
    values = np.full(2 * len(classes) + 1, background, dtype=np.uint16)
    values[1::2] = classes
    repeats = np.empty(len(values), dtype=np.int64)
    repeats[0::2], repeats[1::2] = gaps, lengths
    # OpenCV turns rows into columns block by block, NumPy one by one.
    return np.asarray(cv2.transpose(np.repeat(values, repeats).reshape(shape[::-1])), dtype=np.uint16)


def check_runs(runs: Runs, shape: tuple[int, int]) -> None:
    """Refuse (start, length) runs that do not lie within an image of `shape` (H, W).

    Raises:
        SubmissionError: a length that is not positive, or a run that leaves the image.
    """
    pixels = shape[0] * shape[1]
    _check_lengths(runs[:, 1], pixels)
    wrong = (runs[:, 0] < 1) | (runs[:, 0] > pixels + 1 - runs[:, 1])
    if wrong.any():
        start, length = runs[wrong][0].tolist()
        raise SubmissionError(
            f"the run '{start} {length}' leaves the image's pixels 1..{pixels}: correct the run or the image size "
            f"(pixels count from 1, column by column)"
        )


def format_runs(runs: Runs) -> str:
    """Return runs as text: ``"7 3 0 12"``."""
    numbers = runs.ravel()
    if numbers.size < _MANY:
        return " ".join(map(str, numbers.tolist()))
    assert numbers.min() >= 0, "runs hold no negative numbers"
    places = len(str(numbers.max()))
    # Half as many bytes take half the time.
    numbers = numbers.astype(np.uint32 if numbers.max() < 2**32 else np.uint64)
    letters = np.full((numbers.size, places + 1), ord(" "), dtype=np.uint8)
    for place in range(places - 1, -1, -1):
        rest = numbers // 10
        digits = numbers - 10 * rest + ord("0")
        # Leading zeros become bytes of 0, which are taken out at the end; the last digit is there in any case.
        letters[:, place] = digits if place == places - 1 else digits * (numbers > 0)
        numbers = rest
    return letters.tobytes().translate(None, b"\0")[:-1].decode("ascii")


def parse_runs(text: str) -> Runs:
    """Return the `(n, 2)` numbers of a text; empty text is `(0, 2)`.

    Raises:
        SubmissionError: something that is not a whole number, or an odd number of them.
    """
    numbers = _parsed(text)
    if len(numbers) % 2:
        raise SubmissionError(f"{len(numbers)} numbers do not make pairs: the last run has no length")
    return numbers.reshape(-1, 2)


def _parsed(text: str) -> NDArray[np.int64]:
    """Return the numbers of a text; what is not only digits and spaces is looked at word by word."""
    if text.strip() and not text.encode(errors="replace").translate(None, b"0123456789 "):
        numbers = np.fromstring(text, dtype=np.int64, sep=" ")
        # A number that is too high for int64 was read as the highest one.
        if numbers.max() <= _MOST:
            return numbers
    words = text.split()
    for word in words:
        if not _INTEGER.fullmatch(word):
            raise SubmissionError(f"{word[:24]!r} is not a whole number: write runs as numbers with spaces between")
    return np.array([int(word) for word in words], dtype=np.int64)


def _column_runs(mask: LabelMap) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return value, start (from 0) and length of every run of `(H, W)` class ids, column by column."""
    assert mask.size, "an image has at least one pixel"
    height, width = mask.shape
    # Only where runs start is turned from rows to columns, not the map.
    rows, columns = np.divmod(np.flatnonzero(mask[1:] != mask[:-1]), width)
    tops = np.flatnonzero(mask[0, 1:] != mask[-1, :-1]) + 1
    starts = np.sort(np.concatenate([[0], tops * height, columns * height + rows + 1]))
    columns, rows = np.divmod(starts, height)
    return _checked(mask[rows, columns]), starts, np.diff(starts, append=mask.size)


def _checked(values: LabelMap) -> NDArray[np.int64]:
    assert values.min() >= 0, "class ids are not negative"
    assert values.max() <= HIGHEST_CLASS, "class ids fit in uint16"
    return values.astype(np.int64)


def _check_classes(classes: NDArray[np.int64]) -> None:
    wrong = (classes < 0) | (classes > HIGHEST_CLASS)
    if wrong.any():
        raise SubmissionError(f"class {classes[wrong][0]} is not between 0 and {HIGHEST_CLASS}: correct the class id")


def _check_lengths(lengths: NDArray[np.int64], pixels: int) -> None:
    """Refuse lengths that no run can have; what passes can be added up without overflow."""
    wrong = (lengths < 1) | (lengths > pixels)
    if wrong.any():
        raise SubmissionError(
            f"run {np.argmax(wrong) + 1} has the length {lengths[wrong][0]}, which is not between 1 and the image's "
            f"{pixels} pixels: correct the run or the image size"
        )
