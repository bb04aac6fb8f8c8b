"""The loss alone, forward and backward from the native part of the output: plain, by strips, and torch's chunks."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peers import plain_scores
from race import PLAIN, timed
from segfit.labels import IGNORE
from segfit.losses.cross_entropy import CrossEntropy
from segfit.models import FeatureOutput, Output, ScoreOutput
from segfit.planning.measure import measured_peak

__all__ = ["measure_losses"]

CHANNELS = 64
"""Of the features at full size."""

REDUCTION = 4
"""Native size of the scores that are to be enlarged."""

WARM_UP = 2


def measure_losses(size: int, batch: int, rounds: int, device: str) -> dict[str, Any]:
    """Return for each case its name and, for each contender, seconds of every round and the peak of memory in bytes.

    The contenders take turns. Values and gradients are compared with the plain way's.

    Raises:
        AssertionError: they do not agree.
    """
    cases = [
        _measure(kind, classes, order, size, batch, rounds, device)
        for kind in ("features", "scores")
        for classes in (10, 150)
        for order in ("channels_last", "contiguous_format")
    ]
    return {"cases": cases}


def _measure(kind: str, classes: int, order: str, size: int, batch: int, rounds: int, device: str) -> dict[str, Any]:
    output, target = _example(kind, classes, getattr(torch, order), size, batch, device)
    leaves = [output.native, *output.parameters]
    works: dict[str, Callable[[], Tensor]] = {
        PLAIN: lambda: F.cross_entropy(plain_scores(output, (size, size)), target, ignore_index=IGNORE),
        "segfit": lambda: CrossEntropy(classes)(output, target)["loss"],
    }
    if isinstance(output, FeatureOutput) and hasattr(nn, "LinearCrossEntropyOptions"):
        works["torch, chunked"] = lambda: _chunked(output, target)

    def step(work: Callable[[], Tensor]) -> list[Tensor]:
        loss = work()
        return [loss, *torch.autograd.grad(loss, leaves)]

    expected = step(works[PLAIN])
    for work in works.values():
        for ours, theirs in zip(step(work), expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3 * theirs.abs().max().item())
    del expected
    found: dict[str, dict[str, Any]] = {name: {"seconds": []} for name in works}
    for number in range(-WARM_UP, rounds):
        for name, work in works.items():
            seconds = timed(lambda work=work: step(work), device)  # type: ignore[misc]
            if number >= 0:
                found[name]["seconds"].append(seconds)
    for name, work in works.items():
        found[name]["peak"] = measured_peak(lambda work=work: step(work), torch.device(device))  # type: ignore[misc]
    how = f"{CHANNELS} features x classifier" if kind == "features" else f"scores enlarged {REDUCTION} times"
    title = f"{how}, {classes} classes, {batch} x {size} x {size}, {order.removesuffix('_format')}"
    return {"name": title, "contenders": found}


def _example(
    kind: str, classes: int, order: torch.memory_format, size: int, batch: int, device: str
) -> tuple[Output, Tensor]:
    torch.manual_seed(0)
    target = torch.randint(0, classes, (batch, size, size))
    target[torch.rand(target.shape) < 0.1] = IGNORE
    shape = (CHANNELS, size, size) if kind == "features" else (classes, size // REDUCTION, size // REDUCTION)
    native = torch.randn(batch, *shape).to(device, memory_format=order).requires_grad_()
    if kind == "scores":
        return ScoreOutput(native), target.to(device)
    classifier = nn.Conv2d(CHANNELS, classes, 1).to(device, memory_format=order)  # type: ignore[call-overload]
    return FeatureOutput(native, classifier), target.to(device)


def _chunked(output: FeatureOutput, target: Tensor) -> Tensor:
    """Return torch's chunked loss: it wants one row of features per pixel."""
    return F.linear_cross_entropy(
        output.native.movedim(1, -1).reshape(-1, output.native.shape[1]),
        output.classifier.weight.flatten(1),
        target.flatten(),
        linear_bias=output.classifier.bias,
        ignore_index=IGNORE,
        options=nn.LinearCrossEntropyOptions(),
    )
