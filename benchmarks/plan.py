"""Plans beside measurements: predicted and measured peak memory of training and validation, for every registered model.

    python benchmarks/plan.py                          # small widths on the CPU, a few minutes
    python benchmarks/plan.py --device cuda --full     # usual widths and 512 x 512 on a GPU

On a CPU every allocation of torch is counted, on a GPU the peak of its caching allocator, with what cuDNN's workspaces
take of it. Exits with 1 if a prediction is more than 5 % off.
"""

import argparse
import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import torch

from segfit.config import Recipe, build_recipe
from segfit.models import MODELS
from segfit.planning.footprint import footprint
from segfit.planning.measure import measured_training, measured_validation

SMALL: dict[str, list[dict[str, Any]]] = {
    "unet": [{"width": 8}, {"width": 8, "bilinear": True}],
    "attention_unet": [{"width": 8, "variant": "monai"}, {"width": 8, "variant": "oktay"}],
    "deeplabv3": [{"backbone": "mobilenet_v2"}, {"backbone": "resnet50"}],
}
"""Options of each model; one that is not listed is measured with its defaults."""

FULL = {name: [{k: v for k, v in o.items() if k != "width"} for o in options] for name, options in SMALL.items()}

BASE: dict[str, Any] = {"classes": 10, "size": 64, "batch": 4}

VARIATIONS: list[dict[str, Any]] = [
    {},
    {"classes": 150},
    {"size": 96, "batch": 1},
    {"accumulate": 2},
    {"optim": "sgd"},
    {"channels_last": False},
    {"checkpointing": "norms"},
    {"checkpointing": "blocks"},
    {"checkpointing": "blocks", "channels_last": False, "classes": 150, "accumulate": 2},
]
"""What is changed, one case after the other."""

GOAL = 0.05
"""Largest relative error."""


def main() -> int:
    """Measure, print a table, and compare it with the goal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--full", action="store_true", help="usual widths, 512 x 512 pixels")
    parser.add_argument("--models", nargs="*", help="only these")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16", "fp16"])
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    rows = []
    for name, settings in _cases(arguments.models, full=arguments.full):
        row = _measure(name, {"precision": arguments.precision, **settings}, device)
        rows.append(row)
        if not arguments.json:
            print(_line(row), flush=True)
    worst = max(abs(ratio - 1) for row in rows for ratio in (row["training_ratio"], row["validation_ratio"]))
    if arguments.json:
        print(json.dumps(rows, indent=2))
    else:
        print(f"largest error: {100 * worst:.1f} % of {len(rows)} cases (goal: {100 * GOAL:.0f} %)")
    return int(worst > GOAL)


def _cases(models: list[str] | None, *, full: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    base = {**BASE, "size": 512} if full else BASE
    for name in models or MODELS.names():
        options = (FULL if full else SMALL).get(name, [{}])
        for model, variation in itertools.product(options, VARIATIONS):
            # On a GPU small images are left to the small run.
            change = {k: v for k, v in variation.items() if not (full and k == "size")}
            yield name, {**base, "model": model, **change}


def _recipe(name: str, settings: dict[str, Any], device: torch.device) -> Recipe:
    keys = ("batch", "accumulate", "channels_last", "checkpointing", "precision")
    parts = settings.get("accumulate", 1)
    return build_recipe(
        {
            "model": {"name": name, **settings["model"]},
            "augment": {"size": [settings["size"], settings["size"]]},
            "optim": {"name": settings.get("optim", "adamw")},
            "evaluate": {"resize": "squash", "batch": settings["batch"] // parts},
            "train": {"device": device.type, **{key: settings[key] for key in keys if key in settings}},
        }
    )


def _measure(name: str, settings: dict[str, Any], device: torch.device) -> dict[str, Any]:
    recipe, classes = _recipe(name, settings, device), settings["classes"]
    original = (settings["size"] * 3 // 2, settings["size"] * 2)
    began = time.process_time()
    planned = footprint(recipe, classes, device=device.type, validation_size=original)  # type: ignore[arg-type]
    seconds = time.process_time() - began
    training = measured_training(recipe, classes, device)
    validation = measured_validation(recipe, classes, original, device)
    scored = planned.validation.activations + planned.validation.temporaries
    return {
        "model": name,
        "settings": settings,
        "training": planned.training.total,
        "training_measured": training,
        "training_ratio": planned.training.total / training,
        "validation": scored,
        "validation_measured": validation,
        "validation_ratio": scored / validation,
        "seconds": seconds,
    }


def _line(row: dict[str, Any]) -> str:
    settings = {key: value for key, value in row["settings"].items() if key != "model"}
    what = " ".join(map(str, [row["model"], *row["settings"]["model"].values()]))
    how = " ".join(f"{key}={value}" for key, value in settings.items())
    numbers = (
        f"{row[part] / 1e6:9.1f} MB planned {row[f'{part}_measured'] / 1e6:9.1f} measured {row[f'{part}_ratio']:.3f}"
        for part in ("training", "validation")
    )
    return f"{what:30} training {' | validation '.join(numbers)} | {row['seconds']:.1f} s to plan | {how}"


if __name__ == "__main__":
    raise SystemExit(main())
