"""An evaluation as JSON-ready facts: what `metrics.json` stores, verbs print and reports read."""

from typing import Any

import numpy as np

from segfit.evaluation.engine import Evaluation
from segfit.evaluation.metrics import Scores, majority_baseline, majority_counts, per_image_dice, scores, summary
from segfit.evaluation.records import Records
from segfit.labels import LabelSpace

__all__ = ["evaluation_facts", "scores_facts"]


def evaluation_facts(evaluation: Evaluation, labels: LabelSpace, *, split: str, checkpoint: str) -> dict[str, Any]:
    """Return an evaluation as JSON-ready facts, with the scores of predicting the majority class beside them."""
    per_image = Records.of(evaluation.records, len(labels)).class_counts()
    facts = {
        "split": split,
        "images": len(evaluation.records),
        "checkpoint": checkpoint,
        "seconds": evaluation.seconds,
        "loss": evaluation.loss,
        **scores_facts(scores(evaluation.confusion), labels),
    }
    facts["scores"]["dice_per_image"] = per_image_dice(per_image)
    facts["baseline"]["dice_per_image"] = per_image_dice(majority_counts(per_image.target))
    return facts


def scores_facts(result: Scores, labels: LabelSpace) -> dict[str, Any]:
    """Return ``scores``, ``baseline`` (the majority class everywhere) and ``per_class``, JSON-ready."""
    baseline = majority_baseline(np.array(result.class_pixels))
    return {**summary(result, labels.names), "baseline": summary(baseline, labels.names)["scores"]}
