"""``segfit data check``."""

from pathlib import Path

import click

from segfit.cli.common import PATH, as_json, overrides, show_json, wide_console

__all__ = ["check"]


@click.command()
@click.argument("dataset")
@overrides
@click.option("--split", "splits", multiple=True, help="Split to check; may be repeated [default: all].")
@click.option("--all", "every", is_flag=True, help="List every file instead of the first ones.")
@click.option("--ignore", metavar="CODE", multiple=True, help="Fault not to report; may be repeated.")
@click.option("--strict", is_flag=True, help="Exit with 1 on warnings, too.")
@click.option("--csv", "csv_file", type=PATH, help="Also write every fault into this CSV file.")
@click.option("--max-pixels", type=click.IntRange(min=1), help="Largest picture to decode [default: 100 million].")
@click.option("--max-bytes", type=click.IntRange(min=1), help="Largest file to read [default: 250 million].")
@click.option("--workers", type=click.IntRange(min=1), help="Threads [default: one per CPU core].")
@as_json
def check(
    dataset: str,
    overrides: tuple[str, ...],
    splits: tuple[str, ...],
    every: bool,
    ignore: tuple[str, ...],
    strict: bool,
    csv_file: Path | None,
    max_pixels: int | None,
    max_bytes: int | None,
    workers: int | None,
    as_json: bool,
) -> int:
    """Look for everything that can be wrong with a dataset's files, and change nothing.

    DATASET is a folder with images and masks, a run, or a recipe; KEY=VALUE changes its recipe. The exit code is 0 if
    no errors are found, 1 if some are, 2 if the input is wrong.
    """
    from segfit.console import waiting
    from segfit.curation.opening import open_dataset
    from segfit.data.check import LIMITS, Limits, check_dataset, report, require_codes
    from segfit.data.files import EVERYTHING
    from segfit.errors import DataError, did_you_mean

    ignored = require_codes(ignore)
    opened = open_dataset(dataset, overrides)
    known = [*opened.source.splits(), EVERYTHING]
    for split in splits:
        if split not in known and not split.endswith(".txt"):
            raise DataError(f"--split: there is no split {split!r}{did_you_mean(split, known)}")
    data = opened.recipe.data
    assert data.root is not None, "the recipe is resolved"
    with waiting("checking") as progress:
        result = check_dataset(
            opened.source,
            data.root,
            # The first split holds the originals of what is in several.
            splits or sorted(opened.splits, key=lambda split: split != data.train),
            limits=Limits(pixels=max_pixels or LIMITS.pixels, bytes=max_bytes or LIMITS.bytes),
            ignore=ignored,
            workers=workers,
            progress=progress,
        )
    if csv_file is not None:
        report.write_csv(result, csv_file)
    if as_json:
        show_json(report.facts(result))
    else:
        _print(report.file_lines(result) if every else report.to_table(result), report.summary(result))
    return 1 if result.count("error") or (strict and result.faults) else 0


def _print(faults: object, summary: str) -> None:
    """Print a table, or lines, and the summary on stdout."""
    from rich.table import Table

    if isinstance(faults, Table):
        if faults.row_count:
            wide_console().print(faults)
    elif isinstance(faults, list) and faults:
        click.echo("\n".join(faults))
    click.echo(summary)
