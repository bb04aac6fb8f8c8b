"""What the machine has, and what a run took of it."""

import os
import platform
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

import torch

from segfit.config import Hardware
from segfit.data.disk import cache_folder
from segfit.errors import RecipeError
from segfit.training.memory import free_memory

__all__ = [
    "PeakMemory",
    "autocast",
    "check_compiler",
    "convolutions",
    "device_name",
    "hardware",
    "measured_convolutions",
]

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}

COMPILERS = {
    "cpu": ("CXX", "C++", ("clang++",) if sys.platform == "darwin" else ("g++",)),
    "cuda": ("CC", "C", ("gcc", "clang")),
}
"""What torch.compile calls on a device: the variable that names it, its language, and what is looked for without it."""


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


def check_compiler(device: torch.device) -> None:
    """Check that what torch.compile needs on `device` is installed.

    Raises:
        RecipeError: it is not.
    """
    variable, language, names = COMPILERS[device.type]
    named = shlex.split(os.environ.get(variable, ""))[:1]
    if not any(shutil.which(name) for name in named or names):
        looked = named[0] if named else " or ".join(names)
        raise RecipeError(
            f"train.compile: torch.compile needs a {language} compiler, and there is no {looked}: install one, name "
            f"yours in {variable}, or set train.compile=false"
        )


@contextmanager
def measured_convolutions(device: torch.device) -> Iterator[None]:
    """Let cuDNN measure which of its algorithms is the fastest for each convolution of a batch of fixed size.

    It measures in the first step. The winners differ in rounding, and near ties may be won by another one the next
    time: two runs on a GPU then agree within rounding, not bit for bit. Who asked torch for determinism
    (`torch.use_deterministic_algorithms`, `torch.backends.cudnn.deterministic`) gets cuDNN's own choice, as before.
    """
    before = torch.backends.cudnn.benchmark
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = convolutions(device) == "measured"
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def convolutions(device: torch.device) -> str:
    """Return how the algorithm of a convolution is chosen in training: ``measured`` or ``fixed``."""
    deterministic = torch.are_deterministic_algorithms_enabled() or torch.backends.cudnn.deterministic
    return "fixed" if device.type != "cuda" or deterministic else "measured"


class PeakMemory:
    """The most memory that was in use since this object was made, or last told to forget.

    On a GPU: bytes allocated by torch. On a CPU: the growth of the process's resident memory, so that what Python and
    its libraries take before the run is not counted as the run's.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.kind = "allocated on the GPU" if device.type == "cuda" else "resident in RAM"
        self._floor = 0
        # What an earlier run left in reference cycles would count as this one's.
        free_memory(device)
        self.forget()
        if device.type != "cuda":
            self._floor = _resident_peak()

    def forget(self) -> None:
        """Start the record anew: the peak is what is in use now, or what will be."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            with suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

    def read(self) -> int:
        """Return the peak so far in bytes."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return max(0, _resident_peak() - self._floor)


def _resident_peak() -> int:
    """Return the process's peak resident memory in bytes."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
