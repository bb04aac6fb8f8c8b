import re
from dataclasses import replace
from pathlib import Path

import pytest
from section_blocks import PLANNED, SMALL, analysis_of, blocks, comparison_of, drawings, plan, texts, words

from run_folders import STUDY, Fake, edit_json, write_run
from segfit import units
from segfit.comparison.analysis import Analysis
from segfit.comparison.comparing import Comparison, compare
from segfit.comparison.pareto import pareto_front
from segfit.drawing.style import run_color
from segfit.report.blocks import Bullets, Figures, Fold, Table
from segfit.report.figures.ablation import FIGURE_EFFECTS
from segfit.report.figures.costs import NAMED
from segfit.report.sections.ablation import ablation
from segfit.report.sections.budget import budget
from segfit.report.sections.costs import costs
from segfit.report.sections.memory import memory


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    return analysis_of(tmp_path_factory.mktemp("study"), *PLANNED)


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
    # A change is about two settings, and goes with neither.
    assert "data-run" not in drawings(section)["ablation"].svg()
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


def test_what_takes_less_is_said_once(tmp_path: Path) -> None:
    low = replace(SMALL[0], name="low", quality=0.4, memory=10**9, seconds=60.0, parameters=10**6, images=4)
    high = replace(low, name="high", quality=0.7, memory=2 * 10**9, seconds=120.0, parameters=2 * 10**6)
    section = costs(analysis_of(tmp_path / "all", low, high))
    assert words(section).startswith(
        "Every run is worth its cost: whichever scores lower takes less memory, less time or fewer parameters."
    )
    elsewhere = replace(high, memory_kind="resident memory of the process", device_name="A100")
    section = costs(analysis_of(tmp_path / "parameters", low, elsewhere))
    assert words(section).startswith("Every run is worth its cost: whichever scores lower takes fewer parameters.")


def test_of_a_long_line_the_best_are_named(tmp_path: Path) -> None:
    more = 4
    paths = []
    for i in range(NAMED + more):
        size = {"memory": 10**9 * (i + 1), "seconds": 60.0 * (i + 1), "parameters": 10**6 * (i + 1)}
        paths.append(write_run(tmp_path / str(i), Fake(name=f"run-{i:02}", epochs=2, images=4, **size)))
        edit_json(paths[-1] / "metrics.json", "evaluation", "scores", "dice", value=0.2 + 0.05 * i)
    (analysis,) = compare(paths).analyses
    section = costs(analysis)
    best = [row.name for row in analysis.group.rows[:NAMED]]
    assert len(pareto_front(analysis.group).efficient) == NAMED + more
    for drawing in drawings(section).values():
        assert {text for text in texts(drawing) if text.startswith("run-")} == set(best)
    assert f"at most the {NAMED} best" in blocks(section, Figures)[0].caption
    # Where one is beaten, the sentence names those that are not.
    beaten = write_run(tmp_path / "beaten", Fake(name="beaten", epochs=2, images=4, memory=10**12, seconds=9e9))
    edit_json(beaten / "metrics.json", "evaluation", "scores", "dice", value=0.1)
    (analysis,) = compare([*paths, beaten]).analyses
    assert words(costs(analysis)).startswith(f"{', '.join(best)} and {more} others are worth their cost")


def test_that_each_seed_counts_is_said(tmp_path: Path) -> None:
    note = "Each training counts in the figures and on the line; of several seeds the luckiest leads."
    seeds = [replace(SMALL[0], name=f"unet-{seed}", seed=seed, history=seed) for seed in range(2)]
    assert note in words(costs(analysis_of(tmp_path / "seeds", *seeds, SMALL[1])))
    assert note not in words(costs(analysis_of(tmp_path / "none", *SMALL[:2])))


def test_a_soup_has_no_timeline(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / fake.name, replace(fake, images=4)) for fake in (*STUDY[:2], Fake(name="soup"))]
    (paths[2] / "soup.json").write_text("{}")
    edit_json(paths[2] / "metrics.json", "training", "memory", value=10**11)
    edit_json(paths[2] / "metrics.json", "evaluation", "images", value=4)
    groups = compare(paths[:2]).groups + compare([paths[2]]).groups
    both = replace(groups[0], rows=(*groups[1].rows, *groups[0].rows))
    drawing = drawings(memory(Analysis(both)))["memory-timeline"]
    assert not any("soup" in text for text in [*texts(drawing), drawing.alt])
    (axes,) = drawing.figure.axes
    assert axes.get_ylim()[1] < 10, "GB of those that were trained"


def test_a_cost_that_differs_between_seeds_as_much_as_between_recipes_is_no_effect(tmp_path: Path) -> None:
    base = Fake(epochs=2, images=10, seconds=100.0)
    seeds = [
        replace(base, name=f"base-{seed}", seed=seed, memory=3_000_000_000 + seed * 500_000_000) for seed in (0, 1)
    ]
    other = replace(base, name="lr", memory=3_700_000_000, seconds=200.0, changes={"optim.lr": "0.1"})
    said = words(ablation(comparison_of(tmp_path, *seeds, other)))
    assert "Memory changed" not in said
    assert "Training time changed most with learning rate" in said
