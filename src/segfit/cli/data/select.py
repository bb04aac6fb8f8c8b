"""``segfit data select``."""

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segfit.cli.common import PATH, as_json, overrides, show_json, wide_console
from segfit.errors import RecipeError

if TYPE_CHECKING:
    from segfit.curation.select import Chooser, Filter, Selection

__all__ = ["select"]


@click.command()
@click.argument("dataset", metavar="DATASET")
@overrides
@click.option("--out", type=PATH, required=True, help="List file to write, for data.train=FILE.")
@click.option("--rest", type=PATH, help="List file for what --count or --share leaves over.")
@click.option("--split", help="Split to select from [default: the training split].")
@click.option("--scene", "scenes", metavar="NAME", multiple=True, help="Of this scene category; * and ? are wildcards.")
@click.option(
    "--with", "with_", metavar="CLASS[:SHARE]", multiple=True, help="Showing this class: sky, sky:0.2 or sky:0.2-0.5."
)
@click.option("--without", metavar="CLASS[:SHARE]", multiple=True, help="Not showing it.")
@click.option(
    "--without-near-duplicates",
    "near",
    metavar="[LIKENESS]",
    is_flag=False,
    flag_value="",
    help="Not like an image that is kept [default: as alike as segfit data check reports].",
)
@click.option("--count", type=click.IntRange(min=1), help="Choose so many of them.")
@click.option("--share", type=float, help="Choose this part of them: 0.1.")
@click.option("--stratified", is_flag=True, help="Choose at random, every class by its share.")
@click.option("--rare", is_flag=True, help="Choose those whose classes are the rarest.")
@click.option("--hard", metavar="RUN|FILE", type=PATH, help="Choose those that a run scored worst on.")
@click.option("--diverse", metavar="BACKBONE|RUN", help="Choose those that differ most: resnet50, …")
@click.option("--weights", type=PATH, help="Weights of the backbone [default: torchvision's, downloaded].")
@click.option("--seed", type=click.IntRange(min=0), help="Of a random choice [default: 0].")
@click.option("--chart", type=PATH, help="Draw the classes before and after: FILE.png or FILE.svg.")
@as_json
def select(
    dataset: str,
    overrides: tuple[str, ...],
    out: Path,
    rest: Path | None,
    split: str | None,
    chart: Path | None,
    as_json: bool,
    **criteria: Any,
) -> None:
    """Select images to train on and write them as a list.

    DATASET is the folder of a dataset, a run or a recipe; KEY=VALUE changes the recipe: data.ignore=[11]. --scene,
    --with and --without may be repeated. An image must have one of the scenes and pass every other filter. Of those
    that do, --count or --share chooses: at random, or by one of --stratified, --rare, --hard and --diverse.
    """
    filters, way = _filters(criteria), _way(criteria)
    if not filters and way is None:
        raise RecipeError("nothing to select by: name a filter (--with sky), a number (--count 100) or a share")
    if rest is not None and way is None:
        raise RecipeError(f"--rest {rest}: is what --count or --share leaves over: add one of them")

    from segfit.curation.opening import open_dataset
    from segfit.curation.select import select_images
    from segfit.curation.select.chart import check_chart, write_chart
    from segfit.curation.select.lists import Lists
    from segfit.curation.select.report import selection_facts

    # Whatever can be wrong is found before the classes are counted, which takes long.
    if chart is not None:
        check_chart(chart)
    opened = open_dataset(dataset, overrides)
    lists = Lists(opened, out, rest)
    chooser = _chooser(way, criteria, str(opened.recipe.train.device)) if way is not None else None
    selection = select_images(
        opened, split=split, filters=filters, chooser=chooser, count=criteria["count"], share=criteria["share"]
    )
    facts = {"command": _command(dataset, overrides, selection, out, rest), **selection_facts(selection)}
    lists.write(selection.chosen, selection.rest, facts)
    if chart is not None:
        write_chart(selection, chart)
    if as_json:
        show_json({**facts, "list": out, "rest": rest, "chart": chart})
    else:
        _print(selection, out, rest)


def _filters(criteria: Mapping[str, Any]) -> "list[Filter]":
    """Return the filters, the cheapest first."""
    from segfit.curation.select.criteria import Scenes, With, Without

    filters: list[Filter] = [Scenes(criteria["scenes"])] if criteria["scenes"] else []
    filters += [With(text) for text in criteria["with_"]]
    filters += [Without(text) for text in criteria["without"]]
    if criteria["near"] is not None:
        filters.append(_without_near_duplicates(criteria["near"]))
    return filters


def _without_near_duplicates(likeness: str) -> "Filter":
    from segfit.curation.select.near_duplicates import WithoutNearDuplicates

    try:
        return WithoutNearDuplicates(float(likeness)) if likeness else WithoutNearDuplicates()
    except ValueError:
        raise RecipeError(f"--without-near-duplicates {likeness}: not a number above 0 and up to 1") from None


def _way(criteria: Mapping[str, Any]) -> str | None:
    """Return by what images are chosen; None where all that pass the filters are taken.

    Raises:
        RecipeError: two ways to choose, no number, or an option that the way does not have.
    """
    ways = [name for name in ("stratified", "rare", "hard", "diverse") if criteria[name]]
    if len(ways) > 1:
        raise RecipeError(f"--{ways[0]} and --{ways[1]} exclude each other: choose in one way")
    way = ways[0] if ways else "random"
    count, share, seed, weights = (criteria[name] for name in ("count", "share", "seed", "weights"))
    if weights is not None and way != "diverse":
        raise RecipeError(f"--weights {weights}: only --diverse has a backbone: leave it out or add --diverse")
    if seed is not None and way not in ("random", "stratified"):
        raise RecipeError(f"--seed {seed}: --{way} leaves nothing to chance: leave --seed out")
    if count is None and share is None:
        if ways or seed is not None:
            raise RecipeError(f"--{ways[0] if ways else 'seed'}: choose how many? add --count N or --share 0.1")
        return None
    return way


def _chooser(way: str, criteria: Mapping[str, Any], device: str) -> "Chooser":
    """Return what chooses in that way; networks are opened on `device`."""
    if way == "diverse":
        from segfit.curation.select.diversity import Diverse
        from segfit.curation.select.embedding import open_backbone

        return Diverse(open_backbone(criteria["diverse"], criteria["weights"], device))
    from segfit.curation.select.choosers import Hardest, Random, Rarest, Stratified

    builders: dict[str, Callable[[], Chooser]] = {
        "random": lambda: Random(criteria["seed"] or 0),
        "stratified": lambda: Stratified(criteria["seed"] or 0),
        "rare": Rarest,
        "hard": lambda: Hardest(criteria["hard"]),
    }
    return builders[way]()


def _command(dataset: str, overrides: tuple[str, ...], selection: "Selection", out: Path, rest: Path | None) -> str:
    """Return the command that repeats the selection."""
    words = ["segfit", "data", "select", dataset, *overrides, "--split", selection.split]
    words += [word for dropped in selection.dropped for word in dropped.words]
    words += ["--out", str(out), *(["--rest", str(rest)] if rest is not None else [])]
    return shlex.join(words)


def _print(selection: "Selection", out: Path, rest: Path | None) -> None:
    from segfit.curation.select.report import selection_text

    wide_console().print(selection_text(selection))
    data = selection.dataset.recipe.data
    field = "validation" if selection.split == data.validation != data.train else "train"
    click.echo(f"use it: data.{field}={out.absolute()}", err=True)
    if rest is not None:
        click.echo(f"the rest: data.validation={rest.absolute()}", err=True)
