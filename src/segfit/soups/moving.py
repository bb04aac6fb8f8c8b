"""Averages along one training: checkpoints of a run and of those that continued it, the later ones counting more."""

from collections.abc import Sequence

from segfit.errors import RunError
from segfit.soups.ingredients import Ingredient, ancestors
from segfit.soups.kitchen import Kitchen, Tasting
from segfit.training.checkpoint import open_weights

__all__ = ["moving", "moving_weights", "stage_weights"]

DECAY = 0.5
"""What a checkpoint counts, compared with the next one."""


def moving(kitchen: Kitchen, singles: Sequence[Tasting]) -> None:
    """Keep the exponential moving average over the checkpoints in the order of their epochs.

    Polyak's average (Polyak and Juditsky 1992) with the weights that an exponential one has after its last update;
    the plain mean of the same checkpoints, which is SWA's (Izmailov et al. 2018), is a uniform soup.

    Args:
        kitchen: has the ingredients.
        singles: what each of them scores.

    Raises:
        RunError: what `stage_weights` raises.
    """
    assert len(singles) == len(kitchen.ingredients)
    kitchen.keep(kitchen.taste(stage_weights(kitchen.ingredients), "moving average"))


def stage_weights(ingredients: Sequence[Ingredient]) -> tuple[float, ...]:
    """Return the weight of each ingredient in the moving average along their training.

    Raises:
        RunError: they are not stages of one training, or two are of one epoch.
    """
    before = [ancestors(one.folder) for one in ingredients]
    furthest = max(range(len(ingredients)), key=lambda i: len(before[i]))
    line = {*before[furthest], ingredients[furthest].folder.path.resolve()}
    for one in ingredients:
        if one.folder.path.resolve() not in line:
            raise RunError(
                f"{one.name}: is no stage of the training of {ingredients[furthest].name}: a moving average needs "
                "checkpoints of one training: use --how uniform"
            )
    return moving_weights([_epoch(one) for one in ingredients], [one.name for one in ingredients])


def moving_weights(epochs: Sequence[int], names: Sequence[str]) -> tuple[float, ...]:
    """Return the weight of each checkpoint in an exponential moving average that began with the earliest one."""
    order = sorted(range(len(epochs)), key=epochs.__getitem__)
    weights = [0.0] * len(epochs)
    for before, index in zip([None, *order], order, strict=False):
        if before is None:
            weights[index] = 1.0
            continue
        if epochs[before] == epochs[index]:
            raise RunError(
                f"{names[index]}: is of epoch {epochs[index]}, as {names[before]} is: a moving average needs the order "
                "of its checkpoints: name one of each epoch, or use --how uniform"
            )
        weights = [weight * DECAY for weight in weights]
        weights[index] = 1 - DECAY
    return tuple(weights)


def _epoch(ingredient: Ingredient) -> int:
    """Return the epoch that a checkpoint is of."""
    if ingredient.checkpoint == "last":
        return ingredient.facts.training.epochs
    with open_weights(ingredient.file) as stored:
        return int(stored.facts.get("epoch", ingredient.facts.training.epochs))
