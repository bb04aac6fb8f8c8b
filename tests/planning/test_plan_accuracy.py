"""Footprints against what real steps allocate, for every registered model and many settings."""

from typing import Any

import pytest
import torch
from small_recipes import recipe

from segfit.models import MODELS
from segfit.planning.footprint import Memory, footprint
from segfit.planning.measure import measured_training, measured_validation

CPU = torch.device("cpu")

TINY: dict[str, list[dict[str, Any]]] = {
    "unet": [{"width": 8, "depth": 1}],
    "attention_unet": [{"width": 8, "depth": 2, "variant": variant} for variant in ("monai", "oktay")],
    "deeplabv3": [{"backbone": "mobilenet_v2"}],
}
"""Options that keep the tests fast; a model that is not listed is tested with its defaults."""

MODELS_AND_OPTIONS = [{"name": name, **options} for name in MODELS.names() for options in TINY.get(name, [{}])]

SETTINGS: list[dict[str, Any]] = [
    {"classes": 150},
    {"channels_last": False, "accumulate": 2, "optim": {"name": "sgd"}},
    {"size": (33, 47), "batch": 1, "optim": {"name": "adam", "fused": False, "clip_norm": 1.0}},
    {"checkpointing": "norms"},
    {"checkpointing": "blocks", "channels_last": False},
]


def beyond_the_model(memory: Memory) -> int:
    return memory.activations + memory.temporaries


@pytest.mark.parametrize("model", MODELS_AND_OPTIONS, ids=lambda model: "-".join(map(str, model.values())))
def test_every_model_takes_what_was_predicted(model):
    planned = footprint(recipe(model), 10, device="cpu", validation_size=(80, 110))
    assert planned.training.total == pytest.approx(measured_training(recipe(model), 10, CPU), rel=0.05)
    validation = measured_validation(recipe(model), 10, (80, 110), CPU)
    assert beyond_the_model(planned.validation) == pytest.approx(validation, rel=0.05)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: "-".join(map(str, settings)))
def test_whatever_the_settings(settings):
    settings = dict(settings)
    classes = settings.pop("classes", 10)
    planned = footprint(recipe(**settings), classes, device="cpu").training
    assert planned.total == pytest.approx(measured_training(recipe(**settings), classes, CPU), rel=0.05)


@pytest.mark.parametrize(
    "evaluate",
    [
        {"window": "sliding"},
        {"scales": (0.5, 1.0, 1.75), "flip": True},
        pytest.param(
            {"scales": (1.0, 1.5), "flip": True, "window": "sliding", "weighting": "gaussian"}, marks=pytest.mark.slow
        ),
    ],
    ids=["sliding", "scales", "both"],
)
def test_validation_takes_what_was_predicted(evaluate):
    changed = recipe().model_copy(update={"evaluate": recipe().evaluate.model_copy(update=evaluate)})
    planned = footprint(changed, 20, device="cpu", validation_size=(90, 200)).validation
    assert beyond_the_model(planned) == pytest.approx(measured_validation(changed, 20, (90, 200), CPU), rel=0.05)
