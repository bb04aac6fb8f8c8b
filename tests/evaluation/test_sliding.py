"""The mean of windows against mmsegmentation's way: all scores of all windows, summed, divided, enlarged."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cheap import FeatureModel, ScoreModel, peak_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from test_labelling import check_map
from torch import Tensor

from segfit.config import build_recipe
from segfit.evaluation.labelling import label_map, strips
from segfit.evaluation.sliding import Weigh, gaussian, grid_scores, uniform, weigh_of
from segfit.evaluation.views import Look, image_map
from segfit.evaluation.windows import Grid, sliding, whole
from segfit.models import Output, Segmenter
from segfit.models.outputs import STRIP_BYTES

SIDE = st.integers(1, 30)


def looks(model: Segmenter, image: Tensor, grid: Grid) -> Iterator[Output]:
    """Run the model on the windows, one by one, when they are asked for."""
    for rows, columns in grid.boxes():
        with torch.inference_mode():
            output = model(image[:, :, rows, columns])
        yield output


def grid_map(grid: Grid, outputs: Iterator[Output], size: tuple[int, int], weigh: Weigh = uniform) -> Tensor:
    return image_map([Look(0, grid)], [outputs], size, weigh=weigh)[0]


def plain(model: Segmenter, image: Tensor, grid: Grid, size: tuple[int, int], weigh: Weigh = uniform) -> Tensor:
    """Return the scores `(1, K, H, W)` as ``slide_inference`` and ``postprocess_result`` make them."""
    sums = counts = torch.zeros(())
    weights = weigh(grid.window[0])[:, None] * weigh(grid.window[1])
    align_corners = False
    for (rows, columns), output in zip(grid.boxes(), looks(model, image, grid), strict=True):
        align_corners = output.align_corners
        pad = (columns.start, grid.size[1] - columns.stop, rows.start, grid.size[0] - rows.stop)
        with torch.inference_mode():
            sums = sums + F.pad(output.dense(grid.window) * weights, pad)
            counts = counts + F.pad(weights, pad)
    mean = sums / counts
    return mean if grid.size == size else F.interpolate(mean, size, mode="bilinear", align_corners=align_corners)


def model_of(kind: str, classes: int, align_corners: bool = False) -> Segmenter:
    torch.manual_seed(classes)
    if kind == "features":
        return FeatureModel(classes).eval()
    return ScoreModel(classes, align_corners=align_corners, stride=3).eval()


@given(
    kind=st.sampled_from(["scores", "features"]),
    classes=st.integers(2, 5),
    inner=st.tuples(SIDE, SIDE),
    size=st.tuples(SIDE, SIDE),
    window=st.tuples(st.integers(2, 20), st.integers(2, 20)),
    overlap=st.sampled_from([0.0, 1 / 3, 0.5, 0.75]),
    align_corners=st.booleans(),
    weigh=st.sampled_from([uniform, gaussian]),
    rows=st.sampled_from([1, 3, 8, 1000]),
)
@settings(max_examples=60, deadline=None)
def test_equals_the_mean_of_all_scores(kind, classes, inner, size, window, overlap, align_corners, weigh, rows) -> None:
    model = model_of(kind, classes, align_corners)
    image = torch.randint(0, 256, (1, 3, *inner), dtype=torch.uint8)
    grid = sliding(inner, window=window, overlap=overlap)
    expected = plain(model, image, grid, size, weigh)
    if len(grid) == 1:  # enlarged in one step
        with torch.inference_mode():
            expected = model(image).dense(size)
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        # Bands and strips of as few rows as large images have.
        patch.setattr(Output, "rows_at_once", lambda output, width: rows)
        if not grid.wide:
            parts = list(strips(grid_scores(grid, looks(model, image, grid), weigh), size))
            assert [row for part, _ in parts for row in range(part.start, part.stop)] == list(range(size[0]))
            found = torch.cat([scores for _, scores in parts], dim=2)
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        check_map(grid_map(grid, looks(model, image, grid), size, weigh)[None], expected)


@pytest.mark.parametrize("kind", ["scores", "features"])
@pytest.mark.parametrize("size", [(24, 30), (50, 61), (9, 11)])
def test_one_window_is_the_whole_image(kind, size) -> None:
    model = model_of(kind, 7)
    image = torch.randint(0, 256, (1, 3, 24, 30), dtype=torch.uint8)
    grid = sliding((24, 30), window=(32, 32), overlap=1 / 3)
    assert grid == whole((24, 30))
    (output,) = looks(model, image, grid)
    assert torch.equal(grid_map(grid, iter([output]), size), label_map(output, size)[0])


@pytest.mark.parametrize("inner", [(40, 8), (8, 40), (20, 20)])
def test_all_windows_are_looked_at(inner, monkeypatch) -> None:
    # Much reduced, the last windows have no part in the result; they are measured all the same.
    model = model_of("scores", 3)
    grid = sliding(inner, window=(8, 8), overlap=0.75)
    outputs = looks(model, torch.zeros(1, 3, *inner, dtype=torch.uint8), grid)
    monkeypatch.setattr(Output, "rows_at_once", lambda output, width: 1)
    grid_map(grid, outputs, (2, 2))
    assert next(outputs, None) is None


# --- weights ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [(1, 5), (9, 33), (65, 127)])
def test_the_bell_is_the_blurred_point_of_nnunet(window) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    point = np.zeros(window)
    point[window[0] // 2, window[1] // 2] = 1
    blurred = ndimage.gaussian_filter(point, [side / 8 for side in window], mode="constant", cval=0)
    blurred /= blurred.max()
    blurred[blurred == 0] = blurred[blurred > 0].min()
    weights = gaussian(window[0])[:, None] * gaussian(window[1])
    np.testing.assert_allclose(weights.numpy(), blurred, rtol=1e-4)


@given(length=st.integers(1, 600))
def test_a_bell_is_even_and_nowhere_zero(length) -> None:
    weights = gaussian(length)
    assert weights.dtype == torch.float32
    assert len(weights) == length
    assert weights.max() == 1
    assert weights.min() > 1e-4
    assert torch.equal(weights, weights.flip(0))
    assert (weights[: (length + 1) // 2].diff() >= 0).all()


def test_the_recipe_chooses_the_weights() -> None:
    windows = {"window": "sliding"}
    found = [weigh_of(build_recipe({"evaluate": {**windows, "weighting": name}})) for name in ("uniform", "gaussian")]
    assert found == [uniform, gaussian]
    assert weigh_of(build_recipe({})) is uniform


# --- in the course of an image ---------------------------------------------------------------------------------------


def test_windows_are_looked_at_when_their_rows_are_due() -> None:
    model, asked = model_of("features", 2), []
    image = torch.zeros(1, 3, 64, 16, dtype=torch.uint8)
    grid = sliding((64, 16), window=(16, 16), overlap=0.5)

    def watched() -> Iterator[Output]:
        for number, output in enumerate(looks(model, image, grid)):
            asked.append(number)
            yield output

    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setattr(Output, "rows_at_once", lambda output, width: 4)
        for rows, _ in strips(grid_scores(grid, watched()), (64, 16)):
            assert len(asked) == sum(top < rows.stop for top in grid.tops)


@pytest.mark.parametrize("kind", ["scores", "features"])
def test_an_output_is_left_unchanged(kind) -> None:
    model = model_of(kind, 4)
    image = torch.randint(0, 256, (1, 3, 30, 12), dtype=torch.uint8)
    grid = sliding((30, 12), window=(12, 12), overlap=1 / 3)
    outputs = list(looks(model, image, grid))
    before = [output.native.clone() for output in outputs]
    grid_map(grid, iter(outputs), (30, 12))
    assert all(torch.equal(output.native, kept) for output, kept in zip(outputs, before, strict=True))


@pytest.mark.parametrize("kind", ["scores", "features"])
@pytest.mark.parametrize("wide", [False, True])
def test_memory_grows_neither_with_the_classes_nor_with_the_longer_side(kind, wide, monkeypatch) -> None:
    monkeypatch.setitem(STRIP_BYTES, "cpu", 1 << 18)
    peaks = {}
    for classes, long in ((10, 192), (10, 768), (150, 192), (150, 768)):
        inner, size = ((64, long), (96, long)) if wide else ((long, 64), (long, 96))
        model = FeatureModel(classes, width=64).eval() if kind == "features" else ScoreModel(classes).eval()
        image = torch.zeros(1, 3, *inner, dtype=torch.uint8)
        grid = sliding(inner, window=(64, 64), overlap=1 / 3)

        def work(model=model, image=image, grid=grid, size=size) -> None:
            grid_map(grid, looks(model, image, grid), size)

        peaks[classes, long] = peak_bytes(work) - size[0] * size[1]
    # All scores would take 4 * 150 * 96 * 768 bytes = 44 MB, twice.
    assert max(peaks.values()) < (5e6 if kind == "features" else 2e6), peaks
    for classes in (10, 150):
        assert peaks[classes, 768] < 1.25 * peaks[classes, 192], peaks
