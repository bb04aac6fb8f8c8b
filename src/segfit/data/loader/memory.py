"""Memory that several processes read and write, and the places in it where workers put batches.

On Linux the memory is an anonymous file: unlike what lies in ``/dev/shm``, it needs no mount that is large enough (a
Docker container has 64 MB there), and it vanishes with the last process that holds it. It is mapped once, where a new
mapping for every batch would cost more than the batch's augmentation.
"""

import mmap
import multiprocessing
import os
import weakref
from multiprocessing.reduction import DupFd
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from segfit.errors import RunError

__all__ = ["Fresh", "Places", "Shared", "SharedBytes", "cannot_start"]

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def cannot_start(error: OSError) -> RunError:
    """Return what to tell the user when the system refuses what loader processes need."""
    return RunError(
        f"the loader processes cannot be started: {error.strerror}: lower train.workers, or raise the system's limits "
        "(ulimit -n for open files, ulimit -u for processes)"
    )


class SharedBytes:
    """Zeroed memory that every process sees to which it is given at its start.

    Args:
        size: number of bytes.

    Raises:
        RunError: no memory, or too many open files.
    """

    def __init__(self, size: int) -> None:
        linux = hasattr(os, "memfd_create")
        try:
            self._memory: Any = _AnonymousFile.of(size) if linux else multiprocessing.RawArray("B", size)
        except OSError as error:
            raise cannot_start(error) from None

    def array(self) -> NDArray[np.uint8]:
        """Return the memory as a writable array."""
        return np.frombuffer(self._memory, dtype=np.uint8)


class _AnonymousFile(mmap.mmap):
    """A file without a name, in RAM and mapped."""

    file: int

    @classmethod
    def of(cls, size: int) -> "_AnonymousFile":
        file = os.memfd_create("segfit-loader")
        try:
            os.ftruncate(file, size)
            return cls.mapped(file, size)
        except OSError:
            os.close(file)
            raise

    @classmethod
    def mapped(cls, file: int, size: int) -> "_AnonymousFile":
        memory = cls(file, size)
        memory.file = file
        weakref.finalize(memory, os.close, file)
        return memory

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (DupFd(self.file), len(self))


def _received(file: Any, size: int) -> _AnonymousFile:
    return _AnonymousFile.mapped(file.detach(), size)


class Places(Protocol):
    """Where batches are made: `count` places for images `(B, H, W, 3)` and masks `(B, H, W)`, uint8."""

    count: int

    def open(self, place: int) -> Pair:
        """Return the arrays to be filled; a worker calls this."""
        ...

    def take(self, place: int) -> tuple[Tensor, Tensor]:
        """Return what is in a place as tensors of the caller's own; the main process calls this."""
        ...


class Fresh:
    """One place in new memory every time, for a loader without workers.

    Args:
        batch: images per batch.
        size: (height, width).
        pin: page-locked, for faster copies to a GPU.
    """

    count = 1

    def __init__(self, batch: int, size: tuple[int, int], *, pin: bool) -> None:
        self._shape, self._pin = (batch, *size), pin
        self._tensors: tuple[Tensor, Tensor] | None = None

    def open(self, _place: int) -> Pair:
        """Return new arrays."""
        self._tensors = _empty(self._shape, pin=self._pin)
        return self._tensors[0].numpy(), self._tensors[1].numpy()

    def take(self, _place: int) -> tuple[Tensor, Tensor]:
        """Return the tensors that were filled."""
        assert self._tensors is not None, "opened before"
        tensors, self._tensors = self._tensors, None
        return tensors


class Shared:
    """Places in memory that workers and the main process share.

    Args:
        count: number of places.
        batch: images per batch.
        size: (height, width).
        pin: what `take` returns is page-locked, for faster copies to a GPU.

    Raises:
        RunError: no memory, or too many open files.
    """

    def __init__(self, count: int, batch: int, size: tuple[int, int], *, pin: bool) -> None:
        self.count, self._shape, self._pin = count, (batch, *size), pin
        self._memory = SharedBytes(count * 4 * batch * size[0] * size[1])

    def open(self, place: int) -> Pair:
        """Return the arrays of a place."""
        whole = self._memory.array().reshape(self.count, -1)
        pixels = whole.shape[1] // 4
        return whole[place, : 3 * pixels].reshape(*self._shape, 3), whole[place, 3 * pixels :].reshape(self._shape)

    def take(self, place: int) -> tuple[Tensor, Tensor]:
        """Return a copy of what is in a place, so that the place can be filled again."""
        images, masks = _empty(self._shape, pin=self._pin)
        for target, source in zip((images, masks), self.open(place), strict=True):
            np.copyto(target.numpy(), source)
        return images, masks


def _empty(shape: tuple[int, ...], *, pin: bool) -> tuple[Tensor, Tensor]:
    images = torch.empty((*shape, 3), dtype=torch.uint8, pin_memory=pin)
    return images, torch.empty(shape, dtype=torch.uint8, pin_memory=pin)
