"""COCO's instance annotations (``instances_*.json``, and what annotation tools export as "COCO JSON").

Every annotation is a union of polygons or a run-length code, drawn as COCO's own library draws it (see
`segfit.curation.convert.outlines`). Where annotations overlap, the smaller one is in front, so that a cup on a table
stays visible. Source: the format page of cocodataset.org; T.-Y. Lin et al., "Microsoft COCO", ECCV 2014.
"""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, cast

import numpy as np
from pydantic import AfterValidator, BaseModel, TypeAdapter

from segfit.curation.convert.coco_files import (
    AnnotationFile,
    Category,
    CocoImage,
    Positive,
    annotation_files,
    by_id,
    positions,
)
from segfit.curation.convert.contract import FORMATS, VOID, ClassMask, Conversion, Item, Size
from segfit.curation.convert.outlines import Polygon, Region, fill, run_lengths, unpack
from segfit.curation.convert.reading import divide, inside, read_json
from segfit.curation.convert.shapes import Background, Coordinate, Seed, Share, backed, ring
from segfit.errors import DataError, RecipeError

__all__ = ["coco"]

Corners = Annotated[list[Coordinate], AfterValidator(ring)]
"""Turned into a `Polygon` while the file is read, because arrays take a quarter of the memory of lists."""


class RunLengths(BaseModel):
    """A mask as run lengths, plain or compressed."""

    counts: list[int] | str
    size: tuple[Positive, Positive]


class Annotation(BaseModel):
    """A record of ``annotations``: one object, or a crowd of them."""

    image_id: int | str
    category_id: int
    segmentation: list[Corners] | RunLengths | None = None


class InstanceFile(BaseModel):
    """An ``instances_*.json``."""

    images: list[CocoImage]
    annotations: list[Annotation]
    categories: list[Category]


FILE = TypeAdapter(InstanceFile)


@FORMATS.register("coco")
def coco(
    source: Path,
    *,
    background: Background = "class",
    validation_share: Share | None = None,
    seed: Seed | None = None,
) -> Conversion:
    """Return how to convert instance annotations to semantic masks.

    Args:
        source: the folder with ``annotations/instances_*.json`` and the images in ``SPLIT`` or ``images/SPLIT``; or
            with one sub-folder per split that holds images and a JSON file; or one JSON file.
        background: what pixels are that no annotation covers; with ``ignore``, images without annotations are left out.
        validation_share: part of the images that becomes the validation split, where there is one JSON file only.
        seed: decides which.

    Raises:
        DataError: a file is missing or malformed, or two splits have different categories.
        RecipeError: a share for a dataset that has splits.
    """
    files = annotation_files(source, "instances")
    if validation_share is None and seed is not None:
        raise RecipeError("format.seed: it decides nothing without validation_share")
    if validation_share is not None and len(files) > 1:
        raise RecipeError(f"format.validation_share: {source} has splits of its own ({files[0].path.name}, …)")
    reader = _Reader(background)
    items = [item for file in files for item in reader.items(file)]
    if validation_share is not None:
        splits = divide([item.name for item in items], validation_share, seed or 0)
        items = [replace(item, split=splits[item.name]) for item in items]
    return Conversion(classes=reader.classes, items=tuple(items), notes=reader.notes)


@dataclass
class _Reader:
    """Reads annotation files and counts what cannot be drawn."""

    background: Background
    classes: tuple[str, ...] = ()
    fill: int = VOID
    categories: list[Category] = field(default_factory=list)
    left_out: int = 0
    boxes: int = 0

    def items(self, file: AnnotationFile) -> list[Item]:
        """Return the images of a split."""
        content = read_json(file.path, FILE)
        if self.categories and content.categories != self.categories:
            raise DataError(f"{file.path}: categories differ from those of the other splits: make them the same")
        self.categories = content.categories
        names = [category.name for category in content.categories]
        self.classes, self.fill = backed(names, self.background)
        images = by_id(content.images, file.path)
        shapes = self._shapes(file, content, images)
        drawn = [(i, image) for i, image in enumerate(content.images) if shapes[image.id] or self.fill != VOID]
        self.left_out += len(content.images) - len(drawn)
        if not drawn:
            return []
        first, where = drawn[0][1], f"{file.path}: images[{drawn[0][0]}]"
        folder = file.folder_of(first.file_name, where, (file.called, f"images/{file.called}", "images", "."))
        return [self._item(file, folder, image, shapes[image.id], f"{file.path}: images[{i}]") for i, image in drawn]

    def _shapes(
        self, file: AnnotationFile, content: InstanceFile, images: dict[int | str, CocoImage]
    ) -> dict[int | str, list["_Shape"]]:
        """Return the outlines of each image, in the order of the file."""
        places = positions(content.categories, file.path)
        offset = len(self.classes) - len(content.categories)
        shapes: dict[int | str, list[_Shape]] = defaultdict(list)
        for number, annotation in enumerate(content.annotations):
            where = f"{file.path}: annotations[{number}]"
            if annotation.image_id not in images:
                raise DataError(f"{where}.image_id: there is no image {annotation.image_id!r}: correct the file")
            if annotation.category_id not in places:
                raise DataError(f"{where}.category_id: there is no category {annotation.category_id}: correct the file")
            if annotation.segmentation:
                position = places[annotation.category_id] + offset
                outline = cast("list[Polygon] | RunLengths", annotation.segmentation)
                shapes[annotation.image_id].append(_Shape(position, outline, where))
            else:
                self.boxes += 1
        return shapes

    def _item(self, file: AnnotationFile, folder: Path, image: CocoImage, shapes: list["_Shape"], where: str) -> Item:
        path = inside(folder, image.file_name, where)
        name = path.relative_to(folder).with_suffix("").as_posix()
        stated = (image.height, image.width)
        return Item(
            split=file.split, name=name, image=path, mask=_Painting(stated, shapes, self.fill, where).draw, where=where
        )

    def notes(self) -> list[str]:
        """Return what was left out."""
        notes = []
        if self.boxes:
            notes.append(f"{self.boxes} annotations are left out: they have a box but no outline")
        if self.left_out:
            notes.append(f"{self.left_out} images are left out: nothing in them is annotated")
        return notes


@dataclass(frozen=True)
class _Shape:
    """One annotation.

    Attributes:
        position: of its class.
        outline: polygons or run lengths.
        where: its record, for messages.
    """

    position: int
    outline: list[Polygon] | RunLengths
    where: str

    def region(self, size: Size) -> Region:
        """Return its pixels.

        Raises:
            DataError: run lengths that do not fit the image.
        """
        if isinstance(self.outline, list):
            return fill(self.outline, size)
        counts = self.outline.counts
        try:
            if self.outline.size != size:
                raise ValueError(
                    f"the run lengths are for {self.outline.size}, but the image has (height, width) {size}"
                )
            return run_lengths(unpack(counts) if isinstance(counts, str) else counts, size)
        except ValueError as error:
            raise DataError(f"{self.where}.segmentation: {error}: correct the file") from None


@dataclass(frozen=True)
class _Painting:
    """Draws the mask of one image.

    Attributes:
        stated: its size in the JSON file.
        shapes: its annotations.
        background: position of what none of them covers.
        where: its record, for messages.
    """

    stated: Size
    shapes: list[_Shape]
    background: int
    where: str

    def draw(self, size: Size) -> ClassMask:
        """Return the mask, in which smaller shapes lie over larger ones."""
        if sorted(self.stated) != sorted(size):  # one that lies on its side is left to the caller
            (height, width), (rows, columns) = self.stated, size
            raise DataError(
                f"{self.where}: says {width} x {height} pixels, but the image file has {columns} x {rows}: "
                "correct one of them"
            )
        mask = np.full(self.stated, self.background, np.uint16)
        regions = [(shape.region(self.stated), shape.position) for shape in self.shapes]
        for region, position in sorted(regions, key=lambda pair: -pair[0].area()):
            region.paint(mask, position)
        return mask
