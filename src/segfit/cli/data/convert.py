"""``segfit data convert``."""

import shlex
from pathlib import Path
from typing import Any

import click

from segfit.cli.common import PATH, as_json, show_json

__all__ = ["convert"]

FORMATS = """\b
Formats and their options:
  ade20k-full    full ADE20K, 2016 or 2021, to the 150 classes   --map
  cityscapes     leftImg8bit and gtFine, to the 19 classes
  voc            Pascal VOC                                      --masks
  coco           COCO JSON: polygons and run lengths             --background, --validation-share, --seed
  coco-panoptic  panoptic JSON and PNG
  coco-stuff     stuffthingmaps, to the 171 classes
  labelme        one JSON per image                              --background, --classes, --validation-share, --seed"""


@click.command(epilog=FORMATS)
@click.argument("format", metavar="FORMAT")
@click.argument("source", type=PATH)
@click.argument("out", type=PATH)
@click.option(
    "--images",
    type=click.Choice(["link", "copy", "symlink"]),
    default="link",
    show_default=True,
    help="How images get there; link makes hard links and copies where that is impossible.",
)
@click.option("--short-side", type=click.IntRange(min=16), help="Reduce images with a larger short side to this one.")
@click.option("--map", type=PATH, help="Map of class indices like mapFromADE.txt, instead of the published one.")
@click.option("--masks", help="Folder of the masks [default: SegmentationClass].")
@click.option(
    "--background",
    type=click.Choice(["class", "ignore"]),
    help="What unlabelled pixels are: a class, or ignored [default: class].",
)
@click.option("--classes", type=PATH, help="File with one class name per line [default: all labels, sorted].")
@click.option(
    "--validation-share", type=click.FloatRange(0, 1, min_open=True, max_open=True), help="Share to hold out."
)
@click.option("--seed", type=click.IntRange(min=0), help="Which images to hold out [default: 0].")
@as_json
def convert(
    format: str,  # noqa: A002 (the command's word)
    source: Path,
    out: Path,
    images: Any,
    short_side: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Convert annotations of other kinds to a dataset to train on."""
    from segfit.console import waiting
    from segfit.curation.convert import convert as convert_dataset

    given = {name: value for name, value in options.items() if value is not None}
    with waiting("converting") as progress:
        done = convert_dataset(format, source, out, images=images, short_side=short_side, progress=progress, **given)
    if as_json:
        show_json(done.facts())
        return
    from segfit.units import share

    placed = ", ".join(f"{count} {how}" for how, count in done.placed.items())
    click.echo(f"{out}: {done.classes} classes; images {placed}")
    for split, count in done.images.items():
        click.echo(f"  {split}: {count} images, {share(done.unlabelled[split])} of the pixels unlabelled")
    for note in done.notes:
        click.echo(f"note: {note}")
    click.echo(f"train on it: segfit train RECIPE {shlex.join(done.overrides)}")
