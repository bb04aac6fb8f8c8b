"""Sums of losses: the same as their parts, one by one."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_losses import example
from torch import Tensor, nn

from segfit.config import Hardware, Recipe, build_recipe, resolve
from segfit.errors import RecipeError
from segfit.labels import IGNORE
from segfit.losses import LOSSES
from segfit.losses.combined import LossSum
from segfit.losses.strip_loss import StripLoss
from segfit.models import FeatureOutput, Output, ScoreOutput
from segfit.parts import REGISTRIES

WEIGHTS = (0.5, 2.0, 1.25, 3.0)
CE: dict[str, Any] = {"name": "cross_entropy", "weight": 0.7, "label_smoothing": 0.1}
FOCAL: dict[str, Any] = {"name": "focal", "gamma": 1.0, "class_weights": WEIGHTS}
DICE: dict[str, Any] = {"name": "dice", "weight": 2.5, "per_image": True}
JACCARD: dict[str, Any] = {"name": "jaccard", "squared": True}
LOVASZ: dict[str, Any] = {"name": "lovasz", "weight": 0.3}
OHEM: dict[str, Any] = {"name": "cross_entropy", "ohem": 0.4}
NESTED: dict[str, Any] = {"name": "sum", "weight": 2, "parts": [CE, LOVASZ]}
SUMS = [[CE], [CE, DICE], [DICE, CE], [FOCAL, DICE, JACCARD], [LOVASZ, CE, OHEM, DICE], [LOVASZ], [NESTED, FOCAL]]


def sum_of(parts: list[dict[str, Any]]) -> LossSum:
    loss = LOSSES.build("sum", 4, parts=parts)
    assert isinstance(loss, LossSum)
    return loss


def alone(part: dict[str, Any], output: Output, target: Tensor) -> tuple[float, Tensor]:
    options = dict(part)
    factor = options.pop("weight", 1)
    return factor, LOSSES.build(options.pop("name"), 4, **options)(output, target)["loss"]


def outputs() -> list[Output]:
    scores, _ = example(0, (4, 5))
    return [ScoreOutput(scores.requires_grad_()), FeatureOutput(scores, nn.Conv2d(4, 4, 1).double())]


@pytest.mark.parametrize("parts", SUMS)
@pytest.mark.parametrize("output", outputs(), ids=["scores", "features"])
def test_is_the_sum_of_its_parts(parts: list[dict[str, Any]], output: Output) -> None:
    _, target = example(1, target_size=(9, 7))
    found = sum_of(parts)(output, target)
    tensors = [output.native, *output.parameters]
    values = [alone(part, output, target) for part in parts]
    expected = sum(factor * value for factor, value in values)
    torch.testing.assert_close(found["loss"], expected, rtol=1e-6, atol=1e-7)
    for gradient, wanted in zip(
        torch.autograd.grad(found["loss"], tensors), torch.autograd.grad(expected, tensors), strict=True
    ):
        torch.testing.assert_close(gradient, wanted, rtol=1e-6, atol=1e-9)
    assert len(found) == 1 + len(parts)
    for (_, value), (name, own) in zip(values, list(found.items())[1:], strict=True):
        assert name.startswith(("cross_entropy", "focal", "dice", "jaccard", "lovasz", "sum"))
        assert not own.requires_grad
        torch.testing.assert_close(own, value.detach(), rtol=1e-6, atol=1e-7)


def test_parts_are_named_and_numbered_where_a_name_comes_twice() -> None:
    scores, target = example(2)
    found = sum_of([FOCAL, DICE, {"name": "focal", "gamma": 4}])(ScoreOutput(scores), target)
    assert list(found) == ["loss", "focal", "dice", "focal_2"]
    assert found["focal_2"] < found["focal"]


def test_parts_that_go_strip_by_strip_share_the_strips() -> None:
    # One strip is made to look at, and one to be measured, by however many parts.
    class Counting(ScoreOutput):
        made = 0

        def classify(self, native: Tensor, *parameters: Tensor) -> Tensor:
            Counting.made += 1
            return super().classify(native, *parameters)

    scores, target = example(3)
    parts = [FOCAL, DICE, JACCARD]
    assert all(isinstance(LOSSES.build(part["name"], 4), StripLoss) for part in parts)
    sum_of(parts)(Counting(scores.requires_grad_()), target)["loss"].backward()
    assert Counting.made == 2


@pytest.mark.parametrize("parts", SUMS)
def test_weighs_as_its_first_part(parts: list[dict[str, Any]]) -> None:
    _, target = example(4)
    options = {key: value for key, value in parts[0].items() if key not in {"name", "weight"}}
    assert sum_of(parts).weight(target) == LOSSES.build(parts[0]["name"], 4, **options).weight(target)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    cut=st.integers(1, 3),
    parts=st.sampled_from([[CE, {"name": "focal"}], [FOCAL], [DICE, {"name": "lovasz", "per_image": True}]]),
)
def test_parts_that_count_alike_combine_to_the_whole(seed: int, cut: int, parts: list[dict[str, Any]]) -> None:
    scores, target = example(seed, batch=4)
    target[0] = IGNORE
    loss = sum_of(parts)
    whole = loss(ScoreOutput(scores.requires_grad_()), target)["loss"]
    rows = (slice(None, cut), slice(cut, None))
    means = [loss(ScoreOutput(scores[part]), target[part])["loss"] for part in rows]
    combined = sum(loss.weight(target[part]) * mean for part, mean in zip(rows, means, strict=True))
    combined = combined / loss.weight(target)
    torch.testing.assert_close(combined.float(), whole, rtol=1e-5, atol=1e-6)
    (gradient,), (expected,) = torch.autograd.grad(combined, scores), torch.autograd.grad(whole, scores)
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-9)


def test_by_default_cross_entropy_and_dice() -> None:
    scores, target = example(5)
    found = LOSSES.build("sum", 4)(ScoreOutput(scores), target)
    assert found["loss"] == pytest.approx((found["cross_entropy"] + found["dice"]).item())


def test_weights_of_classes_move_with_the_sum() -> None:
    assert len(list(sum_of([FOCAL, DICE]).buffers())) == 2


def test_a_recipe_says_every_option_of_every_part() -> None:
    hardware = Hardware(precisions={"cpu": ["fp32"]}, cores=1, cache=Path("/cache"))
    recipe = build_recipe({"loss": {"name": "sum"}}, ["loss.parts=[{name: focal}, {name: dice, weight: 3e-1}]"])
    once = resolve(recipe, REGISTRIES, hardware)
    stored = once.loss.model_dump()["parts"]
    assert stored[0] == {"name": "focal", "weight": 1.0, "gamma": 2.0, "class_weights": None}
    assert (stored[1]["weight"], stored[1]["present"]) == (0.3, True)
    again = resolve(Recipe.model_validate_json(once.model_dump_json()), REGISTRIES, hardware)
    assert again.model_dump(mode="json") == once.model_dump(mode="json")
    assert isinstance(LOSSES.build(again.loss.name, 4, **again.loss.options), LossSum)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "should have at least 1 item"),
        ([{"name": "dcie"}], "no loss is called 'dcie' (did you mean 'dice'?)"),
        ([{"name": "dice", "smoth": 1}], "loss 'dice' has no such option (did you mean 'smooth'?)"),
        ([{"name": "dice", "smooth": "much"}], "loss.smooth: 'much': Input should be a valid number"),
        ([{"name": "dice", "weight": 0}], "weight of dice: 0: Input should be greater than 0"),
        ([{"name": "dice", "weight": "inf"}], "weight of dice: 'inf': Input should be a finite number"),
        ([{"weight": 1}], "a part needs the name of a loss, like {name: dice, weight: 0.5}"),
        (["dice"], "Input should be a valid dictionary"),
        ([{"name": "sum", "parts": [{"name": "focl"}]}], "no loss is called 'focl' (did you mean 'focal'?)"),
        ([{"name": "dice", "class_weights": [1.0]}], "loss.class_weights: 1 weights for 4 classes"),
    ],
)
def test_bad_parts_are_named(parts: Any, message: str) -> None:
    with pytest.raises(RecipeError) as error:
        LOSSES.build("sum", 4, parts=parts)
    assert message in str(error.value)
    assert str(error.value).startswith("loss.")
    assert "\n" not in str(error.value)
