"""The ways from files to a training pair of 512x512 pixels that are compared, segfit's and others'.

Each is called with the position of a record and the number of the epoch and returns (image, mask), ready to be stacked;
the training loader, which has an order of its own, takes them from its batches.
All do the same protocol on the same files, except that the others do less: they neither map labels to train ids nor,
in `standard`, look for a crop that is not all one class.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from segfit.config import AugmentConfig
from segfit.data import Record, Source
from segfit.data.augment import augment, rng_for
from segfit.data.cache import Cache
from segfit.data.decode import read_pair
from segfit.data.loader import TrainLoader
from segfit.labels import IGNORE, LabelSpace

__all__ = ["CONTENDERS", "PEERS", "Task", "Way"]

BATCH = 4
"""Of the training loader; few, so that a round has whole batches."""

Way = Callable[[int, int], tuple[Any, Any]]


@dataclass(frozen=True, kw_only=True)
class Task:
    """What all contenders work on.

    Attributes:
        source: the dataset.
        records: its images.
        labels: all its classes.
        standard: the resolved preset `standard`.
        paper: the resolved preset `paper`.
        raw: folder of the cache without compression.
        jpeg: folder of the cache with JPEGs.
    """

    source: Source
    records: Sequence[Record]
    labels: LabelSpace
    standard: AugmentConfig
    paper: AugmentConfig
    raw: Path
    jpeg: Path


# --- others ----------------------------------------------------------------------------------------------------------


def pillow(task: Task) -> Way:
    """(a) The paper's way: Pillow decodes and squashes, torchvision's `to_tensor` makes the float tensor."""
    from PIL import Image
    from torchvision.transforms.functional import to_tensor

    height, width = task.paper.size

    def way(index: int, _epoch: int) -> tuple[Any, Any]:
        record = task.records[index]
        with Image.open(record.image) as picture:
            image = to_tensor(picture.convert("RGB").resize((width, height), Image.Resampling.BILINEAR))
        with Image.open(record.mask) as picture:
            mask = np.array(picture.resize((width, height), Image.Resampling.NEAREST))
        return image, torch.from_numpy(mask).long()

    return way


def torchvision(task: Task) -> Way:
    """(b) torchvision's decoders and its transforms v2 on tv_tensors."""
    from torchvision import tv_tensors
    from torchvision.io import ImageReadMode, decode_image
    from torchvision.transforms import v2

    config = task.standard
    shortest, longest = _short_sides(config)
    transform = v2.Compose(
        [
            v2.RandomResize(shortest, longest + 1),
            v2.RandomCrop(
                config.size, pad_if_needed=True, fill={tv_tensors.Image: 0, tv_tensors.Mask: IGNORE, "others": 0}
            ),
            v2.RandomHorizontalFlip(config.flip or 0.0),
            v2.RandomPhotometricDistort(**{name: _around_one(config, name) for name in FACTORS}, hue=_hues(config)),
        ]
    )

    def way(index: int, epoch: int) -> tuple[Any, Any]:
        record = task.records[index]
        image = tv_tensors.Image(decode_image(str(record.image), ImageReadMode.RGB, apply_exif_orientation=True))
        mask = tv_tensors.Mask(decode_image(str(record.mask), ImageReadMode.UNCHANGED)[0])
        torch.manual_seed(epoch * len(task.records) + index)
        return transform(image, mask)  # type: ignore[no-any-return]

    return way


def albumentationsx(task: Task) -> Way:
    """(c) OpenCV's decoders and AlbumentationsX."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # it would ask the network for a newer version
    import albumentations

    config = task.standard
    shortest, longest = _short_sides(config)
    transform = albumentations.Compose(
        [
            albumentations.SmallestMaxSize(max_size=list(range(shortest, longest + 1))),
            albumentations.RandomCrop(*config.size, pad_if_needed=True, fill=0, fill_mask=IGNORE),
            albumentations.HorizontalFlip(p=config.flip),
            albumentations.PhotoMetricDistort(
                **{f"{name}_range": _around_one(config, name) for name in FACTORS}, hue_range=_hues(config), p=1.0
            ),
        ],
        seed=0,
    )

    def way(index: int, _epoch: int) -> tuple[Any, Any]:
        record = task.records[index]
        image = cv2.imread(str(record.image), cv2.IMREAD_COLOR_RGB)
        mask = cv2.imread(str(record.mask), cv2.IMREAD_UNCHANGED)
        done = transform(image=image, mask=mask)
        return done["image"], done["mask"]

    return way


FACTORS = ("brightness", "contrast", "saturation")


def _short_sides(config: AugmentConfig) -> tuple[int, int]:
    assert config.scale is not None
    return round(config.scale[0] * min(config.size)), round(config.scale[1] * min(config.size))


def _around_one(config: AugmentConfig, name: str) -> tuple[float, float]:
    strength = getattr(config, name) or 0.0
    return 1 - strength, 1 + strength


def _hues(config: AugmentConfig) -> tuple[float, float]:
    strength = config.hue or 0.0
    return -strength, strength


# --- segfit ----------------------------------------------------------------------------------------------------------


def _from_files(task: Task, config: AugmentConfig) -> Way:
    def way(index: int, epoch: int) -> tuple[Any, Any]:
        record = task.records[index]
        image, mask = read_pair(task.source, record)
        return augment(image, task.labels.encode(mask), config, rng_for(0, epoch, record.id))

    return way


def _from_cache(task: Task, folder: Path, config: AugmentConfig) -> Way:
    cache = Cache.open(folder, task.records, task.source)

    def way(index: int, epoch: int) -> tuple[Any, Any]:
        image, mask = cache.read(index)
        return augment(image, task.labels.encode(mask), config, rng_for(0, epoch, task.records[index].id))

    return way


def _from_loader(task: Task, folder: Path, config: AugmentConfig) -> Way:
    loader = TrainLoader(task.source, task.records, task.labels, config, batch=BATCH, seed=0, cache=folder)
    batches = (batch for epoch in count() for batch in loader.epoch(epoch))

    def samples() -> Iterator[tuple[Any, Any]]:
        for batch in batches:
            yield from zip(batch.images, batch.masks, strict=True)

    made = samples()
    # The loader has an order of its own.
    return lambda _index, _epoch: next(made)


PEERS = {"a": "Pillow", "b": "torchvision v2", "c": "AlbumentationsX"}
"""The others, by the letter that the goals know them by."""

CONTENDERS: dict[str, Callable[[Task], Way]] = {
    PEERS["a"]: pillow,
    PEERS["b"]: torchvision,
    PEERS["c"]: albumentationsx,
    "segfit standard, files": lambda task: _from_files(task, task.standard),
    "segfit standard, raw cache": lambda task: _from_cache(task, task.raw, task.standard),
    "segfit standard, JPEG cache": lambda task: _from_cache(task, task.jpeg, task.standard),
    "segfit paper, files": lambda task: _from_files(task, task.paper),
    "segfit paper, raw cache": lambda task: _from_cache(task, task.raw, task.paper),
    "segfit standard, raw cache, TrainLoader": lambda task: _from_loader(task, task.raw, task.standard),
}
