"""What the machine has, and what a run took of it."""

import ctypes
import gc
import os
import platform
import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

import torch

from segfit.config import Hardware
from segfit.data.disk import cache_folder

__all__ = ["PeakMemory", "autocast", "device_name", "hardware"]

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def hardware() -> Hardware:
    """Return what this machine offers to a run."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cores = max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    native: dict[str, tuple[str, ...]] = {"cpu": ("bf16", "fp32") if _cpu_has_bf16() else ("fp32",)}
    if torch.cuda.is_available():
        bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        native["cuda"] = ("bf16", "fp16", "fp32") if bf16 else ("fp16", "fp32")
    return Hardware(precisions=native, cores=cores, cache=cache_folder())


def _cpu_has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 natively; emulated it is many times slower than float32."""
    checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(check() for check in checks if check is not None)


def device_name(device: torch.device) -> str:
    """Return the name that people know the device by."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Return the context in which the forward pass runs."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=DTYPES[precision])


class PeakMemory:
    """The most memory that was in use since this object was made.

    On a GPU: bytes allocated by torch. On a CPU: the growth of the process's resident memory, so that what Python and
    its libraries take before the run is not counted as the run's.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.kind = "allocated on the GPU" if device.type == "cuda" else "resident in RAM"
        self._floor = 0
        if device.type == "cuda":
            # What an earlier run left in reference cycles would count as this one's.
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        else:
            _give_back()
            self._floor = _resident_peak()

    def read(self) -> int:
        """Return the peak so far in bytes."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return max(0, _resident_peak() - self._floor)


def _give_back() -> None:
    """Return freed memory to the system and restart its record of the peak, so that an earlier run leaves no trace."""
    gc.collect()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _resident_peak() -> int:
    """Return the process's peak resident memory in bytes."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
