import itertools
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from run_folders import STUDY, Fake, edit_json, write_run
from segfit import units
from segfit.comparison.analysis import Analysis
from segfit.comparison.budget import at_equal
from segfit.comparison.comparing import Comparison, compare
from segfit.comparison.pareto import pareto_front
from segfit.drawing.figure import Drawing
from segfit.drawing.style import run_color
from segfit.report.blocks import Block, Bullets, Figures, Fold, Paragraph, Section, Table
from segfit.report.figures.ablation import FIGURE_EFFECTS
from segfit.report.figures.costs import NAMED
from segfit.report.sections.ablation import ablation
from segfit.report.sections.budget import budget
from segfit.report.sections.costs import costs
from segfit.report.sections.memory import memory

SVG = "{http://www.w3.org/2000/svg}"


def plan(peak: int, flops: float = 1e12) -> dict[str, Any]:
    parts = {"parameters": peak // 10, "gradients": 0, "optimizer": peak // 5, "activations": peak // 2}
    training = {**parts, "temporaries": peak - sum(parts.values())}
    validation = {**dict.fromkeys(parts, 0), "temporaries": peak // 4}
    return {
        "device": {"name": "T4", "kind": "cuda", "count": 2, "room": 14_300_000_000},
        "memory": {"peak": peak, "training": training, "validation": validation},
        "flops_per_step": flops,
    }


SMALL = tuple(replace(fake, images=12) for fake in STUDY)
PLANNED = tuple(replace(fake, plan=plan(int(0.9 * fake.memory), 1e12 * (i + 1))) for i, fake in enumerate(SMALL))


def comparison_of(folder: Path, *fakes: Fake) -> Comparison:
    return compare([write_run(folder / str(i), fake) for i, fake in enumerate(fakes)])


def analysis_of(folder: Path, *fakes: Fake) -> Analysis:
    (group,) = comparison_of(folder, *fakes).groups
    return Analysis(group)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    return analysis_of(tmp_path_factory.mktemp("study"), *PLANNED)


def blocks(section: Section | None, kind: type[Block]) -> list[Any]:
    """Every block of a kind, those that are folded away included."""
    assert section is not None
    inner = itertools.chain.from_iterable(b.blocks if isinstance(b, Fold) else (b,) for b in section.blocks)
    return [block for block in inner if isinstance(block, kind)]


def drawings(section: Section | None) -> dict[str, Drawing]:
    return {drawing.name: drawing for block in blocks(section, Figures) for drawing in block.drawings}


def words(section: Section | None) -> str:
    bullets = [item for block in blocks(section, Bullets) for item in block.items]
    return " ".join([*(block.text for block in blocks(section, Paragraph)), *bullets])


def texts(drawing: Drawing) -> list[str]:
    return ["".join(element.itertext()) for element in ElementTree.fromstring(drawing.svg()).iter(f"{SVG}text")]


def test_every_figure_takes_the_colors_of_the_page(study: Analysis) -> None:
    for build in (costs, budget, memory):
        for drawing in drawings(build(study)).values():
            inline = str(drawing.inline())
            assert not re.search(r"#[0-9a-f]{6}\b", inline), drawing.name
            assert {fake.name for fake in STUDY} <= set(texts(drawing)), drawing.name
            assert all(fake.name in drawing.alt for fake in STUDY)
            assert all(run_color(number) in drawing.svg() for number in range(4))
            assert "nan" not in drawing.svg()


# --- costs -----------------------------------------------------------------------------------------------------------


def test_costs_name_the_front_and_why_others_are_not_on_it(study: Analysis) -> None:
    section = costs(study)
    front = pareto_front(study.group)
    assert list(drawings(section)) == ["score-by-memory", "score-by-time", "score-by-parameters"]
    said = words(section)
    assert said.startswith(
        "attention-unet-8, unet-8 and unet-small are worth their cost: no other run is at least as good in Dice and in "
        "every cost (memory, time and parameters), and better in one of them."
    )
    assert all(f"{found.row.name}: {found.reason}" in said for found in front.dominated)
    scores = {row.name: units.score(row.score("dice")) for row in study.group.rows}
    assert f"With a GPU with 4 GB, unet-small is the best that fits: Dice {scores['unet-small']}." in said
    assert (
        f"From a GPU with 6 GB on, attention-unet-8 is the best that fits: Dice {scores['attention-unet-8']}." in said
    )


def test_hollow_marks_are_the_dominated_ones(study: Analysis) -> None:
    figure = drawings(costs(study))["score-by-memory"].figure
    (axes,) = figure.axes
    marks = {line.get_gid(): line for line in axes.lines if line.get_gid()}
    points = {
        f"run-{row.number}": (row.score("dice"), run.training.memory)
        for row, run in zip(study.group.rows, study.group.runs, strict=True)
    }
    assert set(marks) == set(points)
    for name, (score, size) in points.items():
        beaten = any(s >= score and m <= size and (s, m) != (score, size) for s, m in points.values())
        hollow = marks[name].get_markerfacecolor() != marks[name].get_markeredgecolor()
        assert hollow == beaten, name


def test_among_many_runs_only_the_front_is_named(tmp_path: Path) -> None:
    fakes = [
        Fake(name=f"run-{i}", quality=0.3 + 0.03 * i, memory=10**9 * (20 - i), epochs=3, images=4)
        for i in range(NAMED + 1)
    ]
    section = costs(analysis_of(tmp_path, *fakes))
    shown = [text for text in texts(drawings(section)["score-by-memory"]) if text.startswith("run-")]
    assert shown == [f"run-{NAMED}"]
    assert "scores highest, and no other run takes less" in words(section)
    (fold,) = (block for block in section.blocks if isinstance(block, Fold))  # type: ignore[union-attr]
    assert not fold.opened


def test_a_higher_score_that_may_be_chance_is_called_so(tmp_path: Path) -> None:
    base = Fake(name="base", images=30, memory=2_000_000_000)
    section = costs(
        analysis_of(
            tmp_path,
            base,
            replace(base, name="twin", seed=1, history=1),
            replace(base, name="near", history=2, memory=3_000_000_000, changes={"optim.lr": "0.1"}, quality=0.59),
        )
    )
    found = [item for block in blocks(section, Bullets) for item in block.items]
    assert sum("They differ in their seed only." in item for item in found) == 1
    (near,) = (item for item in found if item.startswith("near: "))
    assert near.endswith("The scores alone do not tell them apart.")


def test_costs_of_other_kinds_are_left_out_and_said(tmp_path: Path) -> None:
    other = Fake(name="cpu", quality=0.5, memory_kind="resident in RAM", device_name="EPYC", parameters=10**6)
    section = costs(analysis_of(tmp_path, Fake(), other))
    assert list(drawings(section)) == ["score-by-parameters"]
    assert "Not compared, because it was measured differently: memory and time." in words(section)


def test_a_cost_that_all_runs_share_is_not_drawn(tmp_path: Path) -> None:
    section = costs(analysis_of(tmp_path, Fake(), Fake(name="b", quality=0.5, memory=2 * 10**9)))
    assert list(drawings(section)) == ["score-by-memory"]


def test_what_is_said_of_the_front_holds_for_each_of_its_runs(tmp_path: Path) -> None:
    # `cheap` scores higher with less memory than `fast`, which is on the front for its time only.
    fast = Fake(name="fast", quality=0.4, images=12, memory=4 * 10**9, seconds=1000.0)
    cheap = Fake(name="cheap", quality=0.6, images=12, memory=2 * 10**9, seconds=2000.0)
    worst = Fake(name="worst", quality=0.2, images=12, memory=5 * 10**9, seconds=3000.0)
    said = words(costs(analysis_of(tmp_path, fast, cheap, worst)))
    assert said.startswith("cheap and fast are worth their cost: no other run is at least as good in Dice and in every")


def test_one_run_has_no_section_of_comparisons(tmp_path: Path) -> None:
    alone = analysis_of(tmp_path, Fake(images=4))
    assert costs(alone) is None
    assert budget(alone) is None
    assert drawings(memory(alone)).keys() == {"memory-timeline"}
    assert ablation(Comparison(analyses=(alone,))) is None


# --- equal budget ----------------------------------------------------------------------------------------------------


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
            assert row[-1].text == f"{units.score(equal.most.scores[run])} ({place}.)"
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
    assert "unet-8 and other have no plan" in said or "other and unet-8 have no plan" in said
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
        f"Equal arithmetic is not compared: {group.rows[0].name} and {group.rows[1].name} have no plan."
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
    assert all(cell.text.endswith("(1.)") for row in table.rows for cell in row[1:])


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


# --- memory ----------------------------------------------------------------------------------------------------------


def test_bars_have_the_parts_and_marks_of_the_plans(study: Analysis) -> None:
    section = memory(study)
    assert list(drawings(section)) == ["memory-timeline", "memory-planned"]
    (axes,) = drawings(section)["memory-planned"].figure.axes
    for place, (row, run) in enumerate(zip(study.group.rows, study.group.runs, strict=True)):
        peak = int(0.9 * run.training.memory)
        bars = [bar for bar in axes.patches if abs(bar.get_y() + bar.get_height() / 2 - place) < 0.1]  # type: ignore[attr-defined]
        assert max(bar.get_x() + bar.get_width() for bar in bars) == pytest.approx(peak / 1e9)  # type: ignore[attr-defined]
        widths = [bar.get_width() for bar in bars[1:]]  # type: ignore[attr-defined]
        assert sum(widths) == pytest.approx(peak / 1e9)
        (mark,) = (line for line in axes.lines if line.get_gid() == f"run-{row.number}")
        assert list(mark.get_xdata()) == [run.training.memory / 1e9] * 2
    assert texts(drawings(section)["memory-planned"]).count("0.90") == 4
    assert "The planned peaks were 0.90 times the measured ones." in words(section)
    assert "50 % are activations, in training" in words(section)


def test_the_timeline_ends_at_the_peak_of_the_run(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", Fake(epochs=2))
    lines = [
        {"event": "start", "time": 0.0, "step": 0, "epoch": 0},
        *({"event": "step", "time": s, "step": s, "epoch": 0.5, "memory": 10**9 * s} for s in (1, 2, 3)),
    ]
    (path / "events.jsonl").write_text("".join(f"{line}\n".replace("'", '"') for line in lines))
    (group,) = compare([path]).groups
    (axes,) = drawings(memory(Analysis(group)))["memory-timeline"].figure.axes
    (line,) = (line for line in axes.lines if line.get_gid() == "run-0")
    assert list(line.get_xdata()) == [1, 2, 3, 240]
    assert list(line.get_ydata()) == [1.0, 2.0, 3.0, 3.4]


def test_the_memory_of_a_process_judges_no_plan(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", Fake(memory_kind="resident in RAM", plan=plan(10**9)))
    edit_json(path / "environment.json", "device", value="cpu")
    (group,) = compare([path]).groups
    section = memory(Analysis(group))
    assert "times the measured" not in words(section)
    assert "no plan is judged" in words(section)
    (table,) = blocks(section, Table)
    assert table.rows[0][-1].value is None


# --- ablation --------------------------------------------------------------------------------------------------------


def test_effects_are_told_drawn_and_listed(tmp_path: Path) -> None:
    base = Fake(name="base", epochs=8, images=30)
    section = ablation(
        comparison_of(
            tmp_path,
            base,
            replace(base, name="seed", seed=1, history=1),
            replace(base, name="lr", quality=0.3, changes={"optim.lr": "0.1"}),
            replace(base, name="large", memory=6_800_000_000, changes={"augment.size": "[512, 512]"}),
            replace(base, name="four", top=4, rest="other", memory=1_700_000_000),
        )
    )
    (table,) = blocks(section, Table)
    listed = {row[0].text: row for row in table.rows}
    assert list(listed) == ["classes", "resolution", "learning rate"]
    lr = listed["learning rate"]
    assert [cell.text for cell in lr[1:5]] == ["0.001", "0.1", "base and 1 alike", "lr"]
    assert lr[7].value == pytest.approx(lr[6].value - lr[5].value)
    assert lr[7].value < -0.2
    assert lr[7].text == f"\N{MINUS SIGN}{abs(lr[7].value):.3f}"
    assert listed["classes"][7].value is None
    assert listed["resolution"][10].value == 2.0
    titles = [column.title for column in table.columns]
    assert [titles.index(name) for name in ("Change", "95 % interval", "Sure", "Memory")] == [7, 8, 9, 10]
    low, high = (float(end.replace("\N{MINUS SIGN}", "-")) for end in lr[8].text.split(" to "))
    assert low < lr[7].value < high
    # Alone its interval would do; among all pairs, with two seeds at most, it does not.
    assert high < 0
    assert (lr[9].text, listed["classes"][9].text) == ("no", "\N{EN DASH}")
    said = words(section)
    assert "The score moved most with learning rate (0.001 \N{RIGHTWARDS ARROW} 0.1)" in said
    assert f"(95 % interval {lr[8].text}), which would stand alone, but not among all the pairs" in said
    assert "Memory changed most with" in said
    assert "differ only in their seed" in said
    assert "different measurements" in said
    (drawing,) = drawings(section).values()
    labels = [text for text in texts(drawing) if "\N{RIGHTWARDS ARROW}" in text]
    assert len(labels) == 2, "scores of other classes are not drawn"


def test_many_effects_are_cut_to_the_largest(tmp_path: Path) -> None:
    rates = [Fake(name=f"lr-{i}", epochs=2, images=10, changes={"optim.lr": str((i + 1) / 1000)}) for i in range(23)]
    section = ablation(comparison_of(tmp_path, *rates))
    (table,) = blocks(section, Table)
    assert len(table.rows) == 22
    assert table.filterable
    (drawing,) = drawings(section).values()
    assert sum("\N{RIGHTWARDS ARROW}" in text for text in texts(drawing)) == FIGURE_EFFECTS
