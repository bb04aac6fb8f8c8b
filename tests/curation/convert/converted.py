"""Small datasets in foreign formats, and a look at what became of them."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from segfit.curation.convert import Converted, convert
from segfit.data import SOURCES


def save_image(path: Path, height: int = 6, width: int = 8, **options) -> Path:
    """Write an image with a gradient, so that sizes and contents can be told apart."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.arange(height * width * 3, dtype=np.uint32).reshape(height, width, 3) % 251
    Image.fromarray(pixels.astype(np.uint8)).save(path, **options)
    return path


def save_mask(path: Path, mask, mode: str | None = None) -> Path:
    """Write an array as PNG; of mode "P", with an arbitrary palette."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.asarray(mask, np.uint8))
    if mode == "P":
        picture.putpalette([i % 7 * 30 for i in range(768)])
    picture.save(path)
    return path


def save_json(path: Path, value) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def read_back(done: Converted) -> dict[str, dict[str, np.ndarray]]:
    """Return the masks of every split by id, as segfit's own source reads them, all of which must be known ids."""
    ignore = {"ignore": (65535,)} if done.classes > 255 else {}
    source = SOURCES.build(done.layout, done.root, **ignore)
    assert len(source.labels) == done.classes
    assert sorted(source.splits()) == sorted(done.images)
    known = {*source.labels.ids, *source.labels.ignored}
    found = {}
    for split in source.splits():
        records = source.records(split)
        assert len(records) == done.images[split]
        found[split] = {record.id: source.read_mask(record) for record in records}
        assert all(set(np.unique(mask).tolist()) <= known for mask in found[split].values())
    return found


def class_names(done: Converted) -> tuple[str, ...]:
    return SOURCES.build(done.layout, done.root).labels.names


def run(kind: str, source: Path, **options) -> tuple[Converted, dict[str, dict[str, np.ndarray]]]:
    """Convert beside the source and read the result."""
    done = convert(kind, source, source.parent / "out", **options)
    return done, read_back(done)


def stored_size(path: Path) -> tuple[int, int]:
    """Return width and height of an image file."""
    with Image.open(path) as picture:
        return picture.size


def left_behind(folder: Path) -> list[str]:
    """Return the names in a folder, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())
