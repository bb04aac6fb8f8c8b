"""Names to builders."""

import pytest

from segfit.errors import RecipeError
from segfit.registry import Registry


def line(points: int, *, slope: float, offset: float = 1.0, name: str | None = None) -> list[float]:
    assert name is None or name
    return [slope * x + offset for x in range(points)]


@pytest.fixture
def registry():
    registry = Registry("curve", "segfit.recipes")  # a package without components
    registry.register("line")(line)
    return registry


def test_builds_with_positional_arguments_and_options(registry):
    assert registry.build("line", 3, slope=2) == [1.0, 3.0, 5.0]


def test_options_are_completed_and_converted(registry):
    # YAML 1.1 reads 3e-4 as a string; a recipe's author means a number.
    assert registry.options("line", {"slope": "3e-4"}) == {"slope": 3e-4, "offset": 1.0, "name": None}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"slpoe": 1}, r"curve\.slpoe: curve 'line' has no such option \(did you mean 'slope'\?\)"),
        ({}, r"curve\.slope: curve 'line' needs this option"),
        ({"slope": "steep"}, r"curve\.slope: 'steep': Input should be a valid number"),
    ],
)
def test_wrong_options_are_explained(registry, given, message):
    with pytest.raises(RecipeError, match=message):
        registry.options("line", given)


def test_unknown_name_suggests_the_closest(registry):
    with pytest.raises(RecipeError, match=r"no curve is called 'lien' \(did you mean 'line'\?\)"):
        registry.get("lien")


def test_a_name_belongs_to_one_builder(registry):
    with pytest.raises(RecipeError, match="two curves are called 'line'"):
        registry.register("line")(list)


@pytest.mark.parametrize("registry_name", ["segfit.models.MODELS", "segfit.losses.LOSSES", "segfit.data.SOURCES"])
def test_a_folder_is_discovered(registry_name):
    from importlib import import_module

    module, name = registry_name.rsplit(".", 1)
    assert getattr(import_module(module), name).names()
