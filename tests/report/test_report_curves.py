from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import pytest

from run_folders import STUDY, Fake, write_run
from segfit.comparison.analysis import Analysis
from segfit.comparison.comparing import compare
from segfit.comparison.table import Group
from segfit.drawing.figure import Drawing
from segfit.drawing.style import PAPER, run_color
from segfit.report.blocks import Bullets, Figures, Paragraph
from segfit.report.figures.curves import CURVES, NAMED, curve_drawings
from segfit.report.sections.curves import curves

SVG = "{http://www.w3.org/2000/svg}"
NAMES = ["training-loss", "validation-loss", "validation-score"]


def group_of(folder: Path, *fakes: Fake) -> Group:
    runs = [write_run(folder / str(i), replace(fake, images=3)) for i, fake in enumerate(fakes)]
    (group,) = compare(runs).groups
    return group


def texts(drawing: Drawing) -> list[str]:
    return ["".join(element.itertext()) for element in ElementTree.fromstring(drawing.svg()).iter(f"{SVG}text")]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Group:
    return group_of(tmp_path_factory.mktemp("study"), *STUDY)


@pytest.fixture(scope="module")
def drawn(study: Group) -> list[Drawing]:
    return curve_drawings(study)


def test_every_curve_is_drawn_from_complete_facts(drawn: list[Drawing]) -> None:
    assert [drawing.name for drawing in drawn] == NAMES == list(CURVES)


def test_every_run_is_named_in_its_color(drawn: list[Drawing]) -> None:
    for drawing in drawn:
        assert all(fake.name in drawing.alt for fake in STUDY)
        labels = {t.text: t for t in ElementTree.fromstring(drawing.svg()).iter(f"{SVG}text")}
        for number, fake in enumerate(STUDY):
            assert run_color(number) in labels[fake.name].attrib["style"]


def test_all_that_shows_a_run_can_be_found(drawn: list[Drawing]) -> None:
    for drawing in drawn:
        tree = ElementTree.fromstring(drawing.svg())
        for number, fake in enumerate(STUDY):
            mine = [element for element in tree.iter() if element.attrib.get("data-run") == str(number)]
            ringed = 2 if fake.peak and drawing.name != "training-loss" else 0
            assert len(mine) == 2 + ringed, "its line, its name, and the ring with its epoch"
            assert fake.name in ["".join(element.itertext()).strip() for element in mine]


def test_overfitting_is_marked_with_its_epoch(drawn: list[Drawing]) -> None:
    by_name = {drawing.name: texts(drawing) for drawing in drawn}
    for name in NAMES[1:]:
        assert {"22", "31"} <= set(by_name[name])
    assert not {"22", "31"} & set(by_name["training-loss"])


def test_of_many_runs_the_best_are_named(tmp_path: Path) -> None:
    fakes = [Fake(name=f"run-{i}", quality=0.3 + 0.04 * i, epochs=4) for i in range(NAMED + 3)]
    group = group_of(tmp_path, *fakes)
    drawing = curve_drawings(group)[0]
    named = {text for text in texts(drawing) if text.startswith("run-")}
    assert named == {row.name for row in group.rows[:NAMED]}
    assert all(f'data-run="{row.number}"' in drawing.svg() for row in group.rows), "the others are drawn, too"
    section = curves(Analysis(group))
    assert section is not None
    assert isinstance(section.blocks[0], Figures)
    assert f"The {NAMED} best of {NAMED + 3} runs are named" in section.blocks[0].caption


def test_the_same_facts_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (curve_drawings(group_of(tmp_path / name, *STUDY[:2])) for name in "ab")
    for one, other in zip(first, second, strict=True):
        assert one.svg() == other.svg()
    pdf = first[2].pdf()
    assert pdf == second[2].pdf()
    assert b"CreationDate" not in pdf


def test_drawing_leaves_global_settings_alone(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    curve_drawings(group_of(tmp_path, Fake()))[0].svg()
    assert dict(mpl.rcParams) == before


def test_files_have_a_ground_and_the_page_has_none(tmp_path: Path) -> None:
    # Without a ring, which is filled with the ground's colour.
    drawing = curve_drawings(group_of(tmp_path, Fake(epochs=3)))[0]
    assert PAPER in drawing.svg(PAPER)
    assert PAPER not in drawing.svg()


def test_one_run_of_one_epoch_and_names_that_are_no_markup(tmp_path: Path) -> None:
    name = "<b>&\u7a7a $x_1$"
    drawn = curve_drawings(group_of(tmp_path, Fake(name=name, epochs=1)))
    assert [drawing.name for drawing in drawn] == NAMES
    assert name in texts(drawn[0])


def test_a_run_without_events_has_no_curves(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", Fake(images=3))
    (path / "events.jsonl").write_text('{"event": "end"}\n')
    (group,) = compare([path]).groups
    assert curve_drawings(group) == []
    assert curves(Analysis(group)) is None


def test_what_may_not_be_compared_is_said(tmp_path: Path) -> None:
    other = Fake(name="other", changes={"loss.name": "dice"})
    section = curves(Analysis(group_of(tmp_path, STUDY[0], other)))
    assert section is not None
    notes = [block.text for block in section.blocks if isinstance(block, Paragraph)]
    assert any("different losses (cross_entropy, dice)" in note for note in notes)
    (bullets,) = [block for block in section.blocks if isinstance(block, Bullets)]
    assert any("unet-8 was best at epoch 31 of 40" in item for item in bullets.items)


def test_losses_begin_near_their_values_and_scores_at_zero(study: Group, drawn: list[Drawing]) -> None:
    bottoms = {}
    for drawing in drawn:
        (axes,) = drawing.figure.axes
        bottoms[drawing.name] = axes.get_ylim()[0]
    assert bottoms["validation-score"] == 0
    lowest = min(float(run.curves.validation_loss.min()) for run in study.runs)
    highest = max(float(run.curves.validation_loss.max()) for run in study.runs)
    assert lowest - 0.2 * (highest - lowest) < bottoms["validation-loss"] < lowest
    assert 0 <= bottoms["training-loss"] < min(float(run.curves.train_loss.min()) for run in study.runs)


def test_a_loss_near_zero_has_no_axis_below_it(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", Fake(images=3))
    lines = [f'{{"event": "epoch", "epoch": {e}, "loss": {1 / e**4}, "seconds": 1.0}}\n' for e in range(1, 9)]
    (path / "events.jsonl").write_text("".join(lines))
    (group,) = compare([path]).groups
    (axes,) = curve_drawings(group)[0].figure.axes
    assert axes.get_ylim()[0] == 0


def test_a_soup_has_no_curve(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / fake.name, replace(fake, images=3)) for fake in (*STUDY[:2], Fake(name="soup"))]
    (paths[2] / "soup.json").write_text("{}")
    lines = (paths[2] / "events.jsonl").read_text().splitlines()
    # As a soup leaves it: an epoch without a loss, and one validation.
    (paths[2] / "events.jsonl").write_text("\n".join([lines[0], '{"event": "epoch", "epoch": 40, "seconds": 9.0}']))
    (group,) = compare(paths).groups
    drawn = curve_drawings(group)
    assert [drawing.name for drawing in drawn] == NAMES
    for drawing in drawn:
        assert "soup" not in [*texts(drawing), drawing.alt]
        assert "soup" not in drawing.alt
        assert {"unet-8", "attention-unet-8"} <= set(texts(drawing))
    (group,) = compare(paths[2:]).groups
    assert curve_drawings(group) == []


def test_words_are_of_what_was_measured(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", Fake(images=3, epochs=3))
    lines = [
        '{"event": "epoch", "epoch": 1, "seconds": 1.0}',
        '{"event": "epoch", "epoch": 2, "loss": 1.25, "seconds": 1.0}',
        '{"event": "epoch", "epoch": 3, "loss": 0.5, "seconds": 1.0}',
    ]
    (path / "events.jsonl").write_text("\n".join(lines) + "\n")
    (group,) = compare([path]).groups
    assert curve_drawings(group)[0].alt == "Training loss by epoch: unet-8 from 1.25 to 0.50."
