"""The report: one HTML file that needs nothing else, neither scripts nor fonts nor a network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from segfit import __version__, units
from segfit.comparison.curves import SCORES
from segfit.comparison.table import Comparison, Group, compare
from segfit.drawing.style import RUNS, theme
from segfit.errors import RunError
from segfit.folder import replacing
from segfit.report.examples import Example, examples_or_note
from segfit.report.figures import FIGURE_CLASSES, drawings
from segfit.report.headline import Headline, headline, overfitting, protocol_notes

__all__ = ["write_report", "write_tables"]


@dataclass(frozen=True, kw_only=True)
class HeatRow:
    """A class in the table of all classes: its share of the pixels and one (score, text) a run."""

    name: str
    share: str
    scores: tuple[tuple[float, str], ...]


@dataclass(frozen=True, kw_only=True)
class Section:
    """All that the template shows of one group."""

    number: int
    group: Group
    headline: Headline
    figures: dict[str, Markup]
    overfitting: list[str]
    losses: list[str]
    heat: list[HeatRow]
    examples: list[Example]
    examples_note: str | None
    notes: list[str]


def write_report(paths: Sequence[str | Path], out: str | Path) -> Path:
    """Write one self-contained HTML file about finished runs.

    Args:
        paths: run folders.
        out: the file; its folder is made.

    Returns:
        The path of the file.

    Raises:
        RunError: `out` is no HTML file or cannot be written, or what `compare` raises.
    """
    file = Path(out)
    if file.suffix.lower() not in {".html", ".htm"}:
        raise RunError(f"{file}: a report ends in .html: name the file, for example {file / 'report.html'}")
    comparison = compare(paths)
    text = _page(comparison)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunError(f"{file}: cannot be written: {error}") from None
    return file


def write_tables(paths: Sequence[str | Path], folder: str | Path) -> Path:
    """Write ``table.md``, ``.csv``, ``.tex`` and ``.json`` and every figure as SVG and PDF into a folder.

    Figures of a second group of runs, scored differently, get ``-2`` behind their names, and so on.

    Returns:
        The folder.

    Raises:
        RunError: the folder cannot be written, or what `compare` raises.
    """
    comparison = compare(paths)
    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
        for suffix, text in {
            "md": comparison.to_markdown(),
            "csv": comparison.to_csv(),
            "tex": comparison.to_latex(),
            "json": comparison.to_json(),
        }.items():
            (place / f"table.{suffix}").write_text(text, encoding="utf-8")
        for number, group in enumerate(comparison.groups, 1):
            for drawing in drawings(group):
                drawing.save(place, f"{drawing.name}-{number}" if number > 1 else drawing.name)
    except OSError as error:
        raise RunError(f"{place}: cannot be written: {error}") from None
    return place


def _page(comparison: Comparison) -> str:
    environment = Environment(
        loader=PackageLoader("segfit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sections = [_section(number, group) for number, group in enumerate(comparison.groups, 1)]
    return environment.get_template("report.html.j2").render(
        warning=comparison.warning,
        sections=sections,
        theme=theme(),
        hues=len(RUNS),
        version=__version__,
        runs=sum(len(group.rows) for group in comparison.groups),
        units=units,
        score_names=SCORES,
        figure_classes=FIGURE_CLASSES,
    )


def _section(number: int, group: Group) -> Section:
    examples, note = examples_or_note(group)
    return Section(
        number=number,
        group=group,
        headline=headline(group),
        figures={drawing.name: drawing.inline(number) for drawing in drawings(group)},
        overfitting=overfitting(group),
        losses=sorted({run.recipe.loss.name for run in group.runs}),
        heat=_heat(group),
        examples=examples,
        examples_note=note,
        notes=protocol_notes(group),
    )


def _heat(group: Group) -> list[HeatRow]:
    """Return every class, the most frequent first."""
    pixels = np.array(group.protocol.pixels)
    score = group.protocol.score
    return [
        HeatRow(
            name=group.protocol.classes[i],
            share=units.share(pixels[i] / max(1, pixels.sum())),
            scores=tuple(
                (value or 0.0, units.score(value))
                for run in group.runs
                for value in [run.evaluation.per_class[i].score(score)]
            ),
        )
        for i in np.argsort(-pixels, kind="stable").tolist()
    ]
