"""Focal loss against its definition and against cross-entropy."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_losses import example, focal

from segfit.errors import RecipeError
from segfit.labels import IGNORE
from segfit.losses import LOSSES
from segfit.losses.cross_entropy import CrossEntropy
from segfit.losses.focal import Focal
from segfit.models import ScoreOutput

WEIGHTS = (0.5, 2.0, 1.25, 3.0)
OPTIONS: list[dict[str, Any]] = [
    {},
    {"gamma": 0.0},
    {"gamma": 0.5},
    {"gamma": 1.0},
    {"gamma": 5.0},
    {"class_weights": WEIGHTS},
    {"gamma": 1.5, "class_weights": WEIGHTS},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_equals_the_definition(options: dict[str, Any]) -> None:
    scores, target = example(0, (4, 5), target_size=(9, 7))
    exact = ScoreOutput(scores.requires_grad_())
    expected = focal(exact.dense((9, 7)), target, **options)
    output = ScoreOutput(scores.detach().float().requires_grad_())
    loss = LOSSES.build("focal", 4, **options)(output, target)["loss"]
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-6)
    (gradient,), (wanted,) = torch.autograd.grad(loss, output.native), torch.autograd.grad(expected, exact.native)
    torch.testing.assert_close(gradient.double(), wanted, rtol=2e-4, atol=1e-6)


def test_by_hand() -> None:
    scores = torch.tensor([3.0, 1.0]).log().view(1, 2, 1, 1)
    loss = Focal(2, gamma=2)(ScoreOutput(scores), torch.tensor([[[0]]]))["loss"]
    assert loss == pytest.approx(-(0.25**2) * math.log(0.75))


@pytest.mark.parametrize("class_weights", [None, WEIGHTS])
def test_without_focus_it_is_cross_entropy(class_weights: Any) -> None:
    scores, target = example(1)
    scores.requires_grad_()
    values = [
        loss(ScoreOutput(scores), target)["loss"]
        for loss in (Focal(4, gamma=0.0, class_weights=class_weights), CrossEntropy(4, class_weights=class_weights))
    ]
    torch.testing.assert_close(values[0], values[1])
    first, second = (torch.autograd.grad(value, scores)[0] for value in values)
    torch.testing.assert_close(first, second, rtol=1e-9, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), gamma=st.floats(0, 6), more=st.floats(0.1, 3))
def test_more_focus_is_less_loss(seed: int, gamma: float, more: float) -> None:
    scores, target = example(seed)
    less, much = (Focal(4, gamma=g)(ScoreOutput(scores), target)["loss"] for g in (gamma + more, gamma))
    assert less <= much


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.0])
def test_sure_pixels_have_finite_gradients(gamma: float) -> None:
    # 1 - p is exactly 0 at the first pixel, and p at the second.
    scores = torch.tensor([[200.0, -200.0], [-200.0, 200.0]]).view(1, 2, 1, 2).requires_grad_()
    loss = Focal(2, gamma=gamma)(ScoreOutput(scores), torch.tensor([[[0, 0]]]))["loss"]
    loss.backward()
    assert loss.item() == pytest.approx(200)
    assert scores.grad is not None
    assert scores.grad.flatten().tolist() == pytest.approx([0, -0.5, 0, 0.5], abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), cut=st.integers(1, 3), options=st.sampled_from(OPTIONS))
def test_parts_combine_to_the_whole(seed: int, cut: int, options: dict[str, Any]) -> None:
    scores, target = example(seed, batch=4)
    target[0] = IGNORE
    scores.requires_grad_()
    loss = Focal(4, **options)
    whole = loss(ScoreOutput(scores), target)["loss"]
    parts = (slice(None, cut), slice(cut, None))
    weights = [loss.weight(target[part]) for part in parts]
    means = [loss(ScoreOutput(scores[part]), target[part])["loss"] for part in parts]
    combined = sum(weight * mean for weight, mean in zip(weights, means, strict=True)) / loss.weight(target)
    torch.testing.assert_close(combined.float(), whole, rtol=1e-5, atol=1e-6)
    (gradient,), (expected,) = torch.autograd.grad(combined, scores), torch.autograd.grad(whole, scores)
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": -0.5}, "loss.gamma: -0.5 is out of range: use at least 0"),
        ({"gamma": math.nan}, "loss.gamma: nan is out of range"),
        ({"class_weights": (1.0,)}, "loss.class_weights: 1 weights for 4 classes: give one per class"),
        ({"class_weights": (1.0, math.inf, 1.0, 1.0)}, "loss.class_weights: inf for class 1 is not a positive number"),
        ({"gama": 1.0}, "loss.gama: loss 'focal' has no such option (did you mean 'gamma'?)"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as error:
        LOSSES.build("focal", 4, **options)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
