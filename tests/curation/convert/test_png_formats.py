"""Formats whose masks are pictures."""

import numpy as np
import pytest
from converted import class_names, left_behind, run, save_image, save_json, save_mask
from PIL import Image

from segfit.curation.convert import convert
from segfit.curation.convert.voc import color_of
from segfit.data import SOURCES
from segfit.errors import DataError

IDS = np.array([[7, 8, 11, 33], [0, 3, 5, 9], [26, 31, 32, 29]])
TRAIN_IDS = np.array([[0, 1, 2, 18], [255, 255, 255, 255], [13, 16, 17, 255]])


@pytest.fixture
def cityscapes(tmp_path):
    root = tmp_path / "cityscapes"
    for split, city in (("train", "aachen"), ("train", "bochum"), ("val", "lindau")):
        name = f"{city}_000001_000019"
        save_image(root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png", 3, 4)
        save_mask(root / "gtFine" / split / city / f"{name}_gtFine_labelIds.png", IDS)
        save_mask(root / "gtFine" / split / city / f"{name}_gtFine_color.png", np.zeros((3, 4, 3)))
    save_image(root / "leftImg8bit" / "train_extra" / "x" / "x_0_0_leftImg8bit.png")
    return root


def test_cityscapes_has_its_19_classes(cityscapes):
    done, masks = run("cityscapes", cityscapes)
    assert done.images == {"training": 2, "validation": 1}
    assert sorted(masks["training"]) == ["aachen/aachen_000001_000019", "bochum/bochum_000001_000019"]
    for mask in (mask for split in masks.values() for mask in split.values()):
        np.testing.assert_array_equal(mask, TRAIN_IDS)
    names = class_names(done)
    assert (len(names), names[0], names[13], names[18]) == (19, "road", "car", "bicycle")
    assert done.unlabelled["validation"] == pytest.approx(5 / 12)


def test_the_masks_show_the_published_colours(cityscapes):
    done, _ = run("cityscapes", cityscapes)
    colours = np.asarray(Image.open(done.root / "masks/validation/lindau/lindau_000001_000019.png").convert("RGB"))
    assert colours[0, 0].tolist() == [128, 64, 128]
    assert colours[1, 0].tolist() == [0, 0, 0]


def test_train_ids_do_where_label_ids_are_missing(cityscapes):
    mask = cityscapes / "gtFine/val/lindau/lindau_000001_000019_gtFine_labelIds.png"
    save_mask(mask.with_name(mask.name.replace("labelIds", "labelTrainIds")), TRAIN_IDS)
    mask.unlink()
    _, masks = run("cityscapes", cityscapes)
    np.testing.assert_array_equal(masks["validation"]["lindau/lindau_000001_000019"], TRAIN_IDS)


def test_cityscapes_without_a_mask_or_with_a_foreign_id_is_refused(cityscapes, tmp_path):
    mask = cityscapes / "gtFine/val/lindau/lindau_000001_000019_gtFine_labelIds.png"
    save_mask(mask, np.full((3, 4), 77))
    with pytest.raises(DataError, match=r"labelIds\.png: label id 77 is unknown in this format"):
        run("cityscapes", cityscapes)
    mask.unlink()
    with pytest.raises(DataError, match="no lindau_000001_000019 with the ending _gtFine_labelIds.png or"):
        run("cityscapes", cityscapes)
    assert left_behind(tmp_path) == ["cityscapes"]


# --- Pascal VOC ------------------------------------------------------------------------------------------------------

VOC_MASK = np.array([[0, 1, 20], [255, 15, 0]])


@pytest.fixture
def voc(tmp_path):
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for name in ("a", "b", "c"):
        save_image(root / "JPEGImages" / f"{name}.jpg", 2, 3)
    save_mask(root / "SegmentationClass" / "a.png", VOC_MASK, "P")
    save_mask(root / "SegmentationClass" / "b.png", VOC_MASK)
    colours = np.array([[color_of(i) for i in row] for row in VOC_MASK.tolist()])
    save_mask(root / "SegmentationClass" / "c.png", colours)
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\nb\n")
    (lists / "val.txt").write_text("c\n")
    (lists / "trainval.txt").write_text("a\nb\nc\n")
    return root


def test_the_colours_of_voc_are_the_published_ones():
    known = {0: (0, 0, 0), 1: (128, 0, 0), 8: (64, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128), 255: (224, 224, 192)}
    assert {i: (224, 224, 192) if i == 255 else color_of(i) for i in known} == known


def test_voc_masks_with_a_palette_with_grey_values_and_with_colours_are_the_same(voc):
    done, masks = run("voc", voc.parent.parent / "VOCdevkit")
    assert {split: sorted(found) for split, found in masks.items()} == {"training": ["a", "b"], "validation": ["c"]}
    for mask in (*masks["training"].values(), *masks["validation"].values()):
        np.testing.assert_array_equal(mask, VOC_MASK)
    assert class_names(done)[:2] == ("background", "aeroplane")


def test_the_larger_training_set_of_voc(voc):
    for name in ("a", "b", "c"):
        save_mask(voc / "SegmentationClassAug" / f"{name}.png", np.full((2, 3), 4))
    (voc / "ImageSets/Segmentation/trainaug.txt").write_text(
        "/JPEGImages/a.jpg /SegmentationClassAug/a.png\n/JPEGImages/b.jpg /SegmentationClassAug/b.png\n"
    )
    _, masks = run("voc", voc, masks="SegmentationClassAug")
    assert set(masks["training"]) == {"a", "b"}
    assert (masks["validation"]["c"] == 4).all()


def test_voc_mistakes_name_the_line_or_the_file(voc, tmp_path):
    lists = voc / "ImageSets/Segmentation"
    (lists / "val.txt").write_text("c\n../../../secret\n")
    with pytest.raises(DataError, match=r"val\.txt:2: path '../../../secret.png' is not inside"):
        run("voc", voc)
    (lists / "val.txt").write_text("nobody\n")
    with pytest.raises(DataError, match=r"JPEGImages/nobody\.jpg: no such image"):
        run("voc", voc)
    (lists / "val.txt").write_text("c\nc\n")
    with pytest.raises(DataError, match=r"'c' is taken in split 'validation'"):
        run("voc", voc)
    save_mask(voc / "SegmentationClass" / "c.png", np.full((2, 3, 3), 9))
    (lists / "val.txt").write_text("c\n")
    with pytest.raises(DataError, match=r"c\.png: colour \(9, 9, 9\)"):
        run("voc", voc)
    assert left_behind(voc.parent) == ["VOC2012"]


# --- COCO-Stuff ------------------------------------------------------------------------------------------------------


def test_coco_stuff_has_171_classes_and_no_gaps(tmp_path):
    root = tmp_path / "stuff"
    mask = np.array([[0, 181, 255], [91, 89, 12]])
    for split in ("train2017", "val2017"):
        save_image(root / "images" / split / "000000000009.jpg", 2, 3)
        save_mask(root / "stuffthingmaps" / split / "000000000009.png", mask)
    save_mask(root / "stuffthingmaps" / "val2017" / "000000000009_labelTrainIds.png", mask)
    done, masks = run("coco-stuff", root)
    names = class_names(done)
    assert len(names) == 171
    found = masks["validation"]["000000000009"]
    labels = [[names[i] if i != 255 else None for i in row] for row in found.tolist()]
    assert labels == [["person", "wood", None], ["banner", "toothbrush", "stop sign"]]


def test_coco_stuff_refuses_an_id_that_is_never_used(tmp_path):
    save_image(tmp_path / "stuff/images/val2017/9.jpg", 2, 2)
    save_mask(tmp_path / "stuff/annotations/val2017/9.png", np.full((2, 2), 11))
    with pytest.raises(DataError, match=r"9\.png: label id 11 is unknown"):
        run("coco-stuff", tmp_path / "stuff")


# --- COCO panoptic ---------------------------------------------------------------------------------------------------


def panoptic(root, edit=lambda content: None):
    for split in ("train2017", "val2017"):
        save_image(root / split / "1.jpg", 2, 3)
        ids = np.array([[0, 5, 5], [300, 300, 70000]])
        channels = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1)
        save_mask(root / "annotations" / f"panoptic_{split}" / "1.png", channels)
        content = {
            "images": [{"id": 1, "file_name": "1.jpg", "height": 2, "width": 3}],
            "annotations": [
                {
                    "image_id": 1,
                    "file_name": "1.png",
                    "segments_info": [
                        {"id": 5, "category_id": 200, "iscrowd": 0},
                        {"id": 300, "category_id": 3, "iscrowd": 1},
                        {"id": 70000, "category_id": 200, "iscrowd": 0},
                    ],
                }
            ],
            "categories": [{"id": 3, "name": "cat"}, {"id": 200, "name": "rug-merged"}],
        }
        edit(content)
        save_json(root / "annotations" / f"panoptic_{split}.json", content)
    return root


def test_panoptic_segments_become_their_categories(tmp_path):
    done, masks = run("coco-panoptic", panoptic(tmp_path / "coco"))
    assert class_names(done) == ("cat", "rug-merged")
    for split in ("training", "validation"):
        np.testing.assert_array_equal(masks[split]["1"], [[255, 1, 1], [0, 0, 1]])


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda c: c["annotations"][0]["segments_info"].pop(), r"1\.png: colour \(112, 17, 1\)"),
        (lambda c: c["annotations"][0].update(image_id=7), r"annotations\[0\]\.image_id: there is no image 7"),
        (
            lambda c: c["annotations"][0].update(file_name="../x.png"),
            r"annotations\[0\]: path '\.\./x\.png' is not inside",
        ),
        (lambda c: c["images"][0].update(file_name="/etc/x.jpg"), r"path '/etc/x\.jpg' is not inside"),
        (
            lambda c: c["annotations"][0]["segments_info"][1].update(category_id=4),
            r"annotations\[0\]\.segments_info\[1\]\.category_id: there is no category 4",
        ),
        (lambda c: c["annotations"][0]["segments_info"][1].update(id=5), r"two segments have the same id"),
        (lambda c: c["categories"][0].update(id=200), r"categories\[1\]\.id: 200 is taken"),
        (lambda c: c["categories"][0].update(name="rug-merged"), "two classes are called 'rug-merged'"),
        (lambda c: c["images"].append(c["images"][0] | {"width": 9}), r"images\[1\]\.id: 1 is taken"),
        (lambda c: c.pop("categories"), r"categories: Field required"),
    ],
)
def test_panoptic_mistakes_name_the_record(tmp_path, edit, reason):
    source = panoptic(tmp_path / "coco", edit)
    with pytest.raises(DataError, match=reason) as caught:
        convert("coco-panoptic", source, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert left_behind(tmp_path) == ["coco"]


def test_more_than_255_classes_are_stored_in_16_bits(tmp_path):
    def many(content):
        content["categories"] += [{"id": 1000 + i, "name": f"class {i}"} for i in range(300)]
        content["annotations"][0]["segments_info"][0]["category_id"] = 1299

    done, masks = run("coco-panoptic", panoptic(tmp_path / "coco", many))
    np.testing.assert_array_equal(masks["training"]["1"], [[65535, 301, 301], [0, 0, 1]])
    assert "data.ignore=[65535]" in done.overrides
    assert SOURCES.build("folder", done.root, ignore=(65535,)).labels.names[301] == "class 299"
