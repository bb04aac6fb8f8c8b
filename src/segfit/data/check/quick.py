"""The part of the check that training does by itself: what costs well below a second.

Every file's status is asked for, so that a missing, empty or forbidden one is named before the first epoch and not in
the middle of it. Headers are read of a sample that is spread evenly: whole-dataset faults (colour masks, scaled masks,
JPEG masks) show in any sample, and single damaged files are what `check_dataset` is for.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segfit.data import Record, Source
from segfit.data.check.codes import CODES, shown
from segfit.data.check.structure import Header, Unusable, identify, read_header, stat_file
from segfit.data.decode import INDEX_MODES
from segfit.errors import DataError

__all__ = ["SAMPLE", "quick_check"]

SAMPLE = 200
"""Pairs whose headers are read."""

HEADER = 65536  # bytes in which the header is looked for


def quick_check(source: Source, records: Sequence[Record]) -> None:
    """Look for faults that would end training, without decoding any pixels.

    Args:
        source: the dataset.
        records: what will be trained on and scored.

    Raises:
        DataError: a file is missing, empty or may not be read, or one of a sample of pairs does not fit together.
    """
    for record in records:
        for path in (record.image, record.mask):
            try:
                stat_file(path)
            except Unusable as reason:
                raise _refusal(path, reason) from None
    for index in np.linspace(0, len(records) - 1, min(SAMPLE, len(records))).astype(int).tolist():
        record = records[index]
        image = _header(record.image)
        mask = _header(record.mask, mask=True)
        try:
            _require_fit(image, mask, colored=source.colors is not None)
        except Unusable as reason:
            raise _refusal(record.mask, reason) from None


def _header(path: Path, *, mask: bool = False) -> Header | None:
    """Return the header of a picture; None where it does not lie at the beginning of the file."""
    try:
        with path.open("rb") as file:
            data = file.read(HEADER)
        kind = identify(data)
        if mask and kind == "JPEG":
            raise Unusable("mask-lossy", f"a JPEG, called {path.suffix}")
    except OSError as error:
        raise _refusal(path, Unusable("file-unreadable", error.strerror or str(error))) from None
    except Unusable as reason:
        raise _refusal(path, reason) from None
    try:
        return read_header(data, kind)
    except Unusable:
        return None


def _require_fit(image: Header | None, mask: Header | None, *, colored: bool) -> None:
    if mask is not None and not colored and mask.mode not in INDEX_MODES:
        raise Unusable("mask-colors", f"a mask with colours ({mask.mode})")
    if image is None or mask is None:
        return
    upright = (image.height, image.width) if image.turned else (image.width, image.height)
    if (mask.width, mask.height) == upright:
        return
    # Whether a decoder turns the picture depends on its format; only JPEGs are turned for sure.
    if image.turned and (image.format != "JPEG" and (mask.width, mask.height) == (image.width, image.height)):
        return
    code = "exif-mismatch" if (mask.width, mask.height) == (image.width, image.height) else "size-mismatch"
    raise Unusable(code, f"image {upright[0]} x {upright[1]}, mask {mask.width} x {mask.height}")


def _refusal(path: Path, reason: Unusable) -> DataError:
    mend = f"{CODES[reason.code].mend}; segfit data check lists all such faults"
    return DataError(f"{shown(str(path))}: {reason.detail} [{reason.code}]: {mend}")
