"""Samples of one shape together, though they do not lie side by side: only those can share a forward pass."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

__all__ = ["AHEAD", "by_shape"]

AHEAD = 4
"""So many batches of samples are looked at for some of one shape, and wait in memory for others."""

Sample = TypeVar("Sample")
Shape = TypeVar("Shape", bound=Hashable)


def by_shape(
    groups: Iterable[Sequence[Sample]], batch: int, shape: Callable[[Sample], Shape], *, ahead: int = AHEAD
) -> Iterator[list[Sample]]:
    """Yield samples in batches of one shape; every sample once, those of a shape in the order in which they came.

    A batch is yielded when it is full. Where more samples wait than may, those of the shape that has waited longest go
    as they are: most often a rare one, so that the common ones become full. At the end all go.

    Args:
        groups: samples, as they come.
        batch: most samples of a batch.
        shape: of a sample: what has to agree.
        ahead: most samples that wait, in batches.
    """
    waiting: dict[Shape, list[Sample]] = {}
    count = 0
    for group in groups:
        for sample in group:
            same = waiting.setdefault(shape(sample), [])
            same.append(sample)
            count += 1
            full = len(same) == batch
            if full or count > ahead * batch:
                # A dictionary is in the order in which its keys came.
                key = shape(sample) if full else next(iter(waiting))
                ready = waiting.pop(key)
                count -= len(ready)
                yield ready
    yield from waiting.values()
