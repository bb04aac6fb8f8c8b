"""segfit fits semantic-segmentation models to the hardware you have, and tells you which one to keep.

The Python API mirrors the command line::

    recipe = segfit.load_recipe("paper/unet-10", ["data.root=/data/ADEChallengeData2016"])
    run = segfit.train(recipe)
    print(segfit.compare([run]).to_markdown())
    mask = segfit.load(run)("photo.jpg")

The folder listing is the flow of data: ``config`` (the recipe) -> ``labels`` -> ``data`` -> ``models`` -> ``losses`` ->
``train`` -> ``evaluate`` -> ``compare`` and ``ship``; ``run`` builds the parts from a recipe and ``cli`` names them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segfit.comparison.report import write_report, write_tables
    from segfit.comparison.table import compare
    from segfit.config import Recipe, load_recipe, load_study
    from segfit.errors import UserError
    from segfit.run import resolve, resume, study, train
    from segfit.use import classes, evaluate, load, predict, score, submit

__all__ = [
    "Recipe",
    "UserError",
    "__version__",
    "classes",
    "compare",
    "evaluate",
    "load",
    "load_recipe",
    "load_study",
    "predict",
    "resolve",
    "resume",
    "score",
    "study",
    "submit",
    "train",
    "write_report",
    "write_tables",
]

__version__ = "0.1.0"

_HOMES = {
    "Recipe": "segfit.config",
    "UserError": "segfit.errors",
    "classes": "segfit.use",
    "compare": "segfit.comparison.table",
    "evaluate": "segfit.use",
    "load": "segfit.use",
    "predict": "segfit.use",
    "score": "segfit.use",
    "submit": "segfit.use",
    "load_recipe": "segfit.config",
    "load_study": "segfit.config",
    "resolve": "segfit.run",
    "resume": "segfit.run",
    "study": "segfit.run",
    "train": "segfit.run",
    "write_report": "segfit.comparison.report",
    "write_tables": "segfit.comparison.report",
}


def __getattr__(name: str) -> Any:
    # Imported where first used: `segfit --help` must not wait for torch.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'segfit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
