"""``segfit data``: one file per verb, found by being there; the function in it has the file's name."""

import importlib
import pkgutil

import click

__all__ = ["data"]


@click.group()
def data() -> None:
    """Check, understand, prepare and select datasets."""


for _module in pkgutil.iter_modules(__path__):
    data.add_command(getattr(importlib.import_module(f"{__name__}.{_module.name}"), _module.name))
