"""The JSON Schema of recipes, by which editors complete and check them."""

from collections.abc import Mapping
from typing import Any

from pydantic import create_model

from segfit.config.sections import Component, Recipe
from segfit.registry import Registry

__all__ = ["json_schema"]


def json_schema(registries: Mapping[str, Registry[Any]]) -> dict[str, Any]:
    """Return the schema of a recipe file, with the options of every registered component.

    Args:
        registries: the registry of each component section, as for `resolve`.
    """
    schema = Recipe.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["properties"]["extends"] = {"type": "string", "description": "Recipe that this one changes."}
    for section, registry in registries.items():
        annotation = Recipe.model_fields[section].annotation
        assert isinstance(annotation, type)
        assert issubclass(annotation, Component)
        definition = schema["$defs"][annotation.__name__]
        definition["additionalProperties"] = True
        definition["properties"]["name"]["examples"] = registry.names()
        definition["allOf"] = [
            {
                "if": {"properties": {"name": {"const": name}}, "required": ["name"]},
                "then": {"properties": _options_schema(registry, name)},
            }
            for name in registry.names()
        ]
    return schema


def _options_schema(registry: Registry[Any], name: str) -> dict[str, Any]:
    """Return the JSON Schema of each option of one builder."""
    fields: dict[str, Any] = {key: (hint, default) for key, (hint, default) in registry.signature(name).items()}
    properties: dict[str, Any] = create_model("Options", **fields).model_json_schema()["properties"]
    return properties
