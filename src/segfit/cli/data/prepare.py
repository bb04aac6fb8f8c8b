"""``segfit data prepare``."""

import shlex
from pathlib import Path

import click

from segfit.cli.common import PATH, as_json, overrides, show_json

__all__ = ["prepare"]

SHORT_SIDE = 512
QUALITY = 90


@click.command()
@click.argument("dataset")
@click.argument("out", type=PATH)
@overrides
@click.option("--split", "splits", multiple=True, help="Split to take; repeatable [default: the training split].")
@click.option("--short-side", type=click.IntRange(min=1), help=f"Shrink larger images [default: {SHORT_SIDE}].")
@click.option("--jpeg", is_flag=True, help="Compress: a tenth of the size, slower to read.")
@click.option("--quality", type=click.IntRange(1, 100), help=f"Of the JPEGs [default: {QUALITY}].")
@click.option("--workers", type=click.IntRange(min=1), help="Threads [default: one per processor, at most 16].")
@click.option("--verify", is_flag=True, help="Write nothing: check an existing cache, byte by byte.")
@as_json
def prepare(
    dataset: str,
    out: Path,
    overrides: tuple[str, ...],
    splits: tuple[str, ...],
    short_side: int | None,
    jpeg: bool,
    quality: int | None,
    workers: int | None,
    verify: bool,
    as_json: bool,
) -> None:
    """Decode DATASET once into the folder OUT, from which training reads it without decoding.

    DATASET is a dataset's folder, a run or a recipe. The same command again goes on where it was stopped, mends what is
    damaged and renews what has changed.
    """
    from segfit.console import waiting
    from segfit.curation.opening import open_dataset
    from segfit.data.cache import Cache, Plan
    from segfit.data.cache import prepare as write_cache
    from segfit.data.cache import verify as verify_cache
    from segfit.units import memory

    if quality is not None and not jpeg:
        raise click.UsageError("--quality is of JPEGs: add --jpeg")
    if verify and (jpeg or short_side is not None):
        raise click.UsageError("--verify takes the cache as it is: leave out --short-side, --jpeg and --quality")
    opened = open_dataset(dataset, overrides)
    records = {split: opened.source.records(split) for split in splits or (opened.recipe.data.train,)}
    facts: dict[str, object] = {"cache": out, "records": {split: len(found) for split, found in records.items()}}
    if verify:
        with waiting("checking the cache") as progress:
            shards = verify_cache(out, workers=workers, progress=progress)
        Cache.open(out, [record for found in records.values() for record in found], opened.source)
        facts |= {"shards": shards, "intact": True}
        text = f"{out}: complete and intact"
    else:
        side = short_side or SHORT_SIDE

        def announce(plan: Plan) -> None:
            facts.update(bytes=plan.size, kept=plan.kept, written=plan.records - plan.kept)
            about = "about " if jpeg else ""
            click.echo(
                f"{plan.records} images at short side {side}: {about}{memory(plan.size)}, of which "
                f"{about}{memory(plan.missing)} are to be written; the disk has {memory(plan.free)} left",
                err=True,
            )

        with waiting("decoding") as progress:
            write_cache(
                opened.source,
                records,
                out,
                short_side=side,
                jpeg_quality=(quality or QUALITY) if jpeg else None,
                workers=workers,
                announce=announce,
                progress=progress,
            )
        use = shlex.quote(f"data.cache={out}")
        text = f"{out}: {facts['written']} images written, {facts['kept']} kept; train with: {use}"
    if as_json:
        show_json(facts)
    else:
        click.echo(text)
