"""Contenders that do the same work, timed in turn in one process, and what was to be reached."""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Case", "Goal", "faster", "run", "within"]

Clock = Callable[[], float]

Seconds = Mapping[str, Sequence[float]]
"""Of each contender, one a round."""


@dataclass(frozen=True, kw_only=True)
class Goal:
    """Something to be reached.

    Attributes:
        what: in words.
        value: measures it.
        goal: the number to reach.
        least: at least that; else at most.
        unit: of the number.
    """

    what: str
    value: Callable[[Seconds], float]
    goal: float | None
    least: bool = True
    unit: str = ""

    def facts(self, seconds: Seconds) -> dict[str, Any]:
        """Return what was reached, JSON-ready."""
        value = self.value(seconds)
        reached = None if self.goal is None else value >= self.goal if self.least else value <= self.goal
        return {"what": self.what, "value": value, "unit": self.unit, "goal": self.goal, "reached": reached}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One piece of work.

    Attributes:
        name: what is done.
        contenders: ways of doing it.
        goals: what was to be reached.
        pieces: how many pieces of work one call does; times are those of one.
        scale: of the contenders that do only a part of the work: by what their times are multiplied.
    """

    name: str
    contenders: Mapping[str, Callable[[], object]]
    goals: Sequence[Goal]
    pieces: int = 1
    scale: Mapping[str, float] = field(default_factory=dict)


def faster(ours: str, peer: str, times: float | None = None) -> Goal:
    """How many times as fast as a peer: the median over the rounds; no goal where `times` is None."""

    def value(seconds: Seconds) -> float:
        return statistics.median(b / a for a, b in zip(seconds[ours], seconds[peer], strict=True))

    return Goal(what=f"{ours} beside {peer}", value=value, goal=times, unit=" x as fast")


def within(ours: str, limit: float) -> Goal:
    """How long it takes: the median over the rounds."""
    return Goal(what=ours, value=lambda seconds: statistics.median(seconds[ours]), goal=limit, least=False, unit=" s")


def run(cases: Iterator[Case], rounds: int, clock: Clock) -> list[dict[str, Any]]:
    """Time each case's contenders in turn, after a round that does not count, and return facts."""
    return [_run(case, rounds, clock) for case in cases]


def _run(case: Case, rounds: int, clock: Clock) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {name: [] for name in case.contenders}
    for number in range(rounds + 1):
        for name, work in case.contenders.items():
            began = clock()
            work()
            spent = (clock() - began) * case.scale.get(name, 1.0) / case.pieces
            if number:
                seconds[name].append(spent)
    return {"name": case.name, "seconds": seconds, "goals": [goal.facts(seconds) for goal in case.goals]}
