"""Scoring a model: counts in integers, the same batches and so the same numbers for any number of ranks."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PillowImage
from torch import Tensor

from segfit.data.loader import EvalLoader, EvalSample
from segfit.data.parallel import in_order, start_threads
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
        on_image: called with the id and the predicted `(H, W)` train ids of each image of this rank, in a thread of
            its own.
        between: called before each batch; what it raises ends the evaluation.

    Raises:
        RunError: memory does not even suffice for one image.
    """
    started = time.perf_counter()
    training = segment.model.training
    segment.model.eval()
    tally = _Tally(len(labels), None if boundary is None else _Closer.none(len(labels), boundary))
    measures = _Measures(loss, ranks.device)

    def seen() -> Iterator[_Seen]:
        for samples in by_shape(loader, loader.batch, _shapes, ahead=loader.ahead):
            between()
            yield from _segmented(segment, samples, measures, every=None if boundary is None else EVERY)

    def count(one: _Seen) -> _Counted:
        if on_image is not None:
            on_image(one.id, one.prediction)
        return _Counted.of(one, len(labels), boundary)

    try:
        # Beside the forward passes, whose processor would wait for it otherwise.
        with start_threads(1) as beside:
            for counted in in_order(beside, count, seen(), ahead=WAITING):
                tally.add(counted)
    finally:
        segment.model.train(training)
    return tally.total(ranks, measures.total, loader.ids, started)


WAITING = 4
"""How many label maps wait in memory to be counted."""


def _shapes(sample: EvalSample) -> tuple[tuple[int, ...], ...]:
    return tuple(image.shape for image in sample.images)


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """An image's id, its `(H, W)` truth and prediction, how long the model took, and how sure it is at some pixels."""

    id: str
    mask: Mask
    prediction: Mask
    seconds: float
    confidence: NDArray[np.float32] | None


def _segmented(
    segment: Segmentation, samples: Sequence[EvalSample], measures: "_Measures", *, every: int | None
) -> Iterator[_Seen]:
    """Segment samples of one shape and bring the maps to the host."""
    sizes = [(sample.mask.shape[0], sample.mask.shape[1]) for sample in samples]
    found = segment([sample.images for sample in samples], sizes, measures.of(samples), every=every)
    measures.add(found.measured)
    for i, (sample, prediction) in enumerate(zip(samples, found.maps, strict=True)):
        yield _Seen(
            id=sample.id,
            mask=sample.mask,
            prediction=prediction.to(torch.uint8).cpu().numpy(),
            seconds=found.seconds[i],
            confidence=found.confidence[i].cpu().numpy() if found.confidence else None,
        )


@dataclass(frozen=True, kw_only=True)
class _Closer:
    """Boundaries and confidences, of an image or of many."""

    boundary: BoundaryCounts
    calibration: Calibration

    @classmethod
    def none(cls, classes: int, distance: float) -> "_Closer":
        """Return those of no image."""
        return cls(boundary=BoundaryCounts.none(classes, distance), calibration=Calibration.none())

    @classmethod
    def of(cls, seen: _Seen, classes: int, distance: float) -> "_Closer":
        """Count an image."""
        assert seen.confidence is not None, "it was asked for"
        mask, found = seen.mask, seen.prediction
        return cls(
            boundary=boundary_counts(mask, found, classes, distance),
            calibration=calibration_counts(mask[::EVERY, ::EVERY], found[::EVERY, ::EVERY], seen.confidence),
        )

    def __add__(self, other: "_Closer") -> "_Closer":
        return _Closer(boundary=self.boundary + other.boundary, calibration=self.calibration + other.calibration)


@dataclass(frozen=True, kw_only=True)
class _Counted:
    """What an image adds to the counts, and its record."""

    confusion: NDArray[np.int64]
    closer: _Closer | None
    record: ImageRecord

    @classmethod
    def of(cls, seen: _Seen, classes: int, distance: float | None) -> "_Counted":
        """Count an image; boundaries and confidences, too, where there is a distance."""
        mask = seen.mask
        confusion = confusion_matrix(torch.from_numpy(mask), torch.from_numpy(seen.prediction), classes).numpy()
        closer = None if distance is None else _Closer.of(seen, classes, distance)
        record = ImageRecord(
            id=seen.id,
            height=mask.shape[0],
            width=mask.shape[1],
            seconds=seen.seconds,
            confusion=SparseConfusion.of(confusion),
            boundary=None if closer is None else SparseBoundary.of(closer.boundary),
            confidence=None if closer is None else closer.calibration.mean_confidence,
        )
        return cls(confusion=confusion, closer=closer, record=record)


class _Tally:
    """What one rank has counted.

    Args:
        classes: K.
        closer: no boundaries and confidences; None where nobody asks for them.
    """

    def __init__(self, classes: int, closer: _Closer | None) -> None:
        self.confusion = np.zeros((classes, classes), np.int64)
        self.closer = closer
        self.records: list[ImageRecord] = []

    def add(self, counted: _Counted) -> None:
        """Take in an image."""
        self.confusion += counted.confusion
        if self.closer is not None and counted.closer is not None:
            self.closer += counted.closer
        self.records.append(counted.record)

    def total(self, ranks: Ranks, loss: Tensor, ids: Sequence[str], started: float) -> Evaluation:
        """Return what all ranks counted; `loss` is this rank's, and `ids` are those of the split, in its order."""
        total, weight = ranks.sum(loss).tolist()
        place = {name: i for i, name in enumerate(ids)}
        records = [record for share in ranks.gather(self.records) for record in share]
        first, *others = [share for share in ranks.gather(self.closer) if share is not None] or [None]
        closer = None if first is None else sum(others, first)
        confusion = torch.from_numpy(self.confusion).to(ranks.device)
        return Evaluation(
            confusion=ranks.sum(confusion).cpu().numpy(),
            loss=total / max(weight, 1.0),
            records=sorted(records, key=lambda record: place[record.id]),
            seconds=time.perf_counter() - started,
            boundary=None if closer is None else closer.boundary,
            calibration=None if closer is None else closer.calibration,
        )


def write_label_map(path: Path, mask: NDArray[np.uint8], colors: Sequence[tuple[int, int, int]]) -> None:
    """Write `(H, W)` ids below 256 as an 8-bit PNG whose palette shows `colors` and whose values are the ids."""
    picture = PillowImage.fromarray(mask)
    picture.putpalette([channel for color in colors for channel in color])
    path.parent.mkdir(parents=True, exist_ok=True)
    # Nearly as small as it gets, in a tenth of the time that the smallest file takes.
    picture.save(path, compress_level=3)


class _Measures:
    """The loss of the images that a rank has seen.

    Args:
        loss: None: nothing is measured.
        device: where outputs are.
    """

    def __init__(self, loss: Loss | None, device: torch.device) -> None:
        self.loss = loss
        self.total = torch.zeros(2, dtype=torch.float64, device=device)

    def of(self, samples: Sequence[EvalSample]) -> "_LossAndWeight | None":
        """Return what measures a forward pass over samples."""
        return None if self.loss is None else _LossAndWeight(self.loss, samples, self.total.device)

    def add(self, measured: Sequence[Tensor]) -> None:
        """Take in what was measured."""
        for value in measured:
            self.total += value


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
