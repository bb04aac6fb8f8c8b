"""Work on label maps: confusion matrices, boundaries and run-length codes, segfit beside others."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco
from torchmetrics.functional.classification import multiclass_confusion_matrix

from cases import Case, faster
from segfit.config import EvaluateConfig
from segfit.evaluation.boundary import boundary_counts, pixel_distance
from segfit.evaluation.confusion import confusion_matrix
from segfit.labels import IGNORE
from segfit.ship.rle import Runs, decode_classes, encode_classes, format_runs, parse_runs

__all__ = ["boundary", "confusion", "label_maps", "moved", "rle"]

CLASSES = 150
DISTANCE = EvaluateConfig().boundary
PRESENT = 12
"""Classes in a synthetic image, about as many as in one of ADE20K."""

Map = NDArray[np.uint8]


def label_maps(folder: Path | None, count: int, size: tuple[int, int] = (512, 683)) -> list[Map]:
    """Return maps of train ids: ADE20K's masks from a folder (0 becomes IGNORE), or synthetic ones."""
    if folder is None:
        return [scene(size, number) for number in range(count)]
    files = sorted(folder.rglob("*.png"))
    if not files:
        raise SystemExit(f"{folder}: no PNG masks")
    chosen = files[:: max(1, len(files) // count)][:count]
    return [cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) - np.uint8(1) for file in chosen]


def scene(size: tuple[int, int], seed: int) -> Map:
    """Return smooth regions of `PRESENT` classes, 5 % of the image not annotated."""
    rng = np.random.default_rng(seed)
    fields = [cv2.resize(rng.normal(size=(9, 9)).astype(np.float32), size[::-1], interpolation=cv2.INTER_CUBIC)]
    fields += [
        cv2.resize(rng.normal(size=(9, 9)).astype(np.float32), size[::-1], interpolation=cv2.INTER_CUBIC)
        for _ in range(PRESENT - 1)
    ]
    names = rng.permutation(CLASSES)[:PRESENT].astype(np.uint8)
    labels = names[np.argmax(fields, axis=0)]
    labels[: size[0] // 20] = IGNORE
    return labels


def moved(target: Map) -> Map:
    """Return a prediction: the target some pixels off, its left upper part taken for another class."""
    prediction = np.roll(target, (4, 3), axis=(0, 1))
    prediction[prediction == IGNORE] = target[target != IGNORE][0]
    height, width = target.shape
    prediction[: height // 4, : width // 3] = (int(prediction[0, 0]) + 1) % CLASSES
    return prediction


# --- confusion -------------------------------------------------------------------------------------------------------


def one_liner(target: NDArray[Any], prediction: NDArray[Any]) -> NDArray[np.int64]:
    """Count as the usual one-liner does."""
    valid = target != IGNORE
    codes = CLASSES * target[valid].astype(int) + prediction[valid]
    return np.bincount(codes, minlength=CLASSES * CLASSES).reshape(CLASSES, CLASSES)


def confusion() -> Iterator[Case]:
    """Yield the confusion matrix of one image, small and large."""
    for side in (512, 2048):
        target = scene((side, side), side)
        maps = torch.from_numpy(target), torch.from_numpy(moved(target))
        wide = maps[0].long(), maps[1].long()
        arrays = {"uint8": [m.numpy() for m in maps], "int64": [m.numpy() for m in wide]}

        def theirs(target: torch.Tensor, prediction: torch.Tensor) -> torch.Tensor:
            # Without its checks of the arguments, which take as long again.
            return multiclass_confusion_matrix(prediction, target, CLASSES, ignore_index=IGNORE, validate_args=False)

        contenders = {
            "segfit, uint8": lambda m=maps: confusion_matrix(*m, CLASSES),
            "segfit, int64": lambda m=wide: confusion_matrix(*m, CLASSES),
            "torchmetrics, uint8": lambda m=maps, f=theirs: f(*m),
            "torchmetrics, int64": lambda m=wide, f=theirs: f(*m),
            "np.bincount, uint8": lambda a=arrays: one_liner(*a["uint8"]),
            "np.bincount, int64": lambda a=arrays: one_liner(*a["int64"]),
        }
        results = [torch.as_tensor(work()) for work in contenders.values()]
        assert all(torch.equal(results[0], result) for result in results), "all count alike"
        yield Case(
            name=f"confusion matrix, {CLASSES} classes, {side} x {side}",
            contenders=contenders,
            goals=[
                faster(f"segfit, {kind}", f"{peer}, {kind}", goal)
                for kind in ("uint8", "int64")
                for peer, goal in (("torchmetrics", 5.0), ("np.bincount", 1.0))
            ],
        )


# --- boundaries ------------------------------------------------------------------------------------------------------


def eroded_region(mask: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Return the boundary region of a mask as the paper defines it: the mask without the mask eroded."""
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    inner = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=reach)[1:-1, 1:-1]
    return mask & (inner == 0)


def by_erosion(target: Map, prediction: Map, classes: range | list[int]) -> dict[int, tuple[int, int]]:
    """Return (intersection, union) of the boundary regions, class by class."""
    reach = pixel_distance(*target.shape, DISTANCE)
    prediction = np.where(target == IGNORE, IGNORE, prediction)
    found = {}
    for one in classes:
        regions = eroded_region(target == one, reach), eroded_region(prediction == one, reach)
        found[one] = int((regions[0] & regions[1]).sum()), int((regions[0] | regions[1]).sum())
    return found


def boundary(maps: list[Map]) -> Iterator[Case]:
    """Yield boundaries of some images."""
    pairs = [(target, moved(target)) for target in maps]

    def occurring(target: Map, prediction: Map) -> list[int]:
        return sorted({*np.unique(target).tolist(), *np.unique(prediction).tolist()} - {IGNORE})

    for target, prediction in pairs:
        counts = boundary_counts(target, prediction, CLASSES, DISTANCE)
        for one, (hits, union) in by_erosion(target, prediction, occurring(target, prediction)).items():
            own = counts.region_target[one] + counts.region_prediction[one] - counts.region_hits[one]
            assert (counts.region_hits[one], own) == (hits, union), "both count alike"
    ours, theirs, few = "segfit, IoU and F", "erosion of every class, IoU", "erosion of the classes that occur, IoU"
    yield Case(
        name=f"boundaries within 2 % of the diagonal, {CLASSES} classes, per image",
        contenders={
            ours: lambda: [boundary_counts(*pair, CLASSES, DISTANCE) for pair in pairs],
            theirs: lambda: [by_erosion(*pair, range(CLASSES)) for pair in pairs],
            few: lambda: [by_erosion(*pair, occurring(*pair)) for pair in pairs],
        },
        goals=[faster(ours, theirs, 20.0), faster(ours, few)],
        pieces=len(pairs),
    )


# --- run-length codes ------------------------------------------------------------------------------------------------


def kaggle_encode(mask: Map) -> dict[int, str]:
    """Encode as the usual snippet does: one class after the other, column by column."""
    texts = {}
    for one in np.unique(mask).tolist():
        pixels = np.concatenate([[0], (mask == one).T.flatten(), [0]])
        runs = np.where(pixels[1:] != pixels[:-1])[0] + 1
        runs[1::2] -= runs[::2]
        texts[one] = " ".join(str(number) for number in runs)
    return texts


def kaggle_decode(texts: Mapping[int, str], shape: tuple[int, int]) -> Map:
    """Decode as the usual snippet does."""
    labels = np.zeros(shape, dtype=np.uint8)
    for one, text in texts.items():
        numbers = np.asarray(text.split(), dtype=int)
        mask = np.zeros(shape[0] * shape[1], dtype=np.uint8)
        for start, length in zip(numbers[::2] - 1, numbers[1::2], strict=True):
            mask[start : start + length] = 1
        labels[mask.reshape(shape[::-1]).T == 1] = one
    return labels


def coco_encode(mask: Map) -> dict[int, Any]:
    """Encode with pycocotools, one class after the other."""
    return {one: coco.encode(np.asfortranarray(mask == one)) for one in np.unique(mask).tolist()}


def coco_decode(codes: Mapping[int, Any], shape: tuple[int, int]) -> Map:
    """Decode with pycocotools."""
    labels = np.zeros(shape, dtype=np.uint8)
    for one, code in codes.items():
        labels[coco.decode(code).astype(bool)] = one
    return labels


def to_text(codes: Mapping[int, Runs]) -> dict[int, str]:
    """Write segfit's runs as text."""
    return {one: format_runs(runs) for one, runs in codes.items()}


def from_text(texts: Mapping[int, str]) -> dict[int, Runs]:
    """Read them again."""
    return {one: parse_runs(text) for one, text in texts.items()}


def rle(maps: list[Map]) -> Iterator[Case]:
    """Yield coding and decoding of whole label maps, all their classes."""
    shapes = [(m.shape[0], m.shape[1]) for m in maps]
    runs, texts = [encode_classes(m) for m in maps], [to_text(encode_classes(m)) for m in maps]
    codes = [coco_encode(m) for m in maps]
    assert texts == [kaggle_encode(m) for m in maps], "the texts are the same"
    for mask, shape, own, text, code in zip(maps, shapes, runs, texts, codes, strict=True):
        decoded = decode_classes(own, shape), kaggle_decode(text, shape), coco_decode(code, shape)
        assert all(np.array_equal(mask, again) for again in decoded), "all come back"
    goals = [
        faster("segfit, arrays", "pycocotools", 5.0),
        faster("segfit, text", "Kaggle's snippet, text", 5.0),
    ]
    yield Case(
        name="run-length codes: encode, per label map",
        contenders={
            "segfit, arrays": lambda: [encode_classes(m) for m in maps],
            "pycocotools": lambda: [coco_encode(m) for m in maps],
            "segfit, text": lambda: [to_text(encode_classes(m)) for m in maps],
            "Kaggle's snippet, text": lambda: [kaggle_encode(m) for m in maps],
        },
        goals=goals,
        pieces=len(maps),
    )
    yield Case(
        name="run-length codes: decode, per label map",
        contenders={
            "segfit, arrays": lambda: [decode_classes(*pair) for pair in zip(runs, shapes, strict=True)],
            "pycocotools": lambda: [coco_decode(*pair) for pair in zip(codes, shapes, strict=True)],
            "segfit, text": lambda: [decode_classes(from_text(t), s) for t, s in zip(texts, shapes, strict=True)],
            "Kaggle's snippet, text": lambda: [kaggle_decode(*pair) for pair in zip(texts, shapes, strict=True)],
        },
        goals=goals,
        pieces=len(maps),
    )
