"""An epoch's images: each as often as its weight says, and none left to chance that need not be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segfit.data.ade20k import Ade20k
from segfit.data.census import Census, take_census
from segfit.data.sampling import draw_epoch, rare_weights
from segfit.labels import LabelTable, distinct_colors, select

positive = st.lists(st.floats(0.01, 100), min_size=1, max_size=40).map(np.array)


def census(pixels: list[list[int]]) -> Census:
    """Return a census of images with so many pixels of the classes 1, 2, …; 0 is not annotated."""
    count = len(pixels[0])
    names = tuple("abcdefgh"[:count])
    table = LabelTable(
        ids=tuple(range(1, count + 1)), names=names, colors=distinct_colors(count), ignored=(0,), ratios=(0.1,) * count
    )
    sizes = np.full((len(pixels), 2), 100)
    return Census(table=table, ids=tuple(map(str, range(len(pixels)))), sizes=sizes, pixels=np.array(pixels))


# --- weights ---------------------------------------------------------------------------------------------------------


def test_an_image_has_the_repeat_factor_of_its_rarest_class():
    # Shares of the images: a 4/4, b 2/4, c 1/4; the median is 1/2, so only c is repeated.
    counted = census([[5, 1, 0], [5, 0, 9], [5, 9, 0], [1, 0, 0]])
    weights = rare_weights(counted, select(counted.table))
    np.testing.assert_allclose(weights, [1, np.sqrt(2), 1, 1])


def test_only_classes_that_are_learnt_and_occur_count():
    counted = census([[5, 1, 0, 0], [5, 0, 9, 0], [5, 9, 0, 0], [1, 0, 0, 0]])
    np.testing.assert_array_equal(rare_weights(counted, select(counted.table, classes=["d"])), np.ones(4))
    # The median of a and c is 5/8.
    expected = [1, np.sqrt(2.5), 1, 1]
    np.testing.assert_allclose(rare_weights(counted, select(counted.table, classes=["a", "c", "d"])), expected)


def test_source_classes_of_one_train_class_count_together():
    counted = census([[5, 1, 0], [5, 0, 9], [0, 9, 0], [0, 1, 0]])
    # a is in 2 of 4 images, and the rest, b or c, in all of them: their median is 3/4.
    labels = select(counted.table, classes=["a"], rest="other")
    np.testing.assert_allclose(rare_weights(counted, labels), [np.sqrt(1.5), np.sqrt(1.5), 1, 1])


# --- drawing ---------------------------------------------------------------------------------------------------------


@given(count=st.integers(1, 200), weight=st.floats(1e-6, 1e6), seed=st.integers(0, 99))
def test_with_equal_weights_an_epoch_is_the_plain_permutation(count, weight, seed):
    images, before = draw_epoch(np.full(count, weight), np.random.default_rng(seed))
    np.testing.assert_array_equal(images, np.random.default_rng(seed).permutation(count))
    assert not before.any()


@given(weights=positive, seed=st.integers(0, 99))
def test_every_image_is_drawn_as_often_as_expected_rounded_down_or_up(weights, seed):
    images, before = draw_epoch(weights, np.random.default_rng(seed))
    assert len(images) == len(weights)
    times = np.bincount(images, minlength=len(weights))
    expected = weights / weights.sum() * len(weights)
    assert (times >= np.floor(expected - 1e-9)).all()
    assert (times <= np.ceil(expected + 1e-9)).all()
    # The copies of an image are numbered from 0.
    for image in np.unique(images):
        assert sorted(before[images == image]) == list(range(times[image]))


@settings(max_examples=10)
@given(weights=st.lists(st.floats(0.1, 10), min_size=2, max_size=12).map(np.array))
def test_the_mean_over_epochs_is_what_the_weights_say(weights):
    epochs = 1000
    rng = np.random.default_rng(0)
    times = sum(np.bincount(draw_epoch(weights, rng)[0], minlength=len(weights)) for _ in range(epochs)) / epochs
    # A count differs from its mean by less than 1, so 5 standard errors are below 5 / 2 / sqrt(epochs).
    np.testing.assert_allclose(times, weights / weights.sum() * len(weights), atol=2.5 / np.sqrt(epochs))


def test_the_order_is_random():
    weights = np.array([1.0] * 50 + [3.0] * 50)
    orders = [draw_epoch(weights, np.random.default_rng(seed))[0] for seed in range(20)]
    assert len({tuple(order) for order in orders}) == 20
    # Neither the copies of an image nor the heavy images stand together.
    halves = np.array([(order[:50] >= 50).sum() for order in orders])
    assert 30 < halves.mean() < 45
    assert np.mean([np.mean(order[1:] == order[:-1]) for order in orders]) < 0.05


def test_rare_classes_of_scenes_are_seen_more_often(scenes):
    source = Ade20k(scenes)
    counted = take_census(source, source.records("training"))
    weights = rare_weights(counted, select(source.labels))
    shown = counted.pixels > 0
    frequency = shown.mean(0)
    rng = np.random.default_rng(0)
    seen = np.mean([shown[draw_epoch(weights, rng)[0]].mean(0) for _ in range(300)], axis=0)
    rarest = frequency == frequency[frequency > 0].min()
    assert (seen[rarest] > 1.05 * frequency[rarest]).all()
    assert seen[frequency == 1] == pytest.approx(1)
