from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from drawn_study import analysis_of
from run_folders import STUDY, Fake, edit_json, write_run
from segfit.comparison.analysis import Analysis
from segfit.drawing.figure import Drawing
from segfit.drawing.style import run_color
from segfit.report.blocks import Bullets, Cell, Fold, Section, Table
from segfit.report.figures.classes import FIGURE_CLASSES, LABELS, class_drawings, remarkable
from segfit.report.sections.classes import class_sentences, classes

DASH = "\N{EN DASH}"
SVG = "{http://www.w3.org/2000/svg}"


def texts(drawing: Drawing) -> list[str]:
    return ["".join(element.itertext()) for element in ElementTree.fromstring(drawing.svg()).iter(f"{SVG}text")]


def table(section: Section, name: str) -> Table:
    folds = [block for block in section.blocks if isinstance(block, Fold)]
    return next(block for fold in folds for block in fold.blocks if isinstance(block, Table) and block.name == name)


def set_scores(path: Path, field: str, values: list[float | None]) -> None:
    for train, value in enumerate(values):
        edit_json(path / "metrics.json", "evaluation", "per_class", train, field, value=value)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    folder = tmp_path_factory.mktemp("runs")
    return analysis_of([write_run(folder / fake.name, fake) for fake in STUDY[:3]])


@pytest.fixture(scope="module")
def section(analysis: Analysis) -> Section:
    made = classes(analysis)
    assert made is not None
    return made


def test_every_class_has_its_score_of_every_run(analysis: Analysis, section: Section) -> None:
    group = analysis.group
    shown = table(section, "classes")
    titles = [column.title for column in shown.columns]
    assert titles == ["Class", "Pixels", *(row.name for row in group.rows), "Best run", "Spread"]
    assert [column.run for column in shown.columns[2:5]] == [row.number for row in group.rows]
    pixels = np.array(group.protocol.pixels)
    order = sorted(range(8), key=lambda train: -pixels[train])
    for cells, train in zip(shown.rows, order, strict=True):
        scores = [run.evaluation.per_class[train].dice for run in group.runs]
        assert cells[0].text == group.protocol.classes[train]
        assert cells[1].value == pytest.approx(pixels[train] / pixels.sum())
        assert [cell.value for cell in cells[2:5]] == [cell.shade for cell in cells[2:5]] == scores
        known = [score for score in scores if score is not None]
        assert cells[5].text == group.rows[int(np.argmax(known))].name
        assert cells[6].value == pytest.approx(max(known) - min(known))


def test_the_best_run_is_shown_in_detail(analysis: Analysis, section: Section) -> None:
    shown = table(section, "class-details")
    assert [column.title for column in shown.columns] == ["Class", "Pixels", "Dice", "IoU", "Precision", "Recall"]
    counts = analysis.records[0].class_counts().total()
    names = list(analysis.group.protocol.classes)
    for cells in shown.rows:
        train = names.index(cells[0].text)
        hits = counts.hits[train]
        assert cells[4].value == pytest.approx(hits / counts.prediction[train])
        assert cells[5].value == pytest.approx(hits / counts.target[train])


def test_borders_are_shown_where_they_were_measured(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", Fake())
    set_scores(path, "boundary_iou", [0.1 * i for i in range(7)] + [None])
    section = classes(analysis_of([path]))
    assert section is not None
    shown = table(section, "class-details")
    place = [column.title for column in shown.columns].index("Boundary IoU")
    assert {cells[place].text for cells in shown.rows} >= {"0.000", "0.600", DASH}
    assert "Boundary F" not in [column.title for column in shown.columns]


def test_one_run_is_compared_with_nobody(tmp_path: Path) -> None:
    section = classes(analysis_of([write_run(tmp_path / "run", STUDY[0])]))
    assert section is not None
    assert [column.title for column in table(section, "classes").columns] == ["Class", "Pixels", "unet-8"]
    bullets = next(block for block in section.blocks if isinstance(block, Bullets))
    assert not any("differ" in sentence for sentence in bullets.items)


def test_the_sentences_say_what_the_numbers_say(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / name, Fake(name=name, quality=0.6)) for name in ("a", "b")]
    # Pixels fall in the order of the classes of the recipe's table: sky 0.34, grass 0.27, water, tree, wall, …
    first = [0.9, 0.5, 0.8, 0.6, 0.7, 0.03, 0.2, 0.01]
    second = [0.9, 0.5, 0.8, 0.6, 0.7, 0.02, 0.2, 0.04]
    second[3] = 0.1
    for path, values in zip(paths, (first, second), strict=True):
        set_scores(path, "dice", list(values))
    group = analysis_of(paths).group
    sentences = class_sentences(group)
    from scipy.stats import rankdata

    pixels = np.array(group.protocol.pixels)
    best = first if group.rows[0].name == "a" else second
    rank = np.corrcoef(rankdata(pixels), rankdata(best))[0, 1]
    assert sentences[0] == f"The Dice of {group.rows[0].name} closely follows how often a class occurs (rank " \
        f"correlation {rank:.2f} over 8 classes)."  # fmt: skip
    assert sentences[1].startswith("No run knows 2 classes (Dice below 0.05)")
    assert sentences[1].endswith(": roof, door.")
    assert sentences[2].startswith("The runs differ most on tree, from 0.100 (b) to 0.600 (a); ")


def test_too_few_classes_follow_nothing(tmp_path: Path) -> None:
    group = analysis_of([write_run(tmp_path / "run", Fake(names=("sky", "wall", "grass")))]).group
    assert class_sentences(group) == []


def test_classes_that_do_not_occur_have_no_score(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / name, Fake(name=name)) for name in ("a", "b")]
    for path in paths:
        for field in ("dice", "iou", "precision", "accuracy"):
            edit_json(path / "metrics.json", "evaluation", "per_class", 7, field, value=None)  # type: ignore[arg-type]
    section = classes(analysis_of(paths))
    assert section is not None
    row = next(cells for cells in table(section, "classes").rows if cells[0].text == "door")
    assert [(cell.text, cell.value) for cell in row[2:]] == [(DASH, None)] * 4


# --- figures ---------------------------------------------------------------------------------------------------------


def test_a_run_has_its_color_and_classes_their_names(analysis: Analysis) -> None:
    lines, points = class_drawings(analysis.group)
    assert (lines.name, points.name) == ("classes", "classes-by-frequency")
    assert all(run_color(row.number) in lines.svg() for row in analysis.group.rows)
    assert run_color(analysis.group.rows[0].number) in points.svg()
    assert set(analysis.group.protocol.classes) <= set(texts(lines))
    assert set(analysis.group.protocol.classes) <= set(texts(points)), "few classes are all named"


def test_many_classes_are_cut_to_the_most_frequent(tmp_path: Path) -> None:
    names = tuple(f"class-{i}, synonym" for i in range(40))
    path = write_run(tmp_path / "run", Fake(names=names))
    edit_json(path / "metrics.json", "evaluation", "per_class", 33, "pixels", value=10**9)  # type: ignore[arg-type]
    for key in ("dice", "iou", "accuracy"):
        edit_json(path / "metrics.json", "evaluation", "per_class", 2, key, value=None)  # type: ignore[arg-type]
    lines, points = class_drawings(analysis_of([path]).group)
    shown = [text for text in texts(lines) if text.startswith("class-")]
    assert len(shown) == FIGURE_CLASSES
    assert shown[:3] == ["class-33", "class-0", "class-1"]
    assert len([text for text in texts(points) if text.startswith("class-")]) == LABELS
    assert "nan" not in lines.svg() + points.svg()


def test_what_stands_apart_is_named(tmp_path: Path) -> None:
    names = tuple(f"class-{i}" for i in range(30))
    paths = [write_run(tmp_path / name, Fake(name=name, names=names, quality=quality))
             for name, quality in (("a", 0.7), ("b", 0.6))]  # fmt: skip
    group = analysis_of(paths).group
    order = np.argsort(-np.array(group.protocol.pixels), kind="stable").tolist()
    values = [0.0] * 30
    for place, train in enumerate(order):
        values[train] = 0.8 - 0.02 * place
    odd, disputed = order[12], order[20]
    for path in paths:
        scores = list(values)
        scores[odd] = 0.05
        scores[disputed] -= 0.3 * (path.name == "b")
        set_scores(path, "dice", list(scores))
    named = remarkable(analysis_of(paths).group, 4)
    assert {odd, disputed} <= set(named[:2])


def test_two_classes_make_no_cloud(tmp_path: Path) -> None:
    group = analysis_of([write_run(tmp_path / "run", Fake(names=("sky", "wall")))]).group
    assert [drawing.name for drawing in class_drawings(group)] == ["classes"]


def test_runs_that_are_alike_differ_in_nothing(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / name, Fake(name=name)) for name in ("a", "b")]
    scores = [0.9, 0.5, 0.8, 0.6, 0.7, 0.0, 0.2, 0.1]
    for path in paths:
        set_scores(path, "dice", list(scores))
    # What is written alike is alike: 0.900 and 0.9001.
    set_scores(paths[1], "dice", [0.9001, *scores[1:]])
    analysis = analysis_of(paths)
    assert not any("differ most" in sentence for sentence in class_sentences(analysis.group))
    section = classes(analysis)
    assert section is not None
    rows = {cells[0].text: cells for cells in table(section, "classes").rows}
    assert rows["roof"][4:] == (Cell(DASH), Cell("0.000", 0.0))
    assert rows["sky"][4].text == DASH
    assert rows["wall"][4:] == (Cell(DASH), Cell("0.000", 0.0))


def test_nobody_is_best_on_a_class_that_does_not_occur(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / name, Fake(name=name)) for name in ("a", "b")]
    for path, score in zip(paths, (None, 0.0), strict=True):
        # The one that invents it has a score, the one that rightly never predicts it has none.
        edit_json(path / "metrics.json", "evaluation", "per_class", 7, "pixels", value=0)
        edit_json(path / "metrics.json", "evaluation", "per_class", 7, "dice", value=score)
    section = classes(analysis_of(paths))
    assert section is not None
    (row,) = (cells for cells in table(section, "classes").rows if cells[0].text == "door")
    assert row[4].text == DASH


@pytest.mark.parametrize("measured", [False, True])
def test_borders_are_spoken_of_where_they_were_measured(tmp_path: Path, measured: bool) -> None:
    path = write_run(tmp_path / "run", Fake())
    if measured:
        set_scores(path, "boundary_iou", [0.5] * 8)
    section = classes(analysis_of([path]))
    assert section is not None
    summary = [block.summary for block in section.blocks if isinstance(block, Fold)][-1]
    assert summary == f"Precision{', recall and borders' if measured else ' and recall'} of unet-8"


def test_a_class_that_nobody_knows_keeps_its_name_off_the_axis(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", Fake())
    set_scores(path, "dice", [0.9, 0.5, 0.8, 0.6, 0.7, 0.0, 0.0, 0.0])
    _, points = class_drawings(analysis_of([path]).group)
    (axes,) = points.figure.axes
    bottom = axes.transData.transform((1, 0))[1] - axes.bbox.y0
    assert bottom > 16, "room for a line of text and the mark"
