"""The GPUs that a recipe may name, and what their makers publish about them.

Rates and bandwidths: NVIDIA's data sheets of T4, P100 (PCIe, 16 GB), V100 (PCIe), L4, A10, A100 (PCIe 40 GB, SXM 80
GB), H100 and H200 (SXM); the GeForce cards from the tables in NVIDIA's papers on the architectures Ampere GA102, Ada
and RTX Blackwell, or as 2 x CUDA cores x boost clock where these leave a card out. All rates are dense: where a data
sheet only states the rate with sparsity, half of it stands here. Half precision is that with sums in float32, as cuDNN
computes; on GeForce cards it is half of the rate that is advertised.

Memory is about what CUDA reports for a card (``torch.cuda.get_device_properties``; out-of-memory messages quote it),
which is up to 8 % less than the printed number of GiB and differs a little between drivers; in doubt rounded down.
"""

import difflib
import re
from dataclasses import dataclass

from segfit.errors import RecipeError, did_you_mean
from segfit.units import parse_memory

__all__ = ["GPUS", "Gpu", "find_gpu", "fit_target"]

GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One kind of GPU.

    Attributes:
        name: what it is called in recipes and tables.
        memory: bytes that CUDA reports.
        fp32: floating-point operations per second in float32, without tensor cores.
        tf32: those of float32 convolutions on tensor cores, which torch uses where they exist; None where they do not.
        fp16: in float16 with float32 accumulation.
        bf16: in bfloat16; None where it is emulated.
        bandwidth: bytes per second between chip and memory.
    """

    name: str
    memory: int
    fp32: float
    tf32: float | None
    fp16: float
    bf16: float | None
    bandwidth: float

    @property
    def precisions(self) -> tuple[str, ...]:
        """Arithmetic that is native, the fastest first; of two equally fast ones that with the larger range."""
        return ("bf16", "fp16", "fp32") if self.bf16 is not None else ("fp16", "fp32")

    def flops(self, precision: str) -> float:
        """Return the peak rate of convolutions in ``fp32``, ``fp16`` or ``bf16``, operations per second.

        A precision that is emulated has the rate of float32 at best.
        """
        rates = {"fp32": self.tf32, "fp16": self.fp16, "bf16": self.bf16}
        return rates[precision] or self.fp32


def _server(
    name: str, gib: float, fp32: float, tf32: float | None, half: float, bandwidth: float, *, bf16: bool = True
) -> Gpu:
    """Return a GPU from GiB, TFLOP/s and GB/s."""
    return Gpu(
        name=name,
        memory=int(gib * GIB),
        fp32=fp32 * 1e12,
        tf32=None if tf32 is None else tf32 * 1e12,
        fp16=half * 1e12,
        bf16=half * 1e12 if bf16 else None,
        bandwidth=bandwidth * 1e9,
    )


def _geforce(name: str, gib: float, fp32: float, bandwidth: float) -> Gpu:
    """Return a GeForce card since Ampere, whose tensor cores are as fast in TF32 as its others in float32."""
    return _server(f"RTX {name}", gib, fp32, fp32, 2 * fp32, bandwidth)


# fmt: off
TABLE = (
    #        name        GiB     fp32   tf32   half   GB/s
    _server("T4",        14.56,   8.1,  None,   65.0,  320, bf16=False),
    _server("P100",      15.89,   9.3,  None,   18.7,  732, bf16=False),
    _server("V100-16GB", 15.77,  14.0,  None,  112.0,  900, bf16=False),
    _server("V100-32GB", 31.73,  14.0,  None,  112.0,  900, bf16=False),
    _server("L4",        22.03,  30.3,  60.5,  121.0,  300),
    _server("A10",       22.06,  31.2,  62.5,  125.0,  600),
    _server("A100-40GB", 39.39,  19.5, 156.0,  312.0, 1555),
    _server("A100-80GB", 79.14,  19.5, 156.0,  312.0, 2039),
    _server("H100",      79.11,  66.9, 494.7,  989.4, 3350),
    _server("H200",     139.72,  66.9, 494.7,  989.4, 4800),
    _geforce("3060",     11.76,  12.7,  360),
    _geforce("3070",      7.78,  20.3,  448),
    _geforce("3080",      9.77,  29.8,  760),
    _geforce("3090",     23.57,  35.6,  936),
    _geforce("4060",      7.62,  15.1,  272),
    _geforce("4070",     11.60,  29.1,  504),
    _geforce("4080",     15.57,  48.7,  717),
    _geforce("4090",     23.52,  82.6, 1008),
    _geforce("5060",      7.53,  19.2,  448),
    _geforce("5060 Ti",  15.48,  23.7,  448),
    _geforce("5070",     11.50,  30.9,  672),
    _geforce("5070 Ti",  15.47,  43.9,  896),
    _geforce("5080",     15.47,  56.3,  960),
    _geforce("5090",     31.36, 104.8, 1792),
)
# fmt: on

GPUS = {gpu.name.lower().replace(" ", ""): gpu for gpu in TABLE}
"""By the name that a recipe or ``--gpu`` gives: ``t4``, ``a100-80gb``, ``rtx3090``."""

SMALLER = {"v100": "v100-16gb", "a100": "a100-40gb"}
"""A name that two kinds share means the smaller one: what fits there fits both."""


def find_gpu(name: str) -> Gpu:
    """Return the GPU that is called `name`; case, spaces, dashes and the maker's words do not matter.

    ``3090``, ``RTX 3090`` and ``NVIDIA GeForce RTX 3090`` are one card, ``v100`` and ``a100`` the smaller of two.

    Raises:
        RecipeError: none is.
    """
    found = _found(name)
    if found is None:
        raise RecipeError(f"no GPU is called {name!r}{_meant(name)}")
    return found


def fit_target(text: str) -> Gpu | int:
    """Return what ``train.fit`` says: a GPU, or bytes.

    Raises:
        RecipeError: it says neither.
    """
    try:
        return parse_memory(text)
    except ValueError:
        found = _found(text)
    if found is None:
        raise RecipeError(f"train.fit: {text!r} is neither an amount of memory (16GB) nor a GPU{_meant(text)}")
    return found


def _found(name: str) -> Gpu | None:
    known = {_plain(key): gpu for key, gpu in GPUS.items()} | {word: GPUS[key] for word, key in SMALLER.items()}
    return known.get(_plain(name))


def _meant(name: str) -> str:
    """Return the closest name, or all of them; names are so short that one wrong letter is half of the word."""
    close = difflib.get_close_matches(name.lower(), [*GPUS, *SMALLER], n=1, cutoff=0.5)
    return did_you_mean(close[0], close) if close else did_you_mean("", GPUS)


def _plain(name: str) -> str:
    return re.sub(r"nvidia|geforce|tesla|rtx|[\s_-]", "", name.lower())
