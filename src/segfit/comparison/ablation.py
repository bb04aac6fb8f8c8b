"""What made the difference: runs whose recipes differ in exactly one thing, found from the recipes themselves.

What a thing is, `segfit.comparison.settings` says.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from segfit.comparison.comparing import Comparison
from segfit.comparison.entrants import Entrant
from segfit.comparison.facts import RunFacts
from segfit.comparison.settings import Settings, differing, settings_of
from segfit.comparison.statistics import Interval, Statistics
from segfit.comparison.table import Group, Row
from segfit.config import PRESETS

__all__ = ["Certainty", "Effect", "Setting", "effects", "field_title"]

TITLES = {
    "labels.top": "classes",
    "labels.classes": "classes",
    "labels.rest": "other classes",
    "augment.size": "resolution",
    "augment.preset": "augmentation",
    "model.name": "model",
    "model.pretrained": "pretraining",
    "loss.name": "loss",
    "optim.name": "optimizer",
    "optim.lr": "learning rate",
    "evaluate.checkpoint": "checkpoint",
    "train.epochs": "epochs",
    "train.steps": "steps",
    "train.batch": "batch size",
    "train.precision": "precision",
    "train.validate_every": "epochs between validations",
    "train.continue_from": "going on with a run",
    "data.limit_train": "training images",
    "data.root": "data",
    "data.name": "data",
    "data.cache": "decoded cache",
}

DIGITS = 6
"""How many digits of a fingerprint tell two versions of the data apart."""


def field_title(field: str) -> str:
    """Return what a field is called in sentences; a field without a name of its own by its place in the recipe."""
    return TITLES.get(field, field)


# --- settings and their effects --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Runs of one entrant: one recipe, with one seed or several; their scores and costs are means.

    Attributes:
        rows: the runs, in the order in which they were given.
        group: that they were scored in.
        settings: what the runs have in common.
    """

    rows: tuple[Row, ...]
    group: Group
    settings: Settings

    @property
    def runs(self) -> list[RunFacts]:
        """The runs."""
        return [row.run for row in self.rows if row.run is not None]

    @property
    def number(self) -> int:
        """Position of the first run among all runs; figures colour by it."""
        return self.rows[0].number

    @property
    def name(self) -> str:
        """The name of the first run, and how many there are in all."""
        return self.rows[0].name + (f" and {len(self.rows) - 1} alike" if len(self.rows) > 1 else "")

    @property
    def score(self) -> float:
        """Mean score, by the metric that sorts the runs' group."""
        return float(np.mean([row.score(self.group.protocol.score) for row in self.rows]))

    def mean(self, cost: str) -> float:
        """Return the mean of a cost: ``memory``, ``seconds`` or ``parameters``."""
        return float(np.mean([getattr(run.training, cost) for run in self.runs]))

    def value(self, field: str) -> str:
        """Return what the setting has for a field, for people."""
        if field in {"labels.top", "labels.classes"}:
            return self.group.protocol.classes_text
        if field == "data.root":
            return (self.runs[0].recipe.data.root or Path("data")).name
        if field == "train.epochs" and self.settings[field] is None:
            return f"{self.settings['train.steps']} steps"
        return _text(self.settings.get(field))


def _text(value: Any) -> str:
    """Return a value of a recipe for people."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None:
        return "none"
    if isinstance(value, list):
        pair = len(value) == 2 and all(isinstance(side, int) for side in value)
        return (" \N{MULTIPLICATION SIGN} " if pair else " to ").join(_text(part) for part in value)
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    return Path(text).name if "/" in text else text


@dataclass(frozen=True, kw_only=True)
class Certainty:
    """How sure the effect on a score is.

    Attributes:
        interval: 95 % interval of what was added.
        distinguishable: whether it can be told from none, among all pairs of entrants that were looked at.
    """

    interval: Interval
    distinguishable: bool


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What changing one field of a recipe did.

    Attributes:
        field: that was changed, with what follows from it.
        before: the setting that is compared with.
        after: the setting that differs from it in the field.
    """

    field: str
    before: Setting
    after: Setting

    @property
    def values(self) -> tuple[str, str]:
        """The field's values before and after, for people."""
        before, after = self.before.value(self.field), self.after.value(self.field)
        if self.field == "data.root" and before == after:
            # Two folders of one name, or one whose files were changed in between.
            marks = (setting.settings[self.field][:DIGITS] for setting in (self.before, self.after))
            before, after = (f"{before} ({mark})" for mark in marks)
        return before, after

    @property
    def comparable(self) -> bool:
        """Whether the scores are the same measurement."""
        return self.before.group is self.after.group

    @property
    def score(self) -> float | None:
        """What was added to the score; None where the scores are not comparable."""
        return self.after.score - self.before.score if self.comparable else None

    @property
    def memory(self) -> float | None:
        """Factor by which memory changed; None where it was measured differently."""
        return self._factor("memory", lambda run: run.training.memory_kind)

    @property
    def seconds(self) -> float | None:
        """Factor by which the training time changed; None on different hardware."""
        return self._factor("seconds", lambda run: run.hardware)

    @property
    def parameters(self) -> float | None:
        """Factor by which the number of parameters changed."""
        return self._factor("parameters", lambda _: "")

    @property
    def group(self) -> Group | None:
        """The group that all runs were scored in; None where the scores are not comparable."""
        return self.before.group if self.comparable else None

    def certainty(self, statistics: Statistics | None) -> Certainty | None:
        """Return how sure the effect on the score is.

        Args:
            statistics: of the effect's group; None where there are none.
        """
        if statistics is None or self.score is None:
            return None
        before, after = (statistics.row(setting.rows[0].name).name for setting in (self.before, self.after))
        found = statistics.difference(before, after)
        gained = found.better == after
        interval = found.interval if gained else Interval(low=-found.interval.high, high=-found.interval.low)
        return Certainty(interval=interval, distinguishable=found.distinguishable)

    def _alike(self, kind: Callable[[RunFacts], str]) -> bool:
        return len({kind(run) for setting in (self.before, self.after) for run in setting.runs}) == 1

    def _factor(self, cost: str, measured_by: Callable[[RunFacts], str]) -> float | None:
        before = self.before.mean(cost)
        return self.after.mean(cost) / before if before and self._alike(measured_by) else None


def effects(comparison: Comparison) -> tuple[Effect, ...]:
    """Return what each field did that was varied while all else stayed the same.

    Where a field took more than two values, each is compared with the first of them: with nothing, the smallest
    number, the mildest preset, or what was given first. Fields come in the order of the recipe's sections.
    """
    settings = _by_setting(comparison)
    pairs: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for i, j in combinations(range(len(settings)), 2):
        changed = differing(settings[i].settings, settings[j].settings)
        if len(changed) == 1:
            pairs[changed[0]] |= {(i, j), (j, i)}
    order = list(settings[0].settings) if settings else []
    fields = sorted(pairs, key=lambda field: order.index(field) if field in order else len(order))
    return tuple(effect for field in fields for effect in _of_field(field, settings, pairs[field]))


def _by_setting(comparison: Comparison) -> list[Setting]:
    """Return a setting for each entrant of each group, in the order in which the runs were given.

    A soup is none: it averages trainings, so nothing in its recipe says what it differs in from them.
    """
    found = [(one, part.group) for part in comparison.analyses for one in part.entrants if not one.soup]
    found.sort(key=lambda pair: pair[0].number)
    known = settings_of([one.runs[0] for one, _ in found])
    return [_setting(one, group, own) for (one, group), own in zip(found, known, strict=True)]


def _setting(entrant: Entrant, group: Group, settings: Settings) -> Setting:
    rows = tuple(sorted(entrant.rows, key=lambda row: row.number))
    return Setting(rows=rows, group=group, settings=settings)


def _of_field(field: str, settings: Sequence[Setting], pairs: set[tuple[int, int]]) -> Iterator[Effect]:
    """Yield the effects of a field: every setting against the first one that differs from it in nothing else.

    One of its own group comes first, since only there scores can be compared.
    """
    order = sorted({i for i, _ in pairs}, key=lambda i: (*_rank(field, settings[i]), i))
    for place, i in enumerate(order):
        earlier = [settings[j] for j in order[:place] if (i, j) in pairs]
        if earlier:
            before = next((one for one in earlier if one.group is settings[i].group), earlier[0])
            yield Effect(field=field, before=before, after=settings[i])


def _rank(field: str, setting: Setting) -> tuple[int, float]:
    """Return by what the values of a field are put in order."""
    value = setting.settings.get(field)
    if field in {"labels.top", "labels.classes"}:
        return 1, len(setting.group.protocol.classes)
    if field == "augment.preset":
        return 1, list(PRESETS).index(str(value))
    if isinstance(value, list) and all(isinstance(part, int | float) for part in value):
        return 1, float(np.prod(value))
    if isinstance(value, int | float):
        return 1, float(value)
    return (0, 0.0) if value is None else (2, 0.0)
