"""What a run was trained with, as far as that decides a weight or a cost, and in what two runs differ.

Two functions answer that, and must agree: runs of equal `recipe_texts` are seeds of one entrant, and runs between which
`differing` finds one thing are a row of the ablation.

A thing that differs is a field of the recipe with what follows from it: a preset of augmentation fills in a dozen
values, a model brings its options, and both count once. How a run is scored, where it ran and what it is called are no
such things.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from segfit.comparison.facts import RunFacts
from segfit.config import PRESETS
from segfit.config.sameness import PLACE, dotted
from segfit.errors import RecipeError
from segfit.registry import Registry

__all__ = ["IGNORED", "Settings", "differing", "recipe_texts", "settings_of"]

COMPONENTS = ("data", "model", "loss")
"""Sections of a recipe that name a component and give its options."""

IGNORED = PLACE | {"data.validation", "data.limit_validation", "train.seed"}
"""What does not decide what is learnt, or decides other fields that are compared themselves. A seed is chance."""

SPLITS = {"data.name", "data.train", "data.validation", "data.limit_train", "data.limit_validation"}
"""What chooses the files of a dataset."""

FOLLOWING = {"data.root": SPLITS, "train.validate_every": {"evaluate.checkpoint"}}
"""What follows from one of other fields: which files there are, and how often the best of them was looked for."""

REST = ("labels.rest", "labels.ratios")
"""What means nothing where no class is left out."""

LENGTH = ("train.epochs", "train.steps", "train.continue_from")
"""How long a training is; going on with a shorter one is a way to another length."""

Settings = Mapping[str, Any]
"""The fields of a recipe that decide what is learnt and what it costs: ``model.name``, ``augment.flip``, …"""


def settings_of(runs: Sequence[RunFacts]) -> list[Settings]:
    """Return the settings of each run.

    Where the runs do not all have the same component and options, options that a recipe leaves out get the values that
    their builder gives them. Elsewhere they are equal anyway, and nobody has to ask the builders.
    """
    found = [_given(run, files) for run, files in zip(runs, _files(runs), strict=True)]
    for section in COMPONENTS:
        kinds = {(own[f"{section}.name"], *sorted(key for key in own if _of(section, key))) for own in found}
        if len(kinds) > 1:
            found = [{**own, **_default_settings(section, own), **own} for own in found]
    # Pretraining is no trait of a model: one that has no such weights starts without.
    return [{**own, "model.pretrained": own.get("model.pretrained")} for own in found]


def recipe_texts(runs: Sequence[RunFacts]) -> list[str]:
    """Return what makes the recipe of each run: equal texts are trainings of one recipe, but for their seeds.

    Only runs of the same components are laid beside one another, so that no builder is asked for what differs anyway.
    """
    alike: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, run in enumerate(runs):
        alike[tuple(getattr(run.recipe, section).name for section in COMPONENTS)].append(place)
    texts = [""] * len(runs)
    for places in alike.values():
        for place, own in zip(places, settings_of([runs[i] for i in places]), strict=True):
            texts[place] = repr(sorted((key, repr(value)) for key, value in own.items() if key not in IGNORED))
    return texts


def _files(runs: Sequence[RunFacts]) -> list[str]:
    """Return what tells the files apart that runs were trained on; where one does not say, with the validation's."""
    datasets = [run.environment.dataset for run in runs]
    known = [one.training_fingerprint for one in datasets if one.training_fingerprint is not None]
    return known if len(known) == len(runs) else [one.fingerprint for one in datasets]


def _given(run: RunFacts, files: str) -> Settings:
    """Return the settings that a run's recipe has."""
    settings = dotted(run.recipe.model_dump(mode="json", exclude={"name", "evaluate"}))
    # The files decide, not where they lie.
    settings["data.root"] = files
    settings["data.cache"] = settings["data.cache"] is not None
    # The learning rate had fallen already once, whatever the origin is called: each seed goes on with its own.
    settings["train.continue_from"] = settings["train.continue_from"] is not None
    settings["evaluate.checkpoint"] = run.evaluation.checkpoint
    if run.evaluation.checkpoint != "best":
        # Which epochs are validated only decides what the best of them is.
        settings["train.validate_every"] = None
    if not _chosen(settings):
        settings |= dict.fromkeys(REST)
    return settings


def _chosen(settings: Settings) -> bool:
    """Whether some classes are left out."""
    return settings["labels.top"] is not None or settings["labels.classes"] is not None


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


def differing(one: Settings, other: Settings) -> tuple[str, ...]:
    """Return the fields in which two recipes differ, without those that follow from others; sorted.

    Args:
        one: settings, as `settings_of` gave them together with the other ones.
        other: the other ones.
    """
    found = {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}
    leading = {_leading(key, one, other, found) for key in found}
    return tuple(sorted(key for key in leading & found if key is not None and key not in IGNORED))


def _leading(key: str, one: Settings, other: Settings, changed: set[str]) -> str | None:
    """Return the field that a differing field follows from; itself where it stands alone."""
    section = key.partition(".")[0]
    name = f"{section}.name"
    if section in COMPONENTS and key != name and name in changed and _follows(key, one, other, _own_default):
        return name
    if section == "augment" and "augment.preset" in changed and _follows(key, one, other, _preset_value):
        return "augment.preset"
    if section == "labels":
        return _leading_label(key, one, other, changed)
    if key in LENGTH:
        return next((field for field in LENGTH if field in changed), key)
    return None if changed & FOLLOWING.get(key, set()) else key


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


def _leading_label(key: str, one: Settings, other: Settings, changed: set[str]) -> str | None:
    """Return what a choice of classes follows from; what becomes of the others follows from leaving some out."""
    if key in REST and not (_chosen(one) and _chosen(other)):
        return None
    if key == "labels.classes" and "labels.top" in changed:
        return "labels.top"
    return key
