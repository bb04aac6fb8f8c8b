"""What a model sees of an image: one look or several, at other sizes and mirrored, each of them whole or in windows.

Where there are several (test-time augmentation), the probabilities of the classes are averaged at the size of the
label map, as mmsegmentation's ``aug_test`` does, but a strip of rows at a time: the output of each look is kept at its
native resolution, and the scores of all classes at full size are never made.

Shape suffixes: K classes, C channels, H W size of the label map, h w native size, s rows of a strip.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segfit.evaluation.labelling import Scores, Strips, confident, filled_map, noted, strips
from segfit.evaluation.sliding import Weigh, grid_scores, transposed, uniform, with_native
from segfit.evaluation.windows import Cut, Grid
from segfit.models import Output, ScoreOutput

__all__ = ["Forward", "Look", "Outputs", "View", "image_map", "in_order", "looks_at"]

Size = tuple[int, int]


@dataclass(frozen=True)
class Look:
    """One way to see all of an image.

    Attributes:
        picture: which of the image's pictures: they differ in size.
        grid: its windows.
        mirrored: whether the model sees each window mirrored left to right.
    """

    picture: int
    grid: Grid
    mirrored: bool = False


class View(NamedTuple):
    """What the model sees as one image of a batch: a window of one of the images.

    Attributes:
        image: its number.
        rows: of the image, at the size of the look.
        columns: of the image, at the size of the look.
        look: which one of the image this is a part of.
    """

    image: int
    rows: slice
    columns: slice
    look: Look

    @property
    def size(self) -> Size:
        """(height, width) of what it is a part of: the image at the size of the look."""
        return self.look.grid.size

    def of(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return what shows of a picture `(h, w, …)` of `size`: of the image, or of its mask."""
        assert picture.shape[:2] == self.size, "a picture of the look"
        part = picture[self.rows, self.columns]
        return part[:, ::-1] if self.look.mirrored else part


def looks_at(sizes: Sequence[Size], cut: Cut, *, flip: bool) -> list[Look]:
    """Return how an image is seen that comes in some sizes; the largest come first.

    A forward pass takes most memory for the largest: so it does before there are outputs of the others.

    Args:
        sizes: (height, width) of each of the image's pictures.
        cut: chooses the windows of each.
        flip: whether each is seen mirrored, too.
    """
    looks = []
    for picture in sorted(range(len(sizes)), key=lambda i: sizes[i][0] * sizes[i][1], reverse=True):
        grid = cut(sizes[picture])
        looks += [Look(picture, grid), Look(picture, grid.mirrored, mirrored=True)][: 1 + flip]
    return looks


# --- the order of forward passes -------------------------------------------------------------------------------------


def in_order(images: Sequence[Sequence[Look]], batch: int) -> Iterator[View]:
    """Yield the views of images in the order in which their outputs are needed.

    Args:
        images: the looks at each.
        batch: views that go through the model at a time, where their sizes agree.
    """
    for company in _companies(images, batch):
        looks = images[company[0]]
        turned = looks[0].grid.wide
        views = [View(i, *box, look) for i in company for look in images[i] for box in look.grid.boxes(turned)]

        def due(view: View, turned: bool = turned) -> tuple[float, int]:
            """Return how far from the top a view begins, and then the larger looks first."""
            height, width = view.size
            return view.columns.start / width if turned else view.rows.start / height, -height * width

        yield from sorted(views, key=due)


def _companies(images: Sequence[Sequence[Look]], batch: int) -> Iterator[list[int]]:
    """Yield the numbers of images whose looks of one size fill a forward pass together; each of windows is alone.

    All that is seen of a company is kept until its first image is labelled.
    """
    start = 0
    for looks, run in groupby(images, key=list):
        count = len(list(run))
        same_size = sum(look.picture == looks[0].picture for look in looks)
        together = 1 if any(len(look.grid) > 1 for look in looks) else max(1, batch // same_size)
        for first in range(start, start + count, together):
            yield list(range(first, min(first + together, start + count)))
        start += count


Forward = Callable[[list[View]], Output]
"""Runs the model on views of one size."""


class Outputs:
    """The outputs of views, made when one is asked for that is not there: up to a batch of them at a time.

    Args:
        images: the looks at each.
        batch: views that go through the model at a time, where their sizes agree.
        forward: runs the model.
    """

    def __init__(self, images: Sequence[Sequence[Look]], batch: int, forward: Forward) -> None:
        self._images, self._forward = images, forward
        self._passes = _batches(in_order(images, batch), batch)
        self._waiting = defaultdict[tuple[int, Look], deque[Output]](deque)

    def of(self, image: int, look: Look) -> Iterator[Output]:
        """Yield the outputs of a look's windows as batches of one; where they are mirrored, they are turned back."""
        waiting = self._waiting[image, look]
        for _ in range(len(look.grid)):
            while not waiting:
                self._next_pass()
            yield waiting.popleft()

    def _next_pass(self) -> None:
        views = next(self._passes)
        output = self._forward(views)
        for number, view in enumerate(views):
            part = output.image(number)
            if len(self._images[view.image]) > 1:
                part = _to_keep(part, mirrored=view.look.mirrored, shared=len(views) > 1)
            self._waiting[view.image, view.look].append(part)


def _batches(views: Iterator[View], batch: int) -> Iterator[list[View]]:
    """Split views into runs of one size, and these into batches."""
    for _, run in groupby(views, key=lambda v: (v.rows.stop - v.rows.start, v.columns.stop - v.columns.start)):
        while same := list(islice(run, batch)):
            yield same


def _to_keep(output: Output, *, mirrored: bool, shared: bool) -> Output:
    """Return an output in memory of its own, as small as may be: features of few classes become their scores.

    Args:
        output: of one view.
        mirrored: whether it has to be turned back.
        shared: whether it is a part of what all views of a forward pass have.
    """
    native = output.native
    if output.class_dims[0] is None and 4 * output.classes < native.element_size() * native.shape[1]:
        native, shared = output.classify(native, *output.parameters), False
        output = ScoreOutput(native, output.align_corners)
    if mirrored:
        return with_native(output, native.flip(-1))
    return with_native(output, native.clone()) if shared else output


# --- one map of all looks --------------------------------------------------------------------------------------------


@torch.inference_mode()
def image_map(
    looks: Sequence[Look],
    outputs: Sequence[Iterator[Output]],
    size: Size,
    *,
    weigh: Weigh = uniform,
    every: int | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Return the best class of every pixel of an image, `(H, W)`, and how sure the model is of it.

    Args:
        looks: at the image, the largest first.
        outputs: of the windows of each look, line by line, or column by column where the first look's are wide; taken
            when they are needed, and all of them.
        size: (H, W).
        weigh: how much a window counts where.
        every: at which rows and columns the probability of the best class is returned, as
            `(ceil(H / every), ceil(W / every))` float32; None: nowhere, and None is returned.
    """
    turned = looks[0].grid.wide
    rows = _strips(looks, outputs, size[::-1] if turned else size, weigh, turned=turned)
    notes: list[Tensor] = []
    if every is not None:
        rows = noted(rows, every, confident if len(looks) == 1 else _largest, notes)
    labels = filled_map((1, *(size[::-1] if turned else size)), rows)[0]
    confidence = torch.cat(notes, 1)[0] if notes else None
    # The last rows of much larger windows may have no part in the result; they are measured all the same.
    for some in outputs:
        deque(some, maxlen=0)
    if turned:
        return labels.mT, None if confidence is None else confidence.mT
    return labels, confidence


def _strips(
    looks: Sequence[Look], outputs: Sequence[Iterator[Output]], size: Size, weigh: Weigh, *, turned: bool
) -> Strips:
    """Yield what the map is made of: the scores of a single look, the mean probabilities of several."""
    opened = [
        grid_scores(look.grid.mT, map(transposed, some), weigh) if turned else grid_scores(look.grid, some, weigh)
        for look, some in zip(looks, outputs, strict=True)
    ]
    return strips(opened[0], size) if len(opened) == 1 else _mean_strips(opened, size)


def _mean_strips(looks: Sequence[Scores], size: Size) -> Strips:
    """Yield the mean of the looks' probabilities, as (rows, `(1, K, s, W)`)."""
    height = min(scores.height(size) for scores in looks)
    for same in zip(*(scores.shape.strips(size, height) for scores in looks), strict=True):
        total = _probabilities(looks[0].rows(same[0]))
        for scores, strip in zip(looks[1:], same[1:], strict=True):
            total += _probabilities(scores.rows(strip))
        yield same[0].rows, total.div_(len(looks))


def _probabilities(scores: Tensor) -> Tensor:
    """Return the softmax of the classes, `(1, K, s, W)` in float32."""
    if scores.stride(1) == 1:  # over classes that lie side by side torch needs no copy, if it is told so
        return scores.movedim(1, -1).softmax(-1, torch.float32).movedim(-1, 1)
    return scores.softmax(1, torch.float32)


def _largest(probabilities: Tensor) -> Tensor:
    return probabilities.amax(1)
