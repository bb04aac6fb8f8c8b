"""From an output to the best class of every pixel, strip by strip: the scores at full size are never made.

Shape suffixes: B batch, K classes, H W full size, h w native size, s rows of a strip.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from segfit.models import Output, Strip

__all__ = ["best_classes", "filled_map", "label_map", "strips"]


@torch.inference_mode()
def label_map(output: Output, size: tuple[int, int]) -> Tensor:
    """Return the best class of every pixel at `size`, `(B, H, W)`: ``output.dense(size).argmax(1)``.

    Of equal scores the first class wins. Enlarged scores differ from `Output.dense` by float32 rounding, so that where
    two classes tie within it, the other one may win.

    Args:
        output: what a model returned.
        size: (H, W).
    """
    shape = (len(output.native), *size)
    return filled_map(shape, ((strip.rows, output.rows(strip)) for strip in strips(output, size)))


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


def strips(output: Output, size: tuple[int, int]) -> Iterator[Strip]:
    """Yield strips that make up `size` and suit the device, those of reduced scores, too."""
    height, width = output.native.shape[-2:]
    reduction = max(1.0, height / size[0])
    return output.strips(size, output.rows_at_once(max(size[1], int(width * reduction))))
