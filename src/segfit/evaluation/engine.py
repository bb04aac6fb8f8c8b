"""Scoring a model: every image at its original size, counts in integers, the same numbers for any number of ranks."""

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

from segfit.data import Sample
from segfit.data.loader import EvalLoader
from segfit.evaluation.confusion import confusion_matrix
from segfit.evaluation.records import ImageRecord, SparseConfusion
from segfit.evaluation.segment import Segmentation, View
from segfit.labels import LabelSpace
from segfit.losses import Loss
from segfit.models import Output
from segfit.training.parallel import Ranks

__all__ = ["Evaluation", "evaluate_model", "write_label_map"]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What scoring a split gives.

    Attributes:
        confusion: `(K, K)` int64, rows target, columns prediction, over all images and ranks.
        loss: mean validation loss over the pixels that the model saw, at its input size: where windows overlap, a pixel
            counts in each; 0 when no loss was given.
        records: one per image, in the split's order, over all ranks.
        seconds: wall time.
    """

    confusion: NDArray[np.int64]
    loss: float
    records: list[ImageRecord]
    seconds: float


def evaluate_model(
    segment: Segmentation,
    loader: EvalLoader,
    labels: LabelSpace,
    *,
    ranks: Ranks,
    loss: Loss | None = None,
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
        on_image: called with the id and the predicted `(H, W)` train ids of each image of this rank.
        between: called before each batch; what it raises ends the evaluation.

    Raises:
        RunError: memory does not even suffice for one image.
    """
    started = time.perf_counter()
    training = segment.model.training
    segment.model.eval()
    counts = torch.zeros(len(labels), len(labels), dtype=torch.int64, device=ranks.device)
    losses = torch.zeros(2, dtype=torch.float64, device=ranks.device)
    records: list[ImageRecord] = []
    try:
        for samples in loader:
            between()
            sizes = [(sample.mask.shape[0], sample.mask.shape[1]) for sample in samples]
            measure = None if loss is None else _LossAndWeight(loss, samples, ranks.device)
            found = segment([sample.image for sample in samples], sizes, measure)
            for value in found.measured:
                losses += value
            for sample, prediction, seconds in zip(samples, found.maps, found.seconds, strict=True):
                target = torch.from_numpy(sample.mask).to(ranks.device)
                confusion = confusion_matrix(target, prediction, len(labels))
                counts += confusion
                records.append(
                    ImageRecord(
                        id=sample.id,
                        height=sample.mask.shape[0],
                        width=sample.mask.shape[1],
                        seconds=seconds,
                        confusion=SparseConfusion.of(confusion.cpu().numpy()),
                    )
                )
                if on_image is not None:
                    on_image(sample.id, prediction.to(torch.uint8).cpu().numpy())
    finally:
        segment.model.train(training)
    total, weight = ranks.sum(losses).tolist()
    return Evaluation(
        confusion=ranks.sum(counts).cpu().numpy(),
        loss=total / max(weight, 1.0),
        records=_in_order(ranks.gather(records), loader.batch),
        seconds=time.perf_counter() - started,
    )


def write_label_map(path: Path, mask: NDArray[np.uint8], colors: Sequence[tuple[int, int, int]]) -> None:
    """Write `(H, W)` ids below 256 as an 8-bit PNG whose palette shows `colors` and whose values are the ids."""
    picture = PillowImage.fromarray(mask)
    picture.putpalette([channel for color in colors for channel in color])
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, optimize=True)


class _LossAndWeight:
    """Measures (loss times weight, weight) of forward passes at the size of the model's input, as training does.

    Args:
        loss: what is measured.
        samples: what is segmented.
        device: where the outputs are.
    """

    def __init__(self, loss: Loss, samples: Sequence[Sample], device: torch.device) -> None:
        self.loss, self.device = loss, device
        self._masks = [
            cv2.resize(s.mask, (s.image.shape[1], s.image.shape[0]), interpolation=cv2.INTER_NEAREST_EXACT)
            for s in samples
        ]

    def __call__(self, output: Output, views: Sequence[View]) -> Tensor:
        """Return both as a float64 tensor."""
        masks = [self._masks[view.image][view.rows, view.columns] for view in views]
        target = torch.from_numpy(np.stack(masks)).to(self.device).long()
        weight = self.loss.weight(target)
        return torch.stack([self.loss(output, target)["loss"].double() * weight, weight])


def _in_order(shares: Sequence[list[ImageRecord]], batch: int) -> list[ImageRecord]:
    """Undo the dealing of groups of `batch` images to ranks."""
    groups = [[share[i : i + batch] for i in range(0, len(share), batch)] for share in shares]
    rounds = max(len(group) for group in groups)
    return [record for i in range(rounds) for group in groups if i < len(group) for record in group[i]]
