"""Learning curves as a run's events draw them, what it had spent at each validation, and where overfitting starts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["SCORES", "Curves", "ScoreName", "best_position", "learning_curves", "overfit_epoch"]

ScoreName = Literal["dice", "miou"]

SCORES: dict[ScoreName, str] = {"dice": "Dice", "miou": "mIoU"}
"""The metrics that may sort a table, as they are written for people."""

PATIENCE = 3
"""Validations without a better score that it takes to speak of overfitting rather than of noise."""


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Learning curves; epochs rise strictly, and a value that was not finite, or is not known, is nan.

    Attributes:
        epoch: `(n,)` epochs that were trained.
        train_loss: `(n,)` mean training loss of each.
        validated: `(m,)` epochs that were validated.
        validation_loss: `(m,)`.
        dice: `(m,)`.
        miou: `(m,)`.
        steps: `(m,)` optimizer steps that the run, with those it continues, had made at each validation.
        seconds: `(m,)` time that it had spent on training and validation by then; what ran before and was lost when a
            process was killed, and the pauses between two starts, do not count.
        memory_steps: `(k,)` optimizer steps at which the memory was read.
        memory: `(k,)` bytes at the peak up to then.
    """

    epoch: NDArray[np.int64]
    train_loss: NDArray[np.float64]
    validated: NDArray[np.int64]
    validation_loss: NDArray[np.float64]
    dice: NDArray[np.float64]
    miou: NDArray[np.float64]
    steps: NDArray[np.float64]
    seconds: NDArray[np.float64]
    memory_steps: NDArray[np.float64]
    memory: NDArray[np.float64]

    def score(self, name: ScoreName) -> NDArray[np.float64]:
        """Return the validation curve of the metric `name`."""
        return self.dice if name == "dice" else self.miou

    def best_so_far(self, name: ScoreName) -> NDArray[np.float64]:
        """Return `(m,)` the best score of each validation and those before it; nan before the first finite one."""
        best: NDArray[np.float64] = np.fmax.accumulate(self.score(name)) if len(self.validated) else self.score(name)
        return best


def learning_curves(events: Iterable[dict[str, Any]]) -> Curves:
    """Return the curves that a run's events draw.

    A resumed run repeats what came after its checkpoint: of an epoch that occurs twice the last occurrence counts, and
    what the first attempt logged beyond it is gone.
    """
    events = _with_elapsed(events)
    trained = _without_repeats(events, "epoch", "epoch")
    validated = _without_repeats(events, "validation", "epoch")
    measured = _without_repeats([event for event in events if event.get("memory") and "step" in event], "step", "step")
    return Curves(
        epoch=np.array([event["epoch"] for event in trained], dtype=np.int64),
        train_loss=_column(trained, "loss"),
        validated=np.array([event["epoch"] for event in validated], dtype=np.int64),
        validation_loss=_column(validated, "loss"),
        dice=_column(validated, "dice"),
        miou=_column(validated, "miou"),
        steps=_column(validated, "step"),
        seconds=_column(validated, "elapsed"),
        memory_steps=_column(measured, "step"),
        memory=_column(measured, "memory"),
    )


def _with_elapsed(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the events with the seconds that the run had spent when each of them was written, where that is known.

    Events tell the time of day. Within one start that is enough; an epoch also tells its seconds, which are without
    the time for writing checkpoints. A start goes on from a checkpoint: with the seconds of the last event up to its
    step.
    """
    timed: list[dict[str, Any]] = []
    known = [(0, 0.0)]  # steps and seconds of the events that still count
    clock = time = np.nan
    for event in events:
        now, step = event.get("time", np.nan), event.get("step", known[-1][0])
        if event["event"] == "start":
            while len(known) > 1 and known[-1][0] > step:
                known.pop()
            clock, time = known[-1][1], now
        elapsed = clock + max(now - time, 0.0)
        if event["event"] == "epoch":
            elapsed = clock + event.get("seconds", now - time)
        if event["event"] in {"epoch", "validation"}:
            # Seconds of an epoch, and the time that a validation takes, count from the event before them.
            clock, time = elapsed, now
        known.append((step, elapsed))
        timed.append({**event, "elapsed": elapsed})
    return timed


def _without_repeats(events: Sequence[dict[str, Any]], kind: str, key: str) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = []
    for event in events:
        if event["event"] == kind:
            while kept and kept[-1][key] >= event[key]:
                kept.pop()
            kept.append(event)
    return kept


def _column(events: Sequence[dict[str, Any]], key: str) -> NDArray[np.float64]:
    """Return one value of every event; nan where it is missing or not finite."""
    values = np.array([np.nan if (v := event.get(key)) is None else v for event in events], dtype=np.float64)
    values[~np.isfinite(values)] = np.nan
    return values


def best_position(values: NDArray[np.float64]) -> int:
    """Return where a curve is highest, the last place of equal ones; at least one value is finite."""
    return len(values) - 1 - int(np.nanargmax(values[::-1]))


def overfit_epoch(curves: Curves, score: ScoreName = "dice") -> int | None:
    """Return the epoch from which a run only fits its training images better.

    That is the epoch of the best validation score (the last one of equal scores) when at least three validations with
    a finite score follow, all of them worse, while the training loss of the last epoch is lower than at that epoch.
    None otherwise: the run still improved at its end, had too few validations to tell, or did not learn its training
    images either.

    Args:
        curves: the run's curves.
        score: which validation score.
    """
    values = curves.score(score)
    if not np.isfinite(values).any():
        return None
    best = best_position(values)
    epoch = int(curves.validated[best])
    at_best = curves.train_loss[curves.epoch == epoch]
    after = values[best + 1 :]
    if np.isfinite(after).sum() < PATIENCE or not at_best.size:
        return None
    return epoch if curves.train_loss[-1] < at_best[0] else None
