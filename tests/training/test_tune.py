"""What is measured to be faster is chosen, what is not is left as it was, and a step is never the worse for it."""

import json

import pytest
import torch

from segfit.config import build_recipe
from segfit.errors import RunError
from segfit.losses import LOSSES
from segfit.models import MODELS
from segfit.training import tune as tune_module
from segfit.training.parallel import Ranks
from segfit.training.tune import SETTINGS, tune

CPU = Ranks(device=torch.device("cpu"))
NAMES = [f"{section}.{name}" for section, name in SETTINGS]


def recipe(*overrides):
    tree = {"data": {"root": "/nowhere"}, "train": {"batch": 4, "device": "cpu", "precision": "fp32"}}
    return build_recipe(tree, ["optim.name=adam", *overrides])


def build(wanted):
    torch.manual_seed(0)
    model = MODELS.build("unet", 3, width=2, depth=1)
    order = torch.channels_last if wanted.train.channels_last else torch.contiguous_format
    return model.to(memory_format=order), LOSSES.build("cross_entropy", 3)


def batch():
    images = torch.randint(0, 256, (4, 8, 8, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    return images, torch.randint(0, 3, (4, 8, 8), dtype=torch.uint8)


@pytest.fixture
def clock(monkeypatch):
    """A device whose steps take the seconds that `costs` says of their recipe; time passes nowhere else."""

    class Clock:
        now = 1000.0
        steps = 0
        costs = staticmethod(lambda recipe, number: 1.0)

        def perf_counter(self):
            return self.now

    clock = Clock()

    class Step:
        def __init__(self, model, loss, recipe, ranks):
            assert ranks.world == 1
            self.model, self.recipe = model, recipe

        def __call__(self, images, masks):
            assert self.model.training
            clock.steps += 1
            cost = clock.costs(self.recipe, clock.steps)
            if cost is None:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            clock.now += cost

        def drop_gradients(self):
            pass

    monkeypatch.setattr(tune_module, "time", clock)
    monkeypatch.setattr(tune_module, "TrainStep", Step)
    monkeypatch.setattr(tune_module, "_settings", lambda device: list(SETTINGS))
    return clock


def values(tuned):
    return {f"{section}.{name}": getattr(getattr(tuned, section), name) for section, name in SETTINGS}


DEFAULTS = {"train.channels_last": True, "optim.fused": True, "train.compile": False}


def test_each_setting_that_wins_stays_for_the_next(clock):
    def costs(recipe, number):
        return (1.0 if recipe.train.channels_last else 0.7) * (0.5 if recipe.train.compile else 1.0)

    clock.costs = costs
    given = recipe("train.precision=fp32")
    tuned = tune(given, build, *batch(), CPU)
    assert values(tuned.recipe) == {**DEFAULTS, "train.channels_last": False, "train.compile": True}
    assert tuned.facts["chosen"] == values(tuned.recipe)
    tried = {fact["setting"]: fact for fact in tuned.facts["tried"]}
    assert list(tried) == NAMES
    assert tried["train.channels_last"]["ratio"] == pytest.approx(0.7)
    assert tried["train.compile"]["ratio"] == pytest.approx(0.5)
    assert (tried["train.compile"]["before"], tried["train.compile"]["after"]) == pytest.approx((0.7, 0.35))
    assert [fact["kept"] for fact in tried.values()] == [True, False, True]
    # Nothing but the settings.
    rest = tuned.recipe.model_copy(
        update={
            "train": tuned.recipe.train.model_copy(update={"channels_last": True, "compile": False}),
        }
    )
    assert rest == given
    assert json.loads(json.dumps(tuned.facts, allow_nan=False)) == tuned.facts


def test_a_gain_within_the_noise_is_none(clock):
    def costs(recipe, number):
        # 10 % faster in the middle, but the rounds lie far apart.
        return 1.0 if recipe.train.channels_last else (0.9, 0.6, 1.2)[number // 2 % 3]

    clock.costs = costs
    tuned = tune(recipe(), build, *batch(), CPU)
    assert values(tuned.recipe) == DEFAULTS
    fact = tuned.facts["tried"][0]
    assert fact["ratio"] == pytest.approx(0.9)
    assert fact["spread"] > 0.1


def test_equal_ways_keep_what_the_recipe_says(clock):
    given = recipe("train.channels_last=false", "optim.fused=false", "train.compile=true")
    tuned = tune(given, build, *batch(), CPU)
    assert tuned.recipe == given
    assert [fact["from"] for fact in tuned.facts["tried"]] == [False, False, True]


def test_a_hopeless_way_costs_two_rounds(clock):
    clock.costs = lambda recipe, number: 1.0 if recipe.train.channels_last and recipe.optim.fused else 1.7
    tuned = tune(recipe(), build, *batch(), CPU)
    assert [fact["rounds"] for fact in tuned.facts["tried"]][:2] == [2, 2]
    assert values(tuned.recipe) == DEFAULTS


@pytest.mark.parametrize("seconds", [0.01, 1.0, 7.0, 40.0])
def test_the_time_is_bounded(clock, seconds):
    clock.costs = lambda recipe, number: seconds * (1 if recipe.train.channels_last else 0.5)
    tuned = tune(recipe(), build, *batch(), CPU)
    assert clock.now - 1000 <= 60 + 8 * seconds
    assert tuned.facts["seconds"] == pytest.approx(clock.now - 1000)
    # Too few rounds decide nothing.
    enough = tuned.facts["tried"][0]["rounds"] >= 3
    assert tuned.recipe.train.channels_last is not enough
    assert enough == (seconds <= 7)


def test_a_long_compilation_is_measured_once_it_is_made(clock):
    compiled = []

    def costs(recipe, number):
        if not recipe.train.compile:
            return 1.0
        compiled.append(number)
        return 200.0 if len(compiled) == 1 else 0.5

    clock.costs = costs
    tuned = tune(recipe(), build, *batch(), CPU)
    assert tuned.recipe.train.compile
    assert tuned.facts["tried"][-1]["warm_up"] == pytest.approx(200.5)
    assert tuned.facts["tried"][-1]["rounds"] >= 3


def test_a_way_that_does_not_fit_or_compile_is_said_and_left(clock):
    def costs(recipe, number):
        if recipe.train.compile:
            raise RunError("train.compile: torch cannot compile this model")
        return 1.0 if recipe.train.channels_last else None

    clock.costs = costs
    tuned = tune(recipe(), build, *batch(), CPU)
    assert values(tuned.recipe) == DEFAULTS
    assert [fact.get("failure") for fact in tuned.facts["tried"]] == [
        "out of memory",
        None,
        "train.compile: torch cannot compile this model",
    ]


def test_a_recipe_that_does_not_fit_is_left_to_training(clock):
    clock.costs = lambda recipe, number: None
    tuned = tune(recipe(), build, *batch(), CPU)
    assert values(tuned.recipe) == DEFAULTS
    assert tuned.facts["tried"] == []


def test_ranks_follow_the_first_one(clock, monkeypatch):
    class Follower(Ranks):
        def gather(self, value):
            return [{**value, "chosen": {**DEFAULTS, "optim.fused": False}}, value]

    tuned = tune(recipe(), build, *batch(), Follower(rank=1, world=2, device=torch.device("cpu")))
    assert values(tuned.recipe) == {**DEFAULTS, "optim.fused": False}


def test_compilation_is_tried_on_a_gpu_with_a_compiler(monkeypatch, tmp_path):
    (tmp_path / "mine").write_text("#!/bin/sh\n")
    (tmp_path / "mine").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    for variable, device, tried in (
        ("mine", "cuda", NAMES),
        ("/no/such", "cuda", NAMES[:2]),
        ("mine", "cpu", NAMES[:2]),
    ):
        monkeypatch.setenv("CC", variable)
        monkeypatch.setenv("CXX", variable)
        assert [".".join(setting) for setting in tune_module._settings(torch.device(device))] == tried


def test_real_steps():
    built = []

    def noted(wanted):
        built.append(wanted)
        return build(wanted)

    tuned = tune(recipe(), noted, *batch(), CPU)
    facts = tuned.facts
    assert [fact["setting"] for fact in facts["tried"]] == ["train.channels_last", "optim.fused"]
    assert len(built) == 3
    for fact in facts["tried"]:
        assert fact["before"] > 0
        assert fact["after"] > 0
        assert 2 <= fact["rounds"] <= 9
    assert facts["seconds"] < 60
    assert tuned.recipe.train.compile is False
