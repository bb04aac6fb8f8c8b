"""The table of plans, made of figures that need no tracing."""

from io import StringIO

import pytest
from rich.console import Console

from segfit.config import build_recipe
from segfit.config.gpus import find_gpu
from segfit.planning.devices import named, of_size
from segfit.planning.fit import Lever, Option
from segfit.planning.footprint import Footprint, Memory, Operation
from segfit.planning.plan import Plan
from segfit.planning.report import TIMES, PlanTable

NAMES = ("unet-150", "deeplabv3-10-pretrained", "deeplabv3-10-scratch")


def option(name, gigabytes, lever=None, **train):
    recipe = build_recipe(
        {"name": name, "train": {"batch": 16, "precision": "fp32", **train}, "evaluate": {"batch": 4}}
    )
    size = int(gigabytes * 10**9)
    training = Memory(parameters=10**8, gradients=10**8, optimizer=2 * 10**8, activations=size, temporaries=10**7)
    validation = Memory(parameters=10**8, gradients=0, optimizer=2 * 10**8, activations=0, temporaries=size // 3)
    work = Operation(name="convolution", dtype="fp32", count=100, flops=10**11, bytes=10**9)
    footprint = Footprint(training=training, validation=validation, operations=(work,), parameters=25 * 10**6)
    return Option(recipe=recipe, footprint=footprint, lever=lever)


def plan(name, gigabytes, device, taken=()):
    offered = [
        option(name, gigabytes / 2, Lever(change="train.precision=fp16", price="rounds more"), precision="fp16"),
        option(name, gigabytes / 4, Lever(change="train.checkpointing=blocks", price="again"), checkpointing="blocks"),
        option(name, gigabytes / 8, Lever(change="train.accumulate=4", price="fewer images at once"), accumulate=4),
    ]
    chosen = taken or [option(name, gigabytes)]
    return Plan(device=device, world=2, classes=150, images=20_210, taken=chosen, offered=offered, largest=12)


def shown(plans, columns):
    console = Console(width=columns, record=True, file=StringIO())
    console.print(PlanTable(plans))
    return console.export_text()


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_it_fits_and_loses_nothing(columns):
    device = named(find_gpu("t4"))
    text = shown([plan(name, 20 if name == "unet-150" else 8, device) for name in NAMES], columns)
    assert max(map(len, text.splitlines())) <= columns
    assert "…" not in text
    for word in (f"2 {TIMES} T4", "20.4 GB", "8.4 GB", "train.checkpointing=blocks", "16 (8)", "any"):
        assert word in text
    assert ("precision " in text.splitlines()[2]) == (columns > 80)
    # Names stand whole, one a line.
    assert all(any(line.startswith(f"{name} ") for line in text.splitlines()) for name in NAMES)


def test_what_does_not_fit_is_seen_at_once():
    lines = shown([plan("unet-150", 20, named(find_gpu("t4")))], 100).splitlines()
    (row,) = [line for line in lines if line.startswith("unet-150") and "16 (8)" in line]
    assert "▶" in row
    assert " no " in row


def test_plans_with_equal_offers_go_together():
    device = named(find_gpu("t4"))
    text = shown([plan(name, 8, device) for name in NAMES], 100)
    assert "unet-150 and 2 alike" in text
    assert text.count("train.precision=fp16") == 1


def test_a_device_of_unknown_speed_shows_no_times():
    text = shown([plan("unet-150", 8, of_size(16 * 10**9))], 100)
    assert "GPU with 16.0 GB" in text
    assert " min" not in text


def test_what_was_switched_on_is_said():
    device = named(find_gpu("t4"))
    lever = Lever(change="train.precision=fp16", price="rounds more")
    taken = [option("unet-150", 20), option("unet-150", 10, lever, precision="fp16")]
    assert "unet-150: switched on to fit: train.precision=fp16" in shown([plan("unet-150", 10, device, taken)], 100)
