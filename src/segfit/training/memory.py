"""When memory is full: how torch says so, and how to get back what a failed attempt took."""

import ctypes
import gc
import sys
from contextlib import suppress

import torch

__all__ = ["free_memory", "is_out_of_memory"]

SIGNS = (
    "out of memory",  # torch's allocator on a GPU, and CUDA itself
    "can't allocate memory",  # torch's allocator on the CPU
    "status_alloc_failed",  # cuBLAS and cuDNN
)
"""What a RuntimeError says, in lower case, when memory is full."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` means that the memory of the device, or of the machine, is full.

    On a GPU torch raises a subclass of RuntimeError, on the CPU a plain one; Python and NumPy raise MemoryError.
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in SIGNS)


def free_memory(device: torch.device) -> None:
    """Give back what nothing refers to any more: reference cycles, and what the allocators keep for later.

    Call it when the error has been let go: its traceback refers to everything that the failed call had made.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)
