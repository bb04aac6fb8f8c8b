"""Boundary IoU and boundary F: equal to their definitions, which look at one class after the other."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from segfit.evaluation.boundary import COUNTS, BoundaryCounts, boundary_counts, pixel_distance
from segfit.labels import IGNORE

Map = NDArray[np.uint8]


def by_definition(target: Map, prediction: Map, classes: int, distance: float) -> dict[str, list[int]]:
    """Count with the masks of one class at a time, eroded step by step and measured pixel by pixel."""
    reach = max(1, round(distance * math.hypot(*target.shape)))
    prediction = np.where(target == IGNORE, IGNORE, prediction)

    def region(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        # Outside the image nothing belongs to the mask.
        return mask & ~ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=reach, border_value=0)

    def contour(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        # Four neighbours; outside the image everything belongs to the mask.
        return mask & ~ndimage.binary_erosion(mask, border_value=1)

    def near(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return ndimage.distance_transform_edt(~mask) <= reach if mask.any() else mask

    counts = {name: [0] * classes for name in COUNTS}
    for c in set(target.ravel().tolist() + prediction.ravel().tolist()) - {IGNORE}:
        regions = region(target == c), region(prediction == c)
        contours = contour(target == c), contour(prediction == c)
        pixels = {
            "region_hits": regions[0] & regions[1],
            "region_target": regions[0],
            "region_prediction": regions[1],
            "contour_target_hits": contours[0] & near(contours[1]),
            "contour_target": contours[0],
            "contour_prediction_hits": contours[1] & near(contours[0]),
            "contour_prediction": contours[1],
        }
        for name, found in pixels.items():
            counts[name][c] = int(found.sum())
    return counts


def counts_of(result: BoundaryCounts) -> dict[str, list[int]]:
    return {name: getattr(result, name).tolist() for name in COUNTS}


def assert_same(ours: BoundaryCounts, theirs: BoundaryCounts) -> None:
    assert counts_of(ours) == counts_of(theirs)


@st.composite
def map_pairs(draw: st.DrawFn) -> tuple[Map, Map, int]:
    """Draw two label maps that agree in places, of patches, with pixels to ignore; and K."""
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    classes = draw(st.sampled_from([1, 2, 3, 9, 40, 150, 255]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    patch = np.ones((draw(st.integers(1, 4)), draw(st.integers(1, 4))), np.uint8)
    used = min(classes, draw(st.sampled_from([1, 2, 3, 12, 60])))
    names = rng.choice(classes, used, replace=False).astype(np.uint8)
    target = np.kron(rng.choice(names, (height, width)), patch)
    other = np.kron(rng.choice(names, (height, width)), patch)
    prediction = np.where(rng.random(target.shape) < draw(st.sampled_from([0.0, 0.1, 0.5, 1.0])), other, target)
    target = np.where(rng.random(target.shape) < draw(st.sampled_from([0.0, 0.02, 0.3, 1.0])), IGNORE, target)
    return target.astype(np.uint8), prediction.astype(np.uint8), classes


@given(drawn=map_pairs(), distance=st.sampled_from([0.001, 0.02, 0.1, 0.2, 0.5, 1.0, 3.0]))
@settings(max_examples=150)
def test_counts_are_those_of_the_definition(drawn: tuple[Map, Map, int], distance: float) -> None:
    target, prediction, classes = drawn
    result = boundary_counts(target, prediction, classes, distance)
    assert counts_of(result) == by_definition(target, prediction, classes, distance)
    assert result.distance == distance
    assert all(getattr(result, name).dtype == np.int64 for name in COUNTS)


@pytest.mark.parametrize("shape", [(1, 1), (1, 37), (37, 1), (2, 40), (61, 3), (33, 64)])
@pytest.mark.parametrize("distance", [0.01, 0.1, 1.5])
def test_narrow_images_and_distances_beyond_them(shape: tuple[int, int], distance: float) -> None:
    rng = np.random.default_rng(shape[0])
    target, prediction = rng.integers(0, 2, (2, *shape)).astype(np.uint8)
    assert counts_of(boundary_counts(target, prediction, 2, distance)) == by_definition(target, prediction, 2, distance)


@pytest.mark.parametrize(("distance", "names"), [(0.002, (0, 1)), (0.02, (2, 3)), (0.05, (4, 5))])
def test_real_masks(real_data: Path, distance: float, names: tuple[int, int]) -> None:
    files = sorted((real_data / "ade20k-mini" / "annotations" / "validation").iterdir())
    # Source ids: 0 is "other", which is ignored.
    target, other = (cv2.imread(str(files[name]), cv2.IMREAD_GRAYSCALE) - np.uint8(1) for name in names)
    # Shifted by some pixels, with objects of another image, and nothing is ignored.
    prediction = np.roll(target, (3, -5), (0, 1)) % np.uint8(150)
    third = slice(0, len(target) // 3)
    prediction[third] = cv2.resize(other, target.shape[::-1], interpolation=cv2.INTER_NEAREST)[third] % 150
    expected = by_definition(target, prediction, 150, distance)
    assert counts_of(boundary_counts(target, prediction, 150, distance)) == expected
    assert sum(expected["contour_target_hits"]) > 100
    assert sum(expected["region_hits"]) < sum(expected["region_target"])


# --- invariants ------------------------------------------------------------------------------------------------------


@given(drawn=map_pairs(), distance=st.sampled_from([0.02, 0.3]))
@settings(max_examples=60)
def test_a_perfect_prediction_scores_one(drawn: tuple[Map, Map, int], distance: float) -> None:
    target, _, classes = drawn
    perfect = np.where(target == IGNORE, 0, target).astype(np.uint8)
    result = boundary_counts(target, perfect, classes, distance)
    there = np.isin(np.arange(classes), target)
    # Every class reaches the border of the image, or another class; a contour it has only in the second case.
    assert (result.iou[there] == 1).all()
    assert np.isnan(result.iou[~there]).all()
    assert set(result.f[result.contour_target > 0]) <= {1.0}
    assert np.isnan(result.f[result.contour_target == 0]).all()
    assert result.macro_iou == 1 or not there.any()


@given(drawn=map_pairs(), distance=st.sampled_from([0.02, 0.3]))
@settings(max_examples=60)
def test_exchanged_maps_exchange_the_counts(drawn: tuple[Map, Map, int], distance: float) -> None:
    target, prediction, classes = drawn
    target = np.where(target == IGNORE, prediction, target)
    there = boundary_counts(target, prediction, classes, distance)
    back = boundary_counts(prediction, target, classes, distance)
    for ours, theirs in [
        ("region_hits", "region_hits"),
        ("region_target", "region_prediction"),
        ("contour_target_hits", "contour_prediction_hits"),
        ("contour_target", "contour_prediction"),
    ]:
        assert np.array_equal(getattr(there, ours), getattr(back, theirs))
        assert np.array_equal(getattr(there, theirs), getattr(back, ours))
    assert np.array_equal(there.iou, back.iou, equal_nan=True)
    assert np.array_equal(there.f, back.f, equal_nan=True)


@given(drawn=map_pairs(), distance=st.sampled_from([0.02, 0.1, 0.3]))
@settings(max_examples=60)
def test_turned_and_mirrored_images_count_the_same(drawn: tuple[Map, Map, int], distance: float) -> None:
    target, prediction, classes = drawn
    expected = boundary_counts(target, prediction, classes, distance)
    for change in (np.fliplr, np.flipud, np.transpose, np.rot90):
        assert_same(boundary_counts(change(target), change(prediction), classes, distance), expected)


@given(drawn=map_pairs(), seed=st.integers(0, 1000))
@settings(max_examples=60)
def test_what_is_predicted_on_ignored_pixels_does_not_matter(drawn: tuple[Map, Map, int], seed: int) -> None:
    target, prediction, classes = drawn
    noise = np.random.default_rng(seed).integers(0, classes, target.shape)
    changed = np.where(target == IGNORE, noise, prediction).astype(np.uint8)
    assert_same(boundary_counts(target, changed, classes, 0.1), boundary_counts(target, prediction, classes, 0.1))


def test_a_greater_distance_forgives_more() -> None:
    target = np.zeros((60, 80), np.uint8)
    target[20:40, 20:50] = 1
    prediction = np.roll(target, 3, axis=1)
    f = [boundary_counts(target, prediction, 2, pixels / 100).macro_f for pixels in (1, 2, 3)]
    # The diagonal is 100 pixels: 1, 2 and 3 pixels.
    assert f[0] < f[1] < f[2] == 1


# --- scores ----------------------------------------------------------------------------------------------------------


def test_a_line_by_hand() -> None:
    target = np.array([[0, 0, 0, 0, 0, 1, 1, 1, 1, 1]], np.uint8)
    prediction = np.array([[0, 0, 0, 1, 1, 1, 1, 1, 2, 2]], np.uint8)
    result = boundary_counts(target, prediction, 4, 0.1)
    assert pixel_distance(1, 10, 0.1) == 1
    # In an image of one row everything is within one pixel of the border.
    assert counts_of(result) == {
        "region_hits": [3, 3, 0, 0],
        "region_target": [5, 5, 0, 0],
        "region_prediction": [3, 5, 2, 0],
        "contour_target_hits": [0, 0, 0, 0],
        "contour_target": [1, 1, 0, 0],
        "contour_prediction_hits": [0, 0, 0, 0],
        "contour_prediction": [1, 2, 1, 0],
    }
    # The contours of class 0 are pixels 4 and 2, those of class 1 pixel 5 and pixels 3 and 7.
    wider = boundary_counts(target, prediction, 4, 0.2)
    assert wider.contour_target_hits.tolist() == [1, 1, 0, 0]
    assert wider.contour_prediction_hits.tolist() == [1, 2, 0, 0]
    np.testing.assert_array_equal(wider.iou, [3 / 5, 3 / 7, 0, np.nan])
    np.testing.assert_array_equal(wider.f, [1, 1, 0, np.nan])
    assert wider.macro_iou == pytest.approx((3 / 5 + 3 / 7) / 3)
    assert wider.macro_f == pytest.approx(2 / 3)


def test_f_weighs_precision_and_recall() -> None:
    counts = dict.fromkeys(COUNTS, np.array([0]))
    counts |= {"contour_target_hits": np.array([3]), "contour_target": np.array([4])}
    counts |= {"contour_prediction_hits": np.array([1]), "contour_prediction": np.array([2])}
    result = BoundaryCounts(distance=0.02, **counts)
    assert result.f[0] == pytest.approx(2 * 0.5 * 0.75 / (0.5 + 0.75))


def test_a_class_that_fills_the_image_has_no_contour() -> None:
    result = boundary_counts(np.zeros((30, 40), np.uint8), np.zeros((30, 40), np.uint8), 2, 0.02)
    np.testing.assert_array_equal(result.iou, [1, np.nan])
    np.testing.assert_array_equal(result.f, [np.nan, np.nan])
    assert np.isnan(result.macro_f)
    assert result.macro_iou == 1


def test_nothing_is_scored_where_everything_is_ignored() -> None:
    ignored = np.full((9, 7), IGNORE, np.uint8)
    result = boundary_counts(ignored, np.zeros((9, 7), np.uint8), 3, 0.1)
    assert_same(result, BoundaryCounts.none(3, 0.1))
    assert np.isnan(result.macro_iou)
    assert np.isnan(result.macro_f)


def test_unknown_train_ids_are_refused() -> None:
    with pytest.raises(AssertionError, match=r"0\.\.K-1"):
        boundary_counts(np.full((4, 4), 3, np.uint8), np.zeros((4, 4), np.uint8), 3, 0.1)


# --- sums ------------------------------------------------------------------------------------------------------------


def random_parts(count: int) -> list[BoundaryCounts]:
    rng = np.random.default_rng(5)
    pairs = [rng.integers(0, 4, (2, 11, 13)).astype(np.uint8) for _ in range(count)]
    return [boundary_counts(target, prediction, 5, 0.1) for target, prediction in pairs]


def test_sums_do_not_depend_on_order_or_shards() -> None:
    parts = random_parts(6)
    nothing = BoundaryCounts.none(5, 0.1)
    whole = sum(parts, nothing)
    assert_same(sum(reversed(parts), nothing), whole)
    assert_same(sum(parts[::2], nothing) + sum(parts[1::2], nothing), whole)
    stacked = BoundaryCounts(
        distance=0.1, **{name: np.stack([getattr(part, name) for part in parts]) for name in COUNTS}
    )
    assert_same(stacked.total(), whole)
    assert stacked.macro_f.shape == (6,)
    assert [stacked.macro_f[i] for i in range(6)] == [part.macro_f for part in parts]
    assert counts_of(whole)["region_hits"] == np.sum([part.region_hits for part in parts], axis=0).tolist()


def test_counts_at_different_distances_do_not_add_up() -> None:
    with pytest.raises(AssertionError, match="distances"):
        _ = BoundaryCounts.none(2, 0.1) + BoundaryCounts.none(2, 0.2)
