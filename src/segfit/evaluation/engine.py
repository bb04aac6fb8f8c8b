"""Scoring a model: every image at its original size, counts in integers, the same numbers for any number of ranks."""

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

from segfit.data import Sample
from segfit.data.loader import EvalLoader
from segfit.evaluation.confusion import confusion_matrix
from segfit.evaluation.records import ImageRecord, SparseConfusion
from segfit.labels import LabelSpace
from segfit.losses import Loss
from segfit.models import Output, Segmenter
from segfit.training.device import autocast
from segfit.training.parallel import Ranks

__all__ = ["Evaluation", "evaluate_model", "label_map", "predict_group", "write_label_map"]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What scoring a split gives.

    Attributes:
        confusion: `(K, K)` int64, rows target, columns prediction, over all images and ranks.
        loss: mean validation loss at the model's input size; 0 when no loss was given.
        records: one per image, in the split's order, over all ranks.
        seconds: wall time.
    """

    confusion: NDArray[np.int64]
    loss: float
    records: list[ImageRecord]
    seconds: float


def evaluate_model(
    model: Segmenter,
    loader: EvalLoader,
    labels: LabelSpace,
    *,
    ranks: Ranks,
    precision: str,
    loss: Loss | None = None,
    on_image: Callable[[str, NDArray[np.uint8]], None] | None = None,
    between: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Score `model` on everything `loader` gives.

    Args:
        model: on the rank's device; left in training mode if it was.
        loader: this rank's share of a split.
        labels: what the scores mean.
        ranks: this process among its peers.
        precision: of the forward pass (``"fp32"``, ``"bf16"``, ``"fp16"``).
        loss: computed, too, if given.
        on_image: called with the id and the predicted `(H, W)` train ids of each image of this rank.
        between: called before each batch; what it raises ends the evaluation.
    """
    started = time.perf_counter()
    training = model.training
    model.eval()
    counts = torch.zeros(len(labels), len(labels), dtype=torch.int64, device=ranks.device)
    losses = torch.zeros(2, dtype=torch.float64, device=ranks.device)
    records: list[ImageRecord] = []
    try:
        for samples in loader:
            between()
            for group in _of_one_size(samples):
                output, seconds = predict_group(model, [s.image for s in group], ranks.device, precision)
                if loss is not None:
                    losses += _loss_and_weight(loss, output, group, ranks.device)
                for index, sample in enumerate(group):
                    prediction = label_map(output.image(index), (sample.mask.shape[0], sample.mask.shape[1]))
                    target = torch.from_numpy(sample.mask).to(ranks.device)
                    confusion = confusion_matrix(target, prediction, len(labels))
                    counts += confusion
                    records.append(
                        ImageRecord(
                            id=sample.id,
                            height=sample.mask.shape[0],
                            width=sample.mask.shape[1],
                            seconds=seconds / len(group),
                            confusion=SparseConfusion.of(confusion.cpu().numpy()),
                        )
                    )
                    if on_image is not None:
                        on_image(sample.id, prediction.to(torch.uint8).cpu().numpy())
    finally:
        model.train(training)
    total, weight = ranks.sum(losses).tolist()
    return Evaluation(
        confusion=ranks.sum(counts).cpu().numpy(),
        loss=total / max(weight, 1.0),
        records=_in_order(ranks.gather(records), loader.batch),
        seconds=time.perf_counter() - started,
    )


def predict_group(
    model: Segmenter, images: Sequence[NDArray[np.uint8]], device: torch.device, precision: str
) -> tuple[Output, float]:
    """Run the model on images `(h, w, 3)` of one size; return its output and the seconds it took."""
    batch = torch.from_numpy(np.stack(images)).to(device).permute(0, 3, 1, 2)
    started = time.perf_counter()
    with torch.inference_mode(), autocast(device, precision):
        output = model(batch)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return output, time.perf_counter() - started


@torch.inference_mode()
def label_map(output: Output, size: tuple[int, int]) -> Tensor:
    """Return the best class `(H, W)` of a one-image output at `size`."""
    return output.dense(size)[0].argmax(dim=0)


def write_label_map(path: Path, mask: NDArray[np.uint8], colors: Sequence[tuple[int, int, int]]) -> None:
    """Write `(H, W)` ids below 256 as an 8-bit PNG whose palette shows `colors` and whose values are the ids."""
    picture = PillowImage.fromarray(mask)
    picture.putpalette([channel for color in colors for channel in color])
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, optimize=True)


def _of_one_size(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    """Split a group of samples into runs whose images have one shape."""
    run: list[Sample] = []
    for sample in samples:
        if run and run[0].image.shape != sample.image.shape:
            yield run
            run = []
        run.append(sample)
    if run:
        yield run


def _loss_and_weight(loss: Loss, output: Output, group: Sequence[Sample], device: torch.device) -> Tensor:
    """Return (loss times weight, weight) of a group at the size of the model's input, where training measures it."""
    height, width = group[0].image.shape[:2]
    masks = [cv2.resize(s.mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT) for s in group]
    target = torch.from_numpy(np.stack(masks)).to(device).long()
    with torch.inference_mode():
        weight = loss.weight(target)
        return torch.stack([loss(output, target)["loss"].double() * weight, weight])


def _in_order(shares: Sequence[list[ImageRecord]], batch: int) -> list[ImageRecord]:
    """Undo the dealing of groups of `batch` images to ranks."""
    groups = [[share[i : i + batch] for i in range(0, len(share), batch)] for share in shares]
    rounds = max(len(group) for group in groups)
    return [record for i in range(rounds) for group in groups if i < len(group) for record in group[i]]
