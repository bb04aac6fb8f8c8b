"""``segfit data stats``."""

from pathlib import Path

import click

from segfit.cli.common import PATH, as_json, overrides, show_json, wide_console

__all__ = ["stats"]


@click.command()
@click.argument("dataset", metavar="DATASET")
@overrides
@click.option("--split", "splits", multiple=True, help="Count this split; may be repeated [default: the dataset's].")
@click.option("--html", type=PATH, help="Also write one self-contained page with pictures.")
@as_json
def stats(dataset: str, overrides: tuple[str, ...], splits: tuple[str, ...], html: Path | None, as_json: bool) -> None:
    """Count classes, sizes and colours, and suggest what a recipe should say.

    DATASET is the folder of a dataset, a run or a recipe; KEY=VALUE changes the recipe: data.ignore=[11].
    """
    from segfit.console import waiting
    from segfit.curation.opening import open_dataset
    from segfit.curation.stats import dataset_stats
    from segfit.curation.stats.page import check_page, write_stats_page

    if html is not None:
        check_page(html)
    with waiting("counting") as progress:
        found = dataset_stats(open_dataset(dataset, overrides), splits, progress)
    if html is not None:
        write_stats_page(found, html)
        click.echo(f"{html}", err=True)
    if as_json:
        show_json(found.facts())
        return
    from segfit.curation.stats.text import StatsText

    wide_console().print(StatsText(found), crop=False)
