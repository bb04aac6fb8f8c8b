import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segfit.data import SOURCES
from segfit.data.decode import read_image
from segfit.data.folder import Folder
from segfit.errors import DataError, RecipeError
from segfit.labels import IGNORE, select

MASK = np.array([[0, 1, 2], [2, 255, 0]], dtype=np.uint8)
COLORS = ((10, 20, 30), (200, 0, 0), (0, 0, 0))


def add(root: Path, name: str, mask: np.ndarray = MASK, *, suffix: str = "", ending: str = ".jpg") -> None:
    image, target = root / "images" / f"{name}{ending}", root / "masks" / f"{name}{suffix}.png"
    image.parent.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((2, 3, 3), np.uint8)).save(image)
    Image.fromarray(mask).save(target)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("train/b", "train/a", "val/v"):
        add(tmp_path, name)
    (tmp_path / "classes.txt").write_text("sky\nparking lot\nroad\n")
    return tmp_path


def ids(source: Folder, split: str) -> list[str]:
    return [record.id for record in source.records(split)]


# --- splits by folder ------------------------------------------------------------------------------------------------


def test_split_folders(root: Path) -> None:
    source = SOURCES.build("folder", root)
    records = source.records("train")
    assert [record.id for record in records] == ["a", "b"]
    assert records[0].image == root / "images/train/a.jpg"
    assert records[0].mask == root / "masks/train/a.png"
    np.testing.assert_array_equal(source.read_mask(records[0]), MASK)


def test_folders_within_a_split_become_part_of_the_id(root: Path) -> None:
    add(root, "train/aachen/a", ending=".PNG")
    assert ids(Folder(root), "train") == ["a", "aachen/a", "b"]


def test_other_folder_names_and_a_mask_suffix(root: Path) -> None:
    (root / "images").rename(root / "leftImg8bit")
    (root / "masks").rename(root / "gtFine")
    for mask in (root / "gtFine").rglob("*.png"):
        mask.with_name(f"{mask.stem}_color.png").write_bytes(b"passed over")
        mask.rename(mask.with_name(f"{mask.stem}_labelIds.png"))
    source = SOURCES.build("folder", root, images="leftImg8bit", masks="gtFine", suffix="_labelIds")
    records = source.records("train")
    assert [record.mask.name for record in records] == ["a_labelIds.png", "b_labelIds.png"]
    np.testing.assert_array_equal(source.read_mask(records[1]), MASK)


def test_unmatched_files_are_named_and_counted(root: Path) -> None:
    (root / "masks/train/b.png").unlink()
    with pytest.raises(DataError, match=r"train/b\.jpg: no mask of that name \(1 of 2 images"):
        Folder(root).records("train")
    (root / "images/train/b.jpg").unlink()
    (root / "images/train/a.jpg").rename(root / "images/train/c.jpg")
    (root / "masks/train/c.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"train/a\.png: no image of that name \(1 of 2 masks"):
        Folder(root).records("train")


def test_two_images_of_one_name(root: Path) -> None:
    add(root, "train/a", ending=".png")
    with pytest.raises(DataError, match=r"a\.png: a\.jpg has the same name"):
        Folder(root).records("train")


def test_an_unknown_split(root: Path) -> None:
    with pytest.raises(DataError, match=r"no split folder 'training'.*did you mean 'train'"):
        Folder(root).records("training")
    with pytest.raises(DataError, match=r"test\.txt: no such file"):
        Folder(root).records("test.txt")


def test_images_without_any_split_say_what_was_found(tmp_path: Path) -> None:
    add(tmp_path, "a")
    add(tmp_path, "b")
    (tmp_path / "classes.txt").write_text("sky\n")
    with pytest.raises(DataError, match=r"no split folder 'training', only 2 images.*data\.train=train\.txt"):
        Folder(tmp_path).records("training")


# --- splits by list --------------------------------------------------------------------------------------------------


def test_a_list_may_name_stems_paths_or_files(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    add(root, "flat")
    text = "b\n\ntrain/a.jpg\nimages/val/v.jpg\nflat\n"
    (root / "list.txt").write_text(text)
    elsewhere = tmp_path_factory.mktemp("lists") / "list.txt"
    elsewhere.write_text(text)
    for split in ("list.txt", str(elsewhere)):
        records = Folder(root).records(split)
        assert [record.id for record in records] == ["flat", "train/a", "train/b", "val/v"]
        assert records[1].mask == root / "masks/train/a.png"


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a\nabsent\n", 2, "no image is called 'absent'"),
        ("a\nb\ntrain/a\n", 3, "listed twice"),
        ("b\nsame\n", 2, "may be train/same or val/same"),
    ],
)
def test_a_wrong_line_is_named(root: Path, text: str, line: int, reason: str) -> None:
    add(root, "train/same")
    add(root, "val/same")
    (root / "list.txt").write_text(text)
    with pytest.raises(DataError) as error:
        Folder(root).records("list.txt")
    assert f"list.txt:{line}: " in str(error.value)
    assert reason in str(error.value)


def test_listed_images_need_masks_and_a_list_needs_images(root: Path) -> None:
    (root / "masks/train/a.png").unlink()
    (root / "list.txt").write_text("a\nb\n")
    with pytest.raises(DataError, match=r"a\.jpg: no mask of that name \(1 of 2"):
        Folder(root).records("list.txt")
    (root / "list.txt").write_text("\n")
    with pytest.raises(DataError, match=r"list\.txt: no images"):
        Folder(root).records("list.txt")
    (root / "list.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="UTF-8"):
        Folder(root).records("list.txt")


# --- classes ---------------------------------------------------------------------------------------------------------


def test_classes_from_lines(root: Path) -> None:
    labels = Folder(root).labels
    assert labels.ids == (0, 1, 2)
    assert labels.names == ("sky", "parking lot", "road")
    assert labels.ratios is None
    assert labels.ignored == (255,)
    encoded = select(labels).encode(MASK)
    np.testing.assert_array_equal(encoded, np.where(MASK == 255, IGNORE, MASK))


def test_first_and_ignore_shift_and_leave_out(root: Path) -> None:
    labels = SOURCES.build("folder", root, first=1, ignore=[0, 3, 0]).labels
    assert labels.ids == (1, 2)
    assert labels.names == ("sky", "parking lot")
    assert labels.ignored == (0, 3)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("sky\n\nroad\n", ":2: blank line"),
        ("sky\nroad\nsky \n", ":3: 'sky' is already on line 1"),
        ("", ": the file is empty"),
    ],
)
def test_a_malformed_class_list(root: Path, text: str, reason: str) -> None:
    (root / "classes.txt").write_text(text)
    with pytest.raises(DataError) as error:
        Folder(root)
    assert f"classes.txt{reason}" in str(error.value)


def test_wrong_options(root: Path) -> None:
    for options, reason in (
        ({"colors": "c.csv", "classes": "names.txt"}, "either classes or colors"),
        ({"first": -1}, "data.first"),
        ({"first": 65534}, "data.first"),
        ({"ignore": [70000]}, "data.ignore"),
        ({"ignore": [0, 1, 2]}, "leaves no class"),
        ({"mask": "masks"}, "did you mean 'masks'"),
        ({"ignore": "void"}, "data.ignore"),
    ):
        with pytest.raises(RecipeError, match=reason):
            SOURCES.build("folder", root, **options)


def test_missing_parts(root: Path) -> None:
    for options, reason in (
        ({"images": "image"}, "no folder 'image'.*did you mean 'images'.*data.images"),
        ({"masks": "labels"}, "no folder 'labels'.*data.masks"),
        ({"classes": "names.txt"}, "names.txt: no such file.*data.classes"),
        ({"colors": "colors.csv"}, "colors.csv: no such file"),
    ):
        with pytest.raises(DataError, match=reason):
            SOURCES.build("folder", root, **options)
    with pytest.raises(DataError, match=r"no such folder: set data\.root"):
        Folder(root / "absent")


# --- colours ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "r,g,b,name\n10,20,30,sky\n200,0,0,parking lot\n0,0,0,void\n",
        "10 20 30\tsky\n200 0 0\tparking lot\n0 0 0\tvoid\n",
        ' 10, 20, 30, sky\n\n200, 0, 0, "parking lot"\n0, 0, 0, void',
    ],
)
def test_a_colour_table_names_classes_and_reads_rgb_masks(tmp_path: Path, text: str) -> None:
    positions = np.array([[0, 1, 2], [2, 1, 0]])
    add(tmp_path, "train/a", np.array(COLORS, dtype=np.uint8)[positions])
    (tmp_path / "colors.csv").write_text(text)
    source = SOURCES.build("folder", tmp_path, colors="colors.csv", first=5, ignore=(7,))
    assert source.labels.names == ("sky", "parking lot")
    assert source.labels.ids == (5, 6)
    assert source.labels.colors == COLORS[:2]
    mask = source.read_mask(source.records("train")[0])
    np.testing.assert_array_equal(mask, positions + 5)
    encoded = select(source.labels).encode(mask)
    np.testing.assert_array_equal(encoded, np.array([0, 1, IGNORE])[positions])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1,2,3,sky\n1,2,sky\n", ":2: '1,2,sky' is not a row"),
        ("1,2,300,sky\n", ":1: '1,2,300,sky' is not a row"),
        ("1,2,3,sky\n1,2,3,road\n", ":2: (1, 2, 3) is already on line 1"),
        ("1,2,3,sky\n1,2,4,sky\n", ":2: 'sky' is already on line 1"),
        ("\n", ": the file is empty"),
    ],
)
def test_a_malformed_colour_table(root: Path, text: str, reason: str) -> None:
    (root / "colors.csv").write_text(text)
    with pytest.raises(DataError) as error:
        Folder(root, colors="colors.csv")
    assert f"colors.csv{reason}" in str(error.value)


def test_camvid() -> None:
    folder = os.environ.get("SEGFIT_TEST_DATA")
    if not folder:
        pytest.skip("SEGFIT_TEST_DATA is not set")
    source = SOURCES.build("folder", Path(folder) / "camvid", ignore=[11])
    space = select(source.labels)
    counts = {split: len(source.records(split)) for split in ("train", "val", "test")}
    assert counts == {"train": 367, "val": 101, "test": 233}
    for record in source.records("val")[:3]:
        mask = space.encode(source.read_mask(record), where=str(record.mask))
        assert mask.shape == read_image(record.image).shape[:2]
        assert set(np.unique(mask).tolist()) <= {*range(11), IGNORE}
