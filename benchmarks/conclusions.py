"""What follows from scores: resamples, reports of many runs, and what scoring adds to an evaluation."""

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from cases import Case, Goal, Seconds, faster, within
from scoring import CLASSES, DISTANCE, Map, moved
from segfit.comparison.comparing import compare
from segfit.comparison.statistics.ratios import RATIOS
from segfit.comparison.statistics.resampling import resample
from segfit.evaluation.boundary import boundary_counts
from segfit.evaluation.calibration import EVERY, calibration_counts
from segfit.evaluation.confusion import confusion_matrix
from segfit.evaluation.engine import Evaluation
from segfit.evaluation.facts import evaluation_facts
from segfit.evaluation.metrics import ClassCounts
from segfit.evaluation.records import ImageRecord, Records, SparseConfusion, write_records
from segfit.evaluation.segment import Segmentation
from segfit.evaluation.windows import whole
from segfit.models import MODELS, Output, Segmenter
from segfit.report.write import write_report

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from run_folders import Fake, space, write_run

__all__ = ["bootstrap", "report", "share"]

IMAGES, RESAMPLES, FEW = 2_000, 10_000, 100

SEEDS = 4
"""Trainings of each recipe in the second report."""

SHARE = 0.01
"""Of an evaluation's time, what scoring may take."""


def invented(images: int, quality: float, seed: int) -> list[ImageRecord]:
    """Return records of some twelve classes an image, a share of `quality` right and the rest among four others."""
    records = []
    for number in range(images):
        there, own = np.random.default_rng(number), np.random.default_rng([seed, number])
        present = np.unique((CLASSES * there.random(14) ** 2).astype(np.uint8))
        pixels = there.multinomial(512 * 683, there.dirichlet(np.ones(len(present))))
        right = np.clip(own.normal(quality, 0.15, len(present)), 0.01, 0.99)
        shares = np.stack([right, *np.outer([0.5, 0.3, 0.2], 1 - right)], axis=1)
        others = min(4, len(present))
        counts = own.multinomial(pixels, shares[:, :others] / shares[:, :others].sum(axis=1, keepdims=True))
        order = (np.arange(len(present))[:, None] + np.arange(others)) % len(present)
        records.append(
            ImageRecord(
                id=f"image-{number:05}",
                height=512,
                width=683,
                seconds=0.02,
                confusion=SparseConfusion(
                    target=np.repeat(present, others),
                    prediction=present[order].ravel(),
                    count=counts.ravel().astype(np.int64),
                ),
            )
        )
    return records


# --- bootstrap -------------------------------------------------------------------------------------------------------


def plain_bootstrap(counts: ClassCounts, resamples: int) -> NDArray[np.float64]:
    """Resample one set of images after the other."""
    rng = np.random.default_rng(0)
    scores = np.empty(resamples)
    for number in range(resamples):
        chosen = rng.integers(0, len(counts.hits), len(counts.hits))
        hits, target, prediction = (
            part[chosen].sum(axis=0) for part in (counts.hits, counts.target, counts.prediction)
        )
        union = target + prediction - hits
        scores[number] = (hits[union > 0] / union[union > 0]).mean()
    return scores


def bootstrap() -> Iterator[Case]:
    """Yield resamples of one run and of a pair."""
    first, second = (Records.of(invented(IMAGES, 0.6, seed), CLASSES).class_counts() for seed in (1, 2))
    ratios = [RATIOS["miou"](counts) for counts in (first, second)]
    ours, pair, theirs = "segfit, one run", "segfit, two runs", "plain loop, one run"
    spread = resample(ratios[:1], RESAMPLES)[0].std(), plain_bootstrap(first, 10 * FEW).std()
    assert abs(spread[0] / spread[1] - 1) < 0.15, "both find the same spread"
    yield Case(
        name=f"bootstrap: {RESAMPLES:,} resamples of {IMAGES:,} images x {CLASSES} classes ({theirs}: {FEW} x "
        f"{RESAMPLES // FEW})",
        contenders={
            ours: lambda: resample(ratios[:1], RESAMPLES),
            pair: lambda: resample(ratios, RESAMPLES),
            theirs: lambda: plain_bootstrap(first, FEW),
        },
        goals=[within(ours, 2.0), within(pair, 2.0), faster(ours, theirs)],
        scale={theirs: RESAMPLES / FEW},
    )


# --- reports ---------------------------------------------------------------------------------------------------------


def report(runs: int) -> Iterator[Case]:
    """Yield the comparison and the report of many runs: each a recipe of its own, and several seeds of each recipe."""
    for seeds in (1, SEEDS):
        with tempfile.TemporaryDirectory() as folder:
            paths = [_write(Path(folder) / f"run-{number:02}", number, seeds) for number in range(runs)]
            entrants = sum(len(analysis.entrants) for analysis in compare(paths).analyses)
            assert entrants == -(-runs // seeds), "a recipe is an entrant"
            ours, table = "compare and report", "compare alone"
            yield Case(
                name=f"{runs} runs ({entrants} entrants) x {IMAGES:,} images x {CLASSES} classes",
                contenders={
                    # As text, because what is not asked for is not computed.
                    table: lambda p=paths: compare(p).to_json(),
                    ours: lambda p=paths, f=folder: (compare(p).to_json(), write_report(p, Path(f) / "report.html")),
                },
                goals=[within(ours, 20.0)],
            )


def _write(path: Path, number: int, seeds: int) -> Path:
    """Write a finished run of real size: a small one whose records and scores are replaced."""
    names = tuple(f"class {i}" for i in range(CLASSES))
    recipe, seed = divmod(number, seeds)
    small = Fake(
        name=path.name,
        model=("unet", "attention_unet", "deeplabv3")[recipe % 3],
        names=names,
        images=10,
        quality=0.4 + 0.02 * recipe,
        seed=seed,
        changes={"optim.lr": 1e-3 * (1 + recipe)},
    )
    write_run(path, small)
    records = invented(IMAGES, small.quality, number)
    write_records(path / "per_image.parquet", records, CLASSES)
    evaluation = Evaluation(confusion=Records.of(records, CLASSES).total(), loss=0.7, records=records, seconds=60.0)
    metrics = json.loads((path / "metrics.json").read_text())
    metrics["evaluation"] |= evaluation_facts(evaluation, space(small), split="validation", checkpoint="best")
    (path / "metrics.json").write_text(json.dumps(metrics))
    return path


# --- share of an evaluation ------------------------------------------------------------------------------------------

PASSES = "forward passes and label maps"
MAPS, CLOSER = "label maps alone", "label maps alone, with confidences"
COUNTED = ("confusion", "boundary", "calibration")


class Stored(Segmenter):
    """Returns an output that another model made, so that what follows a forward pass can be timed alone."""

    def __init__(self, output: Output) -> None:
        super().__init__("unit")
        self.output = output

    @override
    def predict(self, x: Tensor) -> Output:
        return self.output


def share(maps: list[Map], device: str) -> Iterator[Case]:
    """Yield an evaluation's forward passes beside what scoring adds, for models at their usual width and 512 x 512."""
    pairs = [(target, moved(target)) for target in maps]
    sizes = [(target.shape[0], target.shape[1]) for target in maps]
    images = list(np.random.default_rng(0).integers(0, 256, (len(maps), 512, 512, 3), dtype=np.uint8))
    on_device = [[torch.from_numpy(part).to(device) for part in pair] for pair in pairs]
    sampled = [[part[::EVERY, ::EVERY] for part in pair] for pair in pairs]
    sure = [np.full(target.shape, np.float32(0.7)) for target, _ in sampled]
    for name in ("unet", "attention_unet"):
        model = MODELS.build(name, CLASSES).to(device).eval()
        with torch.inference_mode():
            stored = Stored(model(torch.from_numpy(np.stack(images)).movedim(-1, 1).to(device))).to(device).eval()
        whole_way, rest = (
            Segmentation(one, cut=whole, batch=len(maps), device=torch.device(device), precision="fp32")
            for one in (model, stored)
        )
        yield Case(
            name=f"evaluation, {name}, {CLASSES} classes, 512 x 512, {device}, per image",
            contenders={
                PASSES: lambda s=whole_way: s(images, sizes).maps[-1].cpu(),
                MAPS: lambda s=rest: s(images, sizes).maps[-1].cpu(),
                CLOSER: lambda s=rest: s(images, sizes, every=EVERY).maps[-1].cpu(),
                "confusion": lambda: [confusion_matrix(*pair, CLASSES).cpu() for pair in on_device],
                "boundary": lambda: [boundary_counts(*pair, CLASSES, DISTANCE) for pair in pairs],
                "calibration": lambda: [calibration_counts(*p, c) for p, c in zip(sampled, sure, strict=True)],
            },
            goals=[
                Goal(what="share of the confusion matrix", value=_confusion_share, goal=SHARE, least=False),
                Goal(what="share of all metrics", value=_metrics_share, goal=SHARE, least=False),
            ],
            pieces=len(maps),
        )


def _confusion_share(seconds: Seconds) -> float:
    own = min(seconds["confusion"])
    return own / (own + min(seconds[PASSES]))


def _metrics_share(seconds: Seconds) -> float:
    # The least of the rounds, because a small difference of large times is wanted.
    own = sum(min(seconds[name]) for name in COUNTED) + max(0.0, min(seconds[CLOSER]) - min(seconds[MAPS]))
    return own / (own + min(seconds[PASSES]))
