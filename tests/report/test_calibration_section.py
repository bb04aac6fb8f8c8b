from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from run_folders import STUDY, edit_json, write_run
from segfit.comparison.analysis import Analysis
from segfit.comparison.comparing import compare
from segfit.drawing.style import run_color
from segfit.report.blocks import Figures, Paragraph, Section, Table
from segfit.report.figures.calibration import CALIBRATION, FEWEST, reliability_points
from segfit.report.sections.calibration import calibration

BIN = tuple[float | None, float | None, int]
EMPTY: BIN = (None, None, 0)
BINS: dict[str, list[BIN]] = {
    # Rows best first: attention-unet-8, unet-8, deeplabv3-8.
    "attention-unet-8": [EMPTY, (0.3, 0.2, 1_000), (0.7, 0.5, 3_000), (0.95, 0.85, 6_000), (0.5, 0.0, 10)],
    "unet-8": [(0.4, 0.5, 2_000), (0.9, 0.95, 8_000)],
}


def error(bins: list[BIN]) -> float:
    """Return the expected calibration error by its definition."""
    filled = [(c, a, n) for c, a, n in bins if c is not None and a is not None]
    return sum(n * abs(c - a) for c, a, n in filled) / sum(n for _, _, n in filled)


def facts(bins: list[BIN]) -> dict[str, Any]:
    entries = [{"confidence": c, "accuracy": a, "pixels": n} for c, a, n in bins]
    return {"ece": error(bins), "every": 4, "bins": entries}


def analysis_of(folder: Path, bins: dict[str, list[BIN]]) -> Analysis:
    paths = []
    for fake in STUDY[:3]:
        paths.append(write_run(folder / fake.name, replace(fake, images=12)))
        if fake.name in bins:
            edit_json(paths[-1] / "metrics.json", "evaluation", "calibration", value=facts(bins[fake.name]))
    (analysis,) = compare(paths).analyses
    return analysis


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    return analysis_of(tmp_path_factory.mktemp("runs"), BINS)


@pytest.fixture(scope="module")
def section(analysis: Analysis) -> Section:
    found = calibration(analysis)
    assert found is not None
    return found


def test_only_runs_that_were_measured_have_a_row(section: Section, analysis: Analysis) -> None:
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    numbers = {row.name: row.number for row in analysis.group.rows}
    assert [row[0].text for row in table.rows] == list(BINS)
    for (name, bins), row in zip(BINS.items(), table.rows, strict=True):
        pixels = np.array([n for _, _, n in bins], float)
        means = [np.average([float(one[i] or 0) for one in bins], weights=pixels) for i in (0, 1)]
        assert row[0].run == numbers[name]
        assert [cell.value for cell in row[1:]] == pytest.approx([error(bins), *means])
    assert [cell.text for cell in table.rows[1][1:]] == ["0.060", "80 %", "86 %"]


def test_the_sentence_is_about_the_best_run_that_was_measured(section: Section) -> None:
    first, last = (block for block in section.blocks if isinstance(block, Paragraph))
    assert first.text == "attention-unet-8 is 81 % sure on average and right in 68 % of the pixels: too sure."
    assert "Every 4th row and column" in last.text
    assert last.note


@pytest.mark.parametrize(
    ("confidence", "accuracy", "verdict"),
    [(0.9, 0.8, ": too sure."), (0.8, 0.9, ": not sure enough."), (0.805, 0.8, "can be taken at its word.")],
)
def test_the_sentence_says_which_way_it_errs(tmp_path: Path, confidence: float, accuracy: float, verdict: str) -> None:
    found = calibration(analysis_of(tmp_path, {"attention-unet-8": [(confidence, accuracy, 100)]}))
    assert found is not None
    assert isinstance(found.blocks[0], Paragraph)
    assert found.blocks[0].text.endswith(verdict)


def test_the_lines_are_the_bins_that_have_enough_pixels(section: Section, analysis: Analysis) -> None:
    runs = dict(zip((row.name for row in analysis.group.rows), analysis.group.runs, strict=True))
    (block,) = (block for block in section.blocks if isinstance(block, Figures))
    (drawing,) = block.drawings
    (axes,) = drawing.figure.axes
    diagonal, *lines = axes.lines
    np.testing.assert_array_equal(diagonal.get_xydata(), [[0, 0], [1, 1]])
    for (name, bins), line in zip(BINS.items(), lines, strict=True):
        least = FEWEST * sum(n for _, _, n in bins)
        expected = [(c, a) for c, a, n in bins if n > least]
        np.testing.assert_array_equal(line.get_xydata(), expected)
        np.testing.assert_array_equal(np.stack(reliability_points(runs[name]), axis=1), expected)
    numbers = {row.name: row.number for row in analysis.group.rows}
    assert [line.get_color() for line in lines] == [run_color(numbers[name]) for name in BINS]
    assert {text.get_text() for text in axes.texts} > set(BINS), "each line has its name at its end"
    assert "attention-unet-8: of pixels 95 % sure, 85 % are right" in drawing.alt
    assert "deeplabv3-8" not in drawing.alt


def test_without_confidences_there_is_no_section(tmp_path: Path) -> None:
    analysis = analysis_of(tmp_path, {})
    assert calibration(analysis) is None
    assert not CALIBRATION["reliability"].supported(analysis.group)


@pytest.mark.parametrize(("every", "words"), [(1, "Every row and"), (2, "Every 2nd row"), (3, "Every 3rd row")])
def test_which_rows_were_looked_at(tmp_path: Path, every: int, words: str) -> None:
    path = write_run(tmp_path / "run", replace(STUDY[0], images=12))
    edit_json(path / "metrics.json", "evaluation", "calibration", value=facts(BINS["unet-8"]) | {"every": every})
    (analysis,) = compare([path]).analyses
    found = calibration(analysis)
    assert found is not None
    assert isinstance(found.blocks[-1], Paragraph)
    assert words in found.blocks[-1].text


def test_of_many_runs_it_is_said_that_the_best_are_drawn(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / str(i), replace(STUDY[0], name=f"run-{i}", images=3, epochs=2)) for i in range(10)]
    for path in paths:
        edit_json(path / "metrics.json", "evaluation", "calibration", value=facts(BINS["unet-8"]))
    for shown, words in ((paths, "The 8 best of 10 runs are drawn."), (paths[:8], "on the dashed line.")):
        (analysis,) = compare(shown).analyses
        found = calibration(analysis)
        assert found is not None
        (block,) = (block for block in found.blocks if isinstance(block, Figures))
        assert block.caption.endswith(words)
