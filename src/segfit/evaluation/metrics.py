"""Dice, IoU and accuracies as views of a confusion matrix, in float64 from exact integer counts.

**Which classes count.** A class *occurs* when at least one valid pixel has it in the ground truth or in the prediction.
Means are taken over the classes that occur: a class that was predicted but is nowhere true scores 0, a class that is
neither true nor predicted has no score (None) and does not enter. This is the rule of torchmetrics' macro averages.
mmsegmentation agrees for IoU and Dice, but leaves a class that is only predicted out of the mean accuracy.

**Over which pixels.** `scores` adds up the counts of all images before it divides, as ADE20K's benchmark does;
`per_image_dice` divides within each image and averages the images. The two readings differ; say which one you quote.

Shape suffixes: K classes, M >= K columns of a confusion matrix (those from K on mean "none of the classes").
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segfit.errors import DataError

__all__ = [
    "ClassCounts",
    "Scores",
    "class_counts",
    "macro_dice",
    "macro_iou",
    "majority_baseline",
    "majority_counts",
    "per_image_dice",
    "scores",
    "scores_from_counts",
    "summary",
]

Counts = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassCounts:
    """Pixels per class, all that the metrics need of a confusion matrix; sums of it are sums over images.

    Attributes:
        hits: `(..., K)` int64 pixels of the class that were predicted as it (TP).
        target: `(..., K)` int64 pixels of the class (TP + FN).
        prediction: `(..., K)` int64 pixels predicted as the class (TP + FP).
    """

    hits: Counts
    target: Counts
    prediction: Counts

    @property
    def occurs(self) -> NDArray[np.bool_]:
        """`(..., K)`: the class is in the ground truth or in the prediction."""
        return (self.target + self.prediction) > 0

    @property
    def dice(self) -> Values:
        """`(..., K)` Dice = 2 TP / (2 TP + FP + FN); 0 for classes that do not occur."""
        return _ratio(2 * self.hits, self.target + self.prediction)

    @property
    def iou(self) -> Values:
        """`(..., K)` intersection over union = TP / (TP + FP + FN); 0 for classes that do not occur."""
        return _ratio(self.hits, self.target + self.prediction - self.hits)

    def total(self) -> "ClassCounts":
        """Return the `(K,)` counts over everything."""
        hits, target, prediction = (
            counts.reshape(-1, counts.shape[-1]).sum(axis=0) for counts in (self.hits, self.target, self.prediction)
        )
        return ClassCounts(hits=hits, target=target, prediction=prediction)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The metrics of one set of pixels, all in [0, 1]; None for a class that does not occur.

    Attributes:
        dice: mean of `class_dice` over the classes that occur.
        miou: mean of `class_iou` over the classes that occur.
        pixel_accuracy: share of the valid pixels that are right.
        mean_accuracy: mean of `class_accuracy` over the classes that occur.
        frequency_weighted_iou: mean of `class_iou` weighted by the pixels of each class.
        class_dice: 2 TP / (2 TP + FP + FN) of each class.
        class_iou: TP / (TP + FP + FN) of each class.
        class_accuracy: TP / (TP + FN) of each class (recall); 0 for a class that is only predicted.
        class_precision: TP / (TP + FP) of each class; 0 for a class that is never predicted.
        class_pixels: pixels of each class in the ground truth.
    """

    dice: float
    miou: float
    pixel_accuracy: float
    mean_accuracy: float
    frequency_weighted_iou: float
    class_dice: tuple[float | None, ...]
    class_iou: tuple[float | None, ...]
    class_accuracy: tuple[float | None, ...]
    class_precision: tuple[float | None, ...]
    class_pixels: tuple[int, ...]


def class_counts(confusion: Counts) -> ClassCounts:
    """Reduce confusion matrices to the counts per class.

    Args:
        confusion: `(..., K, M)` integers; rows are the target. Columns from K on hold pixels that were given none of
            the classes: always wrong, and no class's false positive.
    """
    classes = confusion.shape[-2]
    assert np.issubdtype(confusion.dtype, np.integer), "counts are integers"
    assert confusion.shape[-1] >= classes, "rows are the target, columns the prediction"
    return ClassCounts(
        hits=np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.int64),
        target=confusion.sum(axis=-1, dtype=np.int64),
        prediction=confusion[..., :classes].sum(axis=-2, dtype=np.int64),
    )


def macro_dice(counts: ClassCounts) -> Values:
    """Return the mean Dice over the classes that occur, `(...)` for counts `(..., K)`; NaN where none occurs."""
    return _ratio(counts.dice.sum(axis=-1), counts.occurs.sum(axis=-1), empty=np.nan)


def macro_iou(counts: ClassCounts) -> Values:
    """Return the mean IoU over the classes that occur, `(...)` for counts `(..., K)`; NaN where none occurs."""
    return _ratio(counts.iou.sum(axis=-1), counts.occurs.sum(axis=-1), empty=np.nan)


def scores(confusion: Counts) -> Scores:
    """Compute every metric of one confusion matrix.

    Args:
        confusion: `(K, M)` as in `class_counts`.

    Raises:
        DataError: the matrix is empty: every pixel of the ground truth is ignored.
    """
    return scores_from_counts(class_counts(confusion))


def scores_from_counts(counts: ClassCounts) -> Scores:
    """Compute every metric of `(K,)` counts.

    Raises:
        DataError: there is no pixel: all of the ground truth is ignored.
    """
    assert counts.target.ndim == 1, "one set of pixels"
    pixels = int(counts.target.sum())
    if pixels == 0:
        raise DataError(_NOTHING)
    occurs = counts.occurs
    accuracy = _ratio(counts.hits, counts.target)
    precision = _ratio(counts.hits, counts.prediction)
    return Scores(
        dice=float(macro_dice(counts)),
        miou=float(macro_iou(counts)),
        pixel_accuracy=int(counts.hits.sum()) / pixels,
        mean_accuracy=float(accuracy.sum() / occurs.sum()),
        frequency_weighted_iou=float((counts.iou * counts.target).sum() / pixels),
        class_dice=_per_class(counts.dice, occurs),
        class_iou=_per_class(counts.iou, occurs),
        class_accuracy=_per_class(accuracy, occurs),
        class_precision=_per_class(precision, occurs),
        class_pixels=tuple(counts.target.tolist()),
    )


def per_image_dice(counts: ClassCounts) -> float:
    """Return the mean over images of each image's macro Dice; an image without a valid pixel does not enter.

    Args:
        counts: `(N, K)` counts of N images: ``class_counts(confusions)`` or `Records.class_counts`.

    Raises:
        DataError: no image has a valid pixel.
    """
    assert counts.target.ndim == 2, "one row per image"
    values = macro_dice(counts)[counts.target.any(axis=-1)]
    if len(values) == 0:
        raise DataError(_NOTHING)
    return float(values.mean())


def majority_counts(target: Counts) -> ClassCounts:
    """Return the counts of predicting the class that is most common overall (the first one of several) everywhere.

    Args:
        target: `(..., K)` pixels of each class in the ground truth, of one set of pixels or of each image.
    """
    overall = target.reshape(-1, target.shape[-1]).sum(axis=0)
    majority = np.arange(len(overall)) == overall.argmax()
    return ClassCounts(
        hits=np.where(majority, target, 0),
        target=target,
        prediction=np.where(majority, target.sum(axis=-1, keepdims=True), 0),
    )


def majority_baseline(target: Counts) -> Scores:
    """Return the scores of predicting the most common class everywhere; see `majority_counts`.

    Raises:
        DataError: there is no pixel: all of the ground truth is ignored.
    """
    return scores_from_counts(majority_counts(target).total())


def summary(result: Scores, names: tuple[str, ...]) -> dict[str, Any]:
    """Return scores as JSON-ready values: ``scores`` (the means) and ``per_class`` (every class, in order).

    Args:
        result: scores of K classes.
        names: K names.
    """
    columns = {
        "name": names,
        "pixels": result.class_pixels,
        "dice": result.class_dice,
        "iou": result.class_iou,
        "accuracy": result.class_accuracy,
        "precision": result.class_precision,
    }
    return {
        "scores": {
            "dice": result.dice,
            "miou": result.miou,
            "pixel_accuracy": result.pixel_accuracy,
            "mean_accuracy": result.mean_accuracy,
            "frequency_weighted_iou": result.frequency_weighted_iou,
        },
        "per_class": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)],
    }


_NOTHING = "nothing to score: every pixel of the ground truth is ignored: check the label space against the masks"


def _ratio(numerator: NDArray[Any], denominator: NDArray[Any], *, empty: float = 0.0) -> Values:
    """Divide in float64; `empty` where the denominator is 0."""
    result: Values = np.full(np.shape(denominator), empty, dtype=np.float64)
    np.divide(numerator, denominator, out=result, where=np.asarray(denominator) > 0)
    return result


def _per_class(values: Values, occurs: NDArray[np.bool_]) -> tuple[float | None, ...]:
    return tuple(value if there else None for value, there in zip(values.tolist(), occurs.tolist(), strict=True))
