"""Outlines and run lengths to pixels, as COCO defines them.

A pixel belongs to a polygon when its centre does, where pixel (row, column) covers [column, column + 1) x
[row, row + 1), and corners are first rounded to fifths of a pixel. `fill` follows the rule of COCO's reference library
to the last pixel, so masks are the same as those that its tools produce.
Source: the mask API of github.com/cocodataset/cocoapi (rule and run-length code; the code here is segfit's own).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segfit.curation.convert.contract import ClassMask, Size

__all__ = ["Polygon", "Region", "circle", "fill", "run_lengths", "unpack"]

Polygon = NDArray[np.float64]
"""`(N, 2)` x and y of the corners, in pixels; the last is joined to the first."""

FINE = 5
"""Corners are rounded to this fraction of a pixel."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Region:
    """Some pixels of an image.

    Attributes:
        top: row of the first row of `pixels`.
        left: column of the first column of `pixels`.
        pixels: `(h, w)` whether each pixel belongs.
    """

    top: int
    left: int
    pixels: NDArray[np.bool_]

    def area(self) -> int:
        """Return the number of pixels that belong."""
        return int(np.count_nonzero(self.pixels))

    def paint(self, mask: ClassMask, position: int) -> None:
        """Set the pixels that belong to `position`."""
        height, width = self.pixels.shape
        mask[self.top : self.top + height, self.left : self.left + width][self.pixels] = position


NOWHERE = Region(top=0, left=0, pixels=np.zeros((0, 0), np.bool_))


def fill(rings: Sequence[Polygon], size: Size) -> Region:
    """Return the union of polygons; each is filled by the even-odd rule.

    Args:
        rings: polygons; what lies outside the image is cut off.
        size: of the image.
    """
    edges = [_crossings(_near(ring, size), size) for ring in rings]
    edges = [(rows, columns) for rows, columns in edges if len(rows)]
    if not edges:
        return NOWHERE
    top, bottom = min(int(rows.min()) for rows, _ in edges), max(int(rows.max()) for rows, _ in edges)
    left, right = min(int(columns.min()) for _, columns in edges), max(int(columns.max()) for _, columns in edges) + 1
    pixels = np.zeros((bottom - top, right - left), np.bool_)
    for rows, columns in edges:
        # Going down a column, every crossing of the outline leads in or out.
        flat = (rows - top) * (right - left) + (columns - left)
        toggles = np.bincount(flat, minlength=(bottom - top + 1) * (right - left)) % 2 == 1
        pixels |= np.logical_xor.accumulate(toggles.reshape(-1, right - left)[:-1], axis=0)
    return Region(top=top, left=left, pixels=pixels)


def circle(center: tuple[float, float], radius: float, size: Size) -> Region:
    """Return the pixels whose centres are within `radius` of `center` (x, y)."""
    x, y = center
    top, bottom = (int(np.clip(value, 0, size[0])) for value in (np.floor(y - radius), np.ceil(y + radius)))
    left, right = (int(np.clip(value, 0, size[1])) for value in (np.floor(x - radius), np.ceil(x + radius)))
    rows, columns = np.arange(top, bottom)[:, None] + 0.5, np.arange(left, right) + 0.5
    return Region(top=top, left=left, pixels=(columns - x) ** 2 + (rows - y) ** 2 <= radius**2)


def run_lengths(counts: Sequence[int], size: Size) -> Region:
    """Return the pixels that COCO's run lengths mean: 0s and 1s in turn, column by column, beginning with 0s.

    Raises:
        ValueError: a negative count, or not as many pixels as the image has.
    """
    if min(counts, default=0) < 0:
        raise ValueError("a run length is negative")
    if sum(counts) != size[0] * size[1]:
        raise ValueError(f"the run lengths add up to {sum(counts)}, but the image has {size[0] * size[1]} pixels")
    values = np.arange(len(counts)) % 2 == 1
    return Region(top=0, left=0, pixels=np.repeat(values, counts).reshape(size[::-1]).T)


def unpack(text: str) -> list[int]:
    """Return the run lengths in COCO's compressed string.

    A number is written as groups of 5 bits, the lowest first, in characters from '0' on, with 32 added where another
    group follows; the highest bit of the last group is the sign. From the fourth number on, only the difference from
    the number two before is written.

    Raises:
        ValueError: a foreign character, or the string ends within a number.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64:
            raise ValueError(f"character {character!r} does not belong in run lengths")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("the run lengths end within a number")
    return counts


# --- polygons --------------------------------------------------------------------------------------------------------


def _crossings(ring: Polygon, size: Size) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the outline crosses the centre lines of columns: the first row below each crossing, and the column.

    Every edge is followed on the fine grid, one step at a time along its longer direction. A step from fine column
    5 c + 2 to 5 c + 3 crosses the centre of column c.
    """
    corners = np.trunc(FINE * ring + 0.5).astype(np.int64)
    start, end = corners, np.roll(corners, -1, axis=0)
    reach = np.abs(end - start)
    flat = reach[:, 0] >= reach[:, 1]
    backward = np.where(flat, start[:, 0] > end[:, 0], start[:, 1] > end[:, 1])[:, None]
    start, end = np.where(backward, end, start), np.where(backward, start, end)
    steps = reach.max(axis=1)
    rise = np.where(flat, (end - start)[:, 1], (end - start)[:, 0]) / np.maximum(steps, 1)

    edge = np.repeat(np.arange(len(steps)), steps + 1)
    step = np.arange(len(edge)) - np.repeat(np.cumsum(steps + 1) - steps - 1, steps + 1)
    across = np.trunc(np.where(flat, start[:, 1], start[:, 0])[edge] + rise[edge] * step + 0.5).astype(np.int64)
    along = np.where(flat, start[:, 0], start[:, 1])[edge] + step
    x, y = np.where(flat[edge], along, across), np.where(flat[edge], across, along)

    left, upper = np.minimum(x[1:], x[:-1]), np.minimum(y[1:], y[:-1])
    column, rest = np.divmod(left - FINE // 2, FINE)
    crossing = (x[1:] != x[:-1]) & (edge[1:] == edge[:-1]) & (rest == 0) & (column >= 0) & (column < size[1])
    row = -((FINE // 2 - upper[crossing]) // FINE)
    return np.clip(row, 0, size[0]), column[crossing]


def _near(ring: Polygon, size: Size) -> Polygon:
    """Return a polygon with the same pixels, cut off where it reaches further beyond the image than its size.

    The work of `_crossings` grows with the length of the outline, so a corner a million pixels away must not count.
    """
    limits = np.array([size[1], size[0]], np.float64)
    for axis in (0, 1):
        for side, limit in ((1.0, 2 * limits[axis]), (-1.0, limits[axis])):
            if len(ring) and (side * ring[:, axis]).max() > limit:
                ring = _cut(ring, axis, side, limit)
    return ring


def _cut(ring: Polygon, axis: int, side: float, limit: float) -> Polygon:
    """Return the part of a polygon with ``side * coordinate <= limit`` (Sutherland and Hodgman's rule)."""
    kept: list[Polygon] = []
    beyond = side * ring[:, axis] - limit
    for i in range(len(ring)):
        here, before = beyond[i], beyond[i - 1]
        if (here > 0) != (before > 0):
            kept.append(ring[i - 1] + (ring[i] - ring[i - 1]) * (before / (before - here)))
        if here <= 0:
            kept.append(ring[i])
    return np.array(kept).reshape(-1, 2)
