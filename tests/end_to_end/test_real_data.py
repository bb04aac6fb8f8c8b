"""Real images, where they are given (SEGFIT_TEST_DATA): ADE20K with its 150 classes, and CamVid."""

import json

import numpy as np
import pytest
from PIL import Image

TINY = ["augment.size=[64, 64]", "model.width=4", "model.depth=3", "train.epochs=1", "train.batch=4", "train.workers=0"]
FEW = ["data.limit_train=12", "data.limit_validation=4"]


@pytest.fixture(scope="module")
def run(cli, real_data, tmp_path_factory):
    """A UNet that has seen a few real images, with all 150 classes."""
    out = tmp_path_factory.mktemp("real") / "run"
    cli("train", "demo/unet", "data.name=ade20k", f"data.root={real_data / 'ade20k-mini'}", *FEW, *TINY, "--out", out)
    return out


@pytest.fixture(scope="module")
def sample(real_data):
    """Three colour images of ADE20K with their masks."""
    return real_data / "ade20k-sample" / "ADEChallengeData2016"


def test_evaluate_on_other_images_of_the_same_classes(run, sample, cli):
    facts = json.loads(cli("evaluate", run, f"data.root={sample}", "--json").stdout)
    assert facts["images"] == 3
    assert len(facts["per_class"]) == 150


def test_predict_at_the_original_size(run, sample, cli, tmp_path):
    cli("predict", run, sample / "images" / "validation", "--out", tmp_path, "--overlay")
    for image in (sample / "images" / "validation").iterdir():
        with Image.open(tmp_path / f"{image.stem}.png") as mask, Image.open(image) as original:
            assert mask.size == original.size


@pytest.mark.parametrize("code", ["pairs", "kaggle"])
def test_submit_and_score(run, sample, cli, tmp_path, code):
    root = f"data.root={sample}"
    cli("submit", run, root, "--out", tmp_path / "s.csv", "--code", code)
    scored = json.loads(cli("score", tmp_path / "s.csv", run, root, "--json").stdout)
    evaluated = json.loads(cli("evaluate", run, root, "--json").stdout)
    assert scored["scores"]["dice"] == pytest.approx(evaluated["scores"]["dice"], abs=1e-12)
    assert scored["scores"]["miou"] == pytest.approx(evaluated["scores"]["miou"], abs=1e-12)


def test_camvid_is_a_folder_dataset(cli, real_data, tmp_path):
    data = ["data.name=folder", f"data.root={real_data / 'camvid'}", "data.ignore=[11]"]
    splits = ["data.train=train", "data.validation=val", "labels.ratios=dataset", "labels.top=5"]
    cli("train", "demo/unet", *data, *splits, *FEW, *TINY, "--out", tmp_path / "run")
    facts = json.loads((tmp_path / "run" / "metrics.json").read_text())["evaluation"]
    names = (real_data / "camvid" / "classes.txt").read_text().split()
    pixels = np.zeros(256, dtype=np.int64)
    for path in (real_data / "camvid" / "masks" / "train").iterdir():
        with Image.open(path) as mask:
            pixels += np.bincount(np.asarray(mask).ravel(), minlength=256)
    most_common = np.sort(np.argsort(-pixels[: len(names)])[:5])
    assert [row["name"] for row in facts["per_class"]] == [names[i] for i in most_common]
