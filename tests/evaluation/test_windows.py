"""Where windows lie, against mmsegmentation's slide mode."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segfit.config import build_recipe
from segfit.evaluation.windows import Grid, cut_of, sliding, whole

SIDE = st.integers(1, 60)


def slide_mode(size: tuple[int, int], crop: tuple[int, int], stride: tuple[int, int]) -> set[tuple[int, int, int, int]]:
    """Return (top, bottom, left, right) of the windows as mmsegmentation's ``slide_inference`` computes them."""
    rows = max(size[0] - crop[0] + stride[0] - 1, 0) // stride[0] + 1
    columns = max(size[1] - crop[1] + stride[1] - 1, 0) // stride[1] + 1
    found = set()
    for i in range(rows):
        for j in range(columns):
            bottom, right = min(i * stride[0] + crop[0], size[0]), min(j * stride[1] + crop[1], size[1])
            found.add((max(bottom - crop[0], 0), bottom, max(right - crop[1], 0), right))
    return found


def test_a_third_of_512_is_the_published_stride() -> None:
    grid = sliding((512, 2048), window=(512, 512), overlap=1 / 3)
    assert grid.tops == (0,)
    assert grid.lefts == (0, 341, 682, 1023, 1364, 1536)


@given(size=st.tuples(SIDE, SIDE), window=st.tuples(SIDE, SIDE), tenths=st.integers(0, 9))
def test_windows_are_those_of_slide_mode(size, window, tenths) -> None:
    grid = sliding(size, window=window, overlap=tenths / 10)
    stride = tuple(max(1, side * (10 - tenths) // 10) for side in window)
    boxes = grid.boxes()
    assert len(boxes) == len(grid) == len(set(map(str, boxes)))
    assert {(y.start, y.stop, x.start, x.stop) for y, x in boxes} == slide_mode(size, window, stride)
    assert grid.size == size
    # Every pixel is covered, and neighbours share what they should.
    for starts, side, length, step in zip((grid.tops, grid.lefts), grid.window, size, stride, strict=True):
        assert starts[0] == 0
        assert starts[-1] + side == length
        assert all(0 < after - before <= step for before, after in pairwise(starts))
        assert all(step <= side or side == length for _ in starts)


@given(size=st.tuples(SIDE, SIDE), window=st.tuples(SIDE, SIDE))
def test_windows_come_along_the_direction_with_more_of_them(size, window) -> None:
    grid = sliding(size, window=window, overlap=0.5)
    boxes = grid.boxes()
    assert boxes == sorted(
        boxes, key=lambda box: (box[1].start, box[0].start) if grid.wide else (box[0].start, box[1].start)
    )
    assert grid.mT.mT == grid
    assert not (grid.wide and grid.mT.wide)
    assert {(x.start, y.start) for y, x in boxes} == {(y.start, x.start) for y, x in grid.mT.boxes()}


def test_an_image_that_fits_is_one_window() -> None:
    assert whole((5, 7)) == Grid((5, 7), (0,), (0,))
    assert sliding((5, 7), window=(8, 8), overlap=0.5) == whole((5, 7))


@pytest.mark.parametrize(("window", "count"), [("whole", 1), ("sliding", 3)])
def test_the_recipe_chooses(window, count) -> None:
    recipe = build_recipe({"augment": {"size": [48, 48]}, "evaluate": {"window": window, "overlap": 0.5}})
    assert len(cut_of(recipe)((48, 96))) == count
