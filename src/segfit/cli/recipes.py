"""The verbs on recipes and classes."""

import click

from segfit.cli.common import as_json, overrides, show_json

__all__ = ["classes", "recipe"]


@click.command()
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
        show_json(facts)
    else:
        click.echo(classes_text(facts))


@click.group()
def recipe() -> None:
    """List, show and describe recipes."""


@recipe.command("list")
@as_json
def list_recipes(as_json: bool) -> None:
    """List the shipped recipes and studies."""
    from segfit.config import shipped

    facts = {"recipes": shipped("recipe"), "studies": shipped("study")}
    if as_json:
        show_json(facts)
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
        from segfit.parts import resolve

        loaded = resolve(loaded)
    click.echo(loaded.model_dump_json(indent=2) if as_json else to_yaml(loaded).rstrip())


@recipe.command()
def schema() -> None:
    """Print the JSON Schema of recipes, for editors."""
    from segfit.parts import recipe_schema

    show_json(recipe_schema())
