"""What a run's settings are: lists of fields name real ones, and equal settings are those without a change."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from run_folders import Fake, edit_json, write_run
from segfit.comparison import settings
from segfit.comparison.ablation import TITLES
from segfit.comparison.facts import read_run
from segfit.comparison.settings import differing, recipe_texts, settings_of
from segfit.config import Recipe
from segfit.config.sameness import FREE, PLACE, dotted
from segfit.soups import ingredients

OPTIONS = {"model.pretrained"}
"""What a component brings, and no recipe has by itself."""


@pytest.mark.parametrize(
    "listed",
    [
        FREE,
        PLACE,
        settings.IGNORED,
        settings.SPLITS,
        {*settings.FOLLOWING},
        settings.REST,
        settings.LENGTH,
        TITLES,
        ingredients.FREE,
    ],
    ids=["free", "place", "ignored", "splits", "following", "rest", "length", "titles", "soups"],
)
def test_every_listed_field_is_one_of_a_recipe(listed: set[str]) -> None:
    assert set(listed) - OPTIONS <= dotted(Recipe().model_dump(mode="json")).keys()


def test_dotted_names_are_those_of_overrides() -> None:
    assert dotted({"a": 1, "b": {"c": None, "d": {"e": [2]}, "f": {}}}) == {
        "a": 1,
        "b.c": None,
        "b.d.e": [2],
        "b.f": {},
    }


def test_place_neither_ends_a_run_nor_makes_another_setting() -> None:
    assert PLACE <= FREE
    assert PLACE <= settings.IGNORED
    assert not PLACE & {"train.epochs", "optim.lr", "data.root"}


def _told(folder: Path, fake: Fake) -> Path:
    """Write a run that knows which files it was trained on, and was scored at the checkpoint of its recipe."""
    run = write_run(folder, fake)
    kept = json.loads((run / "recipe.json").read_text())
    validated = kept["data"]["limit_validation"]
    edit_json(run / "environment.json", "dataset", "training_fingerprint", value="0123")
    edit_json(run / "environment.json", "dataset", "fingerprint", value=f"4567{validated}")
    edit_json(run / "metrics.json", "evaluation", "checkpoint", value=kept["evaluate"]["checkpoint"])
    return run


def test_files_are_told_apart_by_what_all_runs_know(tmp_path: Path) -> None:
    old, new = read_run(write_run(tmp_path / "old", Fake())), read_run(_told(tmp_path / "new", Fake()))
    edit_json(new.path / "environment.json", "dataset", "fingerprint", value=old.environment.dataset.fingerprint)
    assert differing(*settings_of([old, read_run(new.path)])) == ()
    assert differing(*settings_of([old, new])) == ("data.root",)


def test_recipes_are_equal_where_nothing_changes(tmp_path: Path) -> None:
    varied = (
        {}, {"train.seed": 1}, {"train.workers": 3, "evaluate.boundary": 0.01}, {"labels.rest": "other"},
        {"optim.lr": 0.1}, {"model.width": 16}, {"data.cache": "/a"}, {"data.cache": "/b"},
        {"train.continue_from": "a"}, {"train.continue_from": "b"}, {"train.validate_every": 2},
        {"model.name": "attention_unet"}, {"loss.name": "dice"}, {"model.dropout": 0.0},
        {"data.limit_validation": 3}, {"evaluate.checkpoint": "last"},
        {"evaluate.checkpoint": "last", "train.validate_every": 2},
    )  # fmt: skip
    base = Fake(images=4, epochs=2)
    runs = [
        read_run(_told(tmp_path / str(number), replace(base, changes=changed))) for number, changed in enumerate(varied)
    ]
    texts = recipe_texts(runs)
    for (i, one), (j, other) in itertools.combinations(enumerate(runs), 2):
        assert (texts[i] == texts[j]) == (differing(*settings_of([one, other])) == ()), (varied[i], varied[j])
