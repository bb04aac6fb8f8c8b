"""Verbs after training: evaluate, load, predict, submit, score; and classes. The run folder stays as it is."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from segfit import config
from segfit.config import PROTOCOLS, CheckpointName, ProtocolName, Recipe
from segfit.data import Record, Source, SourceMask
from segfit.data.ade20k import published_labels
from segfit.data.decode import read_image
from segfit.data.files import IMAGE_SUFFIXES
from segfit.errors import DataError, RecipeError, RunError, did_you_mean
from segfit.evaluation.engine import write_label_map
from segfit.evaluation.facts import scores_facts
from segfit.evaluation.protocols import fit_of, segmentation_of
from segfit.folder import RunFolder, write_json
from segfit.labels import select
from segfit.models import MODELS
from segfit.parts import (
    Parts,
    build_source,
    label_space,
    label_table,
    overridden,
    resolve,
)
from segfit.scoring import saving, score_checkpoint
from segfit.ship.predict import Predictor, overlay
from segfit.ship.submission import read_submission, score_submission, write_submission
from segfit.training.checkpoint import load_weights
from segfit.training.device import hardware
from segfit.training.parallel import ranks

__all__ = ["HERE", "check_classes", "classes", "evaluate", "load", "opened", "predict", "score", "submit"]


def evaluate(
    run: str | Path,
    *,
    split: str | None = None,
    protocol: ProtocolName | None = None,
    checkpoint: CheckpointName | None = None,
    overrides: Sequence[str] = (),
    per_image: str | Path | None = None,
    save: str | None = None,
) -> dict[str, Any]:
    """Score a run and return the facts (as `metrics.json` holds them).

    The run keeps the scores of its end; `save` puts others beside them, for ``compare`` and ``report``.

    Args:
        run: a run folder.
        protocol: way of scoring (see `config.PROTOCOLS`); by default the recipe's. What it fixes replaces what the
            recipe says.
        split: what to score; by default the recipe's validation split.
        checkpoint: by default the recipe's choice.
        overrides: on the stored recipe: another ``data.root``, ``evaluate.resize``, ``train.device`` …
        per_image: file for the counts of each image, like the run folder's ``per_image.parquet``.
        save: name under which the run keeps this evaluation; an earlier one of that name is replaced.
    """
    if protocol is not None and any(word.startswith("evaluate.protocol=") for word in overrides):
        raise RecipeError("--protocol and evaluate.protocol exclude each other: say it once")
    folder, recipe = opened(run, [*_under(protocol), *overrides])
    as_stored = split is None and protocol is None and checkpoint is None and not overrides
    _check_place(per_image, folder, as_stored=as_stored)
    if save is not None:
        if per_image is not None:
            raise RecipeError("--per-image and --save exclude each other: what is saved has its per_image.parquet")
        _check_savable(folder, save, overrides)
    chosen = checkpoint or recipe.evaluate.checkpoint
    with ranks(str(recipe.train.device)) as group:
        parts = Parts(recipe, group, folder.labels())
        check_classes(parts, folder)
        records = _split(parts.source, recipe, split)
        name = split or recipe.data.validation
        if save is None:
            return score_checkpoint(parts, folder, records, split=name, checkpoint=chosen, per_image=per_image)
        with saving(folder, save, group) as files:
            facts = score_checkpoint(
                parts,
                folder,
                records,
                split=name,
                checkpoint=chosen,
                per_image=files.per_image,
                examples=files.examples,
            )
            if group.main:
                how = recipe.model_dump(mode="json", include={"data", "evaluate"})
                options = {"split": split, "protocol": protocol, "checkpoint": checkpoint, "save": save}
                given = [word for name, value in options.items() if value for word in (f"--{name}", value)]
                command = shlex.join(["segfit", "evaluate", str(run), *overrides, *given])
                write_json(files.facts, {"evaluation": facts, **how, "command": command})
        return facts


def _check_savable(folder: RunFolder, name: str, overrides: Sequence[str]) -> None:
    """Refuse, before anything is scored, what comparisons could not take for an evaluation of this run."""
    place = folder.evaluation(name)
    if place.exists() and not place.is_dir():
        raise RunError(f"{place}: is a file: choose another name (--save)")
    folder.metrics()
    for word in overrides:
        if not word.startswith(SCORING):
            raise RecipeError(f"{word}: is of the training, and what is saved is of the run: leave out it or --save")


SCORING = ("data.", "evaluate.", "train.")
"""What an evaluation may change without being one of another model: images, how they are seen, where it computes."""


def _under(protocol: ProtocolName | None) -> list[str]:
    """Return the override that puts a stored recipe under a protocol."""
    if protocol is None:
        return []
    if protocol not in PROTOCOLS:
        raise RecipeError(f"protocol: there is no {protocol!r}{did_you_mean(str(protocol), PROTOCOLS)}")
    return [f"evaluate.protocol={protocol}"]


def _check_place(file: str | Path | None, folder: RunFolder, *, as_stored: bool) -> None:
    """Refuse, before anything is scored, a file that cannot be written or that would contradict the run folder.

    Raises:
        RunError: it is a folder, lies in none, or is in the run folder though the run is scored in another way.
    """
    if file is None:
        return
    place = Path(file).resolve()
    if place.is_dir() or not place.parent.is_dir():
        reason = "is a folder" if place.is_dir() else "its folder does not exist"
        raise RunError(f"{file}: {reason}: name a file in an existing folder, for example per_image.parquet")
    if place == folder.per_image_file.resolve() and not as_stored:
        raise RunError(f"{file}: is in the run folder, whose scores are other ones: choose another place")
    if place.is_relative_to(folder.path.resolve()) and place != folder.per_image_file.resolve():
        raise RunError(f"{file}: is in the run folder, which keeps its own files: choose another place")


def load(run: str | Path, *, checkpoint: CheckpointName | None = None, overrides: Sequence[str] = ()) -> Predictor:
    """Return a function that segments images with a trained run.

    ``segfit.load("runs/unet")(image)`` takes an `(H, W, 3)` uint8 RGB array or a path and returns `(H, W)` uint8 train
    ids; `.labels` names them.

    Args:
        run: a run folder.
        checkpoint: by default the recipe's choice.
        overrides: on the stored recipe (``train.device=cpu``).
    """
    folder, recipe = opened(run, overrides)
    chosen = checkpoint or recipe.evaluate.checkpoint
    labels = folder.labels()
    model = MODELS.build(recipe.model.name, len(labels), **recipe.model.options)
    load_weights(folder.best if chosen == "best" else folder.last, model)
    device = torch.device(str(recipe.train.device))
    segment = segmentation_of(recipe, model.to(device).eval(), device)
    return Predictor(segment, labels, fit=fit_of(recipe), scales=recipe.evaluate.scales)


def predict(
    run: str | Path, images: Sequence[str | Path], out: str | Path, *, with_overlay: bool = False, **options: Any
) -> list[Path]:
    """Segment image files and write an index PNG (values are train ids) for each; return their paths.

    Args:
        run: a run folder.
        images: image files, or folders of them.
        out: folder for ``STEM.png`` and, with `with_overlay`, ``STEM.overlay.jpg``.
        with_overlay: also write the image with the classes' colours over it.
        options: as in `load`.

    Raises:
        DataError: an image is missing or unreadable, a folder has none, or two images have one stem.
    """
    files = list_images(images)
    predictor = load(run, **options)
    written = []
    for file in files:
        image = read_image(file)
        mask = predictor(image)
        target = Path(out) / f"{file.stem}.png"
        write_label_map(target, mask, predictor.labels.colors)
        if with_overlay:
            picture = overlay(image, mask, predictor.labels.colors)
            _write_jpeg(target.with_suffix(".overlay.jpg"), picture)
        written.append(target)
    return written


def _write_jpeg(file: Path, picture: NDArray[np.uint8]) -> None:
    encoded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    file.write_bytes(encoded.tobytes())


def submit(
    run: str | Path,
    out: str | Path,
    *,
    code: Literal["pairs", "kaggle"] = "pairs",
    images: Sequence[str | Path] = (),
    split: str | None = None,
    checkpoint: CheckpointName | None = None,
    overrides: Sequence[str] = (),
) -> int:
    """Segment images and write their run-length codes, in the dataset's own class ids; return how many.

    Args:
        run: a run folder.
        out: the CSV file.
        code: ``pairs`` (class, run length) in row order, or ``kaggle`` (start, length) per class, column-major.
        images: image files or folders; without any, a split of the run's dataset.
        split: by default the recipe's validation split.
        checkpoint: by default the recipe's choice.
        overrides: on the stored recipe (``data.root=…``).
    """
    if images and split is not None:
        raise RecipeError("--split and --images exclude each other: name either a split or images")
    if images:
        items = [(file.stem, file) for file in list_images(images)]
    else:
        _, recipe = opened(run, overrides)
        items = [(record.id, record.image) for record in _split(build_source(recipe), recipe, split)]
    predictor = load(run, checkpoint=checkpoint, overrides=overrides)

    def masks() -> Iterator[tuple[str, NDArray[np.uint16]]]:
        for name, file in items:
            yield name, predictor.labels.decode(predictor(file))

    write_submission(Path(out), masks(), code)
    return len(items)


def score(
    submission: str | Path,
    against: str | Path | Recipe,
    *,
    split: str | None = None,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Score a submission file against a dataset's masks and return the facts, as `evaluate` does.

    Args:
        submission: a CSV that `submit` wrote, or another tool in its format.
        against: a run folder or a recipe: its dataset and label space are used.
        split: by default the recipe's validation split.
        overrides: on the recipe.
    """
    read = read_submission(Path(submission))
    if not isinstance(against, Recipe) and RunFolder(against).exists():
        folder, recipe = opened(against, overrides)
        source, labels = build_source(recipe), folder.labels()
    else:
        recipe = resolve(overridden(against, [*HERE, *overrides]))
        source = build_source(recipe)
        labels = label_space(recipe, source)
    truth = _Masks(source, _split(source, recipe, split))
    result = score_submission(read, truth, labels)
    return {"split": split or recipe.data.validation, "images": len(truth), **scores_facts(result, labels)}


class _Masks(Mapping[str, SourceMask]):
    """The masks of records by id, read when asked for."""

    def __init__(self, source: Source, records: Sequence[Record]) -> None:
        self.source = source
        self.by_id = {record.id: record for record in records}

    def __getitem__(self, key: str) -> SourceMask:
        return self.source.read_mask(self.by_id[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_id)

    def __len__(self) -> int:
        return len(self.by_id)


def classes(overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Return a label space as facts: ``classes`` (train_id, source_id, name, ratio) and ``coverage``.

    Args:
        overrides: on the default recipe; without ``data.root``, ADE20K's published classes are used.
    """
    recipe = config.build_recipe({"data": {"name": "ade20k"}}, overrides)
    if recipe.data.root is None and recipe.data.name == "ade20k":
        table = published_labels()
    else:
        recipe = resolve(recipe)
        table = label_table(recipe, build_source(recipe))
    labels = select(table, top=recipe.labels.top, classes=recipe.labels.classes, rest=recipe.labels.rest)
    ratios = dict(zip(table.ids, table.ratios or [None] * len(table), strict=True))
    rows = [
        {
            "train_id": train,
            "source_id": labels.source_id(train),
            "name": name,
            "ratio": ratios.get(labels.source_id(train)),
        }
        for train, name in enumerate(labels.names)
    ]
    return {"classes": rows, "coverage": labels.coverage}


def list_images(paths: Sequence[str | Path]) -> list[Path]:
    """Return the image files that `paths` name, folders replaced by the images in them.

    Raises:
        DataError: nothing there, a folder without images, or two files of one stem.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
            if not inside:
                raise DataError(f"{path}: no images in this folder")
            files += inside
        elif path.is_file():
            files.append(path)
        else:
            raise DataError(f"{path}: no such image")
    by_stem: dict[str, Path] = {}
    for file in files:
        other = by_stem.setdefault(file.stem, file)
        if other is not file:
            raise DataError(f"{file}: has the same name as {other}: results would overwrite each other; rename one")
    return files


def _split(source: Source, recipe: Recipe, split: str | None) -> list[Record]:
    """Return the records of a split; of the recipe's own validation split, as many as the recipe takes."""
    if split is None or split == recipe.data.validation:
        records = source.records(recipe.data.validation)[: recipe.data.limit_validation]
    else:
        records = source.records(split)
    if not records:
        raise DataError(f"{recipe.data.root}: the split {split or recipe.data.validation!r} has no images")
    return records


def check_classes(parts: Parts, folder: RunFolder) -> None:
    """Refuse to score a model on data, or under overrides, whose classes are not those that it learnt."""
    if parts.recipe.labels.ratios == "dataset":
        return  # the choice depends on the training masks, which need not be here
    here, learnt = label_space(parts.recipe, parts.source), parts.labels
    if (here.names, here.to_train) != (learnt.names, learnt.to_train):
        raise RunError(
            f"{folder.path}: learnt {len(learnt)} classes ({learnt.names[0]}, ...), which are not the {len(here)} of "
            f"{parts.recipe.data.root} ({here.names[0]}, ...): score it on data with its own classes"
        )


HERE = ["train.device=auto", "train.precision=auto", "train.workers=null"]
"""Overrides that fit a recipe to this machine: for what follows training it does not matter where that was."""


READ = ("augment.size", "data.", "evaluate.", "train.channels_last", "train.device", "train.precision", "train.workers")
"""What the verbs of this file read of a recipe: images, how they are seen, and where it is computed."""

UNREAD = ("data.cache", "data.limit_train", "data.sampling", "data.train")
"""What they do not, though its section is read."""


def opened(
    run: str | Path, overrides: Sequence[str], *, read: tuple[str, ...] = READ, unread: tuple[str, ...] = UNREAD
) -> tuple[RunFolder, Recipe]:
    """Return a run and its recipe, fit for this machine: where it was trained does not matter any more.

    Args:
        run: a run folder.
        overrides: on the stored recipe.
        read: fields, or ``section.``, that the caller reads; to change another one is an error.
        unread: fields of these sections that it does not read.

    Raises:
        RecipeError: an override is wrong, or changes the training, which is over.
    """
    folder = RunFolder(run).open()
    stored = folder.recipe()
    here = [*HERE]
    if any(stored.train.precision in native for native in hardware().precisions.values()):
        here.remove("train.precision=auto")  # the same arithmetic as in training, where this machine has it
    # The weights come from the checkpoint: a pretrained backbone need not be found again.
    if "pretrained" in stored.model.options:
        here.append("model.pretrained=null")
    asked = [word.removeprefix("evaluate.protocol=") for word in overrides if word.startswith("evaluate.protocol=")]
    if asked and asked[-1] != stored.evaluate.protocol:
        # What the stored recipe says of it was derived under another protocol.
        here.append("evaluate.resize=null")
    changed = overridden(stored, [*here, *overrides])
    if changed.evaluate.window == "whole" and any(word.startswith("evaluate.overlap=") for word in overrides):
        raise RecipeError("evaluate.overlap is of windows: say evaluate.window=sliding, or leave it out")
    for word in overrides:
        if not word.startswith(read) or word.startswith(unread):
            raise RecipeError(f"{word}: the run is trained already, this changes nothing: leave it out")
    return folder, resolve(changed)
