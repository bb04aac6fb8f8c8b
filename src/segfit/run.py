"""Training a recipe from its first look at the data to its scores; resuming; studies of several recipes."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segfit.config import Recipe, check_same, load_study
from segfit.errors import RecipeError, RunError
from segfit.evaluation.engine import write_label_map
from segfit.evaluation.facts import evaluation_facts
from segfit.evaluation.metrics import scores
from segfit.evaluation.records import write_records
from segfit.folder import RunFolder, write_json
from segfit.parts import Parts, overridden, resolve
from segfit.training.checkpoint import load_weights
from segfit.training.device import PeakMemory
from segfit.training.environment import check_data, describe
from segfit.training.loop import Trainer
from segfit.training.parallel import Ranks, ranks

__all__ = ["resume", "study", "study_folder", "train"]


def train(
    recipe: Recipe | str | Path,
    out: str | Path | None = None,
    *,
    overrides: Sequence[str] = (),
) -> Path:
    """Train one model, score it, and return the run folder.

    Args:
        recipe: a recipe, or what `load_recipe` reads.
        out: the run folder, which must not hold a run yet; by default ``runs/NAME``.
        overrides: ``section.key=value`` on top of the recipe.

    Raises:
        UserError: recipe, data or folder are wrong.
        Interrupted: a signal came; `resume` goes on.
    """
    recipe = resolve(overridden(recipe, overrides))
    folder = RunFolder(out if out is not None else Path("runs") / recipe.name)
    with ranks(str(recipe.train.device)) as group:
        # Every rank looks before the first one writes.
        taken = folder.exists()
        group.wait()
        if taken:
            raise RunError(
                f"{folder.path}: holds a run already: go on with it (--resume) or choose another folder (--out)"
            )
        _train(recipe, folder, group, resume=False)
    return folder.path


def resume(run: str | Path, *, overrides: Sequence[str] = ()) -> Path:
    """Go on with an interrupted run, or prolong a finished one (``train.epochs=125``), and return its folder.

    A finished run whose way of being scored changed (``evaluate.checkpoint=last``) is only scored again.

    Raises:
        RunError: no run there, or an override changes what its checkpoint depends on.
    """
    folder = RunFolder(run).open()
    return _resume(folder, resolve(overridden(folder.recipe(), overrides)))


def _resume(folder: RunFolder, recipe: Recipe) -> Path:
    stored = folder.recipe()
    check_same(stored, recipe, folder.path)
    if folder.finished() and _outcome(stored) == _outcome(recipe):
        return folder.path
    with ranks(str(recipe.train.device)) as group:
        _train(recipe, folder, group, resume=True)
    return folder.path


def study_folder(study: str | Path) -> Path:
    """Return the folder that the runs of a study go to by default: ``runs/STUDY``."""
    return Path("runs") / Path(study).stem


def study(
    recipes: Sequence[Recipe] | str | Path, out: str | Path | None = None, *, overrides: Sequence[str] = ()
) -> list[Path]:
    """Train several recipes one after the other and return their run folders; finished ones are kept as they are.

    Args:
        recipes: recipes, or what `load_study` reads.
        out: folder of the runs; by default ``runs/STUDY``, or ``runs`` for a list of recipes.
        overrides: on top of every recipe.
    """
    if isinstance(recipes, str | Path):
        out = out if out is not None else study_folder(recipes)
        recipes = load_study(recipes, overrides)
    else:
        recipes = [overridden(recipe, overrides) for recipe in recipes]
    root = Path(out if out is not None else "runs")
    resolved = [resolve(recipe) for recipe in recipes]
    # One process group for all runs; a run that asks for it again gets this one.
    with ranks(_one_device(resolved)) as group:
        # All of them are looked at before the first one trains: a typo in the last recipe must not cost a night.
        for recipe in resolved:
            _check_startable(recipe, root, resolved, group)
        return [_start_or_resume(recipe, RunFolder(root / recipe.name)) for recipe in resolved]


def _start_or_resume(recipe: Recipe, folder: RunFolder) -> Path:
    return _resume(folder, recipe) if folder.exists() else train(recipe, folder.path)


def _one_device(recipes: Sequence[Recipe]) -> str:
    devices = {str(recipe.train.device) for recipe in recipes}
    if len(devices) > 1:
        raise RecipeError(f"train.device: a study runs on one device, not on {' and '.join(sorted(devices))}")
    return devices.pop()


def _check_startable(recipe: Recipe, root: Path, siblings: Sequence[Recipe], group: Ranks) -> None:
    """Raise what would go wrong in the first seconds of a run."""
    folder = RunFolder(root / recipe.name)
    if folder.exists():
        check_same(folder.recipe(), recipe, folder.path)
        return
    parts = Parts(recipe, group)
    parts.check()
    earlier = {sibling.name: sibling for sibling in siblings[: siblings.index(recipe)]}
    if recipe.train.continue_from in earlier:
        check_same(earlier[recipe.train.continue_from], recipe, root / recipe.train.continue_from)
    else:
        _origin(recipe, folder)


def _outcome(recipe: Recipe) -> tuple[Any, ...]:
    """Return what decides the facts of a finished run: its length and how it is scored."""
    settings = recipe.evaluate
    return recipe.train.epochs, recipe.train.steps, settings.checkpoint, settings.examples


def _train(recipe: Recipe, folder: RunFolder, group: Ranks, *, resume: bool) -> None:
    parts = Parts(recipe, group)
    peak = PeakMemory(group.device)
    # Whatever can be wrong is found before the first file is written.
    parts.check()
    training, validation = parts.training, parts.validation
    origin = _origin(recipe, folder) if not resume else None
    facts = describe(group, {"training": training, "validation": validation}, recipe.data.cache)
    if resume:
        check_data(folder, facts["dataset"])
    group.wait()
    if group.main:
        if origin is not None:
            _copy_state(origin, folder)
        folder.metrics_file.unlink(missing_ok=True)
        folder.write_recipe(recipe, parts.labels)
        write_json(folder.environment_file, facts)
    group.wait()

    def validate(between: Callable[[], None]) -> dict[str, float]:
        evaluation = parts.score(validation, between=between)
        scored = scores(evaluation.confusion)
        return {
            "loss": evaluation.loss,
            "dice": scored.dice,
            "miou": scored.miou,
            "pixel_accuracy": scored.pixel_accuracy,
        }

    go_on = (resume and folder.last.is_file()) or origin is not None
    trainer = Trainer(
        model=parts.model,
        loss=parts.loss,
        loader=parts.train_loader,
        validate=validate,
        recipe=recipe,
        folder=folder,
        ranks=group,
        peak=peak,
    )
    progress = trainer.run(resume=go_on)
    training_facts = {
        "epochs": progress.epoch + (progress.batch > 0),
        "steps": progress.step,
        "batch": recipe.train.images,
        "seconds": progress.seconds,
        "memory": group.largest(progress.memory),
        "memory_kind": peak.kind,
        "images_per_second": progress.step * recipe.train.images / max(progress.train_seconds, 1e-9),
        "parameters": sum(parameter.numel() for parameter in parts.model.parameters()),
        "best_epoch": progress.best_epoch,
        "best_score": progress.best_score,
    }
    _final_score(parts, folder, training_facts)


def _final_score(parts: Parts, folder: RunFolder, training: dict[str, Any]) -> None:
    """Score the chosen checkpoint and write what reports read."""
    settings, group = parts.recipe.evaluate, parts.ranks
    load_weights(folder.best if settings.checkpoint == "best" else folder.last, parts.model)
    kept = _examples([record.id for record in parts.validation], settings.examples)
    if group.main:
        shutil.rmtree(folder.examples, ignore_errors=True)
    group.wait()

    def keep(name: str, prediction: NDArray[np.uint8]) -> None:
        if name in kept:
            write_label_map(folder.examples / f"{name}.png", prediction, parts.labels.colors)

    evaluation = parts.score(parts.validation, on_image=keep)
    if group.main:
        write_records(folder.per_image_file, evaluation.records, len(parts.labels))
        facts = evaluation_facts(
            evaluation, parts.labels, split=parts.recipe.data.validation, checkpoint=settings.checkpoint
        )
        write_json(folder.metrics_file, {"training": training, "evaluation": {**facts, "resize": settings.resize}})
    group.wait()


def _examples(ids: Sequence[str], count: int) -> set[str]:
    """Return `count` ids, evenly spread over the split: the same for every run on it."""
    if count == 0:
        return set()
    return {ids[i] for i in np.linspace(0, len(ids) - 1, min(count, len(ids))).round().astype(int)}


def _origin(recipe: Recipe, folder: RunFolder) -> RunFolder | None:
    """Return the run that this one continues.

    Raises:
        RunError: it is not there or was trained differently.
    """
    name = recipe.train.continue_from
    if name is None:
        return None
    candidates = [RunFolder(folder.path.parent / name), RunFolder(name)]
    for origin in candidates:
        if origin.exists():
            check_same(origin.recipe(), recipe, origin.path)
            return origin
    raise RunError(
        f"{candidates[0].path}: no such run to continue: train it first, or start from scratch with "
        "train.continue_from=null"
    )


def _copy_state(origin: RunFolder, folder: RunFolder) -> None:
    """Start `folder` where `origin` stands: its checkpoints and its events."""
    if not origin.last.is_file():
        raise RunError(f"{origin.path}: has no checkpoint to continue from")
    folder.last.parent.mkdir(parents=True, exist_ok=True)
    for source, target in (
        (origin.events_file, folder.events_file),
        (origin.best, folder.best),
        (origin.last, folder.last),
    ):
        if source.is_file():
            shutil.copyfile(source, target)
