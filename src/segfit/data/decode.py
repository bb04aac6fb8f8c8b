"""From files to arrays: images as 8-bit RGB, masks as the numbers that they store.

OpenCV decodes images and plain grey masks because it is the fastest decoder; Pillow decodes all other index masks,
because it keeps the indices of a palette, and judges files that look truncated, because OpenCV before version 5 fills
what is missing with grey.
"""

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from segfit.data import Image, Record, Source, SourceMask
from segfit.data.stderr import decode
from segfit.errors import DataError

__all__ = ["Color", "ValuesError", "read_color_mask", "read_image", "read_index_mask", "read_pair", "read_size"]

Color = tuple[int, int, int]
"""RGB, each 0..255."""

JPEG = b"\xff\xd8\xff"
PNG = b"\x89PNG\r\n\x1a\n"
END_MARKERS = {JPEG: b"\xff\xd9", PNG: b"IEND"}
HEADER = struct.Struct(">16xIIBB")  # of a PNG: behind the header chunk's name width, height, bits and colour type
GREY = 0
TAIL = 1024  # bytes in which the end marker is looked for: cameras append a little metadata behind it

INDEX_MODES = ("1", "L", "P", "I", "I;16", "I;16B")
"""Pillow's modes with one number per pixel."""

LARGEST = 2**27
"""Pixels that OpenCV is trusted with for a mask; Pillow, which refuses bombs before it unpacks them, gets the rest."""

BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Pillow.DecompressionBombError)
"""What Pillow raises on files that are damaged, disguised or absurdly large."""


class ValuesError(DataError):
    """A mask holds numbers that cannot be label ids."""


def read_pair(source: Source, record: Record) -> tuple[Image, SourceMask]:
    """Return a record's image `(H, W, 3)` and mask `(H, W)` in source ids.

    Raises:
        DataError: one of them is unreadable, or their sizes differ.
    """
    image, mask = read_image(record.image), source.read_mask(record)
    if image.shape[:2] != mask.shape:
        (height, width), (rows, columns) = image.shape[:2], mask.shape
        raise DataError(
            f"{record.mask}: the mask is {columns}x{rows} and its image {width}x{height} pixels: "
            "both need one size (an EXIF orientation of the image counts)"
        )
    return image, mask


def read_image(path: Path) -> Image:
    """Return the picture in `path` as `(H, W, 3)` uint8 RGB, turned as its EXIF orientation says.

    Grey values are repeated over the channels, alpha is dropped, and 16-bit values keep their upper 8 bits.

    Raises:
        DataError: the file is missing, empty, truncated or not an image.
    """
    return _decode(_read_bytes(path), path, cv2.IMREAD_COLOR_RGB)


def read_size(path: Path) -> tuple[int, int]:
    """Return (height, width) of the picture in `path` as stored, from its header alone.

    Raises:
        DataError: the file is missing, empty or not an image.
    """
    try:
        with Pillow.open(path) as picture:
            return picture.height, picture.width
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except BROKEN as error:
        raise _damaged(path, error) from None


def read_index_mask(path: Path) -> SourceMask:
    """Return the `(H, W)` numbers that an index mask stores: grey values, or the indices of a palette.

    Grey PNGs of 1, 2 and 4 bits hold small indices; they are returned as stored, not stretched to 0..255.

    Raises:
        DataError: the file is missing, empty, truncated, not an image, a JPEG, or has colours instead of indices.
    """
    data = _read_bytes(path)
    _refuse_jpeg(data, path)
    plain = _decode_grey_png(data)
    if plain is not None:
        return plain
    try:
        if data.startswith(PNG):
            # Pillow decodes over wrong checksums; labels that changed unnoticed would be the worst of all faults.
            with Pillow.open(io.BytesIO(data)) as picture:
                picture.verify()
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
    rgb = _decode(data, path, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
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
    if data.startswith(PNG):
        _, _, bits, color_type = HEADER.unpack_from(data)
        if color_type == GREY and bits in (2, 4):
            return int(255 // (2**bits - 1))
    return 1


def _narrow(stored: NDArray[np.integer], path: Path) -> NDArray[np.uint16]:
    """Return the values of a 16- or 32-bit picture as uint16."""
    if stored.min() < 0 or stored.max() > 65535:
        raise ValuesError(f"{path}: holds values from {stored.min()} to {stored.max()}: label ids are 0..65535")
    return stored.astype(np.uint16)


# --- OpenCV ----------------------------------------------------------------------------------------------------------


def _decode(data: bytes, path: Path, flags: int) -> Image:
    """Return the picture as `(H, W, 3)` uint8 RGB; `path` is for messages."""
    _require_whole(data, path)
    decoded = decode(data, flags)
    if decoded is None:
        raise _damaged(path, "OpenCV cannot decode it")
    rgb: Image = decoded
    return rgb


def _decode_grey_png(data: bytes) -> SourceMask | None:
    """Return the values of a whole grey PNG of 8 or 16 bits; None for anything else."""
    if not data.startswith(PNG) or END_MARKERS[PNG] not in data[HEADER.size :][-TAIL:]:
        return None
    width, height, bits, color_type = HEADER.unpack_from(data)
    if color_type != GREY or bits not in (8, 16) or width * height > LARGEST:
        return None
    decoded = decode(data, cv2.IMREAD_UNCHANGED)
    # A transparent grey makes OpenCV add channels.
    return decoded if decoded is not None and decoded.ndim == 2 else None


def _pack(rgb: Image) -> NDArray[np.uint32]:
    """Return one number per colour: `(h, w, 3)` uint8 -> `(h, w)`."""
    packed: NDArray[np.uint32] = cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA).view(np.uint32)[..., 0]
    return packed
