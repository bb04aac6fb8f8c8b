"""Soft Dice and Jaccard against their formulae, MONAI, and by hand."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.losses import DiceLoss
from plain_losses import PLAIN, dice, example

from segfit.errors import RecipeError
from segfit.labels import IGNORE
from segfit.losses import LOSSES
from segfit.losses.dice import Dice
from segfit.models import ScoreOutput

WEIGHTS = (0.5, 2.0, 1.25, 3.0)
OPTIONS: list[dict[str, Any]] = [
    {},
    {"per_image": True},
    {"smooth": 1.0},
    {"squared": True},
    {"present": False},
    {"class_weights": WEIGHTS},
    {"per_image": True, "smooth": 0.5, "squared": True, "present": False, "class_weights": WEIGHTS},
]

both = pytest.mark.parametrize("name", ["dice", "jaccard"])


@both
@pytest.mark.parametrize("options", OPTIONS)
def test_equals_the_formula(name: str, options: dict[str, Any]) -> None:
    scores, target = example(0, (4, 5), target_size=(9, 7))
    target[1] = IGNORE
    exact = ScoreOutput(scores.requires_grad_())
    expected = PLAIN[name](exact.dense((9, 7)), target, **options)
    output = ScoreOutput(scores.detach().float().requires_grad_())
    loss = LOSSES.build(name, 4, **options)(output, target)["loss"]
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-6)
    (gradient,), (wanted,) = torch.autograd.grad(loss, output.native), torch.autograd.grad(expected, exact.native)
    torch.testing.assert_close(gradient.double(), wanted, rtol=2e-4, atol=1e-7)


@pytest.mark.filterwarnings("ignore")  # of what MONAI imports
@both
@pytest.mark.parametrize("per_image", [False, True])
@pytest.mark.parametrize("squared", [False, True])
def test_equals_monai(name: str, per_image: bool, squared: bool) -> None:
    scores, target = example(1)
    # MONAI counts the Jaccard score's parts twice, and with them what smooths it.
    smooth, jaccard = 0.5, name == "jaccard"
    peer = DiceLoss(
        softmax=True,
        to_onehot_y=True,
        batch=not per_image,
        squared_pred=squared,
        jaccard=jaccard,
        smooth_nr=smooth * (1 + jaccard),
        smooth_dr=smooth * (1 + jaccard),
        ignore_index=IGNORE,
    )
    theirs = scores.clone().requires_grad_()
    expected = peer(theirs, target[:, None])
    ours = scores.clone().requires_grad_()
    loss = LOSSES.build(name, 4, per_image=per_image, squared=squared, smooth=smooth, present=False)
    value = loss(ScoreOutput(ours), target)["loss"]
    torch.testing.assert_close(value, expected.float())
    (gradient,), (wanted,) = torch.autograd.grad(value, ours), torch.autograd.grad(expected, theirs)
    torch.testing.assert_close(gradient, wanted, rtol=1e-5, atol=1e-7)


def test_by_hand() -> None:
    # Class 0 has probability 3/4 at its only valid pixel and 1/4 at the one of class 1; the third pixel is ignored.
    scores = torch.tensor([[3.0, 1.0, 7.0], [1.0, 3.0, 5.0]]).log().view(1, 2, 1, 3)
    target = torch.tensor([[[0, 1, IGNORE]]])
    assert LOSSES.build("dice", 2)(ScoreOutput(scores), target)["loss"] == pytest.approx(1 - 2 * 0.75 / 2)
    assert LOSSES.build("jaccard", 2)(ScoreOutput(scores), target)["loss"] == pytest.approx(1 - 0.75 / 1.25)
    # Only class 0 is there: its probabilities are 3/4 and 1/4, its size is 1.
    target = torch.tensor([[[0, IGNORE, IGNORE]]])
    assert LOSSES.build("dice", 2)(ScoreOutput(scores), target)["loss"] == pytest.approx(1 - 2 * 0.75 / 1.75)


def test_absent_classes_count_only_if_asked_for() -> None:
    scores, target = example(2)
    present = dice(scores, target)
    assert (target == 3).sum() == 0
    loss = Dice(4, present=False)(ScoreOutput(scores), target)["loss"]
    assert loss == pytest.approx((3 * present.item() + 1) / 4)


@both
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31), cut=st.integers(1, 3), empty=st.booleans(), ignored=st.sampled_from([0.0, 0.6, 0.97])
)
def test_images_scored_one_by_one_combine_to_the_whole(
    name: str, seed: int, cut: int, empty: bool, ignored: float
) -> None:
    scores, target = example(seed, batch=4, ignored=ignored)
    if empty:
        target[0] = IGNORE  # counts for no image
    scores.requires_grad_()
    loss = LOSSES.build(name, 4, per_image=True)
    whole = loss(ScoreOutput(scores), target)["loss"]
    (expected,) = torch.autograd.grad(whole, scores)
    parts = (slice(None, cut), slice(cut, None))
    weights = [loss.weight(target[part]) for part in parts]
    assert all(weight.dtype == torch.float64 for weight in weights)
    assert sum(weights) == loss.weight(target) == (target != IGNORE).flatten(1).any(1).sum()
    means = [loss(ScoreOutput(scores[part]), target[part])["loss"] for part in parts]
    combined = sum(weight * mean for weight, mean in zip(weights, means, strict=True)) / sum(weights)
    torch.testing.assert_close(combined.float(), whole, rtol=1e-5, atol=1e-6)
    (gradient,) = torch.autograd.grad(combined, scores)
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-9)


def test_a_batch_weighs_as_many_as_its_valid_pixels() -> None:
    _, target = example(3)
    assert Dice(4).weight(target) == (target != IGNORE).sum()


def test_a_batch_scored_at_once_is_one_large_image() -> None:
    scores, target = example(4)
    wide = torch.cat(tuple(scores), dim=-1)[None], torch.cat(tuple(target), dim=-1)[None]
    for options in ({}, {"per_image": True}):
        large = Dice(4, **options)(ScoreOutput(wide[0]), wide[1])["loss"]
        torch.testing.assert_close(Dice(4)(ScoreOutput(scores), target)["loss"], large, rtol=1e-6, atol=1e-7)


@both
def test_sums_of_many_pixels_keep_their_digits(name: str) -> None:
    # Added up one by one in float32, 0.001 would stop counting long before a million.
    scores, target = torch.zeros(1, 2, 1000, 1000), torch.zeros(1, 1000, 1000, dtype=torch.int64)
    scores[:, 0] = 6.9
    target[:, :, :10] = 1
    loss = LOSSES.build(name, 2)(ScoreOutput(scores), target)["loss"].item()
    sure = torch.tensor(6.9, dtype=torch.float64).sigmoid().item()
    inside, size = (990_000 * sure, 10_000 * (1 - sure)), (990_000, 10_000)
    mass = (1_000_000 * sure, 1_000_000 * (1 - sure))
    expected = 0.0
    for i, t, p in zip(inside, size, mass, strict=True):
        expected += (1 - (2 * i / (p + t) if name == "dice" else i / (p + t - i))) / 2
    assert loss == pytest.approx(expected, rel=1e-6)


@both
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"smooth": -1.0}, "loss.smooth: -1.0 is out of range: use at least 0"),
        ({"smooth": float("inf")}, "loss.smooth: inf is out of range"),
        ({"class_weights": (1.0, 2.0)}, "loss.class_weights: 2 weights for 4 classes: give one per class"),
        ({"class_weights": (1.0, 0.0, 1.0, 1.0)}, "loss.class_weights: 0.0 for class 1 is not a positive number"),
        ({"per_imgae": True}, "loss.per_imgae: loss {name!r} has no such option (did you mean 'per_image'?)"),
    ],
)
def test_bad_options_are_named(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as error:
        LOSSES.build(name, 4, **options)
    assert str(error.value).startswith(message.replace("{name!r}", repr(name)))
    assert "\n" not in str(error.value)
