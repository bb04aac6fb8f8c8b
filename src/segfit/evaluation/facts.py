"""An evaluation as JSON-ready facts: what `metrics.json` stores, verbs print and reports read."""

import math
from dataclasses import asdict
from typing import Any

import numpy as np

from segfit.evaluation.boundary import BoundaryCounts
from segfit.evaluation.engine import Evaluation
from segfit.evaluation.metrics import Averages, Scores, majority_baseline, majority_counts, per_image, scores, summary
from segfit.evaluation.records import Records
from segfit.labels import LabelSpace

__all__ = ["evaluation_facts", "scores_facts"]


def evaluation_facts(evaluation: Evaluation, labels: LabelSpace, *, split: str, checkpoint: str) -> dict[str, Any]:
    """Return an evaluation as JSON-ready facts, with the scores of predicting the majority class beside them.

    Scores are over all images together; those that end in ``per_image`` are means over images. Boundaries and
    calibration have facts where they were measured.
    """
    counts = Records.of(evaluation.records, len(labels)).class_counts()
    facts = {
        "split": split,
        "images": len(evaluation.records),
        "checkpoint": checkpoint,
        "seconds": evaluation.seconds,
        "loss": evaluation.loss,
        **scores_facts(scores(evaluation.confusion), labels),
    }
    _add_per_image(facts["scores"], facts["averages"], per_image(counts))
    _add_per_image(facts["baseline"], facts["baseline_averages"], per_image(majority_counts(counts.target)))
    if evaluation.boundary is not None:
        _add_boundary(facts, evaluation.boundary)
    if evaluation.calibration is not None:
        facts["scores"]["ece"] = evaluation.calibration.ece
        facts["calibration"] = evaluation.calibration.facts()
    return facts


def scores_facts(result: Scores, labels: LabelSpace) -> dict[str, Any]:
    """Return ``scores``, ``averages`` and ``per_class``, JSON-ready.

    ``baseline`` and ``baseline_averages`` are the scores and averages of predicting the majority class everywhere.
    """
    baseline = summary(majority_baseline(np.array(result.class_pixels)), labels.names)
    return {
        **summary(result, labels.names),
        "baseline": baseline["scores"],
        "baseline_averages": baseline["averages"],
    }


def _add_per_image(means: dict[str, Any], averages: dict[str, Any], found: Averages) -> None:
    averages["per_image"] = asdict(found)
    means |= {"dice_per_image": found.dice, "miou_per_image": found.iou}


def _add_boundary(facts: dict[str, Any], boundary: BoundaryCounts) -> None:
    facts["boundary"] = {"distance": boundary.distance}
    facts["scores"] |= {"boundary_iou": _or_none(boundary.macro_iou), "boundary_f": _or_none(boundary.macro_f)}
    for row, iou, f in zip(facts["per_class"], boundary.iou, boundary.f, strict=True):
        row |= {"boundary_iou": _or_none(iou), "boundary_f": _or_none(f)}


def _or_none(value: Any) -> float | None:
    """Return a metric; None for one that is undefined (NaN)."""
    return None if math.isnan(value) else float(value)
