"""What a report consists of: sections of blocks, which every format writes in its own way.

A section says what is to be shown and in which words; `html`, `markdown` and `latex` know how. All texts are plain:
each format escapes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from segfit.drawing.figure import Drawing

__all__ = [
    "Block",
    "Bullets",
    "Cell",
    "Column",
    "Command",
    "Commands",
    "Figures",
    "Fold",
    "Layer",
    "LegendEntry",
    "Paragraph",
    "Picture",
    "Pictures",
    "Section",
    "Slider",
    "Table",
]


@dataclass(frozen=True)
class Paragraph:
    """Sentences.

    Attributes:
        text: plain text.
        note: it explains or limits what stands around it, and is set smaller.
    """

    text: str
    note: bool = False


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: tuple[str, ...]


# --- tables ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table.

    Attributes:
        title: what stands above it.
        number: its cells are numbers, aligned to the right and sorted by their values.
        help: what it means, in one sentence; "" where the title says it.
        run: number of the run that all its cells are about (`table.Row.number`), whose mark stands before the title.
    """

    title: str
    number: bool = True
    help: str = ""
    run: int | None = None


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: what it shows.
        value: what it is sorted by, unrounded; None sorts last, and texts sort by themselves.
        interval: low and high end of the interval that it shows, unrounded; without a value, it is sorted by the low
            end.
        shade: share of the full colour behind it, in [0, 1]; None leaves it white.
        run: number of the run whose mark stands before the text (`table.Row.number`).
    """

    text: str
    value: float | None = None
    interval: tuple[float, float] | None = None
    shade: float | None = None
    run: int | None = None

    @property
    def key(self) -> float | None:
        """What it is sorted by; None where by its text, or last."""
        return self.value if self.value is not None or self.interval is None else self.interval[0]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows that can be sorted by any column and, where there are many, filtered by a word.

    Attributes:
        name: unique in the section; files and ids are called after it.
        caption: one line that says what it shows.
        columns: titles and kinds.
        rows: in the order in which they are first shown.
        footer: a last row that stays where it is.
        filterable: has a field to filter rows by.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    footer: tuple[Cell, ...] | None = None
    filterable: bool = False

    def __post_init__(self) -> None:
        given = [*self.rows, *([self.footer] if self.footer else [])]
        assert all(len(row) == len(self.columns) for row in given), "one cell per column"


# --- pictures --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Drawn figures, side by side where there is room.

    Attributes:
        drawings: what is shown.
        caption: what they have in common; "" where they say it themselves.
    """

    drawings: tuple[Drawing, ...]
    caption: str = ""


@dataclass(frozen=True, kw_only=True)
class LegendEntry:
    """A class in pictures: its name, its CSS colour, and a short remark (its share of the mask)."""

    name: str
    color: str
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A small picture.

    Attributes:
        uri: data URI.
        alt: what it shows, for who does not see it.
        caption: what stands beneath it.
        run: number of the run that it is from; None where it is from none.
    """

    uri: str
    alt: str
    caption: str
    run: int | None = None


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Pictures of one thing in a row: an image, its mask, and what each run made of it.

    Attributes:
        name: unique in the section.
        title: what they have in common.
        pictures: from left to right.
        width: of each, in pixels.
        height: of each, in pixels.
        legend: the classes that occur, largest first.
    """

    name: str
    title: str
    pictures: tuple[Picture, ...]
    width: int
    height: int
    legend: tuple[LegendEntry, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A picture that may lie under a slider: an image, its mask, or a prediction."""

    name: str
    uri: str
    alt: str
    run: int | None = None


@dataclass(frozen=True, kw_only=True)
class Slider:
    """One image, with any two of its layers side by side under a slider that moves the border between them.

    Attributes:
        name: unique in the section.
        title: which image, and why it is shown.
        layers: what can be chosen; the first two are shown first.
        base: data URI of the photograph, which shows where a layer is transparent.
        width: of all layers, in pixels.
        height: of all layers, in pixels.
        legend: the classes that occur, largest first.
        remark: a sentence beneath it.
    """

    name: str
    title: str
    layers: tuple[Layer, ...]
    base: str
    width: int
    height: int
    legend: tuple[LegendEntry, ...] = ()
    remark: str = ""


# --- the rest --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command to type, what it is for, and the circumstances under which it ran."""

    title: str
    command: str
    remark: str = ""
    run: int | None = None


@dataclass(frozen=True)
class Commands:
    """Commands to run it again."""

    commands: tuple[Command, ...]


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Blocks that are shown when somebody asks for them.

    Attributes:
        summary: the line that stands there in their place.
        blocks: what is folded away; no `Fold`.
        opened: shown from the beginning.
    """

    summary: str
    blocks: "tuple[Block, ...]"
    opened: bool = False


Block = Paragraph | Bullets | Table | Figures | Pictures | Slider | Commands | Fold


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a report.

    Attributes:
        name: unique in the report, of letters and dashes: ids and files are called after it.
        title: what stands above it.
        blocks: what it shows.
    """

    name: str
    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)
