"""What every registered loss must satisfy; a loss is found by its registration."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import plain_losses
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_losses import PLAIN, example
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from segfit.labels import IGNORE
from segfit.losses import LOSSES, Loss
from segfit.models import FeatureOutput, Output, ScoreOutput, outputs

CLASSES = 4

SIZES = [((4, 5), (9, 7)), ((5, 3), (5, 3)), ((1, 1), (3, 4)), ((7, 6), (4, 9))]
"""Of the native part and of the target."""

VALUES_DECIDE = {"lovasz"}
"""Losses that sort no more than they must: how much that is, no plan can know."""


@contextmanager
def rows_of_a_strip(rows: int, batch: int, classes: int, width: int) -> Iterator[None]:
    kept = dict(outputs.STRIP_BYTES)
    # In place: whoever imported the table sees the change.
    outputs.STRIP_BYTES["cpu"] = rows * 4 * batch * classes * width
    try:
        yield
    finally:
        outputs.STRIP_BYTES.update(kept)


def features(scores: Tensor, classes: int = CLASSES) -> FeatureOutput:
    """Return an output with a classifier for some features."""
    torch.manual_seed(5)
    classifier = nn.Conv2d(scores.shape[1], classes, 1).to(scores.dtype)
    return FeatureOutput(scores, classifier)


def make(kind: str, native: Tensor) -> Output:
    return features(native) if kind == "features" else ScoreOutput(native, align_corners=kind == "aligned")


def leaves(output: Output) -> list[Tensor]:
    return [output.native, *output.parameters]


def value_and_gradients(loss: Loss, output: Output, target: Tensor) -> tuple[Tensor, list[Tensor]]:
    value = loss(output, target)["loss"]
    return value.detach(), list(torch.autograd.grad(value, leaves(output)))


@pytest.mark.parametrize("name", LOSSES.names())
class TestContract:
    @pytest.mark.parametrize("kind", ["scores", "aligned", "features"])
    @pytest.mark.parametrize(("size", "target_size"), SIZES)
    def test_equals_the_plain_form(self, name: str, kind: str, size: Any, target_size: Any) -> None:
        native, target = example(1, size, target_size=target_size)
        output = make(kind, native.float().requires_grad_())
        value, gradients = value_and_gradients(LOSSES.build(name, CLASSES), output, target)
        assert value.dtype == torch.float32
        assert value.ndim == 0
        exact = make(kind, native.requires_grad_())
        expected = PLAIN[name](exact.dense(target_size), target)
        torch.testing.assert_close(value.double(), expected.detach(), rtol=1e-5, atol=1e-6)
        for found, wanted in zip(gradients, torch.autograd.grad(expected, leaves(exact)), strict=True):
            torch.testing.assert_close(found.double(), wanted, rtol=2e-4, atol=2e-6)

    @pytest.mark.parametrize("kind", ["scores", "features"])
    def test_gradcheck(self, name: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        native, target = example(14, (2, 3), batch=1, target_size=(3, 4))
        loss = LOSSES.build(name, CLASSES)
        tensors = [tensor.detach().requires_grad_() for tensor in leaves(make(kind, native))]

        def value(native: Tensor, *parameters: Tensor) -> Tensor:
            if kind != "features":
                return loss(make(kind, native), target)["loss"]
            classifier = SimpleNamespace(weight=parameters[0], bias=parameters[1], out_channels=CLASSES)
            return loss(FeatureOutput(native, classifier), target)["loss"]  # type: ignore[arg-type]

        # Losses are float32 in the end; differences of them would be nothing but rounding.
        monkeypatch.setattr(Tensor, "float", lambda tensor: tensor)
        assert torch.autograd.gradcheck(value, tensors)

    @settings(max_examples=12)
    @given(seed=st.integers(0, 2**31), rows=st.integers(1, 9), kind=st.sampled_from(["scores", "features"]))
    def test_height_of_a_strip_does_not_matter(self, name: str, seed: int, rows: int, kind: str) -> None:
        native, target = example(seed, (4, 5), target_size=(9, 7))
        output = make(kind, native.requires_grad_())
        loss = LOSSES.build(name, CLASSES)
        whole, expected = value_and_gradients(loss, output, target)
        with rows_of_a_strip(rows, *native.shape[:2], 7):
            value, gradients = value_and_gradients(loss, output, target)
        torch.testing.assert_close(value, whole, rtol=1e-6, atol=1e-7)
        for found, wanted in zip(gradients, expected, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize("kind", ["scores", "features"])
    def test_all_ignored_is_zero_with_zero_gradient(self, name: str, kind: str) -> None:
        native, target = example(2, (4, 5), target_size=(9, 7))
        loss = LOSSES.build(name, CLASSES)
        value, gradients = value_and_gradients(loss, make(kind, native.requires_grad_()), target.fill_(IGNORE))
        assert value == 0
        assert loss.weight(target) == 0
        assert not any(gradient.any() for gradient in gradients)
        assert all(gradient.isfinite().all() for gradient in gradients)

    def test_ignored_pixels_count_nowhere(self, name: str) -> None:
        scores, target = example(3, ignored=0.5)
        loss = LOSSES.build(name, CLASSES)
        ignored = (target == IGNORE)[:, None].expand_as(scores)
        expected, wanted = value_and_gradients(loss, ScoreOutput(scores.clone().requires_grad_()), target)
        assert not wanted[0][ignored].any()
        scores[ignored] = 50 * torch.randn(int(ignored.sum()), dtype=torch.float64)
        value, found = value_and_gradients(loss, ScoreOutput(scores.requires_grad_()), target)
        torch.testing.assert_close(value, expected)
        torch.testing.assert_close(found[0], wanted[0])

    def test_only_differences_of_scores_matter(self, name: str) -> None:
        scores, target = example(4)
        loss = LOSSES.build(name, CLASSES)
        value, (gradient,) = value_and_gradients(loss, ScoreOutput(scores.requires_grad_()), target)
        torch.testing.assert_close(gradient.sum(1), torch.zeros_like(gradient[:, 0]), rtol=0, atol=1e-12)
        shifted = loss(ScoreOutput(scores.detach() + 100), target)["loss"]
        torch.testing.assert_close(shifted, value, rtol=1e-6, atol=1e-7)

    def test_no_class_is_special(self, name: str) -> None:
        scores, target = example(5)
        order = torch.tensor([2, 0, 3, 1])
        place = torch.arange(IGNORE + 1)
        place[order] = torch.arange(CLASSES)
        loss = LOSSES.build(name, CLASSES)
        value = loss(ScoreOutput(scores), target)["loss"]
        permuted = loss(ScoreOutput(scores[:, order]), place[target])["loss"]
        torch.testing.assert_close(permuted, value, rtol=1e-6, atol=1e-7)

    def test_teaches_a_classifier(self, name: str) -> None:
        scores, target = example(15, (4, 5), target_size=(9, 7), ignored=0.1)
        native = scores.float().requires_grad_()
        loss, optimizer = LOSSES.build(name, CLASSES), torch.optim.Adam([native], lr=0.5)
        course = []
        for _ in range(40):
            optimizer.zero_grad()
            value = loss(ScoreOutput(native), target)["loss"]
            value.backward()
            optimizer.step()
            course.append(value.item())
        assert course[-1] < 0.7 * course[0]

    def test_right_and_sure_is_nearly_no_loss(self, name: str) -> None:
        _, target = example(6)
        hot, _ = plain_losses.one_hot(target, CLASSES)
        loss = LOSSES.build(name, CLASSES)
        assert loss(ScoreOutput(40 * hot), target)["loss"] < 1e-6
        assert loss(ScoreOutput(-40 * hot), target)["loss"] > 0.5

    def test_extreme_scores_are_finite(self, name: str) -> None:
        scores, target = example(7)
        output = ScoreOutput((scores * 1e4).float().requires_grad_())
        value, gradients = value_and_gradients(LOSSES.build(name, CLASSES), output, target)
        assert value.isfinite()
        assert gradients[0].isfinite().all()

    def test_one_class(self, name: str) -> None:
        scores, target = example(8, classes=1)
        value, gradients = value_and_gradients(LOSSES.build(name, 1), ScoreOutput(scores.requires_grad_()), target)
        assert value == pytest.approx(0, abs=1e-7)
        assert not gradients[0].any()

    def test_half_precision_scores_are_summed_in_float32(self, name: str) -> None:
        scores, target = example(9)
        half = scores.bfloat16()
        loss = LOSSES.build(name, CLASSES)
        value, (gradient,) = value_and_gradients(loss, ScoreOutput(half.requires_grad_()), target)
        expected, (wanted,) = value_and_gradients(loss, ScoreOutput(half.detach().float().requires_grad_()), target)
        assert value == expected
        torch.testing.assert_close(gradient, wanted.bfloat16(), rtol=1e-2, atol=1e-6)

    def test_float16_keeps_the_gradient_of_a_pixel_among_many(self, name: str) -> None:
        # A mean over 30,000 pixels leaves each of them less than float16 can tell from 0, but the loss may be scaled.
        scores, target = example(10, (100, 100), classes=3)
        loss, half = LOSSES.build(name, 3), scores.half().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(ScoreOutput(half), target)["loss"] * 2**13, half)
        _, (wanted,) = value_and_gradients(loss, ScoreOutput(half.detach().double().requires_grad_()), target)
        error = (gradient.double() / 2**13 - wanted).norm() / wanted.norm()
        assert error < 2e-3

    def test_autocast_changes_nothing_after_the_classifier(self, name: str) -> None:
        scores, target = example(11)
        loss = LOSSES.build(name, CLASSES)
        expected, (wanted,) = value_and_gradients(loss, ScoreOutput(scores.float().requires_grad_()), target)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value, (gradient,) = value_and_gradients(loss, ScoreOutput(scores.float().requires_grad_()), target)
        assert value == expected
        assert torch.equal(gradient, wanted)

    @pytest.mark.parametrize("kind", ["scores", "features"])
    def test_same_bits_every_time_and_nothing_of_the_inputs_changes(self, name: str, kind: str) -> None:
        native, target = example(12, (4, 5), target_size=(9, 7))
        output = make(kind, native.float().requires_grad_())
        loss = LOSSES.build(name, CLASSES)
        before = [tensor.detach().clone() for tensor in (*leaves(output), target)]
        first, expected = value_and_gradients(loss, output, target)
        second, gradients = value_and_gradients(loss, output, target)
        assert first == second
        assert all(torch.equal(a, b) for a, b in zip(gradients, expected, strict=True))
        assert all(torch.equal(a, b) for a, b in zip((*leaves(output), target), before, strict=True))
        with torch.inference_mode():
            assert loss(output, target)["loss"] == first

    def test_only_wanted_gradients_are_computed(self, name: str) -> None:
        native, target = example(13, (4, 5), target_size=(9, 7))
        loss, output = LOSSES.build(name, CLASSES), features(native)
        _, expected = value_and_gradients(loss, features(native.clone().requires_grad_()), target)
        value = loss(output, target)["loss"]
        found = torch.autograd.grad(value, output.parameters)
        for a, b in zip(found, expected[1:], strict=True):
            torch.testing.assert_close(a, b)

    def test_moves_with_its_device_and_stores_nothing(self, name: str) -> None:
        loss = LOSSES.build(name, CLASSES)
        assert loss.state_dict() == {}
        assert not list(loss.parameters())

    def test_can_be_planned_without_values(self, name: str) -> None:
        known = name not in VALUES_DECIDE
        allowed = nullcontext() if known else pytest.raises(DataDependentOutputException)
        with FakeTensorMode(), allowed:
            native, target = torch.randn(2, CLASSES, 4, 5).requires_grad_(), torch.zeros(2, 9, 7, dtype=torch.int64)
            loss = LOSSES.build(name, CLASSES)
            assert loss.weight(target).shape == ()
            loss(ScoreOutput(native), target)["loss"].backward()
        assert (native.grad is not None) == known

    def test_memory_does_not_grow_with_the_classes(self, name: str) -> None:
        # 128 classes would be 8.4 MB at full size; their share of a small native part is less than a tenth of that.
        peaks = {}
        for classes in (8, 128):
            native = torch.randn(1, classes, 32, 32).requires_grad_()
            target = torch.randint(0, classes, (1, 128, 128))
            loss = LOSSES.build(name, classes)
            output = ScoreOutput(native)
            with rows_of_a_strip(4, 1, 128, 128):

                def work(loss: Loss = loss, output: Output = output, target: Tensor = target) -> None:
                    loss(output, target)["loss"].backward()

                peaks[classes] = plain_losses.peak_memory(work)
        native_bytes = 4 * (128 - 8) * 32 * 32
        strip = 4 * 4 * 128 * 128
        assert peaks[128] - peaks[8] < 3 * native_bytes + 6 * strip, peaks
        assert peaks[128] < 4 * 128 * 128 * 128
