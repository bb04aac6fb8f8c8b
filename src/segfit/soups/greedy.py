"""Uniform and greedy soups (Wortsman et al. 2022, "Model soups: averaging weights of multiple fine-tuned models")."""

from collections.abc import Sequence

from segfit.soups.kitchen import Kitchen, Tasting

__all__ = ["greedy", "uniform"]


def uniform(kitchen: Kitchen, singles: Sequence[Tasting]) -> None:
    """Keep the plain mean of all ingredients.

    Args:
        kitchen: has the ingredients.
        singles: what each of them scores.
    """
    kitchen.keep(kitchen.taste(kitchen.equally(range(len(singles))), "mean of all"))


def greedy(kitchen: Kitchen, singles: Sequence[Tasting]) -> None:
    """Keep the mean of the ingredients that do no harm; arguments as in `uniform`.

    The soup begins as the best ingredient, exactly as it is or, if that scores better, with its normalisation measured
    again: what that gains is not to be credited to averaging. The others are added in the order of their scores, each
    only if the mean with it scores no worse; so on the split that chooses, the soup is never below its best ingredient.
    A mixture whose loss is not a number is left out.
    """
    order = sorted(range(len(singles)), key=lambda i: (not singles[i].sound, -singles[i].score))
    inside, best = [order[0]], singles[order[0]]
    kitchen.cook(best.weights, measured=False)
    kitchen.keep(best)
    measured = kitchen.taste_measured(order[0]) if len(order) > 1 else None
    if measured is not None and measured.sound and measured.score > best.score:
        best = measured
        kitchen.keep(best)
    for index in order[1:]:
        mixture = kitchen.taste(kitchen.equally([*inside, index]), f"with {kitchen.ingredients[index].name}")
        if mixture.sound and mixture.score >= best.score:
            inside.append(index)
            best = mixture
            kitchen.keep(best)
