"""State dicts from outside: torchvision's published weights, and files that the user names."""

import contextlib
import sys
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torchvision.models import WeightsEnum

from segfit.errors import RecipeError

__all__ = ["published_weights", "read_weights"]


def published_weights(weights: WeightsEnum, *, option: str, instead: str) -> Mapping[str, Tensor]:
    """Return torchvision's weights from its cache, or download them into it.

    Args:
        weights: which ones.
        option: what asks for them, for the error message.
        instead: what the user can do without a network, for the error message.

    Raises:
        RecipeError: they cannot be downloaded.
    """
    try:
        # torch announces the download on standard output, which belongs to the command's result.
        with contextlib.redirect_stdout(sys.stderr):
            state: Mapping[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, HTTPException, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise RecipeError(
            f"{option}: {weights} cannot be downloaded ({reason}): {instead}, or connect to the network"
        ) from None
    return state


def read_weights(path: Path, *, option: str) -> Mapping[str, Tensor]:
    """Return the state dict in a file, a safetensors file or what `torch.save` wrote; no code in it is ever run.

    Args:
        path: the file; its content, not its name, decides how it is read.
        option: what names it, for the error message.

    Raises:
        RecipeError: it is something else, or cannot be read.
    """
    try:
        return load_file(path) if _is_safetensors(path) else _unpickled(path)
    except OSError as error:
        raise RecipeError(f"{option}: {path} cannot be read: {error.strerror or error}") from None
    except Exception as error:  # noqa: BLE001 (a damaged pickle can end in any)
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise RecipeError(f"{option}: {path} is neither a safetensors file nor a state dict ({reason})") from None


def _is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors do: with the length of a header in 8 bytes, and a header in JSON."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def _unpickled(path: Path) -> Mapping[str, Tensor]:
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError("it holds something else")
    return state
