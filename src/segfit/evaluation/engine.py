"""Scoring a model: counts in integers, the same batches and so the same numbers for any number of ranks."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PillowImage
from torch import Tensor

from segfit.data.loader import EvalLoader, EvalSample
from segfit.evaluation.batching import by_shape
from segfit.evaluation.boundary import BoundaryCounts, boundary_counts
from segfit.evaluation.calibration import EVERY, Calibration, calibration_counts
from segfit.evaluation.confusion import confusion_matrix
from segfit.evaluation.records import ImageRecord
from segfit.evaluation.segment import Segmentation
from segfit.evaluation.sparse import SparseBoundary, SparseConfusion
from segfit.evaluation.views import View
from segfit.labels import LabelSpace, Mask
from segfit.losses import Loss
from segfit.models import Output
from segfit.training.parallel import Ranks

__all__ = ["Evaluation", "evaluate_model", "write_label_map"]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What scoring a split gives.

    Attributes:
        confusion: `(K, K)` int64, rows target, columns prediction, over all images and ranks.
        loss: mean validation loss over the pixels that the model saw, at its input size: a pixel that it sees several
            times (where windows overlap, mirrored, at another scale) counts each time; 0 when no loss was given.
        records: one per image, in the split's order, over all ranks.
        seconds: wall time.
        boundary: boundary and contour pixels over all images and ranks; None where they were not counted.
        calibration: confidences over all images and ranks; None likewise.
    """

    confusion: NDArray[np.int64]
    loss: float
    records: list[ImageRecord]
    seconds: float
    boundary: BoundaryCounts | None = None
    calibration: Calibration | None = None


def evaluate_model(
    segment: Segmentation,
    loader: EvalLoader,
    labels: LabelSpace,
    *,
    ranks: Ranks,
    loss: Loss | None = None,
    boundary: float | None = None,
    on_image: Callable[[str, NDArray[np.uint8]], None] | None = None,
    between: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Score a model on everything `loader` gives.

    Args:
        segment: has the model, on the rank's device; it is left in training mode if it was.
        loader: this rank's share of a split.
        labels: what the scores mean.
        ranks: this process among its peers.
        loss: computed, too, if given.
        boundary: look closer: at boundaries within this share of the image's diagonal, and at confidences.
        on_image: called with the id and the predicted `(H, W)` train ids of each image of this rank.
        between: called before each batch; what it raises ends the evaluation.

    Raises:
        RunError: memory does not even suffice for one image.
    """
    started = time.perf_counter()
    training = segment.model.training
    segment.model.eval()
    tally = _Tally(len(labels), ranks.device, None if boundary is None else _Closer(len(labels), boundary))
    try:
        for samples in by_shape(loader, loader.batch, _shapes, ahead=loader.ahead):
            between()
            sizes = [(sample.mask.shape[0], sample.mask.shape[1]) for sample in samples]
            measure = None if loss is None else _LossAndWeight(loss, samples, ranks.device)
            found = segment([sample.images for sample in samples], sizes, measure, every=tally.every)
            for value in found.measured:
                tally.loss += value
            for i, (sample, prediction) in enumerate(zip(samples, found.maps, strict=True)):
                tally.add(sample, prediction, found.seconds[i], found.confidence[i] if found.confidence else None)
                if on_image is not None:
                    on_image(sample.id, prediction.to(torch.uint8).cpu().numpy())
    finally:
        segment.model.train(training)
    return tally.total(ranks, loader.ids, started)


def _shapes(sample: EvalSample) -> tuple[tuple[int, ...], ...]:
    return tuple(image.shape for image in sample.images)


class _Closer:
    """Boundaries and confidences.

    Args:
        classes: K.
        distance: of boundaries, as a share of an image's diagonal.
    """

    def __init__(self, classes: int, distance: float) -> None:
        self.classes, self.distance = classes, distance
        self.boundary = BoundaryCounts.none(classes, distance)
        self.calibration = Calibration.none()

    def add(self, mask: Mask, prediction: Mask, confidence: NDArray[np.float32]) -> tuple[BoundaryCounts, float | None]:
        """Count an image; return its boundaries and its mean confidence."""
        boundary = boundary_counts(mask, prediction, self.classes, self.distance)
        calibration = calibration_counts(mask[::EVERY, ::EVERY], prediction[::EVERY, ::EVERY], confidence)
        self.boundary += boundary
        self.calibration += calibration
        return boundary, calibration.mean_confidence


class _Tally:
    """What one rank has counted.

    Args:
        classes: K.
        device: where predictions are.
        closer: counts boundaries and confidences; None where nobody asks for them.
    """

    def __init__(self, classes: int, device: torch.device, closer: _Closer | None) -> None:
        self.classes, self.device, self.closer = classes, device, closer
        self.confusion = torch.zeros(classes, classes, dtype=torch.int64, device=device)
        self.loss = torch.zeros(2, dtype=torch.float64, device=device)
        self.records: list[ImageRecord] = []

    @property
    def every(self) -> int | None:
        """At which rows and columns confidences are wanted."""
        return None if self.closer is None else EVERY

    def add(self, sample: EvalSample, prediction: Tensor, seconds: float, confidence: Tensor | None) -> None:
        """Count an image."""
        confusion = confusion_matrix(torch.from_numpy(sample.mask).to(self.device), prediction, self.classes)
        self.confusion += confusion
        boundary, mean = None, None
        if self.closer is not None:
            assert confidence is not None, "it was asked for"
            found = prediction.to(torch.uint8).cpu().numpy()
            boundary, mean = self.closer.add(sample.mask, found, confidence.cpu().numpy())
        self.records.append(
            ImageRecord(
                id=sample.id,
                height=sample.mask.shape[0],
                width=sample.mask.shape[1],
                seconds=seconds,
                confusion=SparseConfusion.of(confusion.cpu().numpy()),
                boundary=None if boundary is None else SparseBoundary.of(boundary),
                confidence=mean,
            )
        )

    def total(self, ranks: Ranks, ids: Sequence[str], started: float) -> Evaluation:
        """Return what all ranks counted; `ids` are those of the split, in its order."""
        total, weight = ranks.sum(self.loss).tolist()
        place = {name: i for i, name in enumerate(ids)}
        records = [record for share in ranks.gather(self.records) for record in share]
        closer = ranks.gather(self.closer)
        first, *others = [share for share in closer if share is not None] or [None]
        return Evaluation(
            confusion=ranks.sum(self.confusion).cpu().numpy(),
            loss=total / max(weight, 1.0),
            records=sorted(records, key=lambda record: place[record.id]),
            seconds=time.perf_counter() - started,
            boundary=None if first is None else sum((share.boundary for share in others), first.boundary),
            calibration=None if first is None else sum((share.calibration for share in others), first.calibration),
        )


def write_label_map(path: Path, mask: NDArray[np.uint8], colors: Sequence[tuple[int, int, int]]) -> None:
    """Write `(H, W)` ids below 256 as an 8-bit PNG whose palette shows `colors` and whose values are the ids."""
    picture = PillowImage.fromarray(mask)
    picture.putpalette([channel for color in colors for channel in color])
    path.parent.mkdir(parents=True, exist_ok=True)
    # Nearly as small as it gets, in a tenth of the time that the smallest file takes.
    picture.save(path, compress_level=3)


class _LossAndWeight:
    """Measures (loss times weight, weight) of forward passes at the size of the model's input, as training does.

    Args:
        loss: what is measured.
        samples: what is segmented.
        device: where the outputs are.
    """

    def __init__(self, loss: Loss, samples: Sequence[EvalSample], device: torch.device) -> None:
        self.loss, self.device = loss, device
        self._samples = samples
        self._masks: dict[tuple[int, tuple[int, int]], Mask] = {}

    def __call__(self, output: Output, views: Sequence[View]) -> Tensor:
        """Return both as a float64 tensor."""
        masks = [view.of(self._mask(view.image, view.size)) for view in views]
        target = torch.from_numpy(np.stack(masks)).to(self.device).long()
        weight = self.loss.weight(target)
        return torch.stack([self.loss(output, target)["loss"].double() * weight, weight])

    def _mask(self, image: int, size: tuple[int, int]) -> Mask:
        """Return the mask of a sample at a size of its input."""
        if (image, size) not in self._masks:
            mask = cv2.resize(self._samples[image].mask, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
            self._masks[image, size] = mask.astype(np.uint8)
        return self._masks[image, size]
