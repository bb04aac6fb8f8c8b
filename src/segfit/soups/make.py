"""A soup as a run: several checkpoints go in, a run folder comes out that every other verb accepts."""

import json
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Literal, get_args

from segfit.config import Recipe
from segfit.errors import Interrupted, RecipeError, RunError, did_you_mean
from segfit.folder import RunFolder, write_json
from segfit.parts import Parts
from segfit.scoring import final_score
from segfit.soups.costs import training_facts
from segfit.soups.greedy import greedy, uniform
from segfit.soups.ingredients import Ingredient, open_ingredients
from segfit.soups.kitchen import Kitchen, Tasting
from segfit.soups.learned import learned
from segfit.soups.moving import moving, stage_weights
from segfit.training.device import PeakMemory
from segfit.training.environment import describe
from segfit.training.parallel import Ranks, ranks
from segfit.use import check_classes

__all__ = ["How", "soup", "soup_facts"]

How = Literal["uniform", "greedy", "learned", "ema"]

KINDS: dict[str, Callable[[Kitchen, Sequence[Tasting]], None]] = {
    "uniform": uniform,
    "greedy": greedy,
    "learned": learned,
    "ema": moving,
}


def soup(
    runs: Sequence[str | Path] | Path,
    out: str | Path,
    *,
    how: How = "greedy",
    overrides: Sequence[str] = (),
    unrelated: bool = False,
) -> Path:
    """Average the weights of runs into a new one, score it, and return its folder; the runs stay as they are.

    Batch normalisation is measured again on training images. The folder is written beside its place and takes it when
    all is there.

    Args:
        runs: run folders; ``RUN:last`` or ``RUN:best`` names another checkpoint than the one that the run was scored
            with.
        out: the new run's folder.
        how: the plain mean of all; greedily, those that raise the validation score; weights learnt on the validation
            split; or a moving average over the checkpoints of one training.
        overrides: on the recipes of all of them.
        unrelated: also take runs that did not begin from the same weights.

    Raises:
        UserError: there is something at `out`, or the runs cannot be averaged; the message says why. Where something
            came to `out` meanwhile, it names the hidden folder in which the soup stays.
    """
    if isinstance(runs, str | Path):
        runs = [runs]
    if how not in get_args(How):
        raise RecipeError(f"--how: no soup is made in the way {how!r}{did_you_mean(how, KINDS)}")
    place = RunFolder(out)
    if place.path.exists() and (not place.path.is_dir() or any(place.path.iterdir())):
        raise RunError(f"{place.path}: there is something already: choose another folder (--out)")
    ingredients = open_ingredients(runs, overrides, unrelated=unrelated)
    _check_outside(place.path, ingredients)
    if how == "ema":
        stage_weights(ingredients)  # refuses what has no order before anything is scored
    first = ingredients[0]
    with _ending_at_once(), ranks(str(first.recipe.train.device)) as group, _beside(place.path, group) as folder:
        peak, started = PeakMemory(group.device), time.time()
        parts = Parts(first.recipe, group, first.facts.labels)
        check_classes(parts, first.folder)
        parts.check()
        kitchen = Kitchen(ingredients, parts, folder)
        singles = kitchen.taste_ingredients()
        KINDS[how](kitchen, singles)
        spent = time.time() - started
        training = training_facts(ingredients, parts, spent, group.largest(peak.read()), kitchen.kept[-1].score)
        if group.main:
            _write(folder, place.name, kitchen, training, how, started)
        group.wait()
        final_score(parts, folder, training)
    return place.path


def _check_outside(place: Path, ingredients: Sequence[Ingredient]) -> None:
    """Refuse to write into a run: its folder belongs to it, and a soup only reads it."""
    for one in ingredients:
        if place.resolve().is_relative_to(one.folder.path.resolve()):
            raise RunError(f"{place}: is inside {one.folder.path}, which is only read: choose another folder (--out)")


def soup_facts(run: str | Path) -> dict[str, Any]:
    """Return how a soup was made: ``how``, ``ingredients`` with their weights and scores, and what was ``tried``.

    Raises:
        RunError: the run is no soup.
    """
    folder = RunFolder(run).open()
    if not folder.soup_file.is_file():
        raise RunError(f"{folder.path}: is not a soup (it has no {folder.soup_file.name})")
    return folder.read(folder.soup_file)


# --- the folder ------------------------------------------------------------------------------------------------------


def _write(folder: RunFolder, name: str, kitchen: Kitchen, training: dict[str, Any], how: How, started: float) -> None:
    """Write what a run has beside its scores."""
    parts, kept = kitchen.parts, kitchen.kept[-1]
    folder.write_recipe(_recipe(kitchen.ingredients[0], name), parts.labels)
    splits = {"training": parts.training, "validation": parts.validation}
    write_json(folder.environment_file, describe(parts.ranks, splits, parts.recipe.data.cache))
    shutil.copyfile(folder.best, folder.last)
    where = {"epoch": training["epochs"], "step": training["steps"]}
    # The trainings behind a soup are its cost: whatever reads the curve finds its score after them, not at its start.
    cost = {"seconds": training["seconds"], "images_per_second": training["images_per_second"]}
    events = [
        {"event": "start", "time": round(started, 3), "epoch": 0, "step": 0},
        {"event": "epoch", "time": round(time.time(), 3), **where, **cost, "memory": training["memory"]},
        {"event": "validation", "time": round(time.time(), 3), **where, **kept.scores},
        {"event": "end", "time": round(time.time(), 3), **where},
    ]
    folder.events_file.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    write_json(folder.soup_file, _facts(kitchen, how))


def _recipe(first: Ingredient, name: str) -> Recipe:
    """Return the recipe of a soup: its first ingredient's, whose weights began where the others' began, too."""
    recipe = first.recipe
    train = recipe.train.model_copy(update={"continue_from": None})
    return recipe.model_copy(update={"name": name, "model": first.facts.recipe.model, "train": train})


def _facts(kitchen: Kitchen, how: How) -> dict[str, Any]:
    count, kept = len(kitchen.ingredients), kitchen.kept[-1]
    singles, mixtures = kitchen.tried[:count], kitchen.tried[count:]
    return {
        "how": how,
        "score": kitchen.parts.recipe.evaluate.score,
        "split": kitchen.parts.recipe.data.validation,
        "images": len(kitchen.parts.validation),
        "ingredients": [
            {
                "run": str(one.folder.path),
                "checkpoint": one.checkpoint,
                "weight": weight,
                "scores": single.scores,
            }
            for one, single, weight in zip(kitchen.ingredients, singles, kept.weights, strict=True)
        ],
        "tried": [
            {
                "what": mixture.what,
                "weights": list(mixture.weights),
                "scores": mixture.scores,
                "kept": mixture in kitchen.kept,
            }
            for mixture in mixtures
        ],
        "scores": kept.scores,
        # Where one ingredient was kept as it is, nothing was measured for it.
        "batch_norm": kitchen.batch_norm if kept.measured else None,
    }


@contextmanager
def _beside(path: Path, group: Ranks) -> Iterator[RunFolder]:
    """Give a hidden folder that takes the place of `path` when the block ends well, and vanishes when it does not.

    Raises:
        RunError: on every rank, where its place was taken meanwhile; then the hidden folder stays.
    """
    path, made, said = path.resolve(), "", ""
    if group.main:
        path.parent.mkdir(parents=True, exist_ok=True)
        made = tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent)
    around = Path(group.gather(made)[0])
    # Nobody else may look into the folder around it; the one inside has the rights that any new folder has.
    hidden = around / path.name
    try:
        if group.main:
            hidden.mkdir()
        yield RunFolder(hidden)
        group.wait()
        said = group.gather(_take_place(hidden, path) if group.main else "")[0]
    finally:
        if group.main and not said:
            shutil.rmtree(around, ignore_errors=True)
    if said:
        raise RunError(said)


def _take_place(hidden: Path, path: Path) -> str:
    """Move a finished folder to its place; return what to say where that is impossible."""
    try:
        # An empty folder may be there; anything else that came meanwhile stays, and this fails.
        hidden.replace(path)
    except OSError as error:
        return f"{path}: was taken meanwhile ({error.strerror}): the soup is whole in {hidden}: move it from there"
    return ""


@contextmanager
def _ending_at_once() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does, so that what was begun is taken away."""

    def stop(number: int, _frame: FrameType | None) -> None:
        raise Interrupted(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
