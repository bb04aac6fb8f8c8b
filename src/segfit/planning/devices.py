"""What a run has to fit in: a GPU from the table, an amount of memory, or what is present."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from segfit.config.gpus import Gpu
from segfit.planning.roofline import Speed, measured, published
from segfit.training.device import device_name, hardware
from segfit.units import memory

__all__ = ["Device", "named", "of_size", "present"]

CONTEXT = 600_000_000
"""Bytes that are taken before the first tensor: a CUDA context with the kernels of torch, cuBLAS and cuDNN (0.4 to 0.6
GB, by architecture); on a CPU, Python with these libraries."""

SLACK = 0.05
"""Share of the rest that is left free: the allocator's gaps between blocks, and workspaces that cuDNN chooses at run
time. An assumption, not a measurement: segfit's plan is exact to about as much."""

RAM_SHARE = 0.75
"""Share of the RAM that a run on the CPU may take: the system, the loader's processes and the file cache need some."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """What one rank has.

    Attributes:
        name: for people.
        kind: what torch calls it.
        memory: bytes in total.
        precisions: arithmetic that is native, the fastest first.
        speed: None where it is not known.
    """

    name: str
    kind: Literal["cpu", "cuda"]
    memory: int
    precisions: tuple[str, ...]
    speed: Speed | None

    @property
    def room(self) -> int:
        """Bytes that tensors may take: what is left beside the libraries and some slack."""
        return max(0, int((self.memory - CONTEXT) * (1 - SLACK)))


def named(gpu: Gpu) -> Device:
    """Return a GPU of the table."""
    return Device(name=gpu.name, kind="cuda", memory=gpu.memory, precisions=gpu.precisions, speed=published(gpu))


def of_size(size: int, like: Device | None = None) -> Device:
    """Return a device with `size` bytes: as fast as `like`, else a GPU of unknown speed that has float16."""
    if like is not None:
        return Device(
            name=f"{memory(size)} of {like.name}",
            kind=like.kind,
            memory=size,
            precisions=like.precisions,
            speed=like.speed,
        )
    return Device(name=f"GPU with {memory(size)}", kind="cuda", memory=size, precisions=("fp16", "fp32"), speed=None)


def present(device: torch.device) -> Device:
    """Return what this machine has; its speed is measured, which takes about a second.

    Several ranks on one machine share its RAM.
    """
    kind: Literal["cpu", "cuda"] = "cuda" if device.type == "cuda" else "cpu"
    precisions = tuple(hardware().precisions[kind])
    if kind == "cuda":
        size = torch.cuda.get_device_properties(device).total_memory
    else:
        size = int(_ram() * RAM_SHARE) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return Device(
        name=device_name(device), kind=kind, memory=size, precisions=precisions, speed=measured(device, precisions)
    )


def _ram() -> int:
    """Return the bytes of RAM that this process may use: of the machine, or of its control group (containers)."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return total
