"""What place each image shows, where the dataset says so: ``sceneCategories.txt`` beside ADE20K's images.

Every line is ``NAME category``, where NAME is an image's file name without ending. Any dataset may have such a file.
"""

from collections.abc import Sequence
from pathlib import Path

from segfit.data import Record
from segfit.data.files import read_text
from segfit.errors import DataError

__all__ = ["SCENE_CATEGORIES", "read_scene_categories", "scene_categories"]

SCENE_CATEGORIES = "sceneCategories.txt"
"""Name of the file, in the dataset's folder."""


def scene_categories(root: Path, records: Sequence[Record]) -> tuple[str | None, ...]:
    """Return the scene category of every record; None where it is not known.

    Args:
        root: folder of the dataset.
        records: looked up by the last part of their ids.

    Raises:
        DataError: the dataset has a malformed ``sceneCategories.txt``.
    """
    file = root / SCENE_CATEGORIES
    known = read_scene_categories(file) if file.is_file() else {}
    return tuple(known.get(record.id.rpartition("/")[2]) for record in records)


def read_scene_categories(file: Path) -> dict[str, str]:
    """Return the category of every image that `file` names.

    Raises:
        DataError: the file is missing, or a line is not a name and a category, or contradicts an earlier one.
    """
    categories: dict[str, str] = {}
    for number, line in enumerate(read_text(file).splitlines(), 1):
        if not line.strip():
            continue
        name, _, category = line.strip().replace("\t", " ").partition(" ")
        category = category.strip()
        if not category:
            raise DataError(f"{file}:{number}: {line.strip()!r} is not a row NAME category: correct or delete it")
        if categories.setdefault(name, category) != category:
            raise DataError(f"{file}:{number}: {name!r} is already {categories[name]!r}: delete one of the lines")
    return categories
