"""What a soup is made of: checkpoints of runs that belong together, or the reason why they do not."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segfit.comparison.facts import RunFacts, read_run
from segfit.config import CheckpointName, Recipe
from segfit.config.sameness import dotted
from segfit.errors import RunError
from segfit.folder import RunFolder
from segfit.training.checkpoint import open_weights
from segfit.use import opened

__all__ = ["Ingredient", "ancestors", "check_alike", "open_ingredients", "parse_ingredient"]

FREE = {
    "data.train",
    "data.limit_train",
    "data.cache",
    "data.sampling",
    "evaluate.batch",
    "evaluate.checkpoint",
    "evaluate.examples",
}
"""What ingredients may differ in although it stands in a section that decides how they are scored."""

READ = (
    "augment.",
    "data.",
    "evaluate.",
    *(
        f"train.{field}"
        for field in ("accumulate", "batch", "channels_last", "checkpointing", "device", "precision", "workers")
    ),
)
"""What making a soup reads of a recipe: images, how they are batched, and where it computes."""


@dataclass(frozen=True, kw_only=True)
class Ingredient:
    """One checkpoint of a finished run.

    Attributes:
        folder: of the run.
        checkpoint: which of its two.
        facts: what the run's files say.
        recipe: the stored recipe fit for this machine, with the changes that hold for the whole soup.
    """

    folder: RunFolder
    checkpoint: CheckpointName
    facts: RunFacts
    recipe: Recipe

    @property
    def name(self) -> str:
        """What it is called in messages and facts: ``runs/unet:best``."""
        return f"{self.folder.path}:{self.checkpoint}"

    @property
    def file(self) -> Path:
        """Its weights."""
        return self.folder.best if self.checkpoint == "best" else self.folder.last

    @property
    def place(self) -> tuple[Path, str]:
        """What tells it from every other one, however its path is written."""
        return self.folder.path.resolve(), self.checkpoint


def parse_ingredient(word: str | Path) -> tuple[Path, CheckpointName | None]:
    """Return the folder and the checkpoint that ``RUN``, ``RUN:last`` or ``RUN:best`` name."""
    folder, colon, checkpoint = str(word).rpartition(":")
    if colon and checkpoint == "best":
        return Path(folder), "best"
    if colon and checkpoint == "last":
        return Path(folder), "last"
    return Path(word), None


def open_ingredients(
    runs: Sequence[str | Path], overrides: Sequence[str] = (), *, unrelated: bool = False
) -> list[Ingredient]:
    """Return the ingredients, the one with the best stored score first, whatever the order in which they are named.

    Args:
        runs: ``RUN``, ``RUN:last`` or ``RUN:best``; without a checkpoint, the one that the run was scored with.
        overrides: on every stored recipe.
        unrelated: also take runs that did not begin from the same weights.

    Raises:
        RecipeError: an override changes what a soup does not read.
        RunError: there is none, one is no finished run or is named twice, or they cannot be averaged.
    """
    found: dict[tuple[Path, str], Ingredient] = {}
    for word in runs:
        path, checkpoint = parse_ingredient(word)
        folder, recipe = opened(path, overrides, read=READ, unread=())
        one = Ingredient(
            folder=folder, checkpoint=checkpoint or recipe.evaluate.checkpoint, facts=read_run(path), recipe=recipe
        )
        if one.place in found:
            raise RunError(f"{one.name}: is named twice: name each checkpoint once")
        found[one.place] = one
    if not found:
        raise RunError("name the runs that the soup is made of")
    ingredients = sorted(found.values(), key=lambda one: (-one.facts.score, *map(str, one.place)))
    for other in ingredients[1:]:
        check_alike(ingredients[0], other, unrelated=unrelated)
    return ingredients


def ancestors(folder: RunFolder) -> set[Path]:
    """Return the resolved folders of the runs that a run goes on with, as far back as they are still there."""
    found: set[Path] = set()
    while folder.exists() and (name := folder.recipe().train.continue_from) is not None:
        places = [RunFolder(folder.path.resolve().parent / name), RunFolder(name)]
        folder = next((place for place in places if place.exists()), places[0])
        if folder.path.resolve() in found:
            break
        found.add(folder.path.resolve())
    return found


def check_alike(first: Ingredient, other: Ingredient, *, unrelated: bool = False) -> None:
    """Check that two checkpoints can be averaged, and scored in one way.

    Their models and classes must be the same, tensor by tensor, and they must have begun from the same weights: the
    seed makes those, so runs that vary anything but the seed and the model share them, and so do the stages of a run
    that was continued. Networks that began differently compute the same things with different channels; their mean
    computes nothing (Frankle et al. 2020, "Linear mode connectivity and the lottery ticket hypothesis").

    Args:
        first: one of them.
        other: the one that the message is about.
        unrelated: do not ask how they began.

    Raises:
        RunError: they cannot; the message names the first difference.
    """
    _check_model(first, other, unrelated=unrelated)
    _check_labels(first, other)
    _check_tensors(first, other)
    if not unrelated and first.recipe.train.seed != other.recipe.train.seed:
        raise RunError(
            f"{other.name}: did not begin from the weights that {first.name} began from (train.seed="
            f"{other.recipe.train.seed}, not {first.recipe.train.seed}), and the mean of such networks is worth "
            "nothing: take runs of one seed, or try it with --unrelated"
        )
    mine, theirs = _scoring(first.recipe), _scoring(other.recipe)
    for key in sorted(mine.keys() | theirs.keys()):
        if mine.get(key) != theirs.get(key):
            raise RunError(
                f"{other.name}: is scored with {key}={theirs.get(key)}, and {first.name} with {mine.get(key)}: say "
                f"which one holds for the soup ({key}=VALUE)"
            )


def _check_model(first: Ingredient, other: Ingredient, *, unrelated: bool) -> None:
    """The stored recipes are compared: fit for this machine they do not say any more where their weights began."""
    kinds = [one.facts.recipe.model.name for one in (first, other)]
    if kinds[0] != kinds[1]:
        raise RunError(
            f"{other.name}: is a {kinds[1]} and {first.name} a {kinds[0]}: different models cannot be averaged"
        )
    mine, theirs = (dotted({"model": one.facts.recipe.model.model_dump(mode="json")}) for one in (first, other))
    for key in sorted(mine.keys() | theirs.keys()):
        if mine.get(key) != theirs.get(key) and not (unrelated and key == "model.pretrained"):
            raise RunError(
                f"{other.name}: has {key}={theirs.get(key)}, and {first.name} has {mine.get(key)}: only weights of one "
                "model can be averaged"
            )


def _check_labels(first: Ingredient, other: Ingredient) -> None:
    mine, theirs = first.facts.labels, other.facts.labels
    if (mine.names, mine.to_train, mine.extra) != (theirs.names, theirs.to_train, theirs.extra):
        raise RunError(
            f"{other.name}: learnt {len(theirs)} classes ({theirs.names[0]}, ...), which are not the {len(mine)} of "
            f"{first.name} ({mine.names[0]}, ...): only models of the same classes can be averaged"
        )


def _check_tensors(first: Ingredient, other: Ingredient) -> None:
    """Compare names, shapes and types; the tensors are not read for it."""
    with open_weights(first.file) as mine, open_weights(other.file) as theirs:
        for name in sorted({*mine.names, *theirs.names}):
            here, there = (file.kind(name) if name in file.names else "missing" for file in (mine, theirs))
            if here != there:
                raise RunError(
                    f"{other.name}: {name} is {there}, and in {first.name} it is {here}: only weights of one model can "
                    "be averaged"
                )


def _scoring(recipe: Recipe) -> dict[str, Any]:
    """Return the fields that decide on what, and how, an ingredient is scored."""
    tree = recipe.model_dump(mode="json")
    flat = dotted({section: tree[section] for section in ("data", "evaluate")})
    size = {"augment.size": tree["augment"]["size"], "train.precision": tree["train"]["precision"]}
    return {key: value for key, value in {**flat, **size}.items() if key not in FREE}
