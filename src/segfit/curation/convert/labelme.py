"""LabelMe's JSON files: one per image, with polygons, rectangles, circles and pixel masks.

Shapes are drawn in the order of the file, later ones in front, as in LabelMe itself. The label ``__ignore__`` means
"not annotated", ``_background_`` the background. Source: the file format of github.com/wkentaro/labelme.
"""

import base64
import io
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
from PIL import Image as Pillow
from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter

from segfit.curation.convert.contract import FORMATS, VOID, ClassMask, Conversion, Item, Size
from segfit.curation.convert.outlines import Region, circle, fill
from segfit.curation.convert.reading import divide, files_below, inside, read_json, split_folders
from segfit.curation.convert.shapes import Background, Coordinate, Seed, Share, backed, ring
from segfit.data.decode import BROKEN
from segfit.data.files import read_text
from segfit.errors import DataError, RecipeError, did_you_mean

__all__ = ["labelme"]

IGNORED = "__ignore__"
WITHOUT_AREA = ("point", "points", "line", "linestrip")
POLYGONS = ("polygon", "oriented_rectangle", "rotation")
USUAL_SHARE = 0.2


class Shape(BaseModel):
    """One annotated shape."""

    label: str
    points: list[tuple[Coordinate, Coordinate]]
    shape_type: str | None = None
    mask: str | None = None


class Drawing(BaseModel):
    """A JSON file of LabelMe."""

    shapes: list[Shape]
    path: str = Field(alias="imagePath")
    embedded: Annotated[bool, BeforeValidator(bool)] = Field(False, alias="imageData")  # not kept: it may be large
    height: int | None = Field(None, alias="imageHeight")
    width: int | None = Field(None, alias="imageWidth")


class Embedded(BaseModel):
    """The image in such a file."""

    data: str = Field(alias="imageData")


FILE = TypeAdapter(Drawing)
IMAGE = TypeAdapter(Embedded)


@FORMATS.register("labelme")
def labelme(
    source: Path,
    *,
    background: Background = "class",
    classes: Path | None = None,
    validation_share: Share | None = None,
    seed: Seed | None = None,
) -> Conversion:
    """Return how to convert LabelMe files to semantic masks.

    Args:
        source: the folder of the JSON files; sub-folders ``train``, ``val`` and the like are the splits.
        background: what pixels are that no shape covers.
        classes: file with one class name per line; by default the classes are all labels, sorted.
        validation_share: part of the images that becomes the validation split, where no folders say so (default 0.2).
        seed: decides which.

    Raises:
        DataError: a file is missing or malformed, or a label is not in the list of classes.
        RecipeError: a share or a seed for a dataset that has splits.
    """
    paths = files_below(source, ".json")
    splits = _splits(source, paths, validation_share, seed)
    drawings = {path: read_json(path, FILE) for path in paths}
    names = _class_names(drawings, classes)
    reader = _Reader(source, *backed(names, background))
    items = []
    for path, drawing in drawings.items():
        split, name = splits[path]
        items.append(
            Item(
                split=split,
                name=name,
                image=reader.image(path, drawing),
                mask=reader.mask(path, drawing),
                where=str(path),
            )
        )
    return Conversion(classes=reader.classes, items=tuple(items), notes=reader.notes)


def _splits(
    source: Path, paths: Sequence[Path], validation_share: float | None, seed: int | None
) -> dict[Path, tuple[str, str]]:
    """Return split and name of each file: by folders called like splits if all lie in such, else drawn."""
    below = {path: path.relative_to(source).with_suffix("") for path in paths}
    folders = split_folders(source)
    if paths and all(name.parts[0] in folders for name in below.values()):
        if validation_share is not None or seed is not None:
            raise RecipeError(f"format.validation_share: {source} has splits of its own: {', '.join(folders)}")
        return {path: (folders[name.parts[0]], Path(*name.parts[1:]).as_posix()) for path, name in below.items()}
    names = [name.as_posix() for name in below.values()]
    drawn = divide(names, USUAL_SHARE if validation_share is None else validation_share, seed or 0)
    return {path: (drawn[name.as_posix()], name.as_posix()) for path, name in below.items()}


def _class_names(drawings: dict[Path, Drawing], path: Path | None) -> list[str]:
    """Return the classes in the list, or all labels."""
    labels = {
        shape.label.strip(): file
        for file, drawing in drawings.items()
        for shape in drawing.shapes
        if shape.shape_type not in WITHOUT_AREA
    }
    if path is None:
        return sorted(labels.keys() - {IGNORED})
    names = [line.strip() for line in read_text(path).splitlines() if line.strip() not in ("", IGNORED)]
    for label, file in labels.items():
        if label not in (*names, IGNORED):
            raise DataError(f"{file}: label {label!r} is not in {path}{did_you_mean(label, names)}")
    return names


@dataclass
class _Reader:
    """Reads drawings, several at a time, and counts what has no area."""

    source: Path
    classes: tuple[str, ...]
    fill: int
    skipped: Counter[str] = field(default_factory=Counter)

    def image(self, path: Path, drawing: Drawing) -> Path | Callable[[], bytes]:
        """Return the image of a drawing: the file that it names, or else what is embedded."""
        image = inside(self.source, drawing.path, f"{path}: imagePath", start=path.parent)
        return (lambda: _embedded(path)) if drawing.embedded and not image.is_file() else image

    def mask(self, path: Path, drawing: Drawing) -> Callable[[Size], ClassMask]:
        """Return what draws the mask."""
        self.skipped.update(shape.shape_type for shape in drawing.shapes if shape.shape_type in WITHOUT_AREA)
        positions = {name: position for position, name in enumerate(self.classes)} | {IGNORED: VOID}

        def draw(size: Size) -> ClassMask:
            _check_size(drawing, size, path)
            mask = np.full(size, self.fill, np.uint16)
            for number, shape in enumerate(drawing.shapes):
                if shape.shape_type in WITHOUT_AREA:
                    continue
                try:
                    region = _region(shape, size)
                except ValueError as error:
                    raise DataError(f"{path}: shapes[{number}] ({shape.label}): {error}: correct it") from None
                region.paint(mask, positions[shape.label.strip()])
            return mask

        return draw

    def notes(self) -> list[str]:
        """Return what was left out."""
        if not self.skipped:
            return []
        kinds = ", ".join(f"{count} of kind {kind}" for kind, count in sorted(self.skipped.items()))
        return [f"{self.skipped.total()} shapes are left out, because they have no area: {kinds}"]


def _check_size(drawing: Drawing, size: Size, path: Path) -> None:
    """Raise unless the file's own statement of the size, if there is one, is that of the image."""
    stated = (drawing.height or size[0], drawing.width or size[1])
    if stated != size:
        raise DataError(
            f"{path}: says {stated[1]} x {stated[0]} pixels, but the image has {size[1]} x {size[0]}: "
            "correct one of them"
        )


def _embedded(path: Path) -> bytes:
    """Return the image in a drawing."""
    try:
        return base64.b64decode(read_json(path, IMAGE).data, validate=True)
    except ValueError as error:  # also for characters beyond ASCII
        raise DataError(f"{path}: imageData: not base64 ({error}): put the image beside the file") from None


def _region(shape: Shape, size: Size) -> Region:
    """Return the pixels of a shape.

    Raises:
        ValueError: a wrong number of points, or a kind of shape that is not known.
    """
    kind, points = shape.shape_type or "polygon", shape.points
    if kind in POLYGONS or (kind == "rectangle" and len(points) == 4):
        return fill([ring([number for point in points for number in point])], size)
    if kind not in ("rectangle", "circle", "mask"):
        raise ValueError(f"shapes of kind {kind!r} are not known")
    if len(points) != 2:
        raise ValueError(f"a {kind} has 2 points, not {len(points)}")
    (x0, y0), (x1, y1) = points
    if kind == "rectangle":
        return fill([ring([x0, y0, x1, y0, x1, y1, x0, y1])], size)
    if kind == "circle":
        return circle((x0, y0), math.hypot(x1 - x0, y1 - y0), size)
    return _bitmap(shape.mask or "", round(y0), round(x0), size)


def _bitmap(text: str, top: int, left: int, size: Size) -> Region:
    """Return the pixels of an embedded mask whose corner is at (top, left)."""
    try:
        with Pillow.open(io.BytesIO(base64.b64decode(text, validate=True))) as picture:
            pixels = np.asarray(picture.convert("L")) > 0
    except BROKEN as error:
        raise ValueError(f"its mask is not an image in base64 ({error})") from None
    if min(top, left) < 0 or top + pixels.shape[0] > size[0] or left + pixels.shape[1] > size[1]:
        raise ValueError("its mask reaches out of the image")
    return Region(top=top, left=left, pixels=pixels)
