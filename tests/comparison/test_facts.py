import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from run_folders import Fake, curve, edit_json, save_evaluation, write_run
from segfit.comparison.curves import Curves, learning_curves, overfit_epoch
from segfit.comparison.facts import read_run
from segfit.errors import RunError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", Fake(epochs=12, peak=6))


def curves(train: list[float], dice: list[float], every: int = 1) -> Curves:
    events = [{"event": "epoch", "epoch": i, "loss": loss} for i, loss in enumerate(train, 1)]
    events += [
        {"event": "validation", "epoch": every * i, "loss": 1 - d, "dice": d, "miou": d / (2 - d)}
        for i, d in enumerate(dice, 1)
    ]
    return learning_curves(events)


def test_reads_what_the_run_wrote(folder: Path) -> None:
    run = read_run(folder)
    assert run.recipe.name == "unet-8"
    assert run.labels.names[0] == "sky"
    assert run.environment.dataset.fingerprint == "9b1c"
    assert run.training.memory == 3_400_000_000
    assert run.score == run.evaluation.scores.dice
    assert run.hardware == "2 x Tesla T4"
    assert run.curves.epoch.tolist() == list(range(1, 13))
    assert run.curves.dice == pytest.approx([values["dice"] for values in curve(Fake(epochs=12, peak=6))])


def test_the_score_is_the_one_the_recipe_sorts_by(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", Fake(score="miou")))
    assert run.score == run.evaluation.scores.miou != run.evaluation.scores.dice


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("recipe.json", "not a run folder"),
        ("metrics.json", "not finished"),
        ("labels.json", "labels.json: cannot be read"),
        ("environment.json", "environment.json: cannot be read"),
        ("events.jsonl", "events.jsonl: cannot be read"),
    ],
)
def test_a_missing_file_is_named(folder: Path, name: str, wanted: str) -> None:
    (folder / name).unlink()
    with pytest.raises(RunError, match=wanted) as error:
        read_run(folder)
    assert "\n" not in str(error.value)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="nowhere: no such run folder"):
        read_run(tmp_path / "nowhere")


def test_a_saved_evaluation_takes_the_place_of_the_runs_own(folder: Path) -> None:
    own = read_run(folder)
    save_evaluation(folder, Fake(quality=0.3, window="sliding"), "tta")
    saved = read_run(folder, "tta")
    assert saved.score < own.score == read_run(folder).score
    assert (own.evaluation.window, saved.evaluation.window) == ("whole", "sliding")
    # It was trained as it was trained, however it is scored.
    assert saved.recipe == own.recipe
    assert saved.as_trained.evaluation == own.evaluation
    assert saved.files.per_image == folder / "evaluations" / "tta" / "per_image.parquet"
    assert saved.commands == (own.environment.command, saved.scoring)
    assert (saved.training, saved.events) == (own.training, own.events)


def test_an_evaluation_that_was_not_saved_is_named_with_the_way_to_get_it(folder: Path) -> None:
    save_evaluation(folder, Fake(), "mmseg-flip")
    with pytest.raises(RunError, match=r"no evaluation 'mmseg' \(did you mean 'mmseg-flip'\?\)") as error:
        read_run(folder, "mmseg")
    assert f"segfit evaluate {folder} --protocol mmseg --save mmseg" in str(error.value)
    with pytest.raises(RunError, match=r"save one with: segfit evaluate \S+ --save tta$"):
        read_run(folder, "tta")


@pytest.mark.parametrize("name", ["", "..", "a/b", "-a", ".hidden", "two words"])
def test_a_name_that_is_no_folder_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(RunError, match="no name for an evaluation"):
        read_run(folder, name)


@pytest.mark.parametrize(
    ("keys", "value", "wanted"),
    [
        (("training", "seconds"), "long", r"metrics\.json: training\.seconds"),
        (("training", "memory"), -1, r"metrics\.json: training\.memory"),
        (("evaluation", "scores", "dice"), 1.00579, r"metrics\.json: evaluation\.scores\.dice"),
        (("evaluation", "per_class", 0, "name"), "heaven", r"metrics\.json: its classes are not those of labels\.json"),
    ],
)
def test_a_wrong_value_is_named(folder: Path, keys: tuple[str, ...], value: object, wanted: str) -> None:
    edit_json(folder / "metrics.json", *keys, value=value)
    with pytest.raises(RunError, match=wanted) as error:
        read_run(folder)
    assert "\n" not in str(error.value)


def test_a_truncated_json_file_is_named(folder: Path) -> None:
    (folder / "metrics.json").write_text('{"training": {')
    with pytest.raises(RunError, match=r"metrics\.json"):
        read_run(folder)


def test_a_class_that_does_not_occur_has_no_score(folder: Path) -> None:
    for key in ("dice", "iou", "accuracy"):
        edit_json(folder / "metrics.json", "evaluation", "per_class", 7, key, value=None)  # type: ignore[arg-type]
    assert read_run(folder).evaluation.per_class[7].score("dice") is None


@pytest.mark.parametrize("torn", ['{"event": "epo', '{"event": "epoch"}', "", "[1, 2]", "\x00\x00"])
def test_a_torn_last_line_is_passed_over(folder: Path, torn: str) -> None:
    file = folder / "events.jsonl"
    whole = read_run(folder)
    file.write_text(file.read_text() + torn)
    assert read_run(folder).events == whole.events


def test_a_torn_line_before_a_resumed_start_is_passed_over(folder: Path) -> None:
    file = folder / "events.jsonl"
    lines = file.read_text().splitlines()
    resumed = ['{"event": "valid', '{"event": "start", "epoch": 10, "step": 1200}', *lines[-4:]]
    file.write_text("\n".join([*lines[:-4], *resumed]) + "\n")
    assert read_run(folder).curves.epoch.tolist() == list(range(1, 13))


def test_a_damaged_line_elsewhere_is_named(folder: Path) -> None:
    file = folder / "events.jsonl"
    lines = file.read_text().splitlines()
    lines[4] = lines[4][:20]
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(RunError, match=r"events\.jsonl, line 5: not an event"):
        read_run(folder)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"time": ', '"time": "x", "was": '),
        ('"time": ', '"time": null, "was": '),
        ('"step": ', '"step": [1], "was": '),
        ('"seconds": ', '"seconds": {}, "was": '),
        ('"epoch": 1,', '"epoch": true,'),
        ('"loss": ', '"loss": "x", "was": '),
        ('"dice": ', '"dice": "x", "was": '),
        ('"miou": ', '"miou": true, "was": '),
        ('"memory": ', '"memory": "x", "was": '),
    ],
)
def test_a_measured_value_that_is_no_number_is_damage(folder: Path, old: str, new: str) -> None:
    file = folder / "events.jsonl"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(RunError, match=r"events\.jsonl, line \d+: not an event") as error:
        read_run(folder)
    assert "\n" not in str(error.value)


def test_a_value_that_was_not_finite_is_null(folder: Path) -> None:
    file = folder / "events.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    names = ("loss", "dice", "miou", "memory")
    file.write_text("".join(json.dumps({**line, **dict.fromkeys(names)}) + "\n" for line in lines))
    curves_then = read_run(folder).curves
    assert np.isnan(curves_then.dice).all()
    assert np.isnan(curves_then.train_loss).all()
    assert curves_then.memory.size == 0


@given(
    first=st.integers(0, 12),
    checkpoint=st.integers(0, 12),
    last=st.integers(1, 14),
)
def test_of_a_repeated_epoch_the_last_occurrence_counts(first: int, checkpoint: int, last: int) -> None:
    start = min(checkpoint, first)
    events = [{"event": "epoch", "epoch": i, "loss": 1.0} for i in range(1, first + 1)]
    events += [{"event": "epoch", "epoch": i, "loss": 2.0} for i in range(start + 1, last + 1)]
    result = learning_curves(events)
    end = last if last > start else first
    assert result.epoch.tolist() == list(range(1, end + 1))
    assert result.train_loss.tolist() == [1.0 if i <= start or last <= start else 2.0 for i in range(1, end + 1)]


def test_what_a_first_attempt_logged_beyond_the_resumed_one_is_gone() -> None:
    epochs = [1, 2, 3, 4, 2, 3]
    result = learning_curves([{"event": "epoch", "epoch": e, "loss": float(i)} for i, e in enumerate(epochs)])
    assert (result.epoch.tolist(), result.train_loss.tolist()) == ([1, 2, 3], [0.0, 4.0, 5.0])


def test_a_diverged_loss_is_nan() -> None:
    events = [{"event": "epoch", "epoch": 1, "loss": None}, {"event": "epoch", "epoch": 2, "loss": float("inf")}]
    assert np.isnan(learning_curves(events).train_loss).all()


FALLING = [1.0 - 0.05 * i for i in range(10)]


def test_overfitting_starts_at_the_best_score() -> None:
    dice = [0.1, 0.3, 0.5, 0.6, 0.55, 0.5, 0.45, 0.4, 0.4, 0.3]
    assert overfit_epoch(curves(FALLING, dice)) == 4
    assert overfit_epoch(curves(FALLING, dice), "miou") == 4


@pytest.mark.parametrize(
    ("train", "dice"),
    [
        (FALLING, [0.1 * i for i in range(10)]),  # still improves
        (FALLING, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.75, 0.7]),  # too few validations after the best
        (FALLING[::-1], [0.1, 0.3, 0.5, 0.6, 0.55, 0.5, 0.45, 0.4, 0.4, 0.3]),  # diverges: the training loss rises
        (FALLING, [float("nan")] * 10),
        ([], []),
    ],
)
def test_no_overfitting(train: list[float], dice: list[float]) -> None:
    assert overfit_epoch(curves(train, dice)) is None


def test_equal_scores_count_from_the_last() -> None:
    assert overfit_epoch(curves(FALLING, [0.5, 0.6, 0.6, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])) == 3


def test_overfitting_with_rare_validations_is_told_in_epochs() -> None:
    assert overfit_epoch(curves(FALLING, [0.6, 0.5, 0.4, 0.3, 0.2], every=2)) == 2


def test_newer_keys_are_passed_over(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", replace(Fake(), seed=3))
    edit_json(folder / "environment.json", "opencv", value="5.0.0")
    assert read_run(folder).recipe.train.seed == 3
