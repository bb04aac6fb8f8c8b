"""The choosers' algorithms against optimal choices by brute force, and what they promise."""

from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segfit.curation.select.choosers import coverage, stratify
from segfit.curation.select.diversity import k_centres
from segfit.curation.select.near_duplicates import first_of_its_kind

SHOWN = st.tuples(st.integers(1, 9), st.integers(1, 5)).flatmap(lambda shape: arrays(np.bool_, shape))
POINTS = st.tuples(st.integers(1, 9), st.integers(1, 3)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.integers(-9, 9).map(float))
)


def worth(shown, chosen):
    """The coverage of a choice, from its definition."""
    total = 0.0
    for column in shown.T:
        total += sum(1 / k for k in range(1, column[list(chosen)].sum() + 1)) / max(column.sum(), 1)
    return total


@given(shown=SHOWN, data=st.data())
@settings(max_examples=60)
def test_every_greedy_step_adds_most_and_the_whole_is_near_the_best(shown, data):
    count = data.draw(st.integers(1, len(shown)))
    order = coverage(shown, count).tolist()
    assert len(set(order)) == count
    for step, image in enumerate(order):
        gains = [worth(shown, [*order[:step], i]) for i in range(len(shown)) if i not in order[:step]]
        assert worth(shown, [*order[:step], image]) >= max(gains) - 1e-9
    best = max(worth(shown, choice) for choice in combinations(range(len(shown)), count))
    assert worth(shown, order) >= (1 - 1 / np.e) * best - 1e-9
    assert coverage(shown, len(shown)).tolist()[:count] == order, "a smaller choice begins a larger one"


def test_the_only_image_of_a_class_comes_first():
    shown = np.zeros((50, 4), np.bool_)
    shown[:, :3] = True
    shown[:, 2] = np.arange(50) % 2 == 0
    shown[17] = [False, False, False, True]
    assert coverage(shown, 1).tolist() == [17]


def radius(points, centres):
    return max(min(float(np.linalg.norm(p - points[c])) for c in centres) for p in points)


@given(points=POINTS, data=st.data())
@settings(max_examples=80)
def test_centres_are_within_twice_the_best_radius(points, data):
    count = data.draw(st.integers(1, len(points)))
    order, radii = k_centres(points, count)
    assert len(set(order.tolist())) == count, "copies of a point are different images"
    assert (np.diff(radii) <= 0).all()
    for length in range(1, count + 1):
        assert radii[length - 1] == np.float32(radius(points, order[:length].tolist()))
    best = min(radius(points, choice) for choice in combinations(range(len(points)), count))
    assert radii[-1] <= 2 * best + 1e-5


def test_the_first_centre_is_typical_and_the_next_the_outlier():
    points = np.array([[0, 0], [1, 0], [0, 1], [50, 50], [1, 1]], np.float32)
    assert k_centres(points, 2)[0].tolist()[1] == 3
    assert k_centres(points, 1)[0].tolist() == [4]


@given(shown=SHOWN, data=st.data())
@settings(max_examples=80)
def test_strata_have_the_asked_size(shown, data):
    count = data.draw(st.integers(0, len(shown)))
    order = np.array(data.draw(st.permutations(range(len(shown)))))
    chosen = stratify(shown, count, order)
    assert len(set(chosen.tolist())) == len(chosen) == count
    assert chosen.tolist() == stratify(shown, count, order).tolist()


@given(seed=st.integers(0, 999), classes=st.integers(1, 6), each=st.integers(1, 20))
@settings(max_examples=40)
def test_images_of_one_class_each_are_split_evenly(seed, classes, each):
    rng = np.random.default_rng(seed)
    shown = np.repeat(np.eye(classes, dtype=np.bool_), 4 * each, axis=0)
    chosen = stratify(shown, classes * each, rng.permutation(len(shown)))
    assert len(chosen) == classes * each
    assert (np.abs(shown[chosen].sum(axis=0) - each) <= 1).all()


def test_stratified_shares_are_nearer_than_random_ones():
    rng = np.random.default_rng(3)
    shown = rng.random((400, 30)) < rng.uniform(0.01, 0.6, 30)
    wanted = shown.sum(axis=0) / 5

    def off(rows):
        return float(np.abs(shown[rows].sum(axis=0) - wanted).mean())

    orders = [rng.permutation(400) for _ in range(20)]
    assert max(off(stratify(shown, 80, order)) for order in orders) < min(off(order[:80]) for order in orders)
    assert np.mean([off(stratify(shown, 80, order)) for order in orders]) < 1.2


@given(seed=st.integers(0, 10_000), count=st.integers(1, 40), threshold=st.floats(0.05, 0.9))
@settings(max_examples=50)
def test_what_stays_is_unlike_and_what_goes_is_like_what_stays(seed, count, threshold):
    rng = np.random.default_rng(seed)
    base = rng.standard_normal((5, 16, 16)).astype(np.float32)
    pictures = base[rng.integers(0, 5, count)] + rng.uniform(0, 2) * rng.standard_normal((count, 16, 16))
    pictures[::3] = pictures[::3, :, ::-1]
    flat = pictures.reshape(count, -1)
    details = (flat / np.linalg.norm(flat, axis=1, keepdims=True)).astype(np.float32)
    details[rng.random(count) < 0.1] = 0
    mirrored = details.reshape(count, 16, 16)[:, :, ::-1].reshape(count, -1)
    alike = np.maximum(details @ details.T, mirrored @ details.T) >= threshold
    expected: list[int] = []
    for i in range(count):
        if not any(alike[i, j] for j in expected):
            expected.append(i)
    assert np.flatnonzero(first_of_its_kind(details, threshold)).tolist() == expected


def test_the_tiles_do_not_matter(monkeypatch):
    from segfit.curation.select import near_duplicates

    rng = np.random.default_rng(0)
    base = rng.standard_normal((20, 256))
    flat = base[rng.integers(0, 20, 150)] + 0.6 * rng.standard_normal((150, 256))
    details = (flat / np.linalg.norm(flat, axis=1, keepdims=True)).astype(np.float32)
    whole = first_of_its_kind(details, 0.7)
    assert 20 <= whole.sum() < 150
    monkeypatch.setattr(near_duplicates, "TILE", 16)
    assert np.array_equal(first_of_its_kind(details, 0.7), whole)
