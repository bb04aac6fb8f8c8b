"""Metrics against a pure-Python count of pixels, torchmetrics and values worked out by hand."""

import json
from dataclasses import asdict, fields
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_f1_score,
    multiclass_jaccard_index,
    multiclass_precision,
    multiclass_recall,
)

from segfit.errors import DataError
from segfit.evaluation.confusion import confusion_matrix
from segfit.evaluation.metrics import (
    METRICS,
    Averages,
    ClassCounts,
    Scores,
    class_counts,
    macro_dice,
    macro_iou,
    majority_baseline,
    majority_counts,
    per_image,
    per_image_dice,
    scores,
    scores_from_counts,
    summary,
)
from segfit.labels import IGNORE

MEANS = ("dice", "miou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou")
AVERAGES = ("macro", "micro", "weighted")


@st.composite
def pixel_lists(draw: st.DrawFn) -> tuple[list[int], list[int], int]:
    """Draw target, prediction and the number of classes; at least one pixel is valid."""
    classes = draw(st.integers(1, 6))
    pixels = draw(st.integers(1, 30))
    ids = st.integers(0, classes - 1)
    target = draw(st.lists(ids | st.just(IGNORE), min_size=pixels, max_size=pixels))
    assume(any(true != IGNORE for true in target))
    return target, draw(st.lists(ids, min_size=pixels, max_size=pixels)), classes


def confusion_of(target: list[int], prediction: list[int], classes: int) -> NDArray[np.int64]:
    return confusion_matrix(torch.tensor(target), torch.tensor(prediction), classes).numpy()


def oracle(target: list[int], prediction: list[int], classes: int) -> dict[str, Any]:
    """Count pixels as sets, class by class, in exact fractions."""
    valid = [i for i, true in enumerate(target) if true != IGNORE]
    per_class: dict[str, list[Fraction | None]] = {name: [] for name in METRICS}
    pixels = [target.count(class_id) for class_id in range(classes)]
    for class_id in range(classes):
        true = {i for i in valid if target[i] == class_id}
        predicted = {i for i in valid if prediction[i] == class_id}
        hits, union = len(true & predicted), len(true | predicted)
        values = {
            "dice": (2 * hits, len(true) + len(predicted)),
            "iou": (hits, union),
            "precision": (hits, len(predicted)),
            "recall": (hits, len(true)),
        }
        for name, (numerator, denominator) in values.items():
            there = Fraction(numerator, denominator) if denominator else Fraction(0)
            per_class[name].append(there if union else None)
    hits = sum(target[i] == prediction[i] for i in valid)
    right = Fraction(hits, len(valid))

    def mean(values: list[Fraction | None]) -> Fraction:
        there = [value for value in values if value is not None]
        return sum(there, Fraction(0)) / len(there)

    def weighted(values: list[Fraction | None]) -> Fraction:
        return sum(((value or 0) * count for value, count in zip(values, pixels, strict=True)), Fraction(0)) / len(
            valid
        )

    return {
        **{f"class_{name}": values for name, values in per_class.items()},
        "macro": {name: mean(values) for name, values in per_class.items()},
        # Every pixel has one true and one predicted class: a wrong one is one class's FP and another one's FN.
        "micro": {name: right if name != "iou" else Fraction(hits, 2 * len(valid) - hits) for name in METRICS},
        "weighted": {name: weighted(values) for name, values in per_class.items()},
        "class_pixels": pixels,
    }


@given(pixel_lists())
def test_equals_a_count_in_exact_fractions(drawn: tuple[list[int], list[int], int]) -> None:
    result, expected = scores(confusion_of(*drawn)), oracle(*drawn)
    assert {field.name for field in fields(Scores)} == expected.keys()
    for kind in AVERAGES:
        assert asdict(getattr(result, kind)) == pytest.approx(
            {name: float(value) for name, value in expected[kind].items()}, abs=1e-15, rel=1e-14
        )
    for name in METRICS:
        # A single division of exact integers is correctly rounded, so that these are equal to the last bit.
        values = expected[f"class_{name}"]
        assert list(getattr(result, f"class_{name}")) == [None if v is None else float(v) for v in values]
    assert list(result.class_pixels) == expected["class_pixels"]
    assert [getattr(result, name) for name in MEANS] == [
        result.macro.dice,
        result.macro.iou,
        result.micro.recall,
        result.macro.recall,
        result.weighted.iou,
    ]


@pytest.mark.parametrize(("classes", "used"), [(3, 3), (10, 7), (150, 40)])
def test_equals_torchmetrics(classes: int, used: int) -> None:
    """Some classes are only true, some only predicted, some neither; torchmetrics' macro means the same."""
    generator = torch.Generator().manual_seed(classes)
    target = torch.randint(max(used - 2, 1), (3, 40, 50), generator=generator)
    noise = torch.randint(1, used, target.shape, generator=generator)
    prediction = torch.where(torch.rand(target.shape, generator=generator) < 0.6, target.clamp(min=1), noise)
    target[torch.rand(target.shape, generator=generator) < 0.1] = IGNORE
    result = scores(confusion_matrix(target, prediction, classes).numpy())
    functions = {
        "dice": multiclass_f1_score,
        "iou": multiclass_jaccard_index,
        "precision": multiclass_precision,
        "recall": multiclass_recall,
        "accuracy": multiclass_accuracy,
    }
    for name, function in functions.items():
        theirs = {
            average: function(prediction, target, classes, average=average, ignore_index=IGNORE).tolist()
            for average in (*AVERAGES, "none")
        }
        metric = "recall" if name == "accuracy" else name
        for average in AVERAGES:
            assert getattr(getattr(result, average), metric) == pytest.approx(theirs[average], abs=2e-6), (
                name,
                average,
            )
        # torchmetrics gives 0 to classes that do not occur when it does not average.
        ours = [value or 0.0 for value in getattr(result, f"class_{name}")]
        assert ours == pytest.approx(theirs["none"], abs=2e-6), name
    assert any(value is None for value in result.class_iou) == (used < classes)


def test_values_worked_out_by_hand() -> None:
    # Class 0: 3 of 4 right. Class 1: only predicted. Class 2: never found. Class 3: nowhere.
    result = scores(np.array([[3, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]))
    assert result.class_iou == (3 / 5, 0.0, 0.0, None)
    assert result.class_dice == (6 / 8, 0.0, 0.0, None)
    assert result.class_accuracy == (3 / 4, 0.0, 0.0, None)
    assert result.class_precision == (3 / 4, 0.0, 0.0, None)
    assert result.class_pixels == (4, 0, 1, 0)
    assert result.dice == 0.25
    assert result.miou == pytest.approx(0.2)
    assert result.pixel_accuracy == 3 / 5
    assert result.mean_accuracy == 0.25
    assert result.frequency_weighted_iou == pytest.approx(0.6 * 4 / 5)
    assert result.macro == Averages(dice=0.25, iou=pytest.approx(0.2), precision=0.25, recall=0.25)
    assert result.micro == Averages(dice=3 / 5, iou=3 / 7, precision=3 / 5, recall=3 / 5)
    expected = Averages(dice=0.75 * 4 / 5, iou=0.6 * 4 / 5, precision=0.75 * 4 / 5, recall=0.75 * 4 / 5)
    assert asdict(result.weighted) == pytest.approx(asdict(expected))


def test_a_column_of_no_class_is_wrong_and_nobodys_false_positive() -> None:
    result = scores(np.array([[3, 0, 1], [0, 2, 2]]))
    assert result.class_iou == (3 / 4, 2 / 4)
    assert result.class_precision == (1.0, 1.0)
    assert result.class_accuracy == (3 / 4, 2 / 4)
    assert result.pixel_accuracy == 5 / 8
    assert result.micro == Averages(dice=2 * 5 / (8 + 5), iou=5 / 8, precision=1.0, recall=5 / 8)


def test_counts_beyond_float32_stay_exact() -> None:
    """A float32 count stops at 2^24 pixels: 64 images of 512 x 512."""
    big = 2**40
    result = scores(np.array([[big, 1], [0, big]]))
    assert result.class_accuracy == (big / (big + 1), 1.0)
    assert result.pixel_accuracy < 1.0


@given(pixel_lists(), st.randoms(use_true_random=False))
@settings(max_examples=50)
def test_renumbering_the_classes_changes_no_mean(drawn: tuple[list[int], list[int], int], random: Random) -> None:
    confusion = confusion_of(*drawn)
    order = list(range(len(confusion)))
    random.shuffle(order)
    before, after = scores(confusion), scores(confusion[np.ix_(order, order)])
    for name in MEANS:
        assert getattr(after, name) == pytest.approx(getattr(before, name), rel=1e-14)
    assert after.class_dice == tuple(before.class_dice[i] for i in order)


@given(pixel_lists(), st.integers(1, 3))
@settings(max_examples=50)
def test_classes_that_do_not_occur_change_no_mean(drawn: tuple[list[int], list[int], int], more: int) -> None:
    target, prediction, classes = drawn
    few, many = scores(confusion_of(*drawn)), scores(confusion_of(target, prediction, classes + more))
    assert [getattr(few, name) for name in MEANS] == pytest.approx([getattr(many, name) for name in MEANS], rel=1e-14)
    assert many.class_dice[classes:] == (None,) * more


@given(pixel_lists())
@settings(max_examples=50)
def test_a_perfect_prediction_scores_one(drawn: tuple[list[int], list[int], int]) -> None:
    target, _, classes = drawn
    result = scores(confusion_of(target, [0 if true == IGNORE else true for true in target], classes))
    assert [getattr(result, name) for name in MEANS] == pytest.approx([1.0] * len(MEANS))


# --- order and shards ------------------------------------------------------------------------------------------------

Images = list[tuple[list[int], list[int], int]]


@given(st.lists(pixel_lists(), min_size=1, max_size=5), st.randoms(use_true_random=False))
@settings(max_examples=50)
def test_order_and_shards_of_the_images_change_nothing(images: Images, random: Random) -> None:
    """Not even the last bit of the dataset's scores: integers are added up before anything is divided."""
    classes = max(image[2] for image in images)
    confusions = np.stack([confusion_of(target, prediction, classes) for target, prediction, _ in images])
    expected = scores(confusions.sum(axis=0))
    order = list(range(len(confusions)))
    random.shuffle(order)
    cut = random.randint(0, len(order))
    shards = [class_counts(confusions[part]).total() for part in (order[:cut], order[cut:])]
    joined = ClassCounts(
        **{name: sum(getattr(part, name) for part in shards) for name in ("hits", "target", "prediction")}
    )
    assert scores_from_counts(joined) == expected
    assert asdict(per_image(class_counts(confusions[order]))) == pytest.approx(
        asdict(per_image(class_counts(confusions))), rel=1e-14
    )


# --- per image -------------------------------------------------------------------------------------------------------


@given(st.lists(pixel_lists(), min_size=1, max_size=4))
@settings(max_examples=50)
def test_per_image_is_the_mean_of_each_images_macro_averages(images: Images) -> None:
    classes = max(image[2] for image in images)
    confusions = np.stack([confusion_of(target, prediction, classes) for target, prediction, _ in images])
    each = [oracle(*image)["macro"] for image in images]
    expected = {name: float(sum(one[name] for one in each) / len(each)) for name in METRICS}
    assert asdict(per_image(class_counts(confusions))) == pytest.approx(expected, rel=1e-14)
    assert per_image_dice(class_counts(confusions)) == per_image(class_counts(confusions)).dice


def test_per_image_and_over_all_images_are_two_readings() -> None:
    confusions = np.array([[[9, 0], [0, 1]], [[0, 10], [0, 0]]])
    assert per_image_dice(class_counts(confusions)) == pytest.approx((1 + 0) / 2)
    assert scores(confusions.sum(axis=0)).dice == pytest.approx((18 / 28 + 2 / 12) / 2)


def test_an_image_without_valid_pixels_does_not_enter() -> None:
    confusions = np.array([[[4, 0], [0, 0]], [[0, 0], [0, 0]]])
    counts = class_counts(confusions)
    assert per_image_dice(counts) == 1.0
    assert np.isnan(macro_dice(counts)).tolist() == [False, True]


@given(st.lists(pixel_lists(), min_size=1, max_size=3))
@settings(max_examples=30)
def test_views_of_many_matrices_are_those_of_each(images: list[tuple[list[int], list[int], int]]) -> None:
    classes = max(image[2] for image in images)
    confusions = np.stack([confusion_of(target, prediction, classes) for target, prediction, _ in images])
    counts = class_counts(confusions)
    assert macro_dice(counts).tolist() == [scores(one).dice for one in confusions]
    assert macro_iou(counts).tolist() == [scores(one).miou for one in confusions]
    assert macro_dice(counts.total()) == scores(confusions.sum(axis=0)).dice


# --- baseline and summary --------------------------------------------------------------------------------------------


@given(pixel_lists())
def test_majority_baseline_is_the_score_of_that_prediction(drawn: tuple[list[int], list[int], int]) -> None:
    target, _, classes = drawn
    counts = np.array([target.count(class_id) for class_id in range(classes)])
    majority = int(counts.argmax())
    assert majority_baseline(counts) == scores(confusion_of(target, [majority] * len(target), classes))


def test_majority_is_chosen_over_all_images() -> None:
    counts = majority_counts(np.array([[1, 3], [9, 0]]))
    assert isinstance(counts, ClassCounts)
    assert counts.prediction.tolist() == [[4, 0], [9, 0]]
    assert per_image_dice(counts) == pytest.approx((2 / 5 / 2 + 1) / 2)
    assert majority_baseline(np.array([[1, 3], [9, 0]])).pixel_accuracy == 10 / 13


def test_summary_is_strict_json_with_null_for_absent_classes() -> None:
    result = summary(scores(np.array([[2, 1, 0], [0, 0, 0], [0, 0, 0]])), ("wall", "sky", "tree"))
    again = json.loads(json.dumps(result, allow_nan=False))
    assert again == result
    assert list(again["scores"]) == list(MEANS)
    assert list(again["averages"]) == list(AVERAGES)
    assert again["averages"]["micro"] == pytest.approx(
        {"dice": 2 / 3, "iou": 1 / 2, "precision": 2 / 3, "recall": 2 / 3}
    )
    assert [entry["name"] for entry in again["per_class"]] == ["wall", "sky", "tree"]
    assert again["per_class"][0] == {
        "name": "wall",
        "pixels": 3,
        "dice": 0.8,
        "iou": pytest.approx(2 / 3),
        "precision": 1.0,
        "recall": pytest.approx(2 / 3),
        "accuracy": pytest.approx(2 / 3),
    }
    assert again["per_class"][2]["iou"] is None


@pytest.mark.parametrize(
    "score",
    [
        lambda: scores(np.zeros((3, 3), dtype=np.int64)),
        lambda: majority_baseline(np.zeros(3, dtype=np.int64)),
        lambda: per_image(class_counts(np.zeros((2, 3, 3), dtype=np.int64))),
    ],
    ids=["scores", "baseline", "per image"],
)
def test_nothing_to_score_is_said_rather_than_nan(score: object) -> None:
    with pytest.raises(DataError, match="every pixel of the ground truth is ignored"):
        score()
