from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.colors import to_hex

from drawn_study import analysis_of, drawn_study, rescore
from run_folders import STUDY, Fake, draw, write_run
from segfit.comparison.analysis import Analysis
from segfit.drawing.style import MUTED, run_color
from segfit.labels import IGNORE
from segfit.report.blocks import Figures, Fold, Paragraph, Pictures, Section, Table
from segfit.report.figures.confusion import ALL_CLASSES, MOST_FREQUENT, confusion_drawing, shown_classes
from segfit.report.sections.confusion import CROP, Pair, confused_pairs, confusion, crop_around, most_confused_images


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    return analysis_of(drawn_study(tmp_path_factory.mktemp("study"), STUDY[:3]))


@pytest.fixture(scope="module")
def section(analysis: Analysis) -> Section:
    made = confusion(analysis)
    assert made is not None
    return made


@given(arrays(np.int64, (5, 5), elements=st.integers(0, 50)), arrays(np.int64, (5, 5), elements=st.integers(0, 50)))
def test_pairs_are_the_largest_errors(first: np.ndarray, second: np.ndarray) -> None:
    pairs = confused_pairs([first, second], 6)
    errors = {(i, j): int(first[i, j]) for i in range(5) for j in range(5) if i != j and first[i, j]}
    assert len(pairs) == min(6, len(errors))
    assert [pair.pixels for pair in pairs] == sorted(errors.values(), reverse=True)[: len(pairs)]
    for pair in pairs:
        assert pair.pixels == errors[pair.target, pair.prediction]
        assert pair.of_errors == pytest.approx(pair.pixels / sum(errors.values()))
        for total, share in zip((first, second), pair.of_class, strict=True):
            row = total[pair.target]
            assert share == pytest.approx(row[pair.prediction] / max(1, row.sum()))


def test_the_images_of_a_pair_are_found(analysis: Analysis) -> None:
    records = analysis.records[0]
    pair = confused_pairs([records.total()])[0]
    dense = records.confusions(range(len(records)))[:, pair.target, pair.prediction]
    found = most_confused_images(records, pair)
    assert sorted(found) == np.flatnonzero(dense).tolist()
    assert dense[found].tolist() == sorted(dense[dense > 0].tolist(), reverse=True)
    total = records.total()
    i, j = np.argwhere(total == 0)[0].tolist()
    nowhere = Pair(target=i, prediction=j, pixels=0, of_errors=0, of_class=())
    assert most_confused_images(records, nowhere) == []


@given(
    rows=st.integers(2, 90),
    columns=st.integers(2, 90),
    seed=st.integers(0, 10**6),
    wanted=st.sampled_from([(3, 4), CROP]),
)
def test_a_crop_lies_in_the_image_and_holds_the_region(
    rows: int, columns: int, seed: int, wanted: tuple[int, int]
) -> None:
    rng = np.random.default_rng(seed)
    top, left = int(rng.integers(rows)), int(rng.integers(columns))
    bottom, right = int(rng.integers(top, rows)) + 1, int(rng.integers(left, columns)) + 1
    region = np.zeros((rows, columns), np.bool_)
    region[top:bottom, left:right] = True
    crop = crop_around(region, wanted)
    assert crop.top >= 0
    assert crop.left >= 0
    assert crop.height >= 1
    assert crop.width >= 1
    assert crop.top + crop.height <= rows
    assert crop.left + crop.width <= columns
    inside = region[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
    ratio = wanted[1] / wanted[0]
    if 2 * (bottom - top) <= min(rows, columns / ratio) and 2 * (right - left) / ratio <= min(rows, columns / ratio):
        assert inside.sum() == region.sum(), "what fits is shown whole"
    assert inside.any()


def test_a_crop_is_about_the_largest_part() -> None:
    region = np.zeros((100, 200), np.bool_)
    region[5:8, 5:8] = True
    region[60:80, 150:180] = True
    crop = crop_around(region)
    assert crop.top <= 60
    assert crop.left <= 150
    assert crop.top + crop.height >= 80
    assert crop.left + crop.width >= 180
    assert crop.width / crop.height == pytest.approx(CROP[1] / CROP[0], rel=0.05)


def test_the_table_shows_every_run(analysis: Analysis, section: Section) -> None:
    shown = next(block for block in section.blocks if isinstance(block, Table))
    totals = [records.total() for records in analysis.records]
    names = list(analysis.group.protocol.classes)
    assert [column.title for column in shown.columns[3:]] == [row.name for row in analysis.group.rows]
    for cells in shown.rows:
        i, j = names.index(cells[0].text), names.index(cells[1].text)
        assert [cell.value for cell in cells[3:]] == pytest.approx([total[i, j] / total[i].sum() for total in totals])
    values = [cells[2].value for cells in shown.rows]
    assert values == sorted(values, key=lambda value: -(value or 0))


def test_the_words_add_up(analysis: Analysis, section: Section) -> None:
    total = analysis.records[0].total()
    text = section.blocks[0]
    assert isinstance(text, Paragraph)
    wrong = 1 - np.trace(total) / total.sum()
    assert f"puts {100 * wrong:.0f} % of the annotated pixels" in text.text or wrong < 0.0995
    errors = total - np.diag(np.diag(total))
    i, j = np.unravel_index(int(np.argmax(errors)), errors.shape)
    names = analysis.group.protocol.classes
    assert f"{names[i]} taken for {names[j]}" in text.text
    part = np.sort(errors.ravel())[::-1][:10].sum() / errors.sum()
    assert f"make up {100 * part:.0f} % of its errors" in text.text


def test_crops_show_the_pair(analysis: Analysis, section: Section) -> None:
    shown = [block for block in section.blocks if isinstance(block, Pictures)]
    assert 1 <= len(shown) <= 4
    for block in shown:
        assert [picture.caption for picture in block.pictures[1:]] == ["Ground truth", analysis.group.rows[0].name]
        assert (block.height, block.width) == CROP
        assert block.title == " taken for ".join(entry.name for entry in block.legend)


def test_the_other_matrices_are_folded_away(analysis: Analysis, section: Section) -> None:
    figures = next(block for block in section.blocks if isinstance(block, Figures))
    (fold,) = (block for block in section.blocks if isinstance(block, Fold))
    (others,) = fold.blocks
    assert isinstance(others, Figures)
    best, *rest = analysis.group.rows
    assert [drawing.name for drawing in figures.drawings] == [f"confusion-{best.number}"]
    assert [drawing.name for drawing in others.drawings] == [f"confusion-{row.number}" for row in rest]


def test_without_the_dataset_the_matrix_remains(tmp_path: Path) -> None:
    section = confusion(analysis_of([write_run(tmp_path / "run", Fake())]))
    assert section is not None
    note = section.blocks[-1]
    assert isinstance(note, Paragraph)
    assert note.note
    assert note.text.startswith("No pictures of them: the dataset is not at")


def test_nothing_wrong_is_nothing_to_show(tmp_path: Path) -> None:
    (path,) = drawn_study(tmp_path, STUDY[:1], count=1)
    assert confusion(analysis_of([path])) is not None
    mask = draw(0, (90, 120))[1]
    truth = np.where(mask == 0, 0, mask - 1).astype(np.uint8)
    assert cv2.imwrite(str(path / "examples" / "view-00.png"), truth)
    assert confusion(analysis_of([rescore(path)])) is None


def test_the_drawing_has_a_cell_for_every_share(analysis: Analysis) -> None:
    group, total = analysis.group, analysis.records[0].total()
    drawing = confusion_drawing(group, group.rows[0], total)
    shares = total / np.maximum(1, total.sum(axis=1, keepdims=True))
    order = shown_classes(group)
    written = [text.get_text() for text in drawing.figure.axes[0].texts]
    for i in order:
        for j in order:
            if shares[i, j] >= 0.005:
                assert f"{100 * shares[i, j]:.0f}" in written
    (cells,) = drawing.figure.axes[0].collections[:1]
    visible = shares[np.ix_(order, order)]
    assert len(cells.get_paths()) == (visible >= 0.005).sum()
    alphas = cells.get_facecolor()[:, 3]  # type: ignore[index, call-overload]
    assert alphas == pytest.approx(np.sqrt(visible[visible >= 0.005]))
    assert "var(--run-" in drawing.inline()


def test_of_many_classes_the_most_frequent_are_shown(tmp_path: Path) -> None:
    names = tuple(f"class-{i}" for i in range(ALL_CLASSES + 8))
    analysis = analysis_of([write_run(tmp_path / "run", Fake(names=names))])
    group, total = analysis.group, analysis.records[0].total()
    shown = shown_classes(group)
    assert len(shown) == MOST_FREQUENT
    assert min(group.protocol.pixels[i] for i in shown) >= max(
        pixels for i, pixels in enumerate(group.protocol.pixels) if i not in shown
    )
    drawing = confusion_drawing(group, group.rows[0], total)
    assert "elsewhere" in drawing.svg()
    assert IGNORE not in shown


def test_what_is_wrong_has_one_color_whichever_run_it_is(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / str(number), Fake(name=f"run-{number}", images=3, epochs=2)) for number in range(8)]
    group = analysis_of(paths).group
    total = np.full((8, 8), 100)
    for row in group.rows:
        drawing = confusion_drawing(group, row, total)
        (squares,) = drawing.figure.axes[0].collections[:1]
        colors = [to_hex(color) for color in squares.get_facecolor()]
        assert set(colors) == {MUTED, run_color(1)}, row.number
        assert colors.count(MUTED) == len(shown_classes(group))
        assert drawing.runs == (row.number,)
