"""Batches in a reproducible order: read a decoded pair, augment, put it in its place in the batch.

Worker processes hold no state: the main process hands out which samples make a batch, and what a worker does with them
depends on nothing else. So the batches are the same for any number of workers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from segfit.config import AugmentConfig
from segfit.data import Image, Record, Source
from segfit.data.augment import Fit, augment, choose_partner, rng_for
from segfit.data.loader.memory import Fresh, Places, Shared
from segfit.data.loader.pool import AHEAD, Note, Pool
from segfit.data.loader.reading import FilePairs, Pairs, open_pairs
from segfit.data.sampling import draw_epoch
from segfit.errors import DataError, RecipeError
from segfit.labels import LabelSpace, Mask

__all__ = ["Batch", "EvalLoader", "EvalSample", "TrainLoader"]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What a model is trained on: one rank's share of one optimizer step.

    Attributes:
        ids: ids of the records.
        images: `(B, 3, H, W)` uint8 RGB, a channels-last view of `(B, H, W, 3)`.
        masks: `(B, H, W)` uint8 train ids with `labels.IGNORE`.
    """

    ids: tuple[str, ...]
    images: Tensor
    masks: Tensor


@dataclass(frozen=True, kw_only=True)
class EvalSample:
    """What a model is scored on.

    Attributes:
        id: of the record.
        images: `(h, w, 3)` uint8 RGB, the image at every size at which the model sees it.
        mask: `(H, W)` uint8 train ids with `labels.IGNORE`, at the size at which it is scored.
    """

    id: str
    images: tuple[Image, ...]
    mask: Mask


class TrainLoader:
    """Augmented training batches, the same for any number of ranks and workers.

    The order of an epoch is decided by (seed, epoch) and the weights alone; consecutive samples of it form the global
    batches, and each rank takes an equal, consecutive share of every one. An incomplete last batch is dropped.

    Args:
        source: reads the masks.
        records: all training records.
        labels: what is learnt.
        augment: a resolved section.
        batch: images per optimizer step over all ranks.
        seed: decides order and augmentation.
        rank: of this process.
        world: number of ranks.
        workers: loader processes of this rank; 0 loads in this process.
        pin: put batches into page-locked memory, for faster copies to a GPU.
        cache: folder of decoded images and masks to read instead of the files (see `segfit.data.cache`).
        weights: gives `(N,)`, how often an epoch has each record, relative to one another (see
            `segfit.data.sampling`), and is asked once, when the first epoch begins; by default each once.

    Raises:
        DataError: fewer records than one batch, or the cache is not of these records.
        RecipeError: the ranks cannot share a batch equally.
    """

    def __init__(
        self,
        source: Source,
        records: Sequence[Record],
        labels: LabelSpace,
        augment: AugmentConfig,
        *,
        batch: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        workers: int = 0,
        pin: bool = False,
        cache: Path | None = None,
        weights: Callable[[], NDArray[np.float64]] | None = None,
    ) -> None:
        if len(records) < batch:
            raise DataError(f"{len(records)} training images are fewer than one batch: lower train.batch from {batch}")
        if batch % world:
            raise RecipeError(f"train.batch: {batch} is not a multiple of the {world} ranks that share it")
        self.batch, self.seed, self.rank, self.world = batch, seed, rank, world
        self.count = len(records)
        self._weigh = weights or partial(np.ones, len(records))
        self._workers, self._size, self._pin = workers, augment.size, pin
        self._pairs = open_pairs(source, records, labels, cache)
        self._augment = augment
        self._made: tuple[Places, Pool[_Order, None]] | None = None

    @cached_property
    def _weights(self) -> NDArray[np.float64]:
        return self._weigh()

    def __len__(self) -> int:
        """Return the number of optimizer steps per epoch."""
        return self.count // self.batch

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield this rank's batches of an epoch; begin one epoch only after the one before is no longer read.

        Args:
            epoch: number of the epoch, from 0.
            start: first step to yield; what comes before is not read from disk.

        Raises:
            DataError: an image or a mask is unreadable, or has labels that are not in the label space.
            RunError: a loader process has ended, or none can be started.
        """
        assert 0 <= start <= len(self), "a step of this epoch"
        shares = self._shares(epoch)[start:]
        if self._made is None:
            self._made = self._make()
        places, pool = self._made
        orders = [_Order(number % places.count, epoch, share) for number, share in enumerate(shares)]
        for order, _ in zip(orders, pool.results(orders), strict=True):
            images, masks = places.take(order.place)
            ids = tuple(self._pairs.records[index].id for index in order.share[:, 0].tolist())
            yield Batch(ids=ids, images=images.permute(0, 3, 1, 2), masks=masks)

    def _shares(self, epoch: int) -> NDArray[np.int64]:
        """Return this rank's part of each step of an epoch, `(steps, B, 2)`: see `_Order.share`."""
        drawn = np.stack(draw_epoch(self._weights, rng_for(self.seed, epoch, "")), axis=1)  # no record has an empty id
        steps = drawn[: len(self) * self.batch].reshape(len(self), self.world, self.batch // self.world, 2)
        return steps[:, self.rank]

    def _make(self) -> tuple[Places, "Pool[_Order, None]"]:
        share = self.batch // self.world
        places: Places = Fresh(share, self._size, pin=self._pin)
        if self._workers:
            places = Shared(AHEAD * self._workers, share, self._size, pin=self._pin)
        return places, Pool(_Fill(self._pairs, self._augment, self.seed, places), self._workers, self._pairs.name)


MOST_AHEAD = 4
"""Most groups of a block: they are held in memory together (see `segfit.evaluation.batching`)."""

BLOCKS = 8
"""Least number of blocks of a split that has so many groups: each rank should get some."""


class EvalLoader:
    """Validation samples in fixed groups: images at the model's input size, masks at their original size.

    Iterating yields `list[EvalSample]`. Group g holds the records ``g * batch`` to ``(g + 1) * batch``. Groups are
    dealt in blocks of `ahead` consecutive ones, rank r taking the blocks r, r + world, …: together the ranks see every
    record exactly once, and whatever is done with a block does not depend on their number.

    Args:
        source: reads the masks.
        records: all records of the split.
        labels: what is learnt.
        fit: brings an image to the model's input size.
        batch: records per group.
        scales: of the input size, at which the model sees each image.
        scored: (height, width) of the masks; by default their own.
        rank: of this process.
        world: number of ranks.
        workers: loader processes of this rank; 0 loads in this process.

    Attributes:
        ids: of all records of the split, in its order.
        batch: records per group.
        ahead: groups per block.
    """

    def __init__(
        self,
        source: Source,
        records: Sequence[Record],
        labels: LabelSpace,
        *,
        fit: Fit,
        batch: int,
        scales: Sequence[float] = (1.0,),
        scored: tuple[int, int] | None = None,
        rank: int = 0,
        world: int = 1,
        workers: int = 0,
    ) -> None:
        self.batch = batch
        self.ids = [record.id for record in records]
        groups = [range(len(records))[i : i + batch] for i in range(0, len(records), batch)]
        self.ahead = min(MOST_AHEAD, max(1, len(groups) // BLOCKS))
        blocks = [groups[i : i + self.ahead] for i in range(0, len(groups), self.ahead)][rank::world]
        self._groups = [group for block in blocks for group in block]
        pairs = FilePairs(source, records, labels)
        self._pool = Pool(_Samples(pairs, fit, tuple(scales), scored), workers, pairs.name)

    def __len__(self) -> int:
        """Return the number of this rank's groups."""
        return len(self._groups)

    def __iter__(self) -> Iterator[list[EvalSample]]:
        """Yield this rank's groups.

        Raises:
            DataError: an image or a mask is unreadable, or has labels that are not in the label space.
            RunError: a loader process has ended, or none can be started.
        """
        return self._pool.results(self._groups)


# --- what a worker does ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Order:
    """A training batch to be made.

    Attributes:
        place: where to put it.
        epoch: of which epoch it is.
        share: `(B, 2)` index of each sample's record, and how often the epoch had it before.
    """

    place: int
    epoch: int
    share: NDArray[np.int64]


@dataclass(frozen=True)
class _Fill:
    """Makes training batches."""

    pairs: Pairs
    config: AugmentConfig
    seed: int
    places: Places

    def __call__(self, order: _Order, note: Note) -> None:
        images, masks = self.places.open(order.place)
        for position, (index, before) in enumerate(order.share.tolist()):
            images[position], masks[position] = self._sample(order.epoch, index, before, note)

    def _sample(self, epoch: int, index: int, before: int, note: Note) -> tuple[Image, Mask]:
        def partner(rng: np.random.Generator) -> tuple[Image, Mask]:
            other = choose_partner(index, len(self.pairs.records), rng)
            note(other)
            sample = self.pairs.read(other)
            note(index)
            return sample.image, sample.mask

        note(index)
        sample = self.pairs.read(index)
        # An image that an epoch has twice is augmented in two ways; no name has a zero byte.
        rng = rng_for(self.seed, epoch, f"{sample.id}\0{before}" if before else sample.id)
        return augment(sample.image, sample.mask, self.config, rng, partner)


@dataclass(frozen=True)
class _Samples:
    """Makes groups of evaluation samples."""

    pairs: Pairs
    fit: Fit
    scales: tuple[float, ...]
    scored: tuple[int, int] | None

    def __call__(self, group: Sequence[int], note: Note) -> list[EvalSample]:
        return [self._sample(index, note) for index in group]

    def _sample(self, index: int, note: Note) -> EvalSample:
        note(index)
        sample = self.pairs.read(index)
        images = tuple(self.fit(sample.image, scale) for scale in self.scales)
        return EvalSample(id=sample.id, images=images, mask=self._mask(sample.mask))

    def _mask(self, mask: Mask) -> Mask:
        if self.scored is None:
            return mask
        resized: Mask = cv2.resize(mask, self.scored[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        return resized
