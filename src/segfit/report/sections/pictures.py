"""Images that teach something: where the best run fails, where runs disagree, and what all of it looks like when right.

They are chosen by the per-image records, whatever can be shown, and only the chosen ones are read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segfit import units
from segfit.comparison.analysis import Analysis
from segfit.comparison.curves import SCORES, ScoreName
from segfit.comparison.table import Row
from segfit.errors import DataError
from segfit.evaluation.metrics import ClassCounts, macro_dice, macro_iou
from segfit.report.blocks import Block, Fold, Layer, Paragraph, Section, Slider
from segfit.report.examples import Album, Example, error_uri, legend, open_album

__all__ = ["Images", "choose", "pictures", "score_images"]

COUNT = 4
"""How many images of each kind are shown."""

LONGEST_SIDE = 440
"""Pixels of a picture's longer side: twenty runs make a page of some five megabytes."""

LEAST_ANNOTATED = 0.1
"""Images of which less is annotated are not chosen: their scores say little."""

LEAST_CLASSES = 2
"""Images with fewer classes are not chosen, unless there are no others."""

NAMED = 6
"""With more runs, the sentence under an image names only the highest and the lowest score."""

MACRO: dict[ScoreName, Callable[[ClassCounts], NDArray[np.float64]]] = {"dice": macro_dice, "miou": macro_iou}


@dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """N images by their scores; R runs in the order of the rows.

    Attributes:
        ids: N ids.
        scores: `(R, N)` mean over the classes of an image, of each run; NaN where nothing is annotated.
        annotated: `(N,)` share of the pixels that were scored.
        classes: `(N,)` classes in the ground truth.
    """

    ids: tuple[str, ...]
    scores: NDArray[np.float64]
    annotated: NDArray[np.float64]
    classes: NDArray[np.int64]


def score_images(analysis: Analysis) -> Images:
    """Return the per-image scores of all runs by the metric that sorts the group.

    Raises:
        RunError: what `Analysis.records` raises.
    """
    macro = MACRO[analysis.group.protocol.score]
    records = analysis.records
    counts = [one.class_counts() for one in records]
    first = counts[0]
    areas = records[0].height.astype(np.int64) * records[0].width
    return Images(
        ids=records[0].ids,
        scores=np.stack([macro(one) for one in counts]),
        annotated=first.target.sum(axis=-1) / np.maximum(areas, 1),
        classes=(first.target > 0).sum(axis=-1),
    )


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Some images and why they are shown: `worst`, `disagreed` or `best`; positions in `Images.ids`."""

    kind: str
    chosen: tuple[int, ...]


def choose(images: Images, kept: NDArray[np.bool_], count: int = COUNT) -> tuple[Choice, ...]:
    """Choose images of each kind, each at most once.

    Args:
        images: what is known of N images.
        kept: `(R, N)` which run kept a prediction of which image; only images of which most runs did are chosen.
        count: how many of each kind; fewer where there are few images.
    """
    kinds = {"worst": images.scores[0], "best": -images.scores[0]}
    if len(images.scores) > 1:
        spread = images.scores.min(axis=0) - images.scores.max(axis=0)
        kinds = {"worst": kinds["worst"], "disagreed": spread, "best": kinds["best"]}
    free = _worth_showing(images, kept)
    count = min(count, max(1, int(free.sum()) // len(kinds)))
    choices = []
    for kind, ranks in kinds.items():
        candidates = np.flatnonzero(free)
        chosen = candidates[np.argsort(ranks[candidates], kind="stable")[:count]]
        free[chosen] = False
        if len(chosen):
            choices.append(Choice(kind=kind, chosen=tuple(chosen.tolist())))
    return tuple(choices)


def _worth_showing(images: Images, kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which images may be chosen: most predictions, enough of them annotated, more than one class."""
    counts = kept.sum(axis=0)
    worth: NDArray[np.bool_] = (counts == counts.max(initial=1)) & np.isfinite(images.scores).all(axis=0)
    for rule in (images.annotated >= LEAST_ANNOTATED, images.classes >= LEAST_CLASSES):
        if (worth & rule).any():
            worth &= rule
    return worth


# --- the section -----------------------------------------------------------------------------------------------------


def pictures(analysis: Analysis) -> Section | None:
    """Show the worst, the most disputed and the best images, each with all runs under a slider.

    Raises:
        UserError: the records or the dataset are gone or damaged, or no run kept a prediction.
    """
    images, album = score_images(analysis), open_album(analysis.group)
    choices = choose(images, album.kept(images.ids))
    if not choices:
        raise DataError("the runs kept no example predictions (evaluate.examples)")
    score = SCORES[analysis.group.protocol.score]
    folds = [
        Fold(
            summary=_heading(choice, analysis.group.rows),
            blocks=tuple(
                _slider(analysis, images, album, choice.kind, place, position)
                for place, position in enumerate(choice.chosen, 1)
            ),
            opened=number == 0,
        )
        for number, choice in enumerate(choices)
    ]
    intro = (
        f"Scores here are the {score} of a single image, the mean over its classes. Errors lie over the photograph: "
        "red is wrong, light grey is not annotated."
    )
    blocks: tuple[Block, ...] = (Paragraph(intro, note=True), *folds)
    return Section(name="pictures", title="What they see", blocks=blocks)


def _heading(choice: Choice, rows: Sequence[Row]) -> str:
    number = len(choice.chosen)
    several = f"{number} images" if number > 1 else "image"
    return {
        "worst": f"The {several} where {rows[0].name} does worst",
        "best": f"The {several} where {rows[0].name} does best",
        "disagreed": f"The {several} where the runs disagree most",
    }[choice.kind]


def _slider(analysis: Analysis, images: Images, album: Album, kind: str, place: int, position: int) -> Slider:
    """Return the image at `position`, the `place`-th of its kind, with all its layers."""
    rows, scores = analysis.group.rows, images.scores[:, position]
    example = album.read(images.ids[position])
    small = example.shrunk(LONGEST_SIDE)
    height, width = small.truth.shape
    first, last = int(np.argmax(scores)), int(np.argmin(scores))
    shown = (first, last) if kind == "disagreed" else (0,)
    return Slider(
        name=f"{kind}-{place}",
        title=f"{small.id}: {_why(kind, rows, scores)}",
        layers=_layers(small, rows, shown),
        base=small.photo(),
        width=width,
        height=height,
        legend=legend(example),
        remark=_remark(rows, scores, int(images.classes[position]), float(images.annotated[position])),
    )


def _why(kind: str, rows: Sequence[Row], scores: NDArray[np.float64]) -> str:
    if kind != "disagreed":
        return f"{rows[0].name} scores {units.score(float(scores[0]))}"
    high, low = int(np.argmax(scores)), int(np.argmin(scores))
    return (
        f"from {units.score(float(scores[low]))} ({rows[low].name}) to {units.score(float(scores[high]))} "
        f"({rows[high].name})"
    )


def _remark(rows: Sequence[Row], scores: NDArray[np.float64], classes: int, annotated: float) -> str:
    order = np.argsort(-scores, kind="stable").tolist()
    parts = [f"{rows[i].name} {units.score(float(scores[i]))}" for i in order]
    if len(parts) > NAMED:
        parts = [f"highest {parts[0]}", f"lowest {parts[-1]}"]
    there = f"{classes} classes" if classes != 1 else "1 class"
    return f"{', '.join(parts)}; {there}, {units.share(annotated)} of the image annotated."


def _layers(example: Example, rows: Sequence[Row], shown: Sequence[int]) -> tuple[Layer, ...]:
    """Return all pictures of an image; the two that are compared first stand first."""
    predictions = [
        (row, prediction) for row, prediction in zip(rows, example.predictions, strict=True) if prediction is not None
    ]
    truth = Layer(name="Ground truth", uri=example.mask(example.truth), alt=f"Annotated classes of {example.id}")
    photo = Layer(name="Photograph", uri=example.photo(), alt=f"Photograph {example.id}")
    found = [
        Layer(
            name=row.name,
            uri=example.mask(prediction),
            alt=f"Prediction of {row.name} for {example.id}",
            run=row.number,
        )
        for row, prediction in predictions
    ]
    errors = [
        Layer(
            name=f"{row.name}: errors",
            uri=error_uri(prediction, example.truth),
            alt=f"Where {row.name} is wrong in {example.id}",
            run=row.number,
        )
        for row, prediction in predictions
    ]
    compared = [layer for i in shown for layer in found if layer.run == rows[i].number]
    # One run is compared with the truth, two with each other.
    front = compared if len(compared) > 1 else [truth, *compared]
    rest = [layer for layer in (truth, *found, *errors, photo) if layer not in front]
    return (*front, *rest)
