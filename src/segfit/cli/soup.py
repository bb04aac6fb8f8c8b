"""The verb that makes one run out of several."""

from pathlib import Path
from typing import Any

import click

from segfit.cli.common import PATH, as_json, main_rank, print_comparison, show_json

__all__ = ["soup"]


@click.command()
@click.argument("words", metavar="RUN... [KEY=VALUE]...", nargs=-1, required=True)
@click.option(
    "--how",
    type=click.Choice(["uniform", "greedy", "learned", "ema"]),
    default="greedy",
    show_default=True,
    help="uniform: the mean of all; greedy: of those that raise the validation score; learned: with weights learnt on "
    "the validation split; ema: a moving average over the checkpoints of one training.",
)
@click.option("--out", type=PATH, required=True, help="Folder of the new run.")
@click.option("--unrelated", is_flag=True, help="Also average runs that did not begin from the same weights.")
@as_json
def soup(words: tuple[str, ...], how: Any, out: Path, unrelated: bool, as_json: bool) -> None:
    """Average the weights of several runs into a new one, as fast as one of them.

    RUN is a run folder, RUN:best or RUN:last one of its checkpoints; KEY=VALUE changes all their recipes.
    """
    from segfit.soups.make import soup as make_soup
    from segfit.soups.make import soup_facts

    runs = [word for word in words if not _is_override(word)]
    overrides = [word for word in words if _is_override(word)]
    path = make_soup(runs, out, how=how, overrides=overrides, unrelated=unrelated)
    if not main_rank():
        return
    facts = soup_facts(path)
    if as_json:
        show_json(facts)
    else:
        click.echo(_text(facts))
        click.echo()
        print_comparison([path], as_json=False)
    click.echo(f"run: {path}", err=True)


def _is_override(word: str) -> bool:
    """Whether a word is KEY=VALUE and not a run in a folder whose name has an equals sign."""
    return "=" in word and not Path(word.removesuffix(":best").removesuffix(":last")).exists()


def _text(facts: dict[str, Any]) -> str:
    """Return the ingredients, their weights and scores, and what came of them, a line each."""
    from segfit.comparison.curves import SCORES

    score = facts["score"]
    rows = [(f"{one['weight']:.3f}", one["scores"][score], _name(one)) for one in facts["ingredients"]]
    lowest = min(value for _, value, _ in rows)
    if len(rows) > 1:  # what one ingredient scores without any averaging, as far as that was tried
        rows += [("", one["scores"][score], one["what"]) for one in facts["tried"] if 1 in one["weights"]]
    rows.append(("soup", facts["scores"][score], f"{facts['how']}, on {facts['images']} images of {facts['split']}"))
    lines = [f"{'weight':>6}  {SCORES[score]:<6}  ingredient"]
    lines += [f"{weight:>6}  {value:.4f}  {name}" for weight, value, name in rows]
    if rows[-1][1] < lowest:
        lines.append("The soup scores below each of its ingredients: their weights do not belong together.")
    return "\n".join(lines)


def _name(ingredient: dict[str, Any]) -> str:
    return f"{ingredient['run']}:{ingredient['checkpoint']}"
