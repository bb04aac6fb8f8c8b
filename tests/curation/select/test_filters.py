"""Filters and the selection as a whole, against brute force on the masks themselves."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segfit.curation.opening import open_dataset
from segfit.curation.select import select_images
from segfit.curation.select.choosers import Random, Rarest, Stratified
from segfit.curation.select.criteria import Scenes, With, Without
from segfit.curation.select.near_duplicates import WithoutNearDuplicates
from segfit.data.files import read_text
from segfit.errors import DataError, RecipeError


@pytest.fixture(scope="module")
def dataset(scenes):
    return open_dataset(scenes)


@pytest.fixture(scope="module")
def masks(dataset):
    return {record.id: dataset.source.read_mask(record) for record in dataset.source.records("training")}


def share(dataset, mask, word):
    position = [name.split(",")[0] for name in dataset.source.labels.names].index(word)
    return float(np.mean(mask == dataset.source.labels.ids[position]))


WORDS = ("sky", "wall", "tree", "person", "windowpane")


@given(data=st.data())
@settings(max_examples=25)
def test_class_filters_are_exact(dataset, masks, data):
    shares = {word: {name: share(dataset, mask, word) for name, mask in masks.items()} for word in WORDS}
    expected, filters = set(masks), []
    for _ in range(data.draw(st.integers(1, 3))):
        word = data.draw(st.sampled_from(WORDS))
        low = data.draw(st.sampled_from([None, 0.01, *shares[word].values()]))
        if low in (None, 0.0):
            text, fits = word, {name for name, value in shares[word].items() if value > 0}
        else:
            high = data.draw(st.sampled_from([None, *[value for value in shares[word].values() if value >= low]]))
            text = f"{word}:{low:.20f}" + (f"-{high:.20f}" if high is not None else "")
            fits = {name for name, value in shares[word].items() if low <= value <= (1 if high is None else high)}
        wanted = data.draw(st.booleans())
        expected &= fits if wanted else set(masks) - fits
        filters.append(With(text) if wanted else Without(text))
    if not expected:
        with pytest.raises(DataError, match="leaves none of the"):
            select_images(dataset, filters=filters)
        return
    selection = select_images(dataset, filters=filters)
    assert set(selection.ids) == expected
    assert sorted(selection.ids) == list(selection.ids) == [record.id for record in selection.chosen]
    gone = [name for dropped in selection.dropped for name in dropped.ids]
    assert sorted([*gone, *selection.ids]) == sorted(masks), "every image is selected or dropped by one criterion"


def test_the_census_before_and_after_is_that_of_the_images(dataset, masks):
    selection = select_images(dataset, filters=[With("sky")], chooser=Random(1), count=2)
    for census, names in ((selection.before, list(masks)), (selection.after, selection.ids)):
        assert census.ids == tuple(names)
        for row, name in enumerate(names):
            counts = np.bincount(masks[name].ravel(), minlength=151)
            assert census.pixels[row].tolist() == counts[list(census.table.ids)].tolist()


def test_scenes_are_filtered_by_category_with_wildcards(dataset, scenes):
    categories = dict(line.split() for line in read_text(scenes / "sceneCategories.txt").splitlines())
    training = {name: category for name, category in categories.items() if "train" in name}
    some = sorted(set(training.values()))[:2]
    for patterns in ((some[0],), tuple(some), (f"{some[0][:2]}*",), ("*",)):
        prefixes = tuple(pattern.rstrip("*") for pattern in patterns)
        expected = [
            name for name, c in training.items() if c in patterns or ("*" in patterns[0] and c.startswith(prefixes))
        ]
        assert list(select_images(dataset, filters=[Scenes(patterns)]).ids) == sorted(expected)


@given(seed=st.integers(0, 5), count=st.integers(1, 12))
@settings(max_examples=15)
def test_choices_are_repeatable_and_random_ones_nested(dataset, seed, count):
    for chooser in (Random(seed), Stratified(seed), Rarest()):
        one = select_images(dataset, chooser=chooser, count=count)
        assert one.ids == select_images(dataset, chooser=chooser, count=count).ids
        assert len(one.ids) == count
        assert sorted([*one.ids, *(record.id for record in one.rest)]) == list(one.before.ids)
    smaller = select_images(dataset, chooser=Random(seed), count=max(1, count - 3))
    larger = select_images(dataset, chooser=Random(seed), count=count)
    assert set(smaller.ids) <= set(larger.ids)


def test_rare_classes_are_shown_more_often_than_by_chance(dataset):
    rare = select_images(dataset, chooser=Rarest(), count=4)
    frequency = np.maximum(rare.before.images(), 1)
    value = [
        (select_images(dataset, chooser=chooser, count=4).after.images() / frequency).sum()
        for chooser in (Rarest(), *map(Random, range(6)))
    ]
    assert value[0] == max(value)


@pytest.fixture
def copies(tmp_path, scenes) -> Path:
    """The scenes with copies of two images: one brighter and one mirrored, and one of the very same bytes."""
    root = tmp_path / "copies"
    shutil.copytree(scenes, root)
    images, masks = root / "images" / "training", root / "annotations" / "training"
    for source, target, change in (
        ("ADE_train_00000003", "copy_a", lambda rgb: np.clip(rgb * 0.8 + 20, 0, 255).astype(np.uint8)),
        ("ADE_train_00000005", "copy_b", lambda rgb: rgb[:, ::-1]),
    ):
        with Image.open(images / f"{source}.jpg") as picture:
            Image.fromarray(change(np.asarray(picture))).save(images / f"{target}.png")
        shutil.copy(masks / f"{source}.png", masks / f"{target}.png")
    shutil.copy(images / "ADE_train_00000007.jpg", images / "copy_c.jpg")
    shutil.copy(masks / "ADE_train_00000007.png", masks / "copy_c.png")
    return root


def test_near_duplicates_go_and_their_originals_stay(copies):
    selection = select_images(open_dataset(copies), filters=[WithoutNearDuplicates()])
    assert selection.dropped[0].ids == ("copy_a", "copy_b", "copy_c")
    strict = select_images(open_dataset(copies), filters=[WithoutNearDuplicates(1.0)])
    assert "copy_c" in strict.dropped[0].ids
    assert "copy_a" not in strict.dropped[0].ids


def test_a_slow_pan_leaves_some_frames(tmp_path, scenes):
    """Every frame is like the next, the first and the last are not: more than the first one stays."""
    source = next((scenes / "images" / "training").glob("*.jpg"))
    with Image.open(source) as picture:
        wide = cv2.resize(np.asarray(picture.convert("RGB")), (640, 64))
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for i in range(40):
        Image.fromarray(wide[:, 10 * i : 10 * i + 128]).save(tmp_path / "images" / f"{i:02}.png")
        Image.fromarray(np.zeros((64, 128), np.uint8)).save(tmp_path / "masks" / f"{i:02}.png")
    (tmp_path / "classes.txt").write_text("all\n")
    selection = select_images(open_dataset(tmp_path), filters=[WithoutNearDuplicates(0.8)])
    assert 1 < len(selection.ids) < 40
    assert selection.ids[0] == "00"


def test_a_damaged_image_is_named(copies):
    (copies / "images" / "training" / "copy_c.jpg").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"copy_c\.jpg: .*segfit data check"):
        select_images(open_dataset(copies), filters=[WithoutNearDuplicates()])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": [With("skyy")]}, r"--with skyy: no class is called 'skyy' \(did you mean 'sky'\?\)"),
        ({"filters": [Without("sky:2")]}, "--without sky:2: not limits of a share: write sky:0.2 or sky:0.2-0.5"),
        ({"filters": [With("sky:0.5-0.2")]}, "not limits"),
        ({"filters": [With("sky:0")]}, "not limits"),
        ({"filters": [With("sky:much")]}, "no class is called 'sky:much'"),
        ({"filters": [Scenes(("kitchenn",))]}, "--scene kitchenn: no image has such a category"),
        ({"filters": [WithoutNearDuplicates(1.5)]}, "not a number above 0 and up to 1"),
        ({"chooser": Random(), "count": 99}, "--count 99: only 12 images pass the filters"),
        ({"chooser": Random(), "count": 0}, "--count 0: choose at least one image"),
        ({"chooser": Random(), "share": 1.5}, "--share 1.5: not a share"),
        ({"chooser": Random(), "share": float("nan")}, "not a share"),
        ({"chooser": Random(), "share": 0.5, "count": 3}, "--count and --share exclude each other"),
        ({"chooser": Rarest()}, "--rare: how many images"),
        ({"count": 3}, "need a chooser"),
        ({"split": "trainin"}, "no split folder 'trainin'"),
    ],
)
def test_wrong_criteria_are_refused(dataset, arguments, message):
    with pytest.raises((DataError, RecipeError), match=message):
        select_images(dataset, **arguments)


def test_scenes_of_a_dataset_without_categories_are_refused(tmp_path, scenes):
    shutil.copytree(scenes, tmp_path / "bare")
    (tmp_path / "bare" / "sceneCategories.txt").unlink()
    with pytest.raises(DataError, match=r"no scene category of these images is known: write sceneCategories\.txt"):
        select_images(open_dataset(tmp_path / "bare"), filters=[Scenes(("kitchen",))])


def test_a_class_with_a_colon_in_its_name_is_found_whole(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for i in range(2):
            Image.fromarray(np.full((8, 8), i, np.uint8)).save(tmp_path / folder / f"{i}.png")
    (tmp_path / "classes.txt").write_text("sign:0.5\nsign\n")
    opened = open_dataset(tmp_path)
    assert select_images(opened, filters=[With("sign:0.5")]).ids == ("0",)
    assert select_images(opened, filters=[With("sign:0.6")]).ids == ("1",)
