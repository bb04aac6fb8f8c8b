"""`segfit soup` as it is typed, and every other verb on what it leaves."""

import json
import subprocess
import sys

import pytest

import segfit
from segfit.config import build_recipe


@pytest.fixture(scope="module")
def runs(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")

    def train(lr):
        changes = ["labels.top=3", "train.epochs=2", f"optim.lr={lr}"]
        return segfit.train(build_recipe({**tiny, "name": f"lr={lr}"}, changes), folder / f"lr={lr}")

    return [train(0.01), train(0.02)]


@pytest.fixture(scope="module")
def soup(runs, cli, tmp_path_factory):
    out = tmp_path_factory.mktemp("soup") / "soup"
    return out, cli("soup", *runs, "--out", out, "data.limit_validation=4")


def test_it_prints_weights_scores_and_the_table(soup, runs):
    out, done = soup
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["weight", "Dice", "ingredient"]
    assert sorted(line.split()[2] for line in lines[1:3]) == sorted(f"{run}:best" for run in runs)
    assert lines[3].endswith(":best alone, normalisation measured again")
    assert "greedy, on 4 images of validation" in lines[4]
    assert "majority class" in done.stdout
    assert f"run: {out}" in done.stderr


def test_it_speaks_json(runs, cli, tmp_path):
    facts = json.loads(cli("soup", *runs, "--how", "uniform", "--out", tmp_path / "s", "--json").stdout)
    assert [one["weight"] for one in facts["ingredients"]] == [0.5, 0.5]
    assert facts == json.loads((tmp_path / "s" / "soup.json").read_text())


def test_every_verb_takes_it(soup, runs, cli, scenes, tmp_path):
    out, _ = soup
    stored = json.loads((out / "metrics.json").read_text())["evaluation"]["scores"]
    for checkpoint in ("best", "last"):
        facts = json.loads(cli("evaluate", out, "--checkpoint", checkpoint, "--json").stdout)
        assert facts["scores"] == stored
    assert "soup" in cli("compare", out, *runs, "--markdown").stdout
    cli("report", out, *runs, "--out", tmp_path / "r.html", "--tables", tmp_path / "tables")
    image = sorted((scenes / "images" / "validation").iterdir())[0]
    cli("predict", out, image, "--out", tmp_path / "masks")
    cli("submit", out, "--out", tmp_path / "s.csv")
    scored = json.loads(cli("score", tmp_path / "s.csv", out, "--json").stdout)["scores"]
    assert scored["dice"] == pytest.approx(stored["dice"], abs=1e-12)
    assert segfit.load(out)(image).max() < 3
    cli("soup", out, runs[0], "--how", "uniform", "--out", tmp_path / "second", "data.limit_validation=4")


def test_it_is_not_trained_on(soup, cli, tmp_path, tiny):
    out, _ = soup
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for changes in ([], ["train.epochs=9"]):
        said = cli("train", "--resume", out, *changes, check=2).stderr
        assert "is a soup" in said
    (tmp_path / "r.json").write_text((out / "recipe.json").read_text())
    done = cli("train", tmp_path / "r.json", f"train.continue_from={out}", "--out", tmp_path / "run", check=2)
    assert "is a soup" in done.stderr
    assert not (tmp_path / "run").exists()
    assert "is a soup" in cli("train", out, "--out", tmp_path / "run", check=2).stderr
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--out", "x"], "nowhere: no such run folder"),
        (["data.root=x", "--out", "x"], "name the runs that the soup is made of"),
        (["a"], "Missing option '--out'"),
        (["a", "--how", "salty", "--out", "x"], "'salty'"),
    ],
)
def test_wrong_words_end_in_one_line(cli, arguments, message):
    done = cli("soup", *arguments, check=2)
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_help_needs_no_torch():
    program = (
        "import sys; from segfit.cli import app\n"
        "app(['soup', '--help'], standalone_mode=False)\n"
        "assert not {'torch', 'numpy', 'pydantic', 'cv2', 'rich'} & set(sys.modules), 'heavy import'"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "KEY=VALUE" in done.stdout
