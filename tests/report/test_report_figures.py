from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Text

from run_folders import STUDY, Fake, edit_json, write_run
from segfit.comparison.table import Group, compare
from segfit.drawing.figure import Drawing
from segfit.drawing.placement import label_points, shorten, spread
from segfit.drawing.style import RUNS, STYLE, new_figure, run_color, run_dash, run_marker, theme
from segfit.report.figures import FIGURE_CLASSES, FIGURES, drawings

SVG = "{http://www.w3.org/2000/svg}"


def group_of(folder: Path, *fakes: Fake) -> Group:
    (group,) = compare([write_run(folder / str(i), fake) for i, fake in enumerate(fakes)]).groups
    return group


def texts(drawing: Drawing) -> list[str]:
    return ["".join(element.itertext()) for element in ElementTree.fromstring(drawing.svg()).iter(f"{SVG}text")]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> list[Drawing]:
    return drawings(group_of(tmp_path_factory.mktemp("study"), *STUDY))


def test_every_figure_is_drawn_from_complete_facts(study: list[Drawing]) -> None:
    assert [drawing.name for drawing in study] == list(FIGURES)


def test_every_run_is_named_where_its_data_is(study: list[Drawing]) -> None:
    for drawing in study:
        if drawing.name != "classes":
            assert {fake.name for fake in STUDY} <= set(texts(drawing)), drawing.name
            assert all(fake.name in drawing.alt for fake in STUDY)


def test_a_run_has_one_color_in_all_figures(study: list[Drawing]) -> None:
    for drawing in study:
        svg = drawing.svg()
        for number, fake in enumerate(STUDY):
            assert run_color(number) in svg
            if drawing.name != "classes":
                label = next(t for t in ElementTree.fromstring(svg).iter(f"{SVG}text") if t.text == fake.name)
                assert run_color(number) in label.attrib["style"]


def test_overfitting_is_marked_with_its_epoch(study: list[Drawing]) -> None:
    by_name = {drawing.name: texts(drawing) for drawing in study}
    for name in ("validation-loss", "validation-score"):
        assert {"22", "31"} <= set(by_name[name])
    assert not {"22", "31"} & set(by_name["training-loss"])


def test_the_baseline_is_drawn(study: list[Drawing]) -> None:
    assert any(text.startswith("majority class 0.0") for text in texts(study[3]))


def test_the_same_facts_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (drawings(group_of(tmp_path / name, *STUDY[:2])) for name in "ab")
    for one, other in zip(first, second, strict=True):
        assert one.svg() == other.svg()
    pdf = first[3].pdf()
    assert pdf == second[3].pdf()
    assert b"CreationDate" not in pdf


def test_drawing_leaves_global_settings_alone(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    drawings(group_of(tmp_path, Fake()))[0].svg()
    assert dict(mpl.rcParams) == before


def test_files_have_a_ground_and_the_report_has_none(study: list[Drawing], tmp_path: Path) -> None:
    study[0].save(tmp_path, "loss")
    assert "#fefefe" in (tmp_path / "loss.svg").read_text()
    assert "#fefefe" not in study[0].svg()
    assert (tmp_path / "loss.pdf").read_bytes().startswith(b"%PDF")


def test_costs_that_cannot_be_compared_are_not_drawn(tmp_path: Path) -> None:
    mixed = group_of(tmp_path, Fake(), Fake(name="cpu", memory_kind="resident in RAM", device_name="EPYC"))
    assert not {"score-by-memory", "score-by-time"} & {drawing.name for drawing in drawings(mixed)}


def test_one_run_of_one_epoch_and_names_that_are_no_markup(tmp_path: Path) -> None:
    name = "<b>&\u7a7a $x_1$"
    drawn = drawings(group_of(tmp_path, Fake(name=name, epochs=1)))
    assert [drawing.name for drawing in drawn] == ["training-loss", "validation-loss", "validation-score", "classes"]
    assert name in texts(drawn[0])


def test_a_run_without_events_has_no_curves(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", Fake())
    (path / "events.jsonl").write_text('{"event": "end"}\n')
    (group,) = compare([path]).groups
    assert [drawing.name for drawing in drawings(group)] == ["classes"]


def test_many_classes_are_cut_to_the_most_frequent(tmp_path: Path) -> None:
    names = tuple(f"class-{i}" for i in range(40))
    path = write_run(tmp_path / "run", Fake(names=names))
    edit_json(path / "metrics.json", "evaluation", "per_class", 33, "pixels", value=10**9)  # type: ignore[arg-type]
    for key in ("dice", "iou", "accuracy"):
        edit_json(path / "metrics.json", "evaluation", "per_class", 2, key, value=None)  # type: ignore[arg-type]
    (group,) = compare([path]).groups
    drawing = drawings(group)[-1]
    shown = [text for text in texts(drawing) if text.startswith("class-")]
    assert len(shown) == FIGURE_CLASSES
    assert shown[:3] == ["class-33", "class-0", "class-1"]
    assert "nan" not in drawing.svg()


# --- style and placement ---------------------------------------------------------------------------------------------


def luminance(color: str) -> float:
    channels = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_colors_are_readable_on_light_and_dark_paper() -> None:
    colors = theme()
    (light_paper, (_, dark_paper)) = next(item for item in colors.items() if item[1][0] == "--paper")
    for light, (variable, dark) in colors.items():
        if variable not in {"--paper", "--faint"}:
            assert contrast(light, light_paper) >= 4.5, variable
            assert contrast(dark, dark_paper) >= 4.5, variable


def test_runs_of_one_color_differ_otherwise() -> None:
    looks = [(run_color(i), run_marker(i), str(run_dash(i))) for i in range(4 * len(RUNS))]
    assert len(set(looks)) == len(looks)
    assert len({(color, marker) for color, marker, _ in looks}) == len(looks)


@given(wanted=st.lists(st.floats(0, 100), min_size=1, max_size=12), gap=st.floats(1, 15))
def test_spread_keeps_order_gap_and_range(wanted: list[float], gap: float) -> None:
    placed = spread(np.array(wanted), gap, 0, 100)
    used = min(gap, 100 / max(1, len(wanted) - 1))
    assert placed.min() >= -1e-9
    assert placed.max() <= 100 + 1e-9
    in_order = placed[np.argsort(wanted, kind="stable")]
    assert (np.diff(in_order) >= used - 1e-9).all()


@given(start=st.floats(0, 10), steps=st.lists(st.floats(5, 8), max_size=10))
def test_spread_moves_nothing_that_is_apart(start: float, steps: list[float]) -> None:
    wanted = start + np.cumsum([0.0, *steps])
    assert spread(wanted, 5, 0, 100) == pytest.approx(wanted)


@pytest.mark.parametrize("seed", range(5))
def test_labels_cover_neither_one_another_nor_points(seed: int) -> None:
    points = np.random.default_rng(seed).uniform(0.1, 0.9, (8, 2))
    with mpl.rc_context(STYLE):
        figure = new_figure(440, 290)
        axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
        label_points(axes, [(x, y) for x, y in points.tolist()], [f"model-{i}" for i in range(8)], ["#000000"] * 8)
        for text in axes.texts:
            text.update_positions(figure.canvas.get_renderer())
        # An annotation's own extent includes its leader.
        boxes = [Text.get_window_extent(text).padded(-1) for text in axes.texts]
    pixels = axes.transData.transform(points)
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
        assert not any(box.contains(x, y) for x, y in pixels.tolist())


@given(st.text(max_size=60))
def test_shortened_names_keep_both_ends(name: str) -> None:
    short = shorten(name)
    assert len(short) <= 24
    assert short == name or (name.startswith(short[:12]) and name.endswith(short[-11:]))
