"""The verbs that train."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from segfit.cli.common import PATH, as_json, main_rank, overrides, print_comparison, show_comparison
from segfit.errors import Interrupted, RecipeError

__all__ = ["study", "train"]


@click.command()
@click.argument("recipe", required=False)
@overrides
@click.option("--out", type=PATH, help="Run folder [default: runs/NAME].")
@click.option("--resume", "resumed", metavar="RUN", type=PATH, help="Go on with this run instead of a recipe.")
@as_json
def train(
    recipe: str | None, overrides: tuple[str, ...], out: Path | None, resumed: Path | None, as_json: bool
) -> None:
    """Train one model, score its best checkpoint, and leave a run folder.

    RECIPE is a file, a run folder or a shipped name (segfit recipe list); KEY=VALUE changes it: train.epochs=3.
    """
    from segfit import run
    from segfit.parts import overridden

    if resumed is not None:
        if out is not None:
            raise RecipeError("--out and --resume exclude each other: a resumed run stays in its folder")
        # Without a recipe, the first word is already an override.
        changes = [*([recipe] if recipe else []), *overrides]
        path = _resumable(f"segfit train --resume {resumed}", lambda: run.resume(resumed, overrides=changes))
    else:
        if recipe is None:
            raise RecipeError("name a recipe (segfit recipe list) or a run to go on with (--resume RUN)")
        chosen = overridden(recipe, overrides)
        folder = out or Path("runs") / chosen.name
        path = _resumable(f"segfit train --resume {folder}", lambda: run.train(chosen, folder))
    if main_rank():
        print_comparison([path], as_json)
        click.echo(f"run: {path}", err=True)


@click.command()
@click.argument("study", metavar="STUDY")
@overrides
@click.option("--out", type=PATH, help="Folder of the runs and the report [default: runs/STUDY].")
@as_json
def study(study: str, overrides: tuple[str, ...], out: Path | None, as_json: bool) -> None:
    """Train several models, compare them and write the report.

    STUDY is a YAML list of recipes or a shipped name: demo, paper. The same command again goes on where it stopped.
    """
    from segfit import run

    folder = out or run.study_folder(study)
    paths = _resumable("the same command", lambda: run.study(study, folder, overrides=overrides))
    if not main_rank():
        return
    from segfit.report.content import build_report
    from segfit.report.write import write_results

    report = build_report(paths)
    page = write_results(report, folder)
    show_comparison(report.comparison, as_json)
    click.echo(f"report: {page}", err=True)


def _resumable(again: str, verb: Callable[[], Any]) -> Any:
    """Call a training verb; when it is interrupted, say how to go on."""
    try:
        return verb()
    except Interrupted:
        if main_rank():
            click.echo(f"segfit: a checkpoint was saved; go on with: {again}", err=True)
        raise
