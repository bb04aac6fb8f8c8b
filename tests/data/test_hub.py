"""Parquet datasets of the hub: every byte of an image arrives, and what is wrong is named with its file and row."""

import io
import json
import shutil
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import segfit
from segfit.config import build_recipe
from segfit.curation.opening import open_dataset
from segfit.data import SOURCES
from segfit.data.hub import hub
from segfit.data.parquet import _rows, find_shards, split_of
from segfit.errors import DataError, RecipeError

NAMES = ["wall", "building", "sky"]


def encoded(array: np.ndarray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind)
    return file.getvalue()


def picture(i: int, size: int = 24) -> bytes:
    return encoded(np.random.default_rng(i).integers(0, 256, (size, size, 3), np.uint8), "JPEG")


def label_map(i: int, size: int = 24) -> bytes:
    return encoded(np.random.default_rng(i).integers(0, 3, (size, size), np.uint8))


def rows(count: int, start: int = 0) -> dict[str, list]:
    return {
        "image": [{"bytes": picture(i), "path": f"ADE_{i:04d}.jpg"} for i in range(start, start + count)],
        "label": [{"bytes": label_map(i), "path": None} for i in range(start, start + count)],
        "scene": [f"scene {i}" for i in range(start, start + count)],
    }


def write(path: Path, columns: dict[str, list], features: dict | None = None, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if features is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path, **options)
    return path


@pytest.fixture
def dataset(tmp_path) -> Path:
    """Five training rows in two files, two validation rows, and class names."""
    root = tmp_path / "dataset"
    write(root / "data" / "train-00000-of-00002.parquet", rows(3), row_group_size=2)
    write(root / "data" / "train-00001-of-00002-0123456789abcdef.parquet", rows(2, 3))
    write(root / "data" / "validation-00000-of-00001.parquet", rows(2, 5))
    (root / "id2label.json").write_text(json.dumps(dict(enumerate(NAMES))))
    return root


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "segfit"


PICTURE = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def named(path: str) -> dict[str, object]:
    """One row whose image is a file of this name."""
    return {
        "image": pa.array([{"bytes": None, "path": path}], PICTURE),
        "mask": pa.array([{"bytes": label_map(0), "path": None}], PICTURE),
    }


def unpacked(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir()) if cache.exists() else []


# --- what is read ----------------------------------------------------------------------------------------------------


def test_bytes_arrive_as_they_are(dataset):
    source = hub(dataset)
    assert source.splits() == ["train", "validation"]
    records = source.records("train")
    assert [record.id for record in records] == [f"{i:06d}-ADE_{i:04d}" for i in range(5)]
    for i, record in enumerate(records):
        assert record.image.read_bytes() == picture(i)
        assert record.mask.read_bytes() == label_map(i)
        assert record.image.suffix == ".jpg"
        assert np.array_equal(source.read_mask(record), np.asarray(Image.open(io.BytesIO(label_map(i)))))
    assert [record.image.read_bytes() for record in source.records("validation")] == [picture(5), picture(6)]
    assert source.labels.names == tuple(NAMES)
    assert source.labels.ids == (0, 1, 2)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
def test_endings_follow_the_content(tmp_path, kind):
    image = encoded(np.zeros((4, 4, 3), np.uint8), kind)
    columns = {"image": [{"bytes": image, "path": "wrong.gif"}], "mask": [{"bytes": label_map(0), "path": None}]}
    write(tmp_path / "d" / "train.parquet", columns)
    (tmp_path / "d" / "classes.txt").write_text("a\nb\nc\n")
    record = hub(tmp_path / "d").records("train")[0]
    ending = {"JPEG": ".jpg", "TIFF": ".tif"}.get(kind, f".{kind.lower()}")
    assert (record.image.suffix, record.id) == (ending, "000000-wrong")


def test_columns_of_plain_bytes(tmp_path):
    write(tmp_path / "d" / "train.parquet", {"image": [picture(0)], "mask": [label_map(0)]})
    (tmp_path / "d" / "classes.txt").write_text("a\nb\nc\n")
    record = hub(tmp_path / "d").records("train")[0]
    assert (record.id, record.image.read_bytes(), record.mask.read_bytes()) == ("000000", picture(0), label_map(0))


def test_rows_that_name_files_of_the_dataset(tmp_path):
    root = tmp_path / "d"
    write(root / "data" / "train.parquet", named("../pictures/a.jpg"))
    (root / "classes.txt").write_text("a\nb\nc\n")
    with pytest.raises(DataError, match=r"train\.parquet: row 0: column 'image' has no bytes, only the name"):
        hub(root)
    (root / "pictures").mkdir()
    (root / "pictures" / "a.jpg").write_bytes(picture(7))
    assert hub(root).records("train")[0].image.read_bytes() == picture(7)


def test_no_row_reaches_outside_the_dataset(tmp_path):
    (tmp_path / "secret.jpg").write_bytes(picture(1))
    for i, path in enumerate(["../secret.jpg", str(tmp_path / "secret.jpg")]):
        write(tmp_path / f"d{i}" / "train.parquet", named(path))
        (tmp_path / f"d{i}" / "classes.txt").write_text("a\nb\nc\n")
        with pytest.raises(DataError, match="no file of the dataset"):
            hub(tmp_path / f"d{i}")


def test_stored_names_lead_nowhere_and_repeated_ones_are_left_out(tmp_path):
    columns = rows(2)
    columns["image"] = [{"bytes": picture(i), "path": f"../../{i} é/../x y{i}.jpg"} for i in range(2)]
    write(tmp_path / "d" / "train.parquet", columns)
    columns["image"] = [{"bytes": picture(i), "path": "image.jpg"} for i in range(2)]
    write(tmp_path / "d" / "test.parquet", columns)
    (tmp_path / "d" / "classes.txt").write_text("a\nb\nc\n")
    source = hub(tmp_path / "d")
    assert [record.id for record in source.records("train")] == ["000000-x_y0", "000001-x_y1"]
    assert [record.id for record in source.records("test")] == ["000000", "000001"]


def test_options_choose_columns(tmp_path):
    columns = rows(1)
    columns["photo"], columns["ground_truth"] = columns.pop("image"), [{"bytes": label_map(9), "path": None}]
    write(tmp_path / "train.parquet", columns)
    (tmp_path / "classes.txt").write_text("a\nb\nc\n")
    with pytest.raises(DataError, match=r"which column holds the masks \(label or ground_truth\)\? set data\.mask"):
        hub(tmp_path, image="photo")
    with pytest.raises(DataError, match=r"no column 'image' of images.*set data\.image"):
        hub(tmp_path, mask="label")
    source = SOURCES.build("hub", tmp_path, image="photo", mask="ground_truth")
    assert source.records("train")[0].mask.read_bytes() == label_map(9)
    assert hub(tmp_path, image="photo", mask="label").records("train")[0].mask.read_bytes() == label_map(0)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train-00000-of-00002.parquet", "train"),
        ("train-00000-of-00002-0123456789abcdef.parquet", "train"),
        ("my-split-00000-of-00001.parquet", "my-split"),
        ("validation.parquet", "validation"),
        ("0000.parquet", "0000"),
    ],
)
def test_file_names_tell_the_split(name, split):
    assert split_of(name) == split


# --- class names -----------------------------------------------------------------------------------------------------


CLASS_LABEL = {"_type": "ClassLabel", "names": NAMES}


@pytest.mark.parametrize(
    "objects",
    [
        {"feature": {"category": CLASS_LABEL, "area": {"_type": "Value"}}, "_type": "Sequence"},
        {"_type": "List", "feature": {"category": CLASS_LABEL}},
        [{"category": CLASS_LABEL}],
    ],
)
def test_names_of_regions_come_from_the_schema(tmp_path, objects):
    features = {"image": {"_type": "Image"}, "label": {"_type": "Image"}, "objects": objects}
    write(tmp_path / "train.parquet", rows(1), features)
    assert hub(tmp_path).labels.names == tuple(NAMES)


def test_names_of_whole_images_are_not_taken_for_those_of_regions(tmp_path):
    features = {"scene": {"_type": "ClassLabel", "names": ["kitchen", "street"]}}
    write(tmp_path / "train.parquet", rows(1), features)
    with pytest.raises(
        DataError, match=r"no class names: write id2label\.json or classes\.txt there.*data\.classes=scene"
    ):
        hub(tmp_path)
    assert hub(tmp_path, classes="scene").labels.names == ("kitchen", "street")


def test_files_beside_and_named_files(dataset):
    (dataset / "classes.txt").write_text("never read\n")
    (dataset / "mine.txt").write_text("a\nb\nc\n")
    (dataset / "mine.json").write_text('{"1": "x", "2": "y", "3": "z"}')
    assert hub(dataset).labels.names == tuple(NAMES)
    assert hub(dataset, classes="mine.txt").labels.names == ("a", "b", "c")
    shifted = hub(dataset, classes="mine.json").labels
    assert (shifted.names, shifted.ids) == (("x", "y", "z"), (1, 2, 3))
    assert hub(dataset, classes="mine.json", first=0).labels.ids == (0, 1, 2)
    assert hub(dataset, ignore=(1,)).labels.ids == (0, 2)
    with pytest.raises(DataError, match="no such file, and no ClassLabel column"):
        hub(dataset, classes="nothing.txt")
    with pytest.raises(RecipeError, match=r"data\.first"):
        hub(dataset, first=-1)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1, 2]", "not JSON of the form"),
        ('{"a": "wall"}', "not JSON of the form"),
        ("{", "not JSON of the form"),
        ("{}", "no classes"),
        ('{"0": "a", "2": "b"}', "has no class 1, but 2"),
        ('{"0": "a", "1": "a"}', "only once|already"),
    ],
)
def test_wrong_class_files_are_named(dataset, text, reason):
    (dataset / "id2label.json").write_text(text)
    with pytest.raises(DataError, match=reason):
        hub(dataset)


# --- the unpacked files ----------------------------------------------------------------------------------------------


def test_images_are_unpacked_once_and_anew_when_the_files_change(dataset, cache):
    first = hub(dataset).records("train")[0].image
    before = first.stat().st_mtime_ns
    assert len(unpacked(cache)) == 1
    (dataset / "id2label.json").write_text(json.dumps(dict(enumerate("abc"))))
    assert hub(dataset).labels.names == ("a", "b", "c")
    assert hub(dataset).records("train")[0].image.stat().st_mtime_ns == before
    write(dataset / "data" / "validation-00000-of-00001.parquet", rows(2, 7))
    assert hub(dataset).records("validation")[0].image.read_bytes() == picture(7)
    assert len(unpacked(cache)) == 2
    assert not [name for name in unpacked(cache) if name.startswith(".")]


def test_a_copy_of_the_dataset_shares_the_images(dataset, cache, tmp_path):
    hub(dataset)
    shutil.copytree(dataset, tmp_path / "copy")
    hub(tmp_path / "copy")
    assert len(unpacked(cache)) == 1


def test_a_folder_of_ones_own(dataset, cache, tmp_path):
    source = hub(dataset, unpacked=tmp_path / "mine")
    assert source.records("train")[0].image.is_relative_to(tmp_path / "mine")
    assert unpacked(cache) == []
    hub(dataset, unpacked=tmp_path / "mine")
    write(dataset / "data" / "test.parquet", rows(1))
    with pytest.raises(DataError, match=r"unpacked from other parquet files.*data\.unpacked"):
        hub(dataset, unpacked=tmp_path / "mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("precious")
    with pytest.raises(DataError, match="holds something else"):
        hub(dataset, unpacked=tmp_path / "other")


def test_a_cache_that_was_cleaned_is_noticed(dataset):
    source = hub(dataset)
    for record in source.records("train")[:2]:
        record.image.unlink()
        record.mask.unlink()
    with pytest.raises(DataError, match=r"images/train: has 3 files of 5: delete .*; it will be unpacked anew"):
        hub(dataset)


def test_room_is_looked_for_first(dataset, cache, monkeypatch):
    usage = namedtuple("usage", "total used free")  # noqa: PYI024
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(0, 0, 2**26 + 10_000))
    with pytest.raises(DataError, match="of disk space"):
        hub(dataset)
    assert unpacked(cache) == []


def test_several_at_once(dataset, cache):
    # A lock belongs to whoever opened the file, so threads stand for processes.
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: [record.image for record in hub(dataset).records("train")], range(4)))
    assert answers == [[record.image for record in hub(dataset).records("train")]] * 4
    assert len(unpacked(cache)) == 1


def test_memory_is_that_of_one_row_group(tmp_path):
    cells = [{"bytes": b"\xff\xd8\xff" + np.random.default_rng(i).bytes(250_000), "path": None} for i in range(64)]
    write(tmp_path / "train.parquet", {"image": cells, "mask": cells}, row_group_size=4)
    del cells
    shards, before = find_shards(tmp_path), pa.total_allocated_bytes()
    peaks = [pa.total_allocated_bytes() - before for _ in _rows(shards.paths[0], ("image", "mask"), tmp_path)]
    assert len(peaks) == 64
    # Both columns of a group are 2 MB; the file has 32.
    assert max(peaks) < 4 * 2_000_000


# --- what is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "row", "cell", "reason"),
    [
        ("image", 1, None, r"train\.parquet: row 1: column 'image' is empty"),
        ("label", 2, None, r"train\.parquet: row 2: column 'label' is empty"),
        ("label", 0, {"bytes": b"", "path": None}, r"row 0: column 'label' is empty"),
        ("label", 0, {"bytes": picture(0), "path": None}, r"row 0: the mask is stored as \.jpg"),
        ("image", 2, {"bytes": b"GIF89a", "path": None}, r"row 2: the image is no JPEG"),
    ],
)
def test_rows_that_are_wrong_are_named(tmp_path, cache, column, row, cell, reason):
    columns = rows(3)
    columns[column][row] = cell
    write(tmp_path / "d" / "train.parquet", columns)
    (tmp_path / "d" / "classes.txt").write_text("a\nb\nc\n")
    with pytest.raises(DataError, match=reason) as caught:
        hub(tmp_path / "d")
    assert "\n" not in str(caught.value)
    assert unpacked(cache) == []


def test_missing_files_are_noticed(dataset):
    (dataset / "data" / "train-00000-of-00002.parquet").unlink()
    with pytest.raises(DataError, match="1 files of the split 'train', which has 2"):
        hub(dataset)


@pytest.mark.parametrize("columns", [{"image": rows(1)["image"]}, {"text": ["a"]}, {"image": ["a"], "mask": ["b"]}])
def test_missing_columns_are_named(tmp_path, columns):
    write(tmp_path / "train.parquet", columns)
    with pytest.raises(DataError, match=r"train\.parquet: which column holds the masks"):
        hub(tmp_path)


def test_files_with_other_columns_are_named(dataset):
    columns = rows(1)
    write(dataset / "data" / "test.parquet", {"image": columns["image"], "masks": columns["label"]})
    with pytest.raises(DataError, match=r"no column|which column"):
        hub(dataset)


def test_folders_without_parquet_are_refused(tmp_path):
    with pytest.raises(DataError, match="no .parquet files"):
        hub(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        hub(tmp_path / "nothing")


def test_damaged_files_are_refused_in_one_line(dataset, cache):
    path = dataset / "data" / "train-00000-of-00002.parquet"
    whole = path.read_bytes()
    for position in range(0, len(whole), max(1, len(whole) // 20)):
        for data in (whole[:position], whole[:position] + bytes(80) + whole[position + 80 :]):
            path.write_bytes(data)
            try:
                hub(dataset)
            except DataError as error:
                assert "\n" not in str(error)
            shutil.rmtree(cache, ignore_errors=True)


# --- the dataset in use ----------------------------------------------------------------------------------------------


def test_a_folder_with_parquet_files_is_recognised(dataset):
    opened = open_dataset(dataset)
    assert opened.recipe.data.name == "hub"
    assert opened.splits == ("train", "validation")


def test_a_model_is_trained_on_it(dataset, tmp_path, tiny):
    recipe = {**tiny, "data": {"name": "hub", "root": str(dataset), "train": "train"}}
    recipe["augment"] = {**recipe["augment"], "size": [24, 24]}
    recipe["train"] = {**recipe["train"], "epochs": 1}
    run = segfit.train(build_recipe(recipe), tmp_path / "run")
    assert (run / "metrics.json").is_file()
