"""COCO panoptic segmentation (also that of other datasets in its format) to the semantic classes of its categories.

``annotations/panoptic_SPLIT.json`` lists the segments of every image, ``panoptic_SPLIT/*.png`` shows them: R + 256 G +
65536 B is the segment's id, 0 = void. Crowds count as what they are a crowd of. The classes are the categories in the
order of the JSON file. Source: the format page of cocodataset.org; A. Kirillov et al., "Panoptic Segmentation",
CVPR 2019.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, Field, TypeAdapter

from segfit.curation.convert.coco_files import AnnotationFile, Category, CocoImage, annotation_files, by_id, positions
from segfit.curation.convert.contract import FORMATS, VOID, ClassMask, Conversion, Item, Size
from segfit.curation.convert.reading import inside, read_json
from segfit.data.decode import Color, read_color_mask
from segfit.errors import DataError

__all__ = ["coco_panoptic"]

KIND = "panoptic"


class Segment(BaseModel):
    """A record of ``segments_info``."""

    id: Annotated[int, Field(gt=0, lt=2**24)]
    category_id: int


class Annotation(BaseModel):
    """A record of ``annotations``: the segments of one image."""

    image_id: int | str
    file_name: str
    segments_info: list[Segment]


class PanopticFile(BaseModel):
    """A ``panoptic_*.json``."""

    images: list[CocoImage]
    annotations: list[Annotation]
    categories: list[Category]


FILE = TypeAdapter(PanopticFile)


@FORMATS.register("coco-panoptic")
def coco_panoptic(source: Path) -> Conversion:
    """Return how to convert a dataset in COCO's panoptic format.

    Args:
        source: the folder with ``annotations/panoptic_*.json``, the PNGs beside them in folders of the same names, and
            the images in ``SPLIT`` or ``images/SPLIT``; or one such JSON file.

    Raises:
        DataError: a file is missing or malformed, or two splits have different categories.
    """
    items: list[Item] = []
    categories: list[Category] = []
    for file in annotation_files(source, KIND):
        content = read_json(file.path, FILE)
        if categories and content.categories != categories:
            raise DataError(f"{file.path}: categories differ from those of the other splits: make them the same")
        categories = content.categories
        items += _items(file, content)
    return Conversion(classes=tuple(category.name for category in categories), items=tuple(items))


def _items(file: AnnotationFile, content: PanopticFile) -> list[Item]:
    """Return the images of a split."""
    if not content.annotations:
        return []
    images = by_id(content.images, file.path)
    classes = positions(content.categories, file.path)
    first, place = content.annotations[0], f"{file.path}: annotations[0]"
    masks = file.folder_of(first.file_name, place, _mask_folders(file))
    pictures: Path | None = None
    items = []
    for number, annotation in enumerate(content.annotations):
        where = f"{file.path}: annotations[{number}]"
        if annotation.image_id not in images:
            raise DataError(f"{where}.image_id: there is no image {annotation.image_id!r}: correct the file")
        image = images[annotation.image_id]
        if pictures is None:
            pictures = file.folder_of(image.file_name, where, (file.called, f"images/{file.called}", "images", "."))
        reader = _Mask(inside(masks, annotation.file_name, where), where, annotation, classes)
        path = inside(pictures, image.file_name, where)
        name = path.relative_to(pictures).with_suffix("").as_posix()
        items.append(Item(split=file.split, name=name, image=path, mask=reader.read, where=str(reader.path)))
    return items


def _mask_folders(file: AnnotationFile) -> tuple[str, ...]:
    name = file.path.stem
    return f"annotations/{name}", name, f"{KIND}_{file.called}", f"annotations/{KIND}_{file.called}", KIND


class _Mask:
    """Reads the PNG of one image.

    Args:
        path: the PNG.
        where: the record, for messages.
        annotation: its segments.
        classes: positions of the categories by id.
    """

    def __init__(self, path: Path, where: str, annotation: Annotation, classes: dict[int, int]) -> None:
        self.path = path
        self.colors: list[Color] = [(0, 0, 0)]
        self.classes = [VOID]
        for number, segment in enumerate(annotation.segments_info):
            if segment.category_id not in classes:
                raise DataError(
                    f"{where}.segments_info[{number}].category_id: there is no category {segment.category_id}: "
                    "correct the file"
                )
            self.colors.append((segment.id % 256, segment.id // 256 % 256, segment.id // 65536))
            self.classes.append(classes[segment.category_id])
        if len(set(self.colors)) < len(self.colors):
            raise DataError(f"{where}.segments_info: two segments have the same id: correct the file")

    def read(self, _size: Size) -> ClassMask:
        """Return the classes of the segments."""
        # The segments are the colours of the PNG: R = id mod 256, and so on.
        return np.array(self.classes, np.uint16).take(read_color_mask(self.path, self.colors))
