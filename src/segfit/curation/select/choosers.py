"""Choosers that need nothing but the masks, or the scores of an earlier run.

* at random: by a hash of (seed, id), so that a smaller choice is part of a larger one, and new images do not reshuffle;
* stratified: at random, but every class is shown by the chosen images as often as by all, for their number;
* by rarity: greedy maximisation of a submodular coverage, which is at least 1 - 1/e of the best: G. Nemhauser,
  L. Wolsey, M. Fisher, "An analysis of approximations for maximizing submodular set functions", 1978;
* by hardness: the images with the lowest macro Dice.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segfit.curation.select import Pool
from segfit.errors import RunError
from segfit.evaluation.metrics import macro_dice
from segfit.evaluation.records import Records, read_records
from segfit.folder import RunFolder
from segfit.labels import LabelSpace

__all__ = ["Hardest", "Random", "Rarest", "Stratified", "coverage", "stratify"]


@dataclass(frozen=True)
class Random:
    """Chooses at random.

    Attributes:
        seed: another seed, other images.
    """

    seed: int = 0

    @property
    def words(self) -> tuple[str, ...]:
        """The option."""
        return "--seed", str(self.seed)

    def choose(self, pool: Pool, count: int) -> NDArray[np.intp]:
        """Return `count` positions."""
        return _shuffled(pool.census.ids, self.seed)[:count]


@dataclass(frozen=True)
class Stratified:
    """Chooses at random, but so that the chosen and the others show every class equally often for their numbers.

    Attributes:
        seed: another seed, other images.
    """

    seed: int = 0

    @property
    def words(self) -> tuple[str, ...]:
        """The options."""
        return "--stratified", "--seed", str(self.seed)

    def choose(self, pool: Pool, count: int) -> NDArray[np.intp]:
        """Return `count` positions."""
        return stratify(pool.census.pixels > 0, count, _shuffled(pool.census.ids, self.seed))


@dataclass(frozen=True)
class Rarest:
    """Chooses images whose classes are the rarest."""

    @property
    def words(self) -> tuple[str, ...]:
        """The option."""
        return ("--rare",)

    def choose(self, pool: Pool, count: int) -> NDArray[np.intp]:
        """Return `count` positions, the first one the most wanted."""
        return coverage(pool.census.pixels > 0, count)


@dataclass(frozen=True)
class Hardest:
    """Chooses the images that a run segmented worst: those with the lowest macro Dice.

    Attributes:
        scores: a run folder, which holds the scores of its validation split, or a file like its per_image.parquet.

    Raises:
        RunError: no such file, or the run is unfinished.
    """

    scores: Path

    def __post_init__(self) -> None:
        _score_file(self.scores)  # better now than after the classes have been counted

    @property
    def words(self) -> tuple[str, ...]:
        """The option."""
        return "--hard", str(self.scores)

    def choose(self, pool: Pool, count: int) -> NDArray[np.intp]:
        """Return `count` positions, the hardest first; images without an annotated pixel have no score and come last.

        Raises:
            RunError: the records are damaged, or they are of other images.
        """
        file, learnt = _score_file(self.scores)
        records = read_records(file)
        rows = _rows(records, pool, file)
        _require_same_masks(records, rows, pool, learnt, file)
        return np.argsort(macro_dice(records.class_counts())[rows], kind="stable")[:count]


def stratify(shown: NDArray[np.bool_], count: int, order: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return `count` of N images such that each class is shown by nearly its share of them.

    The images with the rarest classes are dealt out first. Each joins the chosen ones or the rest, whichever leaves the
    smaller sum, over all classes, of the squared distance of the chosen ones from their share so far, divided by the
    number of images of the class. Measured on random classes, the classes end up less than half as far from their
    shares as with iterative stratification (Sechidis, Tsoumakas, Vlahavas, ECML PKDD 2011), which looks at one class of
    an image at a time.

    Args:
        shown: `(N, C)` whether an image shows a class.
        count: 0..N.
        order: permutation of the N images; decides between equals.
    """
    total = len(shown)
    share = count / total
    # The number of images is kept to its share like one more class, which all show.
    shown = np.column_stack([shown, np.ones(total, dtype=np.bool_)])
    frequency = shown.sum(axis=0)
    ahead = np.zeros(len(frequency))  # images of each class that were chosen beyond its share so far
    room = {True: count, False: total - count}
    chosen = np.zeros(total, dtype=np.bool_)
    rarest = np.where(shown, frequency, total).min(axis=1)
    for image in order[np.argsort(rarest[order], kind="stable")]:
        own = np.flatnonzero(shown[image])
        joins = bool(((2 * ahead[own] + 1 - 2 * share) / frequency[own]).sum() < 0)
        joins = joins if room[joins] else not joins
        room[joins] -= 1
        chosen[image] = joins
        ahead[own] += joins - share
    return np.flatnonzero(chosen)


def coverage(shown: NDArray[np.bool_], count: int) -> NDArray[np.intp]:
    """Return `count` of N images in the order in which they cover rare classes best.

    A class that n of all images show is worth ``(1 + 1/2 + ... + 1/k) / n`` when k images with it are chosen: a rare
    class is worth more, and the more images show it already, the less the next one adds. Every image is the one that
    adds most.

    Args:
        shown: `(N, C)` whether an image shows a class.
        count: 0..N.
    """
    members = [np.flatnonzero(column) for column in shown.T]
    worth = 1.0 / np.maximum(shown.sum(axis=0), 1)
    chosen_with = np.zeros(len(members))
    gains = shown @ worth
    order = np.empty(count, dtype=np.intp)
    for step in range(count):
        best = order[step] = int(gains.argmax())
        gains[best] = -np.inf
        for own in np.flatnonzero(shown[best]):
            chosen_with[own] += 1
            gains[members[own]] -= worth[own] / chosen_with[own] - worth[own] / (chosen_with[own] + 1)
    return order


def _shuffled(ids: Sequence[str], seed: int) -> NDArray[np.intp]:
    """Return the positions of `ids` in an order that depends on nothing but the seed and each id."""
    keys = [hashlib.blake2b(f"{seed} {i}".encode("utf-8", "surrogatepass"), digest_size=16).digest() for i in ids]
    return np.array(sorted(range(len(ids)), key=keys.__getitem__), dtype=np.intp)


# --- hardness: are the scores those of these images? -----------------------------------------------------------------


def _score_file(scores: Path) -> tuple[Path, LabelSpace | None]:
    """Return the file with the scores, and of a run what its classes mean."""
    if not scores.is_dir():
        if not scores.is_file():
            raise RunError(f"--hard {scores}: no such run folder or file of scores")
        return scores, None
    folder = RunFolder(scores)
    folder.metrics()  # an unfinished run is refused with what to do
    return folder.per_image_file, folder.labels()


def _rows(records: Records, pool: Pool, file: Path) -> NDArray[np.intp]:
    """Return the row in `records` of every image of the pool."""
    row_of = {name: row for row, name in enumerate(records.ids)}
    missing = [name for name in pool.census.ids if name not in row_of]
    if missing:
        raise RunError(
            f"{file}: has no score of {len(missing)} of the {len(pool)} images ({missing[0]}): name the split that the "
            "run scored (--split validation), or a file with the scores of this one "
            "(segfit evaluate RUN --split training --per-image FILE.parquet)"
        )
    return np.array([row_of[name] for name in pool.census.ids], dtype=np.intp)


def _require_same_masks(
    records: Records, rows: NDArray[np.intp], pool: Pool, learnt: LabelSpace | None, file: Path
) -> None:
    """Refuse scores of other images that have the same ids (two splits may both have a ``0001``).

    The sizes must agree; with the run's label space, also the number of true pixels of each of its classes.
    """
    census = pool.census
    scored = np.stack([records.height[rows], records.width[rows]], axis=1)
    same = (scored == census.sizes).all(axis=1)
    if learnt is not None:
        if len(learnt) != records.classes:
            raise RunError(
                f"{file}: scores of {records.classes} classes, but the run learnt {len(learnt)}: run it anew"
            )
        same &= (records.class_counts().target[rows] == census.learnt(learnt)).all(axis=1)
    if not same.all():
        raise RunError(
            f"{file}: {census.ids[int(same.argmin())]} was scored against another mask ({(~same).sum()} of "
            f"{len(same)} images): name the split that the run scored, or evaluate it again on these masks"
        )
