"""Checkpoints: one safetensors file that holds weights, optimizer state and where the run stood. Nothing is unpickled.

Weights stand under their plain names, so any tool can read them; optimizer tensors under ``optimizer/PARAMETER/KEY``;
scalars and progress as JSON in the file's metadata. One file, replaced atomically: weights and state cannot disagree.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from segfit.errors import RunError
from segfit.folder import replacing

__all__ = ["load_checkpoint", "load_weights", "save_checkpoint", "save_weights"]

PREFIX = "optimizer/"


def save_weights(path: Path, model: nn.Module, facts: dict[str, Any]) -> None:
    """Write the model's state dict, with JSON `facts` in the metadata."""
    _write(path, dict(model.state_dict()), facts)


def save_checkpoint(path: Path, model: nn.Module, optimizer: Optimizer, facts: dict[str, Any]) -> None:
    """Write weights, optimizer state and `facts` (where the run stands)."""
    tensors = dict(model.state_dict())
    scalars: dict[str, dict[str, Any]] = {}
    for name, parameter in _named(model, optimizer).items():
        for key, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                tensors[f"{PREFIX}{name}/{key}"] = value
            else:
                scalars.setdefault(name, {})[key] = value
    _write(path, tensors, {**facts, "optimizer": scalars})


def load_weights(path: Path, model: nn.Module) -> dict[str, Any]:
    """Load the weights of a checkpoint into `model` and return its facts.

    Raises:
        RunError: the file is missing, truncated or of another model.
    """
    tensors, facts = _read(path)
    _load(path, model, tensors)
    return facts


def load_checkpoint(path: Path, model: nn.Module, optimizer: Optimizer) -> dict[str, Any]:
    """Load weights and optimizer state and return the facts; errors as in `load_weights`."""
    tensors, facts = _read(path)
    _load(path, model, tensors)
    scalars = facts.pop("optimizer", {})
    fused = {id(parameter) for group in optimizer.param_groups if group.get("fused") for parameter in group["params"]}
    for name, parameter in _named(model, optimizer).items():
        prefix = f"{PREFIX}{name}/"
        state: dict[str, Any] = {
            key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
        }
        state.update(scalars.get(name, {}))
        if state:
            optimizer.state[parameter] = {
                key: _placed(key, value, parameter, id(parameter) in fused) if isinstance(value, Tensor) else value
                for key, value in state.items()
            }
    return facts


def _placed(key: str, value: Tensor, parameter: Tensor, fused: bool) -> Tensor:
    """Return a tensor of a parameter's optimizer state where, and as, the optimizer would have made it.

    Adam keeps its step count on the CPU, but a fused one reads it in its kernel; everything else lives with its
    parameter, in its memory format.
    """
    if key != "step" and value.shape == parameter.shape:
        return torch.empty_like(parameter).copy_(value)
    return value.to(parameter.device) if fused else value


def _named(model: nn.Module, optimizer: Optimizer) -> dict[str, nn.Parameter]:
    """Return the optimizer's parameters by their name in the model."""
    optimized = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    return {name: parameter for name, parameter in model.named_parameters() if id(parameter) in optimized}


def _load(path: Path, model: nn.Module, tensors: dict[str, Tensor]) -> None:
    weights = {name: tensor for name, tensor in tensors.items() if not name.startswith(PREFIX)}
    expected = model.state_dict()
    for name in sorted(expected.keys() | weights.keys()):
        if name not in weights or name not in expected or weights[name].shape != expected[name].shape:
            raise RunError(f"{path}: does not fit the model (first difference: {name}): was the recipe changed?")
    model.load_state_dict(weights)


def _write(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    try:
        with replacing(path) as temporary:
            contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
            save_file(contiguous, temporary, metadata={"segfit": json.dumps(facts)})
    except (OSError, SafetensorError) as error:
        raise RunError(f"{path}: cannot be written ({error}): free disk space; the last checkpoint is kept") from None


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("segfit", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except FileNotFoundError:
        raise RunError(f"{path}: no such checkpoint: the run stopped before its first one; train it again") from None
    except (OSError, SafetensorError, ValueError) as error:
        raise RunError(f"{path}: not a readable checkpoint ({error})") from None
    if not isinstance(facts, dict):
        raise RunError(f"{path}: not a segfit checkpoint (it has no facts in its metadata)")
    return tensors, facts
