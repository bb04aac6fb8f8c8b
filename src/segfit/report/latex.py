"""A report as a LaTeX document (booktabs): the same sections, with the figures as PDF."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from segfit.comparison.formats import Grid, latex_row, latex_text
from segfit.report.blocks import Block, Bullets, Commands, Figures, Fold, Paragraph, Pictures, Slider, Table
from segfit.report.content import Report
from segfit.report.files import Place, grid, helps, outline, picture_files

__all__ = ["latex", "latex_table"]

PREAMBLE = r"""% Names in other scripts than Latin need lualatex or xelatex and a font that has them.
\documentclass[10pt,a4paper]{article}
\usepackage[T1]{fontenc}
\usepackage{textcomp}
\usepackage[margin=20mm]{geometry}
\usepackage{array,booktabs,longtable,graphicx,caption}
\setlength{\parindent}{0pt}
\setlength{\parskip}{6pt plus 2pt}
\setlength{\emergencystretch}{3em}
\captionsetup{justification=raggedright,singlelinecheck=false,font=small}"""

HEADINGS = {1: "section", 2: "section", 3: "subsection", 4: "subsubsection", 5: "paragraph"}
SIZES = ((86, r"\normalsize"), (95, r"\small"), (106, r"\footnotesize"), (118, r"\scriptsize"))
"""How many characters a line has at each size, as names and numbers are mixed in tables (Computer Modern's small sizes
are wider for their height); a table that is wider at the last one is split.
"""

GAP = 2
"""Characters that the space between two columns takes."""

LONGEST = 42
"""Longer texts in a table break into lines of so many characters."""


def latex(report: Report) -> str:
    """Return the document; it includes figures and pictures as `files` calls them."""
    lines = [PREAMBLE, rf"\title{{{latex_text(report.title)}}}", r"\date{}", r"\begin{document}", r"\maketitle"]
    lines.append(latex_text(report.comparison.warning or ""))
    for chapter in outline(report):
        lines += [rf"\section*{{{latex_text(chapter.title)}}}"] if chapter.title else []
        lines += [rf"\emph{{{latex_text(chapter.protocol)}}}"] if chapter.protocol else []
        lines += [latex_text(chapter.words), *(text for place in chapter.places for text in _section(place))]
    return _joined([*lines, r"\end{document}"]) + "\n"


def _joined(parts: Iterable[str]) -> str:
    """Return paragraphs; what is empty is none."""
    return "\n\n".join(part for part in parts if part)


def latex_table(table: Table) -> str:
    """Return a ``tabular`` alone, to be put into a paper's own ``table``."""
    return f"% needs \\usepackage{{booktabs}}\n\n{grid(table).to_latex()}\n"


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
    return "\n".join([r"\begin{itemize}", *items, r"\end{itemize}"]) if block.items else ""


def _table(block: Table, _: Place) -> str:
    """Return a table that may go on over several pages; one that is too wide is several, each with the first column."""
    cells = grid(block)
    widths = [_width(column) for column in _columns(cells)]
    parts = [_long_table(cells, widths, part) for part in _split(widths)]
    notes = helps(block)
    return _joined([*parts, rf"{{\small {latex_text(notes)}\par}}" if notes else ""])


def _columns(cells: Grid) -> list[tuple[str, ...]]:
    rows = [cells.titles, *cells.body, *([cells.footer] if cells.footer else [])]
    return list(zip(*rows, strict=True))


def _width(texts: Sequence[str]) -> int:
    """Return how many characters a column takes."""
    return min(LONGEST, max(len(text) for text in texts)) + GAP


def _split(widths: Sequence[int]) -> list[list[int]]:
    """Return the columns of the fewest parts of a table that fit on a page, about equally wide."""
    most = SIZES[-1][0]
    fewest = len(_filled(widths, most))
    narrower = (_filled(widths, characters) for characters in range(most))
    return next((parts for parts in narrower if len(parts) == fewest), _filled(widths, most))


def _filled(widths: Sequence[int], most: int) -> list[list[int]]:
    """Return the columns of parts that have at most `most` characters; all but the first repeat the first column."""
    parts = [[0]]
    for column in range(1, len(widths)):
        if len(parts[-1]) > 1 and sum(widths[i] for i in parts[-1]) + widths[column] > most:
            parts.append([0])
        parts[-1].append(column)
    return parts


def _long_table(cells: Grid, widths: Sequence[int], shown: Sequence[int]) -> str:
    """Return a table of some columns in the largest type in which it fits."""
    wide = sum(widths[i] for i in shown)
    size = next((size for characters, size in SIZES if wide <= characters), SIZES[-1][1])
    caption = f"{cells.caption.rstrip('.')}, continued" if len(shown) > 1 and shown[1] > 1 else cells.caption

    def row(texts: Sequence[str]) -> str:
        return latex_row([texts[i] for i in shown])

    return "\n".join(
        [
            rf"{{{size}\setlength{{\tabcolsep}}{{0.5em}}\setlength{{\LTleft}}{{0pt}}",
            rf"\begin{{longtable}}{{@{{}}{''.join(_layout(cells, i) for i in shown)}@{{}}}}",
            rf"  \caption*{{{latex_text(caption)}}}\\",
            r"  \toprule",
            row(cells.titles),
            r"  \midrule",
            r"  \endhead",
            *map(row, cells.body),
            *([r"  \midrule", row(cells.footer)] if cells.footer else []),
            r"  \bottomrule",
            r"\end{longtable}}",
        ]
    )


def _layout(cells: Grid, column: int) -> str:
    """Return how a column is set: long texts in lines, numbers to the right."""
    if any(len(text) > LONGEST for text in _columns(cells)[column]):
        return rf">{{\raggedright\arraybackslash}}p{{{LONGEST / 2:g}em}}"
    return "lr"[cells.numbers[column]]


def _figures(block: Figures, place: Place) -> str:
    width = 0.49 if len(block.drawings) > 1 else 0.7
    images = "\n".join(_image(f"{place.figure(drawing)}.pdf", width) for drawing in block.drawings)
    return _joined([images, rf"{{\small {latex_text(block.caption)}\par}}" if block.caption else ""])


def _image(name: str, width: float) -> str:
    return rf"\includegraphics[width={width}\linewidth,height=0.9\textheight,keepaspectratio]{{{name}}}"


def _pictures(block: Pictures | Slider, place: Place) -> str:
    images = "\n".join(
        rf"\begin{{minipage}}[t]{{0.24\linewidth}}\vspace{{0pt}}{_image(file.name, 1)}\\"
        rf"{{\scriptsize {latex_text(file.caption)}}}\vspace{{1.5ex}}\end{{minipage}}"
        for file in picture_files(place, block)
    )
    names = ", ".join(f"{entry.name} ({entry.remark})" if entry.remark else entry.name for entry in block.legend)
    remark = block.remark if isinstance(block, Slider) else ""
    notes = [rf"{{\small {latex_text(text)}\par}}" for text in (f"Classes: {names}." if names else "", remark) if text]
    return _joined([_heading(place.level + 1, block.title), images, *notes])


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
