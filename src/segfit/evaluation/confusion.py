"""The confusion matrix: every metric of segfit is a view of it."""

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segfit.labels import IGNORE

__all__ = ["confusion_matrix"]

PIXELS = 1 << 20
"""Pixels counted at a time: most images at once, and of the largest ones no copies in other types.

OpenCV returns counts as float32, which holds every whole number up to 2^24 pixels.
"""

WRONG = "train ids are 0..K-1"


def confusion_matrix(target: Tensor, prediction: Tensor, classes: int) -> Tensor:
    """Count how often each class was predicted where each class is true.

    Counts are exact integers, so matrices of images, batches and ranks may be summed in any order.

    Args:
        target: train ids of any shape and integer type; pixels that hold `labels.IGNORE` are left out.
        prediction: train ids 0..K-1 of any integer type, same shape and device.
        classes: K, at most 255.

    Returns:
        `(K, K)` int64 on the device of the inputs; rows are the target, columns the prediction.
    """
    assert target.shape == prediction.shape, "one prediction per pixel"
    assert classes <= IGNORE, "train ids are bytes below the ignore index"
    count = _count_on_cpu if target.device.type == "cpu" else _count_on_gpu
    counts = torch.zeros(classes, classes, dtype=torch.int64, device=target.device)
    parts = (torch.split(pixels.flatten(), PIXELS) for pixels in (target, prediction))
    for own_target, own_prediction in zip(*parts, strict=True):
        counts += count(own_target, own_prediction, classes)
    return counts


def _count_on_cpu(target: Tensor, prediction: Tensor, classes: int) -> Tensor:
    """Return the confusion matrix of `(n,)` pixels: the histogram of two images' pairs of bytes, made by OpenCV."""
    rows, columns = target.numpy(), prediction.numpy()
    assert _are_bytes(rows), WRONG
    if not _are_bytes(columns):
        columns = np.where((columns < 0) | (columns > IGNORE), IGNORE, columns)
    images = [np.asarray(ids, dtype=np.uint8)[None] for ids in (rows, columns)]
    counts = cv2.calcHist(images, [0, 1], None, [classes, classes], [0, classes, 0, classes]).astype(np.int64)
    # The histogram leaves out every id from K on. That must be the ignored pixels and nothing else.
    assert counts.sum() == np.count_nonzero(images[0] != IGNORE), WRONG
    return torch.from_numpy(counts)


def _are_bytes(ids: NDArray[Any]) -> bool:
    # A bit that no byte has, or the sign, is in all of them together if it is in one of them: one pass over the ids.
    return ids.dtype == np.uint8 or 0 <= int(np.bitwise_or.reduce(ids)) <= IGNORE


def _count_on_gpu(target: Tensor, prediction: Tensor, classes: int) -> Tensor:
    """Return the confusion matrix of `(n,)` pixels, counted where they are."""
    valid = target != IGNORE
    # Ignored pixels go to one more bin instead of being cut out: nothing is copied and no device waits for a size.
    rows = torch.where(valid, target.long(), classes)
    columns = torch.where(valid, prediction.long(), 0)
    # A target equal to K would land in the bin of the ignored pixels and vanish.
    wrong = (rows < 0) | (rows > classes) | (columns < 0) | (columns >= classes) | (valid & (rows == classes))
    assert not wrong.any(), WRONG
    counts = torch.bincount(rows.mul_(classes).add_(columns), minlength=classes * classes + 1)
    return counts[: classes * classes].view(classes, classes)
