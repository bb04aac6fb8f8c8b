"""Whether two recipes describe one run, so that the second may go on where the first one stopped."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segfit.config.sections import Recipe
from segfit.errors import RunError

__all__ = ["check_same"]

FREE = {
    "name",
    "train.epochs",
    "train.steps",
    "train.device",
    "train.workers",
    "train.fit",
    "train.autotune",
    "train.validate_every",
    "train.continue_from",
    "evaluate.batch",
    "evaluate.checkpoint",
    "evaluate.examples",
}
"""What may change between two starts of a run: no checkpoint, and no score that chose one, depends on it."""


def check_same(stored: Recipe, wanted: Recipe, where: Path) -> None:
    """Check that a run made with `stored` may go on under `wanted`; both are resolved.

    Args:
        stored: what the run was started with.
        wanted: what it is to go on with.
        where: the run's folder, for the message.

    Raises:
        RunError: `wanted` describes another run, or a shorter one.
    """
    before, after = _flat(stored.model_dump(mode="json")), _flat(wanted.model_dump(mode="json"))
    for key in sorted((before.keys() | after.keys()) - FREE):
        if before.get(key) != after.get(key):
            raise RunError(
                f"{where}: was trained with {key}={before.get(key)}, not {after.get(key)}: choose another folder "
                "(--out) or another name, or remove this one"
            )
    for unit in ("epochs", "steps"):
        planned, asked = before[f"train.{unit}"], after[f"train.{unit}"]
        if planned is not None and asked is not None and asked < planned:
            raise RunError(f"{where}: was planned for {planned} {unit}, more than {asked}: choose another name")


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested dictionaries with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat.update(_flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return flat
