"""``segfit plan``."""

import os
from pathlib import Path

import click

from segfit.cli.common import PATH, as_json, show_json, wide_console
from segfit.errors import RecipeError

__all__ = ["plan"]


@click.command()
@click.argument("words", metavar="RECIPE... [KEY=VALUE]...", nargs=-1, required=True)
@click.option("--gpu", metavar="NAME", help="Plan for this GPU: t4, v100, rtx3090, a100-80gb, h100 ...")
@click.option("--memory", metavar="SIZE", help="Plan for a GPU with this memory: 16GB.")
@click.option("--gpus", type=click.IntRange(min=1), default=1, show_default=True, help="How many of them.")
@click.option("--out", type=PATH, help="Also write the facts into this JSON file.")
@as_json
def plan(
    words: tuple[str, ...], gpu: str | None, memory: str | None, gpus: int, out: Path | None, as_json: bool
) -> None:
    """Say what a recipe will take, before a GPU is touched: memory, the largest batch, time.

    RECIPE is a file, a run folder, a shipped name (segfit recipe list) or a pattern of them ('paper/*'); KEY=VALUE
    changes all of them: train.batch=32. Without --gpu or --memory it is planned for train.fit, or for this machine.
    """
    from segfit import forecast
    from segfit.folder import write_json
    from segfit.planning.report import PlanTable

    if out is not None:
        _check_writable(out)
    names = [word for word in words if "=" not in word]
    plans = forecast.plan(names, overrides=[word for word in words if "=" in word], gpu=gpu, memory=memory, gpus=gpus)
    facts = {"plans": [made.facts() for made in plans]}
    if out is not None:
        write_json(out, facts)
        click.echo(f"{out}", err=True)
    if as_json:
        show_json(facts)
        return
    for device in dict.fromkeys(made.device.name for made in plans):
        wide_console().print(PlanTable([made for made in plans if made.device.name == device]))


def _check_writable(out: Path) -> None:
    """Find out before planning, which takes a while, that its result could not be kept."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecipeError(f"--out: {out.parent} cannot be made: {error.strerror or error}") from None
    if out.is_dir() or not os.access(out.parent, os.W_OK):
        raise RecipeError(f"--out: {out} cannot be written: name a file in a folder that can")
