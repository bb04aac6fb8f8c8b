"""``segfit data scenes``."""

from pathlib import Path

import click

from segfit.cli.common import PATH, as_json, show_json

__all__ = ["scenes"]


@click.command()
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
        show_json({"root": out, "training": train, "validation": val})
    else:
        click.echo(f"{out}: {train} training and {val} validation images")
