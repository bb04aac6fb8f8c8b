"""From an output to the best class of every pixel, strip by strip: the scores at full size are never made.

Shape suffixes: B batch, K classes, H W full size, h w native size, s rows of a strip, n m every n-th row and column.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from segfit.models import Output, Strip

__all__ = ["Scores", "Strips", "best_classes", "confident", "filled_map", "label_map", "noted", "strips"]

Strips = Iterator[tuple[slice, Tensor]]
"""Scores from top to bottom, as (rows, `(B, K, s, W)`)."""


@dataclass(frozen=True)
class Scores:
    """Scores that are enlarged to any size, some rows at a time.

    Attributes:
        shape: an output whose strips say which rows are wanted of which native ones.
        rows: gives the scores `(B, K, s, W)` of such a strip; where they are made along the way, once and in order.
    """

    shape: Output
    rows: Callable[[Strip], Tensor]

    @classmethod
    def of(cls, output: Output) -> "Scores":
        """Return the scores of a whole image, or of a batch of them."""
        return cls(output, output.rows)

    def height(self, size: tuple[int, int]) -> int:
        """Return how many rows at `size` suit the device, those of reduced scores, too."""
        height, width = self.shape.native.shape[-2:]
        reduction = max(1.0, height / size[0])
        return self.shape.rows_at_once(max(size[1], int(width * reduction)))


@torch.inference_mode()
def label_map(output: Output, size: tuple[int, int]) -> Tensor:
    """Return the best class of every pixel at `size`, `(B, H, W)`: ``output.dense(size).argmax(1)``.

    Of equal scores the first class wins. Enlarged scores differ from `Output.dense` by float32 rounding, so that where
    two classes tie within it, the other one may win.

    Args:
        output: what a model returned.
        size: (H, W).
    """
    return filled_map((len(output.native), *size), strips(Scores.of(output), size))


def strips(scores: Scores, size: tuple[int, int]) -> Strips:
    """Yield scores enlarged to `size` = (H, W), as many rows at a time as suit the device."""
    for strip in scores.shape.strips(size, scores.height(size)):
        yield strip.rows, scores.rows(strip)


def filled_map(shape: tuple[int, int, int], scores: Iterable[tuple[slice, Tensor]]) -> Tensor:
    """Return the best classes `(B, H, W)` of scores that come as (rows, `(B, K, s, W)`) and make up all rows."""
    labels: Tensor | None = None
    for rows, strip in scores:
        best = best_classes(strip)
        if labels is None:
            labels = best.new_empty(shape)
        labels[:, rows] = best
    assert labels is not None, "an image has at least one row"
    return labels


def best_classes(scores: Tensor) -> Tensor:
    """Return the class of the highest score, the first of equals: `(B, K, s, W)` to `(B, s, W)` uint8 (or int16).

    It is `argmax` of scores that are numbers. On a CPU torch's goes through the classes of one pixel after the other:
    right where these lie side by side (channels last), and several times slower than this where they do not.
    """
    classes = scores.shape[1]
    kind = torch.uint8 if classes <= 256 else torch.int16
    if scores.stride(1) == 1:
        return scores.argmax(1).to(kind)
    # The first of the classes that reach the maximum is the one with the most classes from it to the last one.
    left = torch.arange(classes - 1, -1, -1, dtype=kind, device=scores.device).view(-1, 1, 1)
    reached = scores == scores.amax(1, keepdim=True)
    return (classes - 1) - (reached * left).amax(1)


# --- confidence ------------------------------------------------------------------------------------------------------


def noted(scores: Strips, every: int, of: Callable[[Tensor], Tensor], notes: list[Tensor]) -> Strips:
    """Pass strips on, and note on the way how sure they are of their best classes.

    Args:
        scores: as they come.
        every: which rows and columns are looked at: 0, every, 2 * every, …
        of: what makes it of scores, `(B, K, n, m)` to `(B, n, m)`.
        notes: to which it is added: together `(B, ceil(H / every), ceil(W / every))`, row by row.
    """
    for rows, strip in scores:
        first = -rows.start % every
        if first < strip.shape[2]:
            notes.append(of(strip[:, :, first::every, ::every]))
        yield rows, strip


def confident(scores: Tensor) -> Tensor:
    """Return the softmax probability of the best class, `(B, K, n, m)` scores to `(B, n, m)` float32."""
    # On a CPU several times faster than over classes that lie apart; and these are few pixels.
    return scores.movedim(1, -1).contiguous().softmax(-1, torch.float32).amax(-1)
