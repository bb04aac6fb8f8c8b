"""From files to arrays: images as 8-bit RGB, masks as the numbers that they store.

OpenCV decodes images because it is the fastest decoder; Pillow decodes index masks, because it keeps the indices of a
palette, and judges files that look truncated, because OpenCV before version 5 fills what is missing with grey.
"""

import io
import os
import struct
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from segfit.data import Image, SourceMask
from segfit.errors import DataError

__all__ = ["Color", "read_color_mask", "read_image", "read_index_mask"]

Color = tuple[int, int, int]
"""RGB, each 0..255."""

JPEG = b"\xff\xd8\xff"
PNG = b"\x89PNG\r\n\x1a\n"
END_MARKERS = {JPEG: b"\xff\xd9", PNG: b"IEND"}
TAIL = 1024  # bytes in which the end marker is looked for: cameras append a little metadata behind it

INDEX_MODES = ("1", "L", "P", "I", "I;16", "I;16B")
"""Pillow's modes with one number per pixel."""

BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Pillow.DecompressionBombError)
"""What Pillow raises on files that are damaged, disguised or absurdly large."""


def read_image(path: Path) -> Image:
    """Return the picture in `path` as `(H, W, 3)` uint8 RGB, turned as its EXIF orientation says.

    Grey values are repeated over the channels, alpha is dropped, and 16-bit values keep their upper 8 bits.

    Raises:
        DataError: the file is missing, empty, truncated or not an image.
    """
    return _decode(_read_bytes(path), path, cv2.IMREAD_COLOR)


def read_index_mask(path: Path) -> SourceMask:
    """Return the `(H, W)` numbers that an index mask stores: grey values, or the indices of a palette.

    Grey PNGs of 1, 2 and 4 bits hold small indices; they are returned as stored, not stretched to 0..255.

    Raises:
        DataError: the file is missing, empty, truncated, not an image, a JPEG, or has colours instead of indices.
    """
    data = _read_bytes(path)
    _refuse_jpeg(data, path)
    try:
        with Pillow.open(io.BytesIO(data)) as picture:
            mode = picture.mode
            stored: NDArray[Any] = np.asarray(picture)
    except BROKEN as error:
        raise _damaged(path, error) from None
    if mode not in INDEX_MODES:
        raise DataError(
            f"{path}: a mask with colours ({mode}) where indices are expected: "
            "give the colour table, for example data.name=folder data.colors=colors.csv"
        )
    mask: SourceMask
    if mode == "1":
        # Pillow keeps 255 in the bytes of its booleans.
        mask = (stored.view(np.uint8) != 0).astype(np.uint8)
    elif stored.dtype == np.uint8:
        stretch = _stretch(data)
        mask = stored if stretch == 1 else stored // np.uint8(stretch)
    else:
        mask = _narrow(stored, path)
    return mask


def read_color_mask(path: Path, colors: Sequence[Color]) -> SourceMask:
    """Return the position in `colors` of every pixel of an RGB mask, `(H, W)` uint16.

    Args:
        path: picture whose colours are labels; a palette counts as its colours.
        colors: all colours that may occur, without duplicates.

    Raises:
        DataError: the file is missing, empty, truncated, not an image, a JPEG, or has a colour that is not listed.
    """
    data = _read_bytes(path)
    _refuse_jpeg(data, path)
    rgb = _decode(data, path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    keys = _pack(np.array(colors, dtype=np.uint8)[None])[0]
    order = np.argsort(keys)
    pixels = _pack(rgb)
    slots = np.minimum(np.searchsorted(keys[order], pixels), len(keys) - 1)
    unknown = keys[order][slots] != pixels
    if unknown.any():
        row, column = np.argwhere(unknown)[0]
        color = tuple(rgb[row, column].tolist())
        raise DataError(
            f"{path}: colour {color} at row {row}, column {column} ({unknown.sum()} unknown pixels in all) "
            "is not in the colour table: add it there or correct the mask"
        )
    positions: NDArray[np.uint16] = order.astype(np.uint16)[slots]
    return positions


# --- bytes -----------------------------------------------------------------------------------------------------------


def _read_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if not data:
        raise DataError(f"{path}: the file is empty: fetch it again")
    return data


def _refuse_jpeg(data: bytes, path: Path) -> None:
    if data.startswith(JPEG):
        raise DataError(f"{path}: a mask cannot be a JPEG, whose compression changes labels: store masks as PNG")


def _damaged(path: Path, reason: object) -> DataError:
    return DataError(f"{path}: truncated, damaged or not an image ({reason}): fetch it again")


def _require_whole(data: bytes, path: Path) -> None:
    """Raise where the file's end marker is missing and Pillow, which is strict, cannot decode it either."""
    end = next((end for start, end in END_MARKERS.items() if data.startswith(start)), b"")
    if end in data[-TAIL:]:
        return
    try:
        with Pillow.open(io.BytesIO(data)) as picture:
            picture.load()
    except BROKEN as error:
        raise _damaged(path, error) from None


def _stretch(data: bytes) -> int:
    """Return the factor by which a decoder stretches the values of a grey PNG of 2 or 4 bits."""
    # The header chunk comes first: width and height at 16..23, bits per value at 24, colour type (0 = grey) at 25.
    if data.startswith(PNG) and data[25] == 0 and data[24] in (2, 4):
        return int(255 // (2 ** data[24] - 1))
    return 1


def _narrow(stored: NDArray[np.integer], path: Path) -> NDArray[np.uint16]:
    """Return the values of a 16- or 32-bit picture as uint16."""
    if stored.min() < 0 or stored.max() > 65535:
        raise DataError(f"{path}: holds values from {stored.min()} to {stored.max()}: label ids are 0..65535")
    return stored.astype(np.uint16)


# --- OpenCV ----------------------------------------------------------------------------------------------------------


def _decode(data: bytes, path: Path, flags: int) -> Image:
    """Return the picture as `(H, W, 3)` uint8 RGB; `path` is for messages."""
    _require_whole(data, path)
    try:
        with _MUTED:
            decoded = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise _damaged(path, error.err) from None
    if decoded is None:
        raise _damaged(path, "OpenCV cannot decode it")
    rgb: Image = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
    return rgb


def _pack(rgb: Image) -> NDArray[np.uint32]:
    """Return one number per colour: `(h, w, 3)` uint8 -> `(h, w)`."""
    packed: NDArray[np.uint32] = cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA).view(np.uint32)[..., 0]
    return packed


class _Muted:
    """Sends to nowhere what C libraries write to stderr; may be entered by several threads at once.

    libjpeg and libpng print a line without a file name for every damaged file and offer Python no way to stop it. What
    Python itself writes to stderr meanwhile is lost, too, so nothing but one decoder call belongs inside.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._stderr: int | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside > 1:
                return
            try:
                self._stderr = os.dup(2)
            except OSError:  # a daemon without stderr
                self._stderr = None
                return
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            os.close(nowhere)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside and self._stderr is not None:
                os.dup2(self._stderr, 2)
                os.close(self._stderr)


_MUTED = _Muted()
