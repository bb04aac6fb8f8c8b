"""Dice, IoU, precision, recall and accuracies as views of a confusion matrix, in float64 from exact integer counts.

**Which classes count.** A class *occurs* when at least one valid pixel has it in the ground truth or in the prediction.
Means are taken over the classes that occur: a class that was predicted but is nowhere true scores 0, a class that is
neither true nor predicted has no score (None) and does not enter. This is the rule of torchmetrics' macro averages.
mmsegmentation agrees for IoU and Dice, but leaves a class that is only predicted out of the mean accuracy.

**Which average.** *macro*: every class that occurs weighs the same. *micro*: the pixels of all classes are added up
before dividing. *weighted*: every class weighs as much as it has pixels in the ground truth.

**Over which pixels.** `scores` adds up the counts of all images before it divides, as ADE20K's benchmark does;
`per_image` takes the macro average within each image and the mean over images. The two readings differ; say which one
you quote.

Shape suffixes: K classes, M >= K columns of a confusion matrix (those from K on mean "none of the classes").
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segfit.errors import DataError

__all__ = [
    "METRICS",
    "Averages",
    "ClassCounts",
    "Scores",
    "class_counts",
    "macro_dice",
    "macro_iou",
    "majority_baseline",
    "majority_counts",
    "per_image",
    "per_image_dice",
    "ratio",
    "scores",
    "scores_from_counts",
    "summary",
]

METRICS = ("dice", "iou", "precision", "recall")
"""What every class has and every average is taken of."""

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
        return ratio(2 * self.hits, self.target + self.prediction)

    @property
    def iou(self) -> Values:
        """`(..., K)` intersection over union = TP / (TP + FP + FN); 0 for classes that do not occur."""
        return ratio(self.hits, self.target + self.prediction - self.hits)

    @property
    def precision(self) -> Values:
        """`(..., K)` TP / (TP + FP); 0 for classes that are never predicted."""
        return ratio(self.hits, self.prediction)

    @property
    def recall(self) -> Values:
        """`(..., K)` TP / (TP + FN), which mmsegmentation calls accuracy; 0 for classes that are nowhere true."""
        return ratio(self.hits, self.target)

    def pooled(self) -> "ClassCounts":
        """Return the `(..., 1)` counts of all classes together: their metrics are the micro averages."""
        hits, target, prediction = (
            counts.sum(axis=-1, keepdims=True) for counts in (self.hits, self.target, self.prediction)
        )
        return ClassCounts(hits=hits, target=target, prediction=prediction)

    def total(self) -> "ClassCounts":
        """Return the `(K,)` counts over everything."""
        hits, target, prediction = (
            counts.reshape(-1, counts.shape[-1]).sum(axis=0) for counts in (self.hits, self.target, self.prediction)
        )
        return ClassCounts(hits=hits, target=target, prediction=prediction)


@dataclass(frozen=True, kw_only=True)
class Averages:
    """One average of each of `METRICS`, in [0, 1]."""

    dice: float
    iou: float
    precision: float
    recall: float


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The metrics of one set of pixels, all in [0, 1]; None for a class that does not occur.

    Attributes:
        macro: means over the classes that occur.
        micro: of the pixels of all classes together.
        weighted: means over the classes, weighted by their pixels in the ground truth.
        class_dice: 2 TP / (2 TP + FP + FN) of each class.
        class_iou: TP / (TP + FP + FN) of each class.
        class_precision: TP / (TP + FP) of each class; 0 for a class that is never predicted.
        class_recall: TP / (TP + FN) of each class; 0 for a class that is only predicted.
        class_pixels: pixels of each class in the ground truth.
    """

    macro: Averages
    micro: Averages
    weighted: Averages
    class_dice: tuple[float | None, ...]
    class_iou: tuple[float | None, ...]
    class_precision: tuple[float | None, ...]
    class_recall: tuple[float | None, ...]
    class_pixels: tuple[int, ...]

    @property
    def dice(self) -> float:
        """Macro Dice."""
        return self.macro.dice

    @property
    def miou(self) -> float:
        """Macro IoU."""
        return self.macro.iou

    @property
    def pixel_accuracy(self) -> float:
        """Share of the valid pixels that are right: micro recall."""
        return self.micro.recall

    @property
    def mean_accuracy(self) -> float:
        """Mean over the classes of the share of their pixels that is right: macro recall."""
        return self.macro.recall

    @property
    def frequency_weighted_iou(self) -> float:
        """Weighted IoU."""
        return self.weighted.iou

    @property
    def class_accuracy(self) -> tuple[float | None, ...]:
        """What mmsegmentation calls `class_recall`."""
        return self.class_recall


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
    return _macro(counts, "dice")


def macro_iou(counts: ClassCounts) -> Values:
    """Return the mean IoU over the classes that occur, `(...)` for counts `(..., K)`; NaN where none occurs."""
    return _macro(counts, "iou")


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
    pooled = counts.pooled()
    per_class = {name: getattr(counts, name) for name in METRICS}
    return Scores(
        macro=_averages({name: _macro(counts, name) for name in METRICS}),
        micro=_averages({name: getattr(pooled, name)[0] for name in METRICS}),
        weighted=_averages({name: (values * counts.target).sum() / pixels for name, values in per_class.items()}),
        **{f"class_{name}": _or_none(values, counts.occurs) for name, values in per_class.items()},
        class_pixels=tuple(counts.target.tolist()),
    )


def per_image(counts: ClassCounts) -> Averages:
    """Return the means over images of each image's macro averages; an image without a valid pixel does not enter.

    Args:
        counts: `(N, K)` counts of N images: ``class_counts(confusions)`` or `Records.class_counts`.

    Raises:
        DataError: no image has a valid pixel.
    """
    assert counts.target.ndim == 2, "one row per image"
    valid = counts.target.any(axis=-1)
    if not valid.any():
        raise DataError(_NOTHING)
    return _averages({name: _macro(counts, name)[valid].mean() for name in METRICS})


def per_image_dice(counts: ClassCounts) -> float:
    """Return the mean over images of each image's macro Dice; see `per_image`."""
    return per_image(counts).dice


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
    """Return scores as JSON-ready values.

    Args:
        result: scores of K classes.
        names: K names.

    Returns:
        ``scores`` (the means that have names of their own), ``averages`` (of each metric) and ``per_class`` (every
        class, in order).
    """
    columns = {
        "name": names,
        "pixels": result.class_pixels,
        **{name: getattr(result, f"class_{name}") for name in METRICS},
        "accuracy": result.class_accuracy,
    }
    return {
        "scores": {
            "dice": result.dice,
            "miou": result.miou,
            "pixel_accuracy": result.pixel_accuracy,
            "mean_accuracy": result.mean_accuracy,
            "frequency_weighted_iou": result.frequency_weighted_iou,
        },
        "averages": {kind: asdict(getattr(result, kind)) for kind in ("macro", "micro", "weighted")},
        "per_class": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)],
    }


_NOTHING = "nothing to score: every pixel of the ground truth is ignored: check the label space against the masks"


def ratio(numerator: NDArray[Any], denominator: NDArray[Any], *, empty: float = 0.0) -> Values:
    """Divide in float64; `empty` where the denominator is 0."""
    result: Values = np.full(np.shape(denominator), empty, dtype=np.float64)
    np.divide(numerator, denominator, out=result, where=np.asarray(denominator) > 0)
    return result


def _macro(counts: ClassCounts, metric: str) -> Values:
    """Return the mean over the classes that occur, `(...)` for counts `(..., K)`; NaN where none occurs."""
    # Every metric is 0 for the classes that do not occur.
    return ratio(getattr(counts, metric).sum(axis=-1), counts.occurs.sum(axis=-1), empty=np.nan)


def _averages(values: Mapping[str, Any]) -> Averages:
    return Averages(**{name: float(value) for name, value in values.items()})


def _or_none(values: Values, occurs: NDArray[np.bool_]) -> tuple[float | None, ...]:
    return tuple(value if there else None for value, there in zip(values.tolist(), occurs.tolist(), strict=True))
