"""Where overfitting started in each run, what it cost, and the story of runs that continue one another."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segfit import units
from segfit.comparison.curves import PATIENCE, SCORES, Curves, ScoreName, best_position, overfit_epoch
from segfit.comparison.facts import RunFacts
from segfit.comparison.table import Group, Row

__all__ = ["Overfitting", "continuations", "overfitting", "overfitting_of"]


@dataclass(frozen=True, kw_only=True)
class Overfitting:
    """What a run did after its best validation.

    Attributes:
        metric: which validation score.
        best_epoch: where it was highest.
        last_epoch: the last one that was validated.
        best: the score there.
        last: the score at the end.
        seconds: what was spent after the best epoch; None where the events do not tell.
        share: that, as a share of the whole training: of its time, else of its epochs.
        kept: the weights of the best epoch are those that are scored in tables.
    """

    metric: ScoreName
    best_epoch: int
    last_epoch: int
    best: float
    last: float
    seconds: float | None
    share: float
    kept: bool

    @property
    def epochs(self) -> int:
        """Epochs after the best one."""
        return self.last_epoch - self.best_epoch

    @property
    def lost(self) -> float:
        """What the score lost from the best epoch to the last."""
        return self.best - self.last

    def cost(self) -> str:
        """Return what came after the best epoch: ``the 18 epochs after it took 3 h 06 min (45 % of …) and lost …``."""
        epochs = "the epoch after it" if self.epochs == 1 else f"the {self.epochs} epochs after it"
        whole = f"{units.share(self.share)} of the training"
        took = f"were {whole}" if self.seconds is None else f"took {units.duration(self.seconds)} ({whole})"
        return f"{epochs} {took} and lost {_loss(self.lost)} {SCORES[self.metric]}"


def _loss(lost: float) -> str:
    return "less than 0.001" if lost < 0.0005 else f"{lost:.3f}"


def overfitting_of(run: RunFacts, score: ScoreName) -> Overfitting | None:
    """Return from where on a run only fitted its training images better, and what that cost; None if it did not.

    See `overfit_epoch` for what counts as overfitting.
    """
    curves = run.curves
    epoch = overfit_epoch(curves, score)
    if epoch is None:
        return None
    at = int(np.flatnonzero(curves.validated == epoch)[0])
    values = curves.score(score)
    last = int(np.flatnonzero(np.isfinite(values))[-1])
    spent = curves.seconds[-1] - curves.seconds[at]
    timed = bool(np.isfinite(spent)) and curves.seconds[-1] > 0
    end = int(curves.validated[-1])
    return Overfitting(
        metric=score,
        best_epoch=epoch,
        last_epoch=end,
        best=float(values[at]),
        last=float(values[last]),
        seconds=float(spent) if timed else None,
        share=float(spent / curves.seconds[-1]) if timed else (end - epoch) / end,
        kept=run.evaluation.checkpoint == "best",
    )


def overfitting(group: Group) -> tuple[str, ...]:
    """Return a sentence for each run that overfits, and the story of runs that continue one another in one or two."""
    chains = continuations(group)
    told = {row.number for chain in chains for row in chain}
    found = [(row, overfitting_of(run, group.protocol.score)) for row, run in zip(group.rows, group.runs, strict=True)]
    alone = [_sentence(row.name, found) for row, found in found if found is not None and row.number not in told]
    stories = [_story(chain, group.protocol.score) for chain in chains]
    return (*stories, *alone, *_kept([over for _, over in found if over is not None]))


def _sentence(name: str, found: Overfitting) -> str:
    return f"{name} was best at epoch {found.best_epoch} of {found.last_epoch}; {found.cost()}."


def _kept(found: list[Overfitting]) -> tuple[str, ...]:
    """Return whether the tables show what was lost."""
    if not found:
        return ()
    if all(over.kept for over in found):
        return ("The tables show the weights of the best epochs, so what was lost afterwards is time only.",)
    if not any(over.kept for over in found):
        return ("The tables show the last weights, so they contain the loss.",)
    return ("Where a run is scored at its last checkpoint, the tables contain the loss; elsewhere it is time only.",)


# --- runs that continue one another ----------------------------------------------------------------------------------


def continuations(group: Group) -> list[tuple[Row, ...]]:
    """Return the chains of runs that continue one another (``train.continue_from``), each from its origin on.

    A run that several others continue stands at the beginning of each of their chains.
    """
    origins = {row.number: _origin(run, group) for row, run in zip(group.rows, group.runs, strict=True)}
    continued = {origin.number for origin in origins.values() if origin is not None}
    chains = []
    for row in sorted(group.rows, key=lambda row: row.number):
        chain, earlier = [row], origins[row.number]
        while earlier is not None and earlier not in chain:
            chain.insert(0, earlier)
            earlier = origins[earlier.number]
        if row.number not in continued and len(chain) > 1:
            chains.append(tuple(chain))
    return chains


def _origin(run: RunFacts, group: Group) -> Row | None:
    """Return the run of the group that `run` continues."""
    name = run.recipe.train.continue_from
    if name is None:
        return None
    # As training looks for it: beside the run, else as a path.
    places = [(run.path.parent / name).resolve(), Path(name).resolve()]
    for place in places:
        for row in group.rows:
            if row.run is not None and row.run is not run and row.run.path.resolve() == place:
                return row
    return None


def _story(chain: tuple[Row, ...], score: ScoreName) -> str:
    """Return how far a run was trained, where it was best, and what going on cost."""
    runs = [row.run for row in chain if row.run is not None]
    whole = max(runs, key=lambda run: run.training.steps)
    lengths = [f"{run.training.epochs}" for run in runs]
    values = whole.curves.score(score)
    ends = [
        f"{units.score(float(values[i[-1]]))} at {run.training.epochs}"
        for run in runs
        if (i := np.flatnonzero(np.isfinite(values) & (whole.curves.validated <= run.training.epochs))).size
    ]
    to = " and then to ".join(lengths[1:])
    text = f"{chain[0].name} was trained for {lengths[0]} epochs and continued to {to}"
    if not ends:
        return f"{text}."
    text = f"{text}: validation {SCORES[score]} was {', '.join(ends)} epochs."
    found = overfitting_of(whole, score)
    if found is not None:
        return f"{text} It was best at epoch {found.best_epoch} with {units.score(found.best)}; {found.cost()}."
    return f"{text} {_without_overfitting(whole.curves, score)}"


def _without_overfitting(curves: Curves, score: ScoreName) -> str:
    """Return where a run was best that is not said to have overfitted, and why it is not."""
    values = curves.score(score)
    finite = np.flatnonzero(np.isfinite(values))
    best, last = best_position(values), int(finite[-1])
    lost = float(values[best] - values[last])
    text = f"It was best at epoch {curves.validated[best]} with {units.score(float(values[best]))}"
    if lost == 0:
        return f"{text}: going on did not overfit it."
    text += f" and had lost {_loss(lost)} {SCORES[score]} by epoch {curves.validated[last]}"
    if (finite > best).sum() < PATIENCE:
        return f"{text}: too few validations follow to tell whether it overfits."
    return f"{text}, but nothing shows that it fitted its training images any better: that is not called overfitting."
