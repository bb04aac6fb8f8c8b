import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from segfit.curation.convert.outlines import circle, fill, run_lengths, unpack

# Masks of COCO's own library (pycocotools 2.0.11): size, polygons, compressed run lengths.
GOLDEN = [
    ((8, 10), [[1, 1, 6, 1, 6, 5, 1, 5]], "9440000000o0"),
    ((8, 10), [[1.5, 1.5, 6.5, 1.5, 6.5, 5.5, 1.5, 5.5]], "b0440000000f0"),
    ((12, 12), [[0.3, 0.7, 11.2, 3.1, 4.9, 10.6]], "=2:2N2O1N1OO1O2M2O1O:"),
    ((9, 9), [[-3, -3, 14, 4, -3, 14]], "0]11kN0O101NO"),
    ((10, 10), [[1, 1, 8, 8, 8, 1, 1, 8]], ";65N2N;0E2N2b0"),
    ((7, 9), [[0, 0, 3, 0, 3, 3, 0, 3], [2, 2, 7, 2, 7, 6, 2, 6]], "034003ON000000<"),
    ((6, 6), [[2.2, 1.1, 2.2, 1.1, 4.4, 1.1, 4.4, 4.9]], "=151:"),
    ((5, 5), [[0.1, 0.1, 0.2, 0.1, 0.2, 0.2]], "i0"),
    (
        (16, 11),
        [[5.31, 0.4, 6.8, 5.9, 10.9, 6.1, 7.5, 9.6, 8.7, 15.2, 5.2, 11.9, 1.8, 15.4, 3.1, 9.5, -0.2, 6.2, 4.1, 5.8]],
        "61?1O1E045O1N25M00OKMN217OK",
    ),
]  # fmt: skip


def painted(region, size):
    mask = np.zeros(size, np.uint16)
    region.paint(mask, 1)
    assert region.area() == mask.sum()
    return mask


def rings(polygons):
    return [np.array(polygon, np.float64).reshape(-1, 2) for polygon in polygons]


def even_odd(ring, size):
    """Whether pixel centres are inside, by counting the edges to their right; and their distance from the outline."""
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    inside = np.zeros(size, bool)
    distance = np.full(size, np.inf)
    for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if y0 != y1:
            at = x0 + (rows - y0) * (x1 - x0) / (y1 - y0)
            inside ^= ((y0 > rows) != (y1 > rows)) & (columns < at)
        length = (x1 - x0) ** 2 + (y1 - y0) ** 2
        t = np.clip(((columns - x0) * (x1 - x0) + (rows - y0) * (y1 - y0)) / max(length, 1e-12), 0, 1)
        distance = np.minimum(distance, np.hypot(columns - x0 - t * (x1 - x0), rows - y0 - t * (y1 - y0)))
    return inside, distance


@pytest.mark.parametrize(("size", "polygons", "expected"), GOLDEN)
def test_polygons_are_drawn_as_cocos_library_draws_them(size, polygons, expected):
    mask = painted(fill(rings(polygons), size), size)
    np.testing.assert_array_equal(mask, painted(run_lengths(unpack(expected), size), size))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools with NumPy 2
def test_random_polygons_equal_pycocotools_where_it_is_installed():
    reference = pytest.importorskip("pycocotools.mask")
    random = np.random.default_rng(0)
    for _ in range(200):
        size = (int(random.integers(1, 60)), int(random.integers(1, 60)))
        shapes = [random.uniform(-0.5, 1.5, (random.integers(3, 12), 2)) * size[::-1] for _ in range(3)]
        code = reference.merge(reference.frPyObjects([shape.ravel().tolist() for shape in shapes], *size))
        np.testing.assert_array_equal(painted(fill(shapes, size), size), reference.decode(code))


corners = arrays(
    np.float64, st.tuples(st.integers(3, 9), st.just(2)), elements=st.floats(-25, 45, allow_nan=False, width=32)
)


@given(corners)
def test_a_pixel_belongs_when_its_centre_does(ring):
    size = (17, 23)
    inside, distance = even_odd(ring, size)
    mask = painted(fill([ring], size), size) == 1
    # Corners are rounded to fifths of a pixel, and every step along an edge once more.
    sure = distance > 0.35
    np.testing.assert_array_equal(mask[sure], inside[sure])


def test_several_polygons_are_united_and_neighbours_share_no_pixel():
    size = (10, 12)
    left, right = rings([[0, 0, 5.5, 0, 5.5, 10, 0, 10], [5.5, 0, 12, 0, 12, 10, 5.5, 10]])
    halves = painted(fill([left], size), size) + painted(fill([right], size), size)
    assert (halves == 1).all()
    assert fill([left, right, left], size).area() == 120


def test_corners_very_far_away_cost_nothing_and_change_nothing():
    size = (40, 50)
    ring = rings([[25, 20, 1e7, -9e6, 1e7, 9e6, 0, 1e7]])[0]
    start = time.process_time()  # not the clock's time, of which others may take their part
    mask = painted(fill([ring], size), size) == 1
    assert time.process_time() - start < 1
    inside, distance = even_odd(ring, size)
    assert 0.3 < mask.mean() < 0.8
    np.testing.assert_array_equal(mask[distance > 0.5], inside[distance > 0.5])


@pytest.mark.parametrize("polygon", [[90, 90, 99, 90, 99, 99], [-9, 1, -5, 1, -5, 5], [3, 3, 3, 3, 3, 3]])
def test_what_is_outside_or_has_no_area_covers_no_pixel(polygon):
    assert fill(rings([polygon]), (20, 20)).area() == 0


def test_a_circle_holds_the_centres_within_its_radius_and_is_cut_off_at_the_border():
    size = (9, 12)
    rows, columns = np.mgrid[:9, :12] + 0.5
    for center, radius in (((4.0, 4.0), 3.2), ((0.0, 8.5), 4.0), ((30.0, 30.0), 2.0), ((5, 5), 1e9)):
        expected = np.hypot(columns - center[0], rows - center[1]) <= radius
        np.testing.assert_array_equal(painted(circle(center, radius, size), size) == 1, expected)


# --- run lengths -----------------------------------------------------------------------------------------------------


def counts_of(mask):
    """Return COCO's run lengths of a mask."""
    flat = mask.T.ravel()
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *changes, flat.size]).tolist()
    return [0, *counts] if flat[0] else counts


def pack(counts):
    """Return COCO's compressed string of run lengths."""
    text = ""
    for i, count in enumerate(counts):
        value, more = count - (counts[i - 2] if i > 2 else 0), True
        while more:
            group, value = value & 31, value >> 5
            more = value != (-1 if group & 16 else 0)
            text += chr(group + 32 * more + 48)
    return text


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 1)))
def test_run_lengths_give_the_mask_back(mask):
    counts = counts_of(mask)
    assert unpack(pack(counts)) == counts
    np.testing.assert_array_equal(painted(run_lengths(counts, mask.shape), mask.shape), mask)


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=30))
def test_compressed_numbers_may_be_of_any_size(counts):
    assert unpack(pack(counts)) == counts


@pytest.mark.parametrize(("counts", "reason"), [([3, 4], "add up to 7"), ([9, -4, 4], "negative"), ([], "add up to 0")])
def test_run_lengths_that_do_not_fit_are_refused(counts, reason):
    with pytest.raises(ValueError, match=reason):
        run_lengths(counts, (3, 3))


@pytest.mark.parametrize(
    ("text", "reason"), [("0é", "does not belong"), ("0\n", "does not belong"), ("P", "end within")]
)
def test_strings_that_are_not_run_lengths_are_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        unpack(text)
