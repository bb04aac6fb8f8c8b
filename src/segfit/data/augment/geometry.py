"""Where a sample's pixels come from: scale, crop and rotation, as one warp of image and mask.

Coordinates are those of pixel centres: pixel i covers [i, i + 1) and its centre is i + 0.5. A view takes the centre of
an output pixel to its place in the source by one affine map, for image and mask alike; they differ only in how the
source is read there, the image bilinearly and the mask at the nearest pixel. A crop without rotation begins and ends
between two source pixels, so that its map is a plain resize, several times faster than a general warp.

The random scale and the crop follow mmsegmentation's ADE20K protocol (RandomResize, RandomCrop with cat_max_ratio).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from segfit.config import AugmentConfig
from segfit.data import Image
from segfit.labels import IGNORE, Mask

__all__ = ["Crop", "Size", "Turned", "draw_view", "resample"]

Bytes = NDArray[np.uint8]
Matrix = NDArray[np.float64]
Size = tuple[int, int]
Box = tuple[slice, slice]

LONGEST = 4
"""At scale 1 the long side is at most so many times the crop's short side: (2048, 512) in the protocol."""

TRIES = 10
"""Crops that are looked at for one in which no class exceeds `cat_max_ratio`; the next is taken as it comes."""

SAMPLED = 64
"""Rows and columns of a crop that are looked at to estimate the share of its classes."""


@dataclass(frozen=True, kw_only=True)
class Crop:
    """A rectangle of the source that is resized and put into the output.

    Attributes:
        size: of the output.
        source: rows and columns that are read.
        window: rows and columns of the output that they fill.
    """

    size: Size
    source: Box
    window: Box

    def read_image(self, image: Image) -> Image:
        """Return what fills the window."""
        return resample(image[self.source], _shape(self.window))

    def read_mask(self, mask: Mask) -> Mask:
        """Return what fills the window."""
        rows, columns = _shape(self.window)
        read: Mask = cv2.resize(mask[self.source], (columns, rows), interpolation=cv2.INTER_NEAREST_EXACT)
        return read

    def pad(self, inside: Bytes, value: int) -> Bytes:
        """Put what fills the window into an output that is `value` elsewhere."""
        if inside.shape[:2] == self.size:
            return inside
        whole = np.full(self.size + inside.shape[2:], value, dtype=np.uint8)
        whole[self.window] = inside
        return whole


@dataclass(frozen=True, kw_only=True)
class Turned:
    """A crop whose output is turned about its centre; the corners show what lies beside the crop.

    Attributes:
        size: of the output.
        matrix: 2x3, from the centre of an output pixel (x, y, 1) to its place in the source.
        outside: `(H, W)` uint8, not 0 at the pixels of the output whose place is outside the source; None where no
            pixel's is.
    """

    size: Size
    matrix: Matrix
    outside: Mask | None

    def read_image(self, image: Image) -> Image:
        """Return the whole output; outside the source its outermost pixels go on."""
        image, matrix = _shrunk(image, self.matrix)
        # OpenCV warps four channels more than twice as fast as three.
        rgba = self._warp(cv2.cvtColor(image, cv2.COLOR_RGB2RGBA), matrix, cv2.INTER_LINEAR)
        rgb: Image = cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB)
        return rgb

    def read_mask(self, mask: Mask) -> Mask:
        """Return the whole output; outside the source its outermost pixels go on."""
        return self._warp(mask, self.matrix, cv2.INTER_NEAREST)

    def pad(self, inside: Bytes, value: int) -> Bytes:
        """Set what is outside the source to `value`."""
        if self.outside is not None:
            cv2.copyTo(np.full_like(inside, value), self.outside, inside)
        return inside

    def _warp(self, picture: Bytes, matrix: Matrix, interpolation: int) -> Bytes:
        # In OpenCV's coordinates the first pixel's centre is 0: shift by half a pixel on both sides.
        shifted = np.column_stack([matrix[:, :2], matrix @ (0.5, 0.5, 1.0) - 0.5])
        flags = interpolation | cv2.WARP_INVERSE_MAP
        size = (self.size[1], self.size[0])
        warped: Bytes = cv2.warpAffine(picture, shifted, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return warped


def draw_view(mask: Mask, config: AugmentConfig, rng: np.random.Generator) -> Crop | Turned:
    """Choose what a sample shows of its source.

    Args:
        mask: `(h, w)` train ids of the source.
        config: a resolved section.
        rng: source of randomness; the same count of numbers is drawn whatever `config` says.
    """
    assert config.cat_max_ratio is not None, "the section is resolved"
    assert config.rotate is not None
    scale, angle = rng.random(2)
    places = rng.random((TRIES + 1, 2))
    if config.scale is None:
        crop = Crop(size=config.size, source=_whole(mask.shape), window=_whole(config.size))
    else:
        low, high = config.scale
        factor = _factor(mask.shape, config.size, low + (high - low) * scale)
        crops = (_crop(mask.shape, config.size, factor, at) for at in places.tolist())
        crop = next(crops) if config.cat_max_ratio == 1 else _balanced(crops, mask, config.cat_max_ratio)
    if config.rotate:
        return _turned(crop, np.deg2rad(config.rotate * (2 * angle - 1)), mask.shape)
    return crop


def resample(image: Image, size: Size) -> Image:
    """Resize an image to (height, width), averaging whole blocks of pixels along a side that shrinks to half or less.

    What is averaged is the image at the next whole multiple of `size`, which OpenCV does several times faster than
    averages over fractions of pixels.
    """
    blocks = [max(1, length // wanted) for length, wanted in zip(image.shape[:2], size, strict=True)]
    rows, columns = (wanted * block for wanted, block in zip(size, blocks, strict=True))
    resized: Image = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_LINEAR)
    return resized if blocks == [1, 1] else cv2.resize(resized, (size[1], size[0]), interpolation=cv2.INTER_AREA)


# --- crop ------------------------------------------------------------------------------------------------------------


def _factor(source: tuple[int, ...], size: Size, scale: float) -> float:
    """Return by how much a source (h, w) is enlarged at a drawn scale; its short side keeps at least one pixel."""
    short, long = sorted(source)
    return max(scale * min(size) * min(1 / short, LONGEST / long), 1 / short)


def _crop(source: tuple[int, ...], size: Size, factor: float, at: tuple[float, float]) -> Crop:
    """Return the crop of an enlarged source (h, w) at a place in [0, 1)²."""
    (rows, top), (columns, left) = (
        _span(length, out, factor, place) for length, out, place in zip(source, size, at, strict=True)
    )
    return Crop(size=size, source=(rows, columns), window=(top, left))


def _span(length: int, size: int, factor: float, place: float) -> tuple[slice, slice]:
    """Return what is read of a side of the source, and what it fills of the output's."""
    taken = max(1, round(size / factor))
    if taken <= length:
        first = int(place * (length - taken + 1))
        return slice(first, first + taken), slice(0, size)
    filled = min(size, max(1, round(length * factor)))
    first = int(place * (size - filled + 1))
    return slice(0, length), slice(first, first + filled)


def _balanced(crops: Iterable[Crop], mask: Mask, limit: float) -> Crop:
    """Return the first crop in which no class has more than `limit` of the pixels that are not ignored, or the last."""
    for tried, crop in enumerate(crops):
        if tried == TRIES or _largest_share(mask[crop.source]) <= limit:
            break
    return crop


def _largest_share(mask: Mask) -> float:
    """Return the share of the most common class, estimated on a grid; 1 where all is ignored."""
    grid = cv2.resize(mask, (SAMPLED, SAMPLED), interpolation=cv2.INTER_NEAREST)
    counts = cv2.calcHist([grid], [0], None, [IGNORE], [0, IGNORE])
    total = counts.sum()
    return float(counts.max() / total) if total else 1.0


def _whole(shape: tuple[int, ...]) -> Box:
    return slice(0, shape[0]), slice(0, shape[1])


def _shape(box: Box) -> Size:
    return box[0].stop - box[0].start, box[1].stop - box[1].start


# --- rotation --------------------------------------------------------------------------------------------------------


def _turned(crop: Crop, angle: float, source: tuple[int, ...]) -> Turned:
    """Turn the output of a crop of a source (h, w) by an angle in radians."""
    rows, columns = crop.size
    sine, cosine = np.sin(angle), np.cos(angle)
    turn = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    turn[:2, 2] = (columns / 2, rows / 2) - turn[:2, :2] @ (columns / 2, rows / 2)
    steps = [taken / filled for taken, filled in zip(_shape(crop.source), _shape(crop.window), strict=True)]
    starts = [
        box.start - window.start * step for box, window, step in zip(crop.source, crop.window, steps, strict=True)
    ]
    matrix = np.array([[steps[1], 0.0, starts[1]], [0.0, steps[0], starts[0]]]) @ turn
    return Turned(size=crop.size, matrix=matrix, outside=_outside(matrix, crop.size, source))


def _outside(matrix: Matrix, size: Size, source: tuple[int, ...]) -> Mask | None:
    """Return where an output's pixels have their place outside a source (h, w); None where none has."""
    rows, columns = size
    corners = matrix @ [[0, columns, 0, columns], [0, 0, rows, rows], [1, 1, 1, 1]]
    if corners.min() >= 0 and (corners.max(1) <= source[::-1]).all():
        return None
    x, y = (np.arange(length, dtype=np.float32) + np.float32(0.5) for length in (columns, rows))
    inside = np.ones(size, np.bool_)
    for (across, down, start), length in zip(matrix.astype(np.float32), source[::-1], strict=True):
        place = (down * y + start)[:, None] + across * x
        inside &= (place >= 0) & (place < length)
    return (~inside).view(np.uint8)


def _shrunk(image: Image, matrix: Matrix) -> tuple[Image, Matrix]:
    """Average whole blocks of pixels where the output skips some, so that bilinear reading does not alias.

    The blocks are as large as the step between output pixels, rounded down, and the matrix is divided by the same whole
    numbers, so nothing moves.
    """
    across, down = (max(1, int(np.hypot(*row[:2]))) for row in matrix)
    if down == across == 1:
        return image, matrix
    rows, columns = -(-image.shape[0] // down), -(-image.shape[1] // across)
    missing = rows * down - image.shape[0], columns * across - image.shape[1]
    if any(missing):
        image = cv2.copyMakeBorder(image, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
    image = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)
    return image, matrix / np.array([[across], [down]])
