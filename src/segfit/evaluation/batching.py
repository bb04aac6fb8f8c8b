"""Samples of one shape together, though they do not lie side by side: only those can share a forward pass."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

__all__ = ["by_shape"]

Sample = TypeVar("Sample")
Shape = TypeVar("Shape", bound=Hashable)


def by_shape(
    groups: Iterable[Sequence[Sample]], batch: int, shape: Callable[[Sample], Shape], *, ahead: int
) -> Iterator[list[Sample]]:
    """Yield samples in batches of one shape; every sample once, those of a shape in the order in which they came.

    The samples of `ahead` groups are sorted by shape, and nothing is left for the next ones: what shares a batch
    depends on these groups alone, not on what else the process is given.

    Args:
        groups: samples, as they come.
        batch: most samples of a batch.
        shape: of a sample: what has to agree.
        ahead: groups that are looked at, and held in memory, together.
    """
    stream = iter(groups)
    while block := list(islice(stream, ahead)):
        batches = _batches(block, batch, shape)
        # What was given away is not kept here while the next groups are read.
        block.clear()
        while batches:
            yield batches.pop()


def _batches(groups: Sequence[Sequence[Sample]], batch: int, shape: Callable[[Sample], Shape]) -> list[list[Sample]]:
    """Return samples in batches of one shape, the last one first."""
    alike: dict[Shape, list[Sample]] = defaultdict(list)
    for group in groups:
        for sample in group:
            alike[shape(sample)].append(sample)
    batches = [samples[start : start + batch] for samples in alike.values() for start in range(0, len(samples), batch)]
    return batches[::-1]
