"""Entrants at equal budget: learning curves cut where they had seen as many images, or had taken as long.

Curves are cut, never prolonged: the largest budget is the largest one that every run reached. An entrant that was
trained with several seeds counts with the mean of its trainings. Soups are averages of trainings, without a curve of
their own: they are left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from segfit import units
from segfit.comparison.curves import SCORES, ScoreName
from segfit.comparison.entrants import Entrant, entrants
from segfit.comparison.facts import RunFacts
from segfit.comparison.plans import read_plan
from segfit.comparison.recommendation import EQUAL
from segfit.comparison.statistics import Statistics
from segfit.comparison.table import Group, Row
from segfit.planning.devices import CONTEXT, SLACK

__all__ = [
    "GPU_SIZES",
    "OVER",
    "UNITS",
    "Cut",
    "EqualBudget",
    "Fitting",
    "Spending",
    "Unit",
    "at_equal",
    "best_within",
    "contenders",
    "obstacle",
    "soups",
    "trained",
    "within",
]

Unit = Literal["samples", "hours", "flops"]

SHARES = (0.25, 0.5, 1.0)
"""Budgets at which runs are compared, as shares of the largest that all of them reached."""

OVER = 1.02
"""How far beyond a budget, as a factor, a validation still counts: a run that ends seconds later keeps its last one."""

GPU_SIZES = (4, 6, 8, 10, 11, 12, 16, 24, 32, 40, 48, 80, 96, 141)
"""Memory of usual GPUs in GB."""


def _whole(number: float) -> str:
    """Return a large number in a few digits: ``96,000`` or ``1.6 M``."""
    return f"{number:,.0f}" if number < 1e6 else units.count(number)


def _operations(number: float) -> str:
    """Return a number of floating-point operations: ``4.2 PFLOP``."""
    for size, unit in ((1e18, "E"), (1e15, "P"), (1e12, "T")):
        if number >= size:
            return f"{number / size:.3g} {unit}FLOP"
    return f"{number / 1e9:.3g} GFLOP"


@dataclass(frozen=True, kw_only=True)
class UnitWords:
    """How a unit is spoken of: what is equal, its axis, an amount as text, and what all runs did with it."""

    title: str
    axis: str
    text: Callable[[float], str]
    reached: str


UNITS: dict[Unit, UnitWords] = {
    "samples": UnitWords(
        title="images seen", axis="Images seen in training", text=lambda n: f"{_whole(n)} images", reached="saw"
    ),
    "hours": UnitWords(
        title="time", axis="Training time", text=lambda hours: units.duration(3600 * hours), reached="took"
    ),
    "flops": UnitWords(title="arithmetic", axis="Arithmetic of training", text=_operations, reached="computed"),
}


@dataclass(frozen=True, kw_only=True)
class Spending:
    """What a run had spent at each validation, and the best score that it had reached by then.

    Attributes:
        row: the run.
        amounts: `(m,)` rising.
        best: `(m,)` never falling; nan before the first finite score.
    """

    row: Row
    amounts: NDArray[np.float64]
    best: NDArray[np.float64]

    def at(self, budget: float) -> float | None:
        """Return the best score within a budget and the little beyond it that counts; None without a validation."""
        reached = int(np.searchsorted(self.amounts, OVER * budget, side="right"))
        value = self.best[reached - 1] if reached else np.nan
        return None if np.isnan(value) else float(value)


@dataclass(frozen=True, kw_only=True)
class Cut:
    """All runs, or all entrants, at one budget.

    Attributes:
        share: of the largest budget.
        amount: in the unit.
        scores: best validation score so far of each run, in the order of the runs; None before its first. Of entrants,
            the means over their trainings; None before one of them has a score.
    """

    share: float
    amount: float
    scores: tuple[float | None, ...]

    @property
    def places(self) -> tuple[int, ...]:
        """The place of each of them, from 1; scores that are written alike share theirs, and no score is the last."""
        shown = [-1.0 if score is None else round(score, 3) for score in self.scores]
        return tuple(1 + sum(other > own for other in shown) for own in shown)

    @property
    def leaders(self) -> tuple[int, ...]:
        """Positions of those that no other is ahead of."""
        return tuple(position for position, place in enumerate(self.places) if place == 1)

    @property
    def ranking(self) -> tuple[int, ...]:
        """Positions of all, best first; equal ones in their order, those without a score last."""
        return tuple(sorted(range(len(self.scores)), key=lambda i: (self.scores[i] is None, -(self.scores[i] or 0.0))))


@dataclass(frozen=True, kw_only=True)
class EqualBudget:
    """Runs that were scored alike, at budgets that all of them reached.

    Attributes:
        unit: of which they spent equally much.
        metric: the score, as it is written for people.
        runs: those that were trained, in the order of the group's rows.
        entrants: whose trainings these are; they are what competes.
        cuts: the runs, from the smallest budget to the largest.
    """

    unit: Unit
    metric: str
    runs: tuple[Spending, ...]
    entrants: tuple[Entrant, ...]
    cuts: tuple[Cut, ...]

    @property
    def most(self) -> Cut:
        """The runs at the largest budget that all of them reached."""
        return self.cuts[-1]

    @cached_property
    def means(self) -> tuple[Cut, ...]:
        """The entrants at the same budgets."""
        places = {run.row.number: position for position, run in enumerate(self.runs)}
        members = [[places[row.number] for row in entrant.rows] for entrant in self.entrants]
        return tuple(
            Cut(
                share=cut.share, amount=cut.amount, scores=tuple(_mean([cut.scores[i] for i in own]) for own in members)
            )
            for cut in self.cuts
        )

    @property
    def complete(self) -> tuple[Cut, ...]:
        """The entrants at the budgets by which every run had a score: there rankings can be compared."""
        return tuple(cut for cut in self.means if None not in cut.scores)

    @property
    def changes(self) -> bool:
        """Whether the ranking depends on the budget."""
        return len({cut.places for cut in self.complete}) > 1

    def sentences(self, statistics: Statistics | None = None) -> tuple[str, ...]:
        """Return who leads at the largest budget, and whether that was so before.

        Args:
            statistics: of the final scores, which tell whether a lead can be chance; None where there are none.
        """
        words, most = UNITS[self.unit], self.means[-1]
        leaders = most.leaders
        best = most.scores[leaders[0]]
        if best is None:
            return ()
        lead = "is ahead" if len(leaders) == 1 else "are equally far,"
        text = (
            f"At equal {words.title} ({words.text(self.most.amount)}, the most that all runs {words.reached}) "
            f"{self._names(leaders)} {lead} with {self.metric} {units.score(best)}"
        )
        # As many lead as stand before the next place.
        behind = tuple(position for position, place in enumerate(most.places) if place == len(leaders) + 1)
        second = most.scores[behind[0]] if behind else None
        if second is None:
            return (f"{text}.", *self._earlier())
        text += f", before {self._names(behind)} with {units.score(second)}"
        return (f"{text}.", *self._doubt(leaders, behind, statistics), *self._earlier())

    def _doubt(self, leaders: Sequence[int], behind: Sequence[int], statistics: Statistics | None) -> tuple[str, ...]:
        """Return that the final scores of these do not tell one from the other, where that is so."""
        if statistics is None:
            return ()
        pairs = [(self.entrants[i].name, self.entrants[j].name) for i, j in product(leaders, behind)]
        unsure = [pair for pair in pairs if not statistics.difference(*pair).distinguishable]
        if not unsure:
            return ()
        whom = "them" if len(unsure) == len(pairs) else "all of them"
        return (f"Their final scores do not tell {whom} apart.",)

    def _names(self, positions: Sequence[int]) -> str:
        return units.listed([self.entrants[position].name for position in positions])

    def _earlier(self) -> tuple[str, ...]:
        """Return what the smaller budgets say about the order."""
        earlier, most = [cut for cut in self.complete if cut.share < 1], self.means[-1]
        if not earlier or None in most.scores:
            return ()
        if not self.changes:
            return (f"The order was the same at {units.listed([_SHARE[cut.share] for cut in earlier])} of it.",)
        led: dict[tuple[int, ...], list[str]] = {}
        for cut in earlier:
            if cut.leaders != most.leaders:
                led.setdefault(cut.leaders, []).append(_SHARE[cut.share])
        if led:
            said = [
                f"{self._names(ahead)} {'was ahead' if len(ahead) == 1 else 'were equally far'} "
                f"at {units.listed(shares)} of it"
                for ahead, shares in led.items()
            ]
            return (f"The ranking depends on the budget: {units.listed(said)}.",)
        return ("Who leads does not depend on the budget; the order behind it does.",)


def _mean(scores: Sequence[float | None]) -> float | None:
    """Return the mean of scores; None where one is missing."""
    known = [score for score in scores if score is not None]
    return float(np.mean(known)) if len(known) == len(scores) else None


_SHARE = {0.25: "a quarter", 0.5: "half"}


def soups(group: Group) -> tuple[Row, ...]:
    """Return the rows whose run is an average of trainings."""
    return tuple(row for row, run in zip(group.rows, group.runs, strict=True) if run.soup)


def trained(group: Group) -> list[tuple[Row, RunFacts]]:
    """Return the rows that were trained themselves, with their runs."""
    return [(row, run) for row, run in zip(group.rows, group.runs, strict=True) if not run.soup]


def contenders(group: Group) -> tuple[Entrant, ...]:
    """Return the entrants that were trained themselves, best first."""
    return tuple(entrant for entrant in entrants(group) if not entrant.soup)


def at_equal(group: Group, unit: Unit) -> EqualBudget | None:
    """Compare the entrants of a group where they had spent equally much of `unit`.

    None for fewer than two entrants that were trained, and where `obstacle` says why not.

    The score at a budget is the best validation score up to it (up to `OVER` times it, so that a run that ends a moment
    after the others keeps its last validation), as training measured it; nothing is extrapolated.

    Raises:
        RunError: a run's plan is damaged.
    """
    members = trained(group)
    competing = contenders(group)
    if len(competing) < 2 or obstacle(group, unit) is not None:
        return None
    runs = tuple(_spending(row, run, group, unit) for row, run in members)
    most = min(float(run.amounts[-1]) for run in runs)
    cuts = tuple(
        Cut(share=share, amount=share * most, scores=tuple(run.at(share * most) for run in runs)) for share in SHARES
    )
    return EqualBudget(unit=unit, metric=SCORES[group.protocol.score], runs=runs, entrants=competing, cuts=cuts)


def obstacle(group: Group, unit: Unit) -> str | None:
    """Return why runs cannot be compared at equal amounts of `unit`, in a sentence; None where they can."""
    if not group.validated_alike:
        return "Curves are not compared: while they were trained, the runs were scored in different ways."
    members = trained(group)
    hardware = sorted({run.hardware for _, run in members})
    if unit == "hours" and len(hardware) > 1:
        return f"Hours are not compared: the runs were trained on different hardware ({', '.join(hardware)})."
    unknown = [row.name for row, run in members if not np.isfinite(_amounts(run, unit)).any()]
    if not unknown:
        return None
    what = UNITS[unit].title
    if len(unknown) == len(members):
        nobody = "no run has a plan" if unit == "flops" else "the events of no run tell it"
        return f"Equal {what} is not compared: {nobody}."
    if unit == "flops":
        return (
            f"Equal {what} is not compared: {units.listed(unknown)} {'has' if len(unknown) == 1 else 'have'} no plan."
        )
    return f"Equal {what} is not compared: the events of {units.listed(unknown)} do not tell it."


def _spending(row: Row, run: RunFacts, group: Group, unit: Unit) -> Spending:
    amounts = _amounts(run, unit)
    known = np.isfinite(amounts)
    return Spending(row=row, amounts=amounts[known], best=run.curves.best_so_far(group.protocol.score)[known])


def _amounts(run: RunFacts, unit: Unit) -> NDArray[np.float64]:
    """Return what a run had spent at each validation; nan where it is not known."""
    curves = run.curves
    if unit == "samples":
        return curves.steps * run.training.batch
    if unit == "hours":
        return curves.seconds / 3600
    plan = read_plan(run)
    return curves.steps * (np.nan if plan is None else plan.flops)


# --- memory ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """The best entrant among those that fit into some memory: `size` bytes, of a GPU or what one took at its peak."""

    size: int
    entrant: Entrant


def within(group: Group) -> tuple[Fitting, ...]:
    """Return which entrant of a group scores best within each memory, as `best_within` says."""
    return best_within(entrants(group), group.protocol.score)


def best_within(competing: Sequence[Entrant], score: ScoreName) -> tuple[Fitting, ...]:
    """Return which entrant scores best within each memory, from the least to what the best one needs.

    An entrant fits where all its trainings do. Memory of GPUs is compared at usual sizes, less what the libraries and
    the allocator take (`planning.devices`); memory of processes at what the runs took, where peaks within 5 % (`EQUAL`)
    of the least, or written alike, are one size. Nothing, where memory was measured differently.

    Args:
        competing: best first.
        score: by which they are.
    """
    runs = [run for entrant in competing for run in entrant.runs]
    if len({run.training.memory_kind for run in runs}) > 1:
        return ()
    on_gpu = all(run.environment.device == "cuda" for run in runs)
    peaks = [max(run.training.memory for run in entrant.runs) for entrant in competing]
    fittings: list[Fitting] = []
    least = 0
    for size in [10**9 * size for size in GPU_SIZES] if on_gpu else sorted(peaks):
        room = (size - CONTEXT) * (1 - SLACK) if on_gpu else size
        best = next((one for one, peak in zip(competing, peaks, strict=True) if peak <= room), None)
        if best is not None and (not fittings or best.score(score) > fittings[-1].entrant.score(score)):
            if fittings and _one_size(least, size):
                fittings.pop()
            else:
                least = size
            fittings.append(Fitting(size=size, entrant=best))
    return tuple(fittings)


def _one_size(smaller: int, larger: int) -> bool:
    return larger <= EQUAL * smaller or units.memory(larger) == units.memory(smaller)
