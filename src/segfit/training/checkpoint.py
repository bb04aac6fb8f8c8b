"""Checkpoints: one safetensors file that holds weights, optimizer state and where the run stood. Nothing is unpickled.

Weights stand under their plain names, so any tool can read them; optimizer tensors under ``optimizer/PARAMETER/KEY``,
a moving average of the weights under ``average/NAME``; scalars and progress as JSON in the file's metadata. One file,
replaced atomically: weights and state cannot disagree.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from segfit.errors import RunError
from segfit.folder import replacing
from segfit.training.average import MovingAverage

__all__ = ["StoredWeights", "load_checkpoint", "load_weights", "open_weights", "save_checkpoint", "save_weights"]

PREFIX = "optimizer/"
AVERAGE = "average/"


def save_weights(path: Path, model: nn.Module, facts: dict[str, Any]) -> None:
    """Write the model's state dict, with JSON `facts` in the metadata."""
    _write(path, dict(model.state_dict()), facts)


def save_checkpoint(
    path: Path, model: nn.Module, optimizer: Optimizer, facts: dict[str, Any], average: MovingAverage | None = None
) -> None:
    """Write weights, optimizer state, the moving average and `facts` (where the run stands)."""
    tensors = dict(model.state_dict())
    if average is not None:
        tensors.update({f"{AVERAGE}{name}": value for name, value in average.values.items()})
        facts = {**facts, "averaged": average.steps}
    scalars: dict[str, dict[str, Any]] = {}
    for name, parameter in _named(model, optimizer).items():
        for key, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                tensors[f"{PREFIX}{name}/{key}"] = value
            else:
                scalars.setdefault(name, {})[key] = value
    _write(path, tensors, {**facts, "optimizer": scalars})


def load_weights(path: Path, model: nn.Module) -> dict[str, Any]:
    """Load the weights of a checkpoint into `model` and return its facts; the moving average where there is one.

    Raises:
        RunError: the file is missing, truncated or of another model.
    """
    tensors, facts = _read(path)
    _load(path, model, {**tensors, **_under(AVERAGE, tensors)})
    return facts


def load_checkpoint(
    path: Path, model: nn.Module, optimizer: Optimizer, average: MovingAverage | None = None
) -> dict[str, Any]:
    """Load weights, optimizer state and the moving average and return the facts; errors as in `load_weights`."""
    tensors, facts = _read(path)
    _load(path, model, tensors)
    if average is not None:
        average.restore(_under(AVERAGE, tensors), facts.pop("averaged"))
    scalars = facts.pop("optimizer", {})
    fused = {id(parameter) for group in optimizer.param_groups if group.get("fused") for parameter in group["params"]}
    for name, parameter in _named(model, optimizer).items():
        state: dict[str, Any] = _under(f"{PREFIX}{name}/", tensors)
        state.update(scalars.get(name, {}))
        if state:
            optimizer.state[parameter] = {
                key: _placed(key, value, parameter, id(parameter) in fused) if isinstance(value, Tensor) else value
                for key, value in state.items()
            }
    return facts


class StoredWeights:
    """The weights in an open checkpoint, as `load_weights` takes them, read one tensor at a time.

    Attributes:
        facts: what the checkpoint says beside its tensors.
        names: of the weights, in the file's order.
    """

    def __init__(self, file: Any, facts: dict[str, Any]) -> None:
        self._file, self.facts = file, facts
        stored = set(file.keys())
        self._keys = {
            name: f"{AVERAGE}{name}" if f"{AVERAGE}{name}" in stored else name
            for name in file.keys()  # noqa: SIM118 (not a mapping)
            if not name.startswith((PREFIX, AVERAGE))
        }
        self.names = list(self._keys)

    def tensor(self, name: str) -> Tensor:
        """Read a tensor."""
        return self._file.get_tensor(self._keys[name])  # type: ignore[no-any-return]

    def kind(self, name: str) -> str:
        """Return the shape and the type of a tensor, which is not read for that: ``(64, 3, 3, 3) F32``."""
        tensor = self._file.get_slice(name)
        return f"{tuple(tensor.get_shape())} {tensor.get_dtype()}"


@contextmanager
def open_weights(path: Path) -> Iterator[StoredWeights]:
    """Open the weights of a checkpoint.

    Raises:
        RunError: the file is missing, truncated or not a checkpoint.
    """
    file, facts = _open(path)
    with file:
        yield StoredWeights(file, facts)


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


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin so, without that."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _load(path: Path, model: nn.Module, tensors: dict[str, Tensor]) -> None:
    weights = {name: tensor for name, tensor in tensors.items() if not name.startswith((PREFIX, AVERAGE))}
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
        raise RunError(f"{path}: cannot be written ({error}): free disk space; what was there before is kept") from None


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    file, facts = _open(path)
    with file:
        return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118 (not a mapping)


def _open(path: Path) -> tuple[Any, dict[str, Any]]:
    """Return the file, to be entered, and its facts; that it is whole is checked here."""
    try:
        file: Any = safe_open(path, framework="pt")
        facts = json.loads((file.metadata() or {}).get("segfit", "null"))
    except FileNotFoundError:
        raise RunError(f"{path}: no such checkpoint: the run stopped before its first one; train it again") from None
    except (OSError, SafetensorError, ValueError) as error:
        raise RunError(f"{path}: not a readable checkpoint ({error})") from None
    if not isinstance(facts, dict):
        raise RunError(f"{path}: not a segfit checkpoint (it has no facts in its metadata)")
    return file, facts
