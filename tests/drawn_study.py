"""Studies whose records and scores are counted from the predictions that they kept, as those of real runs are."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from run_folders import Fake, write_study
from segfit.comparison.analysis import Analysis
from segfit.comparison.comparing import compare
from segfit.comparison.facts import read_run
from segfit.data import SOURCES
from segfit.evaluation.engine import Evaluation
from segfit.evaluation.facts import evaluation_facts
from segfit.evaluation.records import ImageRecord, Records, SparseConfusion, write_records
from segfit.labels import IGNORE


def analysis_of(paths: Sequence[Path]) -> Analysis:
    """Return the analysis of runs that were scored alike."""
    (group,) = compare(paths).groups
    return Analysis(group)


def drawn_study(folder: Path, fakes: Sequence[Fake], count: int = 9, size: tuple[int, int] = (90, 120)) -> list[Path]:
    """Write runs on drawn images whose records say what their kept predictions show."""
    drawn = [replace(fake, images=count) for fake in fakes]
    return [rescore(path) for path in write_study(folder, drawn, count=count, size=size)]


def rescore(path: Path) -> Path:
    """Replace a run's records and scores by those of the predictions in its ``examples``."""
    run = read_run(path)
    data, labels = run.recipe.data, run.labels
    source = SOURCES.build(data.name, data.root, **data.options)
    images = []
    for record in source.records("validation"):
        truth = labels.encode(source.read_mask(record))
        prediction = cv2.imread(str(path / "examples" / f"{record.id}.png"), cv2.IMREAD_UNCHANGED)
        confusion = np.zeros((len(labels), len(labels)), np.int64)
        scored = truth != IGNORE
        np.add.at(confusion, (truth[scored], prediction[scored]), 1)
        height, width = truth.shape
        sparse = SparseConfusion.of(confusion)
        images.append(ImageRecord(id=record.id, height=height, width=width, seconds=0.02, confusion=sparse))
    write_records(path / "per_image.parquet", images, len(labels))
    total = Records.of(images, len(labels)).total()
    evaluation = Evaluation(confusion=total, loss=0.7, records=images, seconds=2.0)
    metrics = json.loads((path / "metrics.json").read_text())
    metrics["evaluation"] |= evaluation_facts(evaluation, labels, split="validation", checkpoint="best")
    (path / "metrics.json").write_text(json.dumps(metrics))
    return path
