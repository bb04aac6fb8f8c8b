"""The folder listing is the flow of data: a module may import only what stands above it in `ORDER`."""

import ast
from pathlib import Path

import pytest

import segfit

SOURCE = Path(segfit.__file__).parent

ORDER = [
    "errors",
    "registry",
    "units",
    "config",
    "labels",
    "console",
    "folder",
    "data",
    "models",
    "losses",
    "training",
    "evaluation",
    "planning",
    "comparison",
    "drawing",
    "report",
    "ship",
    "recipes",
    "parts",
    "scoring",
    "run",
    "use",
    "forecast",
    "soups",
    "curation",
    "cli",
    "__main__",
]

MODULES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def room(dotted: str) -> str:
    """Return the part of the package that a module belongs to: ``segfit.data.loader`` -> ``data``."""
    return dotted.split(".")[1]


def imports(path: Path) -> set[str]:
    """Return every module of the package that a file imports, at its top or inside a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            # `from segfit import run` names a room, `from segfit import __version__` does not.
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {name for name in found if name.startswith("segfit.") and room(name) in ORDER}


def test_every_room_is_in_the_list_and_every_entry_exists():
    rooms = {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in MODULES}
    assert rooms == set(ORDER)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_one_way(path):
    own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    for name in imports(path):
        assert ORDER.index(room(name)) <= ORDER.index(own), f"{own} must not import {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_files_stay_readable(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 450, "split the file: a room is missing"


def test_everything_exported_exists():
    assert all(hasattr(segfit, name) for name in segfit.__all__)
    assert sorted(segfit.__all__) == segfit.__all__
