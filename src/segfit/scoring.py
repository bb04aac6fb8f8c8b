"""Scoring images with the weights of a run, and keeping what comparisons read of it."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segfit.config import CheckpointName
from segfit.data import Record
from segfit.evaluation.engine import write_label_map
from segfit.evaluation.facts import evaluation_facts
from segfit.evaluation.protocols import under_protocol
from segfit.evaluation.records import write_records
from segfit.folder import RunFolder, ScoreFiles, write_json
from segfit.parts import Parts
from segfit.training.checkpoint import load_weights
from segfit.training.parallel import Ranks

__all__ = ["final_score", "saving", "score_checkpoint"]


def final_score(parts: Parts, folder: RunFolder, training: dict[str, Any]) -> None:
    """Score the chosen checkpoint on the validation images and write what reports read."""
    files, group = folder.own, parts.ranks
    if group.main:
        shutil.rmtree(files.examples, ignore_errors=True)
    group.wait()
    evaluation = score_checkpoint(
        parts,
        folder,
        parts.validation,
        split=parts.recipe.data.validation,
        checkpoint=parts.recipe.evaluate.checkpoint,
        per_image=files.per_image,
        examples=files.examples,
    )
    if group.main:
        write_json(files.facts, {"training": training, "evaluation": evaluation})
    group.wait()


def score_checkpoint(
    parts: Parts,
    folder: RunFolder,
    records: Sequence[Record],
    *,
    split: str,
    checkpoint: CheckpointName,
    per_image: str | Path | None = None,
    examples: Path | None = None,
) -> dict[str, Any]:
    """Score a checkpoint of a run and return the facts, the same on every rank.

    Args:
        parts: of the recipe that says how; its model gets the checkpoint's weights.
        folder: of the run.
        records: what is scored.
        split: what `records` are called.
        checkpoint: which weights.
        per_image: file for the counts of each image.
        examples: folder for the predictions that the recipe has kept, ``ID.png``.
    """
    load_weights(folder.best if checkpoint == "best" else folder.last, parts.model)
    kept = set() if examples is None else _examples([record.id for record in records], parts.recipe.evaluate.examples)

    def keep(name: str, prediction: NDArray[np.uint8]) -> None:
        if examples is not None and name in kept:
            write_label_map(examples / f"{name}.png", prediction, parts.labels.colors)

    evaluation = parts.score(records, boundary=parts.recipe.evaluate.boundary, on_image=keep if kept else None)
    if per_image is not None and parts.ranks.main:
        write_records(Path(per_image), evaluation.records, len(parts.labels))
    facts = evaluation_facts(evaluation, parts.labels, split=split, checkpoint=checkpoint)
    return under_protocol(facts, parts.recipe)


def _examples(ids: Sequence[str], count: int | None) -> set[str]:
    """Return `count` ids, or all, evenly spread over the split: the same for every run on it."""
    if count is None:
        return set(ids)
    if count == 0:
        return set()
    return {ids[i] for i in np.linspace(0, len(ids) - 1, min(count, len(ids))).round().astype(int)}


@contextmanager
def saving(folder: RunFolder, name: str, group: Ranks) -> Iterator[ScoreFiles]:
    """Give the files of an evaluation that takes its place in the run when the block ends well, and vanish when not.

    Args:
        folder: of the run.
        name: of the evaluation; an earlier one of that name is replaced.
        group: the ranks, all of which write.
    """
    place = folder.evaluation(name)
    hidden = place.with_name(f".{name}.partial")
    if group.main:
        shutil.rmtree(hidden, ignore_errors=True)
        hidden.mkdir(parents=True)
    group.wait()
    try:
        yield ScoreFiles.within(hidden)
        group.wait()
        if group.main:
            _replace(place, hidden)
        group.wait()
    finally:
        if group.main:
            shutil.rmtree(hidden, ignore_errors=True)


def _replace(place: Path, new: Path) -> None:
    """Put a folder in the place of an earlier one, which takes long to remove but a moment to move aside."""
    old = place.with_name(f".{place.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    new.rename(place)
    shutil.rmtree(old, ignore_errors=True)
