"""What a format is: a function that looks at a folder and says what to convert, and how each mask is read.

A format is one file in this folder with one function ``(source, *, options) -> Conversion`` that is registered in
`FORMATS`. It reads the lists and tables at once, so that most mistakes show before anything is written; masks are
read later, one by one and by several threads.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from segfit.data.decode import Color
from segfit.registry import Registry

__all__ = ["FORMATS", "VOID", "ClassMask", "Conversion", "Item", "Layout", "Size"]

VOID = 65535
"""What a format's masks hold where nothing is annotated."""

ClassMask = NDArray[np.uint16]
"""`(H, W)` positions in `Conversion.classes`, or `VOID`."""

Size = tuple[int, int]
"""Height and width in pixels."""

Layout = Literal["folder", "ade20k"]
"""Which kind of source will read the result."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One image to convert.

    Attributes:
        split: folder that it goes to.
        name: path below that folder, without ending; unique within the split.
        image: the file, or what returns the bytes of an image that is embedded in its annotation.
        mask: returns the mask; given the size that the image has when it is upright.
        where: the file or record of the annotation, for messages.
    """

    split: str
    name: str
    image: Path | Callable[[], bytes]
    mask: Callable[[Size], ClassMask]
    where: str


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """Everything that is to be written.

    Attributes:
        classes: names, unique.
        items: the images.
        colors: of the classes; None where the format knows none.
        layout: what reads the result.
        files: other text files to write, by name.
        notes: called at the end; what the user should know, one sentence each.
    """

    classes: tuple[str, ...]
    items: tuple[Item, ...]
    colors: tuple[Color, ...] | None = None
    layout: Layout = "folder"
    files: Mapping[str, str] = field(default_factory=dict)
    notes: Callable[[], list[str]] = list


FORMATS: Registry[Conversion] = Registry("format", "segfit.curation.convert")
"""Formats by name; a builder is called with the source folder and its options as keywords."""
