import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawn_study import analysis_of
from run_folders import STUDY, Fake, edit_json, write_run
from segfit.comparison.analysis import Analysis
from segfit.data.ade20k import published_labels
from segfit.drawing.style import run_color
from segfit.report.blocks import Figures, Fold, Paragraph, Section, Table
from segfit.report.figures.published import published_drawing
from segfit.report.published import (
    AGAIN,
    FAMILIES,
    Published,
    best_so_far,
    comparable,
    differences,
    read_published,
    started,
)
from segfit.report.sections.published import published

ADE = {"name": "ade20k", "root": "missing"}
NAMES = published_labels().names


def runs(folder: Path, *fakes: Fake, **evaluation: Any) -> Analysis:
    """Return runs whose facts about their scoring are those of the published protocol, with changes."""
    facts = {"protocol": "mmseg", "resize": "short-side", "images": 2000, **evaluation}
    paths = []
    for number, fake in enumerate(fakes):
        paths.append(write_run(folder / str(number), fake))
        for key, value in facts.items():
            edit_json(paths[-1] / "metrics.json", "evaluation", key, value=value)
    return analysis_of(paths)


def ade(name: str = "mine", **changes: Any) -> Fake:
    return Fake(**{"name": name, "names": NAMES, "images": 10, "score": "miou", "data": ADE, **changes})


def paragraph(section: Section | None) -> str:
    assert section is not None
    first = section.blocks[0]
    assert isinstance(first, Paragraph)
    return first.text


# --- the data --------------------------------------------------------------------------------------------------------


def test_the_list_is_sane() -> None:
    scores = read_published()
    assert 30 <= len({(one.method, one.backbone) for one in scores}) <= 80
    assert list(scores) == sorted(scores, key=lambda one: (one.year, one.miou, one.method))
    keys = [(one.method, one.backbone, one.test, one.trained_by) for one in scores]
    assert len(set(keys)) == len(keys)
    for one in scores:
        assert 2014 <= one.year <= 2026
        assert 20 < one.miou < 70
        assert one.family in FAMILIES
        assert one.test in {"single-scale", "multi-scale", "not stated"}
        assert one.trained_by in {"authors", AGAIN, "Zhou et al. 2017"}
        assert re.search(r"\b20[12]\d\b", one.source), "a source has a year"
        assert one.arxiv == "" or re.fullmatch(r"\d{4}\.\d{5}|\d{4}\.\d{4}", one.arxiv)
        # The year is that of the preprint.
        assert one.arxiv == "" or 2000 + int(one.arxiv[:2]) == one.year
        assert int(one.when) == one.year


def test_multi_scale_testing_never_scores_less() -> None:
    by_test: dict[tuple[str, str], dict[str, float]] = {}
    for one in read_published():
        if not one.again:
            by_test.setdefault((one.method, one.backbone), {})[one.test] = one.miou
    both = [tests for tests in by_test.values() if {"single-scale", "multi-scale"} <= set(tests)]
    assert len(both) >= 8
    assert all(tests["multi-scale"] > tests["single-scale"] for tests in both)


def test_the_history_starts_and_ends_as_known() -> None:
    records = best_so_far(read_published())
    assert (records[0].year, records[0].method, records[0].miou) == (2014, "FCN-8s", 29.39)
    assert (records[-1].year, records[-1].method, records[-1].miou) == (2023, "ONE-PEACE", 63.0)


@given(st.lists(st.tuples(st.integers(2014, 2025), st.floats(20, 70), st.booleans()), min_size=1, max_size=30))
def test_records_beat_all_that_came_before(entries: list[tuple[int, float, bool]]) -> None:
    scores = tuple(
        Published(year=year, method=str(i), backbone="", family=FAMILIES[0], miou=miou, test="single-scale",
                  trained_by=AGAIN if again else "authors", source="2020", arxiv="")
        for i, (year, miou, again) in enumerate(entries)
    )  # fmt: skip
    records = best_so_far(scores)
    for one in scores:
        earlier = [other.miou for other in scores if not other.again and other.year <= one.year]
        is_best = not one.again and one.miou >= max(earlier)
        same = [record for record in records if (record.year, record.miou) == (one.year, one.miou)]
        beaten_before = any(other.miou >= one.miou for other in scores if not other.again and other.year < one.year)
        assert bool(same) == (is_best and not beaten_before) or one.again


# --- whose scores may stand beside them ------------------------------------------------------------------------------


def test_runs_scored_alike_are_drawn(tmp_path: Path) -> None:
    analysis = runs(tmp_path, ade("first", quality=0.5), ade("second", quality=0.6))
    assert comparable(analysis.group)
    drawing = published_drawing(analysis.group)
    svg = drawing.svg()
    for row in analysis.group.rows:
        label = f"{row.name} {100 * row.scores.miou:.1f}"
        assert label in svg
        assert label in drawing.alt
        assert run_color(row.number) in svg
        # Its mark and its label go with the run.
        tree = ElementTree.fromstring(svg)
        mine = [element for element in tree.iter() if element.attrib.get("data-run") == str(row.number)]
        assert label in ["".join(element.itertext()).strip() for element in mine]
        assert len(mine) >= 2
    text = paragraph(published(analysis))
    best = analysis.group.rows[0]
    assert text.startswith(f"{best.name} reaches mIoU {100 * best.scores.miou:.1f} by the protocol")
    near = sorted(abs(one.miou - 100 * best.scores.miou) for one in read_published() if one.test == "single-scale")
    named = [float(value) for value in re.findall(r"\((\d+\.?\d*), 20\d\d\)", text)]
    assert sorted(abs(value - 100 * best.scores.miou) for value in named) == pytest.approx(near[:3])


@pytest.mark.parametrize(
    ("evaluation", "kind"),
    [
        ({}, "single-scale"),
        ({"flip": True}, "multi-scale"),
        ({"scales": [0.75, 1.0]}, "multi-scale"),
        ({"scales": [0.5, 1.0, 1.5], "flip": True}, "multi-scale"),
    ],
)
def test_neighbours_were_tested_alike(tmp_path: Path, evaluation: dict[str, Any], kind: str) -> None:
    runs(tmp_path, ade(), **evaluation)
    edit_json(tmp_path / "0" / "metrics.json", "evaluation", "scores", "miou", value=0.455)
    text = paragraph(published(analysis_of([tmp_path / "0"])))
    assert f"of those listed as {kind} results, as this is" in text
    alike = [one for one in read_published() if one.test == kind]
    near = re.findall(r"(\S+) with ([^(,]+) \((\d+\.?\d*), (20\d\d)\)", text)
    assert len(near) == 3
    for method, backbone, miou, year in near:
        assert any(
            (one.method, one.backbone, one.miou, one.year) == (method, backbone, float(miou), int(year))
            for one in alike
        )
    first = min((one for one in alike if one.miou > 45.5 and not one.again), key=lambda one: (one.when, -one.miou))
    assert text.endswith(f"is {first.method} with {first.backbone} ({first.year}).")


def test_a_run_beyond_all_is_said_to_be(tmp_path: Path) -> None:
    analysis = runs(tmp_path, ade())
    edit_json(tmp_path / "0" / "metrics.json", "evaluation", "scores", "miou", value=0.7)
    text = paragraph(published(analysis_of([tmp_path / "0"])))
    assert text.endswith("None of these is higher.")
    assert analysis.group.rows[0].scores.miou != 0.7


@pytest.mark.parametrize(
    ("changes", "evaluation", "reason"),
    [
        ({"top": 10}, {}, "10 classes instead of 150"),
        ({"top": 10, "rest": "other"}, {}, "10 + other classes instead of 150"),
        ({}, {"split": "training"}, "the split training instead of validation"),
        ({}, {"scales": [0.5]}, "the scale 0.5 instead of 1"),
        ({}, {"images": 152}, "152 images instead of 2,000"),
        ({}, {"protocol": "original"}, "another way of scoring (original: input as in training"),
        ({}, {"protocol": "paper", "resize": "squash"}, "another way of scoring (paper: images and masks squashed"),
    ],
)
def test_why_runs_are_not_drawn_is_said(
    tmp_path: Path, changes: dict[str, Any], evaluation: dict[str, Any], reason: str
) -> None:
    analysis = runs(tmp_path, ade(**changes), **evaluation)
    assert not comparable(analysis.group)
    assert len(differences(analysis.group)) == 1
    text = paragraph(published(analysis))
    assert reason in text
    assert "because they were not measured as those were" in text
    assert ("segfit evaluate RUN --protocol mmseg" in text) == ("protocol" in evaluation)
    assert "mine" not in published_drawing(analysis.group).svg()


def test_several_reasons_are_all_said(tmp_path: Path) -> None:
    text = paragraph(published(runs(tmp_path, ade(top=10), protocol="original", images=7)))
    assert "10 classes" in text
    assert "7 images" in text
    assert "another way" in text
    assert "--protocol mmseg" not in text


def test_other_datasets_have_no_such_history(tmp_path: Path) -> None:
    assert published(analysis_of([write_run(tmp_path / "run", STUDY[0])])) is None


def test_every_score_has_its_source_in_the_table(tmp_path: Path) -> None:
    section = published(runs(tmp_path, ade()))
    assert section is not None
    (fold,) = (block for block in section.blocks if isinstance(block, Fold))
    (table,) = fold.blocks
    assert isinstance(table, Table)
    assert len(table.rows) == len(read_published())
    # By date, while the year is a whole number for who reads the file.
    dates = {(one.method, one.backbone, one.test, one.trained_by): one.when for one in read_published()}
    shown = [dates[row[0].text, row[2].text, row[4].text, row[5].text] for row in table.rows]
    assert shown == sorted(shown, reverse=True)
    assert all(str(row[1].value) == row[1].text for row in table.rows)
    assert all(cell.text for row in table.rows for cell in row)
    assert any(isinstance(block, Figures) for block in section.blocks)


def test_dates_of_runs(tmp_path: Path) -> None:
    (row,) = runs(tmp_path, ade()).group.rows
    when = started(row)
    assert when == pytest.approx(2026 + 323.5 / 366, abs=0.01)
    edit_json(tmp_path / "0" / "environment.json", "started", value="yesterday")
    (row,) = analysis_of([tmp_path / "0"]).group.rows
    assert started(row) is None
    assert "mine" not in published_drawing(analysis_of([tmp_path / "0"]).group).svg()
