"""Plans of small models that are traced for real."""

import json
from functools import partial

import pytest
import torch

from segfit.config import Hardware, build_recipe, resolve
from segfit.config.gpus import find_gpu
from segfit.errors import RecipeError
from segfit.parts import REGISTRIES
from segfit.planning.devices import CONTEXT, SLACK, Device, named, of_size, present
from segfit.planning.fit import Planner, roughly_largest
from segfit.planning.footprint import footprint
from segfit.planning.plan import explain, measured_facts, per_rank, settle
from segfit.planning.roofline import published

GPU = find_gpu("t4")
ROOM = 60_000_000


def sized(room: int) -> Device:
    """Return a slow GPU with this room."""
    return Device(
        name="small GPU",
        kind="cuda",
        memory=int(room / (1 - SLACK)) + CONTEXT + 1,
        precisions=GPU.precisions,
        speed=published(GPU),
    )


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    tree = {
        "data": {"name": "ade20k", "root": "."},
        "augment": {"size": [64, 64]},
        "model": {"name": "unet", "width": 8, "depth": 1},
        "train": {"batch": 8, "precision": "fp32"},
        "evaluate": {"batch": 1},
    }
    hardware = Hardware(precisions={"cuda": GPU.precisions}, cores=1, cache=tmp_path_factory.mktemp("cache"))
    return resolve(build_recipe(tree), REGISTRIES, hardware)


def with_train(recipe, **train):
    return recipe.model_copy(update={"train": recipe.train.model_copy(update=train)})


@pytest.fixture(scope="module")
def full(recipe):
    return explain(recipe, classes=10, images=1000, device=sized(ROOM))


def test_what_fits_is_left_alone_and_explained(full, recipe):
    assert full.recipe == recipe
    assert full.levers == []
    assert full.fits(full.option)
    assert 8 <= full.largest < 64
    peaks = [full.option.peak, *(option.peak for option in full.offered)]
    assert peaks == sorted(peaks, reverse=True)
    changes = [option.lever.change for option in full.offered]
    order = ["train.precision=fp16", "train.checkpointing=norms", "train.checkpointing=blocks"]
    assert changes == [change for change in order if change in changes]
    assert "train.precision=fp16" in changes


def test_times_follow_from_the_batch(full):
    step = full.step_seconds(full.option)
    assert step > 0
    assert full.epoch_seconds(full.option) == pytest.approx(step * (1000 // 8))
    # The same arithmetic on half the bytes takes no longer.
    assert full.step_seconds(full.offered[0]) < step


def test_the_largest_batch_is_the_last_one_that_fits(recipe, full):
    device = sized(full.option.peak * 2)
    planner = Planner(device, 1, partial(footprint, classes=10))
    largest = planner.largest(recipe)
    assert 8 < largest < 32
    assert planner.fits(planner.option(with_train(recipe, batch=largest)))
    assert not planner.fits(planner.option(with_train(recipe, batch=largest + 1)))
    assert roughly_largest(full.option, device.room) == pytest.approx(largest, rel=0.2)


def test_fit_chooses_what_the_plan_offers(recipe, full):
    target = full.offered[-1]
    device = sized(target.peak)
    plan = settle(with_train(recipe, fit="16GB"), classes=10, images=1000, device=device)
    assert plan.fits(plan.option)
    assert plan.recipe.train.batch == 8
    assert plan.recipe.train.precision == target.recipe.train.precision
    assert plan.recipe.train.checkpointing == target.recipe.train.checkpointing
    assert [lever.change for lever in plan.levers] == [option.lever.change for option in full.offered]


def test_an_automatic_batch_is_shared_by_the_ranks(recipe):
    plan = settle(with_train(recipe, batch="auto"), classes=10, images=100_000, device=sized(ROOM), world=2)
    assert plan.recipe.train.batch == 2 * per_rank(plan.recipe, 2) > 8
    assert plan.fits(plan.option)


def test_more_ranks_than_images_are_refused(recipe):
    with pytest.raises(RecipeError, match=r"train\.batch: 8 is not a multiple of 3 .*: take 6"):
        settle(recipe, classes=10, images=100, device=sized(10**9), world=3)


def test_facts_are_json_and_add_up(full):
    facts = json.loads(json.dumps(full.facts(), allow_nan=False))
    training = facts["memory"]["training"]
    assert training.pop("total") == sum(training.values())
    assert facts["memory"]["peak"] == full.option.peak
    assert facts["settings"]["images_at_once"] == 8
    assert facts["parameters"] == full.option.footprint.parameters
    assert facts["flops_per_step"] > 10 * facts["parameters"]
    assert [offer["lever"]["change"] for offer in facts["to_fit_more"]] == [o.lever.change for o in full.offered]


def test_what_was_measured_stands_beside_what_was_planned(full):
    facts = measured_facts(
        full.facts(), {"memory": full.option.peak * 2, "memory_kind": "resident in RAM", "images_per_second": 50.0}
    )
    assert facts["planned_to_measured"] == 0.5
    assert facts["seconds_per_epoch"] == 20
    here = {**full.facts(), "device": {"kind": "cpu"}}  # there the memory of the whole process is measured
    training = {"memory": 10**9, "memory_kind": "resident in RAM", "images_per_second": 50.0}
    assert measured_facts(here, training)["planned_to_measured"] is None
    nothing = measured_facts(full.facts(), {"memory": 0, "memory_kind": "", "images_per_second": 0.0})
    assert nothing["planned_to_measured"] is None
    assert nothing["seconds_per_epoch"] is None


# --- devices ---------------------------------------------------------------------------------------------------------


def test_a_gpu_has_room_for_less_than_its_memory():
    gpu = named(GPU)
    assert gpu.kind == "cuda"
    assert gpu.memory * 0.85 < gpu.room < gpu.memory - CONTEXT
    assert gpu.speed is not None
    assert of_size(10).room == 0


def test_a_size_borrows_the_speed_of_what_is_here():
    here = present(torch.device("cpu"))
    assert here.kind == "cpu"
    assert 0 < here.room < here.memory
    small = of_size(2 * 10**9, here)
    assert (small.kind, small.speed, small.precisions) == (here.kind, here.speed, here.precisions)
    assert small.name.startswith("2.0 GB of ")
    assert of_size(2 * 10**9).speed is None


def test_ranks_on_one_machine_share_its_memory(monkeypatch):
    alone = present(torch.device("cpu")).memory
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert present(torch.device("cpu")).memory == alone // 2
