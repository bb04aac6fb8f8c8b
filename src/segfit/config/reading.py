"""Recipes and studies from files, shipped names, dictionaries and dotted overrides; and back to YAML."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ValidationError

from segfit.config.sections import Component, Recipe
from segfit.errors import RecipeError, did_you_mean

__all__ = ["build_recipe", "load_recipe", "load_study", "merge", "shipped", "to_yaml"]


def shipped(kind: Literal["recipe", "study"]) -> list[str]:
    """Return the names of the recipes (``paper/unet-10``) or studies (``paper``) that come with segfit."""
    root = files("segfit.recipes")
    if kind == "study":
        return sorted(p.name.removesuffix(".yaml") for p in root.iterdir() if p.name.endswith(".yaml"))
    return sorted(
        f"{folder.name}/{p.name.removesuffix('.yaml')}"
        for folder in root.iterdir()
        if folder.is_dir()
        for p in folder.iterdir()
        if p.name.endswith(".yaml")
    )


def load_recipe(spec: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        spec: path of a YAML or JSON file, a run folder (its stored recipe), or a shipped name (``paper/unet-10``).
        overrides: ``section.key=value`` with YAML values, applied in order.

    Raises:
        RecipeError: nothing there, not readable, an unknown key or a wrong value.
    """
    return build_recipe(_tree(spec), overrides, where=str(spec))


def build_recipe(tree: Mapping[str, Any], overrides: Sequence[str] = (), *, where: str = "recipe") -> Recipe:
    """Build a recipe from nested dictionaries; see `load_recipe`."""
    # Together first: model.width=8 model.name=unet must mean the same in either order.
    changes: dict[str, Any] = {}
    for override in overrides:
        changes = merge(changes, _parse_override(override))
    try:
        return Recipe.model_validate(merge(merge({}, tree), changes, Recipe))
    except ValidationError as error:
        raise RecipeError(f"{where}: {_explain(error)}") from None


def load_study(spec: str | Path, overrides: Sequence[str] = ()) -> list[Recipe]:
    """Read a study: a YAML list of recipes, each a name or ``{recipe: NAME, name: …, section: {key: value}}``.

    Args:
        spec: path of the list, or a shipped name (``demo``).
        overrides: applied to every recipe, after its own.

    Raises:
        RecipeError: not a list, an entry without a recipe, two runs of one name, or what `load_recipe` raises.
    """
    path, entries = _read(spec, "study")
    if not isinstance(entries, list) or not entries:
        raise RecipeError(f"{spec}: a study is a list of recipes, one '- NAME' or '- recipe: NAME' each")
    recipes = []
    for number, given in enumerate(entries, 1):
        where = f"{spec}, entry {number}"
        entry = {"recipe": given} if isinstance(given, str) else given
        if not isinstance(entry, dict) or not isinstance(entry.get("recipe"), str):
            raise RecipeError(f"{where}: write the recipe's name or 'recipe: NAME' with overrides")
        tree = _tree(entry["recipe"], beside=path.parent)
        own = {key: value for key, value in entry.items() if key != "recipe"}
        recipes.append(build_recipe(merge(tree, own, Recipe), overrides, where=where))
    names = [recipe.name for recipe in recipes]
    for name in names:
        if names.count(name) > 1:
            raise RecipeError(f"{spec}: two runs are called {name!r}: give one of them another name")
    return recipes


def merge(base: Mapping[str, Any], over: Mapping[str, Any], kind: type[BaseModel] | None = None) -> dict[str, Any]:
    """Return `base` with `over` laid on top, section by section; dotted keys in `over` reach into sections.

    Args:
        base: nested dictionaries.
        over: nested dictionaries, changed keys only.
        kind: what the dictionaries describe. Where it has a `Component` and `over` names another one, the options of
            the one that is replaced are dropped: they would mean nothing to the other.
    """
    result = dict(base)
    for dotted, given in over.items():
        key, _, rest = str(dotted).partition(".")
        value = {rest: given} if rest else given
        if isinstance(value, Mapping) and isinstance(result.get(key, {}), Mapping):
            section, part = result.get(key, {}), _part(kind, key)
            if (
                part is not None
                and issubclass(part, Component)
                and value.get("name", section.get("name")) != section.get("name")
            ):
                section = {name: kept for name, kept in section.items() if name in part.model_fields}
            result[key] = merge(section, value, part)
        else:
            result[key] = value
    return result


def _part(kind: type[BaseModel] | None, key: str) -> type[BaseModel] | None:
    """Return the model that `kind` has at `key`; None where it has none."""
    annotation = kind.model_fields[key].annotation if kind is not None and key in kind.model_fields else None
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _tree(spec: str | Path, *, beside: Path | None = None, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the dictionaries of a recipe file, with what it extends beneath."""
    path, tree = _read(spec, "recipe", beside)
    if not isinstance(tree, dict):
        raise RecipeError(f"{spec}: a recipe is a mapping of sections, not {type(tree).__name__}")
    tree = {"name": path.parent.name if path.name == "recipe.json" else path.stem, **tree}
    parent = tree.pop("extends", None)
    if parent is None:
        return tree
    if str(path.resolve()) in seen:
        raise RecipeError(f"{spec}: the recipes extend one another in a circle")
    return merge(_tree(str(parent), beside=path.parent, seen=(*seen, str(path.resolve()))), tree, Recipe)


def _read(spec: str | Path, kind: Literal["recipe", "study"], beside: Path | None = None) -> tuple[Path, Any]:
    """Find the file that `spec` means and parse it."""
    path = _find(spec, kind, beside)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read: {error}") from None
    try:
        if path.suffix == ".json":
            return path, json.loads(text)
        return path, yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        raise RecipeError(f"{path}: not valid {path.suffix.lstrip('.')}: {' '.join(str(error).split())}") from None


def _find(spec: str | Path, kind: Literal["recipe", "study"], beside: Path | None) -> Path:
    # A file named inside another one is looked for beside that one first.
    for path in (*([beside / spec] if beside is not None else []), Path(spec)):
        if (path / "recipe.json").is_file() and kind == "recipe":
            return path / "recipe.json"
        if path.is_file():
            if path.suffix not in {".yaml", ".yml", ".json"}:
                raise RecipeError(f"{path}: a {kind} ends in .yaml, .yml or .json")
            return path
    inside = Path(str(files("segfit.recipes"))) / f"{spec}.yaml"
    if inside.is_file() and str(spec) in shipped(kind):
        return inside
    # A shipped name never has a suffix, so a name with one was meant as a path.
    if Path(spec).suffix in {".yaml", ".yml", ".json"}:
        raise RecipeError(f"{spec}: no such file")
    raise RecipeError(f"no {kind} is called {str(spec)!r}{did_you_mean(str(spec), shipped(kind))}")


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice (YAML itself keeps the last one silently)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)


def _parse_override(text: str) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"[a-z_][\w-]*(\.[a-z_][\w-]*)*", key.strip()):
        raise RecipeError(f"{text!r} is not an override: write section.key=value, for example train.epochs=3")
    try:
        return {key.strip(): yaml.safe_load(value)}
    except yaml.YAMLError:
        raise RecipeError(f"{text!r}: the value is not valid YAML: put quotes around it") from None


def _explain(error: ValidationError) -> str:
    """Return one line for the first thing that is wrong."""
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    dotted = ".".join(location)
    if first["type"] == "extra_forbidden":
        return f"unknown key {dotted!r}{did_you_mean(location[-1], _fields(location[:-1]))}"
    message = first["msg"].removeprefix("Value error, ")
    given = first.get("input")
    shown = f" (got {given!r})" if isinstance(given, (str, int, float, bool)) else ""
    return f"{dotted}: {message[0].lower()}{message[1:]}{shown}"


def _fields(location: Iterable[str]) -> list[str]:
    """Return the keys of the section at `location`."""
    section: type[BaseModel] | None = Recipe
    for part in location:
        section = _part(section, part)
    return [] if section is None else list(section.model_fields)


def to_yaml(recipe: Recipe) -> str:
    """Return a recipe as YAML that `load_recipe` reads back."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)
