"""What holds for every format, and the command."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from converted import left_behind, read_back, run, save_image, save_json, stored_size
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from segfit.curation.convert import FORMATS, convert
from segfit.curation.convert.contract import Conversion, Item
from segfit.curation.convert.pictures import nearest, reduced
from segfit.curation.convert.reading import divide, inside, usual_splits
from segfit.curation.opening import open_dataset
from segfit.errors import DataError, RecipeError

NAMES = ["ade20k-full", "cityscapes", "coco", "coco-panoptic", "coco-stuff", "labelme", "voc"]


def drawings(root: Path, count: int = 5, **image) -> Path:
    """Write a dataset of images with one rectangle each."""
    for i in range(count):
        save_image(root / f"{i}.png", **image)
        shape = {"label": "box", "shape_type": "rectangle", "points": [[1, 1], [4, 3]]}
        save_json(root / f"{i}.json", {"imagePath": f"{i}.png", "shapes": [shape]})
    return root


def test_every_format_is_found_and_described(cli):
    assert FORMATS.names() == NAMES
    help_text = cli("data", "convert", "--help").stdout
    for name in NAMES:
        assert name in help_text
        for option in FORMATS.signature(name):
            line = next(line for line in help_text.splitlines() if line.strip().startswith(f"{name} "))
            assert f"--{option.replace('_', '-')}" in line


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_or_missing_source_is_refused_in_one_line(name, tmp_path):
    (tmp_path / "empty").mkdir()
    for source in (tmp_path / "empty", tmp_path / "missing"):
        with pytest.raises(DataError, match=source.name) as caught:
            convert(name, source, tmp_path / "out")
        assert "\n" not in str(caught.value)
    assert left_behind(tmp_path) == ["empty"]


def test_unknown_formats_and_options_are_refused(tmp_path):
    source = drawings(tmp_path / "in")
    with pytest.raises(RecipeError, match=r"no format is called 'labelmee' \(did you mean 'labelme'\?\)"):
        convert("labelmee", source, tmp_path / "out")
    with pytest.raises(RecipeError, match="format 'cityscapes' has no such option"):
        convert("cityscapes", source, tmp_path / "out", background="class")
    with pytest.raises(RecipeError, match=r"format\.validation_share: 1\.5: "):
        convert("labelme", source, tmp_path / "out", validation_share=1.5)
    with pytest.raises(RecipeError, match="images: 'hardlink' is not one of link, copy, symlink"):
        convert("labelme", source, tmp_path / "out", images="hardlink")
    with pytest.raises(RecipeError, match="short_side: 0 is not"):
        convert("labelme", source, tmp_path / "out", short_side=0)
    assert left_behind(tmp_path) == ["in"]


def test_a_folder_with_files_is_never_written_into(tmp_path):
    source = drawings(tmp_path / "in")
    out = tmp_path / "out"
    out.mkdir()
    convert("labelme", source, out)  # an empty one will do
    before = sorted(out.rglob("*"))
    for taken in (out, source / "0.png"):
        with pytest.raises(DataError, match="there are files already: name a new folder"):
            convert("labelme", source, taken)
    assert sorted(out.rglob("*")) == before


def test_missing_parents_are_made_and_a_failure_leaves_nothing(tmp_path):
    source = drawings(tmp_path / "in")
    (source / "3.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"3\.png: damaged or not an image"):
        convert("labelme", source, tmp_path / "a" / "b" / "out")
    assert left_behind(tmp_path) == ["in"]
    save_image(source / "3.png")
    done = convert("labelme", source, tmp_path / "a" / "b" / "out")
    assert sum(len(masks) for masks in read_back(done).values()) == 5
    assert left_behind(tmp_path) == ["a", "in"]


def test_names_that_a_dataset_would_pass_over_are_refused(tmp_path):
    content = {
        "images": [{"id": 1, "file_name": ".hidden.png", "height": 6, "width": 8}],
        "annotations": [],
        "categories": [{"id": 1, "name": "a"}],
    }
    save_image(tmp_path / "in" / ".hidden.png")
    with pytest.raises(DataError, match=r"images\[0\]: name '\.hidden' is hidden by its dot"):
        convert("coco", save_json(tmp_path / "in" / "a.json", content), tmp_path / "out")


def test_two_images_of_one_record_must_have_two_names(tmp_path, monkeypatch):
    item = Item(split="training", name="a", image=tmp_path / "a.png", mask=np.zeros, where="list.json")
    monkeypatch.setattr(FORMATS, "build", lambda *_words: Conversion(classes=("sky",), items=(item, item)))
    with pytest.raises(DataError, match=r"list\.json: 'a' is taken in split 'training' by list\.json"):
        convert("coco", tmp_path, tmp_path / "out")


def test_an_interruption_leaves_nothing(tmp_path):
    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert("labelme", drawings(tmp_path / "in"), tmp_path / "out", progress=stop)
    assert left_behind(tmp_path) == ["in"]


def test_progress_counts_every_image(tmp_path):
    seen = []
    convert("labelme", drawings(tmp_path / "in"), tmp_path / "out", progress=lambda *counts: seen.append(counts))
    assert seen == [(i, 5) for i in range(1, 6)]


def test_the_result_does_not_depend_on_when_it_is_made(tmp_path):
    source = drawings(tmp_path / "in")
    for name in ("one", "two"):
        convert("labelme", source, tmp_path / name)
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert len(files) == 11
    for path in files:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()


# --- images ----------------------------------------------------------------------------------------------------------


def test_images_are_linked_copied_or_symlinked(tmp_path):
    source = drawings(tmp_path / "in")
    for images, how in (("link", "linked"), ("copy", "copied"), ("symlink", "symlinked")):
        done = convert("labelme", source, tmp_path / images, images=images)
        assert done.placed == {how: 5}
        read_back(done)
        for path in (done.root / "images").rglob("*.png"):
            original = source / path.name
            assert path.read_bytes() == original.read_bytes()
            assert path.is_symlink() == (images == "symlink")
            assert path.samefile(original) == (images != "copy")


def test_images_are_copied_where_links_are_impossible(tmp_path, monkeypatch):
    def refuse(*_paths):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    assert convert("labelme", drawings(tmp_path / "in"), tmp_path / "out").placed == {"copied": 5}


def test_a_linked_image_is_linked_to_what_it_means(tmp_path):
    source = drawings(tmp_path / "in")
    (source / "0.png").rename(tmp_path / "real.png")
    (source / "0.png").symlink_to(tmp_path / "real.png")
    done = convert("labelme", source, tmp_path / "out")
    copies = [path for path in done.root.rglob("0.png") if path.parent.parent.name == "images"]
    assert [path.samefile(tmp_path / "real.png") and not path.is_symlink() for path in copies] == [True]


def test_large_images_may_be_reduced_with_their_masks(tmp_path):
    source = drawings(tmp_path / "in", height=60, width=90)
    save_image(source / "0.png", 20, 30)
    done, masks = run("labelme", source, short_side=20)
    assert done.placed == {"linked": 1, "resized": 4}
    everything = {name: mask for split in masks.values() for name, mask in split.items()}
    assert {mask.shape for mask in everything.values()} == {(20, 30)}
    assert everything["0"][1:3, 1:4].all()
    assert everything["0"].sum() == 6
    assert everything["1"].sum() == 1
    assert {stored_size(path) for path in (done.root / "images").rglob("*.png")} == {(30, 20)}


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 600))
def test_reduced_sizes_keep_the_short_side(height, width, short_side):
    size = reduced((height, width), short_side)
    if min(height, width) <= short_side:
        assert size == (height, width)
    else:
        assert min(size) == short_side
        assert max(size) == int(max(height, width) / min(height, width) * short_side + 0.5)


def test_nearest_takes_the_label_at_the_centre_of_each_pixel():
    mask = np.arange(7 * 9, dtype=np.uint16).reshape(7, 9)
    smaller = nearest(mask, (3, 4))
    for i in range(3):
        for j in range(4):
            assert smaller[i, j] == mask[int((i + 0.5) * 7 / 3), int((j + 0.5) * 9 / 4)]
    np.testing.assert_array_equal(nearest(mask, (7, 9)), mask)


def rotated(path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    save_image(path, 6, 8, exif=exif, quality=95)


def test_masks_must_fit_the_upright_image(tmp_path):
    source = tmp_path / "in"
    rotated(source / "val2017" / "1.jpg", 6)
    content = {
        "images": [{"id": 1, "file_name": "1.jpg", "height": 8, "width": 6}],
        "annotations": [{"image_id": 1, "category_id": 1, "segmentation": [[0, 0, 6, 0, 6, 1, 0, 1]]}],
        "categories": [{"id": 1, "name": "a"}],
    }
    file = save_json(source / "annotations" / "instances_val2017.json", content)
    _, masks = run("coco", source)
    assert masks["validation"]["1"].shape == (8, 6)
    content["images"][0].update(height=6, width=8)
    save_json(file, content)
    with pytest.raises(DataError, match=r"images\[0\]: 8 x 6 pixels fit .*1\.jpg only without the rotation"):
        convert("coco", source, tmp_path / "again")
    save_image(source / "val2017" / "1.jpg", 8, 6)
    with pytest.raises(DataError, match=r"images\[0\]: 8 x 6 pixels, but .*1\.jpg has 6 x 8"):
        convert("coco", source, tmp_path / "again")


def test_absurdly_large_and_foreign_images_are_refused(tmp_path, monkeypatch):
    source = drawings(tmp_path / "in")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30)
    with pytest.raises(DataError, match=r"0\.png: more than 0 megapixels: cut it into tiles"):
        convert("labelme", source, tmp_path / "out")
    monkeypatch.undo()
    (source / "0.png").rename(source / "0.gif")
    save_json(source / "0.json", {"imagePath": "0.gif", "shapes": []})
    with pytest.raises(DataError, match=r"0\.gif: not a kind of image"):
        convert("labelme", source, tmp_path / "out")
    assert left_behind(tmp_path) == ["in"]


# --- small parts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.jpg", "sub/a.jpg", "./sub//a.jpg", "sub\\a.jpg", "sub/../a.jpg", "a..jpg"])
def test_paths_inside_are_followed(name):
    path = inside(Path("/data/set"), name, "here")
    assert path.is_relative_to("/data/set")
    assert ".." not in path.parts


@pytest.mark.parametrize(
    "name", ["", " ", "/a", "\\a", "..", "../set/a", "a/../../b", "C:/a", "c:\\a", "//x/y", "a\0b", "a\nb"]
)
def test_paths_outside_are_refused(name):
    with pytest.raises(DataError, match=r"here: path .* is not inside /data/set"):
        inside(Path("/data/set"), name, "here")


def test_a_path_may_climb_as_long_as_it_stays_inside():
    start = Path("/data/set/labels/a")
    assert inside(Path("/data/set"), "../../images/a.jpg", "", start=start) == Path("/data/set/images/a.jpg")
    with pytest.raises(DataError):
        inside(Path("/data/set"), "../../../a.jpg", "", start=start)


def test_splits_get_the_names_that_recipes_expect():
    assert usual_splits(["train2017", "val2017", "test"]) == {
        "train2017": "training", "val2017": "validation", "test": "test",
    }  # fmt: skip
    both = ["train2014", "train2017"]
    assert usual_splits(both) == {name: name for name in both}


@given(st.sets(st.text(max_size=5), min_size=2, max_size=40), st.floats(0.01, 0.99), st.integers(0, 9))
def test_a_drawn_split_has_its_share_and_never_an_empty_side(names, share, seed):
    splits = divide(sorted(names), share, seed)
    held_out = [name for name, split in splits.items() if split == "validation"]
    assert 1 <= len(held_out) < len(names)
    assert abs(len(held_out) - share * len(names)) <= 1
    assert divide(sorted(names, reverse=True), share, seed) == splits


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_says_how_to_open_the_result(cli, tmp_path):
    source = drawings(tmp_path / "in", count=6, height=48, width=64)
    out = tmp_path / "out"
    text = cli("data", "convert", "labelme", source, out, "--validation-share", "0.34", "--seed", "3").stdout
    assert "training: 4 images, 0 % of the pixels unlabelled" in text
    words = text.splitlines()[-1].removeprefix("train on it: segfit train RECIPE ").split()
    assert words == ["data.name=folder", f"data.root={out}"]
    recipe = save_json(tmp_path / "recipe.json", {"model": {"name": "unet"}})
    dataset = open_dataset(recipe, words)
    assert [len(dataset.source.records(split)) for split in dataset.splits] == [4, 2]
    assert dataset.source.labels.names == ("background", "box")


def test_the_command_prints_facts_for_machines(cli, tmp_path):
    source = drawings(tmp_path / "in")
    facts = json.loads(cli("data", "convert", "labelme", source, tmp_path / "out", "--json", "--images", "copy").stdout)
    assert facts["images"] == {"training": 4, "validation": 1}
    assert facts["placed"] == {"copied": 5}
    assert facts["overrides"] == ["data.name=folder", f"data.root={tmp_path / 'out'}"]


def test_the_command_refuses_in_one_line(cli, tmp_path):
    source = drawings(tmp_path / "in")
    for words, reason in (
        (("labelme", source, source), "there are files already"),
        (("labelmee", source, tmp_path / "out"), "did you mean 'labelme'?"),
        (("voc", source, tmp_path / "out", "--seed", 1), "format 'voc' has no such option"),
        (("labelme", tmp_path / "none", tmp_path / "out"), "no such folder"),
    ):
        done = cli("data", "convert", *words, check=2)
        assert reason in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr
    assert left_behind(tmp_path) == ["in"]
