"""segfit fits semantic-segmentation models to the hardware you have, and tells you which one to keep.

The Python API mirrors the command line::

    recipe = segfit.load_recipe("paper/unet-10", ["data.root=/data/ADEChallengeData2016"])
    run = segfit.train(recipe)
    print(segfit.compare([run]).to_markdown())
    mask = segfit.load(run)("photo.jpg")

    dataset = segfit.open_dataset("/data/ADEChallengeData2016")
    print(segfit.dataset_stats(dataset).facts()["suggestions"])
    print(segfit.plan("paper/unet-150", gpu="t4")[0].facts()["memory"])

The folder listing is the flow of data: ``config`` (the recipe) -> ``labels`` -> ``data`` -> ``models`` -> ``losses`` ->
``training`` -> ``evaluation`` -> ``planning`` -> ``comparison`` and ``ship``; ``parts`` builds them from a recipe,
``run`` trains, ``use`` and ``curation`` are the verbs on runs and on datasets, and ``cli`` names them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segfit.comparison.comparing import compare
    from segfit.config import Recipe, load_recipe, load_study
    from segfit.curation.convert import convert
    from segfit.curation.opening import open_dataset
    from segfit.curation.preview import preview
    from segfit.curation.select import select_images
    from segfit.curation.stats import dataset_stats
    from segfit.data.cache import prepare
    from segfit.data.check import check_dataset
    from segfit.errors import UserError
    from segfit.forecast import plan
    from segfit.parts import resolve
    from segfit.report.write import write_report, write_tables
    from segfit.run import resume, study, train
    from segfit.soups.make import soup, soup_facts
    from segfit.use import classes, evaluate, load, predict, score, submit

__all__ = [
    "Recipe",
    "UserError",
    "__version__",
    "check_dataset",
    "classes",
    "compare",
    "convert",
    "dataset_stats",
    "evaluate",
    "load",
    "load_recipe",
    "load_study",
    "open_dataset",
    "plan",
    "predict",
    "prepare",
    "preview",
    "resolve",
    "resume",
    "score",
    "select_images",
    "soup",
    "soup_facts",
    "study",
    "submit",
    "train",
    "write_report",
    "write_tables",
]

__version__ = "0.1.0"

_HOMES = {
    "check_dataset": "segfit.data.check",
    "convert": "segfit.curation.convert",
    "dataset_stats": "segfit.curation.stats",
    "open_dataset": "segfit.curation.opening",
    "prepare": "segfit.data.cache",
    "preview": "segfit.curation.preview",
    "select_images": "segfit.curation.select",
    "Recipe": "segfit.config",
    "UserError": "segfit.errors",
    "classes": "segfit.use",
    "compare": "segfit.comparison.comparing",
    "evaluate": "segfit.use",
    "load": "segfit.use",
    "plan": "segfit.forecast",
    "predict": "segfit.use",
    "score": "segfit.use",
    "submit": "segfit.use",
    "load_recipe": "segfit.config",
    "load_study": "segfit.config",
    "resolve": "segfit.parts",
    "resume": "segfit.run",
    "soup": "segfit.soups.make",
    "soup_facts": "segfit.soups.make",
    "study": "segfit.run",
    "train": "segfit.run",
    "write_report": "segfit.report.write",
    "write_tables": "segfit.report.write",
}


def __getattr__(name: str) -> Any:
    # Imported where first used: `segfit --help` must not wait for torch.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'segfit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
