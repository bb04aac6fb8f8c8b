"""Everything a user can get wrong ends in one line on stderr, exit code 2, and nothing half written."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from run_folders import write_dataset


def refused(cli, *arguments):
    """Run the cli and return its one line of complaint."""
    done = cli(*arguments, check=2)
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("segfit: ")
    assert "Traceback" not in done.stderr
    assert not done.stdout
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "No such command 'trian'"),
        (["train"], "name a recipe"),
        (["train", "paper/unet-11"], "did you mean 'paper/unet-10'?"),
        (["train", "paper/unet-10"], "data.root: say where the ade20k dataset is"),
        (["train", "paper/unet-10", "data.root=/nowhere"], "/nowhere"),
        (["train", "paper/unet-10", "data.root=/tmp", "model.widht=3"], "did you mean 'width'?"),
        (["train", "paper/unet-10", "train.epoch=3"], "did you mean 'epochs'?"),
        (["train", "paper/unet-10", "--epochs", "3"], "No such option"),
        (["train", "mine.yaml"], "mine.yaml: no such file"),
        (["train", "--resume", "nowhere"], "nowhere: no such run folder"),
        (["train", "--resume", "nowhere", "--out", "x"], "exclude each other"),
        (["study", "papre"], "did you mean 'paper'?"),
        (["compare", "nowhere"], "nowhere: no such run folder"),
        (["compare", "/tmp"], "/tmp: not a run folder"),
        (["report", "nowhere"], "nowhere: no such run folder"),
        (["evaluate", "nowhere"], "nowhere: no such run folder"),
        (["predict", "nowhere", "a.jpg"], "a.jpg"),
        (["classes", "--top", "0"], "labels.top"),
        (["classes", "--top", "151"], "151 is not between 1 and the dataset's 150"),
        (["classes", "--rest", "drop"], "'drop'"),
        (["score", "nowhere.csv", "paper/unet-10", "data.root=/tmp"], "nowhere.csv"),
    ],
)
def test_wrong_words(cli, arguments, message):
    assert message in refused(cli, *arguments)


@pytest.fixture
def broken(scenes, tiny, tmp_path):
    """Copy the scenes, so that a test may break them; gives the root and a function that trains on them."""
    root = tmp_path / "data"
    shutil.copytree(scenes, root)
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps({**tiny, "data": {"name": "ade20k", "root": str(root)}}))
    return root, ["train", recipe, "--out", tmp_path / "run"]


def first(root, kind, split="training"):
    return sorted((root / kind / split).iterdir())[0]


def test_a_wrong_word_ends_the_installed_command_with_2(command):
    assert "did you mean 'train'" in command("trian", check=2).stderr.lower()


def test_a_broken_file_ends_the_installed_command_with_2(broken, command):
    root, train = broken
    path = first(root, "images")
    path.write_bytes(path.read_bytes()[:500])
    assert path.name in refused(command, *train, "train.workers=1")


def test_missing_folder(broken, cli):
    root, train = broken
    shutil.rmtree(root / "annotations")
    assert str(root) in refused(cli, *train)


def test_mask_without_image(broken, cli):
    root, train = broken
    mask = first(root, "annotations")
    shutil.copy(mask, mask.with_name("stray.png"))
    assert "stray" in refused(cli, *train)


def test_image_without_mask(broken, cli):
    root, train = broken
    mask = first(root, "annotations")
    mask.unlink()
    assert mask.stem in refused(cli, *train)


def test_label_id_out_of_range(broken, cli):
    root, train = broken
    path = first(root, "annotations")
    mask = np.asarray(Image.open(path)).copy()
    mask[0, 0] = 151
    Image.fromarray(mask).save(path)
    said = refused(cli, *train)
    assert "151" in said
    assert path.name in said


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", ["images", "annotations"])
def test_truncated_file(broken, cli, kind, workers):
    root, train = broken
    path = first(root, kind)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert path.name in refused(cli, *train, f"train.workers={workers}")


def test_empty_file(broken, cli):
    root, train = broken
    path = first(root, "images")
    path.write_bytes(b"")
    assert path.name in refused(cli, *train)


def test_mask_of_another_size(broken, cli):
    root, train = broken
    path = first(root, "annotations")
    Image.open(path).resize((20, 20)).save(path)
    said = refused(cli, *train)
    assert "20" in said
    assert path.name in said


def test_unknown_split(broken, cli):
    _, train = broken
    assert "did you mean 'validation'" in refused(cli, *train, "data.validation=validaton")


def test_batch_larger_than_the_dataset(broken, cli):
    _, train = broken
    assert "train.batch" in refused(cli, *train, "train.batch=64")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.width=0", "model.width"),
        ("loss.class_weights=[1.0]", "class_weights"),
        ("evaluate.score=accuracy", "evaluate.score"),
        ("train.accumulate=3", "accumulate"),
    ],
)
def test_an_impossible_value_leaves_nothing_behind(broken, cli, tmp_path, override, message):
    _, train = broken
    assert message in refused(cli, *train, override)
    assert not (tmp_path / "run").exists()


def test_missing_weights_leave_nothing_behind(broken, cli, tmp_path):
    _, train = broken
    said = refused(cli, *train, "model.name=deeplabv3", "model.pretrained=typo.safetensors")
    assert "typo.safetensors" in said
    assert not (tmp_path / "run").exists()


def test_changed_data_is_not_trained_on_silently(broken, cli, tmp_path):
    root, train = broken
    cli(*train)
    image = first(root, "images")
    image.write_bytes(image.read_bytes() + b"\0")
    said = refused(cli, "train", "--resume", tmp_path / "run", "train.epochs=3")
    assert "have changed since the run began" in said
    assert (tmp_path / "run" / "metrics.json").is_file()


def test_a_model_is_not_scored_on_other_classes(trained, cli, tmp_path):
    root = write_dataset(tmp_path / "data", 2)
    other = ["data.name=folder", f"data.root={root}", "data.first=1", "data.ignore=[0]"]
    assert "learnt 60 classes" in refused(cli, "evaluate", trained, *other)
    assert "changes nothing" in refused(cli, "evaluate", trained, "labels.top=3")


def test_a_file_where_the_run_should_go(broken, cli, tmp_path):
    _, train = broken
    (tmp_path / "run").write_text("in the way")
    assert str(tmp_path / "run") in refused(cli, *train)


def test_predicting_a_text_file(trained, cli, tmp_path):
    (tmp_path / "notes.jpg").write_text("not an image")
    assert "notes.jpg" in refused(cli, "predict", trained, tmp_path / "notes.jpg", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_malformed_submission(trained, cli, tmp_path):
    out = tmp_path / "submission.csv"
    cli("submit", trained, "--out", out)
    lines = out.read_text().splitlines()
    lines[1] = lines[1].rsplit(" ", 1)[0]
    out.write_text("\n".join(lines) + "\n")
    assert "row 2" in refused(cli, "score", out, trained)


def test_an_unfinished_or_damaged_run(trained, cli, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (run / "metrics.json").unlink()
    assert "--resume" in refused(cli, "compare", run)
    weights = run / "checkpoints" / "best.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    assert "best.safetensors: not a readable checkpoint" in refused(cli, "evaluate", run)
