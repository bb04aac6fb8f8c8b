"""Faults that no mask shows alone, but all of them together."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from segfit.data.check.codes import Fault
from segfit.data.check.masks import Expected, MaskContent
from segfit.data.check.tables import unpack

__all__ = ["Labelled", "check_labels"]


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """What is kept of an index mask.

    Attributes:
        path: the file.
        split: where it belongs.
        ids: the label ids that occur.
        colors: colour of each id in the mask's palette, if it has one.
    """

    path: Path
    split: str
    ids: frozenset[int]
    colors: frozenset[tuple[int, int]]

    @classmethod
    def of(cls, path: Path, split: str, content: MaskContent) -> "Labelled":
        """Return what is kept of a mask."""
        ids = content.values.tolist()
        return cls(
            path=path,
            split=split,
            ids=frozenset(ids),
            colors=frozenset(zip(ids, content.palette, strict=True)) if content.palette is not None else frozenset(),
        )


def check_labels(masks: Sequence[Labelled], expected: Expected, root: Path) -> Iterator[Fault]:
    """Yield what is wrong with the labels of index masks, seen together.

    Args:
        masks: those that can be read and were not drawn smoothly.
        expected: what they should hold.
        root: of the dataset.
    """
    yield from _binary(masks, expected)
    yield from _shifted(masks, expected, root)
    yield from _palettes(masks)


def _binary(masks: Sequence[Labelled], expected: Expected) -> Iterator[Fault]:
    """0 and 255 in all masks are two classes, not one class and its gaps."""
    present = frozenset[int]().union(*(mask.ids for mask in masks))
    if present == {0, 255} and 255 in expected.ignored and len(expected.ids) > 1:
        for mask in masks:
            if 255 in mask.ids:
                yield Fault("mask-binary", mask.path, mask.split, "255 is ignored, and no mask holds another class")


def _shifted(masks: Sequence[Labelled], expected: Expected, root: Path) -> Iterator[Fault]:
    present = frozenset[int]().union(*(mask.ids for mask in masks))
    unknown = present - expected.ids - expected.ignored
    lowest, highest = min(expected.ids), max(expected.ids)
    if unknown == {0}:
        detail = '0 is in the masks, but neither a class nor ignored: if it means "not annotated", data.ignore=[0]'
    elif unknown == {highest + 1} and lowest == 0 and 0 not in present:
        detail = f"ids are 1..{highest + 1}, the {highest + 1} classes count from 0: data.first=1"
    elif unknown == {highest + 1} and lowest == 0:
        detail = (
            f'ids are 0..{highest + 1}, one more than the {highest + 1} classes: if 0 means "not annotated", '
            f"data.first=1 data.ignore=[0]; if {highest + 1} does, data.ignore=[{highest + 1}]; else a name is missing"
        )
    else:
        return
    yield Fault("labels-shifted", root, "", detail)


def _palettes(masks: Sequence[Labelled]) -> Iterator[Fault]:
    """Palettes made for each mask by itself give one colour many ids, and one id many colours."""
    votes: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for mask in masks:
        for label, color in mask.colors:
            votes[label][color] += 1
    usual = {label: colors.most_common(1)[0][0] for label, colors in votes.items()}
    label_of = {color: label for label, color in usual.items()}
    for mask in masks:
        # Another colour for an id may be another tool's taste; the colour of another id is not.
        odd = sorted((i, color) for i, color in mask.colors if label_of.get(color, i) != i and usual[i] != color)
        if odd:
            label, color = odd[0]
            detail = f"{unpack(color)} has the id {label} here, but {label_of[color]} in most masks"
            yield Fault("mask-palette-varies", mask.path, mask.split, detail)
