import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segfit.data import SOURCES
from segfit.data.ade20k import OBJECT_INFO, Ade20k, published_labels
from segfit.data.decode import read_image
from segfit.errors import DataError
from segfit.labels import select

HEADER = "Idx\tRatio\tTrain\tVal\tName\n"


def write(root: Path, splits: dict[str, list[str]]) -> Path:
    for split, names in splits.items():
        for name in names:
            image, mask = root / "images" / split / f"{name}.jpg", root / "annotations" / split / f"{name}.png"
            image.parent.mkdir(parents=True, exist_ok=True)
            mask.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(image)
            Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8)).save(mask)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path / "ADEChallengeData2016", {"training": ["b", "a", "c"], "validation": ["v"]})


def sample_data(name: str) -> Path:
    folder = os.environ.get("SEGFIT_TEST_DATA")
    if not folder:
        pytest.skip("SEGFIT_TEST_DATA is not set")
    return Path(folder) / name


# --- classes ---------------------------------------------------------------------------------------------------------


def test_the_published_classes(root: Path) -> None:
    labels = Ade20k(root).labels
    assert labels.ids == tuple(range(1, 151))
    assert labels.ignored == (0,)
    assert labels.names[:3] == ("wall", "building, edifice", "sky")
    assert labels.names[149] == "flag"
    assert len(set(labels.names)) == 150
    assert len(set(labels.colors)) == 150
    assert labels.ratios is not None
    assert labels.ratios[:2] == (0.1576, 0.1072)
    assert sum(labels.ratios) == pytest.approx(0.9275, abs=5e-5)
    assert all(name == name.strip() for name in labels.names)


def test_the_ten_most_common_published_classes(root: Path) -> None:
    space = select(Ade20k(root).labels, top=10)
    words = [name.split(",")[0] for name in space.names]
    assert words == ["wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed", "windowpane", "grass"]
    assert space.coverage == pytest.approx(0.6087, abs=5e-5)


def test_a_table_in_the_folder_replaces_the_published_one(root: Path) -> None:
    (root / OBJECT_INFO).write_text(HEADER + "1\t0.5\t3\t1\tsky\n7 \t0.25\t2\t0\troad, route \n")
    labels = Ade20k(root).labels
    assert labels.ids == (1, 7)
    assert labels.names == ("sky", "road, route")
    assert labels.ratios == (0.5, 0.25)


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", 1, "column 'Idx'"),
        ("Idx,Ratio,Name\n1,0.5,sky\n", 1, "column 'Idx'"),
        (HEADER + "1\t0.5\t3\t1\tsky\none\t0.5\t3\t1\tsea\n", 3, "not a row"),
        (HEADER + "1\t0.5\n", 2, "not a row"),
        (HEADER + "0\t0.5\t1\t1\tother\n", 2, "id 0"),
        (HEADER + "1\t0.5\t1\t1\tsky\n1\t0.5\t1\t1\tsea\n", 3, "id 1"),
        (HEADER + "1\t0.5\t1\t1\tsky\n2\t0.5\t1\t1\tsky\n", 3, "name 'sky'"),
        (HEADER + "1\t0.5\t1\t1\t \n2\t0.5\t1\t1\tsky\n", 2, "name ''"),
        (HEADER + "1\t15.76\t1\t1\twall\n", 2, "ratio 15.76"),
        (HEADER + "1\tnan\t1\t1\twall\n", 2, "ratio nan"),
    ],
)
def test_a_malformed_table_is_named_with_its_line(root: Path, text: str, line: int, reason: str) -> None:
    (root / OBJECT_INFO).write_text(text)
    with pytest.raises(DataError) as error:
        Ade20k(root)
    assert f"{OBJECT_INFO}:{line}: " in str(error.value)
    assert reason in str(error.value)


# --- files -----------------------------------------------------------------------------------------------------------


def test_records_are_sorted_and_paired(root: Path) -> None:
    source = SOURCES.build("ade20k", root)
    records = source.records("training")
    assert [record.id for record in records] == ["a", "b", "c"]
    assert all(r.image == root / "images/training" / f"{r.id}.jpg" for r in records)
    assert all(r.mask == root / "annotations/training" / f"{r.id}.png" for r in records)
    np.testing.assert_array_equal(source.read_mask(records[0]), np.arange(48).reshape(6, 8))


def test_hidden_files_are_passed_over(root: Path) -> None:
    (root / "images/training/._a.jpg").write_bytes(b"x")
    (root / "annotations/training/.DS_Store").write_bytes(b"x")
    assert len(Ade20k(root).records("training")) == 3


def test_an_unknown_split_names_the_closest(root: Path) -> None:
    with pytest.raises(DataError, match="did you mean 'training'"):
        Ade20k(root).records("trainning")
    for outside in ("", "..", "training/.."):
        with pytest.raises(DataError, match="no split folder"):
            Ade20k(root).records(outside)


def test_unmatched_files_are_named_and_counted(root: Path) -> None:
    (root / "annotations/training/b.png").unlink()
    (root / "annotations/training/c.png").unlink()
    with pytest.raises(DataError, match=r"b\.jpg: no mask of that name \(2 of 3 images"):
        Ade20k(root).records("training")
    (root / "images/validation/v.jpg").rename(root / "images/validation/w.jpg")
    (root / "annotations/validation/w.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"v\.png: no image of that name \(1 of 2 masks"):
        Ade20k(root).records("validation")


def test_an_empty_or_half_present_split(root: Path) -> None:
    (root / "images/extra").mkdir()
    with pytest.raises(DataError, match=r"annotations/extra: no such folder"):
        Ade20k(root).records("extra")
    (root / "annotations/extra").mkdir()
    with pytest.raises(DataError, match="no images there"):
        Ade20k(root).records("extra")


@pytest.mark.parametrize("near", ["..", "images", "images/training", "annotations"])
def test_a_folder_beside_the_right_one_is_pointed_out(root: Path, near: str) -> None:
    with pytest.raises(DataError) as error:
        Ade20k((root / near).resolve())
    assert f"but in {root}: set data.root to that" in str(error.value)


def test_a_wrong_folder_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "wrong/photos").mkdir(parents=True)
    with pytest.raises(DataError, match="but has photos"):
        Ade20k(tmp_path / "wrong")
    with pytest.raises(DataError, match="but has no folders"):
        Ade20k(tmp_path / "wrong/photos")
    with pytest.raises(DataError, match="no such folder"):
        Ade20k(tmp_path / "absent")


def test_published_files_are_read() -> None:
    source = Ade20k(sample_data("ade20k-sample/ADEChallengeData2016"))
    records = source.records("validation")
    assert [record.id for record in records] == [f"ADE_val_0000000{i}" for i in (1, 2, 3)]
    space = select(source.labels)
    for record in records:
        mask = source.read_mask(record)
        assert mask.shape == read_image(record.image).shape[:2]
        assert space.encode(mask, where=record.id).min() < 150


def test_the_shipped_table_is_the_published_one(root: Path) -> None:
    published = Ade20k(sample_data("ade20k-sample/ADEChallengeData2016"))
    assert (published.tree.root / OBJECT_INFO).is_file()
    assert published.labels == published_labels() == Ade20k(root).labels
