"""Cross-entropy against its definition, and the means of parts against the mean of the whole."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from segfit.errors import RecipeError
from segfit.labels import IGNORE
from segfit.losses import LOSSES
from segfit.losses.cross_entropy import CrossEntropy
from segfit.models import ScoreOutput

WEIGHTS = (0.5, 2.0, 1.25)
OPTIONS: list[dict[str, Any]] = [
    {},
    {"label_smoothing": 0.1},
    {"class_weights": WEIGHTS},
    {"class_weights": WEIGHTS, "label_smoothing": 0.3},
]


def example(seed: int, batch: int = 4, ignored: float = 0.4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(batch, 3, 4, 5, generator=generator) * 3
    target = torch.randint(0, 3, (batch, 4, 5), generator=generator)
    target[torch.rand(target.shape, generator=generator) < ignored] = IGNORE
    return scores, target


def brute_force(scores: Tensor, target: Tensor, label_smoothing: float = 0.0, class_weights: Any = None) -> float:
    """Return the weighted mean over the valid pixels, one pixel and one class at a time, in float64."""
    weights = class_weights or (1.0,) * scores.shape[1]
    total = count = 0.0
    for b, y, x in (target != IGNORE).nonzero().tolist():
        values = scores[b, :, y, x].double().tolist()
        log_sum = math.log(sum(math.exp(value) for value in values))
        label = int(target[b, y, x])
        for k, value in enumerate(values):
            share = label_smoothing / len(values) + (1 - label_smoothing) * (k == label)
            total += weights[k] * share * (log_sum - value)
        count += weights[label]
    return total / count


@pytest.mark.parametrize("options", OPTIONS)
def test_equals_the_definition(options: dict[str, Any]) -> None:
    scores, target = example(0)
    loss = LOSSES.build("cross_entropy", 3, **options)(ScoreOutput(scores), target)["loss"]
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(brute_force(scores, target, **options), rel=1e-6)


def test_scores_are_enlarged_to_the_target() -> None:
    scores, _ = example(1)
    target = torch.randint(0, 3, (4, 9, 8))
    large = torch.nn.functional.interpolate(scores, size=(9, 8), mode="bilinear", align_corners=False)
    loss = CrossEntropy(3)(ScoreOutput(scores), target)["loss"]
    assert loss.item() == pytest.approx(brute_force(large, target), rel=1e-6)


def test_half_precision_scores_are_summed_in_float32() -> None:
    scores, target = example(2)
    loss = CrossEntropy(3)(ScoreOutput(scores.bfloat16()), target)["loss"]
    assert loss.item() == pytest.approx(brute_force(scores.bfloat16(), target), rel=1e-6)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**31),
    options=st.sampled_from(OPTIONS),
    cut=st.integers(1, 3),
    ignored=st.sampled_from([0.0, 0.5, 0.95, 1.0]),
)
def test_parts_combine_to_the_whole(seed: int, options: dict[str, Any], cut: int, ignored: float) -> None:
    scores, target = example(seed, ignored=ignored)
    target[0] = IGNORE  # a part may hold no valid pixel at all
    scores.requires_grad_()
    loss = CrossEntropy(3, **options)
    whole = loss(ScoreOutput(scores), target)["loss"]
    (expected,) = torch.autograd.grad(whole, scores)
    weights = [loss.weight(part) for part in (target[:cut], target[cut:])]
    assert all(weight.dtype == torch.float64 and weight.ndim == 0 for weight in weights)
    total = sum(weights)
    assert total == loss.weight(target)
    if total == 0:
        assert whole == 0
        return
    means = [loss(ScoreOutput(scores[rows]), target[rows])["loss"] for rows in (slice(None, cut), slice(cut, None))]
    combined = sum(weight * mean for weight, mean in zip(weights, means, strict=True)) / total
    torch.testing.assert_close(combined.float(), whole, rtol=1e-5, atol=1e-6)
    (gradient,) = torch.autograd.grad(combined, scores)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-7)


def test_weight_counts_valid_pixels_or_their_class_weights() -> None:
    target = torch.tensor([[[0, 1, 1, 2, IGNORE, IGNORE]]])
    assert CrossEntropy(3).weight(target) == 4
    assert CrossEntropy(3, class_weights=WEIGHTS).weight(target) == 0.5 + 2 * 2.0 + 1.25


@pytest.mark.parametrize("options", OPTIONS)
def test_all_ignored_is_zero_with_zero_gradient(options: dict[str, Any]) -> None:
    scores, target = example(3)
    scores.requires_grad_()
    loss = CrossEntropy(3, **options)
    target[:] = IGNORE
    value = loss(ScoreOutput(scores), target)["loss"]
    value.backward()
    assert value == 0
    assert loss.weight(target) == 0
    assert scores.grad is not None
    assert not scores.grad.any()


@pytest.mark.parametrize("options", OPTIONS)
def test_gradient(options: dict[str, Any]) -> None:
    # By hand: (sum of the weighted target shares) * softmax - weighted target shares, over the mean's weight.
    scores, target = example(4)
    scores.requires_grad_()
    CrossEntropy(3, **options)(ScoreOutput(scores), target)["loss"].backward()
    weights = torch.tensor(options.get("class_weights", (1.0, 1.0, 1.0)), dtype=torch.float64)
    smoothing = options.get("label_smoothing", 0.0)
    valid = target != IGNORE
    label = target.where(valid, 0)
    shares = torch.eye(3, dtype=torch.float64)[label] * (1 - smoothing) + smoothing / 3
    shares = (shares * weights * valid[..., None]).movedim(-1, 1)
    expected = shares.sum(1, keepdim=True) * scores.double().softmax(1) - shares
    expected /= weights[label][valid].sum()
    torch.testing.assert_close(scores.grad.double(), expected, rtol=1e-5, atol=1e-7)
    assert not scores.grad.movedim(1, -1)[~valid].any()


def test_is_deterministic_and_has_no_state() -> None:
    loss = CrossEntropy(3, class_weights=WEIGHTS)
    assert loss.state_dict() == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_weights": (1.0, 2.0)}, "loss.class_weights: 2 weights for 3 classes: give one per class"),
        ({"class_weights": (1.0, 0.0, 1.0)}, "loss.class_weights: 0.0 for class 1 is not a positive number"),
        ({"class_weights": (1.0, 1.0, math.nan)}, "loss.class_weights: nan for class 2 is not a positive number"),
        ({"label_smoothing": 1.0}, "loss.label_smoothing: 1.0 is out of range"),
        ({"label_smoothing": -0.1}, "loss.label_smoothing: -0.1 is out of range"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as error:
        LOSSES.build("cross_entropy", 3, **options)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
