"""What made the difference: runs whose recipes differ in exactly one thing, found from the recipes themselves.

A thing is a field of the recipe with what follows from it: a preset of augmentation fills in a dozen values, a model
brings its options, and both count once. How a run is scored, where it ran and what it is called are no such things.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from segfit.comparison.comparing import Comparison
from segfit.comparison.entrants import Entrant
from segfit.comparison.facts import RunFacts
from segfit.comparison.statistics import Interval, Statistics
from segfit.comparison.table import Group, Row
from segfit.config import PRESETS
from segfit.errors import RecipeError
from segfit.registry import Registry

__all__ = ["Certainty", "Effect", "Setting", "changes", "effects", "field_title"]

COMPONENTS = ("data", "model", "loss")
"""Sections of a recipe that name a component and give its options."""

IGNORED = {
    "data.validation",
    "data.limit_validation",
    "train.seed",
    "train.device",
    "train.workers",
    "train.fit",
    "train.autotune",
    "train.validate_every",
    "train.continue_from",
}
"""What does not decide what is learnt, or decides other fields that are compared themselves. A seed is chance."""

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
    "train.epochs": "epochs",
    "train.steps": "steps",
    "train.batch": "batch size",
    "train.precision": "precision",
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


# --- differences of recipes ------------------------------------------------------------------------------------------

Settings = Mapping[str, Any]
"""The fields of a recipe that decide what is learnt and what it costs: ``model.name``, ``augment.flip``, …"""


def _settings(runs: Sequence[RunFacts]) -> list[Settings]:
    """Return the settings of each run.

    Where the runs do not all have the same component and options, options that a recipe leaves out get the values that
    their builder gives them. Elsewhere they are equal anyway, and nobody has to ask the builders.
    """
    found = [_given(run) for run in runs]
    for section in COMPONENTS:
        kinds = {(own[f"{section}.name"], *sorted(key for key in own if _of(section, key))) for own in found}
        if len(kinds) > 1:
            found = [{**own, **_default_settings(section, own), **own} for own in found]
    # Pretraining is no trait of a model: one that has no such weights starts without.
    return [{**own, "model.pretrained": own.get("model.pretrained")} for own in found]


def _given(run: RunFacts) -> Settings:
    """Return the settings that a run's recipe has."""
    settings: dict[str, Any] = {}
    for section, fields in run.recipe.model_dump(mode="json").items():
        if isinstance(fields, dict) and section != "evaluate":
            settings.update({f"{section}.{name}": value for name, value in fields.items()})
    # The files decide, not where they lie.
    settings["data.root"] = run.environment.dataset.fingerprint
    settings["data.cache"] = settings["data.cache"] is not None
    return settings


def _of(section: str, key: str) -> bool:
    return key.startswith(f"{section}.")


def _default_settings(section: str, own: Settings) -> Settings:
    return {f"{section}.{name}": value for name, value in _defaults(section, str(own[f"{section}.name"])).items()}


@cache
def _defaults(section: str, name: str) -> Settings:
    """Return the options that a component has when nothing is said; none for one that is not installed here."""
    try:
        signature = _registry(section).signature(name)
    except RecipeError:
        return {}
    defaults = {option: default for option, (_, default) in signature.items() if default is not ...}
    return {option: list(value) if isinstance(value, tuple) else value for option, value in defaults.items()}


def _registry(section: str) -> Registry[Any]:
    """Return who knows the components of a section; models and losses bring torch, which is slow to import."""
    if section == "model":
        from segfit.models import MODELS

        return MODELS
    if section == "loss":
        from segfit.losses import LOSSES

        return LOSSES
    from segfit.data import SOURCES

    return SOURCES


def changes(one: RunFacts, other: RunFacts) -> tuple[str, ...]:
    """Return the fields in which two runs' recipes differ, without those that follow from others; sorted."""
    return _changes(*_settings([one, other]))


def _changes(one: Settings, other: Settings) -> tuple[str, ...]:
    differing = {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}
    leading = {_leading(key, one, other, differing) for key in differing}
    return tuple(sorted(key for key in leading & differing if key is not None and key not in IGNORED))


def _leading(key: str, one: Settings, other: Settings, differing: set[str]) -> str | None:
    """Return the field that a differing field follows from; itself where it stands alone."""
    section = key.partition(".")[0]
    name = f"{section}.name"
    if section in COMPONENTS and key != name and name in differing and _follows(key, one, other, _own_default):
        return name
    if section == "augment" and "augment.preset" in differing and _follows(key, one, other, _preset_value):
        return "augment.preset"
    if section == "labels":
        return _leading_label(key, one, other, differing)
    if key == "train.steps" and "train.epochs" in differing:
        return "train.epochs"
    if key == "data.root" and any(k.startswith("data.") for k in differing - {key, "data.cache"}):
        # Other splits or limits are other files.
        return None
    return key


ABSENT = object()


def _follows(key: str, one: Settings, other: Settings, derived: Callable[[str, Settings], Any]) -> bool:
    """Whether both values are what their leading field gives them, or only one of the recipes has such a field."""
    if (key in one) != (key in other):
        return True
    return all(settings[key] == derived(key, settings) for settings in (one, other))


def _own_default(key: str, settings: Settings) -> Any:
    section, _, option = key.partition(".")
    return _defaults(section, str(settings[f"{section}.name"])).get(option, ABSENT)


def _preset_value(key: str, settings: Settings) -> Any:
    value = PRESETS[settings["augment.preset"]].get(key.partition(".")[2], ABSENT)
    return list(value) if isinstance(value, tuple) else value


def _leading_label(key: str, one: Settings, other: Settings, differing: set[str]) -> str | None:
    """Return what a choice of classes follows from: what becomes of the others means nothing where there are none."""
    chosen = [settings["labels.top"] is not None or settings["labels.classes"] is not None for settings in (one, other)]
    if key in {"labels.rest", "labels.ratios"} and not all(chosen):
        return None
    if key == "labels.classes" and "labels.top" in differing:
        return "labels.top"
    return key


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
        """Whether the scores are the same measurement: of one group, with the same choice of checkpoint."""
        return self.before.group is self.after.group and self._alike(lambda run: run.evaluation.checkpoint)

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
        differing = _changes(settings[i].settings, settings[j].settings)
        if len(differing) == 1:
            pairs[differing[0]] |= {(i, j), (j, i)}
    order = list(settings[0].settings) if settings else []
    fields = sorted(pairs, key=lambda field: order.index(field) if field in order else len(order))
    return tuple(effect for field in fields for effect in _of_field(field, settings, pairs[field]))


def _by_setting(comparison: Comparison) -> list[Setting]:
    """Return a setting for each entrant of each group, in the order in which the runs were given.

    A soup is none: it averages trainings, so nothing in its recipe says what it differs in from them.
    """
    found = [(one, part.group) for part in comparison.analyses for one in part.entrants if not one.soup]
    found.sort(key=lambda pair: pair[0].number)
    known = _settings([one.runs[0] for one, _ in found])
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
