"""Synthetic scenes in ADE20K's layout: a dataset that needs no download.

Rooms, streets and landscapes are drawn by a small rasteriser (see `segfit.data.scenery`), which gives pixel-exact masks
with true ADE20K ids. The pictures are made for trying out, testing and documenting; scores on them say nothing about
photographs. Every mask is a pure function of (seed, split, number), on any platform and with any number of workers.
"""

import contextlib
import json
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from segfit.console import waiting
from segfit.data import SOURCES, Source
from segfit.data.ade20k import OBJECT_INFO, Ade20k, published_labels
from segfit.data.scenery.render import VERSION, render
from segfit.errors import DataError

__all__ = ["SETTINGS", "scenes", "write_scenes"]

SETTINGS = "scenes.json"
"""Name of the file that records how a dataset was made."""

JPEG_QUALITY = 92
CLASSES = 151
FEW = 24
"""So few pictures are drawn faster than worker processes start."""

SMALLEST, LARGEST = 32, 4096
"""Limits of the short side in pixels."""

Count = Annotated[int, Field(gt=0)]
ShortSide = Annotated[int, Field(ge=SMALLEST, le=LARGEST)]
Seed = Annotated[int, Field(ge=0)]


class AlreadyWrittenError(DataError):
    """Another process has written the dataset while this one drew it."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What decides every file of a dataset."""

    train_images: int
    val_images: int
    size: int
    seed: int
    version: int = VERSION


@dataclass(frozen=True)
class Job:
    """One picture to draw: number of its split, its own number, and the files to write, without suffix and folder."""

    split: int
    index: int

    @property
    def name(self) -> str:
        """File name without suffix, as ADE20K has it."""
        return f"ADE_{('train', 'val')[self.split]}_{self.index + 1:08d}"

    @property
    def folder(self) -> str:
        """Folder of the split."""
        return ("training", "validation")[self.split]


@SOURCES.register("scenes")
def scenes(
    root: Path, *, train_images: Count = 240, val_images: Count = 60, size: ShortSide = 256, seed: Seed = 0
) -> Source:
    """Open the synthetic dataset in `root`; write it first if the folder does not exist or is empty.

    Args:
        root: the dataset's folder.
        train_images: pictures in the split ``training``.
        val_images: pictures in the split ``validation``.
        size: short side in pixels.
        seed: another seed gives other pictures.

    Raises:
        DataError: `root` holds something else, or scenes made with other options.
    """
    settings = Settings(train_images=train_images, val_images=val_images, size=size, seed=seed)
    if _is_empty(root):
        # Another process may be faster; what it wrote is then checked like any other folder.
        with contextlib.suppress(AlreadyWrittenError), waiting(f"drawing scenes into {root}") as progress:
            write_scenes(
                root, train_images=train_images, val_images=val_images, size=size, seed=seed, progress=progress
            )
    _check(root, settings)
    return Ade20k(root)


def write_scenes(
    root: Path,
    *,
    train_images: int,
    val_images: int,
    size: int,
    seed: int,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a dataset of synthetic scenes in ADE20K's layout.

    The files are written to a temporary folder beside `root`, which is renamed when it is complete: `root` never holds
    half a dataset.

    Args:
        root: folder to create; it may exist if it is empty.
        train_images: pictures in ``images/training``.
        val_images: pictures in ``images/validation``.
        size: short side in pixels.
        seed: decides all pictures.
        workers: processes; by default one per core, and none for a few pictures. The files do not depend on it.
        progress: called with the number of pictures done and their total.

    Raises:
        DataError: `root` holds files, or another process has filled it in the meantime; or a number is out of range.
    """
    settings = Settings(train_images=train_images, val_images=val_images, size=size, seed=seed)
    _check_range(settings)
    root = root.resolve()
    if not _is_empty(root):
        raise DataError(f"{root}: the folder is not empty: name a new one for the scenes")
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{root.name}-", dir=root.parent) as temporary:
        # A folder within the temporary one: it gets the user's permissions, not those of a private folder.
        folder = Path(temporary) / root.name
        folder.mkdir()
        _write_files(folder, settings, workers, progress)
        _publish(folder, root)


def _check_range(settings: Settings) -> None:
    """Raise DataError when a setting is out of range."""
    if settings.train_images < 1 or settings.val_images < 1:
        raise DataError(f"scenes: {settings.train_images} and {settings.val_images} images: give at least 1 per split")
    if not SMALLEST <= settings.size <= LARGEST:
        raise DataError(f"scenes: size {settings.size} is not between {SMALLEST} and {LARGEST} pixels")
    if settings.seed < 0:
        raise DataError(f"scenes: seed {settings.seed} is negative: give 0 or more")


def _is_empty(root: Path) -> bool:
    """Return whether there is room for a dataset: no such folder, or nothing in it.

    Raises:
        DataError: `root` is a file.
    """
    if root.exists() and not root.is_dir():
        raise DataError(f"{root}: not a folder: name a folder for the scenes")
    return not root.exists() or not any(root.iterdir())


def _check(root: Path, settings: Settings) -> None:
    """Raise DataError unless `root` holds scenes made with these settings."""
    path = root / SETTINGS
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{root}: holds files but no {SETTINGS}: name a new folder as data.root") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise DataError(f"{path}: not readable as JSON: delete the folder, it will be written again") from None
    wanted = asdict(settings)
    if not isinstance(found, dict):
        raise DataError(f"{path}: not the settings of scenes: name a new folder as data.root")
    for key, value in wanted.items():
        if found.get(key) != value:
            raise DataError(
                f"{root}: holds scenes with {key} {found.get(key)}, not {value}: "
                "name another folder as data.root, or delete this one"
            )


def _publish(folder: Path, root: Path) -> None:
    """Move a complete dataset to its place.

    Raises:
        AlreadyWrittenError: the place has been filled in the meantime.
    """
    try:
        if root.exists():
            root.rmdir()  # empty, as checked before; a rename onto a folder fails on some platforms
        folder.rename(root)
    except OSError:
        if root.exists() and any(root.iterdir()):
            raise AlreadyWrittenError(
                f"{root}: another process has written it in the meantime: nothing to do"
            ) from None
        raise


def _write_files(
    folder: Path, settings: Settings, workers: int | None, progress: Callable[[int, int], None] | None
) -> None:
    """Draw all pictures and write them with the tables beside them."""
    jobs = [
        Job(split, i) for split, count in enumerate((settings.train_images, settings.val_images)) for i in range(count)
    ]
    for job in (Job(0, 0), Job(1, 0)):
        (folder / "images" / job.folder).mkdir(parents=True)
        (folder / "annotations" / job.folder).mkdir(parents=True)
    pixels = np.zeros((len(jobs), CLASSES), np.int64)
    categories = []
    for i, (counts, category) in enumerate(_draw_all(folder, settings, jobs, workers)):
        pixels[i] = counts
        categories.append(f"{jobs[i].name} {category}\n")
        if progress is not None:
            progress(i + 1, len(jobs))
    (folder / "sceneCategories.txt").write_text("".join(categories), encoding="utf-8")
    table = _object_info(pixels[: settings.train_images], pixels[settings.train_images :])
    (folder / OBJECT_INFO).write_text(table, encoding="utf-8")
    (folder / SETTINGS).write_text(json.dumps(asdict(settings), indent=2) + "\n", encoding="utf-8")


def _draw_all(
    folder: Path, settings: Settings, jobs: list[Job], workers: int | None
) -> Iterator[tuple[NDArray[np.int64], str]]:
    """Yield the pixel counts and the category of every picture, in order, while they are drawn and written."""
    if workers is None:
        workers = 1 if len(jobs) < FEW else min(os.cpu_count() or 1, len(jobs))
    if workers <= 1:
        yield from (_draw(folder, settings, job) for job in jobs)
        return
    # Spawned, not forked: the parent may hold threads of torch or OpenCV.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool:
        yield from pool.map(_draw, repeat(folder), repeat(settings), jobs, chunksize=4)


def _one_thread() -> None:
    """Let every worker use one thread."""
    cv2.setNumThreads(1)


def _draw(folder: Path, settings: Settings, job: Job) -> tuple[NDArray[np.int64], str]:
    """Draw one picture, write it and its mask, and return the pixels per id and the category."""
    scene = render(settings.seed, job.split, job.index, size=settings.size)
    Image.fromarray(scene.image).save(folder / "images" / job.folder / f"{job.name}.jpg", quality=JPEG_QUALITY)
    Image.fromarray(scene.mask).save(folder / "annotations" / job.folder / f"{job.name}.png")
    return np.bincount(scene.mask.ravel(), minlength=CLASSES).astype(np.int64), scene.category


def _object_info(training: NDArray[np.int64], validation: NDArray[np.int64]) -> str:
    """Return ADE20K's table of the classes that occur: share of all pixels, and images of each split that show it."""
    pixels = training.sum(0) + validation.sum(0)
    lines = ["Idx\tRatio\tTrain\tVal\tName\n"]
    published = published_labels()
    for source, name in zip(published.ids, published.names, strict=True):
        if pixels[source]:
            shown = (int((counts[:, source] > 0).sum()) for counts in (training, validation))
            lines.append(
                "\t".join([str(source), f"{pixels[source] / pixels.sum():.6f}", *map(str, shown), name]) + "\n"
            )
    return "".join(lines)
