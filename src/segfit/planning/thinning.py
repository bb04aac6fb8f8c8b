"""Tracing a few of many equal things: the first, the last, and of strips one from the middle that stands for others."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from segfit.evaluation import segment
from segfit.evaluation.views import Look
from segfit.models import Output, Strip
from segfit.planning.tracker import Tracker

__all__ = ["few_images", "few_strips"]


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

    Output.strips, Output.rows = thinned, counted  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Output.strips, Output.rows = strips, rows  # type: ignore[method-assign]
        tracker.times = 1


@contextmanager
def few_images(count: int) -> Iterator[None]:
    """Let only the first and the last of `count` equal images be labelled; the others get a map that nobody fills.

    Images of a forward pass, seen once each, share its output to the end, and each leaves a map. So most is there at
    the first or at the last of them.
    """
    image_map = segment.image_map  # type: ignore[attr-defined]
    number = 0
    kind: torch.dtype | None = None

    def thinned(
        looks: Sequence[Look], outputs: Sequence[Iterator[Output]], size: tuple[int, int], **more: Any
    ) -> tuple[Tensor, Tensor | None]:
        nonlocal number, kind
        number += 1
        if 1 < number < count:
            output = next(outputs[0])
            return output.native.new_empty(size, dtype=kind), None
        labels, confidence = image_map(looks, outputs, size, **more)
        kind = labels.dtype
        return labels, confidence

    segment.image_map = thinned  # type: ignore[attr-defined]
    try:
        yield
    finally:
        segment.image_map = image_map  # type: ignore[attr-defined]
