"""Sums by strips: the values and gradients of the plain way, in the memory of one strip."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from segfit.labels import IGNORE
from segfit.losses.cross_entropy import CrossEntropy
from segfit.losses.strips import strip_sum
from segfit.models import FeatureOutput, Output, ScoreOutput


def example(
    kind: str, classes: int, native: tuple[int, int], *, align: bool = False, dtype: Any = torch.float32
) -> Output:
    """Return an output of two images whose tensors want gradients."""
    generator = torch.Generator().manual_seed(1)
    if kind == "scores":
        return ScoreOutput(
            (3 * torch.randn(2, classes, *native, generator=generator, dtype=dtype)).requires_grad_(), align
        )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        classifier = nn.Conv2d(3, classes, 1, dtype=dtype)
    return FeatureOutput(
        (3 * torch.randn(2, 3, *native, generator=generator, dtype=dtype)).requires_grad_(), classifier
    )


def targets(classes: int, size: tuple[int, int], ignored: float = 0.3) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    target = torch.randint(0, classes, (2, *size), generator=generator)
    target[torch.rand(target.shape, generator=generator) < ignored] = IGNORE
    return target


def leaves(output: Output) -> list[Tensor]:
    return [output.native, *output.parameters]


def in_double(output: Output) -> Output:
    """Return the same output in float64, with leaves of its own."""
    native = output.native.detach().double().requires_grad_()
    if isinstance(output, ScoreOutput):
        return ScoreOutput(native, output.align_corners)
    assert isinstance(output, FeatureOutput)
    classifier = nn.Conv2d(output.native.shape[1], output.classes, 1).double()
    classifier.load_state_dict(output.classifier.state_dict())
    return FeatureOutput(native, classifier)


def plain(output: Output, target: Tensor, *, class_weights: Any = None, label_smoothing: float = 0.0) -> Tensor:
    """Return torch's own loss of the dense scores; 0 where nothing is valid."""
    total = F.cross_entropy(
        output.dense((target.shape[-2], target.shape[-1])),
        target,
        None if class_weights is None else torch.tensor(class_weights, dtype=torch.float64),
        ignore_index=IGNORE,
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    weights = torch.ones(output.classes) if class_weights is None else torch.tensor(class_weights)
    return total / max(float(weights[target[target != IGNORE]].double().sum()), 1e-9)


WEIGHTS = (0.5, 2.0, 1.25, 0.75)


@settings(max_examples=80)
@given(
    kind=st.sampled_from(["scores", "features"]),
    classes=st.sampled_from([1, 4]),
    native=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    size=st.one_of(st.none(), st.tuples(st.integers(1, 17), st.integers(1, 17))),
    align=st.booleans(),
    weighted=st.booleans(),
    smoothing=st.sampled_from([0.0, 0.2]),
    ignored=st.sampled_from([0.0, 0.4, 1.0]),
)
def test_equals_the_plain_way(kind, classes, native, size, align, weighted, smoothing, ignored):
    """Value and every gradient equal those of full-size scores in float64, within float32's rounding."""
    output = example(kind, classes, native, align=align)
    reference = in_double(output)
    target = targets(classes, size or native, ignored)
    options = {"class_weights": WEIGHTS[:classes] if weighted else None, "label_smoothing": smoothing}
    loss = CrossEntropy(classes, **options)(output, target)["loss"]
    expected = plain(reference, target, **options)
    torch.testing.assert_close(loss.double(), expected, rtol=2e-6, atol=1e-6)
    found = torch.autograd.grad(loss, leaves(output))
    for gradient, exact in zip(found, torch.autograd.grad(expected, leaves(reference)), strict=True):
        scale = float(exact.abs().max())
        torch.testing.assert_close(gradient.double(), exact, rtol=0, atol=2e-6 * max(scale, 1.0))
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("kind", ["scores", "features"])
@pytest.mark.parametrize("size", [(7, 5), (16, 11)])
def test_the_height_of_strips_changes_nothing(kind, size):
    target = targets(4, size)
    values, gradients = [], []
    for height in (1, 2, 5, 100):
        output = example(kind, 4, (7, 5), dtype=torch.float64)
        total = strip_sum(output, size, _squares(target), height=height)
        values.append(total)
        gradients.append(torch.autograd.grad(total, leaves(output)))
    for value, gradient in zip(values[1:], gradients[1:], strict=True):
        torch.testing.assert_close(value, values[0], rtol=1e-12, atol=0)
        for one, other in zip(gradient, gradients[0], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def _squares(target: Tensor) -> Any:
    """Return a measure that is easy to follow: half the sum of squares of the valid pixels' scores."""

    def measure(scores: Tensor, rows: slice, wanted: bool) -> Tensor:
        scores *= (target[:, rows] != IGNORE)[:, None]
        return scores.double().square().sum() / 2

    return measure


@pytest.mark.parametrize("kind", ["scores", "features"])
@pytest.mark.parametrize(("size", "align"), [((3, 2), False), ((7, 5), False), ((7, 5), True), ((2, 2), False)])
def test_gradcheck(kind, size, align):
    base = example(kind, 3, (3, 2), align=align, dtype=torch.float64)

    def total(native: Tensor, *parameters: Tensor) -> Tensor:
        if kind == "scores":
            return strip_sum(ScoreOutput(native, align), size, _squares(targets(3, size)), height=2)
        return strip_sum(_Bound(native, parameters), size, _squares(targets(3, size)), height=2)

    assert torch.autograd.gradcheck(total, leaves(base))


class _Bound(FeatureOutput):
    """Features with the parameters that gradcheck varies, instead of a module's."""

    def __init__(self, native: Tensor, parameters: tuple[Tensor, ...]) -> None:
        object.__setattr__(self, "native", native)
        object.__setattr__(self, "bound", parameters)

    @property
    def classes(self) -> int:
        return len(self.bound[0])

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        return self.bound


@pytest.mark.parametrize("kind", ["scores", "features"])
def test_gradcheck_of_the_cross_entropy(kind):
    """Through the loss itself, whose result is float32: in steps that float32 can tell apart."""
    output = example(kind, 3, (3, 3), dtype=torch.float64)
    target = targets(3, (5, 4))
    loss = CrossEntropy(3, class_weights=WEIGHTS[:3], label_smoothing=0.1)
    found = torch.autograd.grad(loss(output, target)["loss"], leaves(output))
    with torch.no_grad():
        for leaf, gradient in zip(leaves(output), found, strict=True):
            for place in range(leaf.numel()):
                step, values = 0.01, []
                for sign in (1, -1):
                    leaf.flatten()[place] += sign * step  # a view of contiguous leaves
                    values.append(loss(output, target)["loss"].item())
                    leaf.flatten()[place] -= sign * step
                slope = (values[0] - values[1]) / (2 * step)
                assert slope == pytest.approx(float(gradient.flatten()[place]), rel=5e-3, abs=1e-4)


def test_a_gradient_may_be_taken_twice_when_the_graph_is_kept():
    output = example("scores", 4, (3, 3))
    loss = CrossEntropy(4)(output, targets(4, (6, 6)))["loss"]
    (first,) = torch.autograd.grad(2 * loss, [output.native], retain_graph=True)
    first = first.clone()
    (second,) = torch.autograd.grad(loss, [output.native])
    torch.testing.assert_close(first, 2 * second)


def test_tensors_that_want_no_gradient_get_none():
    output = example("features", 4, (4, 4))
    frozen = FeatureOutput(output.native.detach(), output.classifier)
    target = targets(4, (4, 4))
    loss = CrossEntropy(4)
    loss(output, target)["loss"].backward()
    expected = output.classifier.weight.grad.clone()
    output.classifier.zero_grad()
    loss(frozen, target)["loss"].backward()
    torch.testing.assert_close(output.classifier.weight.grad, expected)
    assert frozen.native.grad is None
    with torch.no_grad():
        assert not loss(output, target)["loss"].requires_grad


@pytest.mark.parametrize("kind", ["scores", "features"])
def test_what_a_model_returned_is_left_as_it_is(kind):
    """A strip is overwritten; where it is the model's own memory, a copy of it."""
    output = example(kind, 4, (6, 6))
    before = [leaf.detach().clone() for leaf in leaves(output)]
    CrossEntropy(4)(output, targets(4, (6, 6)))["loss"].backward()
    assert all(torch.equal(leaf, copy) for leaf, copy in zip(leaves(output), before, strict=True))


# --- lower precision -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "size"), [("scores", (12, 12)), ("features", (6, 6)), ("features", (12, 12))])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_lower_precision(kind, size, dtype):
    """The strips round as often as the plain way does under autocast; sums are in float32."""
    output = example(kind, 4, (6, 6))
    reference = in_double(output)
    target = targets(4, size)
    low = output.native.detach().to(dtype).requires_grad_()
    given = ScoreOutput(low) if kind == "scores" else FeatureOutput(low, output.classifier)
    with torch.autocast("cpu", dtype=dtype):
        loss = CrossEntropy(4)(given, target)["loss"]
    loss.backward()
    expected = plain(reference, target)
    expected.backward()
    assert loss.dtype == torch.float32
    assert low.grad.dtype == dtype
    torch.testing.assert_close(loss.double(), expected, rtol=2e-2, atol=0)
    scale = float(reference.native.grad.abs().max())
    torch.testing.assert_close(low.grad.double(), reference.native.grad, rtol=0, atol=3e-2 * scale)
    if kind == "features":
        weight = reference.classifier.weight.grad
        found = output.classifier.weight.grad
        torch.testing.assert_close(found.double(), weight, rtol=0, atol=3e-2 * float(weight.abs().max()))


def test_gradients_of_many_pixels_do_not_overflow_float16():
    """The sum over a strip passes 65,504, the largest float16, long before the mean is taken."""
    output = example("features", 2, (256, 256))
    features = (100 * output.native.detach().abs()).half().requires_grad_()
    target = torch.zeros(2, 256, 256, dtype=torch.int64)
    classifier = nn.Conv2d(3, 2, 1)
    nn.init.zeros_(classifier.weight)
    nn.init.zeros_(classifier.bias)
    with torch.autocast("cpu", dtype=torch.float16):
        loss = CrossEntropy(2)(FeatureOutput(features, classifier), target)["loss"]
    loss.backward()
    # Both classes are equally likely: the gradient is minus half the mean feature.
    expected = -features.detach().float().mean((0, 2, 3)) / 2
    torch.testing.assert_close(classifier.weight.grad[0].flatten(), expected, rtol=1e-3, atol=0)
    assert torch.isfinite(classifier.weight.grad).all()


# --- hard examples and pixel weights ---------------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    share=st.floats(0.01, 1.0),
    smoothing=st.sampled_from([0.0, 0.1]),
    weighted=st.booleans(),
    ignored=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_hard_examples_are_the_pixels_with_the_largest_losses(share, smoothing, weighted, ignored):
    output = example("scores", 4, (5, 4), dtype=torch.float64)
    target = targets(4, (9, 8), ignored)
    weights = WEIGHTS if weighted else (1.0,) * 4
    loss = CrossEntropy(4, ohem=share, label_smoothing=smoothing, class_weights=WEIGHTS if weighted else None)
    found = loss(output, target)["loss"]
    losses = F.cross_entropy(
        output.dense((9, 8)),
        target,
        torch.tensor(weights, dtype=torch.float64),
        ignore_index=IGNORE,
        reduction="none",
        label_smoothing=smoothing,
    )
    valid = target != IGNORE
    count = int(torch.ceil(valid.sum() * share))
    chosen = losses[valid].topk(count).indices
    if count == 0:
        assert found == 0
        assert not torch.autograd.grad(found, output.native)[0].any()
        return
    expected = losses[valid][chosen].sum() / torch.tensor(weights)[target[valid][chosen]].double().sum()
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(found, output.native)
    (exact,) = torch.autograd.grad(expected, output.native)
    torch.testing.assert_close(gradient, exact, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("ohem", [None, 1.0])
def test_pixel_weights(ohem):
    output = example("features", 4, (6, 5), dtype=torch.float64)
    target = targets(4, (6, 5))
    weights = torch.rand(target.shape, generator=torch.Generator().manual_seed(3))
    weights[0, :2] = 0
    loss = CrossEntropy(4, class_weights=WEIGHTS, ohem=ohem)
    found = loss(output, target, weights)["loss"]
    losses = F.cross_entropy(
        output.dense((6, 5)), target, torch.tensor(WEIGHTS).double(), ignore_index=IGNORE, reduction="none"
    )
    counted = weights * torch.where(target == IGNORE, 0.0, torch.tensor(WEIGHTS)[target.where(target != IGNORE, 0)])
    expected = (losses * weights).sum() / counted.double().sum()
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    assert loss.weight(target, weights).item() == pytest.approx(counted.double().sum().item(), rel=1e-6)
    for one, other in zip(
        torch.autograd.grad(found, leaves(output)), torch.autograd.grad(expected, leaves(output)), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


# --- memory ----------------------------------------------------------------------------------------------------------


def peak(call: Any) -> int:
    """Return the most bytes that a call had allocated at once."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        call()
    assert profiled.profiler is not None
    alive = largest = 0
    for event in profiled.profiler.kineto_results.events():
        if event.name() == "[memory]":
            alive += event.nbytes()
            largest = max(largest, alive)
    return largest


@pytest.mark.parametrize("kind", ["scores", "features"])
def test_the_extra_memory_is_that_of_a_few_strips(kind):
    """Of the 157 MB of the scores of 150 classes at full size, the plain way has three; here there are a few strips."""
    native, size = ((64, 64), (512, 512)) if kind == "scores" else ((512, 512), (512, 512))

    def step(classes: int, way: Any) -> int:
        output = example(kind, classes, native)
        output = (
            ScoreOutput(output.native[:1].detach().requires_grad_())
            if kind == "scores"
            else FeatureOutput(output.native[:1].detach().requires_grad_(), output.classifier)
        )
        target = targets(classes, size)[:1]
        return peak(lambda: way(output, target).backward())

    strips = {classes: step(classes, lambda o, t: CrossEntropy(o.classes)(o, t)["loss"]) for classes in (10, 150)}
    full = {
        classes: step(classes, lambda o, t: F.cross_entropy(o.dense(size), t, ignore_index=IGNORE))
        for classes in (10, 150)
    }
    assert full[150] > 2 * 150 * 512 * 512 * 4
    assert strips[150] < 6 * (8 << 20) + 8 * 2**20
    assert strips[150] - strips[10] <= 0.1 * (full[150] - full[10])


# --- where it runs ---------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # the compiler looks at its inputs
def test_a_compiled_model_leaves_the_strips_alone():
    """The strips are no part of any graph; a function that uses them compiles around them."""
    output = example("scores", 4, (4, 4))
    target = targets(4, (8, 8))
    loss = CrossEntropy(4)

    def step(native: Tensor) -> Tensor:
        return loss(ScoreOutput(native * 2), target)["loss"]

    (expected,) = torch.autograd.grad(step(output.native), output.native)
    compiled = torch.compile(step, backend="aot_eager")
    (found,) = torch.autograd.grad(compiled(output.native), output.native)
    torch.testing.assert_close(found, expected)
