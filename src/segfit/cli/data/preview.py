"""``segfit data preview``."""

from pathlib import Path

import click

from segfit.cli.common import PATH, as_json, overrides, show_json

__all__ = ["preview"]

COUNT = click.IntRange(1, 100)


@click.command()
@click.argument("dataset", metavar="DATASET")
@overrides
@click.option("--out", type=PATH, default="preview.png", show_default=True, help="PNG to write.")
@click.option("--images", type=COUNT, default=6, show_default=True, help="Images to show, one a row.")
@click.option("--samples", type=COUNT, default=4, show_default=True, help="Augmented samples of each.")
@click.option(
    "--seed", type=click.IntRange(min=0), help="Another seed, other images and samples [default: train.seed]."
)
@click.option("--split", help="Split to take the images from [default: the training split].")
@as_json
def preview(
    dataset: str,
    overrides: tuple[str, ...],
    out: Path,
    images: int,
    samples: int,
    seed: int | None,
    split: str | None,
    as_json: bool,
) -> None:
    """Draw what training sees: images with their masks, and augmented samples of them.

    DATASET is the folder of a dataset, a run or a recipe; KEY=VALUE changes the recipe: augment.preset=strong.
    """
    from segfit.console import waiting
    from segfit.curation.opening import open_dataset
    from segfit.curation.preview import preview as draw_preview

    opened = open_dataset(dataset, overrides)
    with waiting("drawing samples") as progress:
        draw_preview(opened, out, images=images, samples=samples, seed=seed, split=split, progress=progress)
    if as_json:
        show_json(
            {"file": out, "split": split or opened.recipe.data.train, "augment": opened.recipe.augment.model_dump()}
        )
    else:
        click.echo(out)
