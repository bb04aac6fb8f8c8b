from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from run_folders import STUDY, Fake, write_run
from segfit.comparison.comparing import compare
from segfit.comparison.pareto import non_dominated, pareto_front
from segfit.comparison.table import Group


def group_of(folder: Path, *fakes: Fake) -> Group:
    (group,) = compare([write_run(folder / str(i), fake) for i, fake in enumerate(fakes)]).groups
    return group


def dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """The definition, point by point: the first entry is a score, the others are costs."""
    no_worse = one[0] >= other[0] and all(a <= b for a, b in zip(one[1:], other[1:], strict=True))
    better = one[0] > other[0] or any(a < b for a, b in zip(one[1:], other[1:], strict=True))
    return no_worse and better


POINTS = st.integers(1, 3).flatmap(
    # Few values, so that points are often equal in some respect.
    lambda costs: st.lists(st.tuples(*[st.integers(0, 3).map(float)] * (costs + 1)), min_size=1, max_size=12)
)


@given(POINTS)
def test_non_dominated_points_are_those_that_no_other_dominates(points: list[tuple[float, ...]]) -> None:
    array = np.array(points)
    found = non_dominated(array[:, 0], array[:, 1:])
    assert found.tolist() == [not any(dominates(other, point) for other in points) for point in points]
    assert found.any()


@given(POINTS, st.randoms(use_true_random=False))
def test_the_order_of_points_does_not_matter(points: list[tuple[float, ...]], random) -> None:
    order = list(range(len(points)))
    random.shuffle(order)
    array = np.array(points)
    first = non_dominated(array[:, 0], array[:, 1:])
    assert non_dominated(array[order, 0], array[order, 1:]).tolist() == first[order].tolist()


def test_runs_are_split_by_what_beats_them(tmp_path: Path) -> None:
    group = group_of(tmp_path, *STUDY)
    front = pareto_front(group)
    points = {
        row.name: (row.score("dice"), run.training.memory, run.training.seconds, run.training.parameters)
        for row, run in zip(group.rows, group.runs, strict=True)
    }
    wanted = [name for name, point in points.items() if not any(dominates(o, point) for o in points.values())]
    assert [row.name for row in front.efficient] == wanted == ["attention-unet-8", "unet-8", "unet-small"]
    assert len(front.efficient) + len(front.dominated) == 4
    for found in front.dominated:
        assert dominates(points[found.by.name], points[found.row.name])
        assert found.by in front.efficient
    assert front.dominated[0].reason == (
        "attention-unet-8 scores higher (0.756 against 0.628) with less memory (4.6 GB against 7.9 GB), less time (6 h "
        "54 min against 9 h 36 min) and fewer parameters (34.9 M against 39.6 M)."
    )


def test_equal_costs_are_called_equal(tmp_path: Path) -> None:
    good = Fake(name="good", quality=0.7, memory=2_000_000_000)
    front = pareto_front(group_of(tmp_path, good, replace(good, name="bad", quality=0.4)))
    (found,) = front.dominated
    assert found.reason.startswith("good scores higher (")
    assert found.reason.endswith(") with as much memory, as much time and as many parameters.")


def test_costs_that_were_measured_differently_beat_nobody(tmp_path: Path) -> None:
    cheap = Fake(name="gpu", quality=0.7, parameters=2_000_000)
    other = Fake(
        name="cpu", quality=0.5, parameters=1_000_000, memory=9_000_000_000, seconds=90_000.0,
        memory_kind="resident in RAM", device_name="EPYC",
    )  # fmt: skip
    front = pareto_front(group_of(tmp_path, cheap, other))
    assert [cost.name for cost in front.costs] == ["parameters"]
    assert front.dominated == ()


def test_runs_that_agree_in_everything_are_both_kept(tmp_path: Path) -> None:
    front = pareto_front(group_of(tmp_path, Fake(name="a"), Fake(name="a")))
    assert len(front.efficient) == 2


def test_costs_that_are_written_alike_get_more_digits(tmp_path: Path) -> None:
    runs = Fake(name="a", memory=119_000_000, quality=0.6), Fake(name="b", memory=131_000_000, quality=0.5)
    (group,) = compare([write_run(tmp_path / run.name, run) for run in runs]).groups
    (found,) = pareto_front(group).dominated
    assert "with less memory (119 MB against 131 MB)" in found.reason
