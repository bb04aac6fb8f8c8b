"""A full memory is told from every other failure, and what nobody refers to is given back."""

import resource
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from segfit.errors import RunError
from segfit.training.memory import free_memory, is_out_of_memory


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        np._core._exceptions._ArrayMemoryError((10**15,), np.dtype("uint8")),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        torch.OutOfMemoryError(),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
    ids=repr,
)
def test_a_full_memory_is_recognised(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("The size of tensor a (4) must match the size of tensor b (60)"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        ValueError("out of memory"),
        RunError("runs/a: out of memory in step 3 at 15.9 GB, …"),  # an answer to it, for people
        KeyboardInterrupt(),
    ],
    ids=repr,
)
def test_other_failures_are_not(error):
    assert not is_out_of_memory(error)


TOO_MUCH = """
import resource, torch
from segfit.training.memory import is_out_of_memory
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 100_000_000, resource.RLIM_INFINITY))
for work in (
    lambda: torch.zeros(50_000_000),
    lambda: bytearray(200_000_000),
    lambda: torch.nn.Conv2d(8, 64, 3, padding=1)(torch.zeros(1, 8, 800, 800)),
    lambda: torch.nn.Conv2d(64, 64, 3)(torch.zeros(1, 64, 256, 256, requires_grad=True)).square().sum().backward(),
):
    try:
        work()
    except Exception as error:
        print(is_out_of_memory(error), type(error), str(error)[:200])
    else:
        print("it fitted")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the address space")
def test_what_this_torch_raises_is_recognised():
    done = subprocess.run([sys.executable, "-c", TOO_MUCH], capture_output=True, text=True, timeout=100, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("True") for line in lines), done.stdout


def test_what_is_only_held_by_a_cycle_is_freed():
    class Holder:
        pass

    holder = Holder()
    holder.itself, holder.tensor = holder, torch.zeros(10)
    left = weakref.ref(holder.tensor)
    del holder
    free_memory(torch.device("cpu"))
    assert left() is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads what the process has resident")
def test_the_system_gets_freed_memory_back():
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    # Too small each to be mapped by itself, and kept apart by what stays.
    before = resident()
    pieces = [bytearray(50_000) for _ in range(4000)]
    kept = [bytearray(100) for _ in range(10)]
    assert resident() - before > 150_000_000
    del pieces
    free_memory(torch.device("cpu"))
    assert resident() - before < 100_000_000
    assert len(kept) == 10
