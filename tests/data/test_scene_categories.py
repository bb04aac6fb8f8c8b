from pathlib import Path

import pytest

from segfit.data import Record
from segfit.data.scene_categories import read_scene_categories, scene_categories
from segfit.errors import DataError


def records(*ids: str) -> list[Record]:
    return [Record(id=name, image=Path(f"{name}.jpg"), mask=Path(f"{name}.png")) for name in ids]


def write(folder: Path, text: str) -> Path:
    file = folder / "sceneCategories.txt"
    file.write_text(text, encoding="utf-8")
    return file


def test_ids_are_looked_up_by_their_last_part(tmp_path):
    write(tmp_path, "a street\nb\tliving room\n\n  c   outliers \n")
    assert scene_categories(tmp_path, records("b", "training/a", "x", "deep/er/c")) == (
        "living room",
        "street",
        None,
        "outliers",
    )


def test_without_the_file_nothing_is_known(tmp_path):
    assert scene_categories(tmp_path, records("a", "b")) == (None, None)


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [("a street\nb\n", 2, "is not a row"), ("a street\nb x\na room\n", 3, "already 'street'")],
)
def test_a_wrong_line_is_named(tmp_path, text, line, reason):
    file = write(tmp_path, text)
    with pytest.raises(DataError, match=rf"{file}:{line}: .*{reason}"):
        read_scene_categories(file)


def test_a_line_may_be_repeated(tmp_path):
    assert read_scene_categories(write(tmp_path, "a street\na street\n")) == {"a": "street"}


def test_the_synthetic_scenes_have_categories(scenes):
    known = read_scene_categories(scenes / "sceneCategories.txt")
    images = {path.stem for path in (scenes / "images").rglob("*.jpg")}
    assert known.keys() == images


def test_the_published_file(real_data):
    known = read_scene_categories(real_data / "ade20k-sample" / "ADEChallengeData2016" / "sceneCategories.txt")
    assert len(known) == 22_210
    assert known["ADE_train_00000001"] == "airport_terminal"
    assert sum(category == "bedroom" for category in known.values()) == 1528
    assert len(set(known.values())) == 1055
