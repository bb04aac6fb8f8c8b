"""The command line: verbs, thin. Everything heavy is imported inside them, so that ``--help`` answers at once."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from segfit import __version__
from segfit.errors import Interrupted, RecipeError, UserError

__all__ = ["main", "run_command"]

Verb = TypeVar("Verb", bound=Callable[..., Any])
PATH = click.Path(path_type=Path)

overrides = click.argument("overrides", metavar="[KEY=VALUE]...", nargs=-1)
as_json = click.option("--json", "as_json", is_flag=True, help="Print facts as JSON.")
run_argument = click.argument("run", type=PATH)
runs_argument = click.argument("runs", metavar="RUN...", type=PATH, nargs=-1, required=True)
split_option = click.option("--split", help="Split to take [default: the recipe's validation split].")
checkpoint_option = click.option(
    "--checkpoint", type=click.Choice(["best", "last"]), help="Weights to take [default: the recipe's choice]."
)


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """Run one command and return its exit code; wrong input ends in one line on stderr and 2.

    Args:
        arguments: the words after ``segfit``.
    """
    try:
        result = app(arguments, prog_name="segfit", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.Abort:
        return 130
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except (click.ClickException, UserError, OSError) as error:
        return _fail(error.format_message() if isinstance(error, click.ClickException) else str(error), 2)
    except Interrupted as error:
        return _fail(str(error), 128 + error.number)
    except (MemoryError, RuntimeError) as error:
        reason = _failure(error)
        if reason is None:
            raise
        return _fail(reason, 1)


def _failure(error: Exception) -> str | None:
    """Return what to say of a failure that is not our own bug; None if it is."""
    text = str(error).lower()
    # torch reports a full memory as a RuntimeError on the CPU and as a subclass of it on a GPU.
    if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
        return "out of memory: lower train.batch, raise train.accumulate or shrink augment.size"
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and ("gloo" in text or "nccl" in text or "connection" in text):
        return "another rank ended; see what it said"
    return None


def _fail(message: str, code: int) -> int:
    rank = os.environ.get("RANK", "0")
    speaker = "segfit" if rank == "0" else f"segfit, rank {rank}"
    click.echo(f"{speaker}: {' '.join(message.split())}", err=True)
    return code


def _main_rank() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _show(facts: Any) -> None:
    click.echo(json.dumps(facts, indent=2, ensure_ascii=False, default=str))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="segfit", message="%(prog)s %(version)s")
def app() -> None:
    """Fit segmentation models to the hardware you have, and learn which one to keep."""


# --- train and study -------------------------------------------------------------------------------------------------


@app.command()
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

    if resumed is not None:
        if out is not None:
            raise RecipeError("--out and --resume exclude each other: a resumed run stays in its folder")
        # Without a recipe, the first word is already an override.
        changes = [*([recipe] if recipe else []), *overrides]
        path = _resumable(f"segfit train --resume {resumed}", lambda: run.resume(resumed, overrides=changes))
    else:
        if recipe is None:
            raise RecipeError("name a recipe (segfit recipe list) or a run to go on with (--resume RUN)")
        chosen = run.overridden(recipe, overrides)
        folder = out or Path("runs") / chosen.name
        path = _resumable(f"segfit train --resume {folder}", lambda: run.train(chosen, folder))
    if _main_rank():
        _print_comparison([path], as_json)
        click.echo(f"run: {path}", err=True)


@app.command()
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
    if not _main_rank():
        return
    from segfit.comparison.report import write_report, write_tables

    write_tables(paths, folder)
    page = write_report(paths, folder / "report.html")
    _print_comparison(paths, as_json)
    click.echo(f"report: {page}", err=True)


def _resumable(again: str, verb: Callable[[], Any]) -> Any:
    """Call a training verb; when it is interrupted, say how to go on."""
    try:
        return verb()
    except Interrupted:
        if _main_rank():
            click.echo(f"segfit: a checkpoint was saved; go on with: {again}", err=True)
        raise


def _print_comparison(runs: list[Path], as_json: bool) -> None:
    from segfit.comparison.table import compare as compare_runs

    comparison = compare_runs(runs)
    if as_json:
        click.echo(comparison.to_json())
        return
    from rich.console import Console

    console = Console()
    # A pipe has no width of its own; the table must not be cut to 80 columns there.
    console.print(comparison.to_rich(), width=None if console.is_terminal else 200)


# --- look at runs ----------------------------------------------------------------------------------------------------


@app.command()
@run_argument
@overrides
@split_option
@checkpoint_option
@as_json
def evaluate(run: Path, overrides: tuple[str, ...], split: str | None, checkpoint: Any, as_json: bool) -> None:
    """Score a run at the images' original size.

    KEY=VALUE changes the stored recipe, so other data can be scored: data.root=PATH.
    """
    from segfit import use
    from segfit.comparison.text import evaluation_text

    facts = use.evaluate(run, split=split, checkpoint=checkpoint, overrides=overrides)
    if not _main_rank():
        return
    if as_json:
        _show(facts)
    else:
        click.echo(evaluation_text(facts))


@app.command()
@runs_argument
@click.option("--json", "form", flag_value="json", help="Print facts as JSON.")
@click.option("--markdown", "form", flag_value="markdown", help="Print Markdown.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV with raw numbers in base units.")
@click.option("--latex", "form", flag_value="latex", help="Print LaTeX (booktabs).")
def compare(runs: tuple[Path, ...], form: Literal["json", "markdown", "csv", "latex"] | None) -> None:
    """Print the comparison table of several runs, best score first."""
    if form is None:
        _print_comparison(list(runs), as_json=False)
        return
    from segfit.comparison.table import compare as compare_runs

    comparison = compare_runs(runs)
    writers = {
        "json": comparison.to_json,
        "markdown": comparison.to_markdown,
        "csv": comparison.to_csv,
        "latex": comparison.to_latex,
    }
    click.echo(writers[form](), nl=False)


@app.command()
@runs_argument
@click.option("--out", type=PATH, default=Path("report.html"), show_default=True, help="The HTML file.")
@click.option("--tables", type=PATH, help="Also write tables and figures into this folder.")
@as_json
def report(runs: tuple[Path, ...], out: Path, tables: Path | None, as_json: bool) -> None:
    """Write one self-contained HTML file about several runs."""
    from segfit.comparison.report import write_report, write_tables

    written = {"report": write_report(runs, out)}
    if tables is not None:
        written["tables"] = write_tables(runs, tables)
    if as_json:
        _show(written)
    else:
        click.echo("\n".join(map(str, written.values())))


# --- use runs --------------------------------------------------------------------------------------------------------


@app.command()
@run_argument
@click.argument("images", metavar="IMAGE...", type=PATH, nargs=-1, required=True)
@click.option("--out", type=PATH, default=Path("predictions"), show_default=True, help="Folder for the masks.")
@click.option("--overlay", is_flag=True, help="Also write each image with its mask over it.")
@checkpoint_option
@as_json
def predict(run: Path, images: tuple[Path, ...], out: Path, overlay: bool, checkpoint: Any, as_json: bool) -> None:
    """Segment images, or folders of them; masks are index PNGs whose values are train ids."""
    from segfit import use

    written = use.predict(run, images, out, with_overlay=overlay, checkpoint=checkpoint)
    if as_json:
        _show([str(path) for path in written])
    else:
        click.echo("\n".join(map(str, written)))


@app.command()
@run_argument
@overrides
@click.option("--out", type=PATH, default=Path("submission.csv"), show_default=True, help="The CSV file.")
@click.option(
    "--code",
    type=click.Choice(["pairs", "kaggle"]),
    default="pairs",
    show_default=True,
    help="pairs: (class, length) in row order; kaggle: (start, length) per class, column-major, from 1.",
)
@click.option("--images", type=PATH, multiple=True, help="Image or folder instead of a split; may be repeated.")
@split_option
@checkpoint_option
@as_json
def submit(
    run: Path,
    overrides: tuple[str, ...],
    out: Path,
    code: Any,
    images: tuple[Path, ...],
    split: str | None,
    checkpoint: Any,
    as_json: bool,
) -> None:
    """Segment a split, or images, and write run-length codes in the dataset's own class ids."""
    from segfit import use

    count = use.submit(run, out, code=code, images=images, split=split, checkpoint=checkpoint, overrides=overrides)
    if as_json:
        _show({"submission": out, "images": count})
    else:
        click.echo(f"{out}: {count} images")


@app.command()
@click.argument("submission", metavar="CSV", type=PATH)
@click.argument("against", metavar="RUN|RECIPE")
@overrides
@split_option
@as_json
def score(submission: Path, against: str, overrides: tuple[str, ...], split: str | None, as_json: bool) -> None:
    """Score a run-length-coded submission against the masks of a run's or a recipe's dataset."""
    from segfit import use
    from segfit.comparison.text import evaluation_text

    facts = use.score(submission, against, split=split, overrides=overrides)
    if as_json:
        _show(facts)
    else:
        click.echo(evaluation_text(facts))


# --- classes, recipes, data ------------------------------------------------------------------------------------------


@app.command()
@overrides
@click.option("--top", type=int, help="Keep the K most common classes.")
@click.option("--rest", type=click.Choice(["ignore", "other", "most-common"]), default="ignore", show_default=True)
@as_json
def classes(overrides: tuple[str, ...], top: int | None, rest: str, as_json: bool) -> None:
    """Print a class subset and the share of pixels that it covers.

    Of ADE20K by its published figures, or of the dataset that KEY=VALUE names (data.name=folder data.root=PATH).
    """
    from segfit import use
    from segfit.comparison.text import classes_text

    chosen = [] if top is None else [f"labels.top={top}"]
    facts = use.classes([*chosen, f"labels.rest={rest}", *overrides])
    if as_json:
        _show(facts)
    else:
        click.echo(classes_text(facts))


@app.group()
def recipe() -> None:
    """List, show and describe recipes."""


@recipe.command("list")
@as_json
def list_recipes(as_json: bool) -> None:
    """List the shipped recipes and studies."""
    from segfit.config import shipped

    facts = {"recipes": shipped("recipe"), "studies": shipped("study")}
    if as_json:
        _show(facts)
        return
    for kind, names in facts.items():
        click.echo("\n  ".join([f"{kind}:", *names]))


@recipe.command()
@click.argument("recipe")
@overrides
@click.option("--resolved", is_flag=True, help="With every derived value, as this machine would run it.")
@as_json
def show(recipe: str, overrides: tuple[str, ...], resolved: bool, as_json: bool) -> None:
    """Print a recipe as YAML: copy it, edit it, train it."""
    from segfit.config import load_recipe, to_yaml

    loaded = load_recipe(recipe, overrides)
    if resolved:
        from segfit.run import resolve

        loaded = resolve(loaded)
    click.echo(loaded.model_dump_json(indent=2) if as_json else to_yaml(loaded).rstrip())


@recipe.command()
def schema() -> None:
    """Print the JSON Schema of recipes, for editors."""
    from segfit.run import recipe_schema

    _show(recipe_schema())


@app.group()
def data() -> None:
    """Work on datasets."""


@data.command()
@click.argument("out", type=PATH)
@click.option("--train", type=click.IntRange(min=1), default=240, show_default=True, help="Training images.")
@click.option("--val", type=click.IntRange(min=1), default=60, show_default=True, help="Validation images.")
@click.option("--size", type=click.IntRange(min=32), default=256, show_default=True, help="Short side in pixels.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed, other scenes.")
@as_json
def scenes(out: Path, train: int, val: int, size: int, seed: int, as_json: bool) -> None:
    """Write the synthetic scenes as a dataset in ADE20K's layout."""
    from segfit.console import waiting
    from segfit.data.scenes import write_scenes

    with waiting("drawing scenes") as progress:
        write_scenes(out, train_images=train, val_images=val, size=size, seed=seed, progress=progress)
    if as_json:
        _show({"root": out, "training": train, "validation": val})
    else:
        click.echo(f"{out}: {train} training and {val} validation images")
