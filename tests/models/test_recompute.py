"""What is computed again equals what would have been stored: bit by bit, with buffers and random numbers as ever."""

import gc
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from typing_extensions import override

import segfit
from segfit.errors import RecipeError
from segfit.models import MODELS, Output, ScoreOutput, Segmenter
from segfit.models.recompute import recomputing
from segfit.parts import overridden

KINDS = ("norms", "blocks")

OPTIONS: dict[str, list[dict[str, Any]]] = {
    "unet": [{"width": 4}, {"width": 2, "depth": 2, "bilinear": True, "dropout": 0.4}],
    "attention_unet": [{"width": 4, "depth": 3}, {"width": 2, "depth": 2, "dropout": 0.4, "variant": "oktay"}],
    "deeplabv3": [{"backbone": "mobilenet_v2"}],
}
"""What the models are tested with; a model that is not listed is tested with its defaults."""

CASES = [(name, options) for name in MODELS.names() for options in OPTIONS.get(name, [{}])]

cases = pytest.mark.parametrize(("name", "options"), CASES, ids=str)
kinds = pytest.mark.parametrize("kind", KINDS)


def build(name: str, options: dict[str, Any], kind: str) -> Segmenter:
    torch.manual_seed(0)
    model = MODELS.build(name, 5, **options).train()
    model.checkpoint(kind)  # type: ignore[arg-type]
    return model


def batch(count: int = 2, size: tuple[int, int] = (33, 47)) -> Tensor:
    return torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


def score(model: Segmenter, images: Tensor) -> Tensor:
    scores = model(images).dense((images.shape[-2], images.shape[-1])).float()
    target = torch.arange(scores[:, 0].numel()).view(scores[:, 0].shape) % 5
    return F.cross_entropy(scores, target)


def train(model: Segmenter, images: Tensor, steps: int = 2) -> dict[str, Tensor]:
    """Return all that optimizer steps leave behind."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    left: dict[str, Tensor] = {}
    for step in range(steps):
        optimizer.zero_grad()
        loss = score(model, images)
        loss.backward()
        optimizer.step()
        left[f"loss {step}"] = loss.detach()
    left |= {f"gradient {key}": value.grad for key, value in model.named_parameters() if value.grad is not None}
    left |= {f"state {key}": value for key, value in model.state_dict().items()}
    return left | {"random": torch.get_rng_state()}


def assert_same(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    different = [key for key in left if not torch.equal(left[key], right[key])]
    assert not different


class Allocations(TorchDispatchMode):
    """Sums the memory of what was made inside and still exists, beside the model."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.storages: dict[int, weakref.ref[Any]] = {}
        self.existing = {id(tensor.untyped_storage()) for tensor in (*model.parameters(), *model.buffers())}

    @override
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, Tensor) and id(tensor.untyped_storage()) not in self.existing:
                self.storages[id(tensor.untyped_storage())] = weakref.ref(tensor.untyped_storage())
        return out

    def bytes(self) -> int:
        return sum(storage.nbytes() for ref in self.storages.values() if (storage := ref()) is not None)


def kept(model: Segmenter, images: Tensor) -> int:
    """Return the bytes that wait for the backward pass."""
    with Allocations(model) as allocations:
        output = model(images)
    assert isinstance(output, Output)
    return allocations.bytes()


# --- the models ------------------------------------------------------------------------------------------------------


@cases
def test_two_steps_leave_the_same(name: str, options: dict[str, Any]) -> None:
    expected = train(build(name, options, "none"), batch())
    for kind in KINDS:
        assert_same(train(build(name, options, kind), batch()), expected)


@pytest.mark.parametrize(("name", "options"), [*CASES, ("deeplabv3", {})], ids=str)
def test_less_is_kept(name: str, options: dict[str, Any]) -> None:
    images = batch(2, (64, 64))
    everything, norms, blocks = (kept(build(name, options, kind), images) for kind in ("none", *KINDS))
    assert norms < 0.65 * everything
    assert blocks < 0.7 * norms


@kinds
def test_one_image_and_frozen_statistics(kind: str) -> None:
    for training in (True, False):
        models = [build("unet", {"width": 2, "depth": 2}, which).train(training) for which in ("none", kind)]
        assert_same(train(models[1], batch(1), 1), train(models[0], batch(1), 1))


@kinds
def test_channels_last_and_bf16(kind: str) -> None:
    left = []
    for which in ("none", kind):
        model = build("attention_unet", {"width": 4, "depth": 1, "dropout": 0.3}, which)
        model.to(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = score(model, batch(2, (8, 12)).contiguous(memory_format=torch.channels_last))
        loss.backward()
        left.append({"loss": loss, **{key: value.grad for key, value in model.named_parameters()}})
    assert_same(left[1], left[0])  # type: ignore[arg-type]


@kinds
def test_the_backward_pass_may_have_other_casts(kind: str) -> None:
    left = []
    for which, casts in (("none", torch.bfloat16), (kind, torch.bfloat16), (kind, torch.float16), (kind, None)):
        model = build("unet", {"width": 2, "depth": 1}, which)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = score(model, batch(2, (8, 12)))
        with torch.autocast("cpu", dtype=casts, enabled=casts is not None):
            loss.backward()
        left.append({key: value.grad for key, value in model.named_parameters()})
    for other in left[1:]:
        assert_same(other, left[0])  # type: ignore[arg-type]


@kinds
def test_micro_batches_add_up(kind: str) -> None:
    grads = []
    for which in ("none", kind):
        model = build("unet", {"width": 2, "depth": 2}, which)
        for _ in range(3):
            score(model, batch()).backward()
        # Two graphs at once, the older one first, and one of them twice.
        first, second = score(model, batch()), score(model, batch(1))
        first.backward(retain_graph=True)
        second.backward()
        first.backward()
        grads.append({key: value.grad for key, value in model.named_parameters()})
    assert_same(grads[1], grads[0])  # type: ignore[arg-type]


@kinds
def test_inference_remembers_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("segfit.models.recomputing", refuse)
    model = build("unet", {"width": 2, "depth": 1}, kind).eval()
    with torch.no_grad():
        model(batch())
    with pytest.raises(AssertionError):
        model(batch())


@kinds
def test_memory_goes_without_the_garbage_collector(kind: str) -> None:
    model = build("unet", {"width": 2, "depth": 2}, kind)
    gc.collect()
    gc.disable()
    try:
        for backward in (True, False):
            with Allocations(model) as allocations:
                loss = score(model, batch())
                if backward:
                    loss.backward()
                    model.zero_grad()
            del loss
            assert allocations.bytes() == 0
    finally:
        gc.enable()


@kinds
def test_shapes_can_be_traced(kind: str) -> None:
    images = batch(2, (32, 32))
    with FakeTensorMode() as mode:
        model = MODELS.build("attention_unet", 5, width=4, depth=2, dropout=0.1).train()
        images = mode.from_tensor(images)
        everything = kept(model, images)
        model.checkpoint(kind)  # type: ignore[arg-type]
        assert kept(model, images) < 0.65 * everything
        score(model, images).backward()
    assert all(value.grad is not None for value in model.parameters())


def test_compiled_models_leave_it_to_the_compiler() -> None:
    model, compiled = (build("unet", {"width": 2, "depth": 1}, kind) for kind in ("none", "norms"))
    score(model, batch()).backward()
    score(torch.compile(compiled, backend="aot_eager"), batch()).backward()  # type: ignore[arg-type]
    for value, other in zip(model.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(value.grad, other.grad, rtol=1e-3, atol=1e-5)


def test_a_run_is_the_same_run(trained: Any, tiny_recipe: Any, tmp_path: Any) -> None:
    recipe = overridden(tiny_recipe, ["train.checkpointing=blocks"])
    run = segfit.train(recipe, tmp_path / "run")
    assert_same(*(load_file(folder / "checkpoints" / "last.safetensors") for folder in (run, trained)))


# --- any model -------------------------------------------------------------------------------------------------------


class Foreign(Segmenter):
    """A model of another distribution, with operations that ours do not use."""

    def __init__(self, operation: Callable[[Tensor], Tensor], *, named: bool = False) -> None:
        super().__init__("unit")
        self.first, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 1)
        self.middle = nn.Conv2d(4, 4, 3, padding=1)
        self.operation, self.named = operation, named

    @override
    def predict(self, x: Tensor) -> Output:
        x = self.operation(self.middle(self.operation(self.first(x))))
        return ScoreOutput(self.last(x))

    @override
    def blocks(self) -> Iterable[nn.Module]:
        return (self.first, self.middle, self.last) if self.named else ()


def _in_place(x: Tensor) -> Tensor:
    y = F.batch_norm(x, None, None, training=True)
    y += x
    y.mul_(0.5)
    y = F.relu6(y, inplace=True)
    y[:, :1] = 0.25
    return F.leaky_relu_(y * 2 - 1, 0.1)


def _views(x: Tensor) -> Tensor:
    tokens = x.flatten(2).transpose(1, 2)
    tokens = tokens + F.scaled_dot_product_attention(tokens, tokens, tokens, dropout_p=0.5)
    tokens = F.gelu(F.layer_norm(tokens, (4,)))
    return (tokens @ tokens.mT.softmax(-1) @ tokens).mT.reshape(x.shape)


def _random(x: Tensor) -> Tensor:
    x = F.dropout(F.group_norm(x, 2), 0.5)
    return F.rrelu(F.dropout2d(F.silu(x), 0.5), training=True) + torch.rand_like(x)


def _residual(x: Tensor) -> Tensor:
    for _ in range(5):
        x = F.relu(F.instance_norm(x) + x, inplace=True)
    return x


def _split(x: Tensor) -> Tensor:
    low, high = x.chunk(2, dim=1)
    out = torch.empty_like(x, requires_grad=False)
    with torch.no_grad():
        torch.mul(x, 2, out=out)
    pooled, where = F.max_pool2d(x, 2, return_indices=True)
    back = F.max_unpool2d(pooled, where, 2, output_size=x.shape[-2:])
    return torch.cat((low.sigmoid() * high, low.tanh()), dim=1) + out + back * F.interpolate(pooled, x.shape[-2:])


@kinds
@pytest.mark.parametrize("operation", [_in_place, _views, _random, _residual, _split])
def test_any_operation_is_repeated_or_stored(operation: Callable[[Tensor], Tensor], kind: str) -> None:
    left = []
    for which in ("none", kind):
        torch.manual_seed(0)
        model = Foreign(operation, named=True).train()
        model.checkpoint(which)  # type: ignore[arg-type]
        left.append(train(model, batch(2, (9, 14))))
    assert_same(left[1], left[0])


def test_blocks_must_be_named() -> None:
    model = Foreign(_residual)
    model.checkpoint("norms")
    with pytest.raises(RecipeError, match=r"^train.checkpointing: Foreign does not name its blocks: use norms$"):
        model.checkpoint("blocks")


def test_sums_that_are_kept_end_the_chains() -> None:
    # Each of the sums could be made from the first one; without an end that would take quadratic time.
    calls = 0

    class Count(TorchDispatchMode):
        @override
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal calls
            calls += 1
            return func(*args, **(kwargs or {}))

    def steps(depth: int) -> int:
        nonlocal calls
        x = torch.randn(1, 2, 4, 4, requires_grad=True)
        with recomputing("norms", ()):
            y = x
            for _ in range(depth):
                y = F.relu(F.conv2d(y, torch.ones(2, 2, 1, 1)) + y)
        with Count():
            calls = 0
            y.sum().backward()
        return calls

    assert steps(80) < 2.5 * steps(40)


def test_a_change_that_autograd_would_not_see_is_refused() -> None:
    x = torch.ones(4, 4, requires_grad=True)
    with recomputing("norms", ()):
        hidden = x.cumsum(0)
        seen = torch.cat((hidden, hidden)) * 2
        result = seen.square()
        hidden.add_(1)
    with pytest.raises(RecipeError, match="use none"):
        result.sum().backward()


def test_an_operation_that_reads_twice_is_refused() -> None:
    class Square(torch.autograd.Function):
        @staticmethod
        @override
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @override
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            return gradient * (ctx.saved_tensors[0] + ctx.saved_tensors[0])

    x = torch.ones(3, requires_grad=True)
    with recomputing("norms", ()):
        result = Square.apply(x.sigmoid())
    with pytest.raises(RecipeError, match="reads what it saved twice in its backward pass: use none$"):
        result.sum().backward()
