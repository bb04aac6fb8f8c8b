"""Formats whose masks are outlines: COCO's instances and LabelMe."""

import base64
import io
import json

import numpy as np
import pytest
from converted import class_names, left_behind, read_back, run, save_image, save_json
from PIL import Image

from segfit.curation.convert import convert
from segfit.errors import DataError, RecipeError

BOX = [1, 1, 5, 1, 5, 4, 1, 4]
"""Covers rows 1 to 3, columns 1 to 4."""


def rle(top, left, height, width, size=(6, 8)):
    mask = np.zeros(size, np.uint8)
    mask[top : top + height, left : left + width] = 1
    flat = mask.T.ravel()
    return {"size": list(size), "counts": np.diff([0, *(np.flatnonzero(np.diff(flat)) + 1), flat.size]).tolist()}


def instances(root, splits=("train2017", "val2017"), edit=lambda content: None):
    for split in splits:
        save_image(root / split / "000001.jpg")
        content = {
            "info": {"year": 2017},
            "images": [{"id": 1, "file_name": "000001.jpg", "height": 6, "width": 8}],
            "annotations": [
                # The small one comes first and must stay in front.
                {"id": 1, "image_id": 1, "category_id": 9, "segmentation": rle(2, 2, 1, 2), "iscrowd": 1},
                {"id": 2, "image_id": 1, "category_id": 4, "segmentation": [BOX, [6, 0, 8, 0, 8, 2, 6, 2]]},
            ],
            "categories": [{"id": 4, "name": "table"}, {"id": 9, "name": "cup"}],
        }
        edit(content)
        save_json(root / "annotations" / f"instances_{split}.json", content)
    return root


EXPECTED = np.array(
    [
        [0, 0, 0, 0, 0, 0, 1, 1],
        [0, 1, 1, 1, 1, 0, 1, 1],
        [0, 1, 2, 2, 1, 0, 0, 0],
        [0, 1, 1, 1, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
    ]
)


def test_coco_annotations_are_drawn_with_the_small_ones_in_front(tmp_path):
    done, masks = run("coco", instances(tmp_path / "coco"))
    assert class_names(done) == ("background", "table", "cup")
    assert done.unlabelled == {"training": 0, "validation": 0}
    for split in ("training", "validation"):
        np.testing.assert_array_equal(masks[split]["000001"], EXPECTED)


def test_coco_background_may_be_ignored(tmp_path):
    def add_empty(content):
        content["images"].append({"id": 2, "file_name": "empty.jpg", "height": 6, "width": 8})
        content["annotations"].append({"image_id": 2, "category_id": 4, "bbox": [0, 0, 1, 1]})

    done, masks = run("coco", instances(tmp_path / "coco", edit=add_empty), background="ignore")
    assert class_names(done) == ("table", "cup")
    np.testing.assert_array_equal(masks["training"]["000001"], np.where(EXPECTED == 0, 255, EXPECTED - 1))
    assert "2 images are left out: nothing in them is annotated" in done.notes
    assert "2 annotations are left out: they have a box but no outline" in done.notes


def test_a_category_called_background_is_the_background(tmp_path):
    def rename(content):
        content["categories"][1]["name"] = "background"

    done, masks = run("coco", instances(tmp_path / "coco", edit=rename))
    assert class_names(done) == ("table", "background")
    np.testing.assert_array_equal(masks["training"]["000001"], np.where(EXPECTED == 1, 0, 1))


def test_folders_with_images_and_json_as_tools_export_them(tmp_path):
    root = instances(tmp_path / "coco", splits=("train", "valid"))
    for split in ("train", "valid"):
        (root / "annotations" / f"instances_{split}.json").rename(root / split / "_annotations.coco.json")
    (root / "annotations").rmdir()
    _, masks = run("coco", root)
    assert sorted(masks) == ["training", "validation"]


def test_one_file_may_be_divided(tmp_path):
    root = tmp_path / "coco"
    names = [f"{i}.png" for i in range(10)]
    for name in names:
        save_image(root / "images" / name)
    images = [{"id": f"x{i}", "file_name": name, "height": 6, "width": 8} for i, name in enumerate(names)]
    file = save_json(
        root / "labels.json", {"images": images, "annotations": [], "categories": [{"id": 0, "name": "a"}]}
    )
    done, masks = run("coco", file, validation_share=0.3, seed=5)
    assert done.images == {"training": 7, "validation": 3}
    assert not set(masks["training"]) & set(masks["validation"])
    again = convert("coco", root, tmp_path / "again", validation_share=0.3, seed=5)
    assert read_back(again)["validation"].keys() == masks["validation"].keys()
    other = convert("coco", root, tmp_path / "other", validation_share=0.3, seed=6)
    assert read_back(other)["validation"].keys() != masks["validation"].keys()
    alone = convert("coco", root, tmp_path / "alone")
    assert {"data.train=labels", "data.validation=labels"} <= set(alone.overrides)
    with pytest.raises(RecipeError, match="seed: it decides nothing"):
        convert("coco", root, tmp_path / "wrong", seed=1)


def test_a_share_for_a_dataset_with_splits_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="validation_share: .* has splits of its own"):
        run("coco", instances(tmp_path / "coco"), validation_share=0.5)


def annotation(**changes):
    return lambda content: content["annotations"][1].update(changes)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (annotation(category_id=5), r"annotations\[1\]\.category_id: there is no category 5"),
        (annotation(image_id="1"), r"annotations\[1\]\.image_id: there is no image '1'"),
        (annotation(category_id=None), r"annotations\[1\]\.category_id: Input should be a valid integer"),
        (annotation(segmentation=[[1, 1, 5, 5]]), r"annotations\[1\]\.segmentation\[0\]: .*2 corners, fewer than 3"),
        (annotation(segmentation=[[1, 1, 5, 5, 3, 3, 4]]), r"annotations\[1\]\.segmentation\[0\]: .*7 coordinates"),
        (annotation(segmentation=[[1, 1, 5, 5, 3, "x"]]), r"annotations\[1\]\.segmentation\[0\]\[5\]"),
        (annotation(segmentation=[[1, 1, 5, 5, 3, float("nan")]]), r"annotations\[1\]\.segmentation\[0\]\[5\]"),
        (annotation(segmentation=[[1, 1, 5, 5, 3, 1e12]]), r"annotations\[1\]\.segmentation\[0\]\[5\]"),
        (annotation(segmentation={"size": [6, 8], "counts": [1, 2]}), r"annotations\[1\]\.segmentation: .*add up to 3"),
        (annotation(segmentation={"size": [6, 8], "counts": "~~~"}), r"annotations\[1\]\.segmentation: character '~'"),
        (annotation(segmentation={"size": [8, 6], "counts": [48]}), r"annotations\[1\]\.segmentation: .*\(8, 6\)"),
        (annotation(segmentation={"size": [6, 8]}), r"annotations\[1\]\.segmentation\.counts: Field required"),
        (lambda c: c["images"][0].update(file_name="../../000001.jpg"), r"images\[0\]: path '\.\./\.\./000001\.jpg'"),
        (lambda c: c["images"][0].update(file_name="C:\\x\\000001.jpg"), r"images\[0\]: path 'C:"),
        (lambda c: c["images"][0].update(file_name="000002.jpg"), r"images\[0\]: no file '000002\.jpg' in"),
        (lambda c: c["images"][0].update(width=10**9), r"images\[0\]: says 1000000000 x 6 pixels"),
        (lambda c: c["images"][0].update(width=0), r"images\[0\]\.width: Input should be greater than 0"),
        (lambda c: c["images"].append({**c["images"][0], "id": 2}), r"images\[1\]: '000001' is taken in split"),
        (lambda c: c["images"].append({**c["images"][0], "id": 2, "file_name": "9.jpg"}), r"9\.jpg: no such image"),
        (lambda c: c["categories"][0].update(name="a\nb"), r"class name 'a\\nb' is blank or more than one line"),
        (lambda c: c["categories"].append({"id": 9, "name": "z"}), r"categories\[2\]\.id: 9 is taken"),
        (lambda c: c.clear(), r"instances_train2017\.json: images: Field required"),
    ],
)
def test_coco_mistakes_name_the_record(tmp_path, edit, reason):
    source = instances(tmp_path / "coco", edit=edit)
    with pytest.raises(DataError, match=reason) as caught:
        convert("coco", source, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert left_behind(tmp_path) == ["coco"]


def test_broken_json_and_differing_categories_are_refused(tmp_path):
    source = instances(tmp_path / "coco")
    second = source / "annotations/instances_val2017.json"
    content = json.loads(second.read_text())
    content["categories"].reverse()
    save_json(second, content)
    with pytest.raises(DataError, match=r"instances_val2017\.json: categories differ"):
        run("coco", source)
    second.write_text('{"images": [')
    with pytest.raises(DataError, match=r"instances_val2017\.json: Invalid JSON: .* line 1"):
        run("coco", source)


# --- LabelMe ---------------------------------------------------------------------------------------------------------


def shape(label, points, kind="polygon", **more):
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, "flags": {}, **more}


def pairs(numbers):
    return [numbers[i : i + 2] for i in range(0, len(numbers), 2)]


def drawing(path, shapes, **changes):
    content = {
        "version": "5.5.0",
        "shapes": shapes,
        "imagePath": f"{path.stem}.jpg",
        "imageData": None,
        "imageHeight": 6,
        "imageWidth": 8,
    }
    return save_json(path, {**content, **changes})


@pytest.fixture
def labelme(tmp_path):
    root = tmp_path / "labelme"
    for split, name in (("train", "a"), ("train", "b"), ("val", "c")):
        save_image(root / split / f"{name}.jpg")
        drawing(
            root / split / f"{name}.json",
            [
                shape("table", pairs(BOX)),
                shape("cup", [[4, 2], [2, 3]], "rectangle"),
                shape("__ignore__", [[0, 5], [0, 6]], "circle"),
                shape("wire", [[1, 1], [2, 2]], "line"),
            ],
        )
    return root


def test_labelme_shapes_are_drawn_in_their_order(labelme):
    done, masks = run("labelme", labelme)
    assert class_names(done) == ("background", "cup", "table")
    expected = np.choose(EXPECTED, [0, 2, 1])
    expected[:2, 6:] = 0
    rows, columns = np.mgrid[:6, :8] + 0.5
    expected[np.hypot(columns - 0, rows - 5) <= 1] = 255
    assert (expected == 255).sum() == 2
    for mask in (*masks["training"].values(), *masks["validation"].values()):
        np.testing.assert_array_equal(mask, expected)
    assert done.notes == ["3 shapes are left out, because they have no area: 3 of kind line"]


def test_labelme_classes_may_be_listed(labelme, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("_background_\ntable\nvase\ncup\n")
    done, masks = run("labelme", labelme, classes=names)
    assert class_names(done) == ("_background_", "table", "vase", "cup")
    assert masks["validation"]["c"][2, 2] == 3
    names.write_text("tables\ncup\n")
    with pytest.raises(DataError, match=r"\.json: label 'table' is not in .*names\.txt \(did you mean 'tables'\?\)"):
        convert("labelme", labelme, tmp_path / "other", classes=names)


def test_labelme_without_split_folders_is_divided(tmp_path):
    root = tmp_path / "labelme"
    for i in range(10):
        save_image(root / "images" / f"{i}.jpg")
        drawing(root / "labels" / f"{i}.json", [shape("x", pairs(BOX))], imagePath=f"..\\images\\{i}.jpg")
    done, masks = run("labelme", root)
    assert done.images == {"training": 8, "validation": 2}
    assert all(name.startswith("labels/") for name in masks["training"])


def test_labelme_images_may_be_embedded(labelme):
    image = labelme / "val" / "c.jpg"
    png = io.BytesIO()
    Image.open(image).save(png, "PNG")
    drawing(
        labelme / "val" / "c.json",
        [shape("table", [[1, 2], [3, 3]], "mask", mask=png_of([[0, 255, 0], [255, 255, 0]]))],
        imageData=base64.b64encode(png.getvalue()).decode(),
    )
    image.unlink()
    done, masks = run("labelme", labelme)
    assert done.placed == {"linked": 2, "extracted": 1}
    assert (done.root / "images/validation/c.png").read_bytes() == png.getvalue()
    assert np.argwhere(masks["validation"]["c"]).tolist() == [[2, 2], [3, 1], [3, 2]]


def png_of(rows):
    png = io.BytesIO()
    Image.fromarray(np.array(rows, np.uint8)).save(png, "PNG")
    return base64.b64encode(png.getvalue()).decode()


def test_rectangles_may_have_four_corners(labelme):
    corners = [[0, 0], [4, 0], [4, 2], [0, 2]]
    for kind in ("rectangle", "oriented_rectangle", "rotation"):
        drawing(labelme / "val" / "c.json", [shape("table", corners, kind)])
        done = convert("labelme", labelme, labelme.parent / kind)
        mask = read_back(done)["validation"]["c"]
        assert (mask.sum(), mask[:2, :4].min()) == (16, 2)


@pytest.mark.parametrize(
    ("shapes", "changes", "reason"),
    [
        ([], {"imagePath": "../../../c.jpg"}, r"c\.json: imagePath: path '\.\./\.\./\.\./c\.jpg' is not inside"),
        ([], {"imagePath": "/data/c.jpg"}, r"c\.json: imagePath: path '/data/c\.jpg' is not inside"),
        ([], {"imagePath": ""}, r"c\.json: imagePath: path '' is not inside"),
        ([], {"imagePath": "d.jpg"}, r"val/d\.jpg: no such image"),
        ([], {"imagePath": "d.jpg", "imageData": "äöü"}, r"c\.json: imageData: not base64"),
        ([], {"imagePath": "d.jpg", "imageData": "QUJD"}, r"c\.json: the image in it: damaged or not an image"),
        ([], {"imageHeight": 7}, r"c\.json: says 8 x 7 pixels, but the image has 8 x 6"),
        ([shape("a", [[1, 1], [2, 2]])], {}, r"c\.json: shapes\[0\] \(a\): a polygon has 2 corners"),
        ([shape("a", [[1, 1]], "circle")], {}, r"shapes\[0\] \(a\): a circle has 2 points, not 1"),
        ([shape("a", [[1, 1]], "blob")], {}, r"shapes\[0\] \(a\): shapes of kind 'blob' are not known"),
        ([shape("a", [[1, 1], [2, 2]], "mask", mask="QUJD")], {}, r"shapes\[0\] \(a\): its mask is not an image"),
        ([shape("a", [[7, 1], [9, 2]], "mask", mask=png_of([[1, 1]]))], {}, r"its mask reaches out of the image"),
        ([shape("a", [[1, None]])], {}, r"c\.json: shapes\[0\]\.points\[0\]\[1\]: Input should be a valid number"),
        ([{"points": []}], {}, r"c\.json: shapes\[0\]\.label: Field required"),
    ],
)
def test_labelme_mistakes_name_the_shape(labelme, tmp_path, shapes, changes, reason):
    drawing(labelme / "val" / "c.json", shapes, **changes)
    with pytest.raises(DataError, match=reason) as caught:
        convert("labelme", labelme, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert left_behind(tmp_path) == ["labelme"]


def test_a_share_for_split_folders_is_refused(labelme):
    with pytest.raises(RecipeError, match="has splits of its own: train, val"):
        run("labelme", labelme, seed=3)
