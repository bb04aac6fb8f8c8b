"""Predictions as a run-length-coded CSV: written image by image, read and scored against the ground truth.

Two forms (see `segfit.ship.rle` for the codes), told apart by their header:

* ``pairs``: ``id,height,width,rle``, one row per image;
* ``kaggle``: ``id,class,height,width,rle``, one row per image and class that occurs in it.

Classes are the dataset's source ids; 0 is "other", and in the form ``kaggle`` also whatever no row covers.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import override

from segfit.data import SourceMask
from segfit.errors import SubmissionError
from segfit.evaluation.confusion import confusion_matrix
from segfit.evaluation.metrics import Scores, scores
from segfit.folder import replacing
from segfit.labels import IGNORE, LabelSpace
from segfit.ship.rle import (
    HIGHEST_CLASS,
    LabelMap,
    check_runs,
    decode_classes,
    decode_pairs,
    encode_classes,
    encode_pairs,
    format_runs,
    parse_runs,
)

__all__ = ["MAX_PIXELS", "Code", "Submission", "read_submission", "score_submission", "write_submission"]

Code = Literal["pairs", "kaggle"]
"""Form of a submission file."""

MAX_PIXELS = 2**28
"""Largest image that is decoded (16384 x 16384): a few bytes of run-length code can claim any size."""

HEADERS: dict[Code, tuple[str, ...]] = {
    "pairs": ("id", "height", "width", "rle"),
    "kaggle": ("id", "class", "height", "width", "rle"),
}

_NUMBER = re.compile(r"[0-9]{1,9}")


# --- writing ---------------------------------------------------------------------------------------------------------


def write_submission(path: Path, items: Iterable[tuple[str, LabelMap]], code: Code) -> int:
    """Write predictions, one at a time; the file appears when all of them are written.

    Args:
        path: the CSV file; one that is there is replaced.
        items: (image id, `(H, W)` source ids) pairs.
        code: form of the file.

    Returns:
        The number of images.

    Raises:
        SubmissionError: two images of one id, or an id that a CSV line cannot hold.
    """
    rows = _ROWS[code]
    seen: set[str] = set()
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADERS[code])
        for image_id, mask in items:
            if not image_id or not image_id.isprintable():
                raise SubmissionError(f"{path}: image id {image_id!r} is empty or holds line breaks: rename the image")
            if image_id in seen:
                raise SubmissionError(f"{path}: two images have the id {image_id!r}: rename one of them")
            seen.add(image_id)
            writer.writerows(rows(image_id, mask))
    return len(seen)


def _pairs_rows(image_id: str, mask: LabelMap) -> Iterator[tuple[str | int, ...]]:
    yield image_id, *mask.shape, format_runs(encode_pairs(mask))


def _kaggle_rows(image_id: str, mask: LabelMap) -> Iterator[tuple[str | int, ...]]:
    # Class 0 gets its row, too: every image then has at least one.
    for class_id, runs in encode_classes(mask).items():
        yield image_id, class_id, *mask.shape, format_runs(runs)


_ROWS: dict[Code, Callable[[str, LabelMap], Iterator[tuple[str | int, ...]]]] = {
    "pairs": _pairs_rows,
    "kaggle": _kaggle_rows,
}


# --- reading ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Row:
    number: int
    rle: str


@dataclass(frozen=True)
class _Coded:
    """One image: its (H, W) and its rows by class; the only row of the form ``pairs`` stands at 0."""

    shape: tuple[int, int]
    rows: dict[int, _Row]


class Submission(Mapping[str, NDArray[np.uint16]]):
    """The images of a submission file: id -> `(H, W)` uint16 source ids, decoded each time it is asked for.

    Only the run-length code is kept in memory. Looking up an image whose code is malformed raises `SubmissionError`.

    Attributes:
        path: the file.
        code: its form.
    """

    def __init__(self, path: Path, code: Code, images: Mapping[str, _Coded]) -> None:
        self.path = path
        self.code = code
        self._images = images

    @override
    def __len__(self) -> int:
        return len(self._images)

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._images)

    @override
    def __contains__(self, image_id: object) -> bool:
        # Mapping's own would decode the image.
        return image_id in self._images

    def shape(self, image_id: str) -> tuple[int, int]:
        """Return (H, W) of an image as the file states it."""
        return self._images[image_id].shape

    @override
    def __getitem__(self, image_id: str) -> NDArray[np.uint16]:
        image = self._images[image_id]
        if self.code == "pairs":
            (row,) = image.rows.values()
            with self._located(row):
                return decode_pairs(parse_runs(row.rle), image.shape)
        runs = {}
        for class_id, row in image.rows.items():
            with self._located(row):
                runs[class_id] = parse_runs(row.rle)
                check_runs(runs[class_id], image.shape)
        with self._located(*image.rows.values()):
            return decode_classes(runs, image.shape)

    @contextmanager
    def _located(self, *rows: _Row) -> Iterator[None]:
        """Put the place into the message of an error."""
        try:
            yield
        except SubmissionError as error:
            numbers = ", ".join(str(row.number) for row in rows)
            raise SubmissionError(f"{self.path}, row {numbers}: {error}") from None


def read_submission(path: Path) -> Submission:
    """Read a submission of either form; the header tells which.

    Ids, classes and sizes are checked here, run-length codes when an image is decoded. The header is row 1.

    Raises:
        SubmissionError: the file is missing or not UTF-8 CSV, its header is unknown, or a row has the wrong number of
            cells, no id, a repeated id (and class), a bad class or a bad size.
    """
    with _rows(path) as rows:
        code = _detect(path, next(rows, (1, []))[1])
        images: dict[str, _Coded] = {}
        for number, cells in rows:
            try:
                image_id, class_id, shape = _parse(code, cells)
                image = images.setdefault(image_id, _Coded(shape, {}))
                _check_consistent(image_id, class_id, shape, image)
            except SubmissionError as error:
                raise SubmissionError(f"{path}, row {number}: {error}") from None
            image.rows[class_id] = _Row(number, cells[-1])
    return Submission(path, code, images)


@contextmanager
def _rows(path: Path) -> Iterator[Iterator[tuple[int, list[str]]]]:
    """Open a CSV file for its (row number, cells); blank rows are passed over."""
    # The limit of 128 KiB per cell is the csv module's own; a run-length code may well be longer.
    limit = csv.field_size_limit(2**31 - 1)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            yield ((reader.line_num, cells) for cells in reader if cells)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SubmissionError(f"{path}: cannot be read as UTF-8 CSV: {error}") from None
    finally:
        csv.field_size_limit(limit)


def _detect(path: Path, header: list[str]) -> Code:
    """Return the form that the header names."""
    for code, columns in HEADERS.items():
        if tuple(header) == columns:
            return code
    expected = HEADERS["kaggle" if "class" in header else "pairs"]
    missing = [column for column in expected if column not in header]
    problem = f"column {missing[0]!r} is missing" if missing else f"unknown header {','.join(header)[:80]!r}"
    forms = " or ".join(repr(",".join(columns)) for columns in HEADERS.values())
    raise SubmissionError(f"{path}, row 1: {problem}: the header is {forms}")


def _parse(code: Code, cells: list[str]) -> tuple[str, int, tuple[int, int]]:
    """Return the image id, the class (0 for the form ``pairs``) and the image's shape."""
    columns = HEADERS[code]
    if len(cells) != len(columns):
        raise SubmissionError(f"{len(cells)} cells instead of {len(columns)}: write {','.join(columns)}")
    row = dict(zip(columns, cells, strict=True))
    if not row["id"]:
        raise SubmissionError("the image id is empty: fill it in")
    shape = (_number(row, "height"), _number(row, "width"))
    if not 0 < shape[0] * shape[1] <= MAX_PIXELS:
        raise SubmissionError(f"the size {shape[0]} x {shape[1]} is not between 1 and {MAX_PIXELS} pixels: correct it")
    class_id = _number(row, "class") if code == "kaggle" else 0
    if class_id > HIGHEST_CLASS:
        raise SubmissionError(f"class {class_id} is not between 0 and {HIGHEST_CLASS}: correct it")
    return row["id"], class_id, shape


def _number(row: Mapping[str, str], column: str) -> int:
    if not _NUMBER.fullmatch(row[column]):
        raise SubmissionError(f"{column} {row[column][:24]!r} is not a whole number: correct it")
    return int(row[column])


def _check_consistent(image_id: str, class_id: int, shape: tuple[int, int], image: _Coded) -> None:
    """Refuse a row that contradicts those before it."""
    if class_id in image.rows:
        raise SubmissionError(f"id {image_id!r} repeats row {image.rows[class_id].number}: keep one of the two rows")
    if shape != image.shape:
        first = next(iter(image.rows.values())).number
        raise SubmissionError(
            f"id {image_id!r} is {shape[0]} x {shape[1]} here and {image.shape[0]} x {image.shape[1]} in row {first}: "
            f"correct the size"
        )


# --- scoring ---------------------------------------------------------------------------------------------------------


def score_submission(submission: Submission, truth: Mapping[str, SourceMask], labels: LabelSpace) -> Scores:
    """Score a submission against the ground truth.

    Only pixels whose true class is in the label space count. There a prediction that is none of its classes (an id
    that the dataset does not have, or one that the label space ignores) is wrong: it lowers the recall, Dice and IoU
    of the true class and every accuracy, and is no other class's false positive. The id 0 means the label space's
    class ``other`` where it has one, as in `LabelSpace.decode`.

    Args:
        submission: predictions in source ids.
        truth: id -> `(H, W)` mask of source ids; may read each one when asked.
        labels: which classes are scored.

    Raises:
        SubmissionError: ids that one side lacks, a size that differs, or a malformed run-length code.
        DataError: a ground-truth mask holds an unknown id, or nothing in it is to be scored.
    """
    _check_ids(submission, truth)
    train_ids = _train_ids(labels)
    classes = len(labels)
    confusion = torch.zeros(classes, classes + 1, dtype=torch.int64)
    for image_id in truth:
        mask = truth[image_id]
        if (shape := submission.shape(image_id)) != mask.shape:
            raise SubmissionError(
                f"{submission.path}: id {image_id!r} is {shape[0]} x {shape[1]}, but its ground truth "
                f"{mask.shape[0]} x {mask.shape[1]}: predict at the original size (height x width)"
            )
        target = torch.from_numpy(labels.encode(mask, where=image_id))
        prediction = torch.from_numpy(train_ids[submission[image_id]])
        # One class more: "none of them". It is never true, so its row is empty and only its column is kept.
        confusion += confusion_matrix(target, prediction, classes + 1)[:classes]
    return scores(confusion.numpy())


def _check_ids(submission: Submission, truth: Mapping[str, SourceMask]) -> None:
    lacking = sorted(image_id for image_id in truth if image_id not in submission)
    if lacking:
        raise SubmissionError(
            f"{submission.path}: {len(lacking)} of {len(truth)} images are missing, the first is {lacking[0]!r}: "
            f"predict all of them"
        )
    unknown = sorted(image_id for image_id in submission if image_id not in truth)
    if unknown:
        raise SubmissionError(
            f"{submission.path}: {len(unknown)} images are not in the ground truth, the first is {unknown[0]!r}: "
            f"remove them or score against another split"
        )


def _train_ids(labels: LabelSpace) -> NDArray[np.uint8]:
    """Return the table source id -> train id for predictions; K stands for none of the classes."""
    none = len(labels)
    table = np.full(HIGHEST_CLASS + 1, none, dtype=np.uint8)
    lookup = labels.lookup()
    known = np.flatnonzero((lookup >= 0) & (lookup != IGNORE))
    table[known] = lookup[known]
    if table[0] == none and labels.extra is not None:
        table[0] = labels.extra
    return table
