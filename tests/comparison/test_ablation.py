import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from run_folders import Fake, edit_json, recipe, write_run
from segfit.comparison import settings as settings_module
from segfit.comparison.ablation import effects, field_title
from segfit.comparison.analysis import Analysis
from segfit.comparison.comparing import Comparison, compare
from segfit.comparison.facts import RunFacts, read_run
from segfit.comparison.settings import differing, settings_of
from segfit.config import PRESETS, Hardware, resolve
from segfit.data import SOURCES
from segfit.losses import LOSSES
from segfit.models import MODELS

HARDWARE = Hardware(precisions={"cpu": ("fp32",)}, cores=2, cache=Path("cache"))
REGISTRIES: dict[str, Any] = {"data": SOURCES, "model": MODELS, "loss": LOSSES}
BASE = Fake(name="base", images=6, epochs=6)


def write(folder: Path, fake: Fake) -> Path:
    """Write a run whose recipe is resolved, as training leaves it: every derived value is in it."""
    path = write_run(folder, replace(fake, changes={}))
    # The preset decides of the flip, too, unless a test says otherwise.
    resolved = resolve(recipe(replace(fake, changes={"augment.flip": "null", **fake.changes})), REGISTRIES, HARDWARE)
    (path / "recipe.json").write_text(resolved.model_dump_json())
    return path


def changes(one: RunFacts, other: RunFacts) -> tuple[str, ...]:
    return differing(*settings_of([one, other]))


def study(folder: Path, *fakes: Fake) -> Comparison:
    return compare([write(folder / str(i), fake) for i, fake in enumerate(fakes)])


def pair(folder: Path, **changed: Any) -> tuple[RunFacts, RunFacts]:
    other = replace(BASE, name="other", changes={key.replace("__", "."): value for key, value in changed.items()})
    return read_run(write(folder / "a", BASE)), read_run(write(folder / "b", other))


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({"augment__preset": "standard"}, ("augment.preset",)),
        ({"augment__preset": "strong"}, ("augment.preset",)),
        # What the preset does not give is a change of its own.
        ({"augment__preset": "standard", "augment__rotate": "5"}, ("augment.preset", "augment.rotate")),
        ({"augment__size": "[128, 128]"}, ("augment.size",)),
        ({"augment__flip": "0.5"}, ("augment.flip",)),
        # A model brings its options; one that both have and that somebody chose is a change.
        ({"model__name": "attention_unet"}, ("model.name",)),
        ({"model__name": "deeplabv3"}, ("model.name",)),
        ({"model__name": "attention_unet", "model__width": "8"}, ("model.name", "model.width")),
        ({"model__name": "deeplabv3", "model__backbone": "mobilenet_v2"}, ("model.name",)),
        ({"model__name": "deeplabv3", "model__pretrained": "coco"}, ("model.name", "model.pretrained")),
        ({"model__width": "8"}, ("model.width",)),
        ({"loss__name": "dice"}, ("loss.name",)),
        ({"optim__lr": "0.01"}, ("optim.lr",)),
        ({"train__epochs": "null", "train__steps": "100"}, ("train.epochs",)),
        ({"train__batch": "4", "evaluate__batch": "4"}, ("train.batch",)),
        ({"labels__rest": "other"}, ()),
        ({"labels__top": "4", "labels__rest": "other"}, ("labels.top",)),
        ({"data__cache": "decoded"}, ("data.cache",)),
        ({"data__sampling": "rare"}, ("data.sampling",)),
        # Names, seeds, machines and ways of scoring are none.
        ({"train__seed": "3", "train__workers": "0"}, ()),
        ({"evaluate__window": "sliding", "evaluate__checkpoint": "last", "evaluate__score": "miou"}, ()),
        ({"evaluate__boundary": "0.01"}, ()),
        ({"data__root": "elsewhere"}, ()),
        # Going on lets the learning rate fall twice; of runs that differ in their length it is how that came about.
        ({"train__continue_from": "base"}, ("train.continue_from",)),
        ({"train__continue_from": "base", "train__epochs": "9"}, ("train.epochs",)),
        ({"train__continue_from": "base", "train__epochs": "null", "train__steps": "9"}, ("train.epochs",)),
        # The best checkpoint, which is scored here, is the best of those that were validated.
        ({"train__validate_every": "2"}, ("train.validate_every",)),
    ],
)
def test_what_follows_from_a_change_is_no_other_change(
    tmp_path: Path, changed: dict[str, str], wanted: tuple[str, ...]
) -> None:
    one, other = pair(tmp_path, **changed)
    assert changes(one, other) == changes(other, one) == wanted
    assert changes(one, one) == ()


def test_classes_chosen_by_rule_and_what_becomes_of_the_rest(tmp_path: Path) -> None:
    top = replace(BASE, changes={"labels.top": "4", "labels.rest": "other"})
    ignored = replace(BASE, changes={"labels.top": "4"})
    one, other = (read_run(write(tmp_path / name, fake)) for name, fake in (("a", top), ("b", ignored)))
    assert changes(one, other) == ("labels.rest",)


def test_other_files_are_a_change_and_the_same_files_elsewhere_are_not(tmp_path: Path) -> None:
    folder = write(tmp_path / "other", BASE)
    edit_json(folder / "environment.json", "dataset", "fingerprint", value="0000")
    one, other = read_run(write(tmp_path / "a", BASE)), read_run(folder)
    assert changes(one, other) == ("data.root",)
    # Fewer images are other files; the number of them is the change.
    fewer = write(tmp_path / "fewer", replace(BASE, changes={"data.limit_train": "50"}))
    edit_json(fewer / "environment.json", "dataset", "fingerprint", value="1111")
    assert changes(one, read_run(fewer)) == ("data.limit_train",)


def test_only_another_choice_of_files_explains_other_files(tmp_path: Path) -> None:
    one = read_run(write(tmp_path / "a", BASE))
    cases: list[tuple[str, tuple[str, ...]]] = [
        ("data.sampling=rare", ("data.root", "data.sampling")),
        ("data.ignore=[3]", ("data.ignore", "data.root")),
        ("data.cache=decoded", ("data.cache", "data.root")),
        ("data.train=half", ("data.train",)),
        ("data.limit_validation=3", ()),
    ]
    for number, (change, wanted) in enumerate(cases):
        key, value = change.split("=")
        folder = write(tmp_path / str(number), replace(BASE, changes={key: value}))
        edit_json(folder / "environment.json", "dataset", "fingerprint", value="1111")
        assert changes(one, read_run(folder)) == changes(read_run(folder), one) == wanted


def test_how_often_is_validated_matters_only_where_the_best_checkpoint_is_scored(tmp_path: Path) -> None:
    runs = []
    for name, every, checkpoint in (("a", 1, "last"), ("b", 2, "last"), ("c", 3, "best")):
        folder = write(tmp_path / name, replace(BASE, changes={"train.validate_every": str(every)}))
        edit_json(folder / "metrics.json", "evaluation", "checkpoint", value=checkpoint)
        runs.append(read_run(folder))
    other = ("evaluate.checkpoint",)
    assert [changes(one, another) for one, another in itertools.combinations(runs, 2)] == [(), other, other]


def test_files_of_folders_with_one_name_are_told_apart(tmp_path: Path) -> None:
    folders = [write(tmp_path / name, replace(BASE, name=name)) for name in "ab"]
    edit_json(folders[1] / "environment.json", "dataset", "fingerprint", value="0123456789")
    (effect,) = effects(compare(folders))
    assert (effect.field, effect.values) == ("data.root", ("missing (9b1c)", "missing (012345)"))
    edit_json(folders[1] / "recipe.json", "data", "root", value="elsewhere")
    (effect,) = effects(compare(folders))
    assert effect.values == ("missing", "elsewhere")


def test_builders_are_asked_only_where_components_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    known = settings_module._registry
    monkeypatch.setattr(settings_module, "_registry", lambda section: asked.append(section) or known(section))
    settings_module._defaults.cache_clear()
    assert len(effects(study(tmp_path / "a", BASE, replace(BASE, name="lr", changes={"optim.lr": "0.1"})))) == 1
    assert asked == []
    assert len(effects(study(tmp_path / "b", BASE, replace(BASE, name="a", changes={"model.name": "deeplabv3"})))) == 1
    assert set(asked) == {"model"}


def test_recipes_of_earlier_versions_lack_options_that_had_their_default(tmp_path: Path) -> None:
    one, _ = pair(tmp_path)
    file = one.path / "recipe.json"
    stored = json.loads(file.read_text())
    assert stored["model"].pop("dropout") == 0.0
    old = write(tmp_path / "old", BASE) / "recipe.json"
    old.write_text(json.dumps(stored))
    assert changes(one, read_run(old.parent)) == ()


# --- effects ---------------------------------------------------------------------------------------------------------


def test_effects_of_single_changes(tmp_path: Path) -> None:
    comparison = study(
        tmp_path,
        replace(BASE, name="large", changes={"augment.size": "[512, 512]"}, memory=9_000_000_000, seconds=11_060.0),
        BASE,
        replace(BASE, name="wide", changes={"model.width": "96"}, quality=0.7, parameters=62_074_000),
        replace(BASE, name="both", changes={"model.width": "96", "augment.size": "[128, 128]"}),
    )
    found = {(effect.field, effect.before.name, effect.after.name): effect for effect in effects(comparison)}
    assert set(found) == {
        ("augment.size", "base", "large"),
        ("augment.size", "both", "wide"),
        ("model.width", "base", "wide"),
    }
    size = found["augment.size", "base", "large"]
    assert size.values == ("256 \N{MULTIPLICATION SIGN} 256", "512 \N{MULTIPLICATION SIGN} 512")
    assert (size.memory, size.seconds, size.parameters) == pytest.approx((9 / 3.4, 2.0, 1.0))
    width = found["model.width", "base", "wide"]
    rows = {row.name: row for group in comparison.groups for row in group.rows}
    assert width.score == rows["wide"].score("dice") - rows["base"].score("dice")
    assert width.score > 0.03
    assert width.parameters == 2.0
    assert field_title("augment.size") == "resolution"


def test_the_first_of_several_values_is_what_others_are_compared_with(tmp_path: Path) -> None:
    fakes = [replace(BASE, name=f"e{epochs}", epochs=epochs) for epochs in (20, 5, 10)]
    found = effects(study(tmp_path, *fakes))
    assert [effect.values for effect in found] == [("5", "10"), ("5", "20")]


def test_seeds_are_averaged_and_are_no_change(tmp_path: Path) -> None:
    seeds = [replace(BASE, name=f"s{seed}", seed=seed, history=seed, memory=10**9 * (seed + 1)) for seed in range(3)]
    comparison = study(tmp_path, *seeds, replace(BASE, name="dice", changes={"loss.name": "dice"}))
    (effect,) = effects(comparison)
    assert [row.name for row in effect.before.rows] == ["s0", "s1", "s2"]
    assert effect.before.name == "s0 and 2 alike"
    scores = [row.score("dice") for row in effect.before.rows]
    assert effect.before.score == pytest.approx(np.mean(scores))
    assert len(set(scores)) == 3
    assert effect.memory == pytest.approx(3.4e9 / 2e9)


def test_a_soup_is_no_setting(tmp_path: Path) -> None:
    fakes = [replace(BASE, name=f"s{seed}", seed=seed, history=seed) for seed in range(2)]
    dice = replace(BASE, name="dice", changes={"loss.name": "dice"})
    folders = [write(tmp_path / fake.name, fake) for fake in [*fakes, dice, replace(BASE, name="soup", quality=0.9)]]
    (folders[-1] / "soup.json").write_text("{}")
    (effect,) = effects(compare(folders))
    assert [row.name for row in effect.before.rows] == ["s0", "s1"]
    assert effect.score is not None


def test_copies_of_one_seed_are_not_averaged(tmp_path: Path) -> None:
    copies = [replace(BASE, name=name, history=place) for place, name in enumerate("ab")]
    dice = replace(BASE, name="dice", changes={"loss.name": "dice"})
    (effect,) = effects(study(tmp_path, *copies, dice))
    assert [row.name for row in effect.before.rows] == ["a"]


def test_runs_that_were_scored_in_two_ways_are_compared_within_each(tmp_path: Path) -> None:
    folders = []
    for window in ("whole", "sliding"):
        for name, lr in (("low", "0.01"), ("high", "0.1")):
            fake = replace(BASE, name=f"{window}-{name}", window=window, changes={"optim.lr": lr})
            folders.append(write(tmp_path / fake.name, fake))
    comparison = compare(folders)
    assert len(comparison.groups) == 2
    found = effects(comparison)
    assert [(e.before.name, e.after.name) for e in found] == [
        ("whole-low", "whole-high"),
        ("sliding-low", "sliding-high"),
    ]
    assert all(e.score is not None and len(e.before.rows) == len(e.after.rows) == 1 for e in found)


def test_scores_of_other_classes_are_other_measurements(tmp_path: Path) -> None:
    fewer = replace(BASE, name="four", top=4, rest="other", memory=1_700_000_000)
    (effect,) = effects(study(tmp_path, BASE, fewer))
    assert (effect.field, effect.values) == ("labels.top", ("4 + other", "8"))
    assert not effect.comparable
    assert effect.score is None
    assert effect.memory == 2.0
    assert effect.seconds == 1.0


def test_another_choice_of_checkpoint_is_a_change(tmp_path: Path) -> None:
    fakes = BASE, replace(BASE, name="last"), replace(BASE, name="both", changes={"optim.lr": "0.1"})
    folders = [write(tmp_path / fake.name, fake) for fake in fakes]
    for folder in folders[1:]:
        edit_json(folder / "metrics.json", "evaluation", "checkpoint", value="last")
    assert effects(compare([folders[0], folders[2]])) == ()
    found = effects(compare(folders))
    assert [effect.field for effect in found] == ["optim.lr", "evaluate.checkpoint"]
    assert found[1].values == ("best", "last")
    assert found[1].score is not None


def test_costs_that_were_measured_differently_have_no_factor(tmp_path: Path) -> None:
    cpu = replace(
        BASE, name="cpu", device_name="EPYC", memory_kind="resident in RAM", changes={"augment.preset": "strong"}
    )
    (effect,) = effects(study(tmp_path, BASE, cpu))
    assert effect.values == ("paper", "strong")
    assert (effect.memory, effect.seconds) == (None, None)
    assert effect.parameters == 1.0


def test_runs_that_differ_in_two_things_show_nothing(tmp_path: Path) -> None:
    other = replace(BASE, name="other", changes={"optim.lr": "0.1", "loss.name": "dice"})
    assert effects(study(tmp_path, BASE, other)) == ()


def test_how_sure_an_effect_is_follows_its_direction(tmp_path: Path) -> None:
    base = replace(BASE, images=30)
    seeds = [replace(base, name=f"base-{seed}", seed=seed, history=seed) for seed in range(2)]
    worse = replace(base, name="worse", quality=0.3, changes={"optim.lr": "0.1"})
    better = replace(base, name="better", quality=0.8, changes={"loss.name": "dice"})
    comparison = study(tmp_path, *seeds, worse, better)
    statistics = Analysis(comparison.groups[0]).statistics
    assert statistics is not None
    found = {effect.field: effect for effect in effects(comparison)}
    for field, name in (("optim.lr", "worse"), ("loss.name", "better")):
        effect, certainty = found[field], found[field].certainty(statistics)
        assert certainty is not None
        assert effect.score is not None
        assert certainty.interval.low < effect.score < certainty.interval.high
        pair = statistics.difference(statistics.row("base-0").name, statistics.row(name).name)
        ends = sorted(np.sign(effect.score) * np.array([pair.interval.low, pair.interval.high]))
        assert (certainty.interval.low, certainty.interval.high) == pytest.approx(tuple(ends))
        assert certainty.distinguishable == pair.distinguishable
        assert effect.certainty(None) is None


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int, int], Path]:
    """Runs of every combination of three fields with two values each."""
    root = tmp_path_factory.mktemp("grid")
    values = list(itertools.product(range(2), repeat=3))
    made = {}
    for lr, width, preset in values:
        changed = {
            "optim.lr": ["0.1", "0.2"][lr],
            "model.width": ["8", "16"][width],
            "augment.preset": ["paper", "standard"][preset],
        }
        made[lr, width, preset] = write(root / f"{lr}{width}{preset}", replace(BASE, name="x", changes=changed))
    return made


@settings(max_examples=25)
@given(chosen=st.sets(st.tuples(*[st.integers(0, 1)] * 3), min_size=2, max_size=6))
def test_pairs_are_those_that_a_grid_says(
    grid: dict[tuple[int, int, int], Path], chosen: set[tuple[int, int, int]]
) -> None:
    found = effects(compare([grid[place] for place in sorted(chosen)]))
    fields = ("optim.lr", "model.width", "augment.preset")
    wanted = {
        (fields[axis], place)
        for place in chosen
        for axis in range(3)
        if place[axis] == 0 and tuple(1 if i == axis else v for i, v in enumerate(place)) in chosen
    }
    assert {(e.field, tuple(int(c) for c in e.before.runs[0].path.name)) for e in found} == wanted
    assert len(found) == len(wanted)
    assert set(PRESETS) >= {e.values[0] for e in found if e.field == "augment.preset"}
