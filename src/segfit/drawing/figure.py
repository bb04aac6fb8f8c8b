"""A figure on its way into a page or a file."""

import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from segfit.drawing.style import FONTS, STYLE, theme

__all__ = ["Drawing", "Plot", "draw_all", "styled"]

Facts = TypeVar("Facts")


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A drawn figure, to be written in several formats; the same facts always give the same bytes.

    Attributes:
        name: what files and ids are called after.
        alt: what it shows, in words.
        figure: as drawn.
        runs: numbers of the runs that all of it is about: pages hide it with any of them.
    """

    name: str
    alt: str
    figure: Figure
    runs: tuple[int, ...] = ()

    def svg(self, ground: str = "none") -> str:
        """Return the figure in light-page colours on `ground` (a colour, or none); its texts stay texts."""
        with styled():
            stream = io.StringIO()
            self.figure.savefig(stream, format="svg", facecolor=ground, metadata={"Date": None, "Creator": None})
        svg = stream.getvalue().replace("'DejaVu Sans'", FONTS)
        # Several artists show one run, and an id is given once.
        return re.sub(r'\bid="run-(\d+)"', r'data-run="\1"', svg)

    def inline(self, number: int = 1) -> Markup:
        """Return the figure to stand inside a page: colours from its theme, its font, ids of its own, a description.

        Args:
            number: tells apart figures of one name in one page.
        """
        svg = self.svg()
        svg = svg[svg.index("<svg") :]
        svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
        described = f'role="img" aria-label="{escape(self.alt)}"'
        # A function, since in a text backslashes would be escapes.
        svg = re.sub(r'width="\S+pt" height="\S+pt"', lambda _: described, svg, count=1)
        svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{self.name}-{number}-", svg)
        svg = svg.replace(FONTS, "inherit")
        for light, (variable, _) in theme().items():
            svg = svg.replace(light, f"var({variable})")
        # The text in it was escaped by matplotlib, the description above.
        return Markup(svg)  # noqa: S704

    def pdf(self) -> bytes:
        """Return the figure for a paper."""
        with styled():
            stream = io.BytesIO()
            nobody = {"CreationDate": None, "Creator": None, "Producer": None}
            self.figure.savefig(stream, format="pdf", metadata=nobody)
        return stream.getvalue()


@contextmanager
def styled() -> Iterator[None]:
    """Have matplotlib draw in the style of the pages."""
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # Class names in scripts that the layout font lacks are still text in the SVG; only their width is a guess.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


@dataclass(frozen=True, kw_only=True)
class Plot(Generic[Facts]):
    """A kind of figure: when the facts support it, how it is drawn, what it shows in words, and of which runs alone."""

    supported: Callable[[Facts], bool]
    draw: Callable[[Facts], Figure]
    describe: Callable[[Facts], str]
    runs: Callable[[Facts], tuple[int, ...]] = lambda _: ()


def draw_all(plots: Mapping[str, Plot[Facts]], facts: Facts) -> list[Drawing]:
    """Draw every figure, by its name, that the facts support."""
    with styled():
        return [
            Drawing(name=name, alt=plot.describe(facts), figure=plot.draw(facts), runs=plot.runs(facts))
            for name, plot in plots.items()
            if plot.supported(facts)
        ]
