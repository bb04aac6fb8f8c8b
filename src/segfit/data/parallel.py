"""Work in threads whose results are taken in order, without many of them waiting in memory."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["in_order", "in_threads", "start_threads"]

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 32
"""How many results wait in memory, where nobody says."""

MOST = 16


def start_threads(count: int | None) -> ThreadPoolExecutor:
    """Return `count` threads, by default one per processor."""
    # Decoding, resizing, compressing and checksums release the interpreter lock, so threads are enough.
    return ThreadPoolExecutor(count or min(MOST, os.cpu_count() or 1))


def in_order(
    threads: ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T], ahead: int = AHEAD
) -> Iterator[R]:
    """Yield the result for each item; at most `ahead` of them wait in memory, however slowly they are taken."""
    waiting: deque[Future[R]] = deque()
    for item in items:
        waiting.append(threads.submit(work, item))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def in_threads(work: Callable[[T], R], items: Sequence[T], progress: Callable[[int, int], None]) -> Iterator[R]:
    """Yield what `work` makes of each item, in order, with one thread per processor.

    Args:
        work: spends its time where the interpreter lock is released, as decoding does.
        items: what to work on.
        progress: called with (done, total).
    """
    with start_threads(None) as threads:
        for done, result in enumerate(in_order(threads, work, items), 1):
            yield result
            progress(done, len(items))
