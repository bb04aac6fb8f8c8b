"""How long a step takes: every operation as long as its arithmetic or its memory traffic needs, whichever is more.

Williams, Waterman, Patterson, "Roofline: an insightful visual performance model for multicore architectures", CACM
2009. Convolutional networks spend most of their time below the roof's slope, moving tensors; so the sum over single
operations says far more than total arithmetic divided by the peak rate.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from segfit.config.gpus import Gpu
from segfit.planning.footprint import Operation
from segfit.training.device import autocast

__all__ = ["LINK", "Speed", "all_reduce_seconds", "measured", "published", "step_seconds"]

EFFICIENCY = 0.6
"""Share of the published roofline that training reaches: with it the times of the paper's UNets and DeepLabV3 come out
within 9 % on two T4 (docs/paper.md)."""

LINK = 10e9
"""Bytes per second between two GPUs: PCIe 3.0 x16 as NCCL uses it. NVLink is several times faster."""

PRECISIONS = ("fp32", "fp16", "bf16")


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How fast a device computes and moves.

    Attributes:
        flops: floating-point operations per second of convolutions, by precision.
        bandwidth: bytes per second between the device and its memory.
        efficiency: share of both that training reaches.
        source: ``"published"`` or ``"measured"``.
    """

    flops: Mapping[str, float]
    bandwidth: float
    efficiency: float
    source: str


def published(gpu: Gpu) -> Speed:
    """Return the speed of a GPU by its data sheet."""
    return Speed(
        flops={precision: gpu.flops(precision) for precision in PRECISIONS},
        bandwidth=gpu.bandwidth,
        efficiency=EFFICIENCY,
        source="published",
    )


def step_seconds(operations: Iterable[Operation], speed: Speed) -> float:
    """Return the seconds that the operations of a step take one after the other."""
    # Integers only move: a dtype without a rate has no arithmetic that counts.
    ideal = sum(
        operation.seconds(speed.flops.get(operation.dtype, math.inf), speed.bandwidth) for operation in operations
    )
    return ideal / speed.efficiency


def all_reduce_seconds(parameters: int, world: int) -> float:
    """Return the seconds in which `world` GPUs add up the float32 gradients of `parameters` over a ring.

    Not hidden behind the backward pass, which is where most of it takes place: an upper limit.
    """
    return 2 * (world - 1) / world * 4 * parameters / LINK


# --- measuring -------------------------------------------------------------------------------------------------------

CHANNELS, SIDE, BATCH = 64, 64, 8
"""Convolutions of the size that is most of a segmentation model's work."""

COPIED = 64 * 2**20
"""Bytes of the copy that measures the bandwidth: more than any cache holds."""

TIME = 0.1
"""Seconds for each measurement."""


@cache
def measured(device: torch.device, precisions: tuple[str, ...]) -> Speed:
    """Return what `device` reaches: 3x3 convolutions forward in each precision, and a copy; once, in half a second.

    Args:
        device: present in this machine.
        precisions: those that are native there.
    """
    source = torch.ones(COPIED, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    seconds = _fastest(lambda: target.copy_(source), device)
    return Speed(
        flops={precision: _convolution_rate(device, precision) for precision in precisions},
        bandwidth=2 * COPIED / seconds,
        efficiency=1.0,
        source="measured",
    )


@torch.no_grad()
def _convolution_rate(device: torch.device, precision: str) -> float:
    x = torch.randn(BATCH, CHANNELS, SIDE, SIDE, device=device).to(memory_format=torch.channels_last)
    weight = torch.randn(CHANNELS, CHANNELS, 3, 3, device=device)

    def convolve() -> Tensor:
        with autocast(device, precision):
            return F.conv2d(x, weight, padding=1)

    return 2 * x.numel() * weight.numel() / CHANNELS / _fastest(convolve, device)


def _fastest(work: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of the fastest of several calls: others may take the machine for a while, none gives time."""
    best, deadline = float("inf"), time.perf_counter() + TIME
    work()
    while time.perf_counter() < deadline or best == float("inf"):
        _wait(device)
        started = time.perf_counter()
        work()
        _wait(device)
        best = min(best, time.perf_counter() - started)
    return best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
