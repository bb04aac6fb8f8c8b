import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from run_folders import STUDY, Fake, write_run
from segfit.comparison.analysis import Analysis
from segfit.comparison.budget import (
    OVER,
    Cut,
    EqualBudget,
    Spending,
    Unit,
    at_equal,
    best_within,
    obstacle,
    soups,
    within,
)
from segfit.comparison.comparing import compare
from segfit.comparison.entrants import Entrant
from segfit.comparison.table import Group, Row

PARTS = dict.fromkeys(("parameters", "gradients", "optimizer", "activations", "temporaries"), 10)


def plan(flops: float, count: int = 1) -> dict[str, Any]:
    return {
        "device": {"name": "T4", "kind": "cuda", "count": count, "room": 10**10},
        "memory": {"peak": 50, "training": PARTS, "validation": PARTS},
        "flops_per_step": flops,
    }


def group_of(folder: Path, *fakes: Fake) -> Group:
    (group,) = compare([write_run(folder / str(i), fake) for i, fake in enumerate(fakes)]).groups
    return group


BASE = Fake(images=12, epochs=4)
SMALL = tuple(replace(fake, images=12) for fake in STUDY)
PLANNED = tuple(replace(fake, plan=plan((2 + i) * 1e12, 2)) for i, fake in enumerate(SMALL))


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Group:
    fakes = [replace(fake, epochs=epochs) for fake, epochs in zip(PLANNED, (40, 30, 36, 24), strict=True)]
    return group_of(tmp_path_factory.mktemp("study"), *fakes)


def spent(run: Any, unit: Unit, step: int) -> float:
    """What a run had spent at a step, from its settings: its steps all take equally long."""
    if unit == "samples":
        return step * run.training.batch
    if unit == "hours":
        return step / run.training.steps * run.training.seconds / 3600
    place = [fake.name for fake in STUDY].index(run.recipe.name)
    return step * (2 + place) * 1e12 * 2


@pytest.mark.parametrize("unit", ["samples", "hours", "flops"])
def test_scores_at_equal_budget_are_the_best_ones_within_it(group: Group, unit: Unit) -> None:
    equal = at_equal(group, unit)
    assert equal is not None
    most = min(spent(run, unit, run.training.steps) for run in group.runs)
    assert [cut.amount for cut in equal.cuts] == pytest.approx([most / 4, most / 2, most])
    for cut in equal.cuts:
        for run, score in zip(group.runs, cut.scores, strict=True):
            within_budget = [
                event["dice"]
                for event in run.events
                if event["event"] == "validation" and spent(run, unit, event["step"]) <= cut.amount * 1.02
            ]
            assert score == (max(within_budget) if within_budget else None)
    assert [run.row.name for run in equal.runs] == [row.name for row in group.rows]


def test_what_hours_and_arithmetic_cannot_tell_is_said(tmp_path: Path) -> None:
    mixed = group_of(tmp_path, PLANNED[0], replace(SMALL[1], device_name="A100"))
    assert at_equal(mixed, "samples") is not None
    assert at_equal(mixed, "hours") is None
    hours = obstacle(mixed, "hours")
    assert hours == "Hours are not compared: the runs were trained on different hardware (2 x A100, 2 x Tesla T4)."
    assert obstacle(mixed, "flops") == "Equal arithmetic is not compared: attention-unet-8 has no plan."
    assert at_equal(mixed, "flops") is None


def test_runs_whose_events_tell_nothing_are_named(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / name, Fake(name=name, images=4)) for name in "ab"]
    (paths[1] / "events.jsonl").write_text('{"event": "end"}\n')
    (group,) = compare(paths).groups
    assert at_equal(group, "samples") is None
    assert obstacle(group, "samples") == "Equal images seen is not compared: the events of b do not tell it."


def test_a_single_run_has_nothing_to_be_equal_to(tmp_path: Path) -> None:
    assert at_equal(group_of(tmp_path, Fake()), "samples") is None


def test_a_run_that_ends_a_second_later_keeps_its_last_validation(tmp_path: Path) -> None:
    # One validation at the end of each: cut sharply, the second would have none at all.
    group = group_of(tmp_path, Fake(name="a", epochs=1, seconds=5000.0), Fake(name="b", epochs=1, seconds=5001.0))
    equal = at_equal(group, "hours")
    assert equal is not None
    assert equal.most.amount == pytest.approx(5000 / 3600)
    assert list(equal.most.scores) == [run.curves.dice[-1] for run in group.runs]
    # What is clearly later is cut.
    group = group_of(
        tmp_path / "late", Fake(name="a", epochs=1, seconds=5000.0), Fake(name="b", epochs=1, seconds=5200.0)
    )
    equal = at_equal(group, "hours")
    assert equal is not None
    names = [row.name for row in group.rows]
    assert equal.most.scores[names.index("b")] is None
    assert equal.most.scores[names.index("a")] is not None


def test_a_soup_is_no_obstacle(tmp_path: Path) -> None:
    group = group_of(tmp_path, *PLANNED[:2], replace(SMALL[2], device_name="A100"))
    assert obstacle(group, "flops") is not None
    assert obstacle(group, "hours") is not None
    (tmp_path / "2" / "soup.json").write_text("{}")
    assert [row.name for row in soups(group)] == ["deeplabv3-8"]
    units: tuple[Unit, ...] = ("samples", "hours", "flops")
    for unit in units:
        assert obstacle(group, unit) is None
        equal = at_equal(group, unit)
        assert equal is not None
        assert [run.row.name for run in equal.runs] == [r.name for r in group.rows if r.name != "deeplabv3-8"]


# --- cutting ---------------------------------------------------------------------------------------------------------

SCORES = st.one_of(st.just(float("nan")), st.floats(0, 1))


@given(
    increments=st.lists(st.integers(1, 9), min_size=1, max_size=8),
    scores=st.lists(SCORES, min_size=8, max_size=8),
    budgets=st.lists(st.integers(0, 60), min_size=1, max_size=4),
)
def test_a_cut_curve_is_the_running_best(increments: list[int], scores: list[float], budgets: list[int]) -> None:
    amounts = np.cumsum(increments).astype(float)
    own = np.array(scores[: len(amounts)])
    row: Any = None
    run = Spending(row=row, amounts=amounts, best=np.fmax.accumulate(own))
    previous = None
    for budget in sorted(budgets):
        seen = [s for a, s in zip(amounts, own, strict=True) if a <= OVER * budget and np.isfinite(s)]
        found = run.at(budget)
        assert found == (max(seen) if seen else None)
        assert previous is None or (found is not None and found >= previous), "more budget never scores lower"
        previous = found


@given(st.lists(st.one_of(st.none(), st.sampled_from([0.0, 0.1, 0.5, 0.9])), min_size=1, max_size=6))
def test_rankings_put_the_best_first_and_the_unknown_last(scores: list[float | None]) -> None:
    ranking = Cut(share=1.0, amount=1.0, scores=tuple(scores)).ranking
    assert sorted(ranking) == list(range(len(scores)))
    for before, after in itertools.pairwise(ranking):
        one, other = scores[before], scores[after]
        if other is None:
            assert one is not None or before < after
        else:
            assert one is not None
            assert one > other or (one == other and before < after)


@given(st.lists(st.one_of(st.none(), st.sampled_from([0.0, 0.1, 0.1001, 0.1004, 0.5])), min_size=1, max_size=6))
def test_places_are_shared_by_scores_that_are_written_alike(scores: list[float | None]) -> None:
    cut = Cut(share=1.0, amount=1.0, scores=tuple(scores))
    shown = ["" if score is None else f"{score:.3f}" for score in scores]
    best_first = sorted(shown, reverse=True)
    assert list(cut.places) == [1 + best_first.index(text) for text in shown]
    assert [shown[run] for run in cut.leaders] == [best_first[0]] * shown.count(best_first[0])
    assert [cut.places[run] for run in cut.ranking] == sorted(cut.places)


def equal_budget(*cuts: tuple[float, tuple[float | None, ...]]) -> EqualBudget:
    template: Any = object()
    rows = [Row(name=name, number=i, run=None, scores=template) for i, name in enumerate("abc")]
    own = tuple(Entrant(name=row.name, rows=(row,)) for row in rows)
    none = np.zeros(0)
    return EqualBudget(
        unit="samples",
        metric="Dice",
        runs=tuple(Spending(row=row, amounts=none, best=none) for row in rows),
        entrants=own,
        cuts=tuple(Cut(share=share, amount=8000 * share, scores=scores) for share, scores in cuts),
    )


def test_words_say_who_leads_and_whether_that_depends_on_the_budget() -> None:
    end = (1.0, (0.5, 0.4, 0.3))
    same = equal_budget((0.25, (0.3, 0.2, 0.1)), (0.5, (0.4, 0.3, 0.2)), end)
    assert not same.changes
    assert same.sentences() == (
        "At equal images seen (8,000 images, the most that all runs saw) a is ahead with Dice 0.500, before b with "
        "0.400.",
        "The order was the same at a quarter and half of it.",
    )
    overtaken = equal_budget((0.25, (0.1, 0.2, 0.3)), (0.5, (0.3, 0.4, 0.2)), end)
    assert overtaken.changes
    assert overtaken.sentences()[1] == (
        "The ranking depends on the budget: c was ahead at a quarter of it and b was ahead at half of it."
    )
    late = equal_budget((0.25, (0.1, 0.2, 0.1)), (0.5, (0.3, 0.4, 0.2)), end)
    assert late.sentences()[1] == "The ranking depends on the budget: b was ahead at a quarter and half of it."
    behind = equal_budget((0.25, (0.4, 0.2, 0.3)), (0.5, (0.4, 0.3, 0.2)), end)
    assert behind.sentences()[1] == "Who leads does not depend on the budget; the order behind it does."
    # Equal numbers are ahead of nobody.
    level = equal_budget((0.25, (0.3, 0.2, 0.1)), (0.5, (0.4, 0.3, 0.3)), (1.0, (0.5002, 0.5, 0.3)))
    assert level.sentences() == (
        "At equal images seen (8,000 images, the most that all runs saw) a and b are equally far, with Dice 0.500, "
        "before c with 0.300.",
        "The ranking depends on the budget: a was ahead at a quarter and half of it.",
    )
    once_level = equal_budget((0.5, (0.4, 0.4, 0.1)), end)
    assert once_level.sentences()[1] == "The ranking depends on the budget: a and b were equally far at half of it."
    behind_level = equal_budget((1.0, (0.5, 0.4, 0.4))).sentences()
    assert behind_level[0].endswith("a is ahead with Dice 0.500, before b and c with 0.400.")
    assert equal_budget((1.0, (0.5, 0.5, 0.5))).sentences()[0].endswith("a, b and c are equally far, with Dice 0.500.")
    # A run without a score so far has no place in a ranking.
    early = equal_budget((0.25, (None, 0.2, 0.3)), (0.5, (0.4, 0.3, 0.2)), end)
    assert early.sentences()[1] == "The order was the same at half of it."
    assert not early.changes


def test_trainings_of_one_entrant_do_not_compete(tmp_path: Path) -> None:
    fakes = [
        replace(
            BASE, name=f"{name}-seed{seed}", seed=seed, history=seed, quality=quality, changes={"model.width": width}
        )
        for name, quality, width in (("x", 0.66, 8), ("y", 0.62, 16))
        for seed in range(3)
    ]
    group = group_of(tmp_path, *fakes)
    equal = at_equal(group, "samples")
    assert equal is not None
    assert len(equal.runs) == 6, "figures have a curve a run"
    for cut, means in zip(equal.cuts, equal.means, strict=True):
        scores = {run.row.name: score for run, score in zip(equal.runs, cut.scores, strict=True)}
        for entrant, mean in zip(equal.entrants, means.scores, strict=True):
            assert mean == pytest.approx(np.mean([scores[f"{entrant.name}-seed{seed}"] for seed in range(3)]))
    first, *_ = equal.sentences()
    assert re.search(r" (x|y) is ahead with Dice 0\.\d{3}, before (x|y) with 0", first)
    assert "seed" not in " ".join(equal.sentences())
    # Of one entrant there is nothing to compare.
    assert at_equal(group_of(tmp_path / "one", *fakes[:3]), "samples") is None


def test_a_mean_waits_for_the_first_score_of_every_training() -> None:
    equal = equal_budget((0.5, (None, 0.4, 0.3)), (1.0, (0.5, 0.4, 0.3)))
    pair = tuple(run.row for run in equal.runs[:2])
    joined = replace(equal, entrants=(Entrant(name="ab", rows=pair), Entrant(name="c", rows=(equal.runs[2].row,))))
    assert [cut.scores for cut in joined.means] == [(None, 0.3), (pytest.approx(0.45), 0.3)]
    assert [cut.share for cut in joined.complete] == [1.0]


def test_a_lead_that_the_final_scores_do_not_confirm_is_called_so(tmp_path: Path) -> None:
    fakes = [
        replace(BASE, name=name, images=30, quality=quality, changes={"model.width": width})
        for name, quality, width in (("a", 0.66, 8), ("bb", 0.66, 16), ("far", 0.3, 32))
    ]
    doubt = "Their final scores do not tell them apart."
    for chosen, said in ((fakes[:2], True), (fakes[1:], False)):
        analysis = Analysis(group_of(tmp_path / str(said), *chosen))
        equal, found = at_equal(analysis.group, "samples"), analysis.statistics
        assert equal is not None
        assert found is not None
        assert len(found.tied) == len(chosen) - (not said)
        assert (doubt in equal.sentences(found)) == said
        assert doubt not in equal.sentences()


# --- memory ----------------------------------------------------------------------------------------------------------


def test_the_best_run_within_the_memory_of_usual_gpus(tmp_path: Path) -> None:
    group = group_of(tmp_path, *SMALL, Fake(name="huge", quality=0.8, images=12, memory=30_000_000_000))
    found = [(fitting.size / 1e9, fitting.entrant.name) for fitting in within(group)]
    # 0.6 GB and 5 % of the rest are not for tensors: 30 GB need (30 / 0.95) + 0.6 = 32.2 GB.
    assert found == [(4, "unet-small"), (6, "attention-unet-8"), (40, "huge")]


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=6))
def test_the_best_process_within_each_memory(points: list[tuple[int, int]]) -> None:
    # In sizes that are far enough apart to be told apart.
    points = [(10**9 * memory, score) for memory, score in points]
    competing = _entrants(points)
    found = [(fitting.size, fitting.entrant.number) for fitting in best_within(competing, "dice")]
    wanted: list[tuple[int, int]] = []
    for size in sorted(memory for memory, _ in points):
        fitting = [one.number for one in competing if points[one.number][0] <= size]
        if not wanted or points[fitting[0]][1] > points[wanted[-1][1]][1]:
            wanted.append((size, fitting[0]))
    assert found == wanted
    scores = [points[number][1] for _, number in found]
    assert scores == sorted(set(scores)), "more memory is only worth a higher score"


@pytest.mark.parametrize(
    ("peaks", "found"),
    [
        # GB and scores; 5 % apart is one size, in which the better run fits, too.
        ([(1.00, 0.3), (1.05, 0.5)], [(1.05, 1)]),
        ([(1.00, 0.3), (1.06, 0.5)], [(1.00, 0), (1.06, 1)]),
        ([(1.00, 0.5), (1.04, 0.3)], [(1.00, 0)]),
        # Both are written as 0.2 GB.
        ([(0.16, 0.3), (0.24, 0.5), (0.5, 0.7)], [(0.24, 1), (0.5, 2)]),
        ([(0.080, 0.3), (0.090, 0.5)], [(0.080, 0), (0.090, 1)]),
        # Of a chain, all within 5 % of the first.
        ([(1.00, 0.3), (1.04, 0.4), (1.08, 0.5), (1.12, 0.6), (1.16, 0.7)], [(1.04, 1), (1.12, 3), (1.16, 4)]),
    ],
)
def test_peaks_that_differ_by_noise_are_one_size(
    peaks: list[tuple[float, float]], found: list[tuple[float, int]]
) -> None:
    fittings = best_within(_entrants([(round(1e9 * size), score) for size, score in peaks]), "dice")
    assert [(one.size, one.entrant.number) for one in fittings] == [(round(1e9 * size), n) for size, n in found]


def test_an_entrant_fits_where_all_its_trainings_do(tmp_path: Path) -> None:
    seeds = [
        replace(BASE, name=f"x-seed{seed}", seed=seed, history=seed, quality=0.7, memory=memory)
        for seed, memory in enumerate((3_000_000_000, 4_500_000_000))
    ]
    small = replace(BASE, name="small", quality=0.4, memory=1_000_000_000, changes={"model.width": 8})
    group = group_of(tmp_path, *seeds, small)
    assert [(fitting.size / 1e9, fitting.entrant.name) for fitting in within(group)] == [(4, "small"), (6, "x")]


def _entrants(points: Sequence[tuple[int, float]]) -> list[Entrant]:
    """Return entrants as far as memory goes: best first, the one given first before its equals."""
    order = sorted(range(len(points)), key=lambda i: (-points[i][1], i))

    class Facts:
        def __init__(self, memory: int) -> None:
            self.training = type("T", (), {"memory": memory, "memory_kind": "resident in RAM"})()
            self.environment = type("E", (), {"device": "cpu"})()

    scores: list[Any] = [type("S", (), {"dice": points[i][1]})() for i in order]
    facts: list[Any] = [Facts(points[i][0]) for i in order]
    return [
        Entrant(name=str(i), rows=(Row(name=str(i), number=i, run=run, scores=score),))
        for i, run, score in zip(order, facts, scores, strict=True)
    ]


def test_memory_of_different_kinds_is_not_compared(tmp_path: Path) -> None:
    assert within(group_of(tmp_path, Fake(), Fake(name="cpu", memory_kind="resident in RAM"))) == ()
