"""The mean of overlapping windows, at the size of the image, strip by strip.

The scores of all windows are averaged at the resolution of the image that was cut, and the mean is enlarged to the
original size: the order of mmsegmentation's slide mode, which makes all of both. Here the mean is made from top to
bottom, a band of rows at a time, of the native parts of the windows that still reach it; what lies above is forgotten.

Shape suffixes: K classes, C channels, H W original size, h w size of the image that was cut, n rows of a band.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import torch
from torch import Tensor

from segfit.config import Recipe
from segfit.evaluation.labelling import Scores
from segfit.evaluation.windows import Grid
from segfit.models import Output, ScoreOutput, Strip

__all__ = ["Weigh", "gaussian", "grid_scores", "transposed", "uniform", "weigh_of", "with_native"]

Weigh = Callable[[int], Tensor]
"""What the positions along a side of a window count `(length,)`; a pixel counts the product of both sides."""

SIGMA = 1 / 8
"""Width of the bell, as a share of the side."""


def uniform(length: int) -> Tensor:
    """Let every pixel of a window count the same."""
    return torch.ones(length)


def gaussian(length: int) -> Tensor:
    """Let a window count most in its middle, where a model sees the most around a pixel: 1 there, 1/3000 at its sides.

    As nnU-Net does (Isensee et al. 2021), but for the middle of an even side, which here lies between two pixels: so a
    mirrored window counts as the window does. Nowhere is it zero, so no smallest value has to stand for that.
    """
    places = torch.arange(length, dtype=torch.float64) - (length - 1) / 2
    bell = torch.exp(-((places / (SIGMA * length)) ** 2) / 2)
    return (bell / bell.max()).float()


def weigh_of(recipe: Recipe) -> Weigh:
    """Return what overlapping windows count, as a resolved recipe says."""
    return gaussian if recipe.evaluate.weighting == "gaussian" else uniform


def grid_scores(grid: Grid, outputs: Iterator[Output], weigh: Weigh = uniform) -> Scores:
    """Return the scores of an image that was cut into windows, to be read once and from top to bottom.

    A single window is its own mean: it is enlarged in one step, as a whole image is.

    Args:
        grid: the windows.
        outputs: their outputs, line by line, as batches of one; taken when they are needed.
        weigh: how much a window counts where.
    """
    if len(grid) == 1:
        return Scores.of(next(outputs))
    mean = _Mean(grid, outputs, weigh)
    return Scores(mean.shape, lambda strip: mean.shape.rows(strip, mean.rows(strip.halo)))


class _Mean:
    """The weighted mean of windows `(1, K, h, w)`, of which only some rows are there at a time.

    Attributes:
        shape: an output of its size without any memory, whose strips say which rows are wanted.
    """

    def __init__(self, grid: Grid, outputs: Iterator[Output], weigh: Weigh) -> None:
        self._grid, self._outputs = grid, outputs
        self._lines = [_Line(grid, 0, outputs)]
        self._opened = 1
        first = self._lines[0].outputs[0]
        device = first.native.device
        nothing = torch.zeros((), device=device)
        self.shape = ScoreOutput(nothing.expand(1, first.classes, *grid.size), first.align_corners)
        rows, columns = (weigh(side).to(device) for side in grid.window)
        self._weights = rows[:, None] * columns
        self._total = _summed(grid.tops, rows), _summed(grid.lefts, columns)
        self._height = first.rows_at_once(grid.size[1])
        # As the scores of the windows come: where they are enlarged, pixel by pixel.
        enlarged = first.native.shape[-2:] != grid.window
        self._layout = torch.channels_last if enlarged else torch.contiguous_format
        self._kept = nothing.expand(1, first.classes, 0, grid.size[1])
        self._end = 0

    def rows(self, wanted: slice) -> Tensor:
        """Return some rows `(1, K, n, w)`; what lies above the first of them cannot be had any more."""
        while self._end < wanted.stop:
            band = slice(self._end, min(self._end + self._height, self._grid.size[0]))
            above = max(0, wanted.start - (self._end - self._kept.shape[2]))
            self._kept = torch.cat([self._kept[:, :, above:], self._band(band)], dim=2)
            self._end = band.stop
        first = self._end - self._kept.shape[2]
        return self._kept[:, :, wanted.start - first : wanted.stop - first]

    def _band(self, rows: slice) -> Tensor:
        """Return the next rows of the mean."""
        while self._opened < len(self._grid.tops) and self._grid.tops[self._opened] < rows.stop:
            # Before the next forward pass takes its memory.
            for line in self._lines:
                line.forget(rows.start)
            self._lines.append(_Line(self._grid, self._opened, self._outputs))
            self._opened += 1
        shape = 1, self.shape.classes, rows.stop - rows.start, self._grid.size[1]
        band = torch.empty(shape, device=self._kept.device, memory_format=self._layout).zero_()
        for line in self._lines:
            line.add(band, rows, self._weights)
        self._lines = [line for line in self._lines if line.bottom > rows.stop]
        down, across = self._total
        return band.div_(down[rows, None] * across)


class _Line:
    """A line of windows, as far down as it is still needed.

    Args:
        grid: all windows.
        number: of the line.
        outputs: gives those of its windows next.
    """

    def __init__(self, grid: Grid, number: int, outputs: Iterator[Output]) -> None:
        self.top, self.bottom = grid.tops[number], grid.tops[number] + grid.window[0]
        self._lefts, self._width = grid.lefts, grid.window[1]
        self.outputs = list(islice(outputs, len(grid.lefts)))
        assert len(self.outputs) == len(grid.lefts), "one output per window"
        native = self.outputs[0].native.shape[-2]
        (whole,) = self.outputs[0].strips(grid.window, grid.window[0])
        self._rows = _Rows(whole, native)
        self._first = 0

    def add(self, band: Tensor, rows: slice, weights: Tensor) -> None:
        """Add the scores of the windows, times their weights, to a band `(1, K, n, w)` of some of the image's rows."""
        own = slice(max(rows.start, self.top) - self.top, min(rows.stop, self.bottom) - self.top)
        strip = self._rows.strip(own)
        lines = slice(own.start + self.top - rows.start, own.stop + self.top - rows.start)
        halo = slice(strip.halo.start - self._first, strip.halo.stop - self._first)
        for left, output in zip(self._lefts, self.outputs, strict=True):
            scores = output.rows(strip, output.native[:, :, halo]).to(band.dtype)
            band[:, :, lines, left : left + self._width].addcmul_(scores, weights[own])

    def forget(self, row: int) -> None:
        """Free the memory of what is only needed above a row of the image."""
        first = self._rows.halo(slice(max(0, row - self.top), self.bottom - self.top)).start
        if first == self._first:
            return
        self.outputs = [with_native(o, _copied(o.native[:, :, first - self._first :])) for o in self.outputs]
        self._first = first


class _Rows:
    """Strips of any rows of outputs of one shape.

    Args:
        whole: the strip of all rows.
        native: number of native rows.
    """

    def __init__(self, whole: Strip, native: int) -> None:
        self._whole, self._native = whole, native

    def halo(self, rows: slice) -> slice:
        """Return native rows that suffice for some rows: at most a few more than these are made of."""
        if self._whole.between is None:
            return rows
        # Where the corners are aligned, a row lies at most one native row, or one step, beside its share of the height.
        scale = self._native / self._whole.height
        first, last = int(rows.start * scale - 1), int((rows.stop - 1) * scale + max(1.0, scale)) + 2
        return slice(max(0, min(first, self._native - 1)), min(last, self._native))

    def strip(self, rows: slice) -> Strip:
        """Return the strip of some rows."""
        halo = self.halo(rows)
        if self._whole.between is None:
            return Strip(self._whole.size, rows, halo, None)
        above, below, share = self._whole.between
        return Strip(self._whole.size, rows, halo, (above[rows] - halo.start, below[rows] - halo.start, share[rows]))


def _summed(starts: Sequence[int], weights: Tensor) -> Tensor:
    """Return the sum of the weights of all windows at each position along a side."""
    total = weights.new_zeros(starts[-1] + len(weights))
    for start in starts:
        total[start : start + len(weights)] += weights
    return total


def transposed(output: Output) -> Output:
    """Return the output of the transposed image."""
    return with_native(output, output.native.mT)


def _copied(native: Tensor) -> Tensor:
    """Return a tensor in memory of its own, so that of the larger one nothing is kept."""
    return native.clone(memory_format=torch.contiguous_format)


def with_native(output: Output, native: Tensor) -> Output:
    """Return an output with another native part: what it is classified with stays the same."""
    changed = copy.copy(output)
    object.__setattr__(changed, "native", native)  # outputs are frozen
    return changed
