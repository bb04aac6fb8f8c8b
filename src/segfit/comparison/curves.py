"""Learning curves as a run's events draw them, and the epoch from which a run only fits its training images better."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["SCORES", "Curves", "ScoreName", "learning_curves", "overfit_epoch"]

ScoreName = Literal["dice", "miou"]

SCORES: dict[ScoreName, str] = {"dice": "Dice", "miou": "mIoU"}
"""The metrics that may sort a table, as they are written for people."""

PATIENCE = 3
"""Validations without a better score that it takes to speak of overfitting rather than of noise."""


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Learning curves; epochs rise strictly, and a value that was not finite is nan.

    Attributes:
        epoch: `(n,)` epochs that were trained.
        train_loss: `(n,)` mean training loss of each.
        validated: `(m,)` epochs that were validated.
        validation_loss: `(m,)`.
        dice: `(m,)`.
        miou: `(m,)`.
    """

    epoch: NDArray[np.int64]
    train_loss: NDArray[np.float64]
    validated: NDArray[np.int64]
    validation_loss: NDArray[np.float64]
    dice: NDArray[np.float64]
    miou: NDArray[np.float64]

    def score(self, name: ScoreName) -> NDArray[np.float64]:
        """Return the validation curve of the metric `name`."""
        return self.dice if name == "dice" else self.miou


def learning_curves(events: Iterable[dict[str, Any]]) -> Curves:
    """Return the curves that a run's events draw.

    A resumed run repeats what came after its checkpoint: of an epoch that occurs twice the last occurrence counts, and
    what the first attempt logged beyond it is gone.
    """
    events = list(events)
    trained = _without_repeats(events, "epoch")
    validated = _without_repeats(events, "validation")
    return Curves(
        epoch=np.array([event["epoch"] for event in trained], dtype=np.int64),
        train_loss=_column(trained, "loss"),
        validated=np.array([event["epoch"] for event in validated], dtype=np.int64),
        validation_loss=_column(validated, "loss"),
        dice=_column(validated, "dice"),
        miou=_column(validated, "miou"),
    )


def _without_repeats(events: Sequence[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = []
    for event in events:
        if event["event"] == kind:
            while kept and kept[-1]["epoch"] >= event["epoch"]:
                kept.pop()
            kept.append(event)
    return kept


def _column(events: Sequence[dict[str, Any]], key: str) -> NDArray[np.float64]:
    """Return one value of every event; nan where it is missing or not finite."""
    values = np.array([np.nan if (v := event.get(key)) is None else v for event in events], dtype=np.float64)
    values[~np.isfinite(values)] = np.nan
    return values


def overfit_epoch(curves: Curves, score: ScoreName = "dice") -> int | None:
    """Return the epoch from which a run only fits its training images better.

    That is the epoch of the best validation score (the last one of equal scores) when at least three validations
    follow, all of them worse, while the training loss of the last epoch is lower than at that epoch. None otherwise:
    the run still improved at its end, had too few validations to tell, or did not learn its training images either.

    Args:
        curves: the run's curves.
        score: which validation score.
    """
    values = curves.score(score)
    if not np.isfinite(values).any():
        return None
    best = len(values) - 1 - int(np.nanargmax(values[::-1]))
    epoch = int(curves.validated[best])
    at_best = curves.train_loss[curves.epoch == epoch]
    if len(values) - 1 - best < PATIENCE or not at_best.size:
        return None
    return epoch if curves.train_loss[-1] < at_best[0] else None
