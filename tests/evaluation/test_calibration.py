"""Calibration: bins and errors as they are defined, exact sums."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_calibration_error

from segfit.evaluation.calibration import BINS, EVERY, Calibration, calibration_counts
from segfit.labels import IGNORE

UNIT = 2**-20
"""Confidences are rounded to multiples of this."""


def pixels(count: int, seed: int, *, classes: int = 5, sharpness: float = 2.0):
    """Return target, prediction, confidence and the probabilities that they come from."""
    rng = np.random.default_rng(seed)
    scores = torch.from_numpy(rng.normal(0, sharpness, (count, classes)).astype(np.float32))
    probabilities = scores.softmax(dim=1)
    confidence, prediction = probabilities.max(dim=1)
    target = np.where(rng.random(count) < 0.6, prediction.numpy(), rng.integers(0, classes, count))
    return target.astype(np.uint8), prediction.numpy().astype(np.uint8), confidence.numpy(), probabilities


def by_definition(target, prediction, confidence) -> tuple[float, list[tuple[int, int, float]]]:
    """Return the ECE and (pixels, right, sum of confidences) of each bin, pixel by pixel."""
    bins = [[0, 0, 0.0] for _ in range(BINS)]
    for t, p, value in zip(target.tolist(), prediction.tolist(), confidence.tolist(), strict=True):
        if t != IGNORE:
            own = next(b for b in range(BINS) if value <= (b + 1) / BINS)
            bins[own][0] += 1
            bins[own][1] += t == p
            bins[own][2] += value
    total = sum(n for n, _, _ in bins)
    ece = sum(n / total * abs(right / n - sure / n) for n, right, sure in bins if n) if total else 0.0
    return ece, [(n, right, sure) for n, right, sure in bins]


@given(count=st.integers(1, 300), seed=st.integers(0, 2**32), ignored=st.sampled_from([0.0, 0.2, 0.9]))
@settings(max_examples=60)
def test_bins_and_error_are_those_of_the_definition(count: int, seed: int, ignored: float) -> None:
    target, prediction, confidence, _ = pixels(count, seed)
    target[np.random.default_rng(seed).random(count) < ignored] = IGNORE
    ece, bins = by_definition(target, prediction, confidence)
    result = calibration_counts(target, prediction, confidence)
    assert result.pixels.tolist() == [n for n, _, _ in bins]
    assert result.right.tolist() == [right for _, right, _ in bins]
    assert result.confidence * UNIT == pytest.approx([sure for _, _, sure in bins], abs=count * UNIT)
    assert result.ece is None if sum(result.pixels) == 0 else result.ece == pytest.approx(ece, abs=2 * UNIT)


@pytest.mark.parametrize("sharpness", [0.5, 2.0, 4.0])
def test_error_is_that_of_torchmetrics(sharpness: float) -> None:
    target, prediction, confidence, probabilities = pixels(5000, 3, sharpness=sharpness)
    # It gives a confidence of exactly 1 a bin of its own; the paper does not, so none of them may be here.
    assert confidence.max() < 1
    labels = torch.from_numpy(target).long()
    expected = multiclass_calibration_error(probabilities, labels, num_classes=5, n_bins=BINS, norm="l1")
    assert calibration_counts(target, prediction, confidence).ece == pytest.approx(float(expected), abs=1e-5)


def test_limits_of_bins_belong_to_the_lower_one() -> None:
    confidence = np.array([0, 1 / 4096, 0.5, 0.999, 1], np.float32)
    zeros = np.zeros(5, np.uint8)
    found = calibration_counts(zeros, zeros, confidence).pixels
    assert {b: int(n) for b, n in enumerate(found) if n} == {0: 2, 7: 1, 14: 2}
    # All 2^20 + 1 multiples of the unit: each bin begins above b / 15.
    every = (np.arange(2**20 + 1) * UNIT).astype(np.float32)
    expected = np.bincount(np.maximum(np.ceil(np.arange(2**20 + 1) * 15 / 2**20).astype(int) - 1, 0))
    nothing = np.zeros(len(every), np.uint8)
    assert calibration_counts(nothing, nothing, every).pixels.tolist() == expected.tolist()


def test_a_calibrated_and_an_overconfident_model() -> None:
    target = np.repeat(np.array([0, 1], np.uint8), [80, 20])
    prediction = np.zeros(100, np.uint8)
    honest = calibration_counts(target, prediction, np.full(100, 0.8, np.float32))
    assert honest.ece == pytest.approx(0, abs=UNIT)
    boastful = calibration_counts(target, prediction, np.ones(100, np.float32))
    assert boastful.ece == pytest.approx(0.2)
    assert boastful.mean_confidence == 1
    assert honest.mean_confidence == pytest.approx(0.8, abs=UNIT)


def test_facts_are_ready_for_json() -> None:
    import json

    target = np.array([[0, 1], [IGNORE, 1]], np.uint8)
    prediction = np.array([[0, 0], [0, 1]], np.uint8)
    confidence = np.array([[0.5, 0.5], [0.1, 1.0]], np.float32)
    facts = calibration_counts(target, prediction, confidence).facts()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["every"] == EVERY
    assert len(facts["bins"]) == BINS
    assert facts["bins"][7] == {"confidence": 0.5, "accuracy": 0.5, "pixels": 2}
    assert facts["bins"][14] == {"confidence": 1.0, "accuracy": 1.0, "pixels": 1}
    assert facts["bins"][0] == {"confidence": None, "accuracy": None, "pixels": 0}
    assert facts["ece"] == 0


def test_no_pixel_has_no_error() -> None:
    nothing = calibration_counts(np.full((2, 3), IGNORE, np.uint8), np.zeros((2, 3), np.uint8), np.ones((2, 3), "f4"))
    assert nothing.ece is None
    assert nothing.mean_confidence is None
    assert nothing.facts() == Calibration.none().facts()


def test_sums_do_not_depend_on_order_or_shards() -> None:
    target, prediction, confidence, _ = pixels(1001, 8)
    shards = [slice(0, 1), slice(1, 400), slice(400, 1001)]
    parts = [calibration_counts(target[own], prediction[own], confidence[own]) for own in shards]
    whole = calibration_counts(target, prediction, confidence)
    for order in (parts, parts[::-1]):
        total = sum(order, Calibration.none())
        assert total.facts() == whole.facts()
        assert np.array_equal(total.confidence, whole.confidence)


def test_scores_that_are_not_finite_are_no_confidence() -> None:
    result = calibration_counts(np.zeros(2, np.uint8), np.zeros(2, np.uint8), np.array([np.nan, 1], np.float32))
    assert result.pixels[[0, 14]].tolist() == [1, 1]
    assert result.mean_confidence == 0.5


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_what_is_no_share_is_refused(value: float) -> None:
    with pytest.raises(AssertionError, match="confidences are shares"):
        calibration_counts(np.zeros(1, np.uint8), np.zeros(1, np.uint8), np.array([value], np.float32))
