"""A report as a LaTeX document (booktabs): the same sections, with the figures as PDF."""

from collections.abc import Callable
from typing import Any

from segfit.comparison.formats import latex_row, latex_text
from segfit.report.blocks import Block, Bullets, Commands, Figures, Fold, Paragraph, Pictures, Slider, Table
from segfit.report.content import Part, Report
from segfit.report.files import Place, grid, helps, picture_files, places

__all__ = ["latex", "latex_table"]

PREAMBLE = r"""% Names in other scripts than Latin need lualatex or xelatex and a font that has them.
\documentclass[10pt,a4paper]{article}
\usepackage[T1]{fontenc}
\usepackage{textcomp}
\usepackage[margin=20mm]{geometry}
\usepackage{booktabs,longtable,graphicx,caption}
\setlength{\parindent}{0pt}
\setlength{\parskip}{6pt plus 2pt}
\setlength{\emergencystretch}{3em}
\captionsetup{justification=raggedright,singlelinecheck=false,font=small}"""

HEADINGS = {1: "section", 2: "section", 3: "subsection", 4: "subsubsection", 5: "paragraph"}
SIZES = ((6, r"\small"), (9, r"\footnotesize"), (13, r"\scriptsize"))
"""The size of a table by the number of its columns; wider ones are tiny."""


def latex(report: Report) -> str:
    """Return the document; it includes figures and pictures as `files` calls them."""
    lines = [PREAMBLE, rf"\title{{{latex_text(report.title)}}}", r"\date{}", r"\begin{document}", r"\maketitle"]
    if len(report.parts) > 1:
        lines.append(latex_text(report.comparison.warning or ""))
    for part in report.parts:
        lines += _part(report, part)
    for place in places(report):
        lines += _section(place)
    return "\n\n".join([*lines, r"\end{document}"]) + "\n"


def latex_table(table: Table) -> str:
    """Return a ``tabular`` alone, to be put into a paper's own ``table``."""
    return f"% needs \\usepackage{{booktabs}}\n\n{grid(table).to_latex()}\n"


def _part(report: Report, part: Part) -> list[str]:
    several = len(report.parts) > 1
    return [
        *([rf"\section*{{{latex_text(part.headline.title)}}}"] if several else []),
        rf"\emph{{{latex_text(part.analysis.group.protocol.describe())}}}",
        latex_text(" ".join(part.headline.sentences)),
        *(text for place in places(report, part) for text in _section(place)),
    ]


def _section(place: Place) -> list[str]:
    return [_heading(place.level, place.section.title), *(_block(block, place) for block in place.section.blocks)]


def _heading(level: int, title: str) -> str:
    return rf"\{HEADINGS[level]}*{{{latex_text(title)}}}"


def _block(block: Block, place: Place) -> str:
    return WRITERS[type(block)](block, place)


def _paragraph(block: Paragraph, _: Place) -> str:
    text = latex_text(block.text)
    return rf"{{\small {text}\par}}" if block.note else text


def _bullets(block: Bullets, _: Place) -> str:
    # Braces keep an item that begins with a bracket from being read as a label.
    items = (rf"  \item {{}}{latex_text(item)}" for item in block.items)
    return "\n".join([r"\begin{itemize}", *items, r"\end{itemize}"])


def _table(block: Table, _: Place) -> str:
    """Return a table that may go on over several pages."""
    cells = grid(block)
    size = next((size for columns, size in SIZES if len(block.columns) <= columns), r"\tiny")
    layout = "".join("lr"[number] for number in cells.numbers)
    lines = [
        rf"{{{size}\setlength{{\tabcolsep}}{{{3 if len(block.columns) > 9 else 5}pt}}\setlength{{\LTleft}}{{0pt}}",
        rf"\begin{{longtable}}{{@{{}}{layout}@{{}}}}",
        rf"  \caption*{{{latex_text(block.caption)}}}\\",
        r"  \toprule",
        latex_row(cells.titles),
        r"  \midrule",
        r"  \endhead",
        *map(latex_row, cells.body),
        *([r"  \midrule", latex_row(cells.footer)] if cells.footer else []),
        r"  \bottomrule",
        r"\end{longtable}}",
    ]
    notes = helps(block)
    return "\n".join(lines) + (f"\n\n{{\\small {latex_text(notes)}\\par}}" if notes else "")


def _figures(block: Figures, place: Place) -> str:
    width = 0.49 if len(block.drawings) > 1 else 0.7
    images = "\n".join(_image(f"{place.figure(drawing)}.pdf", width) for drawing in block.drawings)
    return images + (f"\n\n{{\\small {latex_text(block.caption)}\\par}}" if block.caption else "")


def _image(name: str, width: float) -> str:
    return rf"\includegraphics[width={width}\linewidth]{{{name}}}"


def _pictures(block: Pictures | Slider, place: Place) -> str:
    images = "\n".join(
        rf"\begin{{minipage}}[t]{{0.24\linewidth}}\vspace{{0pt}}{_image(file.name, 1)}\\"
        rf"{{\scriptsize {latex_text(file.caption)}}}\end{{minipage}}"
        for file in picture_files(place, block)
    )
    names = ", ".join(f"{entry.name} ({entry.remark})" if entry.remark else entry.name for entry in block.legend)
    remark = block.remark if isinstance(block, Slider) else ""
    notes = [rf"{{\small {latex_text(text)}\par}}" for text in (f"Classes: {names}." if names else "", remark) if text]
    return "\n\n".join([_heading(place.level + 1, block.title), images, *notes])


def _commands(block: Commands, place: Place) -> str:
    parts = []
    for entry in block.commands:
        parts.append(_heading(place.level + 1, entry.title))
        parts.append(rf"{{\small\ttfamily\raggedright {_typed(entry.command)}\par}}")
        parts += [rf"{{\small {latex_text(entry.remark)}\par}}"] if entry.remark else []
    return "\n\n".join(parts)


def _typed(command: str) -> str:
    """Return a command as it is typed: neither dashes nor quotes run together into others."""
    straight = {"-": "{-}", "'": r"\textquotesingle{}", "`": r"\textasciigrave{}", '"': r"\textquotedbl{}"}
    return "".join(straight.get(char) or latex_text(char) or " " for char in command)


def _fold(block: Fold, place: Place) -> str:
    inner = [_block(inner, place) for inner in block.blocks]
    return "\n\n".join([rf"\textbf{{{latex_text(block.summary)}}}", *inner])


WRITERS: dict[type[Any], Callable[[Any, Place], str]] = {
    Paragraph: _paragraph,
    Bullets: _bullets,
    Table: _table,
    Figures: _figures,
    Pictures: _pictures,
    Slider: _pictures,
    Commands: _commands,
    Fold: _fold,
}
"""One for each kind of block."""
