"""Boundary IoU and boundary F of all classes, from one pass over the label maps.

Both ask how well the outlines of classes are met, up to a distance d in pixels: a share of the image's diagonal.

* **Boundary IoU** (Cheng et al., Boundary IoU, CVPR 2021): IoU of the boundary regions. The boundary region of a class
  are its pixels within d of another class or of the border of the image: its mask without the mask eroded d times by a
  3x3 square, where everything outside the image is no part of the mask.
* **Boundary F** (Csurka et al., What is a good evaluation measure for semantic segmentation?, BMVC 2013; Perazzi et
  al., DAVIS, CVPR 2016): F-measure of the contours. The contour of a class are its pixels with a neighbour (left,
  right, above, below) of another label; the border of the image is no contour. Precision is the share of predicted
  contour pixels of a class within d (Euclidean) of a true contour pixel of the same class; recall the other way round.

Pixels whose ground truth is `labels.IGNORE` count nowhere, and what is predicted there is ignored before outlines are
taken: both maps have the same edge there.

Counts are exact integers, added up over images before they are divided.

Shape suffixes: H rows, W columns, K classes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segfit.evaluation.metrics import ratio
from segfit.labels import IGNORE

__all__ = ["COUNTS", "BoundaryCounts", "boundary_counts", "pixel_distance"]

COUNTS = (
    "region_hits",
    "region_target",
    "region_prediction",
    "contour_target_hits",
    "contour_target",
    "contour_prediction_hits",
    "contour_prediction",
)
"""The names of the counts of `BoundaryCounts`."""

Counts = NDArray[np.int64]
Values = NDArray[np.float64]
Map = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, eq=False)
class BoundaryCounts:
    """Pixels per class, all that boundary IoU and boundary F need; sums of it are sums over images.

    Attributes:
        distance: as a share of the image's diagonal.
        region_hits: `(..., K)` int64 pixels in the boundary region of the class in both maps.
        region_target: `(..., K)` int64 pixels in its true boundary region.
        region_prediction: `(..., K)` int64 pixels in its predicted boundary region.
        contour_target_hits: `(..., K)` int64 pixels of its true contour within the distance of the predicted one.
        contour_target: `(..., K)` int64 pixels of its true contour.
        contour_prediction_hits: `(..., K)` int64 pixels of its predicted contour within the distance of the true one.
        contour_prediction: `(..., K)` int64 pixels of its predicted contour.
    """

    distance: float
    region_hits: Counts
    region_target: Counts
    region_prediction: Counts
    contour_target_hits: Counts
    contour_target: Counts
    contour_prediction_hits: Counts
    contour_prediction: Counts

    @classmethod
    def none(cls, classes: int, distance: float) -> "BoundaryCounts":
        """Return the `(K,)` counts of no image, to begin sums with."""
        return cls(distance=distance, **{name: np.zeros(classes, dtype=np.int64) for name in COUNTS})

    def __add__(self, other: "BoundaryCounts") -> "BoundaryCounts":
        assert self.distance == other.distance, "counts at different distances do not add up"
        return BoundaryCounts(
            distance=self.distance, **{name: getattr(self, name) + getattr(other, name) for name in COUNTS}
        )

    def total(self) -> "BoundaryCounts":
        """Return the `(K,)` counts over everything."""
        parts: dict[str, Counts] = {name: getattr(self, name) for name in COUNTS}
        sums = {name: counts.reshape(-1, counts.shape[-1]).sum(axis=0) for name, counts in parts.items()}
        return BoundaryCounts(distance=self.distance, **sums)

    @property
    def iou(self) -> Values:
        """`(..., K)` boundary IoU in [0, 1]; NaN for a class that neither map has."""
        return ratio(self.region_hits, self.region_target + self.region_prediction - self.region_hits, empty=np.nan)

    @property
    def f(self) -> Values:
        """`(..., K)` boundary F in [0, 1]; NaN for a class that has a contour in neither map."""
        # Where only one of the maps has a contour, nothing is met.
        precision = ratio(self.contour_prediction_hits, self.contour_prediction)
        recall = ratio(self.contour_target_hits, self.contour_target)
        met = ratio(2 * precision * recall, precision + recall)
        return np.where(self.contour_target + self.contour_prediction > 0, met, np.nan)

    @property
    def macro_iou(self) -> Values:
        """`(...)` mean boundary IoU of the classes that have one; NaN where none has."""
        return _mean(self.iou)

    @property
    def macro_f(self) -> Values:
        """`(...)` mean boundary F of the classes that have one; NaN where none has."""
        return _mean(self.f)


def boundary_counts(target: Map, prediction: Map, classes: int, distance: float) -> BoundaryCounts:
    """Count boundary and contour pixels of all classes in one image.

    Args:
        target: `(H, W)` uint8 train ids; pixels that hold `labels.IGNORE` are left out.
        prediction: `(H, W)` uint8 train ids 0..K-1.
        classes: K, at most 255.
        distance: share of the image's diagonal; at least one pixel is taken.

    Returns:
        `(K,)` counts.
    """
    assert target.shape == prediction.shape, "one prediction per pixel"
    reach = pixel_distance(target.shape[0], target.shape[1], distance)
    # IGNORE has all bits: any label becomes it.
    maps = target, prediction | -(target == IGNORE).view(np.uint8)
    edges = [_Edges.of(labels) for labels in maps]
    regions = _regions(maps, edges, reach)
    both = regions[0] | -(regions[0] != regions[1]).view(np.uint8)
    contours = [_Contours.of(labels, part) for labels, part in zip(maps, edges, strict=True)]
    return BoundaryCounts(
        distance=distance,
        region_hits=_histogram(both, classes),
        region_target=_histogram(regions[0], classes),
        region_prediction=_histogram(regions[1], classes),
        contour_target_hits=_near(contours[0], contours[1], reach, classes),
        contour_target=contours[0].counts(classes),
        contour_prediction_hits=_near(contours[1], contours[0], reach, classes),
        contour_prediction=contours[1].counts(classes),
    )


def pixel_distance(height: int, width: int, distance: float) -> int:
    """Return a share of the diagonal in whole pixels, at least one."""
    return max(1, round(distance * math.hypot(height, width)))


@dataclass(frozen=True, eq=False)
class _Edges:
    """Where neighbouring pixels of a label map differ.

    Attributes:
        left: `(H, W - 1)` whether a pixel differs from the one to its left.
        above: `(H - 1, W)` whether a pixel differs from the one above it.
    """

    left: NDArray[np.bool_]
    above: NDArray[np.bool_]

    @classmethod
    def of(cls, labels: Map) -> "_Edges":
        return cls(labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1])

    def blocks(self) -> NDArray[np.bool_]:
        """Return `(H - 1, W - 1)`: whether the 2x2 pixels that begin here hold two labels."""
        found: NDArray[np.bool_] = self.left[1:] | self.left[:-1]
        found |= self.above[:, 1:]
        found |= self.above[:, :-1]
        return found

    def pixels(self) -> NDArray[np.bool_]:
        """Return `(H, W)`: whether one of a pixel's four neighbours has another label."""
        found = np.zeros((self.left.shape[0], self.above.shape[1]), dtype=np.bool_)
        found[:, 1:] = self.left
        found[:, :-1] |= self.left
        found[1:] |= self.above
        found[:-1] |= self.above
        return found


@dataclass(frozen=True, eq=False)
class _Contours:
    """The contour pixels of all classes of an image.

    Attributes:
        shape: (H, W).
        positions: `(n,)` their flat positions, in order.
        labels: `(n,)` uint8 their classes.
    """

    shape: tuple[int, int]
    positions: NDArray[np.int64]
    labels: NDArray[np.uint8]

    @classmethod
    def of(cls, labels: Map, edges: _Edges) -> "_Contours":
        positions = np.flatnonzero(edges.pixels())
        own = labels.ravel()[positions]
        valid = own != IGNORE
        return cls((labels.shape[0], labels.shape[1]), positions[valid], own[valid])

    def counts(self, classes: int) -> Counts:
        """Return how many each class has."""
        return np.bincount(self.labels, minlength=classes)


def _regions(maps: tuple[Map, Map], edges: Sequence[_Edges], reach: int) -> tuple[Map, Map]:
    """Return two label maps with `IGNORE` outside the boundary regions of their classes.

    A pixel is in the region of its class where the square of 2 reach + 1 rows and columns around it holds two labels or
    leaves the image. It holds two labels where one of its blocks of 2x2 pixels does.
    """
    height, width = maps[0].shape
    # A square as tall or wide as the image leaves it from wherever it is.
    reach = min(reach, height, width)
    # One bit for each map; blocks that leave the image are marked, too.
    field = np.full((height + 2 * reach - 1, width + 2 * reach - 1), 3, dtype=np.uint8)
    blocks = [part.blocks().view(np.uint8) for part in edges]
    np.bitwise_or(blocks[0], blocks[1] << 1, out=field[reach : reach + height - 1, reach : reach + width - 1])
    flat, spare = field.reshape(-1), field.flatten()
    flat, spare = _longer(flat, spare, 1, 2 * reach)
    flat, spare = _longer(flat, spare, 1, 2 * reach, stride=field.shape[1])
    found = flat.reshape(field.shape)[:height, :width]
    # Without the bit, 0 - 1 has all bits.
    one = np.uint8(1)
    return maps[0] | ((found & one) - one), maps[1] | ((found >> one) - one)


def _near(own: _Contours, other: _Contours, reach: int, classes: int) -> Counts:
    """Count, per class, the contour pixels of `own` that have one of `other`, of the same class, within `reach`."""
    hits = np.zeros(classes, dtype=np.int64)
    shared = np.flatnonzero((own.counts(classes) > 0) & (other.counts(classes) > 0))
    # A byte for every pixel has room for eight classes at a time.
    for first in range(0, len(shared), 8):
        some = shared[first : first + 8]
        bits = np.zeros(256, dtype=np.uint8)
        bits[some] = 1 << np.arange(len(some))
        own_bits = bits[own.labels]
        asking = np.flatnonzero(own_bits)
        seen = _seen(own.positions[asking], other, bits[other.labels], reach)
        hits += np.bincount(own.labels[asking[(seen & own_bits[asking]) > 0]], minlength=classes)
    return hits


def _seen(asking: NDArray[np.int64], contours: _Contours, bits: NDArray[np.uint8], reach: int) -> NDArray[np.uint8]:
    """Return which `bits` of contour pixels lie within a disk around each of some flat positions.

    A disk is a run of pixels in each of its rows, the longer the nearer the row is to the middle.
    """
    height, width = contours.shape
    tall, wide = min(reach, height - 1), min(reach, width - 1)
    # Between two rows, and above and below the image, there is nothing for as far as a disk reaches.
    stride = width + wide
    origin = tall * stride + wide
    field = np.zeros(origin + (height + tall) * stride, dtype=np.uint8)
    field[contours.positions + contours.positions // width * wide + origin] = bits
    spare = np.zeros_like(field)
    centers = asking + asking // width * wide
    seen = np.zeros(len(centers), dtype=np.uint8)
    length = 1
    for row in range(tall, -1, -1):
        radius = min(math.isqrt(reach * reach - row * row), wide)
        field, spare = _longer(field, spare, length, 2 * radius + 1)
        length = 2 * radius + 1
        seen |= field[origin - row * stride - radius :].take(centers)
        seen |= field[origin + row * stride - radius :].take(centers)
    return seen


def _longer(field: Map, spare: Map, length: int, wanted: int, *, stride: int = 1) -> tuple[Map, Map]:
    """Make longer runs of shorter ones.

    Args:
        field: `(n,)`; each element has the bits of the `length` elements from itself on, `stride` apart.
        spare: `(n,)` is overwritten.
        length: of the runs.
        wanted: length of the runs to make; a run that would reach beyond the end is undefined.
        stride: from one element of a run to the next.

    Returns:
        The field of longer runs, and a spare one.
    """
    while length < wanted:
        step = min(length, wanted - length)
        shift = step * stride
        np.bitwise_or(field[:-shift], field[shift:], out=spare[:-shift])
        field, spare = spare, field
        length += step
    return field, spare


def _histogram(labels: Map, classes: int) -> Counts:
    """Count the pixels of each class in a map."""
    flat = labels.ravel()
    # Labels come in runs: far fewer of them than pixels.
    ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]) + 1, len(flat))
    counts = np.bincount(flat[ends - 1], weights=np.diff(ends, prepend=0), minlength=256).astype(np.int64)
    assert not counts[classes:IGNORE].any(), "train ids are 0..K-1"
    return counts[:classes]


def _mean(values: Values) -> Values:
    """Return the mean over the last axis of what is not NaN; NaN where nothing is left."""
    there = ~np.isnan(values)
    return ratio(np.where(there, values, 0.0).sum(axis=-1), there.sum(axis=-1), empty=np.nan)
