"""`segfit data select` from end to end: lists, the training on them, hardness, diversity, charts, refusals."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from segfit.curation.opening import open_dataset
from segfit.curation.select import select_images
from segfit.curation.select.choosers import Hardest, Random
from segfit.curation.select.lists import Lists
from segfit.data.check.duplicates import NEAR
from segfit.errors import DataError
from segfit.evaluation.metrics import macro_dice
from segfit.evaluation.records import read_records


def test_a_selection_is_trained_on(cli, tiny, scenes, tmp_path):
    out, rest = tmp_path / "lists" / "train.txt", tmp_path / "lists" / "val.txt"
    words = [scenes, "--rare", "--share", 0.7, "--out", out, "--rest", rest, "--chart", tmp_path / "classes.svg"]
    done = cli("data", "select", *words)
    assert "8 of 12 images of training" in done.stdout
    assert f"data.train={out}" in done.stderr
    chosen, left = out.read_text().split(), rest.read_text().split()
    assert len(chosen) == 8
    everything = [f"training/{record.id}" for record in open_dataset(scenes).source.records("training")]
    assert sorted([*chosen, *left]) == everything
    assert "8 selected" in (tmp_path / "classes.svg").read_text()
    (tmp_path / "base.json").write_text(json.dumps(tiny))
    changes = [f"data.train={out}", f"data.validation={rest}", "train.epochs=1"]
    run = tmp_path / "run"
    cli("train", tmp_path / "base.json", *changes, "--out", run)
    assert set(read_records(run / "per_image.parquet").ids) == set(left)


def test_the_command_beside_the_list_repeats_it(cli, scenes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [scenes, "--with", "sky:0.01-1", "--without", "bed", "--without-near-duplicates", "--stratified"]
    facts = json.loads(cli("data", "select", *words, "--count", 3, "--seed", 4, "--out", "a b.txt", "--json").stdout)
    about = json.loads((tmp_path / "a b.json").read_text())
    assert {**about, **facts} == {**facts, **about}
    assert facts["images"] == {"before": 12, "after": 3, "rest": facts["images"]["rest"]}
    assert sum(dropped["images"] for dropped in facts["dropped"]) == 9
    criteria = [dropped["criterion"] for dropped in facts["dropped"]]
    near = f"--without-near-duplicates {NEAR:g}"
    assert criteria == ["--with sky:0.01-1", "--without bed", near, "--stratified --seed 4 --count 3"]
    first = (tmp_path / "a b.txt").read_bytes()
    (tmp_path / "a b.txt").write_text("something else")
    cli(*shlex.split(about["command"])[1:])
    assert (tmp_path / "a b.txt").read_bytes() == first


def test_a_list_may_be_selected_from_again(cli, scenes, tmp_path):
    cli("data", "select", scenes, "--count", 6, "--out", tmp_path / "six.txt")
    words = [scenes, "--split", tmp_path / "six.txt", "--count", 2]
    cli("data", "select", *words, "--out", tmp_path / "two.txt")
    assert set((tmp_path / "two.txt").read_text().split()) < set((tmp_path / "six.txt").read_text().split())


def test_names_that_look_like_others_stay_apart(tmp_path):
    """`a.jpg.png` beside `a.png`, a name with spaces, and one name in two folders."""
    for name in ("a.png", "a.jpg.png", "b c.png", "x/same.png", "y/same.png"):
        for folder in ("images", "masks"):
            path = tmp_path / folder / "all" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros((8, 8), np.uint8)).save(path)
    (tmp_path / "classes.txt").write_text("all\n")
    opened = open_dataset(tmp_path)
    records = opened.source.records("all")
    for record in records:
        lists = Lists(opened, tmp_path / "one.txt")
        lists.write([record], [], {})
        assert [r.image for r in opened.source.records("one.txt")] == [record.image]
    spaced = tmp_path / "images" / "all" / "z .png"
    for path in (spaced, tmp_path / "masks" / "all" / "z .png"):
        shutil.copy(tmp_path / "images" / "all" / "a.png", path)
    before = (tmp_path / "one.txt").read_text()
    with pytest.raises(DataError, match=r"one\.txt.*'all/z'"):
        Lists(opened, tmp_path / "one.txt").write(opened.source.records("all"), [], {})
    assert (tmp_path / "one.txt").read_text() == before, "nothing half written"
    lists = Lists(opened, tmp_path / "one.txt")
    lists.write(records[:1], [], {"dropped": ["\udcff"]})
    lists._line_of[records[0].image] = "\udcff"
    with pytest.raises(DataError, match="not UTF-8"):
        lists.write(records, [], {})


# --- hardness --------------------------------------------------------------------------------------------------------


def test_the_hardest_images_have_the_lowest_dice(cli, trained, scenes, tmp_path):
    out = tmp_path / "hard.txt"
    cli("data", "select", scenes, "--split", "validation", "--hard", trained, "--count", 2, "--out", out)
    records = read_records(trained / "per_image.parquet")
    worst = np.argsort(macro_dice(records.class_counts()))[:2]
    assert set(out.read_text().split()) == {f"validation/{records.ids[i]}" for i in worst}
    by_file = select_images(
        open_dataset(scenes), split="validation", chooser=Hardest(trained / "per_image.parquet"), count=2
    )
    assert set(by_file.ids) == {records.ids[i] for i in worst}
    of_run = select_images(open_dataset(trained), split="validation", chooser=Hardest(trained), count=2)
    assert of_run.ids == by_file.ids


def test_scores_of_other_images_are_refused(cli, trained, scenes, tmp_path):
    words = ["--count", 2, "--out", tmp_path / "hard.txt"]
    done = cli("data", "select", scenes, "--hard", trained, *words, check=2)
    assert "has no score of 12 of the 12 images (ADE_train_00000001)" in done.stderr
    assert "--split validation" in done.stderr
    done = cli("data", "select", scenes, "--hard", tmp_path / "none", *words, check=2)
    assert "none: no such run folder or file of scores" in done.stderr
    assert "counting" not in done.stderr, "found before the classes are counted"
    done = cli("data", "select", scenes, "--hard", scenes, *words, check=2)
    assert "not a run folder" in done.stderr
    # The same names, other pictures: exchange two masks of one size.
    shutil.copytree(scenes, tmp_path / "changed")
    masks = sorted((tmp_path / "changed" / "annotations" / "validation").iterdir())
    sizes = {}
    for mask in masks:
        with Image.open(mask) as picture:
            sizes.setdefault(picture.size, []).append(mask)
    one, other = next(found for found in sizes.values() if len(found) > 1)[:2]
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    split = ["--split", "validation"]
    done = cli("data", "select", tmp_path / "changed", *split, "--hard", trained, *words, check=2)
    assert "was scored against another mask (2 of 5 images)" in done.stderr


# --- diversity -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """Random weights of a small network, without its last layer."""
    import torchvision

    torch.manual_seed(0)
    state = torchvision.models.squeezenet1_1().state_dict()
    path = tmp_path_factory.mktemp("weights") / "squeezenet.safetensors"
    save_file({key: value for key, value in state.items() if not key.startswith("classifier.1.")}, path)
    return path


def test_diverse_images_are_unlike_one_another(cli, scenes, weights, tmp_path):
    from segfit.curation.select.embedding import embed, open_backbone

    out = tmp_path / "diverse.txt"
    words = [scenes, "--diverse", "squeezenet1_1", "--weights", weights, "--count", 4]
    cli("data", "select", *words, "--out", out)
    records = open_dataset(scenes).source.records("training")
    vectors = embed(open_backbone("squeezenet1_1", weights, "cpu"), [record.image for record in records])
    assert vectors.shape == (12, 512)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    distances = np.linalg.norm(vectors[:, None] - vectors[None], axis=-1)
    chosen = [row for row, record in enumerate(records) if f"training/{record.id}" in out.read_text().split()]
    nearest = distances[np.ix_(chosen, chosen)] + 9 * np.eye(4)
    others = distances[:, chosen].min(axis=1)
    assert nearest.min() >= others.max() - 1e-5, "no image is farther from the chosen ones than they from each other"


def test_the_batches_do_not_matter(scenes, weights, monkeypatch):
    from segfit.curation.select import embedding

    images = sorted((scenes / "images" / "training").iterdir())
    backbone = embedding.open_backbone("squeezenet1_1", weights, "cpu")
    whole = embedding.embed(backbone, images)
    monkeypatch.setattr(embedding, "PIXELS", 5 * 224 * 224)
    np.testing.assert_allclose(embedding.embed(backbone, images), whole, atol=1e-5)


def test_a_run_may_be_the_backbone(cli, trained, scenes, tmp_path):
    from segfit.curation.select.embedding import embed, open_backbone

    cli("data", "select", scenes, "--diverse", trained, "--count", 3, "--out", tmp_path / "diverse.txt")
    assert len((tmp_path / "diverse.txt").read_text().split()) == 3
    # A UNet of width 4 and depth 2 has its widest maps, 16 channels, where the resolution is lowest.
    images = sorted((scenes / "images" / "training").iterdir())[:2]
    assert embed(open_backbone(str(trained), None, "cpu"), images).shape == (2, 16)


def test_pooled_features_of_a_resnet_are_its_own(tmp_path):
    import torchvision

    from segfit.curation.select.embedding import open_backbone

    torch.manual_seed(0)
    network = torchvision.models.resnet18().eval()
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    backbone = open_backbone("resnet18", tmp_path / "w.safetensors", "cpu")
    images = torch.randint(0, 256, (2, 3, *backbone.size), dtype=torch.uint8)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    network.fc = torch.nn.Identity()
    with torch.inference_mode():
        torch.testing.assert_close(backbone.features(images), network((images / 255 - mean) / std))


def test_real_weights_tell_rooms_from_streets(real_data, scenes, tmp_path):
    file = real_data.parent / "weights" / "mobilenet_v2_imagenet.safetensors"
    if not file.is_file():
        pytest.skip("no real weights beside the real data")
    from segfit.curation.select.embedding import embed, open_backbone

    categories = dict(line.split() for line in (scenes / "sceneCategories.txt").read_text().splitlines())
    images = sorted((scenes / "images" / "training").iterdir())
    vectors = embed(open_backbone("mobilenet_v2", file, "cpu"), images)
    likeness = vectors @ vectors.T
    kinds = np.array([categories[image.stem] for image in images])
    same = (kinds[:, None] == kinds[None]) & ~np.eye(len(kinds), dtype=np.bool_)
    assert likeness[same].mean() > likeness[kinds[:, None] != kinds[None]].mean()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to select by: name a filter"),
        (["--rare"], "--rare: choose how many? add --count N or --share 0.1"),
        (["--seed", 3], "--seed: choose how many? add --count N or --share 0.1"),
        (["--share", 2], "--share 2: not a share above 0 and up to 1"),
        (["--rare", "--hard", "runs/x", "--count", 2], "--rare and --hard exclude each other"),
        (["--count", 2, "--share", 0.5], "--count and --share exclude each other"),
        (["--rare", "--count", 2, "--seed", 1], "--seed 1: --rare leaves nothing to chance"),
        (["--without-near-duplicates", "much"], "--without-near-duplicates much: not a number above 0 and up to 1"),
        (["--count", 2, "--weights", "w.safetensors"], "--weights w.safetensors: only --diverse has a backbone"),
        (["--with", "sky", "--rest", "r.txt"], "--rest r.txt: is what --count or --share leaves over"),
        (["--share", 1, "--rest", "r.txt"], "r.txt: no image is left for it"),
        (["--count", 2, "--chart", "c.gif"], "--chart c.gif: the name of a chart ends in .png or .svg"),
        (["--count", 2, "--out", "list.csv"], "--out list.csv: the name of a list ends in .txt"),
        (["--count", 2, "--rest", "OUT"], "is the file of --out"),
        (["--diverse", "resnet5", "--count", 2], "neither a run folder nor a network of torchvision (did you mean"),
        (["--diverse", "myrun", "--count", 2], "nor a network of torchvision (for example resnet50)"),
        (["--diverse", "resnet18", "--weights", "no.pth", "--count", 2], "--weights no.pth: no such file"),
        (["--diverse", "resnet18", "--weights", "TEXT", "--count", 2], "is not a safetensors file"),
        (["--diverse", "squeezenet1_0", "--weights", "WEIGHTS", "--count", 2], "weights of another network"),
        (["--diverse", "resnet18", "--weights", "WEIGHTS", "--count", 2], "not the weights of this network"),
        (["--diverse", "RUN", "--weights", "WEIGHTS", "--count", 2], "has its own weights"),
    ],
)
def test_one_line_says_what_is_wrong(cli, scenes, weights, trained, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.pth").write_text("no weights")
    places = {"WEIGHTS": weights, "TEXT": "text.pth", "OUT": "train.txt", "RUN": trained}
    words = [places.get(word, word) for word in words]
    done = cli("data", "select", scenes, "--out", "train.txt", *words, check=2)
    assert message in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("segfit: ")
    assert [path.name for path in tmp_path.iterdir()] == ["text.pth"], "nothing was written"


def test_what_no_selection_wrote_is_not_overwritten(cli, scenes, tmp_path):
    out, rest = tmp_path / "train.txt", tmp_path / "val.txt"
    words = ["data", "select", scenes, "--count", 2, "--out", out]
    out.write_text("mine\n")
    assert "was not written by a selection" in cli(*words, check=2).stderr
    assert out.read_text() == "mine\n"
    out.unlink()
    out.with_suffix(".json").write_text("{}")
    assert "train.json: was not written by a selection" in cli(*words, check=2).stderr
    out.with_suffix(".json").unlink()
    rest.write_text("mine\n")
    assert "val.txt: was not written" in cli(*words, "--rest", rest, check=2).stderr
    cli(*words)
    cli(*words, "--seed", 1)
    assert "val.txt: was not written" in cli(*words, "--rest", rest, check=2).stderr
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("train.txt", "train.json"):
        shutil.move(tmp_path / name, moved / name)
    cli("data", "select", scenes, "--count", 3, "--out", moved / "train.txt")
    assert len((moved / "train.txt").read_text().split()) == 3


def test_charts_are_the_same_every_time_and_show_as_many_rows_as_fit(scenes, tmp_path):
    from segfit.curation.select.chart import CHART_CLASSES, class_chart, write_chart

    selection = select_images(open_dataset(scenes), chooser=Random(0), count=4)
    (axes,) = class_chart(selection).axes
    assert len(axes.get_yticks()) == min(CHART_CLASSES, int((selection.before.images() > 0).sum()))
    shares = axes.lines[1].get_xdata()
    assert set(np.round(np.asarray(shares) * 4, 9)) <= {0, 1, 2, 3, 4}
    for name in ("chart.png", "chart.svg"):
        write_chart(selection, tmp_path / name)
        first = (tmp_path / name).read_bytes()
        write_chart(selection, tmp_path / name)
        assert (tmp_path / name).read_bytes() == first
    with Image.open(tmp_path / "chart.png") as picture:
        assert picture.width == 880
