"""Tracing a few of many equal strips: the first, one from the middle that stands for the others, and the last."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from torch import Tensor

from segfit.models import Output, Strip
from segfit.planning.tracker import Tracker

__all__ = ["few_strips"]


@contextmanager
def few_strips(tracker: Tracker) -> Iterator[None]:
    """Let outputs have three strips at most; what is done with the middle one counts for all that it stands for.

    Strips take the same memory one after the other, so the peak is what it would be with all of them; only the first
    and the last one differ, by their halo and their height.
    """
    strips, rows = Output.strips, Output.rows
    stand_for: dict[int, tuple[Strip, int]] = {}

    def thinned(output: Output, size: tuple[int, int], height: int | None = None) -> Iterator[Strip]:
        every = list(strips(output, size, height))
        few = every if len(every) <= 3 else [every[0], every[len(every) // 2], every[-1]]
        for number, strip in enumerate(few):
            times = len(every) - 2 if number == 1 and len(every) > 3 else 1
            stand_for[id(strip)] = strip, times
            yield strip

    def counted(output: Output, strip: Strip, *args: Any, **kwargs: Any) -> Tensor:
        # What follows, up to the next strip, belongs to this one.
        tracker.times = stand_for[id(strip)][1] if id(strip) in stand_for else 1
        return rows(output, strip, *args, **kwargs)

    with patch.object(Output, "strips", thinned), patch.object(Output, "rows", counted):
        try:
            yield
        finally:
            tracker.times = 1
