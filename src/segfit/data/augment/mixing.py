"""What overwrites parts of a sample: classes or regions of another sample, and rectangles of nothing.

Olsson et al. 2021 (ClassMix) paste half of the classes of another sample; Ghiasi et al. 2021 (copy-paste) paste
instances, of which a semantic mask knows the connected regions. All functions write into the sample they are given.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from segfit.data import Image
from segfit.labels import IGNORE, Mask

__all__ = ["class_mix", "copy_paste", "cut_out"]

Pair = tuple[Image, Mask]

REGIONS = 3
"""Most regions that copy-paste takes."""

CUT = (0.1, 0.5)
"""Range of a cut-out's sides, as shares of the sample's."""


def class_mix(pair: Pair, other: Pair, rng: np.random.Generator) -> None:
    """Paste half of the classes of `other`, at the same place; of a single class nothing."""
    classes = _classes(other[1])
    chosen = np.zeros(256, np.uint8)
    chosen[rng.permutation(classes)[: len(classes) // 2]] = 255
    _paste(pair, other, cv2.LUT(other[1], chosen))


def copy_paste(pair: Pair, other: Pair, rng: np.random.Generator) -> None:
    """Paste connected regions of up to `REGIONS` classes of `other`, at the same place.

    Of each chosen class it is the region that a random pixel of the class lies in.
    """
    mask = other[1]
    # OpenCV fills a picture that has a border of one pixel.
    found = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), np.uint8)
    for label in rng.permutation(_classes(mask))[: rng.integers(1, REGIONS, endpoint=True)]:
        pixels = np.flatnonzero(mask == label)
        row, column = divmod(int(rng.choice(pixels)), mask.shape[1])
        cv2.floodFill(mask, found, (column, row), 0, flags=4 | cv2.FLOODFILL_MASK_ONLY | 255 << 8)
    _paste(pair, other, found[1:-1, 1:-1])


def cut_out(pair: Pair, draws: Sequence[float]) -> None:
    """Set a rectangle of the image to 0 and of the mask to `IGNORE`, as where a sample is padded.

    Args:
        pair: what is written into.
        draws: height, width, row and column of the rectangle, each in [0, 1).
    """
    box = []
    for length, extent, place in zip(pair[1].shape, draws[:2], draws[2:], strict=True):
        side = max(1, round(length * (CUT[0] + (CUT[1] - CUT[0]) * extent)))
        first = int(place * (length - side + 1))
        box.append(slice(first, first + side))
    pair[0][tuple(box)] = 0
    pair[1][tuple(box)] = IGNORE


def _classes(mask: Mask) -> np.ndarray:
    """Return the labels that occur."""
    return np.flatnonzero(cv2.calcHist([mask], [0], None, [IGNORE], [0, IGNORE]))


def _paste(pair: Pair, other: Pair, where: np.ndarray) -> None:
    """Overwrite the pixels at which `where` is not 0."""
    for mine, its in zip(pair, other, strict=True):
        cv2.copyTo(its, where, mine)
