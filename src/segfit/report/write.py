"""A report in files: one page to share, and a folder of Markdown, LaTeX, tables and figures for papers."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from segfit.comparison.comparing import Comparison, compare
from segfit.drawing.style import PAPER
from segfit.errors import RunError
from segfit.folder import replacing
from segfit.report.blocks import Block, Figures, Pictures, Slider, Table
from segfit.report.content import Report, build_report, flat
from segfit.report.files import Place, grid, picture_files, places
from segfit.report.html import html
from segfit.report.latex import latex, latex_table
from segfit.report.markdown import markdown

__all__ = ["write_report", "write_table", "write_tables"]

Files = dict[str, str | bytes]
"""Contents by file name."""


def write_report(paths: Sequence[str | Path], out: str | Path, tables: str | Path | None = None) -> Path:
    """Write one self-contained HTML file about finished runs.

    Args:
        paths: run folders.
        out: the file; its folder is made.
        tables: a folder for what `write_tables` writes; None: only the page.

    Returns:
        The path of the file.

    Raises:
        RunError: `out` is no HTML file or cannot be written, or what `compare` raises.
    """
    file = Path(out)
    if file.suffix.lower() not in {".html", ".htm"}:
        raise RunError(f"{file}: a report ends in .html: name the file, for example {file / 'report.html'}")
    report = build_report(paths)
    text = html(report)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunError(f"{file}: cannot be written: {error}") from None
    if tables is not None:
        _write_folder(report, Path(tables))
    return file


def write_table(paths: Sequence[str | Path], folder: str | Path) -> Path:
    """Write the table of results as `compare` prints it: ``table.md``, ``.csv``, ``.tex`` and ``.json``.

    Returns:
        The folder.

    Raises:
        RunError: the folder cannot be written, or what `compare` raises.
    """
    return _write_files(_comparison(compare(paths)), Path(folder))


def write_tables(paths: Sequence[str | Path], folder: str | Path) -> Path:
    """Write what a paper needs into a folder.

    ``report.md`` and ``report.tex`` are the whole report; ``table.md``, ``.csv``, ``.tex`` and ``.json`` the table of
    results as `compare` prints it. Beside them lie ``tables/`` (every table of the report in the same four formats),
    ``figures/`` (SVG and PDF) and ``pictures/``. What belongs to a second group of runs, scored differently, is in a
    folder ``2`` there, and so on.

    Returns:
        The folder.

    Raises:
        RunError: the folder cannot be written, or what `compare` raises.
    """
    return _write_folder(build_report(paths), Path(folder))


def _write_folder(report: Report, folder: Path) -> Path:
    files: Files = {"report.md": markdown(report), "report.tex": latex(report), **_comparison(report.comparison)}
    for part in (*report.parts, None):
        for place in places(report, part):
            for block in flat(place.section.blocks):
                files |= _block(block, place)
    return _write_files(files, folder)


def _write_files(files: Files, folder: Path) -> Path:
    try:
        for name, content in files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
    except OSError as error:
        raise RunError(f"{folder}: cannot be written: {error}") from None
    return folder


def _comparison(comparison: Comparison) -> Files:
    return {
        "table.md": comparison.to_markdown(),
        "table.csv": comparison.to_csv(),
        "table.tex": comparison.to_latex(),
        "table.json": comparison.to_json(),
    }


def _block(block: Block, place: Place) -> Files:
    """Return the files that belong to a block."""
    if isinstance(block, Table):
        return _table(block, place.table(block))
    if isinstance(block, Figures):
        return {
            f"{place.figure(drawing)}.{suffix}": content
            for drawing in block.drawings
            for suffix, content in (("svg", drawing.svg(PAPER)), ("pdf", drawing.pdf()))
        }
    if isinstance(block, Pictures | Slider):
        return {file.name: file.encoded() for file in picture_files(place, block)}
    return {}


# --- tables ----------------------------------------------------------------------------------------------------------


def _table(table: Table, name: str) -> Files:
    return {
        f"{name}.md": grid(table).to_markdown() + "\n",
        f"{name}.csv": _csv(table),
        f"{name}.tex": latex_table(table),
        f"{name}.json": _json(table),
    }


def _values(table: Table) -> list[list[str | float | None]]:
    """Return rows of raw numbers where there are any, and of texts elsewhere; the footer is the last one."""
    rows = [*table.rows, *([table.footer] if table.footer else [])]
    return [
        [
            cell.value if column.number and (cell.value is not None or not cell.text) else cell.text
            for cell, column in zip(row, table.columns, strict=True)
        ]
        for row in rows
    ]


def _csv(table: Table) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([column.title for column in table.columns])
    writer.writerows(_values(table))
    return stream.getvalue()


def _json(table: Table) -> str:
    titles = [column.title for column in table.columns]
    value = {"caption": table.caption, "rows": [dict(zip(titles, row, strict=True)) for row in _values(table)]}
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
