"""``segfit plan``, and what planning does to training: run folders, studies, verbs on recipes with an open batch."""

import json
from dataclasses import replace
from io import StringIO

import pytest

import segfit
from segfit import forecast, run
from segfit.config import build_recipe, shipped
from segfit.folder import RunFolder
from segfit.planning.plan import settle
from segfit.training.tune import Tuning


@pytest.fixture
def quickly(monkeypatch):
    """Plan without looking for levers and the largest batch: one trace a recipe instead of six."""
    monkeypatch.setattr(forecast, "explain", lambda recipe, traces, **more: replace(settle(recipe, **more), largest=64))


def small(tiny, *changes):
    """Return the overrides that make a shipped recipe as small as the tiny one."""
    sizes = ["augment.size=[32,32]", "model.width=4", "evaluate.batch=1"]
    return [*sizes, *changes]


# --- the verb --------------------------------------------------------------------------------------------------------


def test_a_recipe_is_planned_for_a_gpu_without_its_data(cli, tmp_path, tiny):
    words = ["plan", "paper/unet-10", "--gpu", "t4", "--gpus", 2, *small(tiny, "model.depth=1", "train.batch=4")]
    out = tmp_path / "plan.json"
    done = cli(*words, "--json", "--out", out)
    facts = json.loads(done.stdout)
    assert json.loads(out.read_text()) == facts
    (plan,) = facts["plans"]
    assert plan["recipe"] == "unet-10"
    assert plan["classes"] == 10
    assert plan["training_images"] == 20_210
    assert plan["device"]["name"] == "T4"
    assert plan["device"]["count"] == 2
    assert plan["settings"]["images_at_once"] == 2
    assert plan["fits"]
    assert plan["largest_batch"] >= 4
    assert plan["seconds_per_epoch"] == pytest.approx(plan["seconds_per_step"] * (20_210 // 4))
    levers = [offer["lever"]["change"] for offer in plan["to_fit_more"]]
    assert "train.precision=fp16" in levers  # a T4 has no bfloat16
    assert not any("bf16" in lever for lever in levers)


def test_patterns_name_shipped_recipes(quickly, tiny):
    plans = forecast.plan("paper/unet-*", gpu="t4", overrides=small(tiny, "model.depth=1"))
    assert [f"paper/{plan.recipe.name}" for plan in plans] == [
        name for name in shipped("recipe") if name.startswith("paper/unet-")
    ]
    assert [plan.classes for plan in plans] == [10, 150]


@pytest.mark.parametrize("columns", [80, 100])
def test_the_table_fits_into_a_terminal(quickly, tiny, columns):
    from rich.console import Console

    from segfit.planning.report import PlanTable

    plans = segfit.plan(["demo/unet", "paper/unet-150"], memory="16GB", overrides=small(tiny, "model.depth=1"))
    console = Console(width=columns, record=True, file=StringIO())
    console.print(PlanTable(plans))
    text = console.export_text()
    assert "unet-150" in text
    assert "GPU with 16.0 GB" in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= columns


def test_the_scenes_need_not_be_drawn(quickly, tiny, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (plan,) = forecast.plan("demo/unet", gpu="3090", overrides=small(tiny, "model.depth=1", "data.train_images=77"))
    assert plan.images == 77
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_that_is_there_is_counted(quickly, tiny_recipe):
    (plan,) = forecast.plan(tiny_recipe, memory="2GB")
    assert plan.images == 12
    assert plan.classes == len(segfit.classes([f"data.root={tiny_recipe.data.root}"])["classes"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["demo/unet", "--gpu", "t5"], "no GPU is called 't5' (did you mean 't4'?)"),
        (["demo/unet", "--memory", "16"], "--memory: '16' is no amount of memory: write 16GB or 16GiB"),
        (["demo/unet", "--memory", "0GB"], "--memory: '0GB' is no amount of memory"),
        (["demo/unet", "--gpu", "t4", "--memory", "16GB"], "--gpu and --memory exclude each other"),
        (["demo/unet", "--gpu", "t4", "--gpus", "0"], "--gpus"),
        (["demo/unet", "--gpu", "t4", "--gpus", "3"], "train.batch: 8 is not a multiple of 3"),
        (["demo/unet", "--gpu", "t4", "train.precision=bf16"], "train.precision: this CUDA would only emulate bf16"),
        (["demo/unet", "train.fit=t5"], "train.fit: 't5' is neither an amount of memory (16GB) nor a GPU"),
        (["demo/unett", "--gpu", "t4"], "no recipe is called 'demo/unett' (did you mean 'demo/unet'?)"),
        (["papers/*", "--gpu", "t4"], "no shipped recipe matches 'papers/*'"),
        (["train.batch=3", "--gpu", "t4"], "name a recipe"),
        (["demo/unet", "--gpu", "t4", "--out", "/proc/x/plan.json"], "--out: /proc/x cannot be made"),
        (["demo/unet", "--gpu", "t4", "--out", "/"], "--out: / cannot be written"),
        (["demo/unet", "data.name=folder", "--gpu", "t4"], "data.root: say where the folder dataset is"),
        (["demo/unet", "data.name=folder", "data.root=/nowhere", "--gpu", "t4"], "/nowhere"),
        (["paper/unet-10", "labels.ratios=dataset", "--gpu", "t4"], "data.root: say where the ade20k dataset is"),
        (
            [
                "demo/unet",
                "--memory",
                "601MB",
                "train.batch=auto",
                "model.width=4",
                "model.depth=1",
                "evaluate.batch=1",
            ],
            "train.batch: one image at a time",
        ),
    ],
)
def test_wrong_input_is_one_line(cli, words, message):
    done = cli("plan", *words, check=2)
    assert message in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("segfit: ")
    assert done.stdout == ""


def test_memory_is_the_cpus_where_the_recipe_trains_there(tiny_recipe):
    """As in training: nothing is planned that the run would not do."""
    recipe = tiny_recipe.model_copy(update={"train": tiny_recipe.train.model_copy(update={"fit": "2GB"})})
    (plan,) = forecast.plan(recipe)
    assert plan.device.kind == "cpu"
    assert plan.device.memory == 2 * 10**9
    assert plan.option.recipe.train.precision == "fp32"


def test_equal_recipes_are_traced_once(tiny_recipe, monkeypatch):
    from segfit.planning import plan as planning

    traced, footprint = [], planning.footprint
    monkeypatch.setattr(planning, "footprint", lambda *args, **more: traced.append(1) or footprint(*args, **more))
    longer = tiny_recipe.model_copy(update={"name": "longer"})
    alone = forecast.plan(tiny_recipe, memory="2GB")
    once = len(traced)
    both = forecast.plan([tiny_recipe, longer], memory="2GB")
    assert len(traced) == 2 * once
    assert both[0].facts() == alone[0].facts()
    assert {**both[1].facts(), "recipe": "tiny"} == alone[0].facts()


def test_several_gpus_need_a_kind_where_there_is_none(cli, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "--gpus: there is no GPU here" in cli("plan", "demo/unet", "--gpus", 2, check=2).stderr


# --- training --------------------------------------------------------------------------------------------------------


def test_every_run_has_a_plan_with_what_was_measured(trained):
    plan = json.loads(RunFolder(trained).plan_file.read_text())
    assert plan["recipe"] == "tiny"
    assert plan["training_images"] == 12
    assert plan["memory"]["peak"] > 0
    assert plan["fits"]
    metrics = RunFolder(trained).metrics()["training"]
    assert plan["measured"]["memory"] == metrics["memory"]
    assert plan["parameters"] == metrics["parameters"]
    assert plan["settings"]["batch"] == metrics["batch"]


@pytest.fixture(scope="module")
def settled(tiny_recipe, tmp_path_factory):
    """Return the folder of runs and the recipe of a run whose settings are left to planning."""
    root = tmp_path_factory.mktemp("settled")
    recipe = build_recipe(
        tiny_recipe.model_dump(mode="json"), ["name=auto", "train.batch=auto", "train.fit=2GB", "train.epochs=1"]
    )
    segfit.train(recipe, root / "auto")
    return root, recipe


def test_an_open_batch_is_settled_and_stored(settled):
    root, _ = settled
    stored = RunFolder(root / "auto").recipe()
    assert stored.train.batch == 8  # of twelve images
    assert stored.evaluate.batch == 8
    assert stored.train.fit == "2GB"
    plan = json.loads((root / "auto" / "plan.json").read_text())
    assert plan["settings"]["batch"] == 8
    assert plan["device"]["memory"] == 2 * 10**9


def test_what_its_start_settled_stays(settled, monkeypatch):
    """A study started again, or a run that goes on, plans nothing anew."""
    root, recipe = settled
    monkeypatch.setattr(run, "settle", lambda *_args, **_more: pytest.fail("planned again"))
    assert segfit.study([recipe], root) == [root / "auto"]
    longer = recipe.model_copy(update={"train": recipe.train.model_copy(update={"epochs": 2})})
    assert segfit.study([longer], root) == [root / "auto"]
    assert RunFolder(root / "auto").recipe().train.batch == 8
    assert RunFolder(root / "auto").metrics()["training"]["epochs"] == 2
    segfit.resume(root / "auto", overrides=["train.epochs=3"])
    assert RunFolder(root / "auto").metrics()["training"]["epochs"] == 3
    assert "measured" in json.loads((root / "auto" / "plan.json").read_text())


def test_a_run_that_continues_another_takes_its_settings(settled):
    root, recipe = settled
    longer = recipe.train.model_copy(update={"epochs": 4, "continue_from": "auto"})
    path = segfit.train(recipe.model_copy(update={"name": "longer", "train": longer}), root / "longer")
    assert RunFolder(path).recipe().train.batch == 8
    assert json.loads((path / "plan.json").read_text())["settings"]["batch"] == 8


def test_what_cannot_fit_is_refused_before_anything_is_written(tiny_recipe, tmp_path):
    with pytest.raises(segfit.UserError, match=r"train\.fit: one image at a time"):
        segfit.train(tiny_recipe, tmp_path / "run", overrides=["train.fit=601MB"])
    assert not (tmp_path / "run").exists()


def test_a_model_that_cannot_be_traced_is_trained_all_the_same(tiny_recipe, tmp_path, monkeypatch):
    def fails(*_args, **_more):
        raise RuntimeError("no fake tensors, please")

    monkeypatch.setattr(run, "settle", fails)
    with pytest.raises(segfit.UserError, match=r"model\.name: unet cannot be planned \(no fake tensors, please\)"):
        segfit.train(tiny_recipe, tmp_path / "auto", overrides=["train.batch=auto"])
    path = segfit.train(tiny_recipe, tmp_path / "plain", overrides=["train.epochs=1"])
    assert json.loads((path / "plan.json").read_text()) == {"recipe": "tiny", "error": "no fake tensors, please"}


def test_what_autotune_measures_is_stored(tiny_recipe, tmp_path, monkeypatch):
    def tune(recipe, build, images, masks, ranks):
        model, loss = build(recipe)
        assert tuple(images.shape) == (4, 3, 48, 48)
        assert tuple(masks.shape) == (4, 48, 48)
        assert next(model.parameters()).device == images.device
        assert float(loss(model(images), masks.long())["loss"].detach()) > 0
        changed = recipe.train.model_copy(update={"channels_last": not recipe.train.channels_last})
        return Tuning(recipe=recipe.model_copy(update={"train": changed}), facts={"seconds": 1.0})

    monkeypatch.setattr(run, "tune", tune)
    recipe = build_recipe(tiny_recipe.model_dump(mode="json"), ["train.autotune=true", "train.epochs=1"])
    segfit.train(recipe, tmp_path / "tiny")
    stored = RunFolder(tmp_path / "tiny")
    assert stored.recipe().train.channels_last is not tiny_recipe.train.channels_last
    assert stored.read(stored.plan_file)["autotune"] == {"seconds": 1.0}
    # Started again, it has nothing to measure.
    monkeypatch.setattr(run, "tune", lambda *_args: pytest.fail("measured again"))
    assert segfit.study([recipe], tmp_path) == [tmp_path / "tiny"]


def test_other_verbs_take_a_recipe_with_an_open_batch(cli, tiny_recipe, tmp_path):
    words = [f"data.root={tiny_recipe.data.root}", "data.name=ade20k", "train.batch=auto", "train.fit=t4"]
    cli("data", "check", "demo/unet", *words)
    cli("data", "preview", "demo/unet", *words, "--out", tmp_path / "sheet.png")
    shown = cli("recipe", "show", "demo/unet", *words, "--resolved").stdout
    assert "batch: auto" in shown
