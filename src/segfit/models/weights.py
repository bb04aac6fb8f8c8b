"""State dicts from outside: torchvision's published weights, and files that the user names."""

import contextlib
import sys
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path

from safetensors import SafetensorError
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
    """Return the state dict in a safetensors file; a pickle is refused, because reading one may run what is in it.

    Args:
        path: the file.
        option: what names it, for the error message.

    Raises:
        RecipeError: it is something else, or cannot be read.
    """
    try:
        return load_file(path)
    except OSError as error:
        raise RecipeError(f"{option}: {path} cannot be read: {error.strerror or error}") from None
    except SafetensorError as error:
        raise RecipeError(
            f"{option}: {path} is not a safetensors file ({error}): write one with safetensors.torch.save_file"
        ) from None
