"""The classifier of features, a matrix product per image, against torch's convolution."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from segfit.models import FeatureOutput

ORDERS = [torch.contiguous_format, torch.channels_last]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 3),
    channels=st.integers(1, 4),
    classes=st.integers(1, 4),
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    crop=st.integers(0, 2),
    order=st.sampled_from(ORDERS),
    bias=st.booleans(),
)
def test_equals_the_convolution(
    seed: int,
    batch: int,
    channels: int,
    classes: int,
    size: tuple[int, int],
    crop: int,
    order: torch.memory_format,
    bias: bool,
) -> None:
    torch.manual_seed(seed)
    whole = torch.randn(batch, channels, size[0] + crop, size[1] + crop, dtype=torch.float64).to(memory_format=order)
    features = whole[:, :, crop:, : size[1]].requires_grad_()
    classifier = nn.Conv2d(channels, classes, 1, bias=bias, dtype=torch.float64).to(memory_format=order)  # type: ignore[call-overload]
    output = FeatureOutput(features, classifier)
    scores = output.classify(features, *output.parameters)
    expected = F.conv2d(features, classifier.weight, classifier.bias)
    torch.testing.assert_close(scores, expected)
    leaves = [features, *output.parameters]
    given_ = torch.randn_like(expected)
    for ours, theirs in zip(
        torch.autograd.grad(scores, leaves, given_), torch.autograd.grad(expected, leaves, given_), strict=True
    ):
        assert ours.shape == theirs.shape
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("order", ORDERS)
def test_the_gradient_of_the_features_keeps_their_order(order: torch.memory_format) -> None:
    features = torch.randn(2, 3, 4, 5).to(memory_format=order).requires_grad_()
    output = FeatureOutput(features, nn.Conv2d(3, 2, 1))
    (gradient,) = torch.autograd.grad(output.classify(features, *output.parameters).sum(), features)
    assert gradient.is_contiguous(memory_format=order)


@pytest.mark.parametrize("wanted", [(True, False, False), (False, True, False), (False, False, True)])
def test_only_wanted_gradients_are_computed(wanted: tuple[bool, ...]) -> None:
    features, classifier = torch.randn(2, 3, 4, 5), nn.Conv2d(3, 2, 1)
    leaves = [features, classifier.weight, classifier.bias]
    for leaf, need in zip(leaves, wanted, strict=True):
        leaf.requires_grad_(need)
    FeatureOutput(features, classifier).dense((4, 5)).square().sum().backward()
    assert [leaf.grad is not None for leaf in leaves] == list(wanted)
    (leaf,) = (leaf for leaf, need in zip(leaves, wanted, strict=True) if need)
    expected = leaf.grad
    leaf.grad = None
    F.conv2d(*leaves).square().sum().backward()
    torch.testing.assert_close(expected, leaf.grad)


def test_the_backward_pass_keeps_its_precision_under_autocast() -> None:
    # The loss takes the gradients of its strips in the forward pass, where autocast is on.
    features, classifier = torch.randn(1, 64, 4, 4).requires_grad_(), nn.Conv2d(64, 2, 1)
    output = FeatureOutput(features, classifier)
    scores = output.classify(features, *output.parameters)
    (expected,) = torch.autograd.grad(scores.sum(), classifier.weight, retain_graph=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (found,) = torch.autograd.grad(scores.sum(), classifier.weight)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
