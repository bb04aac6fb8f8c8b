"""Which runs are worth their cost: those that no other run beats in score and in every cost at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segfit import units
from segfit.comparison.facts import RunFacts
from segfit.comparison.table import Group, Row

__all__ = ["COSTS", "Cost", "Dominated", "Front", "comparable_costs", "non_dominated", "pareto_front"]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """A cost of a run.

    Attributes:
        name: one word.
        value: the cost itself.
        text: the cost for people.
        fine: the same with more digits, for costs that `text` writes alike.
        less: how a run is said to have less of it than another one; equal: as much of it.
        equal: see `less`.
        measured_by: what must be the same for two runs' costs to be compared.
    """

    name: str
    value: Callable[[RunFacts], float]
    text: Callable[[float], str]
    fine: Callable[[float], str]
    less: str
    equal: str
    measured_by: Callable[[RunFacts], str]


COSTS = (
    Cost(
        name="memory",
        value=lambda run: run.training.memory,
        text=units.memory,
        fine=lambda size: f"{size / 1e6:,.0f} MB",
        less="less memory",
        equal="as much memory",
        measured_by=lambda run: run.training.memory_kind,
    ),
    Cost(
        name="time",
        value=lambda run: run.training.seconds,
        text=units.duration,
        fine=lambda seconds: f"{seconds:,.1f} s",
        less="less time",
        equal="as much time",
        measured_by=lambda run: run.hardware,
    ),
    Cost(
        name="parameters",
        value=lambda run: run.training.parameters,
        text=units.count,
        fine=lambda number: f"{number:,.0f}",
        less="fewer parameters",
        equal="as many parameters",
        measured_by=lambda _: "",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Dominated:
    """A run that another one beats or equals in everything.

    Attributes:
        row: the run.
        by: the best run that beats it, which no other beats.
        reason: in a sentence.
    """

    row: Row
    by: Row
    reason: str


@dataclass(frozen=True, kw_only=True)
class Front:
    """The runs worth their cost, best score first, and those that are not.

    Attributes:
        costs: what was compared beside the score.
        efficient: runs that no other run beats.
        dominated: all others.
    """

    costs: tuple[Cost, ...]
    efficient: tuple[Row, ...]
    dominated: tuple[Dominated, ...]


def non_dominated(scores: ArrayLike, costs: ArrayLike) -> NDArray[np.bool_]:
    """Return `(n,)` which points no other point dominates: at least as good in everything, and better in something.

    Args:
        scores: `(n,)` the more the better.
        costs: `(n, k)` the less the better.
    """
    losses = np.column_stack([-np.asarray(scores, float), np.asarray(costs, float)])
    no_worse = np.all(losses[:, None] <= losses, axis=-1)
    better = np.any(losses[:, None] < losses, axis=-1)
    efficient: NDArray[np.bool_] = np.logical_not(np.any(np.logical_and(no_worse, better), axis=0))
    return efficient


def comparable_costs(group: Group) -> tuple[Cost, ...]:
    """Return the costs that were measured alike in all runs of a group."""
    return tuple(cost for cost in COSTS if len({cost.measured_by(run) for run in group.runs}) == 1)


def pareto_front(group: Group) -> Front:
    """Return the runs of a group that no other beats in score and in every cost that may be compared."""
    costs = comparable_costs(group)
    amounts = np.array([[cost.value(run) for cost in costs] for run in group.runs], float)
    scores = np.array([row.score(group.protocol.score) for row in group.rows])
    efficient = non_dominated(scores, amounts)
    dominated = []
    for i in np.flatnonzero(~efficient).tolist():
        beats = efficient & (scores >= scores[i]) & (amounts <= amounts[i]).all(axis=1)
        # Rows stand best first, and what dominates is dominated by nothing or by something better still.
        j = int(np.flatnonzero(beats)[0])
        reason = _reason(group, costs, i, j)
        dominated.append(Dominated(row=group.rows[i], by=group.rows[j], reason=reason))
    return Front(
        costs=costs,
        efficient=tuple(row for row, kept in zip(group.rows, efficient, strict=True) if kept),
        dominated=tuple(dominated),
    )


def _reason(group: Group, costs: Sequence[Cost], loser: int, winner: int) -> str:
    """Return what the winner does better: ``unet-8 scores higher (0.678 against 0.506) with less memory (…)``."""
    row, by = group.rows[loser], group.rows[winner]
    theirs, its = row.score(group.protocol.score), by.score(group.protocol.score)
    numbers = f"({units.score(its)} against {units.score(theirs)})"
    head = f"scores higher {numbers}" if its > theirs else f"scores the same ({units.score(its)})"
    less, equal = [], []
    for cost in costs:
        own, other = cost.value(group.runs[winner]), cost.value(group.runs[loser])
        if own < other:
            text = cost.fine if cost.text(own) == cost.text(other) else cost.text
            less.append(f"{cost.less} ({text(own)} against {text(other)})")
        else:
            equal.append(cost.equal)
    parts = [*less, *equal]
    with_costs = f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]
    return f"{by.name} {head} with {with_costs}."
