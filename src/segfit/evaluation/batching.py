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
        alike: dict[Shape, list[Sample]] = defaultdict(list)
        for group in block:
            for sample in group:
                alike[shape(sample)].append(sample)
        for samples in alike.values():
            yield from (samples[start : start + batch] for start in range(0, len(samples), batch))
