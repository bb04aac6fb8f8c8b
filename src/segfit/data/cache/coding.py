"""One record's way into the cache: decode, check, shrink and, if so set, compress; and from its bytes to arrays."""

import zlib
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segfit.data import Image, Record, Source, SourceMask
from segfit.data.cache.manifest import Settings
from segfit.data.cache.shard import Coded
from segfit.data.decode import read_pair
from segfit.errors import DataError

__all__ = ["Bytes", "Coder", "decoder", "shrunk"]

Bytes = NDArray[np.uint8]
"""1-d; as stored."""

JPEG = b"\xff\xd8\xff"
HIGHEST_ID = 65535
EFFORT = 6
"""Of zlib, which packs label maps as tightly as PNG does and is unpacked in half the time."""


class Coder:
    """Turns records into the bytes that a shard stores.

    Args:
        source: reads the masks.
        settings: of the cache.
    """

    def __init__(self, source: Source, settings: Settings) -> None:
        self.source, self.settings = source, settings
        self._unknown = np.ones(HIGHEST_ID + 1, dtype=np.bool_)
        self._unknown[[*source.labels.ids, *source.labels.ignored]] = False

    def __call__(self, record: Record) -> Coded:
        """Return a record's bytes.

        Raises:
            DataError: a file is unreadable, image and mask differ in size, or the mask has an unknown id.
        """
        image, stored = read_pair(self.source, record)
        self._check_ids(stored, record)
        mask = np.ascontiguousarray(stored, dtype=f"u{self.settings.mask_bytes}")
        height, width = shrunk(mask.shape, self.settings.short_side)
        if (height, width) != mask.shape:
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
            mask = _at_centres(mask, (height, width))
        quality = self.settings.jpeg_quality
        if quality is None:
            pixels, labels = image.reshape(-1), mask.reshape(-1).view(np.uint8)
        else:
            pixels = _smallest_jpeg(image, quality, record, smaller=mask.shape != stored.shape)
            labels = np.frombuffer(zlib.compress(mask.data, EFFORT), np.uint8)
        return Coded(
            image=pixels, mask=labels, size=(height, width), crc=zlib.crc32(labels.data, zlib.crc32(pixels.data))
        )

    def _check_ids(self, mask: SourceMask, record: Record) -> None:
        unknown = self._unknown.take(mask, mode="clip")
        if mask.dtype.itemsize > 2 or mask.dtype.kind != "u":
            unknown |= (mask < 0) | (mask > HIGHEST_ID)
        if unknown.any():
            ids = np.unique(mask[unknown])[:5].tolist()
            raise DataError(
                f"{record.mask}: label id {', '.join(map(str, ids))} is neither a class nor ignored: "
                "correct the mask or the class list"
            )


def shrunk(size: tuple[int, ...], short_side: int) -> tuple[int, int]:
    """Return (height, width) of an image of `size` in the cache: its short side is at most `short_side`."""
    height, width = size
    short = min(height, width)
    if short <= short_side:
        return height, width
    return round(height * short_side / short), round(width * short_side / short)


def _at_centres(mask: SourceMask, size: tuple[int, int]) -> SourceMask:
    """Return the mask at `size`: each pixel has the label that lies under its centre."""
    # In whole numbers, because OpenCV's fixed-point places (INTER_NEAREST_EXACT) fall to either side of a border.
    rows, columns = ((2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(size, mask.shape, strict=True))
    taken: SourceMask = mask.take(rows, axis=0).take(columns, axis=1)
    return taken


def _smallest_jpeg(image: Image, quality: int, record: Record, *, smaller: bool) -> Bytes:
    """Return `image` as a JPEG: as the file that it was read from if that is none the larger, which loses nothing."""
    _, coded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    own = b"" if smaller else record.image.read_bytes()
    if own.startswith(JPEG) and len(own) <= coded.size:
        return np.frombuffer(own, np.uint8)
    compressed: Bytes = coded.reshape(-1)
    return compressed


# --- back ------------------------------------------------------------------------------------------------------------

Decoder = Callable[[Bytes, Bytes, tuple[int, int]], tuple[Image, SourceMask]]
"""From the bytes of image and mask and the size in pixels to the arrays."""


def decoder(settings: Settings) -> Decoder:
    """Return the function that reads what `Coder` wrote."""
    dtype = np.dtype(f"u{settings.mask_bytes}")
    if settings.jpeg_quality is None:
        return _Plain(dtype)
    return _Packed(dtype)


class _Plain:
    """Views of the bytes; nothing is copied."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype

    def __call__(self, image: Bytes, mask: Bytes, size: tuple[int, int]) -> tuple[Image, SourceMask]:
        return image.reshape(*size, 3), mask.view(self.dtype).reshape(size)


class _Packed:
    """A JPEG and a zlib stream."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype

    def __call__(self, image: Bytes, mask: Bytes, size: tuple[int, int]) -> tuple[Image, SourceMask]:
        picture = cv2.imdecode(image, cv2.IMREAD_COLOR_RGB)
        if picture is None or picture.shape != (*size, 3):
            raise ValueError("not the JPEG that was written")
        return picture, np.frombuffer(zlib.decompress(mask.data), self.dtype).reshape(size)
