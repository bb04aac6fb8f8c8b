"""Which parts of an image a model sees at a time: all of it, or overlapping windows of the training size."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from segfit.config import Recipe

__all__ = ["Box", "Cut", "Grid", "cut_of", "sliding", "whole"]

Size = tuple[int, int]

Box = tuple[slice, slice]
"""Rows and columns of an image."""


@dataclass(frozen=True)
class Grid:
    """Windows of one size that together cover an image.

    Attributes:
        window: (height, width).
        tops: first row of each line of windows, ascending.
        lefts: first column of each window of a line, ascending.
    """

    window: Size
    tops: tuple[int, ...]
    lefts: tuple[int, ...]

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.tops) * len(self.lefts)

    @property
    def size(self) -> Size:
        """(height, width) of the image."""
        return self.tops[-1] + self.window[0], self.lefts[-1] + self.window[1]

    @property
    def wide(self) -> bool:
        """Whether lines hold more windows than there are lines: then it takes less to go from left to right."""
        return len(self.lefts) > len(self.tops)

    @property
    def mT(self) -> "Grid":  # noqa: N802 (as torch calls it)
        """The windows of the transposed image."""
        return Grid(self.window[::-1], self.lefts, self.tops)

    @property
    def mirrored(self) -> "Grid":
        """The windows of the image mirrored left to right, as they lie on the image itself."""
        width, own = self.size[1], self.window[1]
        return Grid(self.window, self.tops, tuple(width - own - left for left in reversed(self.lefts)))

    def boxes(self, turned: bool | None = None) -> list[Box]:
        """Return the windows line by line or, where turned, column by column; by default as a wide one needs them."""
        if self.wide if turned is None else turned:
            return [(rows, columns) for columns, rows in self.mT.boxes(turned=False)]
        height, width = self.window
        return [(slice(y, y + height), slice(x, x + width)) for y in self.tops for x in self.lefts]


Cut = Callable[[Size], Grid]
"""Chooses the windows of an image of some (height, width)."""


def whole(size: Size) -> Grid:
    """Return one window: the image."""
    return Grid(size, (0,), (0,))


def sliding(size: Size, *, window: Size, overlap: float) -> Grid:
    """Return windows at equal steps; the last ones are shifted back inside, as in mmsegmentation's slide mode.

    An image that is smaller than the window, in one direction or both, is its own window there: nothing is padded.

    Args:
        size: (height, width) of the image.
        window: (height, width).
        overlap: least share of a window that its neighbour covers, too; a third of 512 makes a step of 341.
    """
    fitting = min(window[0], size[0]), min(window[1], size[1])
    tops, lefts = (_starts(size[i], fitting[i], _step(window[i], overlap)) for i in (0, 1))
    return Grid(fitting, tops, lefts)


def cut_of(recipe: Recipe) -> Cut:
    """Return what cuts images, brought to the model's input size, as a resolved recipe says."""
    if recipe.evaluate.window == "whole":
        return whole
    return partial(sliding, window=recipe.augment.size, overlap=recipe.evaluate.overlap)


def _step(window: int, overlap: float) -> int:
    # A tenth of ten is one, whatever the rounding of 1 - 0.9 says.
    return max(1, int(window * (1 - overlap) + 1e-9))


def _starts(length: int, window: int, step: int) -> tuple[int, ...]:
    """Return where windows begin; together they cover `length`."""
    return (*range(0, length - window, step), length - window)
