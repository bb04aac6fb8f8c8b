"""What the verbs share: arguments, options and the printing of facts."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from segfit.comparison.comparing import Comparison

__all__ = [
    "PATH",
    "as_json",
    "checkpoint_option",
    "evaluation_option",
    "main_rank",
    "overrides",
    "print_comparison",
    "run_argument",
    "runs_argument",
    "show_comparison",
    "show_json",
    "split_option",
    "wide_console",
]

PATH = click.Path(path_type=Path)

PIPE_WIDTH = 200
"""Columns of a table that does not go to a terminal."""

overrides = click.argument("overrides", metavar="[KEY=VALUE]...", nargs=-1)
as_json = click.option("--json", "as_json", is_flag=True, help="Print facts as JSON.")
run_argument = click.argument("run", type=PATH)
runs_argument = click.argument("runs", metavar="RUN...", type=PATH, nargs=-1, required=True)
split_option = click.option("--split", help="Split to take [default: the recipe's validation split].")
checkpoint_option = click.option(
    "--checkpoint", type=click.Choice(["best", "last"]), help="Weights to take [default: the recipe's choice]."
)
evaluation_option = click.option(
    "--evaluation",
    metavar="NAME",
    help="Compare what segfit evaluate --save NAME kept [default: the scores of the runs' ends].",
)


def main_rank() -> bool:
    """Whether this process is the one that prints."""
    return os.environ.get("RANK", "0") == "0"


def show_json(facts: Any) -> None:
    """Print facts as JSON on stdout."""
    click.echo(json.dumps(facts, indent=2, ensure_ascii=False, default=str))


def print_comparison(runs: list[Path], as_json: bool) -> None:
    """Print the comparison table of runs on stdout."""
    from segfit.comparison.comparing import compare as compare_runs

    show_comparison(compare_runs(runs), as_json)


def show_comparison(comparison: "Comparison", as_json: bool) -> None:
    """Print a comparison on stdout."""
    if as_json:
        click.echo(comparison.to_json())
        return
    wide_console().print(comparison.to_rich())


def wide_console() -> "Console":
    """Return what prints tables on stdout: as wide as the terminal, and wide where there is none."""
    from rich.console import Console

    # A pipe has no width of its own; neither paths nor lines to paste may be broken to 80 columns there.
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
