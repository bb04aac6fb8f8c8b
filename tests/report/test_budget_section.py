from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from section_blocks import PLANNED, SMALL, analysis_of, blocks, drawings, texts, words

from run_folders import Fake, edit_json, write_run
from segfit import units
from segfit.comparison.analysis import Analysis
from segfit.comparison.budget import at_equal
from segfit.comparison.comparing import compare
from segfit.report.blocks import Figures, Table
from segfit.report.figures.costs import NAMED
from segfit.report.sections.budget import budget
from segfit.report.sections.costs import costs
from segfit.report.sections.memory import memory
from segfit.report.words import ordinal


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    return analysis_of(tmp_path_factory.mktemp("study"), *PLANNED)


def test_budget_tables_hold_the_scores_at_each_cut(study: Analysis) -> None:
    section = budget(study)
    assert list(drawings(section)) == ["score-by-samples", "score-by-hours", "score-by-flops"]
    for table, unit in zip(blocks(section, Table), ("samples", "hours", "flops"), strict=True):
        equal = at_equal(study.group, unit)
        assert equal is not None
        names = [run.row.name for run in equal.runs]
        for place, row in enumerate(table.rows, 1):
            run = names.index(row[0].text)
            assert [cell.value for cell in row[1:]] == [cut.scores[run] for cut in equal.cuts]
            assert row[-1].text == f"{units.score(equal.most.scores[run])} ({ordinal(place)})"
        assert equal.sentences()[0] in words(section)
    assert "a validation up to 2 % beyond a budget counts" in words(section)


def test_curves_are_drawn_through_the_scores_at_the_cuts(study: Analysis) -> None:
    equal = at_equal(study.group, "samples")
    assert equal is not None
    (axes,) = drawings(budget(study))["score-by-samples"].figure.axes
    for position, run in enumerate(equal.runs):
        points = [
            line.get_xydata()[0]
            for line in axes.lines
            if line.get_gid() == f"run-{run.row.number}" and len(line.get_xdata()) == 1
        ]
        # The axis counts thousands.
        wanted = [(cut.amount / 1e3, cut.scores[position]) for cut in equal.cuts]
        assert np.array(points) == pytest.approx(np.array(wanted))
        solid = next(line for line in axes.lines if line.get_gid() == f"run-{run.row.number}")
        assert max(solid.get_xdata()) == pytest.approx(equal.most.amount / 1e3)
        assert list(solid.get_ydata()) == sorted(solid.get_ydata())


def test_no_curve_is_drawn_beyond_its_run(study: Analysis) -> None:
    equal = at_equal(study.group, "hours")
    assert equal is not None
    (axes,) = drawings(budget(study))["score-by-hours"].figure.axes
    limit = axes.get_xlim()[1]
    for run in equal.runs:
        ends = [max(line.get_xdata()) for line in axes.lines if line.get_gid() == f"run-{run.row.number}"]
        assert max(ends) == pytest.approx(min(run.amounts[-1], limit))


def test_of_many_runs_the_best_at_the_equal_budget_are_named(tmp_path: Path) -> None:
    fakes = [Fake(name=f"run-{i:02}", quality=0.3 + 0.04 * i, epochs=4, images=4) for i in range(NAMED + 2)]
    analysis = analysis_of(tmp_path, *fakes)
    section = budget(analysis)
    equal = at_equal(analysis.group, "samples")
    assert equal is not None
    shown = [text for text in texts(drawings(section)["score-by-samples"]) if text.startswith("run-")]
    assert set(shown) == {equal.runs[i].row.name for i in equal.most.ranking[:NAMED]}
    assert "named, the others grey" in blocks(section, Figures)[0].caption
    timeline = texts(drawings(memory(analysis))["memory-timeline"])
    assert {text for text in timeline if text.startswith("run-")} == {row.name for row in analysis.group.rows[:NAMED]}


def test_what_budgets_leave_out_is_said(tmp_path: Path) -> None:
    other = replace(SMALL[0], name="other", device_name="A100", changes={"augment.size": "[128, 128]"})
    section = budget(analysis_of(tmp_path, SMALL[0], other))
    assert list(drawings(section)) == ["score-by-samples"]
    said = words(section)
    assert "Hours are not compared" in said
    assert "Equal arithmetic is not compared: no run has a plan." in said
    assert "different resolutions" in said


def test_where_no_budget_is_equal_the_section_says_why(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / name, Fake(name=name, images=4)) for name in "ab"]
    (paths[1] / "events.jsonl").write_text('{"event": "end"}\n')
    (group,) = compare(paths).groups
    section = budget(Analysis(group))
    assert not drawings(section)
    assert words(section) == (
        "Equal images seen is not compared: the events of b do not tell it. "
        "Equal time is not compared: the events of b do not tell it. "
        "Equal arithmetic is not compared: no run has a plan."
    )


def test_what_no_run_tells_is_said_without_names(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / name, Fake(name=name, images=4)) for name in "ab"]
    for path in paths:
        (path / "events.jsonl").write_text('{"event": "end"}\n')
    (group,) = compare(paths).groups
    assert words(budget(Analysis(group))).startswith(
        "Equal images seen is not compared: the events of no run tell it. "
    )


def test_soups_are_named_and_left_out(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / fake.name, fake) for fake in PLANNED[:2]]
    soup = write_run(tmp_path / "soup", replace(SMALL[0], name="soup", device_name="A100"))
    (soup / "soup.json").write_text("{}")
    (soup / "events.jsonl").write_text('{"event": "end"}\n')
    (group,) = compare([*paths, soup]).groups
    section = budget(Analysis(group))
    assert list(drawings(section)) == ["score-by-samples", "score-by-hours", "score-by-flops"]
    assert "Averages of trainings have no curve of their own and are left out: soup." in words(section)
    assert all(len(table.rows) == 2 for table in blocks(section, Table))
    (group,) = compare([paths[0], soup]).groups
    assert budget(Analysis(group)) is None, "one training has nothing to be equal to"


def test_runs_that_are_equally_far_share_their_place(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / str(i), replace(SMALL[0], name="same", images=4)) for i in range(2)]
    (group,) = compare(paths).groups
    table = blocks(budget(Analysis(group)), Table)[0]
    assert all(cell.text.endswith("(1st)") for row in table.rows for cell in row[1:])


def test_a_validation_just_beyond_the_budget_is_drawn_at_its_end(tmp_path: Path) -> None:
    late = replace(SMALL[1], seconds=1.01 * SMALL[0].seconds)
    group = analysis_of(tmp_path, SMALL[0], late).group
    equal = at_equal(group, "hours")
    assert equal is not None
    (axes,) = drawings(budget(Analysis(group)))["score-by-hours"].figure.axes
    ends = [max(line.get_xdata()) for line in axes.lines if line.get_gid()]
    assert max(ends) == pytest.approx(equal.most.amount), "no run went on"
    for position, run in enumerate(equal.runs):
        assert equal.most.scores[position] == run.best[-1], "its last validation counts"
        line = next(line for line in axes.lines if line.get_gid() == f"run-{run.row.number}")
        assert max(line.get_xdata()) == pytest.approx(equal.most.amount)
        assert list(line.get_xdata()) == sorted(line.get_xdata())
        assert max(line.get_ydata()) == run.best[-1]


def test_noise_in_memory_makes_no_sentence(tmp_path: Path) -> None:
    fakes = [
        Fake(name="small", quality=0.3, images=12, memory=160_000_000, memory_kind="resident in RAM"),
        Fake(name="large", quality=0.7, images=12, memory=240_000_000, memory_kind="resident in RAM"),
    ]
    paths = [write_run(tmp_path / fake.name, fake) for fake in fakes]
    for path in paths:
        edit_json(path / "environment.json", "device", value="cpu")
    (group,) = compare(paths).groups
    assert "best that fits" not in words(costs(Analysis(group)))


def test_pretraining_is_in_no_budget(tmp_path: Path) -> None:
    trained = Fake(name="trained", model="deeplabv3", changes={"model.pretrained": "coco"})
    said = words(budget(analysis_of(tmp_path, trained, Fake())))
    assert "What pretraining cost before (trained) is in no budget." in said


def test_beyond_the_budget_is_said_where_a_run_went_on(tmp_path: Path) -> None:
    one = replace(SMALL[0], images=4, epochs=4, seconds=60.0)
    alike = budget(analysis_of(tmp_path / "alike", one, replace(one, name="other", quality=0.5)))
    assert "drawn fainter" not in blocks(alike, Figures)[0].caption
    longer = budget(analysis_of(tmp_path / "longer", one, replace(one, name="other", quality=0.5, epochs=8)))
    assert "drawn fainter" in blocks(longer, Figures)[0].caption
