import numpy as np
import pytest
from converted import left_behind, run, save_image, save_json, stored_size
from PIL import Image

from segfit.curation.convert import convert
from segfit.curation.convert.ade20k_full import ade20k_full, read_map, read_seg
from segfit.curation.convert.contract import VOID
from segfit.curation.convert.pictures import nearest, reduced
from segfit.data.ade20k import published_labels
from segfit.data.scene_categories import read_scene_categories
from segfit.errors import DataError

WALL, SKY, DOOR, DOUBLE_DOOR, WINDOW, WINDOWPANE = 2978, 2420, 774, 783, 3050, 3055
"""Indices of the full release."""

INDICES = np.array([[0, WALL, SKY, DOOR], [DOUBLE_DOOR, WINDOW, WINDOWPANE, 3600]])
CHALLENGE = np.array([[0, 1, 3, 15], [15, 0, 9, 0]])


def save_seg(path, indices):
    instances = np.arange(indices.size).reshape(indices.shape)
    channels = np.stack([indices // 256 * 10, indices % 256, instances], axis=-1)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(channels.astype(np.uint8)).save(path)


def add(folder, name, indices=INDICES, names=None):
    """Write one image of the full release."""
    save_image(folder / f"{name}.jpg", *indices.shape)
    save_seg(folder / f"{name}_seg.png", indices)
    save_seg(folder / f"{name}_parts_1.png", np.full(indices.shape, 7))
    save_image(folder / name / f"instance_000_{name}.png")
    if names is not None:
        things = [{"id": i, "name": label, "name_ndx": index} for i, (index, label) in enumerate(names.items())]
        save_json(folder / f"{name}.json", {"annotation": {"object": things, "scene": ["outdoor", "urban", "street"]}})


@pytest.fixture
def release(tmp_path):
    root = tmp_path / "ADE20K_2021_17_01"
    names = {
        WALL: "wall", SKY: "sky", DOOR: "door", DOUBLE_DOOR: "double door", WINDOW: "window",
        WINDOWPANE: "windowpane, window", 3600: "gizmo, doodad",
    }  # fmt: skip
    add(root / "images/ADE/training/urban/street", "ADE_train_00000001", names=names)
    add(
        root / "images/ADE/training/cultural/apse__indoor",
        "ADE_train_00000002",
        np.full((2, 4), SKY),
        names={SKY: "sky"},
    )
    add(root / "images/ADE/validation/urban/street", "ADE_val_00000001", names=names)
    return root


def test_the_release_of_2021_becomes_the_challenge(release):
    done, masks = run("ade20k-full", release.parent)
    assert done.layout == "ade20k"
    assert done.images == {"training": 2, "validation": 1}
    np.testing.assert_array_equal(masks["training"]["ADE_train_00000001"], CHALLENGE)
    np.testing.assert_array_equal(masks["validation"]["ADE_val_00000001"], CHALLENGE)
    assert read_scene_categories(done.root / "sceneCategories.txt") == {
        "ADE_train_00000001": "street",
        "ADE_train_00000002": "apse_indoor",
        "ADE_val_00000001": "street",
    }


def test_what_became_other_is_named(release):
    done, _ = run("ade20k-full", release)
    assert done.notes == [
        "2 classes without a counterpart among the 150 cover 17 % of the pixels and became 0 = other: "
        "window (8.3 %), gizmo (8.3 %)"
    ]
    assert done.unlabelled["validation"] == pytest.approx(3 / 8)


def test_the_release_of_2016_has_other_folders_and_no_json(tmp_path):
    root = tmp_path / "ADE20K_2016_07_26"
    add(root / "images/training/s/street", "ADE_train_00000001")
    add(root / "images/validation/b/bazaar/indoor", "ADE_val_00000001")
    done, masks = run("ade20k-full", root)
    np.testing.assert_array_equal(masks["validation"]["ADE_val_00000001"], CHALLENGE)
    assert set(read_scene_categories(done.root / "sceneCategories.txt").values()) == {"street", "bazaar_indoor"}
    assert "class 3050 (12 %), class 3600 (12 %)" in done.notes[0]
    assert len(done.notes) == 1


def test_names_that_contradict_the_map_are_reported(release):
    folder = release / "images/ADE/validation/urban/street"
    add(folder, "ADE_val_00000002", np.full((2, 2), WALL), names={WALL: "gizmo"})
    (release / "images/ADE/training/urban/street/ADE_train_00000001.json").unlink()
    (folder / "ADE_val_00000001.json").unlink()
    done, _ = run("ade20k-full", release)
    assert done.notes[-1] == "index 2978 is called 'gizmo' here but became 'wall': if that is wrong, give --map"


def test_the_table_of_classes_is_the_published_one(release, real_data):
    done, _ = run("ade20k-full", release)
    published = (real_data / "ade20k-sample/ADEChallengeData2016/objectInfo150.txt").read_text()
    rows = [line.split() for line in published.splitlines()]
    assert [line.split() for line in (done.root / "objectInfo150.txt").read_text().splitlines()] == rows


def test_a_map_replaces_the_published_one(release, tmp_path):
    mine = tmp_path / "map.txt"
    mine.write_text(f"1\t{SKY}, {WALL}\n\n150   3600  \n")
    _, masks = run("ade20k-full", release, map=mine)
    np.testing.assert_array_equal(masks["validation"]["ADE_val_00000001"], [[0, 1, 1, 0], [0, 0, 0, 150]])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 2\nwall 3\n", "map.txt:2: 'wall 3' is not a row"),
        ("7\n", "map.txt:1: '7' is not a row"),
        ("151 3\n", "map.txt:1: challenge indices are 1..150"),
        ("3 9999\n", "map.txt:1: challenge indices are 1..150, full ones"),
        ("1 2\n3 2\n", "map.txt:2: an index of it is already mapped"),
        ("\n", "map.txt: the file is empty"),
    ],
)
def test_a_malformed_map_is_refused(tmp_path, text, reason):
    path = tmp_path / "map.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=reason):
        read_map(path)


def test_broken_files_are_named_and_nothing_is_left(release, tmp_path):
    folder = release / "images/ADE/validation/urban/street"
    seg = folder / "ADE_val_00000001_seg.png"
    for damage, reason in (
        (lambda: save_image(seg, 2, 4), r"_seg\.png: not a _seg\.png of ADE20K"),
        (lambda: save_seg(seg, np.zeros((3, 3), int)), r"_seg\.png: 3 x 3 pixels, but .* has 4 x 2"),
        (lambda: seg.write_bytes(seg.read_bytes()[:40]), r"_seg\.png: damaged"),
        (lambda: (folder / "ADE_val_00000001.json").write_text("{}"), r"\.json: not a description of an ADE20K image"),
        ((folder / "ADE_val_00000001.jpg").unlink, r"ADE/validation: no images there"),
    ):
        if "json" in reason:
            save_seg(seg, np.full((2, 4), 3601))
        damage()
        with pytest.raises(DataError, match=reason):
            convert("ade20k-full", release, tmp_path / "out")
        assert left_behind(tmp_path) == ["ADE20K_2021_17_01"]
    seg.unlink()
    save_image(folder / "ADE_val_00000001.jpg")
    with pytest.raises(DataError, match=r"ADE_val_00000001\.jpg: no mask of that name"):
        convert("ade20k-full", release, tmp_path / "out")
    with pytest.raises(DataError, match="no folders images/ADE/training or images/training there"):
        convert("ade20k-full", folder, tmp_path / "out")


# --- real files ------------------------------------------------------------------------------------------------------


def golden(real_data):
    return real_data / "ade20k-sample" / "convertFromADE"


def test_the_published_pair_converts_exactly(real_data, tmp_path):
    expected = np.asarray(Image.open(golden(real_data) / "ADE_train_00000970_challenge.png"))
    raw = golden(real_data) / "ADE_train_00000970_raw.png"
    folder = tmp_path / "ADE20K_2016_07_26" / "images" / "training" / "b" / "bedroom"
    save_image(folder / "ADE_train_00000970.jpg", 768, 1024)
    (folder / "ADE_train_00000970_seg.png").write_bytes(raw.read_bytes())
    done, masks = run("ade20k-full", tmp_path / "ADE20K_2016_07_26", short_side=512)
    np.testing.assert_array_equal(masks["training"]["ADE_train_00000970"], expected)
    assert done.placed == {"resized": 1}
    assert done.notes[-1].startswith("there is only one split, 'training'")
    assert "data.validation=training" in done.overrides
    assert stored_size(done.root / "images/training/ADE_train_00000970.jpg") == (683, 512)


def test_the_shipped_map_is_the_published_one(real_data):
    theirs = read_map(golden(real_data) / "mapFromADE.txt")
    image = golden(real_data) / "ADE_train_00000970_raw.png"
    ours = ade20k_full(real_data / "ade20k-sample").items[0].mask.func.__self__
    assert ours.challenge == theirs
    positions = np.where(ours.positions == VOID, 0, ours.positions.astype(int) + 1).take(read_seg(image))
    assert reduced(positions.shape, 512) == (512, 683)
    expected = np.asarray(Image.open(golden(real_data) / "ADE_train_00000970_challenge.png"))
    np.testing.assert_array_equal(nearest(positions, (512, 683)), expected)


def test_three_real_images_of_2021(real_data, tmp_path):
    done = convert("ade20k-full", real_data / "ade20k-sample", tmp_path / "out")
    assert done.images == {"training": 3}
    assert 0.05 < done.unlabelled["training"] < 0.08
    assert done.notes[:-1] == [
        "6 classes without a counterpart among the 150 cover 1.3 % of the pixels and became 0 = other: "
        "container (0.52 %), central reservation (0.44 %), helmet (0.14 %), umbrella (0.07 %), alarm (0.06 %), "
        "banner (0.05 %)"
    ]
    mask = np.asarray(Image.open(tmp_path / "out/annotations/training/ADE_train_00016869.png"))
    names = published_labels().names
    most = [names[i - 1] for i in np.argsort(np.bincount(mask.ravel(), minlength=151)[1:])[::-1][:4] + 1]
    assert most == ["road, route", "building, edifice", "tree", "sky"]
    assert read_scene_categories(tmp_path / "out/sceneCategories.txt")["ADE_train_00016869"] == "street"
