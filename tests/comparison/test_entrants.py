"""Who is an entrant: trainings of one recipe with different seeds, and nothing else."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from run_folders import Fake, edit_json, write_run
from segfit.comparison.ablation import effects
from segfit.comparison.comparing import compare
from segfit.comparison.entrants import entrants

BASE = Fake(images=12, epochs=3)


def names_of(tmp_path: Path, *fakes: Fake) -> dict[str, list[str]]:
    paths = [write_run(tmp_path / f"{number}-{fake.name}", fake) for number, fake in enumerate(fakes)]
    (group,) = compare(paths).groups
    return {entrant.name: [row.name for row in entrant.rows] for entrant in entrants(group)}


def seeds(fake: Fake, count: int) -> list[Fake]:
    return [replace(fake, name=f"{fake.name}-seed{seed}", seed=seed, history=seed) for seed in range(count)]


def test_seeds_of_one_recipe_are_one_entrant(tmp_path: Path) -> None:
    found = names_of(tmp_path, *seeds(BASE, 3), Fake(name="other", model="attention_unet", images=12, epochs=3))
    assert set(found) == {"unet-8", "other"}
    assert sorted(found["unet-8"]) == ["unet-8-seed0", "unet-8-seed1", "unet-8-seed2"]


def test_runs_of_one_name_are_told_apart_by_their_folders_and_joined(tmp_path: Path) -> None:
    found = names_of(tmp_path, *(replace(BASE, seed=seed, history=seed) for seed in range(2)))
    assert list(found) == ["unet-8"]


@pytest.mark.parametrize(
    "change",
    ["optim.lr=0.002", "train.epochs=4", "model.width=16", "train.validate_every=2", "train.continue_from=elsewhere"],
)
def test_any_field_that_matters_makes_another_entrant(tmp_path: Path, change: str) -> None:
    key, value = change.split("=")
    other = replace(BASE, name="other", seed=1, changes={key: value})
    assert len(names_of(tmp_path, BASE, other)) == 2


def test_the_other_checkpoint_makes_another_entrant(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / fake.name, fake) for fake in seeds(BASE, 2)]
    edit_json(paths[1] / "metrics.json", "evaluation", "checkpoint", value="last")
    assert len(entrants(compare(paths).groups[0])) == 2


@pytest.mark.parametrize(
    "change",
    ["train.workers=3", "train.device=cuda", "evaluate.batch=2", "data.root=elsewhere", "evaluate.boundary=0.01"],
)
def test_where_it_ran_does_not_matter(tmp_path: Path, change: str) -> None:
    key, value = change.split("=")
    assert len(names_of(tmp_path, BASE, replace(BASE, name="other", seed=1, changes={key: value}))) == 1


def test_trainings_on_other_files_are_other_entrants(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / fake.name, fake) for fake in seeds(BASE, 3)]
    edit_json(paths[2] / "environment.json", "dataset", "fingerprint", value="0000")
    (group,) = compare(paths).groups
    found = {entrant.name: sorted(row.name for row in entrant.rows) for entrant in entrants(group)}
    assert found == {"unet-8": ["unet-8-seed0", "unet-8-seed1"], "unet-8-seed2": ["unet-8-seed2"]}


def test_several_trainings_never_bear_the_name_of_one_run(tmp_path: Path) -> None:
    # The first was named without a seed, so its name is what all names begin with.
    fakes = [BASE, replace(BASE, name="unet-8-seed1", seed=1, history=1)]
    ((name, rows),) = names_of(tmp_path / "own", *fakes).items()
    assert name == f"{rows[0]} and 1 alike"
    # Or the name is that of a run of another recipe.
    other = replace(BASE, name="unet-8", model="attention_unet")
    found = names_of(tmp_path / "other", *seeds(BASE, 2), other)
    assert found.pop("unet-8") == ["unet-8"]
    ((name, rows),) = found.items()
    assert name == f"{rows[0]} and 1 alike"
    # Or there is nothing in common.
    ((name, rows),) = names_of(
        tmp_path / "none", *(replace(f, name=n) for f, n in zip(fakes, "ab", strict=True))
    ).items()
    assert name == f"{rows[0]} and 1 alike"


def test_each_seed_goes_on_with_its_own_run(tmp_path: Path) -> None:
    """The paper's 50, 125 and 200 epochs, with seeds: three entrants, each the mean of its seeds."""
    fakes = []
    for epochs, before in ((3, None), (5, 3), (8, 5)):
        for seed in range(2):
            changes = {} if before is None else {"train.continue_from": f"unet-{before}-seed{seed}"}
            one = replace(BASE, name=f"unet-{epochs}-seed{seed}", seed=seed, history=seed, epochs=epochs)
            fakes.append(replace(one, changes=changes))
    found = names_of(tmp_path, *fakes)
    assert {name: sorted(rows) for name, rows in found.items()} == {
        f"unet-{epochs}": [f"unet-{epochs}-seed0", f"unet-{epochs}-seed1"] for epochs in (3, 5, 8)
    }


def test_how_often_is_validated_tells_recipes_apart_only_where_the_best_is_scored(tmp_path: Path) -> None:
    fakes = [BASE, replace(BASE, name="other", seed=1, changes={"train.validate_every": 2})]
    paths = [write_run(tmp_path / fake.name, fake) for fake in fakes]
    for checkpoint, count in (("best", 2), ("last", 1)):
        for path in paths:
            edit_json(path / "metrics.json", "evaluation", "checkpoint", value=checkpoint)
        assert len(entrants(compare(paths).groups[0])) == count


def test_entrants_are_told_apart_by_what_an_ablation_calls_a_change(tmp_path: Path) -> None:
    """A decoded cache changes the time, so runs with it and without are two settings, in whatever order."""
    plain = [replace(fake, seconds=4000.0) for fake in seeds(BASE, 2)]
    cached = seeds(replace(BASE, name="cached", changes={"data.cache": "/c"}, seconds=1000.0), 2)
    one = replace(cached[1], changes={"data.cache": "/elsewhere"})
    paths = [write_run(tmp_path / fake.name, fake) for fake in (*plain, cached[0], one)]
    for order in ((0, 1, 2, 3), (0, 3, 2, 1)):
        comparison = compare([paths[place] for place in order])
        found = {e.name: {row.name for row in e.rows} for e in comparison.analyses[0].entrants}
        assert found == {"unet-8": {"unet-8-seed0", "unet-8-seed1"}, "cached": {"cached-seed0", "cached-seed1"}}
        (effect,) = effects(comparison)
        assert (effect.field, effect.values, effect.seconds) == ("data.cache", ("off", "on"), 0.25)


def test_copies_of_a_seed_are_dealt_out_alike_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes = [*seeds(BASE, 2), replace(BASE, name="unet-8-again", history=7)]
    paths = [write_run(tmp_path / fake.name, fake) for fake in fakes]
    monkeypatch.chdir(tmp_path)
    # However a folder is written, it is the same one.
    ways = [paths, paths[::-1], [Path(os.path.relpath(paths[0])), *paths[1:]]]
    found = [{frozenset(row.name for row in e.rows) for e in entrants(compare(order).groups[0])} for order in ways]
    assert len(found[0]) == 2
    assert found[0] == found[1] == found[2]


def test_the_same_seed_twice_is_no_second_draw(tmp_path: Path) -> None:
    found = names_of(tmp_path, *seeds(BASE, 2), replace(BASE, name="again", seed=0))
    assert sorted(len(rows) for rows in found.values()) == [1, 2]


def test_a_soup_is_an_entrant_of_its_own(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / fake.name, fake) for fake in [*seeds(BASE, 2), replace(BASE, name="soup", seed=2)]]
    (paths[2] / "soup.json").write_text("{}")
    (group,) = compare(paths).groups
    assert sorted(entrant.name for entrant in entrants(group)) == ["soup", "unet-8"]


def test_the_order_of_runs_does_not_matter(tmp_path: Path) -> None:
    fakes = [*seeds(BASE, 2), *seeds(replace(BASE, name="b", model="attention_unet", quality=0.8), 2)]
    paths = [write_run(tmp_path / fake.name, fake) for fake in fakes]
    one, other = (entrants(compare(order).groups[0]) for order in (paths, paths[::-1]))
    assert [(e.name, [row.name for row in e.rows]) for e in one] == [
        (e.name, [row.name for row in e.rows]) for e in other
    ]
    assert one[0].name == "b"
    assert one[0].score("dice") == sum(row.scores.dice for row in one[0].rows) / 2
