"""What an evaluation is stored as: the same numbers as its parts, strict JSON, and only what was measured."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from segfit.evaluation.boundary import BoundaryCounts, boundary_counts
from segfit.evaluation.calibration import Calibration, calibration_counts
from segfit.evaluation.confusion import confusion_matrix
from segfit.evaluation.engine import Evaluation
from segfit.evaluation.facts import evaluation_facts, scores_facts
from segfit.evaluation.metrics import class_counts, majority_baseline, majority_counts, per_image, scores
from segfit.evaluation.records import ImageRecord, SparseConfusion
from segfit.labels import IGNORE, LabelSpace, LabelTable, distinct_colors, select

CLASSES = 5
Map = NDArray[np.uint8]


def labels() -> LabelSpace:
    return select(
        LabelTable(
            ids=tuple(range(CLASSES)),
            names=tuple("abcde"),
            colors=distinct_colors(CLASSES),
            ratios=(1 / CLASSES,) * CLASSES,
            ignored=(),
        )
    )


def images(seed: int, count: int, classes: int = CLASSES - 1) -> list[tuple[Map, Map]]:
    """Draw blocky maps and predictions that are moved a bit; some classes may be missing."""
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(count):
        target = np.kron(rng.integers(0, classes, (3, 4)), np.ones((8, 8))).astype(np.uint8)
        prediction = np.roll(target, rng.integers(-3, 4, 2), axis=(0, 1))
        target[rng.random(target.shape) < 0.1] = IGNORE
        pairs.append((target, prediction))
    return pairs


def evaluation_of(pairs: list[tuple[Map, Map]], *, closer: bool = True) -> Evaluation:
    confusions = [confusion_matrix(torch.from_numpy(t), torch.from_numpy(p), CLASSES).numpy() for t, p in pairs]
    boundary, calibration = BoundaryCounts.none(CLASSES, 0.02), Calibration.none()
    for target, prediction in pairs:
        boundary += boundary_counts(target, prediction, CLASSES, 0.02)
        sure = np.where(prediction % 2, 0.6, 0.9).astype(np.float32)
        calibration += calibration_counts(target, prediction, sure)
    return Evaluation(
        confusion=np.sum(confusions, axis=0),
        loss=0.5,
        records=[
            ImageRecord(id=str(i), height=24, width=32, seconds=0.1, confusion=SparseConfusion.of(confusion))
            for i, confusion in enumerate(confusions)
        ],
        seconds=1.5,
        boundary=boundary if closer else None,
        calibration=calibration if closer else None,
    )


def facts_of(evaluation: Evaluation) -> dict[str, Any]:
    return evaluation_facts(evaluation, labels(), split="validation", checkpoint="best")


def test_every_fact_is_that_of_its_part() -> None:
    pairs = images(0, 4)
    evaluation = evaluation_of(pairs)
    facts = facts_of(evaluation)
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert (facts["split"], facts["images"], facts["checkpoint"]) == ("validation", 4, "best")
    counts = class_counts(np.stack([confusion_of(pair) for pair in pairs]))
    result, alone = scores(evaluation.confusion), per_image(counts)
    boundary, calibration = evaluation.boundary, evaluation.calibration
    assert boundary is not None
    assert calibration is not None
    assert facts["scores"] == {
        "dice": result.dice,
        "miou": result.miou,
        "pixel_accuracy": result.pixel_accuracy,
        "mean_accuracy": result.mean_accuracy,
        "frequency_weighted_iou": result.frequency_weighted_iou,
        "dice_per_image": alone.dice,
        "miou_per_image": alone.iou,
        "boundary_iou": boundary.macro_iou,
        "boundary_f": boundary.macro_f,
        "ece": calibration.ece,
    }
    assert list(facts["averages"]) == ["macro", "micro", "weighted", "per_image"]
    assert facts["averages"]["per_image"] == vars(alone)
    assert facts["boundary"] == {"distance": 0.02}
    assert facts["calibration"] == calibration.facts()
    row = facts["per_class"][1]
    assert row["recall"] == row["accuracy"] == result.class_recall[1]
    assert (row["boundary_iou"], row["boundary_f"]) == (boundary.iou[1], boundary.f[1])


def confusion_of(pair: tuple[Map, Map]) -> NDArray[np.int64]:
    """Count pixel by pixel."""
    result = np.zeros((CLASSES, CLASSES), dtype=np.int64)
    for true, predicted in zip(*(part.ravel().tolist() for part in pair), strict=True):
        if true != IGNORE:
            result[true, predicted] += 1
    return result


def test_the_majority_class_stands_beside_every_score_but_boundaries_and_confidence() -> None:
    facts = facts_of(evaluation_of(images(1, 3)))
    assert facts["baseline"].keys() == facts["scores"].keys() - {"boundary_iou", "boundary_f", "ece"}
    assert facts["baseline_averages"].keys() == facts["averages"].keys()
    counts = class_counts(np.stack([confusion_of(pair) for pair in images(1, 3)]))
    majority = majority_counts(counts.target)
    assert facts["baseline"]["miou_per_image"] == per_image(majority).iou
    assert facts["baseline"]["dice"] == majority_baseline(counts.target.sum(axis=0)).dice
    assert facts["baseline_averages"]["micro"]["recall"] == facts["baseline"]["pixel_accuracy"]


def test_a_class_that_is_nowhere_has_no_score_rather_than_nan() -> None:
    facts = facts_of(evaluation_of(images(2, 2, classes=3)))
    absent = facts["per_class"][4]
    assert absent["pixels"] == 0
    assert all(value is None for key, value in absent.items() if key not in {"name", "pixels"})
    assert not any(isinstance(value, float) and math.isnan(value) for value in facts["scores"].values())


def test_one_class_everywhere_has_a_score_but_no_contour() -> None:
    whole = np.zeros((16, 16), dtype=np.uint8)
    facts = facts_of(evaluation_of([(whole, whole)]))
    assert facts["scores"]["dice"] == facts["scores"]["boundary_iou"] == 1.0
    assert facts["scores"]["boundary_f"] is None
    assert facts["per_class"][0]["boundary_f"] is None


def test_what_was_not_measured_is_absent() -> None:
    facts = facts_of(evaluation_of(images(3, 2), closer=False))
    assert not {"boundary", "calibration"} & facts.keys()
    assert not {"boundary_iou", "boundary_f", "ece"} & facts["scores"].keys()
    assert not {"boundary_iou", "boundary_f"} & facts["per_class"][0].keys()


def test_scores_alone_are_the_same_facts() -> None:
    evaluation = evaluation_of(images(4, 1), closer=False)
    alone, whole = scores_facts(scores(evaluation.confusion), labels()), facts_of(evaluation)
    assert alone["per_class"] == whole["per_class"]
    for key in ("averages", "baseline_averages"):
        assert alone[key] == {kind: whole[key][kind] for kind in ("macro", "micro", "weighted")}
    for key in ("scores", "baseline"):
        assert alone[key].items() <= whole[key].items()


@given(st.integers(0, 1000), st.integers(2, 5), st.randoms(use_true_random=False))
@settings(max_examples=20)
def test_order_and_shards_change_no_fact(seed: int, count: int, random: Any) -> None:
    pairs = images(seed, count)
    expected = facts_of(evaluation_of(pairs))
    random.shuffle(pairs)
    cut = random.randint(1, count - 1)
    first, second = (evaluation_of(part) for part in (pairs[:cut], pairs[cut:]))
    assert first.boundary is not None
    assert second.boundary is not None
    assert first.calibration is not None
    assert second.calibration is not None
    joined = replace(
        first,
        confusion=first.confusion + second.confusion,
        records=[replace(record, id=str(i)) for i, record in enumerate([*first.records, *second.records])],
        boundary=first.boundary + second.boundary,
        calibration=first.calibration + second.calibration,
    )
    facts = facts_of(joined)
    # Means over images are sums of floats, which depend on the order in the last bits; nothing else does.
    for key in ("scores", "baseline"):
        assert facts[key] == pytest.approx(expected[key], rel=1e-13)
    for key in ("averages", "baseline_averages"):
        assert facts[key].pop("per_image") == pytest.approx(expected[key].pop("per_image"), rel=1e-13)
    rest = facts.keys() - {"scores", "baseline"}
    assert {key: facts[key] for key in rest} == {key: expected[key] for key in rest}
