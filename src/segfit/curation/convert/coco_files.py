"""What the JSON files of COCO have in common: where they lie, their images and their categories."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field

from segfit.curation.convert.reading import inside, usual_splits
from segfit.errors import DataError

__all__ = ["AnnotationFile", "Category", "CocoImage", "Positive", "annotation_files", "by_id", "positions"]

Positive = Annotated[int, Field(gt=0)]


class CocoImage(BaseModel):
    """A record of ``images``."""

    id: int | str
    file_name: str
    height: Positive
    width: Positive


class Category(BaseModel):
    """A record of ``categories``."""

    id: int
    name: str


@dataclass(frozen=True, kw_only=True)
class AnnotationFile:
    """A JSON file with the annotations of one split.

    Attributes:
        path: the file.
        root: folder of the dataset.
        called: what the split is called there (``val2017``).
        split: what it is called in recipes (``validation``).
    """

    path: Path
    root: Path
    called: str
    split: str

    def folder_of(self, name: str, where: str, places: Sequence[str]) -> Path:
        """Return the folder that the files named in it lie in: beside it, or the first of `places` that has `name`.

        Raises:
            DataError: there is no such file, or its name leads out of the dataset.
        """
        folders = [self.path.parent, *(self.root / place for place in places)]
        for folder in folders:
            if inside(folder, name, where).is_file():
                return folder
        tried = ", ".join(str(folder) for folder in dict.fromkeys(folders))
        raise DataError(f"{where}: no file {name!r} in {tried}: put the files there")


def annotation_files(source: Path, kind: str) -> list[AnnotationFile]:
    """Return the annotation files of a dataset.

    Args:
        source: such a file, or the dataset's folder: ``KIND_*.json`` in it or in its ``annotations``, or else whatever
            ``.json`` files are there or in its sub-folders.
        kind: ``instances`` or ``panoptic``.

    Raises:
        DataError: there are none.
    """
    patterns = (f"annotations/{kind}_*.json", f"{kind}_*.json", "annotations/*.json", "*.json", "*/*.json")
    paths = [source] if source.is_file() else next((p for q in patterns if (p := sorted(source.glob(q)))), [])
    if not paths:
        raise DataError(f"{source}: no {kind}_*.json there or in its folder 'annotations': name the dataset's folder")
    root = source if source.is_dir() else source.parent
    if root.name == "annotations":
        root = root.parent
    called = {path: _called(path, root, kind) for path in paths}
    if len(set(called.values())) < len(paths):
        called = {path: path.relative_to(root).with_suffix("").as_posix().replace("/", "-") for path in paths}
    usual = usual_splits(list(called.values()))
    return [AnnotationFile(path=p, root=root, called=called[p], split=usual[called[p]]) for p in paths]


def by_id(images: Sequence[CocoImage], path: Path) -> dict[int | str, CocoImage]:
    """Return the images by id.

    Raises:
        DataError: an id occurs twice.
    """
    found: dict[int | str, CocoImage] = {}
    for number, image in enumerate(images):
        if found.setdefault(image.id, image) is not image:
            raise DataError(f"{path}: images[{number}].id: {image.id!r} is taken: give every image its own id")
    return found


def positions(categories: Sequence[Category], path: Path) -> dict[int, int]:
    """Return the positions of the categories by id.

    Raises:
        DataError: an id occurs twice.
    """
    found: dict[int, int] = {}
    for number, category in enumerate(categories):
        if found.setdefault(category.id, number) != number:
            raise DataError(f"{path}: categories[{number}].id: {category.id} is taken: give every category its own id")
    return found


def _called(path: Path, root: Path, kind: str) -> str:
    """Return what a file's split is called: ``instances_val2017.json``, ``val2017.json``, ``val2017/labels.json``."""
    if path.parent in (root, root / "annotations"):
        return path.stem.removeprefix(f"{kind}_")
    return path.parent.name
