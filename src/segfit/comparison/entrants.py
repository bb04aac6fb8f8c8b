"""Who competes: trainings that differ only in their seed are one entrant, whose score is their mean."""

from dataclasses import dataclass
from itertools import takewhile

from segfit.comparison.curves import ScoreName
from segfit.comparison.facts import RunFacts
from segfit.comparison.settings import recipe_texts
from segfit.comparison.table import Group, Row

__all__ = ["Entrant", "entrants"]


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """Trainings of one recipe with different seeds.

    Attributes:
        name: what the recipe is called, unique in its group.
        rows: one row a training, best first.
    """

    name: str
    rows: tuple[Row, ...]

    @property
    def runs(self) -> list[RunFacts]:
        """The facts of the rows, in the same order."""
        return [row.run for row in self.rows if row.run is not None]

    @property
    def soup(self) -> bool:
        """It is an average of trainings, not one more of them."""
        return any(run.soup for run in self.runs)

    def score(self, name: ScoreName) -> float:
        """Return the mean of the metric `name` over its trainings."""
        return sum(row.score(name) for row in self.rows) / len(self.rows)

    @property
    def number(self) -> int:
        """The number of the row that was given first; figures colour by it."""
        return min(row.number for row in self.rows)


def entrants(group: Group) -> tuple[Entrant, ...]:
    """Return the entrants of a group, those of the highest mean score first, then by name.

    Trainings of one entrant have the same settings (`comparison.settings`). Two
    runs of one recipe and one seed are two entrants, since the second is no other draw from the seeds; a soup is one
    beside its ingredients.
    """
    members: dict[tuple[str, int], list[Row]] = {}
    seen: dict[tuple[str, int], int] = {}
    texts = recipe_texts(group.runs)
    # By their places, so that the order in which runs are named does not choose among copies of a seed.
    for row, run, text in sorted(
        zip(group.rows, group.runs, texts, strict=True), key=lambda one: one[1].path.resolve()
    ):
        key, seed = _key(run, text), run.recipe.train.seed
        copy = seen[key, seed] = seen.get((key, seed), -1) + 1
        members.setdefault((key, copy), []).append(row)
    order = {row.name: position for position, row in enumerate(group.rows)}
    lists = [sorted(rows, key=lambda row: order[row.name]) for rows in members.values()]
    names = _names(lists)
    made = [Entrant(name=name, rows=tuple(rows)) for name, rows in zip(names, lists, strict=True)]
    return tuple(sorted(made, key=lambda entrant: (-entrant.score(group.protocol.score), entrant.name)))


def _key(run: RunFacts, recipe: str) -> str:
    """Return what tells the run's entrant from others, but for the seed; `recipe` is its part of the settings."""
    soup = str(run.path) if run.soup else None
    return repr((recipe, run.training.parameters, soup))


def _names(lists: list[list[Row]]) -> list[str]:
    """Return the name of each recipe, or what its trainings' names begin with; where that is not its own, a row's.

    Several trainings never bear the name of one run.
    """
    common = [_common(rows) for rows in lists]
    runs = {row.name for rows in lists for row in rows}
    names = []
    for rows, name in zip(lists, common, strict=True):
        taken = runs if len(rows) > 1 else runs - {rows[0].name}
        own = rows[0].name if len(rows) == 1 else f"{rows[0].name} and {len(rows) - 1} alike"
        names.append(name if name and common.count(name) == 1 and name not in taken else own)
    return names


def _common(rows: list[Row]) -> str:
    """Return what the recipes' names begin with in common, without a torn word (``unet-8-seed``) at its end."""
    names = sorted({row.run.recipe.name for row in rows if row.run is not None})
    if len(names) == 1:
        return names[0]
    same = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    common = "".join(letters[0] for letters in same)
    if all(name[len(common) :][:1].isdigit() for name in names):
        common = common.rstrip("0123456789")
    return common.rstrip(" -_.").removesuffix("seed").rstrip(" -_.")
