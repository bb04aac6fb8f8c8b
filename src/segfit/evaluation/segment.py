"""From images to label maps: one way for validation and for prediction, with as much at a time as fits into memory."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segfit.data import Image
from segfit.errors import RunError
from segfit.evaluation.sliding import Weigh, uniform
from segfit.evaluation.views import Look, Outputs, View, image_map, looks_at
from segfit.evaluation.windows import Cut
from segfit.models import Output, Segmenter
from segfit.training.device import autocast
from segfit.training.memory import free_memory, is_out_of_memory

__all__ = ["Measure", "Segmentation", "Segmented", "View"]


Measure = Callable[[Output, Sequence[View]], Tensor]
"""Looks at the output of a forward pass, whose images are these views, and returns what is to be kept of it."""


@dataclass(frozen=True, kw_only=True)
class Segmented:
    """What becomes of images.

    Attributes:
        maps: the train ids of each `(H, W)`, of a small integer type, on the model's device.
        seconds: time of the forward passes that each took; images of one pass share it equally.
        measured: what was kept of each forward pass.
        confidence: the probability of the best class of each at every so many rows and columns, float32, on the
            model's device; empty where it was not asked for.
    """

    maps: list[Tensor]
    seconds: list[float]
    measured: list[Tensor]
    confidence: list[Tensor]


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
        weigh: how much overlapping windows count where.
        flip: whether each image is seen mirrored, too.
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
        weigh: Weigh = uniform,
        flip: bool = False,
        say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    ) -> None:
        self.model, self.cut, self.batch = model, cut, batch
        self.device, self.precision = device, precision
        self.weigh, self.flip = weigh, flip
        self._say = say
        self._most: float = float("inf")

    def __call__(
        self,
        images: Sequence[Image | Sequence[Image]],
        sizes: Sequence[tuple[int, int]],
        measure: Measure | None = None,
        *,
        every: int | None = None,
    ) -> Segmented:
        """Segment images.

        Args:
            images: `(h, w, 3)` uint8 RGB, at the model's input size; consecutive ones of one size share a pass. One
                that is to be seen at several sizes comes in all of them: the probabilities are averaged.
            sizes: (H, W) of the label map of each.
            measure: is called after each forward pass, possibly again where one had to be repeated.
            every: at which rows and columns the confidence is wanted; None: nowhere.

        Raises:
            RunError: memory does not even suffice for one image, or one window.
        """
        pictures = [(image,) if isinstance(image, np.ndarray) else tuple(image) for image in images]
        looks = [looks_at([p.shape[:2] for p in some], self.cut, flip=self.flip) for some in pictures]
        largest = max(
            (look for some in looks for look in some), key=lambda look: look.grid.window[0] * look.grid.window[1]
        )
        pixels = largest.grid.window[0] * largest.grid.window[1]
        views = sum(len(look.grid) for some in looks for look in some)
        refused = 0
        while True:
            # Nothing but the result is left of an attempt, so it can be made again.
            batch = max(1, int(min(self.batch, views, self._most / pixels)))
            try:
                result = self._attempt(pictures, sizes, looks, batch, measure, every)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            else:
                if refused:
                    self._say(_fewer(refused, batch, looks[0][0]))
                return result
            # Only here, where the error is gone, does nothing hold what the attempt had made.
            free_memory(self.device)
            if batch == 1:
                raise RunError(_too_much(largest, several=len(pictures[0]) > 1))
            refused = refused or batch
            self._most = batch // 2 * pixels

    @torch.inference_mode()
    def _attempt(
        self,
        pictures: Sequence[Sequence[Image]],
        sizes: Sequence[tuple[int, int]],
        looks: Sequence[Sequence[Look]],
        batch: int,
        measure: Measure | None,
        every: int | None,
    ) -> Segmented:
        result = Segmented(maps=[], seconds=[0.0] * len(pictures), measured=[], confidence=[])

        def forward(views: list[View]) -> Output:
            output, seconds = self._forward([view.of(pictures[view.image][view.look.picture]) for view in views])
            if measure is not None:
                result.measured.append(measure(output, views))
            for view in views:
                result.seconds[view.image] += seconds / len(views)
            return output

        outputs = Outputs(looks, batch, forward)
        for image, (some, size) in enumerate(zip(looks, sizes, strict=True)):
            own = [outputs.of(image, look) for look in some]
            labels, confidence = image_map(some, own, size, weigh=self.weigh, every=every)
            result.maps.append(labels)
            if confidence is not None:
                result.confidence.append(confidence)
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


def _fewer(before: int, after: int, look: Look) -> str:
    what = "image" if len(look.grid) == 1 else "window"
    return (
        f"out of memory with {before} {what}s per forward pass: goes on with {after}; "
        f"to begin so, set evaluate.batch={after}"
    )


def _too_much(look: Look, *, several: bool) -> str:
    height, width = look.grid.window
    what, mend = ("an image", "set evaluate.window=sliding, ") if len(look.grid) == 1 else ("a window", "")
    smaller = "leave out the largest of evaluate.scales, " if several else ""
    return (
        f"out of memory with {what} of {width} x {height} pixels alone in a forward pass: {smaller}{mend}train with a "
        "smaller augment.size, or use half the memory with train.precision=bf16 or fp16 where the hardware has it"
    )
