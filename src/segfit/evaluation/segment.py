"""From images to label maps: one way for validation and for prediction, with as much at a time as fits into memory."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segfit.data import Image
from segfit.errors import RunError
from segfit.evaluation.sliding import grid_map
from segfit.evaluation.windows import Cut, Grid
from segfit.models import Output, Segmenter
from segfit.training.device import autocast
from segfit.training.memory import free_memory, is_out_of_memory

__all__ = ["Measure", "Segmentation", "Segmented", "View"]


class View(NamedTuple):
    """What the model sees as one image of a batch: a window of one of the images.

    Attributes:
        image: its number.
        rows: of the image.
        columns: of the image.
    """

    image: int
    rows: slice
    columns: slice


Measure = Callable[[Output, Sequence[View]], Tensor]
"""Looks at the output of a forward pass, whose images are these views, and returns what is to be kept of it."""


@dataclass(frozen=True, kw_only=True)
class Segmented:
    """What becomes of images.

    Attributes:
        maps: the train ids of each `(H, W)`, of a small integer type, on the model's device.
        seconds: time of the forward passes that each took; images of one pass share it equally.
        measured: what was kept of each forward pass.
    """

    maps: list[Tensor]
    seconds: list[float]
    measured: list[Tensor]


class Segmentation:
    """Segments images with a model.

    Where memory does not suffice, half as many images (or windows) go through the model at a time, down to one. What
    was found to fit is remembered, and every change is said.

    Args:
        model: on `device`; in evaluation mode when it is used.
        cut: chooses the windows of an image: all of it, or several (see `segfit.evaluation.windows`).
        batch: images or windows per forward pass, where their sizes agree.
        device: where the model is.
        precision: of the forward pass (``"fp32"``, ``"bf16"``, ``"fp16"``).
        say: is told when less is done at a time; by default it goes to stderr.
    """

    def __init__(
        self,
        model: Segmenter,
        *,
        cut: Cut,
        batch: int,
        device: torch.device,
        precision: str,
        say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    ) -> None:
        self.model, self.cut, self.batch = model, cut, batch
        self.device, self.precision = device, precision
        self._say = say
        self._most: float = float("inf")

    def __call__(
        self, images: Sequence[Image], sizes: Sequence[tuple[int, int]], measure: Measure | None = None
    ) -> Segmented:
        """Segment images.

        Args:
            images: `(h, w, 3)` uint8 RGB, at the model's input size; consecutive ones of one size share a pass.
            sizes: (H, W) of the label map of each.
            measure: is called after each forward pass, possibly again where one had to be repeated.

        Raises:
            RunError: memory does not even suffice for one image, or one window.
        """
        grids = [self.cut((image.shape[0], image.shape[1])) for image in images]
        pixels = max(grid.window[0] * grid.window[1] for grid in grids)
        refused = 0
        while True:
            # Nothing but the result is left of an attempt, so it can be made again.
            batch = max(1, int(min(self.batch, sum(map(len, grids)), self._most / pixels)))
            try:
                result = self._attempt(images, sizes, grids, batch, measure)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            else:
                if refused:
                    self._say(_fewer(refused, batch, grids[0]))
                return result
            # Only here, where the error is gone, does nothing hold what the attempt had made.
            free_memory(self.device)
            if batch == 1:
                raise RunError(_too_much(max(grids, key=lambda grid: grid.window[0] * grid.window[1])))
            refused = refused or batch
            self._most = batch // 2 * pixels

    @torch.inference_mode()
    def _attempt(
        self,
        images: Sequence[Image],
        sizes: Sequence[tuple[int, int]],
        grids: Sequence[Grid],
        batch: int,
        measure: Measure | None,
    ) -> Segmented:
        views = [View(i, *box) for i, grid in enumerate(grids) for box in grid.boxes()]
        result = Segmented(maps=[], seconds=[0.0] * len(images), measured=[])

        def outputs() -> Iterator[Output]:
            for group in _batches(views, batch):
                output, seconds = self._forward([images[v.image][v.rows, v.columns] for v in group])
                if measure is not None:
                    result.measured.append(measure(output, group))
                for view in group:
                    result.seconds[view.image] += seconds / len(group)
                parts = [output.image(i) for i in reversed(range(len(group)))]
                # The next forward pass must not find in memory what is done with.
                del output
                while parts:
                    yield parts.pop()

        stream = outputs()
        result.maps.extend(grid_map(grid, stream, size) for grid, size in zip(grids, sizes, strict=True))
        return result

    def _forward(self, images: Sequence[NDArray[np.uint8]]) -> tuple[Output, float]:
        """Run the model on images `(h, w, 3)` of one size; return its output and the seconds it took."""
        batch = torch.from_numpy(np.stack(images)).to(self.device).permute(0, 3, 1, 2)
        started = time.perf_counter()
        with autocast(self.device, self.precision):
            output = self.model(batch)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return output, time.perf_counter() - started


def _batches(views: Sequence[View], batch: int) -> Iterator[list[View]]:
    """Split views into runs of one size, and these into batches."""
    for _, run in groupby(views, key=lambda v: (v.rows.stop - v.rows.start, v.columns.stop - v.columns.start)):
        same = list(run)
        for start in range(0, len(same), batch):
            yield same[start : start + batch]


def _fewer(before: int, after: int, grid: Grid) -> str:
    what = "image" if len(grid) == 1 else "window"
    return (
        f"out of memory with {before} {what}s per forward pass: goes on with {after}; "
        f"to begin so, set evaluate.batch={after}"
    )


def _too_much(grid: Grid) -> str:
    height, width = grid.window
    what, mend = ("an image", "set evaluate.window=sliding, ") if len(grid) == 1 else ("a window", "")
    return (
        f"out of memory with {what} of {width} x {height} pixels alone in a forward pass: {mend}train with a smaller "
        "augment.size, or use half the memory with train.precision=bf16 or fp16 where the hardware has it"
    )
