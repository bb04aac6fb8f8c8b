"""A small dataset that notes who has read what, and loaders of it."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from typing_extensions import override

from segfit.config import PRESETS, AugmentConfig
from segfit.data import Record, SourceMask
from segfit.data.augment import Fit
from segfit.data.folder import Folder
from segfit.data.loader import Batch, EvalLoader, TrainLoader
from segfit.errors import UserError
from segfit.labels import select

COUNT = 14
Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]
STANDARD = AugmentConfig(size=(24, 32), **PRESETS["standard"])
STRONG = AugmentConfig(preset="strong", size=(24, 32), **PRESETS["strong"])


class Noted(Folder):
    """A folder dataset that notes which process has read which mask."""

    @override
    def read_mask(self, record: Record) -> SourceMask:
        with (self.root / "notes.txt").open("a") as notes:
            notes.write(f"{os.getpid()} {record.id}\n")
        return super().read_mask(record)

    def notes(self) -> list[list[str]]:
        """Return (process, id) of every mask read since the last call."""
        path = self.root / "notes.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [line.split() for line in lines]


def write(root: Path, count: int = COUNT) -> Noted:
    rng = np.random.default_rng(0)
    for folder in ("images/train", "masks/train"):
        (root / folder).mkdir(parents=True)
    for i in range(count):
        height, width = rng.integers(20, 60, 2)
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(
            root / f"images/train/{i:02}.png"
        )
        Image.fromarray(rng.integers(0, 4, (height, width), dtype=np.uint8)).save(root / f"masks/train/{i:02}.png")
    (root / "classes.txt").write_text("sky\nroad\ncar\n")
    return Noted(root, ignore=(3,))


def training(source: Folder, *, config: AugmentConfig = STRONG, batch: int = 4, **options: Any) -> TrainLoader:
    records = source.records("train")
    return TrainLoader(source, records, select(source.labels), config, batch=batch, seed=7, **options)


def evaluation(source: Folder, *, batch: int = 4, **options: int) -> EvalLoader:
    records, labels = source.records("train"), select(source.labels)
    return EvalLoader(source, records, labels, fit=Fit((24, 32), "short-side"), batch=batch, **options)


def assert_same(first: list[Batch], second: list[Batch]) -> None:
    assert [batch.ids for batch in first] == [batch.ids for batch in second]
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.masks, b.masks)


def error_of(batches: Iterable[object]) -> tuple[type[Exception], str]:
    """Return the error that reading meets; unlike `pytest.raises` it keeps no frame, and with it no worker, alive."""
    try:
        list(batches)
    except UserError as error:
        return type(error), str(error)
    raise AssertionError("no error")
