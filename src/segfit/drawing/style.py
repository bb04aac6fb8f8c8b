"""How figures look: colours in pairs for light and dark pages, markers, dashes and type.

Every figure is drawn at the size it is read at (1 pt = 1 CSS pixel, 12 px text), so that it works on a phone. Files get
the light colours; the report swaps each for a CSS variable.
"""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = [
    "FAINT",
    "FONTS",
    "INK",
    "MUTED",
    "PAPER",
    "RUNS",
    "STEPS",
    "STYLE",
    "axis_title",
    "new_figure",
    "run_color",
    "run_dash",
    "run_id",
    "run_marker",
    "theme",
]

INK, MUTED, FAINT, PAPER = "#1c2126", "#5a636d", "#dde1e6", "#fefefe"

RUNS = (
    ("#0067b1", "#62b5f2"),
    ("#c24400", "#ff8f57"),
    ("#007a55", "#3ccb9a"),
    ("#9c3a86", "#e795d3"),
    ("#8a6500", "#dfb843"),
    ("#5b5f66", "#b5bbc3"),
    ("#8c2f39", "#f2a3a0"),
)
"""Colours of the runs on light and on dark paper: Okabe and Ito's hues, darkened or lightened to a contrast of 4.5."""

DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
"""Lines of the first seven runs, of the next seven, …"""

MARKERS = "os^Dv<>"
"""One a run, so that runs are told apart without colour, too."""

STEPS = [1, 2, 5, 10]
"""Ticks are at round numbers."""

FONTS = "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
"""What an SVG's text is set in; the layout is computed with DejaVu Sans, which is wider than the others."""

STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.dpi": 72,
    "figure.facecolor": "none",
    "font.family": "DejaVu Sans",
    "font.size": 12,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "pdf.fonttype": 42,
    "savefig.dpi": 72,
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "segfit",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelsize": 11,
    "xtick.major.size": 3,
    "ytick.color": MUTED,
    "ytick.labelsize": 11,
    "ytick.major.size": 0,
}
"""Matplotlib's settings while a figure is drawn and written."""


def run_color(number: int) -> str:
    """Return the light-page colour of the run at position `number`; the first seven differ."""
    return RUNS[number % len(RUNS)][0]


def run_marker(number: int) -> str:
    """Return the marker of the run at position `number`; runs of one colour get different ones."""
    return MARKERS[(number + number // len(RUNS)) % len(MARKERS)]


def run_dash(number: int) -> Any:
    """Return the line style of the run at position `number`; runs of one colour get different ones."""
    return DASHES[number // len(RUNS) % len(DASHES)]


def run_id(number: int) -> str:
    """Return what an artist is called (``gid``) that shows only the run at position `number`: pages can hide it."""
    return f"run-{number}"


def theme() -> dict[str, tuple[str, str]]:
    """Return the CSS variable and the dark-page colour of every light-page colour that figures use."""
    base = {INK: ("--ink", "#e8eaed"), MUTED: ("--muted", "#a3acb5"), FAINT: ("--faint", "#343a41")}
    runs = {light: (f"--run-{number}", dark) for number, (light, dark) in enumerate(RUNS)}
    return {**base, PAPER: ("--paper", "#15181c"), **runs}


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of `width` x `height` CSS pixels."""
    figure = Figure(figsize=(width / 72, height / 72))
    FigureCanvasAgg(figure)
    return figure


def axis_title(axes: Axes, text: str) -> None:
    """Write the name of the vertical axis above it, where it is read first and needs no turned head."""
    axes.annotate(
        text, (0, 1), (0, 10), xycoords="axes fraction", textcoords="offset points", ha="left", va="bottom", color=INK
    )
