"""Whatever is wrong with a JSON file, the answer is a dataset or one line."""

import json
import random

import pytest
from converted import left_behind, read_back, save_image, save_json

from segfit.curation.convert import convert
from segfit.errors import UserError

IMAGE = {"id": 1, "file_name": "1.png", "height": 6, "width": 8}
CATEGORIES = [{"id": 4, "name": "table"}, {"id": 9, "name": "cup"}]
OUTLINES = [[[1, 1, 5, 1, 5, 4, 1, 4]], {"size": [6, 8], "counts": [9, 3, 36]}, {"size": [6, 8], "counts": "93T1"}]
CONTENTS = {
    "coco": {
        "images": [IMAGE],
        "annotations": [{"image_id": 1, "category_id": 9, "segmentation": outline} for outline in OUTLINES],
        "categories": CATEGORIES,
    },
    "labelme": {
        "imagePath": "1.png",
        "imageHeight": 6,
        "imageWidth": 8,
        "shapes": [
            {"label": "cup", "shape_type": kind, "points": points}
            for kind, points in (
                ("polygon", [[1, 1], [5, 1], [5, 4]]),
                ("rectangle", [[4, 2], [2, 3]]),
                ("circle", [[4, 2], [2, 3]]),
            )
        ],
    },
}
VALUES = [
    None, True, -1, 0, 3.5, 10**12, 1e308, float("nan"), float("-inf"), "", "x", "../x", ".x", "\0", "a\nb", "é", [],
    {}, [[]], [[1, 2, 3, 4, 5, 6]], {"size": [6, 8], "counts": [48]}, {"size": [6, 8], "counts": "P0"},
]  # fmt: skip


def places(value, path=()):
    """Return the path of everything inside a JSON value."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [(*path, key) for key, _ in children]
    return found + [inner for key, child in children for inner in places(child, (*path, key))]


def mutated(value, draw):
    """Return a copy in which something is replaced or missing."""
    value = json.loads(json.dumps(value))
    *way, last = draw.choice(places(value))
    inner = value
    for key in way:
        inner = inner[key]
    if draw.random() < 0.2:
        del inner[last]
    else:
        inner[last] = draw.choice(VALUES)
    return value


@pytest.mark.parametrize("name", CONTENTS)
def test_no_mutation_ends_in_anything_but_a_dataset_or_one_line(name, tmp_path):
    source = tmp_path / "in"
    save_image(source / "1.png")
    draw = random.Random(7)
    outcomes = set()
    for attempt in range(80):
        save_json(source / "1.json", mutated(CONTENTS[name], draw))
        out = tmp_path / f"out{attempt}"
        try:
            read_back(convert(name, source, out))
        except UserError as error:
            assert "\n" not in str(error)
            assert not out.exists()
        outcomes.add(out.exists())
        assert all(left in ("in", *(f"out{i}" for i in range(attempt + 1))) for left in left_behind(tmp_path))
    assert outcomes == {True, False}
