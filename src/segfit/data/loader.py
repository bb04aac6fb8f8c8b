"""Batches in a reproducible order: decode, encode the labels, augment, stack.

Worker processes hold no state: the main process hands out (epoch, index) pairs, and what a worker does with one depends
on nothing else. A worker that meets bad data returns the error as a value, because torch would turn a raised one into
the text of a traceback.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from typing_extensions import override

from segfit.config import AugmentConfig
from segfit.data import Image, Record, Sample, Source
from segfit.data.augment import augment, fit, rng_for
from segfit.data.decode import read_image
from segfit.errors import DataError, RecipeError, UserError
from segfit.labels import LabelSpace, Mask

__all__ = ["Batch", "EvalLoader", "TrainLoader"]

T = TypeVar("T")
Key = tuple[int, int]  # (epoch, index of the record)
Stacked = tuple[tuple[str, ...], Tensor, Tensor]


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


class TrainLoader:
    """Augmented training batches, the same for any number of ranks and workers.

    The order of an epoch is a permutation by (seed, epoch) alone; consecutive records of it form the global batches,
    and each rank takes an equal, consecutive share of every one. An incomplete last batch is dropped.

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

    Raises:
        DataError: fewer records than one batch.
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
    ) -> None:
        if len(records) < batch:
            raise DataError(f"{len(records)} training images are fewer than one batch: lower train.batch from {batch}")
        if batch % world:
            raise RecipeError(f"train.batch: {batch} is not a multiple of the {world} ranks that share it")
        self.batch, self.seed, self.rank, self.world = batch, seed, rank, world
        self.count = len(records)
        self._plan = _Plan()
        dataset = _Samples(_Pairs(source, records, labels), _Augmented(augment, seed))
        self._loader = _data_loader(dataset, self._plan, _stack, workers, pin)

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
        """
        assert 0 <= start <= len(self), "a step of this epoch"
        order = rng_for(self.seed, epoch, "").permutation(self.count)  # no record has an empty id
        share = self.batch // self.world
        steps = order[: len(self) * self.batch].reshape(len(self), self.world, share)[start:, self.rank]
        self._plan.batches = [[(epoch, index) for index in step] for step in steps.tolist()]
        for ids, images, masks in _checked(self._loader):
            yield Batch(ids=ids, images=images.permute(0, 3, 1, 2), masks=masks)


class EvalLoader:
    """Validation samples in fixed groups: images at the model's input size, masks at their original size.

    Iterating yields `list[Sample]`. Group g holds the records ``g * batch`` to ``(g + 1) * batch``; rank r takes the
    groups r, r + world, …, so that together the ranks see every record exactly once.

    Args:
        source: reads the masks.
        records: all records of the split.
        labels: what is learnt.
        size: (height, width) in training.
        resize: how an image is brought to the input size (see `segfit.data.augment.fit`).
        batch: records per group.
        rank: of this process.
        world: number of ranks.
        workers: loader processes of this rank; 0 loads in this process.
    """

    def __init__(
        self,
        source: Source,
        records: Sequence[Record],
        labels: LabelSpace,
        *,
        size: tuple[int, int],
        resize: Literal["squash", "short-side"],
        batch: int,
        rank: int = 0,
        world: int = 1,
        workers: int = 0,
    ) -> None:
        self.batch = batch
        indices = [(0, index) for index in range(len(records))]
        groups = [indices[first : first + batch] for first in range(0, len(records), batch)]
        self._plan = _Plan(groups[rank::world])
        dataset = _Samples(_Pairs(source, records, labels), _Fitted(size, resize))
        self._loader = _data_loader(dataset, self._plan, list, workers, pin=False)

    def __len__(self) -> int:
        """Return the number of this rank's groups."""
        return len(self._plan.batches)

    def __iter__(self) -> Iterator[list[Sample]]:
        """Yield this rank's groups.

        Raises:
            DataError: an image or a mask is unreadable, or has labels that are not in the label space.
        """
        return _checked(self._loader)


# --- what a worker does ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Pairs:
    """Reads decoded pairs."""

    source: Source
    records: Sequence[Record]
    labels: LabelSpace

    def read(self, index: int) -> Sample:
        """Return a record's image and mask in train ids, both at their original size."""
        record = self.records[index]
        image = read_image(record.image)
        stored = self.source.read_mask(record)
        if image.shape[:2] != stored.shape:
            (height, width), (rows, columns) = image.shape[:2], stored.shape
            raise DataError(
                f"{record.mask}: the mask is {columns}x{rows} and its image {width}x{height} pixels: "
                "both need one size (an EXIF orientation of the image counts)"
            )
        return Sample(id=record.id, image=image, mask=self.labels.encode(stored, where=str(record.mask)))


@dataclass(frozen=True)
class _Augmented:
    """Makes a training sample of a decoded pair."""

    config: AugmentConfig
    seed: int

    def __call__(self, sample: Sample, epoch: int) -> Sample:
        image, mask = augment(sample.image, sample.mask, self.config, rng_for(self.seed, epoch, sample.id))
        return Sample(id=sample.id, image=image, mask=mask)


@dataclass(frozen=True)
class _Fitted:
    """Makes an evaluation sample of a decoded pair."""

    size: tuple[int, int]
    resize: Literal["squash", "short-side"]

    def __call__(self, sample: Sample, _epoch: int) -> Sample:
        return Sample(id=sample.id, image=fit(sample.image, self.size, self.resize), mask=sample.mask)


@dataclass(frozen=True)
class _Failure:
    """Bad data that a worker met."""

    error: UserError


class _Samples(Dataset[Sample | _Failure]):
    """The samples by (epoch, index)."""

    def __init__(self, pairs: _Pairs, finish: Callable[[Sample, int], Sample]) -> None:
        self.pairs, self.finish = pairs, finish

    @override
    def __getitem__(self, key: Key) -> Sample | _Failure:
        epoch, index = key
        try:
            return self.finish(self.pairs.read(index), epoch)
        except UserError as error:
            return _Failure(error)


@dataclass(frozen=True)
class _Collate(Generic[T]):
    """Joins samples with `join`, unless one of them is a failure."""

    join: Callable[[list[Sample]], T]

    def __call__(self, samples: Sequence[Sample | _Failure]) -> T | _Failure:
        good: list[Sample] = []
        for sample in samples:
            if isinstance(sample, _Failure):
                return sample
            good.append(sample)
        return self.join(good)


def _stack(samples: list[Sample]) -> Stacked:
    images: Image = np.stack([sample.image for sample in samples])
    masks: Mask = np.stack([sample.mask for sample in samples])
    return tuple(sample.id for sample in samples), torch.from_numpy(images), torch.from_numpy(masks)


def _start_worker(_worker: int) -> None:
    # Ctrl-C and job schedulers signal the whole process group; the main process still needs its batch to end the step
    # it is in, and ends its workers itself.
    if hasattr(os, "setpgrp"):
        os.setpgrp()
    # One thread per process: the processes are the parallelism.
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


# --- what the main process does --------------------------------------------------------------------------------------


@dataclass
class _Plan:
    """The batches that workers are to make: a batch sampler whose list changes from epoch to epoch."""

    batches: Sequence[Sequence[Key]] = ()

    def __iter__(self) -> Iterator[Sequence[Key]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def _data_loader(
    dataset: _Samples, plan: _Plan, join: Callable[[list[Sample]], T], workers: int, pin: bool
) -> "DataLoader[T | _Failure]":
    return DataLoader(
        dataset,  # type: ignore[arg-type]
        batch_sampler=plan,  # type: ignore[arg-type]
        num_workers=workers,
        collate_fn=_Collate(join),
        worker_init_fn=_start_worker,
        pin_memory=pin,
        persistent_workers=workers > 0,
        # Without a generator of its own, DataLoader draws from the global one, and the dropout that follows changes.
        generator=torch.Generator(),
    )


def _checked(results: Iterable[T | _Failure]) -> Iterator[T]:
    """Yield the results; raise the error of the first failure."""
    for result in results:
        if isinstance(result, _Failure):
            error = result.error
            try:
                raise error
            finally:
                # The error's traceback holds this frame: without its variables there is no cycle that would keep the
                # workers until some garbage collection, which then waits seconds for them.
                del error, result
        yield result
