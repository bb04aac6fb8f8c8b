"""Images that occur twice: the same bytes, the same pixels, or nearly the same picture.

Near duplicates are found by comparing every image with every other: the correlation of their 16 x 16 grey thumbnails
after taking away the coarse brightness (what is left of a plain sky is noise, so that plain skies are not alike, and
darker copies still are). That is one matrix product, at 20,000 images a matter of seconds, and unlike an index of
hashes it misses nothing.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from segfit.data.check.codes import Fault, shown
from segfit.data.decode import read_image
from segfit.errors import DataError

__all__ = ["NEAR", "Picture", "Vectors", "details", "find_duplicates", "mirrored"]

NEAR = 0.9
"""Correlation from which two pictures are nearly the same.

Of 752 photographs of ADE20K, no two have more than 0.71. Copies at half the size or JPEG quality 30 keep 0.99, cropped
by 2 % they keep 0.92; frames of CamVid in which the car hardly moves have 0.9 and more.
"""
SAME = 0.995  # correlation from which it pays to compare all pixels

PLAIN = 1.5
"""Root mean square of the details, in grey values, below which a picture is too plain to be compared by them."""

TILE = 2048  # images that are compared with as many others at once

Vectors = NDArray[np.float32]
"""`(N, 256)` or `(256,)`: what `details` returns."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image to be compared.

    Attributes:
        path: the file.
        split: where it belongs.
        mask: its mask, if it has one.
        size: (width, height).
        digest: of the file's bytes.
        thumbnail: grey `(16, 16)` uint8.
    """

    path: Path
    split: str
    mask: Path | None
    size: tuple[int, int]
    digest: bytes
    thumbnail: NDArray[np.uint8]


def find_duplicates(
    pictures: Sequence[Picture], same_mask: Callable[[Picture, Picture], bool], progress: Callable[[int, int], None]
) -> Iterator[Fault]:
    """Yield a fault for every image that repeats an earlier one.

    Args:
        pictures: in the order in which the first of several counts as the original: training first.
        same_mask: whether two pictures of the same image have the same labels.
        progress: called with (done, total).
    """
    original: dict[bytes, Picture] = {}
    unique: list[Picture] = []
    for picture in pictures:
        before = original.setdefault(picture.digest, picture)
        if before is picture:
            unique.append(picture)
        else:
            yield _exact(before, picture, "same bytes", same_mask)
    for match in _matches(unique, progress):
        before, picture = unique[match.before], unique[match.index]
        if match.likeness >= SAME and not match.mirrored and _same_pixels(before, picture):
            yield _exact(before, picture, "same pixels", same_mask)
        elif not match.plain:
            yield _near(before, picture, match)


def _exact(before: Picture, picture: Picture, how: str, same_mask: Callable[[Picture, Picture], bool]) -> Fault:
    detail = f"{how} as {_name(before)}"
    if before.split != picture.split:
        return Fault("duplicate-leak", picture.path, picture.split, detail)
    if not same_mask(before, picture):
        return Fault("duplicate-conflict", picture.path, picture.split, f"{detail}; their masks differ")
    return Fault("duplicate", picture.path, picture.split, detail)


def _near(before: Picture, picture: Picture, match: "_Match") -> Fault:
    code = "near-duplicate" if before.split == picture.split else "near-duplicate-leak"
    mirrored = " mirrored" if match.mirrored else ""
    return Fault(code, picture.path, picture.split, f"{match.likeness:.0%} like{mirrored} {_name(before)}")


def _name(picture: Picture) -> str:
    return f"{shown(picture.path.name)} ({picture.split})"


def _same_pixels(before: Picture, picture: Picture) -> bool:
    if before.size != picture.size:
        return False
    try:
        return np.array_equal(read_image(before.path), read_image(picture.path))
    except DataError:
        return False


# --- comparing -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Match:
    """The earlier picture that a picture is most like.

    Attributes:
        index: of the picture.
        before: of the earlier one; one in another split, if there is one that is near.
        likeness: their correlation.
        mirrored: the earlier one is mirrored.
        plain: both are plain, so that likeness means little.
    """

    index: int
    before: int
    likeness: float
    mirrored: bool = False
    plain: bool = False


def _matches(pictures: Sequence[Picture], progress: Callable[[int, int], None]) -> Iterator[_Match]:
    if not pictures:
        return
    vectors = np.stack([details(picture.thumbnail) for picture in pictures])
    plain = ~vectors.any(1)
    seen: dict[tuple[tuple[int, int], bytes], int] = {}
    for index in np.flatnonzero(plain).tolist():
        before = seen.setdefault((pictures[index].size, pictures[index].thumbnail.tobytes()), index)
        if before != index:
            yield _Match(index=index, before=before, likeness=1.0, plain=True)
    names = sorted({picture.split for picture in pictures})
    splits = np.array([names.index(picture.split) for picture in pictures])
    yield from _near_pairs(vectors, splits, progress)


def details(thumbnail: NDArray[np.uint8]) -> Vectors:
    """Return what a thumbnail has besides coarse brightness, `(256,)` of length 1; zeros where that is too little.

    The product of two is the correlation of the pictures; zeros are like nothing.
    """
    grey = thumbnail.astype(np.float32)
    rest: Vectors = (grey - cv2.blur(grey, (5, 5), borderType=cv2.BORDER_REFLECT)).ravel()
    length = float(np.linalg.norm(rest))
    return rest / length if length >= PLAIN * len(grey) else np.zeros_like(rest)


def mirrored(vectors: Vectors) -> Vectors:
    """Return the details `(N, 256)` of the same pictures, left and right exchanged."""
    side = math.isqrt(vectors.shape[1])
    return np.ascontiguousarray(vectors.reshape(-1, side, side)[:, :, ::-1]).reshape(vectors.shape)


def _near_pairs(vectors: Vectors, splits: NDArray[np.int64], progress: Callable[[int, int], None]) -> Iterator[_Match]:
    """Yield for every picture that has one the nearest earlier picture; one in another split goes first.

    Args:
        vectors: `(N, 256)` details.
        splits: `(N,)` number of each picture's split.
        progress: called with (done, total).
    """
    ways = ((False, vectors), (True, mirrored(vectors)))
    starts = range(0, len(vectors), TILE)
    for done, start in enumerate(starts):
        later = slice(start, start + TILE)
        best = np.zeros(len(vectors[later]), np.float32)
        partner, flipped = np.zeros(len(best), np.int64), np.zeros(len(best), np.bool_)
        for begin in starts[: done + 1]:
            for flip, former in ways:
                earlier = slice(begin, begin + TILE)
                score = former[earlier] @ vectors[later].T
                if begin == start:
                    score = np.triu(score, 1)
                if score.max(initial=0) < NEAR:
                    continue
                # Another split adds 1, so that it wins over every likeness.
                score[score >= NEAR] += (splits[earlier, None] != splits[None, later])[score >= NEAR]
                rows = score.argmax(0)
                found = score[rows, np.arange(len(rows))]
                better = (found >= NEAR) & (found > best)
                best[better], partner[better], flipped[better] = found[better], begin + rows[better], flip
        for column in np.flatnonzero(best).tolist():
            before = int(partner[column])
            likeness = float(best[column]) - float(splits[before] != splits[start + column])
            yield _Match(index=start + column, before=before, likeness=likeness, mirrored=bool(flipped[column]))
        progress(done + 1, len(starts))
