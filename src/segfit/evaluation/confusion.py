"""The confusion matrix: every metric of segfit is a view of it."""

import torch
from torch import Tensor

from segfit.labels import IGNORE

__all__ = ["confusion_matrix"]

PIXELS = 1 << 20
"""Pixels counted at a time: most images at once, and of the largest ones no copies in wider types."""


def confusion_matrix(target: Tensor, prediction: Tensor, classes: int) -> Tensor:
    """Count how often each class was predicted where each class is true.

    Counts are exact integers, so matrices of images, batches and ranks may be summed in any order.

    Args:
        target: train ids of any shape and integer type; pixels that hold `labels.IGNORE` are left out.
        prediction: train ids 0..K-1 of any integer type, same shape and device.
        classes: K.

    Returns:
        `(K, K)` int64 on the device of the inputs; rows are the target, columns the prediction.
    """
    assert target.shape == prediction.shape, "one prediction per pixel"
    counts = torch.zeros(classes * classes + 1, dtype=torch.int64, device=target.device)
    parts = (torch.split(pixels.flatten(), PIXELS) for pixels in (target, prediction))
    for own_target, own_prediction in zip(*parts, strict=True):
        counts += _counts(own_target, own_prediction, classes)
    return counts[: classes * classes].view(classes, classes)


def _counts(target: Tensor, prediction: Tensor, classes: int) -> Tensor:
    """Return the entries of the confusion matrix of some pixels, row by row, and the number of ignored ones."""
    valid = target != IGNORE
    # Ignored pixels go to one more bin instead of being cut out: nothing is copied and no device waits for a size.
    rows = torch.where(valid, target.int(), classes)
    columns = torch.where(valid, prediction.int(), 0)
    assert not ((rows < 0) | (rows > classes) | (columns < 0) | (columns >= classes)).any(), "train ids are 0..K-1"
    # A target equal to K would land in the bin of the ignored pixels and vanish.
    assert not (valid & (rows == classes)).any(), "target train ids are 0..K-1"
    return torch.bincount(rows.mul_(classes).add_(columns), minlength=classes * classes + 1)
