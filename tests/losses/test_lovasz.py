"""Lovász-softmax against the paper's algorithm, and what the paper proves of it."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_losses import example, lovasz, one_hot
from torch import nn

from segfit.errors import RecipeError
from segfit.labels import IGNORE
from segfit.losses import LOSSES
from segfit.losses.lovasz import LovaszSoftmax
from segfit.models import FeatureOutput, ScoreOutput

WEIGHTS = (0.5, 2.0, 1.25, 3.0)
OPTIONS: list[dict[str, Any]] = [
    {},
    {"per_image": True},
    {"class_weights": WEIGHTS},
    {"per_image": True, "class_weights": WEIGHTS},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("sharpness", [0.1, 1.0, 4.0])
def test_equals_the_algorithm(options: dict[str, Any], sharpness: float) -> None:
    scores, target = example(0, (4, 5), target_size=(9, 7))
    target[1] = IGNORE
    exact = ScoreOutput((sharpness * scores).requires_grad_())
    expected = lovasz(exact.dense((9, 7)), target, **options)
    output = ScoreOutput(exact.native.detach().float().requires_grad_())
    loss = LOSSES.build("lovasz", 4, **options)(output, target)["loss"]
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-6)
    (gradient,), (wanted,) = torch.autograd.grad(loss, output.native), torch.autograd.grad(expected, exact.native)
    torch.testing.assert_close(gradient.double(), wanted, rtol=2e-4, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    options=st.sampled_from(OPTIONS),
    classes=st.sampled_from([2, 4, 6]),
    ignored=st.sampled_from([0.0, 0.5, 0.95]),
    right=st.floats(-3, 9),
)
def test_equals_the_algorithm_however_good_the_scores_are(
    seed: int, options: dict[str, Any], classes: int, ignored: float, right: float
) -> None:
    # What need not be sorted depends on it.
    scores, target = example(seed, (6, 5), classes=classes, ignored=ignored)
    target[0, 0, 0] = 0
    scores += right * one_hot(target, classes)[0]
    options = {**options, **({"class_weights": (WEIGHTS * 2)[:classes]} if "class_weights" in options else {})}
    scores.requires_grad_()
    expected = lovasz(scores, target, **options)
    loss = LovaszSoftmax(classes, **options)(ScoreOutput(scores), target)["loss"]
    torch.testing.assert_close(loss, expected.float(), rtol=1e-6, atol=1e-7)
    (gradient,), (wanted,) = torch.autograd.grad(loss, scores), torch.autograd.grad(expected, scores)
    torch.testing.assert_close(gradient, wanted, rtol=1e-6, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), share=st.floats(0, 1))
def test_of_hard_decisions_it_is_one_minus_the_jaccard_index(seed: int, share: float) -> None:
    _, target = example(seed)
    generator = torch.Generator().manual_seed(seed)
    decided = torch.where(
        torch.rand(target.shape, generator=generator) < share,
        torch.randint(0, 4, target.shape, generator=generator),
        target.where(target != IGNORE, 0),
    )
    loss = LovaszSoftmax(4)(ScoreOutput(500 * one_hot(decided, 4)[0].float()), target)["loss"]
    valid, scores = target != IGNORE, []
    for k in target[valid].unique().tolist():
        truth, found = (target == k) & valid, (decided == k) & valid
        scores.append((truth & found).sum().item() / (truth | found).sum().item())
    assert loss == pytest.approx(1 - sum(scores) / len(scores), abs=1e-6)


def test_equal_errors_are_one_step() -> None:
    # All scores are equal: any order of the errors gives the same loss.
    target = torch.tensor([[[0, 0, 1, 1, 1, IGNORE]]])
    loss = LovaszSoftmax(2)(ScoreOutput(torch.zeros(1, 2, 1, 6)), target)["loss"]
    assert loss == pytest.approx(0.5)


def test_large_regions_keep_their_digits() -> None:
    # Neighbouring Jaccard losses differ by a millionth here; float32 would leave one digit of such a difference.
    torch.manual_seed(0)
    scores, target = torch.randn(1, 2, 300, 300), torch.randint(0, 2, (1, 300, 300))
    ours, exact = scores.clone().requires_grad_(), scores.double().requires_grad_()
    expected = lovasz(exact, target)
    loss = LovaszSoftmax(2)(ScoreOutput(ours), target)["loss"]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    (gradient,), (wanted,) = torch.autograd.grad(loss, ours), torch.autograd.grad(expected, exact)
    # Pixels whose errors float32 cannot tell apart may change places.
    assert (gradient - wanted).norm() / wanted.norm() < 1e-5


@pytest.mark.parametrize("bias", [False, True])
def test_classifier_is_learnt_class_by_class(bias: bool) -> None:
    torch.manual_seed(0)
    features, target = torch.randn(2, 5, 6, 7, dtype=torch.float64), example(1, (6, 7), batch=2)[1]
    classifier = nn.Conv2d(5, 4, 1, bias=bias).double()
    output = FeatureOutput(features.requires_grad_(), classifier)
    tensors = [features, *classifier.parameters()]
    loss = LovaszSoftmax(4)(output, target)["loss"]
    expected = lovasz(classifier(features), target)
    for found, wanted in zip(torch.autograd.grad(loss, tensors), torch.autograd.grad(expected, tensors), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), cut=st.integers(1, 3))
def test_images_scored_one_by_one_combine_to_the_whole(seed: int, cut: int) -> None:
    scores, target = example(seed, batch=4)
    target[0] = IGNORE
    scores.requires_grad_()
    loss = LovaszSoftmax(4, per_image=True)
    whole = loss(ScoreOutput(scores), target)["loss"]
    parts = (slice(None, cut), slice(cut, None))
    weights = [loss.weight(target[part]) for part in parts]
    assert sum(weights) == loss.weight(target) == 3
    means = [loss(ScoreOutput(scores[part]), target[part])["loss"] for part in parts]
    combined = sum(weight * mean for weight, mean in zip(weights, means, strict=True)) / sum(weights)
    torch.testing.assert_close(combined.float(), whole, rtol=1e-5, atol=1e-6)
    (gradient,), (expected,) = torch.autograd.grad(combined, scores), torch.autograd.grad(whole, scores)
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-9)


def test_a_batch_weighs_as_many_as_its_valid_pixels() -> None:
    _, target = example(3)
    assert LovaszSoftmax(4).weight(target) == (target != IGNORE).sum()


def test_bad_options_are_named() -> None:
    with pytest.raises(RecipeError, match=r"loss.class_weights: 2 weights for 4 classes: give one per class"):
        LOSSES.build("lovasz", 4, class_weights=(1.0, 2.0))
    with pytest.raises(RecipeError, match=r"loss.perimage: loss 'lovasz' has no such option .*'per_image'"):
        LOSSES.build("lovasz", 4, perimage=True)
