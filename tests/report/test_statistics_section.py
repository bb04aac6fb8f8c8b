"""The section that says how sure the results are: its numbers are those of the statistics, its claims no more."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from run_folders import STUDY, Fake, write_run
from segfit.comparison.analysis import Analysis
from segfit.comparison.comparing import compare
from segfit.report.blocks import Block, Figures, Fold, Paragraph, Section, Table
from segfit.report.figures.statistics import signed
from segfit.report.sections.statistics import _percent, statistics

FAST = tuple(replace(fake, images=60, epochs=3) for fake in STUDY)


def analysis_of(folder: Path, *fakes: Fake) -> Analysis:
    paths = [write_run(folder / f"{number}-{fake.name}", fake) for number, fake in enumerate(fakes)]
    (group,) = compare(paths).groups
    return Analysis(group)


def made(analysis: Analysis) -> Section:
    section = statistics(analysis)
    assert section is not None
    assert section.name == "statistics"
    return section


def blocks_of(section: Section) -> list[Block]:
    return [inner for block in section.blocks for inner in (block.blocks if isinstance(block, Fold) else [block])]


def tables_of(section: Section) -> dict[str, Table]:
    return {block.name: block for block in blocks_of(section) if isinstance(block, Table)}


def drawings_of(section: Section) -> dict[str, str]:
    figures = [block for block in blocks_of(section) if isinstance(block, Figures)]
    return {drawing.name: drawing.alt for block in figures for drawing in block.drawings}


def test_tables_hold_the_differences(tmp_path: Path) -> None:
    analysis = analysis_of(tmp_path, *FAST)
    found = analysis.statistics
    assert found is not None
    tables = tables_of(made(analysis))
    best, every = tables["against-best"], tables["pairs"]
    assert [row[1].text for row in best.rows] == [standing.name for standing in found.standings[1:]]
    assert len(every.rows) == 6
    for row in every.rows:
        pair = found.difference(row[0].text, row[1].text)
        assert row[0].text == pair.better
        assert row[2].value == pair.value
        assert row[3].text == f"{signed(pair.interval.low)} to {signed(pair.interval.high)}"
        assert row[4].value == pair.probability
        assert row[5].value == pair.corrected
        assert row[6].text == ("better" if pair.distinguishable else "not distinguishable")
        numbers = {standing.name: standing.entrant.number for standing in found.standings}
        assert [row[0].run, row[1].run] == [numbers[pair.better], numbers[pair.other]]


def test_only_classes_that_surely_differ_are_drawn_and_named(tmp_path: Path) -> None:
    analysis = analysis_of(tmp_path, *FAST)
    found = analysis.statistics
    assert found is not None
    section = made(analysis)
    first, second = (standing.name for standing in found.standings[:2])
    classes = found.classes(first, second)
    sure = {analysis.group.protocol.classes[one.index] for one in classes if one.distinguishable}
    assert sure, "the two best differ nowhere: the test tests nothing"
    drawn = drawings_of(section)["class-differences"]
    for name in analysis.group.protocol.classes:
        assert (f" {name} " in drawn) == (name in sure)
    words = next(block.text for block in section.blocks if isinstance(block, Paragraph))
    assert words.startswith(f"{first} and {second} differ for sure in {len(sure)} of {len(classes)} classes")
    table = tables_of(section)["class-differences"]
    assert [row[2].value for row in table.rows] == sorted((one.value for one in classes), key=lambda value: -abs(value))


def test_equals_are_not_told_apart(tmp_path: Path) -> None:
    heavy, light = (Fake(name=name, quality=0.66, images=60, epochs=3) for name in ("heavy", "light"))
    section = made(analysis_of(tmp_path, heavy, replace(light, changes={"model.width": 16})))
    (row,) = tables_of(section)["against-best"].rows
    assert row[6].text == "not distinguishable"
    assert "pairs" not in tables_of(section)
    caption = next(block.caption for block in section.blocks if isinstance(block, Figures))
    assert "Hollow marks are not distinguishable from the best." in caption


def test_figures_draw_every_interval_and_training(tmp_path: Path) -> None:
    seeds = [replace(FAST[0], name=f"unet-8-seed{seed}", seed=seed, history=seed) for seed in range(3)]
    analysis = analysis_of(tmp_path, *seeds, FAST[1])
    found = analysis.statistics
    assert found is not None
    figures = next(block for block in made(analysis).blocks if isinstance(block, Figures))
    axes = figures.drawings[0].figure.axes[0]
    lines = [np.asarray(line.get_xdata(), float) for line in axes.lines]
    for standing in found.standings:
        ends = [standing.interval.low, standing.interval.high]
        assert any(len(x) == 2 and np.allclose(x, np.clip(ends, 0, 1)) for x in lines)
        assert any(len(x) == 1 and np.isclose(x[0], standing.value) for x in lines)
    (dots,) = [x for x in lines if len(x) == 3]
    assert sorted(dots) == pytest.approx(sorted(found.row("unet-8-seed1").trainings))
    low, high = axes.get_xlim()
    assert all(low < value < high for x in lines for value in x)
    assert "Small dots are single trainings." in figures.caption


def test_one_run_has_the_intervals_of_its_scores_and_nothing_else(tmp_path: Path) -> None:
    analysis = analysis_of(tmp_path, FAST[0])
    section = made(analysis)
    assert analysis.statistics is not None
    assert set(tables_of(section)) == {"scores"}
    assert not drawings_of(section)
    (row,) = tables_of(section)["scores"].rows
    for name, cell in zip(analysis.statistics.best.scores, row[1:], strict=True):
        known = analysis.statistics.best.scores[name]
        assert cell.value == pytest.approx(getattr(analysis.group.rows[0].scores, name), abs=1e-9)
        assert cell.text == f"{known.value:.3f} ({known.interval.low:.3f}\N{EN DASH}{known.interval.high:.3f})"


def test_without_records_the_reason_stands_there(tmp_path: Path) -> None:
    analysis = analysis_of(tmp_path, *FAST[:2])
    (analysis.group.runs[0].path / "per_image.parquet").write_bytes(b"torn")
    section = made(analysis)
    (block,) = section.blocks
    assert isinstance(block, Paragraph)
    assert block.text == analysis.statistics_note
    assert "There are no intervals" in block.text


def test_signs() -> None:
    assert [signed(value) for value in (0.0214, -0.0214, 0.0001, -0.0001)] == [
        "+0.021",
        "\u22120.021",
        "0.000",
        "0.000",
    ]


def test_a_probability_is_never_certain() -> None:
    assert [_percent(value) for value in (0.5, 0.9, 0.951, 0.999, 0.9991, 1.0)] == [
        "50 %",
        "90 %",
        "95.1 %",
        "99.9 %",
        "> 99.9 %",
        "> 99.9 %",
    ]


def test_names_go_with_their_runs(tmp_path: Path) -> None:
    analysis = analysis_of(tmp_path, *FAST[:3])
    found = analysis.statistics
    assert found is not None
    figures = [block for block in blocks_of(made(analysis)) if isinstance(block, Figures)]
    drawn = {drawing.name: drawing for block in figures for drawing in block.drawings}
    numbers = {standing.name: standing.entrant.number for standing in found.standings}
    best = numbers[found.best.name]
    assert drawn["intervals"].runs == ()
    assert drawn["differences"].runs == (best,)
    assert drawn["class-differences"].runs == (best, numbers[found.standings[1].name])
    tree = ElementTree.fromstring(drawn["intervals"].svg())
    for name, number in numbers.items():
        mine = [element for element in tree.iter() if element.attrib.get("data-run") == str(number)]
        said = [text.strip() for element in mine for text in "".join(element.itertext()).split("\n")]
        assert name in said
        assert any(" to " in text for text in said)
