"""Evaluations that a run keeps beside its own: whole or not at all, and only as long as its weights are those."""

import json
import shutil
from pathlib import Path

import pytest

import segfit
from segfit.comparison.budget import obstacle
from segfit.errors import RecipeError, RunError
from segfit.evaluation import engine
from segfit.evaluation.records import read_records
from segfit.folder import RunFolder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "tiny"))


def files(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_what_is_saved_is_what_comparisons_read(run: Path) -> None:
    before = files(run)
    facts = segfit.evaluate(run, protocol="mmseg", save="mmseg")
    after = files(run)
    assert before.items() <= after.items(), "the run keeps what it had"
    assert {name.split("/")[0] for name in after.keys() - before.keys()} == {"evaluations"}
    comparison = segfit.compare([run], evaluation="mmseg")
    (analysis,) = comparison.analyses
    (row,) = analysis.group.rows
    assert row.scores.model_dump(exclude_none=True).items() <= facts["scores"].items()
    assert analysis.group.protocol.name == "mmseg"
    assert "Protocol mmseg" in comparison.to_markdown()
    assert segfit.compare([run]).analyses[0].group.protocol.name == "original"


def test_every_prediction_is_kept_beside_its_counts(run: Path) -> None:
    segfit.evaluate(run, split="training", overrides=["evaluate.examples=null"], save="seen")
    saved = RunFolder(run).saved("seen")
    records = read_records(saved.per_image)
    assert sorted(f"{name}.png" for name in records.ids) == sorted(path.name for path in saved.examples.iterdir())


def test_a_page_about_a_saved_evaluation_shows_its_pictures_and_how_it_was_made(run: Path, tmp_path: Path) -> None:
    segfit.evaluate(run, protocol="paper", save="paper")
    shutil.rmtree(run / "examples")
    page = segfit.write_report([run], tmp_path / "page.html", evaluation="paper").read_text(encoding="utf-8")
    command = json.loads(RunFolder(run).saved("paper").facts.read_text())["command"]
    assert command in page
    assert "kept no example predictions" not in page


def test_an_evaluation_that_breaks_off_leaves_the_earlier_one(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segfit.evaluate(run, save="again")
    before = files(run)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(engine.PillowImage.Image, "save", full)
    with pytest.raises(OSError, match="No space"):
        segfit.evaluate(run, overrides=["evaluate.flip=true"], save="again")
    assert files(run) == before


def test_the_command_line_saves_and_compares(run: Path, cli, tmp_path: Path) -> None:
    printed = json.loads(cli("evaluate", run, "--protocol", "mmseg", "--save", "x", "--json").stdout)
    (group,) = json.loads(cli("compare", run, "--evaluation", "x", "--json").stdout)["groups"]
    assert group["rows"][0]["dice"] == printed["scores"]["dice"]
    assert group["protocol"]["name"] == "mmseg"
    cli("report", run, "--evaluation", "x", "--out", tmp_path / "r.html")
    command = f"segfit evaluate {run} --protocol mmseg --save x"
    assert command in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "has no evaluation 'y'" in cli("compare", run, "--evaluation", "y", check=2).stderr
    (RunFolder(run).saved("x").per_image).unlink()
    note = json.loads(cli("compare", run, "--evaluation", "x", "--json").stdout)["groups"][0]["notes"]
    assert any(f"write it again with: {command}" in one for one in note)


def test_a_file_in_the_place_of_an_evaluation_is_refused_at_once(run: Path, cli) -> None:
    RunFolder(run).evaluations.mkdir()
    (RunFolder(run).evaluations / "x").write_text("mine")
    assert "is a file: choose another name" in cli("evaluate", run, "--save", "x", check=2).stderr


def test_curves_of_trainings_that_were_validated_differently_are_not_compared(run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run, tmp_path / "other"))
    changed = json.loads((other / "metrics.json").read_text())
    changed["evaluation"]["images"] -= 1
    (other / "metrics.json").write_text(json.dumps(changed))
    recipe = json.loads((other / "recipe.json").read_text())
    recipe["optim"]["lr"] *= 2
    (other / "recipe.json").write_text(json.dumps(recipe))
    for folder in (run, other):
        segfit.evaluate(folder, save="same")
    assert len(segfit.compare([run, other]).groups) == 2
    (group,) = segfit.compare([run, other], evaluation="same").groups
    assert "scored in different ways" in str(obstacle(group, "samples"))


def test_training_on_ends_what_was_saved_of_other_weights(run: Path) -> None:
    segfit.evaluate(run, save="early")
    segfit.resume(run, overrides=["train.epochs=3"])
    assert not RunFolder(run).evaluations.exists()
    with pytest.raises(RunError, match="has no evaluation 'early'"):
        segfit.compare([run], evaluation="early")


def test_what_cannot_be_saved_is_refused_before_anything_is_scored(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("segfit.use.score_checkpoint")
    with pytest.raises(RunError, match="no name for an evaluation"):
        segfit.evaluate(run, save="a/b")
    with pytest.raises(RecipeError, match="augment.size=.*: is of the training, and what is saved is of the run"):
        segfit.evaluate(run, overrides=["augment.size=[32, 32]"], save="small")
    with pytest.raises(RecipeError, match="--per-image and --save exclude each other"):
        segfit.evaluate(run, per_image=tmp_path / "x.parquet", save="x")
    assert not RunFolder(run).evaluations.exists()
