"""Validation is planned from the first and the last image of a batch; the plan is that of all of them."""

from contextlib import nullcontext

import pytest
from small_recipes import UNET, recipe

from segfit.evaluation import segment
from segfit.planning import footprint as module
from segfit.planning.footprint import footprint

DEEPLAB = {"name": "deeplabv3", "backbone": "mobilenet_v2"}


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("model", [UNET, DEEPLAB], ids=["unet", "deeplabv3"])
@pytest.mark.parametrize("original", [None, (200, 150)], ids=["training size", "larger"])
def test_validation_takes_what_it_takes_with_every_image(monkeypatch, model, device, original):
    planned = recipe(model)
    planned = planned.model_copy(update={"evaluate": planned.evaluate.model_copy(update={"batch": 6})})
    few = footprint(planned, 10, device=device, validation_size=original)
    monkeypatch.setattr(module, "few_images", lambda count: nullcontext())
    assert few == footprint(planned, 10, device=device, validation_size=original)


def test_images_in_between_are_not_traced(monkeypatch):
    seen = []
    real = segment.image_map
    monkeypatch.setattr(segment, "image_map", lambda *args, **more: seen.append(args[2]) or real(*args, **more))
    before = segment.image_map
    planned = recipe()
    footprint(planned.model_copy(update={"evaluate": planned.evaluate.model_copy(update={"batch": 5})}), 10)
    assert len(seen) == 2
    assert segment.image_map is before
