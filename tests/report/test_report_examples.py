import base64
import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from drawn_study import analysis_of, drawn_study
from run_folders import STUDY, Fake, draw, edit_json, predict, write_dataset, write_run
from segfit.comparison.comparing import compare
from segfit.comparison.table import Group
from segfit.errors import DataError
from segfit.labels import IGNORE
from segfit.report.examples import LEGEND_MOST, UNSCORED, WRONG, Example, error_uri, legend, open_album
from segfit.report.names import short_names

SIZE = (60, 80)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return drawn_study(tmp_path_factory.mktemp("study"), STUDY[:3], count=3, size=SIZE)


@pytest.fixture(scope="module")
def group(study: list[Path]) -> Group:
    return analysis_of(study).group


def pixels(uri: str, mode: str) -> np.ndarray:
    head, data = uri.split(",", 1)
    assert head in {"data:image/png;base64", "data:image/webp;base64"}
    return np.asarray(Pillow.open(io.BytesIO(base64.b64decode(data))).convert(mode))


def test_an_image_comes_with_its_mask_and_all_predictions(group: Group) -> None:
    example = open_album(group).read("view-00")
    image, mask = draw(0, SIZE)
    assert np.abs(example.image.astype(int) - image).mean() < 8, "a JPEG of the drawn image"
    assert (example.truth == np.where(mask == 0, IGNORE, mask - 1)).all()
    for row, prediction in zip(group.rows, example.predictions, strict=True):
        fake = next(fake for fake in STUDY if fake.name == row.name)
        assert prediction is not None
        assert (prediction == predict(mask, fake, fake.batch)).all()


def test_masks_are_shown_in_the_colors_of_their_classes(group: Group) -> None:
    example = open_album(group).read("view-00", [0])
    colors = np.array(group.runs[0].labels.colors)
    shown = pixels(example.mask(example.truth), "RGBA")
    there = example.truth != IGNORE
    assert (shown[there, :3] == colors[example.truth[there]]).all()
    assert ((shown[..., 3] > 0) == there).all()
    prediction = example.predictions[0]
    assert prediction is not None
    assert (pixels(example.mask(prediction), "RGB") == colors[prediction]).all()


def test_errors_are_red_what_is_right_is_transparent() -> None:
    truth = np.array([[0, 1], [2, IGNORE]], np.uint8)
    prediction = np.array([[0, 2], [1, 0]], np.uint8)
    shown = pixels(error_uri(prediction, truth), "RGBA")
    assert shown[0, 0, 3] == 0
    assert (shown[[0, 1], [1, 0], :3] == WRONG).all()
    assert (shown[1, 1, :3] == UNSCORED).all()
    assert (shown[[0, 1, 1], [1, 0, 1], 3] == 255).all()


def test_a_run_without_the_image_leaves_a_gap(tmp_path: Path) -> None:
    paths = drawn_study(tmp_path, STUDY[:2], count=2, size=SIZE)
    (paths[0] / "examples" / "view-01.png").unlink()
    group = analysis_of(paths).group
    place = [row.name for row in group.rows].index("unet-8")
    album = open_album(group)
    assert album.kept(["view-00", "view-01", "nothing"]).sum(axis=1).tolist() == [2 - (i == place) for i in range(2)]
    predictions = album.read("view-01").predictions
    assert [prediction is None for prediction in predictions] == [i == place for i in range(2)]


def test_large_images_are_shown_small(tmp_path: Path) -> None:
    (path,) = drawn_study(tmp_path, STUDY[:1], count=1, size=(300, 640))
    example = open_album(analysis_of([path]).group).read("view-00")
    small = example.shrunk(320)
    assert small.truth.shape == (150, 320)
    assert small.image.shape == (150, 320, 3)
    assert set(np.unique(small.truth)) <= set(np.unique(example.truth)), "no label is invented"
    assert pixels(small.photo(), "RGB").shape == (150, 320, 3)


def test_squashed_runs_are_shown_as_they_were_scored(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "data", 1, SIZE)
    data = {"name": "folder", "root": str(root), "first": 1, "ignore": [0]}
    path = write_run(tmp_path / "run", Fake(data=data), {"view-00": np.zeros((256, 256), np.uint8)})
    with pytest.raises(DataError, match="the dataset changed since the run"):
        open_album(compare([path]).groups[0]).read("view-00")
    edit_json(path / "metrics.json", "evaluation", "protocol", value="paper")
    example = open_album(compare([path]).groups[0]).read("view-00")
    assert example.truth.shape == example.image.shape[:2] == (256, 256)


def test_what_is_gone_or_changed_is_said(tmp_path: Path) -> None:
    (path,) = drawn_study(tmp_path, STUDY[:1], count=1, size=SIZE)
    group = analysis_of([path]).group
    with pytest.raises(DataError, match=r"has no image 'view-07' any more"):
        open_album(group).read("view-07")
    mask = tmp_path / "dataset" / "masks" / "validation" / "view-00.png"
    assert cv2.imwrite(str(mask), np.ones((10, 10), np.uint8))
    with pytest.raises(DataError, match="both need one size"):
        open_album(group).read("view-00")
    (tmp_path / "dataset").rename(tmp_path / "moved")
    with pytest.raises(DataError, match=r"is not at .*dataset any more"):
        open_album(group)


def test_a_prediction_of_an_unknown_class_is_refused(tmp_path: Path) -> None:
    (path,) = drawn_study(tmp_path, STUDY[:1], count=1, size=SIZE)
    assert cv2.imwrite(str(path / "examples" / "view-00.png"), np.full(SIZE, IGNORE, np.uint8))
    with pytest.raises(DataError, match=r"view-00\.png: holds class 255 of 8"):
        open_album(analysis_of([path]).group).read("view-00")


def test_the_legend_names_what_can_be_seen(group: Group) -> None:
    example = open_album(group).read("view-01")
    entries = legend(example)
    masks = [example.truth, *(prediction for prediction in example.predictions if prediction is not None)]
    shares = np.array([[(mask == train).mean() for train in range(8)] for mask in masks])
    expected = [train for train in np.argsort(-shares[0], kind="stable") if shares[:, train].max() >= 0.005]
    names = group.runs[0].labels.names
    assert [entry.name for entry in entries] == [names[train] for train in expected]
    assert all((entry.remark == "only predicted") == (shares[0, train] == 0)
               for entry, train in zip(entries, expected, strict=True))  # fmt: skip


def test_a_legend_is_short(group: Group) -> None:
    labels = group.runs[0].labels
    many = type(labels)(names=tuple(map(str, range(40))), colors=((0, 0, 0),) * 40, to_train=())
    truth = np.repeat(np.arange(40, dtype=np.uint8), 10).reshape(20, 20)
    example = Example(id="a", image=np.zeros((20, 20, 3), np.uint8), truth=truth, predictions=(None,), labels=many)
    assert len(legend(example)) == LEGEND_MOST


def test_synonyms_are_left_out_where_names_stay_different() -> None:
    names = ("door, double door", "screen, silver screen", "screen, crt", "sky", "a,b")
    assert short_names(names) == ("door", "screen, silver screen", "screen, crt", "sky", "a")
