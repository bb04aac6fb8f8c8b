"""A small report with every kind of block and names that are hostile to every format, and a reader of pages."""

from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from run_folders import Fake, write_run
from segfit.comparison.analysis import Analysis
from segfit.comparison.comparing import compare
from segfit.comparison.headline import Headline
from segfit.drawing.figure import Drawing, styled
from segfit.drawing.pictures import mask_uri, photo_uri
from segfit.drawing.style import new_figure, run_color, run_id
from segfit.report.blocks import (
    Bullets,
    Cell,
    Column,
    Command,
    Commands,
    Figures,
    Fold,
    Layer,
    LegendEntry,
    Paragraph,
    Picture,
    Pictures,
    Section,
    Slider,
    Table,
)
from segfit.report.content import Part, Report

NASTY = (
    "<script>alert(\"1\")</script> & 'x'",
    r"under_score|pipe\back*star* [a](b) `c`",
    "100 % $x^2$ {#1} ~a~ \u2013 10\u2079",
)
"""What names of runs and classes may be."""

SCORES = (("alpha", 0.5, 2), ("beta", None, 10), ("gamma", 0.75, 9), ("delta", 0.5, 100), ("epsilon", None, 1))
"""Rows of the first table: a name, a score that may be missing, and a count."""


def picture(color: tuple[int, int, int]) -> str:
    return photo_uri(np.full((60, 80, 3), color, np.uint8))


def mask(hole: int) -> str:
    """Return a mask whose first `hole` columns are transparent."""
    values = np.zeros((60, 80), np.uint8)
    values[:, :hole] = 255
    return mask_uri(values, [(200, 30, 30)])


def drawing(name: str) -> Drawing:
    with styled():
        figure = new_figure(340, 200)
        axes = figure.add_axes((0.1, 0.2, 0.8, 0.7))
        for number in range(3):
            axes.plot([0, 1], [number, number + 1], color=run_color(number), gid=run_id(number))
    return Drawing(name=name, alt=f"Lines of {' '.join(NASTY)}.", figure=figure)


def table(rows: Sequence[tuple[str, float | None, int]] = SCORES) -> Table:
    return Table(
        name="scores",
        caption=f"Scores of {NASTY[1]}",
        columns=(
            Column(title="Class", number=False),
            Column(title="Score", help="The higher the better."),
            Column(title="Count"),
            Column(title=NASTY[2], run=1),
        ),
        rows=tuple(
            (
                Cell(name, run=number % 3),
                Cell("\u2013" if score is None else f"{score:.3f}", score, shade=score),
                Cell(f"{count:,}", count),
                Cell("7", 7),
            )
            for number, (name, score, count) in enumerate(rows)
        ),
        footer=(Cell("all"), Cell("0.6", 0.6), Cell("122", 122), Cell("")),
        filterable=True,
    )


def sections() -> tuple[Section, ...]:
    legend = (LegendEntry(name=NASTY[0], color="#c81e1e", remark="3 %"), LegendEntry(name="sky", color="#1e1ec8"))
    inner = Table(name="inner", caption="Folded", columns=(Column(title="A", number=False),), rows=((Cell("[x]"),),))
    return (
        Section(
            name="numbers",
            title=f"Numbers of {NASTY[0]}",
            blocks=[table(), Fold(summary=f"More of {NASTY[0]}", blocks=(inner, Paragraph("# no heading")))],
        ),
        Section(
            name="words",
            title="Words",
            blocks=[
                Paragraph(f"Plain {NASTY[0]} {NASTY[1]} {NASTY[2]}."),
                Paragraph("A note.", note=True),
                Bullets((NASTY[1], "[second] item", NASTY[2])),
                Bullets(()),
                Figures(drawings=(drawing("lines"), drawing("more-lines")), caption="Lines rise."),
            ],
        ),
        Section(
            name="images",
            title="Images",
            blocks=[
                Pictures(
                    name="row",
                    title="A row",
                    pictures=(
                        Picture(uri=picture((10, 20, 30)), alt="An image", caption="image"),
                        Picture(uri=mask(40), alt=NASTY[0], caption=NASTY[1], run=0),
                    ),
                    width=80,
                    height=60,
                    legend=legend,
                ),
                Slider(
                    name="view",
                    title="A view",
                    layers=(
                        Layer(name="image", uri=picture((0, 90, 0)), alt="The image"),
                        Layer(name=NASTY[0], uri=mask(40), alt="The mask", run=0),
                        Layer(name="third", uri=mask(10), alt="Another mask", run=1),
                    ),
                    base=picture((0, 90, 0)),
                    width=80,
                    height=60,
                    legend=legend,
                    remark="A remark.",
                ),
            ],
        ),
        Section(
            name="commands",
            title="Commands",
            blocks=[
                Commands((Command(title=NASTY[0], command="segfit train a 'b' --x=\"1\" `c`", remark="r", run=2),))
            ],
        ),
    )


def sample_report(folder: Path, groups: int = 1) -> Report:
    """Return a report on three invented runs a group."""
    paths = [
        write_run(folder / f"{group}-{number}", Fake(name=name, images=group + 4, quality=0.7 - 0.1 * number))
        for group in range(groups)
        for number, name in enumerate(NASTY)
    ]
    comparison = compare(paths)
    parts = tuple(
        Part(
            number=number,
            analysis=Analysis(group),
            headline=Headline(title=f"{NASTY[0]} wins", sentences=(f"Because of {NASTY[1]}.", f"And {NASTY[2]}.")),
            sections=sections(),
        )
        for number, group in enumerate(comparison.groups, 1)
    )
    across = (Section(name="published", title="Published", blocks=[Paragraph("Elsewhere.")]),)
    return Report(comparison=comparison, parts=parts, across=across)


class Page(HTMLParser):
    """Collects what matters of a page and checks that its elements nest."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.headings: list[tuple[int, str]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag in {"h1", "h2", "h3", "h4", "h5"}:
            self.headings.append((int(tag[1]), ""))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["style"], ["script"]):
            self.text += data
        if self.open[-1:] and self.open[-1] in {"h1", "h2", "h3", "h4", "h5"}:
            level, text = self.headings[-1]
            self.headings[-1] = (level, text + data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]
