"""Protocols: what the model sees, at which size it is scored, and that nothing of it is left to chance."""

import json
import shutil

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import segfit
from segfit.config import PROTOCOLS, build_recipe
from segfit.data.augment import Fit
from segfit.data.augment.fitting import linear
from segfit.errors import RecipeError, RunError
from segfit.evaluation.protocols import fit_of, protocol_facts, scored_size, under_protocol
from segfit.evaluation.records import read_records

SIDES = st.integers(1, 4000)


def resolved(*overrides: str) -> segfit.Recipe:
    return segfit.resolve(build_recipe({"train": {"device": "cpu"}}, ["data.root=.", *overrides]))


@given(SIDES, SIDES)
def test_mmseg_keeps_the_ratio_within_2048_x_512(height, width) -> None:
    rows, columns = fit_of(resolved("evaluate.protocol=mmseg", "augment.size=[64, 64]")).size_of((height, width))
    # mmcv's imrescale: the largest scale at which neither limit is passed, sides rounded half up.
    scale = min(2048 / max(height, width), 512 / min(height, width))
    assert (rows, columns) == (max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5)))


def test_mmseg_interpolates_bilinearly() -> None:
    image = np.random.default_rng(0).integers(0, 256, (900, 1300, 3), dtype=np.uint8)
    seen = fit_of(resolved("evaluate.protocol=mmseg"))(image)
    assert np.array_equal(seen, cv2.resize(image, (740, 512), interpolation=cv2.INTER_LINEAR))


def test_the_original_protocol_sees_what_training_saw() -> None:
    assert fit_of(resolved("augment.size=[64, 96]")) == Fit((64, 96), "short-side")
    assert fit_of(resolved("augment.size=[64, 96]", "augment.preset=paper")) == Fit((64, 96), "squash")
    assert scored_size(resolved()) is None


def test_the_paper_scores_at_the_training_size() -> None:
    recipe = resolved("evaluate.protocol=paper", "augment.size=[64, 96]")
    assert fit_of(recipe) == Fit((64, 96), "squash")
    assert scored_size(recipe) == (64, 96)


@pytest.mark.parametrize(("protocol", "resize"), [("mmseg", "squash"), ("paper", "short-side")])
def test_what_is_locked_cannot_be_chosen(protocol, resize) -> None:
    with pytest.raises(RecipeError, match=rf"evaluate.resize: the protocol {protocol} fixes it to .*: leave it out"):
        resolved(f"evaluate.protocol={protocol}", f"evaluate.resize={resize}")


WINDOWS = ["evaluate.window=sliding", "evaluate.weighting=gaussian"]


def test_windows_that_change_nothing_are_no_other_way_of_scoring(trained) -> None:
    squashed = ["evaluate.resize=squash"]
    whole, windows = (segfit.evaluate(trained, overrides=[*squashed, *more]) for more in ([], WINDOWS))
    assert {**windows, "seconds": 0, "loss": 0} == {**whole, "seconds": 0, "loss": 0}
    larger = protocol_facts(resolved(*squashed, *WINDOWS, "evaluate.scales=[1, 1.5]"))
    assert (larger["window"], larger["weighting"], larger["overlap"]) == ("sliding", "gaussian", 1 / 3)
    longer = protocol_facts(resolved("evaluate.resize=short-side", *WINDOWS))
    assert (longer["window"], longer["weighting"]) == ("sliding", "gaussian")


@given(st.tuples(SIDES, SIDES), st.floats(0.25, 2.0))
def test_scales_multiply_the_input_size(source, scale) -> None:
    fit = Fit((512, 512), "squash")
    assert fit.size_of(source, scale) == (int(512 * scale + 0.5),) * 2


def test_another_scale_is_made_from_the_original_image() -> None:
    image = np.random.default_rng(1).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    assert np.array_equal(Fit((100, 100), "squash", resample=linear)(image, 3.0), image)


def test_every_protocol_scores_a_run_and_names_itself(trained) -> None:
    found = {name: segfit.evaluate(trained, protocol=name) for name in PROTOCOLS}
    assert [facts["protocol"] for facts in found.values()] == list(PROTOCOLS)
    assert {name: facts["resize"] for name, facts in found.items()} == {
        "original": "short-side",
        "mmseg": "short-side",
        "paper": "squash",
    }
    stored = json.loads((trained / "metrics.json").read_text())["evaluation"]
    assert found["original"]["scores"] == stored["scores"]
    assert found["original"]["per_class"] == stored["per_class"]
    # Three sizes of input, and another size of the masks: nothing here can be equal by accident.
    assert len({json.dumps(facts["scores"]) for facts in found.values()}) == 3
    pixels = [sum(entry["pixels"] for entry in facts["per_class"]) for facts in found.values()]
    assert pixels[0] == pixels[1] != pixels[2]


def test_there_is_no_other_protocol(trained) -> None:
    with pytest.raises(RecipeError, match="there is no 'mmsegg' .did you mean 'mmseg'"):
        segfit.evaluate(trained, protocol="mmsegg")  # type: ignore[arg-type]


def test_the_facts_say_all_that_scores_depend_on() -> None:
    facts = protocol_facts(resolved("evaluate.scales=[0.5, 1]", "evaluate.flip=true", "evaluate.window=sliding"))
    assert facts == {
        "protocol": "original",
        "resize": "short-side",
        "window": "sliding",
        "overlap": pytest.approx(1 / 3),
        "weighting": "uniform",
        "scales": [0.5, 1.0],
        "flip": True,
    }


def test_another_protocol_by_an_override_derives_what_it_fixes(trained) -> None:
    facts = segfit.evaluate(trained, overrides=["evaluate.protocol=paper"])
    assert facts == {**segfit.evaluate(trained, protocol="paper"), "seconds": facts["seconds"]}


def test_the_protocol_of_the_run_changes_nothing(trained, tmp_path) -> None:
    squashed = shutil.copytree(trained, tmp_path / "run")
    recipe = json.loads((squashed / "recipe.json").read_text())
    recipe["evaluate"]["resize"] = "squash"
    (squashed / "recipe.json").write_text(json.dumps(recipe))
    assert segfit.evaluate(squashed, protocol="original")["resize"] == "squash"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.lr=3", "the run is trained already, this changes nothing"),
        ("train.epochs=9", "the run is trained already, this changes nothing"),
        ("train.batch=3", "the run is trained already, this changes nothing"),
        ("labels.top=2", "the run is trained already, this changes nothing"),
        ("loss.name=dice", "the run is trained already, this changes nothing"),
        ("data.sampling=rare", "the run is trained already, this changes nothing"),
        ("evaluate.windows=sliding", "did you mean 'window'"),
        ("evaluate.weighting=gaussian", "weighting is of windows: say window: sliding"),
        ("evaluate.overlap=0.5", "overlap is of windows: say evaluate.window=sliding"),
        ("evaluate.scales=[1, 1]", "scales names one twice: 1, 1"),
        ("evaluate.scales=[.inf]", "less than or equal to 8"),
        ("evaluate.scales=[0.001]", "greater than or equal to 0.1"),
    ],
)
def test_what_would_be_ignored_or_absurd_is_refused(trained, override, message) -> None:
    with pytest.raises(RecipeError, match=message):
        segfit.evaluate(trained, overrides=[override])


def test_two_protocols_are_one_too_many(trained) -> None:
    with pytest.raises(RecipeError, match="--protocol and evaluate.protocol exclude each other"):
        segfit.evaluate(trained, protocol="mmseg", overrides=["evaluate.protocol=paper"])


@pytest.mark.parametrize("name", ["recipe.json", "checkpoints/best.safetensors", "examples/new.parquet"])
def test_records_do_not_replace_other_files_of_the_run(trained, tmp_path, name) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(RunError, match=f"{name}: is in the run folder, which keeps its own files"):
        segfit.evaluate(run, per_image=run / name)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_records_of_another_evaluation_do_not_replace_those_of_the_run(trained, tmp_path) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    file = run / "per_image.parquet"
    before = file.read_bytes()
    with pytest.raises(RunError, match="is in the run folder, whose scores are other ones"):
        segfit.evaluate(run, protocol="paper", per_image=file)
    assert file.read_bytes() == before
    file.unlink()
    segfit.evaluate(run, per_image=file)
    assert len(read_records(file)) == 5
    for place in (tmp_path, tmp_path / "missing" / "file.parquet"):
        with pytest.raises(RunError, match="name a file in an existing folder"):
            segfit.evaluate(run, per_image=place)


def test_mmseg_averages_accuracies_over_the_classes_that_are_there() -> None:
    rows = [{"accuracy": 0.5, "pixels": 10}, {"accuracy": 0.0, "pixels": 0}, {"accuracy": 1.0, "pixels": 1}]
    facts = {"scores": {"mean_accuracy": 0.5, "miou": 0.4}, "per_class": rows}
    found = {name: under_protocol(facts, resolved(f"evaluate.protocol={name}"))["scores"] for name in PROTOCOLS}
    assert found["mmseg"] == {"mean_accuracy": 0.75, "miou": 0.4}
    assert found["original"] == found["paper"] == facts["scores"]


def test_windows_of_another_overlap_are_another_measurement() -> None:
    sliding = ["evaluate.window=sliding"]
    found = [protocol_facts(resolved(*sliding, f"evaluate.overlap={share}")) for share in (0.25, 0.5)]
    assert found[0] != found[1]
    assert protocol_facts(resolved("evaluate.overlap=0.5")) == protocol_facts(resolved())
