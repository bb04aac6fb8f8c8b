"""Training a recipe from its first look at the data to its scores; resuming; studies of several recipes."""

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from segfit.config import Recipe, adopt_settled, check_same, load_study
from segfit.config.gpus import Gpu, fit_target
from segfit.errors import RecipeError, RunError, UserError
from segfit.evaluation.metrics import scores
from segfit.folder import RunFolder, write_json
from segfit.losses import Loss
from segfit.models import Segmenter
from segfit.parts import Parts, overridden, resolve
from segfit.planning import devices
from segfit.planning.plan import Plan, measured_facts, settle
from segfit.scoring import final_score
from segfit.training.device import PeakMemory
from segfit.training.environment import check_data, describe
from segfit.training.loop import Trainer
from segfit.training.parallel import Ranks, ranks
from segfit.training.prefetch import on_device
from segfit.training.tune import Tuning, tune
from segfit.units import memory

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
        _train(_settled(recipe, folder, group), folder, group, resume=False)
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
    stored = folder.trainable().recipe()
    check_same(stored, recipe, folder.path)
    if folder.finished() and _outcome(stored) == _outcome(recipe):
        return folder.path
    with ranks(str(recipe.train.device)) as group:
        _train(_Settled(recipe=recipe), folder, group, resume=True)
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
        starts: list[_Settled] = []
        for recipe in resolved:
            starts.append(_startable(recipe, root, starts, group))
        return [_start_or_resume(start, RunFolder(root / start.recipe.name), group) for start in starts]


def _start_or_resume(start: "_Settled", folder: RunFolder, group: Ranks) -> Path:
    if folder.exists():
        return _resume(folder, start.recipe)
    group.wait()
    _train(start, folder, group, resume=False)
    return folder.path


def _one_device(recipes: Sequence[Recipe]) -> str:
    devices = {str(recipe.train.device) for recipe in recipes}
    if len(devices) > 1:
        raise RecipeError(f"train.device: a study runs on one device, not on {' and '.join(sorted(devices))}")
    return devices.pop()


def _startable(recipe: Recipe, root: Path, before: Sequence["_Settled"], group: Ranks) -> "_Settled":
    """Return the settled recipe of a run; raise what would go wrong in its first seconds."""
    folder = RunFolder(root / recipe.name)
    if folder.exists():
        recipe = adopt_settled(folder.trainable().recipe(), recipe)
        check_same(folder.recipe(), recipe, folder.path)
        return _Settled(recipe=recipe)
    earlier = {start.recipe.name: start.recipe for start in before}
    origin = earlier.get(recipe.train.continue_from or "")
    if origin is not None:
        recipe = adopt_settled(origin, recipe)
        check_same(origin, recipe, root / origin.name, remedy=CONTINUE)
        settled = _planned(recipe, group, begun=True)
    else:
        settled = _settled(recipe, folder, group)
    Parts(settled.recipe, group).check()
    return settled


def _outcome(recipe: Recipe) -> tuple[Any, ...]:
    """Return what decides the facts of a finished run: its length and how it is scored."""
    settings = recipe.evaluate
    return recipe.train.epochs, recipe.train.steps, settings.checkpoint, settings.boundary, settings.examples


@dataclass(frozen=True, kw_only=True)
class _Settled:
    """A recipe that says how much is done at once, and how that was found.

    Attributes:
        recipe: resolved, with a batch.
        plan: facts for the run folder; None for a run that has begun already.
    """

    recipe: Recipe
    plan: Mapping[str, Any] | None = None


def _settled(recipe: Recipe, folder: RunFolder, group: Ranks) -> _Settled:
    """Settle the recipe of a run that is to begin: as its origin has it, else by planning."""
    origin = _origin(recipe, folder)
    if origin is not None:
        return _planned(adopt_settled(origin.recipe(), recipe), group, begun=True)
    return _planned(recipe, group, begun=False)


def _planned(recipe: Recipe, group: Ranks, *, begun: bool) -> _Settled:
    """Settle what `recipe` leaves open and plan the rest.

    Args:
        recipe: resolved.
        group: the ranks; all of them come to the same result.
        begun: the recipe goes on with a run, so that nothing is left to choose.

    Raises:
        RecipeError: nothing fits, or the model cannot be planned and something is left to choose.
    """
    wanted, train = recipe, recipe.train
    if begun:
        wanted = recipe.model_copy(update={"train": train.model_copy(update={"fit": None})})
    parts = Parts(recipe, group)
    labels, images = parts.labels, len(parts.training)
    try:
        plan = settle(wanted, classes=len(labels), images=images, device=_device(wanted, group), world=group.world)
    except UserError:
        raise
    except Exception as error:
        # A model that cannot be traced can still be trained, by who says with which batch.
        if wanted.train.fit is not None or train.batch == "auto":
            raise RecipeError(
                f"model.name: {recipe.model.name} cannot be planned ({error}): give train.batch as a number and leave "
                "out train.fit"
            ) from error
        return _Settled(recipe=recipe, plan={"recipe": recipe.name, "error": str(error)})
    if group.main:
        _say(plan)
    fit = {"train": plan.recipe.train.model_copy(update={"fit": train.fit})}
    return _Settled(recipe=plan.recipe.model_copy(update=fit), plan=plan.facts())


def _device(recipe: Recipe, group: Ranks) -> devices.Device:
    """Return what each rank has to fit in: what `train.fit` says, else the smallest of their devices."""
    here = devices.present(group.device)
    if recipe.train.fit is not None:
        wanted = fit_target(recipe.train.fit)
        return devices.of_size(wanted.memory if isinstance(wanted, Gpu) else wanted, here)
    return replace(here, memory=min(group.gather(here.memory)))


def _say(plan: Plan) -> None:
    """Tell what was chosen, or that the run will hardly fit."""
    name, peak = plan.recipe.name, memory(plan.option.peak)
    if plan.levers:
        print(f"{name}: {', '.join(lever.change for lever in plan.levers)}: planned for {peak}", file=sys.stderr)
    elif not plan.fits(plan.option):
        room = memory(plan.device.room)
        print(f"{name}: planned for {peak}, and there is room for {room}: see segfit plan", file=sys.stderr)


def _train(settled: _Settled, folder: RunFolder, group: Ranks, *, resume: bool) -> None:
    recipe = settled.recipe
    origin = _origin(recipe, folder) if not resume else None
    if origin is not None:
        # It may have measured more than was known when this run was planned.
        recipe = adopt_settled(origin.recipe(), recipe)
    plan = settled.plan
    if recipe.train.autotune and plan is not None and origin is None:
        tuning = _tuned(recipe, group)
        recipe, plan = tuning.recipe, {**plan, "autotune": tuning.facts}
    parts = Parts(recipe, group)
    peak = PeakMemory(group.device)
    # Whatever can be wrong is found before the first file is written.
    parts.check()
    training, validation = parts.training, parts.validation
    facts = describe(group, {"training": training, "validation": validation}, recipe.data.cache)
    if resume:
        check_data(folder, facts["dataset"])
    group.wait()
    if group.main:
        if origin is not None:
            _copy_state(origin, folder)
        folder.metrics_file.unlink(missing_ok=True)
        shutil.rmtree(folder.evaluations, ignore_errors=True)
        folder.write_recipe(recipe, parts.labels)
        write_json(folder.environment_file, facts)
        if plan is not None:
            write_json(folder.plan_file, plan)
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
        planned=_planned_memory(folder),
    )
    progress = trainer.run(resume=go_on)
    training_facts = {
        "epochs": progress.epoch + (progress.batch > 0),
        "steps": progress.step,
        "batch": recipe.train.images,
        "accumulate": trainer.step.accumulate,
        "seconds": progress.seconds,
        "memory": group.largest(progress.memory),
        "memory_kind": peak.kind,
        "images_per_second": progress.step * recipe.train.images / max(progress.train_seconds, 1e-9),
        "parameters": sum(parameter.numel() for parameter in parts.model.parameters()),
        "best_epoch": progress.best_epoch,
        "best_score": progress.best_score,
    }
    if group.main:
        _compare_plan(folder, training_facts)
    final_score(parts, folder, training_facts)


def _tuned(recipe: Recipe, group: Ranks) -> Tuning:
    """Measure the recipe's variants on its first batch (see `tune`)."""
    alone = Ranks(device=group.device)

    def build(variant: Recipe) -> tuple[Segmenter, Loss]:
        # Each rank builds for itself: they need not make equally many.
        parts = Parts(variant, alone, labels)
        return parts.model, parts.loss

    train = recipe.train.model_copy(update={"workers": 0})
    parts = Parts(recipe.model_copy(update={"train": train}), group)
    labels = parts.labels
    batch = next(on_device(parts.train_loader.epoch(0), group.device))
    return tune(recipe, build, batch.images, batch.masks, group)


def _planned_memory(folder: RunFolder) -> int | None:
    """Return the peak that the run's plan foretells, if it has one."""
    plan = folder.read(folder.plan_file) if folder.plan_file.is_file() else {}
    peak: int | None = plan.get("memory", {}).get("peak")
    return peak


def _compare_plan(folder: RunFolder, training: dict[str, Any]) -> None:
    """Put what was measured beside what was planned; runs of earlier versions have no plan."""
    if folder.plan_file.is_file():
        plan = folder.read(folder.plan_file)
        if "memory" in plan:
            write_json(folder.plan_file, {**plan, "measured": measured_facts(plan, training)})


CONTINUE = "a run goes on as it began: leave that out, or continue (train.continue_from) one that was trained so"


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
            stored = origin.trainable().recipe()
            check_same(stored, adopt_settled(stored, recipe), origin.path, remedy=CONTINUE)
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
