"""Whether two recipes describe one run, so that the second may go on where the first one stopped."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segfit.config.sections import Recipe
from segfit.errors import RunError

__all__ = ["FREE", "PLACE", "adopt_settled", "check_same", "dotted"]

PLACE = {
    "name",
    "train.device",
    "train.workers",
    "train.fit",
    "train.autotune",
    "evaluate.batch",
    "evaluate.examples",
}
"""Where and how a run is made: what decides neither a weight nor a score."""

FREE = PLACE | {
    "train.epochs",
    "train.steps",
    "train.validate_every",
    "train.continue_from",
    "evaluate.boundary",
    "evaluate.checkpoint",
}
"""What may change between two starts of a run: no checkpoint, and no score that chose one, depends on it."""


def adopt_settled(stored: Recipe, wanted: Recipe) -> Recipe:
    """Return `wanted` with what it leaves to planning and measuring as the run's start settled it.

    Args:
        stored: what the run was started with.
        wanted: what it is to go on with. An automatic batch, ``train.fit`` and ``train.autotune`` leave values open.
    """
    train, optim = wanted.train, wanted.optim
    settled: list[str] = []
    if train.batch == "auto":
        settled.append("batch")
    if train.fit is not None:
        settled += ["precision", "checkpointing", "accumulate"]
    if train.autotune:
        settled += ["channels_last", "compile"]
        optim = optim.model_copy(update={"fused": stored.optim.fused})
    train = train.model_copy(update={field: getattr(stored.train, field) for field in settled})
    evaluate = wanted.evaluate
    if "batch" in settled or "accumulate" in settled:
        evaluate = evaluate.model_copy(update={"batch": stored.evaluate.batch})
    return wanted.model_copy(update={"train": train, "optim": optim, "evaluate": evaluate})


AGAIN = "choose another folder (--out) or another name, or remove this one"


def check_same(stored: Recipe, wanted: Recipe, where: Path, *, remedy: str = AGAIN) -> None:
    """Check that a run made with `stored` may go on under `wanted`; both are resolved.

    Args:
        stored: what the run was started with.
        wanted: what it is to go on with.
        where: the run's folder, for the message.
        remedy: what to do about it, for the message.

    Raises:
        RunError: `wanted` describes another run, or a shorter one.
    """
    before, after = dotted(stored.model_dump(mode="json")), dotted(wanted.model_dump(mode="json"))
    for key in sorted((before.keys() | after.keys()) - FREE):
        if before.get(key) != after.get(key):
            raise RunError(f"{where}: was trained with {key}={before.get(key)}, not {after.get(key)}: {remedy}")
    for unit in ("epochs", "steps"):
        planned, asked = before[f"train.{unit}"], after[f"train.{unit}"]
        if planned is not None and asked is not None and asked < planned:
            raise RunError(f"{where}: was planned for {planned} {unit}, more than {asked}: choose another name")


def dotted(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a recipe's sections as one dictionary, by the names of overrides: ``train.epochs``."""
    fields: dict[str, Any] = {}
    for key, value in tree.items():
        nested = isinstance(value, dict) and value
        fields.update(dotted(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value})
    return fields
