"""A soup is a run like any other, its ingredients stay as they are, and what cannot be averaged is refused."""

import json
import os
import shutil
import signal

import pytest
import torch
from safetensors.torch import load_file, save_file

import segfit
from segfit.comparison.facts import read_run
from segfit.errors import Interrupted, RecipeError, RunError
from segfit.parts import Parts
from segfit.soups import kitchen as kitchens
from segfit.soups import make as making
from segfit.soups.batch_norm import recalibrate
from segfit.soups.ingredients import READ, open_ingredients, parse_ingredient
from segfit.training.parallel import Ranks

FILES = {
    "recipe.json",
    "labels.json",
    "environment.json",
    "events.jsonl",
    "metrics.json",
    "per_image.parquet",
    "soup.json",
    "examples",
    "checkpoints",
}


def weights(run, name="best"):
    return load_file(run / "checkpoints" / f"{name}.safetensors")


def metrics(run):
    return json.loads((run / "metrics.json").read_text())


def dice(run):
    return metrics(run)["evaluation"]["scores"]["dice"]


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def uniform(runs, tmp_path_factory):
    return segfit.soup(runs, tmp_path_factory.mktemp("soups") / "uniform", how="uniform")


def test_a_soup_of_one_is_that_one_bit_for_bit(runs, tmp_path):
    for how in ("uniform", "greedy", "ema"):
        soup = segfit.soup([f"{runs[1]}:last"], tmp_path / how, how=how)
        stored = {name: value for name, value in weights(runs[1], "last").items() if not name.startswith("optimizer/")}
        for checkpoint in ("best", "last"):
            found = weights(soup, checkpoint)
            assert found.keys() == stored.keys()
            assert all(torch.equal(value, stored[name]) for name, value in found.items())
        assert segfit.soup_facts(soup)["batch_norm"] is None


def test_the_uniform_one_is_the_mean_with_its_own_batch_statistics(runs, uniform):
    found, parts = weights(uniform), [weights(run) for run in runs]
    first = open_ingredients(runs)[0]
    built = Parts(first.recipe, Ranks(device=torch.device("cpu")), first.facts.labels)
    reference = {
        name: torch.stack([part[name].double() for part in parts]).mean(0).to(value.dtype)
        for name, value in found.items()
    }
    measured = [name for name in found if name.endswith(("running_mean", "running_var"))]
    assert measured
    for name, value in reference.items():
        if name not in measured and value.is_floating_point():
            torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-7)
        assert name not in measured or not torch.allclose(found[name], value)
    built.model.load_state_dict({**found, **{name: reference[name] for name in measured}})
    recalibrate(built.model, (batch.images for batch in built.train_loader.epoch(0)))
    for name in measured:
        torch.testing.assert_close(built.model.state_dict()[name], found[name], rtol=1e-5, atol=1e-6)
    assert segfit.soup_facts(uniform)["batch_norm"] == {"images": 12, "batches": 3}


def test_the_greedy_one_is_never_below_its_best_ingredient_in_any_order(runs, tmp_path):
    soups = [segfit.soup(order, tmp_path / str(i), how="greedy") for i, order in enumerate([runs, runs[::-1]])]
    assert all(dice(soup) >= max(map(dice, runs)) for soup in soups)
    one, other = map(weights, soups)
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    facts = [segfit.soup_facts(soup) for soup in soups]
    assert facts[0] == facts[1]
    kept = [mixture for mixture in facts[0]["tried"] if mixture["kept"]]
    assert metrics(soups[0])["evaluation"]["scores"]["dice"] == facts[0]["scores"]["dice"]
    # One beside each mixture that was kept, but the beginning that was measured again adds none.
    again = facts[0]["tried"][0]
    assert again["what"] == f"{facts[0]['ingredients'][0]['run']}:best alone, normalisation measured again"
    assert sorted(again["weights"]) == [0, 0, 1]
    assert len(kept) + 1 - again["kept"] == sum(one["weight"] > 0 for one in facts[0]["ingredients"])
    assert facts[0]["scores"]["dice"] >= again["scores"]["dice"]
    assert (facts[0]["batch_norm"] is None) == (not kept)


def test_what_normalisation_alone_gains_is_not_credited_to_averaging(runs, tmp_path):
    twin = shutil.copytree(runs[1], tmp_path / "twin")
    facts = segfit.soup_facts(segfit.soup([runs[1], twin], tmp_path / "soup", how="greedy"))
    again, mean = facts["tried"]
    assert mean["scores"] == again["scores"]
    assert facts["scores"]["dice"] == max(again["scores"]["dice"], dice(runs[1]))


def test_its_folder_holds_what_a_runs_folder_holds(runs, uniform):
    assert {path.name for path in uniform.iterdir()} == FILES
    assert not [path for path in uniform.parent.iterdir() if path.name.startswith(".")]
    facts = read_run(uniform)
    assert facts.recipe.name == "uniform"
    assert facts.score == dice(uniform)
    assert len(list((uniform / "examples").iterdir())) == 1
    every = [metrics(run)["training"] for run in runs]
    training = metrics(uniform)["training"]
    assert training["epochs"] == 12
    assert training["steps"] == sum(one["steps"] for one in every)
    assert training["parameters"] == every[0]["parameters"]
    spent = sum(one["seconds"] for one in every)
    assert training["seconds"] > spent
    # Whoever reads the curve finds the score after the trainings behind it.
    curves = facts.curves
    assert curves.validated.tolist() == [12]
    assert curves.dice[-1] == pytest.approx(facts.score)


def test_a_continued_run_counts_the_run_before_it_once(bake, tmp_path):
    first = bake("first", "optim.schedule=constant", "train.epochs=1")
    longer = bake("longer", "optim.schedule=constant", "train.epochs=2", "train.continue_from=first")
    soup = segfit.soup([f"{first}:last", f"{longer}:last"], tmp_path / "line", how="ema")
    training = metrics(soup)["training"]
    assert training["epochs"] == 2
    assert training["steps"] == metrics(longer)["training"]["steps"]
    shares = {one["run"]: one["weight"] for one in segfit.soup_facts(soup)["ingredients"]}
    assert shares == {str(first): 0.5, str(longer): 0.5}


def test_a_moving_average_needs_stages_of_one_training(runs, bake, tmp_path, monkeypatch):
    monkeypatch.setattr(kitchens.Kitchen, "taste", None)  # all of it is refused before anything is scored
    out = tmp_path / "soup"
    said = refused(runs, out, how="ema")
    assert ": is no stage of the training of " in said
    assert said.endswith("a moving average needs checkpoints of one training: use --how uniform")
    twins = [shutil.copytree(runs[0], tmp_path / name) for name in ("a", "b")]
    assert "is no stage of the training of" in refused(twins, out, how="ema")
    first = bake("stage", "optim.schedule=constant", "train.epochs=1")
    assert "is of epoch 1" in refused([f"{first}:best", f"{first}:last"], out, how="ema")


def test_a_soup_of_soups_counts_each_training_once(runs, tmp_path):
    one = segfit.soup(runs[:2], tmp_path / "one", how="uniform")
    two = segfit.soup(runs[1:], tmp_path / "two", how="uniform")
    both = metrics(segfit.soup([one, two, runs[0]], tmp_path / "both", how="uniform"))["training"]
    every = [metrics(run)["training"] for run in runs]
    assert both["epochs"] == sum(training["epochs"] for training in every) == 12
    assert both["steps"] == sum(training["steps"] for training in every)
    # The making of the inner soups took time, too.
    trained = [training["seconds"] for training in every]
    made = metrics(one)["training"]["seconds"] + metrics(two)["training"]["seconds"] - sum(trained) - trained[1]
    assert made > 0
    assert both["seconds"] > sum(trained) + made
    # Where an ingredient is gone, the soup's own costs are what is known.
    gone = shutil.copytree(runs[0], tmp_path / "gone")
    soup = segfit.soup([gone, runs[1]], tmp_path / "three", how="uniform")
    shutil.rmtree(gone)
    assert metrics(segfit.soup([soup], tmp_path / "four"))["training"]["epochs"] == 8


def test_a_soup_that_replaced_what_it_is_behind_counts_once(runs, tmp_path):
    first = shutil.copytree(runs[0], tmp_path / "first")
    second = segfit.soup([first], tmp_path / "second")
    shutil.rmtree(first)
    segfit.soup([second], first)
    assert metrics(segfit.soup([second], tmp_path / "third"))["training"]["epochs"] == 4


def test_the_ingredients_stay_as_they_are(runs, tmp_path):
    before = [contents(run) for run in runs]
    segfit.soup(runs, tmp_path / "soup", how="learned")
    assert [contents(run) for run in runs] == before


def test_recipes_can_be_changed_for_all_of_them(runs, tmp_path):
    soup = segfit.soup(runs, tmp_path / "soup", how="uniform", overrides=["data.limit_validation=2"])
    assert metrics(soup)["evaluation"]["images"] == 2
    assert read_run(soup).recipe.data.limit_validation == 2


# --- what is refused -------------------------------------------------------------------------------------------------


def refused(runs, out, **options):
    with pytest.raises((RunError, RecipeError)) as caught:
        segfit.soup(runs, out, **options)
    assert not out.exists()
    assert not list(out.parent.glob(".soup*"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def altered(runs, tmp_path):
    """Copy a run and make its files say something else."""

    def copy(field, value, file="recipe.json"):
        other = shutil.copytree(runs[1], tmp_path / "altered")
        tree = json.loads((other / file).read_text())
        *sections, key = field.split(".")
        inner = tree
        for section in sections:
            inner = inner[section]
        assert inner[key] != value
        inner[key] = value
        (other / file).write_text(json.dumps(tree))
        return other

    return copy


def test_another_beginning_is_refused_unless_asked_for(runs, altered, tmp_path):
    other = altered("train.seed", 1)
    said = refused([runs[0], other], tmp_path / "soup")
    assert "did not begin from the weights that" in said
    assert "train.seed=" in said
    assert "--unrelated" in said
    soup = segfit.soup([runs[0], other], tmp_path / "soup", unrelated=True)
    assert dice(soup) >= max(dice(runs[0]), dice(other))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model.width", 6),
        ("model.depth", 1),
        ("evaluate.score", "miou"),
        ("data.limit_validation", 3),
        ("augment.size", [32, 32]),
    ],
)
def test_what_does_not_fit_is_refused_with_the_field(runs, altered, tmp_path, field, value):
    other = altered(field, value)
    said = refused([runs[0], other], tmp_path / "soup")
    assert f"{field}=" in said
    assert str(value) in said
    assert str(runs[0]) in said
    assert str(other) in said
    assert refused([other, runs[0]], tmp_path / "soup", unrelated=True) == said


def test_other_classes_are_refused(runs, altered, tmp_path):
    labels = json.loads((runs[1] / "labels.json").read_text())
    swapped = [[source, {0: 1, 1: 0}.get(train, train)] for source, train in labels["to_train"]]
    other = altered("to_train", swapped, "labels.json")
    assert "only models of the same classes can be averaged" in refused([runs[0], other], tmp_path / "soup")


def test_a_field_that_is_scored_otherwise_can_be_settled_for_all(runs, altered, tmp_path):
    other = altered("evaluate.flip", True)
    assert "evaluate.flip=VALUE" in refused([runs[0], other], tmp_path / "soup")
    segfit.soup([runs[0], other], tmp_path / "soup", overrides=["evaluate.flip=false"])


def test_other_tensors_are_refused_by_their_name(runs, tmp_path):
    copy = shutil.copytree(runs[1], tmp_path / "copy")
    tensors = weights(copy)
    name = next(iter(sorted(tensors)))
    tensors[name] = tensors[name].half()
    save_file(tensors, copy / "checkpoints" / "best.safetensors", metadata={"segfit": "{}"})
    said = refused([runs[0], copy], tmp_path / "soup")
    assert f": {name} is " in said
    assert "F16" in said


def test_wrong_words(runs, tmp_path):
    out = tmp_path / "soup"
    assert "named twice" in refused([runs[0], f"{runs[0].parent}/./{runs[0].name}"], out)
    assert "no such run folder" in refused([tmp_path / "nowhere"], out)
    assert "name the runs" in refused([], out)
    assert "did you mean 'greedy'" in refused(runs, out, how="gredy")
    unfinished = shutil.copytree(runs[0], tmp_path / "unfinished")
    (unfinished / "metrics.json").unlink()
    assert "is not finished" in refused([unfinished], out)
    (runs[0].parent / "taken").mkdir()
    (runs[0].parent / "taken" / "file").write_text("mine")
    with pytest.raises(RunError, match="there is something already"):
        segfit.soup(runs, runs[0].parent / "taken")
    assert f"is inside {runs[1]}, which is only read" in refused(runs, runs[1] / "examples" / "soup")


@pytest.mark.parametrize(
    "override", ["optim.lr=3", "train.seed=1", "train.epochs=9", "model.width=6", "loss.name=dice", "labels.top=3"]
)
def test_what_a_soup_does_not_read_cannot_be_changed(runs, tmp_path, override):
    said = refused(runs, tmp_path / "soup", overrides=[override])
    assert said.startswith(f"{override}: the run is trained already, this changes nothing")


@pytest.mark.parametrize("override", [word for word in READ if not word.endswith(".")])
def test_what_a_soup_reads_can_be_changed(runs, override):
    values = {"accumulate": 2, "batch": 4, "checkpointing": "none", "device": "cpu", "precision": "fp32", "workers": 0}
    section, _, field = override.partition(".")
    value = values.get(field, "true")
    (one,) = open_ingredients([runs[0]], [f"{override}={value}"])
    assert str(getattr(getattr(one.recipe, section), field)).lower() == str(value)


def test_another_kind_of_model_is_refused_in_words(runs, altered, tmp_path):
    other = altered("model", {"name": "attention_unet"})
    said = refused([runs[0], other], tmp_path / "soup")
    assert "different models cannot be averaged" in said
    assert f"{other}:best" in said
    assert " attention_unet" in said


def test_the_facts_of_a_run_that_is_no_soup(runs):
    with pytest.raises(RunError, match="slow: is not a soup"):
        segfit.soup_facts(runs[0])


def test_words_name_checkpoints():
    assert [str(part) for part in parse_ingredient("runs/a:best")] == ["runs/a", "best"]
    assert parse_ingredient("runs/a:last")[1] == "last"
    assert [str(parse_ingredient(word)[0]) for word in ("runs/a", "a:b", ":last")] == ["runs/a", "a:b", "."]


def test_a_soup_that_is_not_a_number_is_refused(runs, tmp_path):
    copy = shutil.copytree(runs[1], tmp_path / "copy")
    tensors = weights(copy)
    name = next(name for name in sorted(tensors) if name.endswith("weight"))
    tensors[name] = torch.full_like(tensors[name], torch.nan)
    save_file(tensors, copy / "checkpoints" / "best.safetensors", metadata={"segfit": "{}"})
    assert "is not a number" in refused([runs[0], copy], tmp_path / "soup", how="uniform")
    # A greedy one leaves it out.
    soup = segfit.soup([runs[0], copy], tmp_path / "soup", how="greedy")
    assert dice(soup) >= dice(runs[0])


# --- what goes wrong half way ----------------------------------------------------------------------------------------


def test_a_place_that_is_taken_meanwhile_costs_no_soup(runs, tmp_path, monkeypatch):
    out = tmp_path / "soup"

    def taken(*arguments):
        final_score(*arguments)
        out.mkdir()
        (out / "file").write_text("mine")

    final_score = making.final_score
    monkeypatch.setattr(making, "final_score", taken)
    with pytest.raises(RunError, match="was taken meanwhile") as caught:
        segfit.soup([runs[0]], out)
    assert [path.name for path in out.iterdir()] == ["file"]
    (kept,) = tmp_path.glob(".soup.*/soup")
    assert f" {kept}: " in str(caught.value)
    assert read_run(kept).score == dice(runs[0])


def test_its_folder_has_the_rights_of_a_new_folder(runs, tmp_path):
    before = os.umask(0o027)
    try:
        soup = segfit.soup([runs[0]], tmp_path / "soup")
    finally:
        os.umask(before)
    assert soup.stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing_behind(runs, tmp_path, monkeypatch, number):
    keep = kitchens.Kitchen.keep

    def interrupted(kitchen, tasting):
        keep(kitchen, tasting)
        os.kill(os.getpid(), number)

    before = [contents(run) for run in runs]
    monkeypatch.setattr(kitchens.Kitchen, "keep", interrupted)
    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else Interrupted):
        segfit.soup(runs, tmp_path / "soups" / "soup")
    assert list((tmp_path / "soups").iterdir()) == []
    assert [contents(run) for run in runs] == before
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
