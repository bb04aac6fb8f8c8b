"""A report as one HTML file that needs nothing else, neither fonts nor a network; its script is its own."""

import base64
import hashlib
import re
from collections.abc import Sequence
from importlib import resources
from itertools import takewhile

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from segfit import __version__
from segfit.drawing.figure import Drawing
from segfit.drawing.style import MARKERS, RUNS, run_marker, theme
from segfit.report.blocks import Block, Cell, Column, Figures
from segfit.report.content import Report
from segfit.report.files import helps

__all__ = ["html"]

MANY = 12
"""A table of more rows gets a field to filter them."""

TALL = 30
"""A table of more rows scrolls in a window of its own."""

WIDE = 14
"""A table of more columns is set very small on paper."""


def html(report: Report) -> str:
    """Return the page."""
    environment = Environment(
        loader=PackageLoader("segfit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        kind_of=lambda block: type(block).__name__,
        inline=Drawing.inline,
        natural_width=_natural_width,
        mark=_mark,
        of_run=_of_run,
        of_runs=_of_runs,
        row_of=_row,
        helps=helps,
        many=MANY,
        tall=TALL,
        wide=WIDE,
    )
    environment.filters["tied"] = tied
    script = (resources.files("segfit.report") / "templates" / "report.js").read_text(encoding="utf-8")
    return environment.get_template("report.html.j2").render(
        report=report,
        kicker=_kicker(report),
        theme=theme(),
        shapes=SHAPES,
        # A file of this package.
        script=Markup(script),  # noqa: S704
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        version=__version__,
    )


SHAPES = {
    "o": "M12 5a7 7 0 1 0 .01 0z",
    "s": "M5.5 5.5h13v13h-13z",
    "^": "M12 4 20 19H4z",
    "D": "M12 3.5 20.5 12 12 20.5 3.5 12z",
    "v": "M12 20 4 5h16z",
    "<": "M4 12 19 4v16z",
    ">": "M20 12 5 4v16z",
}
"""Outlines of matplotlib's markers in a square of 24."""

assert list(SHAPES) == list(MARKERS)


def _kicker(report: Report) -> str:
    """Return how many runs a report is about, and how many compete where several seeds are one entrant."""
    runs, entrants = len(report.rows), sum(len(part.analysis.entrants) for part in report.parts)
    if runs == 1:
        return "One run"
    if entrants == runs:
        return f"Comparison of {runs} runs"
    return f"Comparison of {runs} runs ({entrants} {'entrants' if entrants > 1 else 'entrant'})"


def _mark(run: int) -> Markup:
    """Return a run's marker in its colour, as figures draw it."""
    hue, shape = run % len(RUNS), MARKERS.index(run_marker(run))
    return Markup(
        '<svg class="mark" style="color: var(--run-{})" aria-hidden="true"><use href="#shape-{}"/></svg>'
    ).format(hue, shape)


def _row(cells: Sequence[Cell], columns: Sequence[Column]) -> Markup:
    """Return a row of a table. Tables are most of a page, and this is many times as fast as a template."""
    texts = [
        _cell(cell, column, first=not place) for place, (cell, column) in enumerate(zip(cells, columns, strict=True))
    ]
    return Markup("<tr{}>{}</tr>").format(_of_runs(_runs(cells)), Markup("").join(texts))


def _cell(cell: Cell, column: Column, *, first: bool) -> Markup:
    tag = 'th scope="row"' if first and not column.number else "td"
    kind = ' class="number"' if column.number else ""
    shade = ""
    if cell.shade is not None:
        kind, shade = ' class="number shaded"', f' style="--v: {cell.shade:.3f}"'
    value = "" if cell.key is None else f' data-v="{cell.key:.10g}"'
    mark = "" if cell.run is None else _mark(cell.run)
    start = f"<{tag}{kind}{shade}{value}{_of_run(column.run)}>{mark}"
    # All but the text is made here.
    return Markup(f"{start}{escape(tied(cell.text) if column.number else cell.text)}</{tag[:2]}>")  # noqa: S704


def _runs(cells: Sequence[Cell]) -> list[int]:
    """Return the runs that a row is about: those that it begins with, one or a pair."""
    return [cell.run for cell in takewhile(lambda cell: cell.run is not None, cells) if cell.run is not None]


def _of_run(run: int | None) -> Markup:
    return _of_runs([] if run is None else [run])


def _of_runs(runs: Sequence[int]) -> Markup:
    """Return an attribute by which the page hides what is about a run; where several are named, with any of them."""
    return Markup(' data-run="{}"').format(" ".join(map(str, dict.fromkeys(runs)))) if runs else Markup("")


UNITS = "%|[kMGTPE]?B|[kM]|h|min|s|images|seeds|classes"

TIES = re.compile(rf"(?<=\d) (?=(?:{UNITS})(?![\w-]))|(?<=\d h) (?=\d)|(?<=\d min) (?=\d)|(?<=95 %) (?=interval)")
"""Spaces at which no line is broken: between a number and its unit, and within a time."""


def tied(text: str) -> str:
    """Return a text in which numbers stay with their units where lines are broken."""
    return TIES.sub("\N{NO-BREAK SPACE}", text)


def _natural_width(block: Block) -> int:
    """Return the width of the widest figure, in CSS pixels."""
    assert isinstance(block, Figures)
    return round(max(drawing.figure.get_figwidth() * 72 for drawing in block.drawings))
