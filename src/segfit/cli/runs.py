"""The verbs on finished runs: look at them, use them."""

from pathlib import Path
from typing import Any

import click

from segfit.cli.common import (
    PATH,
    as_json,
    checkpoint_option,
    evaluation_option,
    main_rank,
    overrides,
    run_argument,
    runs_argument,
    show_comparison,
    show_json,
    split_option,
)

__all__ = ["compare", "evaluate", "predict", "report", "score", "submit"]

# --- look at runs ----------------------------------------------------------------------------------------------------


@click.command()
@run_argument
@overrides
@split_option
@click.option(
    "--protocol",
    type=click.Choice(["original", "mmseg", "paper"]),
    help="Fix how images are brought in and at which size they are scored [default: the recipe's].",
)
@checkpoint_option
@click.option("--per-image", type=PATH, help="Also write the counts of each image into this parquet file.")
@click.option("--save", metavar="NAME", help="Keep the result in the run, for compare and report --evaluation NAME.")
@as_json
def evaluate(
    run: Path,
    overrides: tuple[str, ...],
    split: str | None,
    protocol: Any,
    checkpoint: Any,
    per_image: Path | None,
    save: str | None,
    as_json: bool,
) -> None:
    """Score a run; the run keeps the scores of its end, and others under the name that --save gives them.

    KEY=VALUE changes the stored recipe, so other data can be scored (data.root=PATH), or the same in another way
    (evaluate.window=sliding, evaluate.flip=true).

    Protocols: original is the input as in training, scored at each image's original size; mmseg is short side 512,
    bilinear, scored at the original size, as published ADE20K scores are taken; paper is images and masks squashed to
    the training size.
    """
    from segfit import use
    from segfit.comparison.text import evaluation_text
    from segfit.folder import RunFolder

    facts = use.evaluate(
        run,
        split=split,
        protocol=protocol,
        checkpoint=checkpoint,
        overrides=overrides,
        per_image=per_image,
        save=save,
    )
    if not main_rank():
        return
    if not RunFolder(run).finished():
        click.echo(f"{run}: is not finished: this is what it can do so far", err=True)
    if as_json:
        show_json(facts)
    else:
        click.echo(evaluation_text(facts))


@click.command()
@runs_argument
@click.option("--json", "as_json", is_flag=True, help="Print facts as JSON.")
@click.option("--markdown", is_flag=True, help="Print Markdown.")
@click.option("--csv", is_flag=True, help="Print CSV with raw numbers in base units.")
@click.option("--latex", is_flag=True, help="Print LaTeX (booktabs).")
@evaluation_option
def compare(
    runs: tuple[Path, ...], evaluation: str | None, as_json: bool, markdown: bool, csv: bool, latex: bool
) -> None:
    """Print the comparison table of several runs, best score first, with intervals and a verdict."""
    if as_json + markdown + csv + latex > 1:
        raise click.UsageError("--json, --markdown, --csv and --latex exclude each other: choose one")
    from segfit.comparison.comparing import compare as compare_runs

    comparison = compare_runs(runs, evaluation=evaluation)
    if not (as_json or markdown or csv or latex):
        show_comparison(comparison, as_json=False)
        return
    chosen = {
        comparison.to_json: as_json,
        comparison.to_markdown: markdown,
        comparison.to_csv: csv,
        comparison.to_latex: latex,
    }
    click.echo(next(write for write, wanted in chosen.items() if wanted)(), nl=False)


@click.command()
@runs_argument
@click.option("--out", type=PATH, default=Path("report.html"), show_default=True, help="The HTML file.")
@click.option(
    "--tables",
    type=PATH,
    help="Folder for Markdown, LaTeX, tables and figures, too; those of an earlier report are replaced.",
)
@evaluation_option
@as_json
def report(runs: tuple[Path, ...], evaluation: str | None, out: Path, tables: Path | None, as_json: bool) -> None:
    """Write one self-contained HTML file about several runs."""
    from segfit.report.write import write_report

    written = {"report": write_report(runs, out, tables, evaluation=evaluation)}
    if tables is not None:
        written["tables"] = tables
    if as_json:
        show_json(written)
    else:
        click.echo("\n".join(map(str, written.values())))


# --- use runs --------------------------------------------------------------------------------------------------------


@click.command()
@run_argument
@click.argument("images", metavar="IMAGE...", type=PATH, nargs=-1, required=True)
@click.option("--out", type=PATH, default=Path("predictions"), show_default=True, help="Folder for the masks.")
@click.option("--overlay", is_flag=True, help="Also write each image with its mask over it.")
@click.option("--set", "changes", metavar="KEY=VALUE", multiple=True, help="Change the stored recipe; may be repeated.")
@checkpoint_option
@as_json
def predict(
    run: Path,
    images: tuple[Path, ...],
    out: Path,
    overlay: bool,
    changes: tuple[str, ...],
    checkpoint: Any,
    as_json: bool,
) -> None:
    """Segment images, or folders of them; masks are index PNGs whose values are train ids."""
    from segfit import use

    written = use.predict(run, images, out, with_overlay=overlay, checkpoint=checkpoint, overrides=changes)
    if as_json:
        show_json([str(path) for path in written])
    else:
        click.echo("\n".join(map(str, written)))


@click.command()
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
        show_json({"submission": out, "images": count})
    else:
        click.echo(f"{out}: {count} images")


@click.command()
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
        show_json(facts)
    else:
        click.echo(evaluation_text(facts))
