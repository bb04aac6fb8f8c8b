"""A report in files: one page to share, and a folder of Markdown, LaTeX, tables and figures for papers."""

import csv
import io
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from segfit.comparison.comparing import Comparison
from segfit.drawing.style import PAPER
from segfit.errors import RunError
from segfit.folder import RunFolder, replacing
from segfit.report.blocks import Block, Cell, Figures, Pictures, Slider, Table
from segfit.report.content import Report, build_report, flat
from segfit.report.files import Place, grid, outline, picture_files
from segfit.report.html import html
from segfit.report.latex import latex, latex_table
from segfit.report.markdown import markdown

__all__ = ["write_report", "write_results", "write_tables"]

Files = dict[str, str | bytes]
"""Contents by file name."""


def write_report(
    paths: Sequence[str | Path], out: str | Path, tables: str | Path | None = None, *, evaluation: str | None = None
) -> Path:
    """Write one self-contained HTML file about finished runs.

    Args:
        paths: run folders.
        out: the file; its folder is made.
        tables: a folder for what `write_tables` writes; None: only the page.
        evaluation: as in `compare`.

    Returns:
        The path of the file.

    Raises:
        RunError: `out` is no HTML file, `tables` is a run folder or holds what is not of a report, one of both cannot
            be written, or what `compare` raises. Then neither is there.
    """
    file, folder = _page(Path(out)), None if tables is None else _folder(Path(tables))
    if file == folder:
        raise RunError(f"{file}: the page and the folder of tables need different names")
    report = build_report(paths, evaluation=evaluation)
    files = {} if folder is None else _files(report)
    with _writing(file, html(report)):
        # The page takes its place last: where it is, everything is.
        if folder is not None:
            _write_files(files, folder, BESIDE)
    return file


def write_results(report: Report, folder: str | Path) -> Path:
    """Write what a study leaves beside its runs: ``report.html`` and ``table.md``, ``.csv``, ``.tex`` and ``.json``.

    Returns:
        The path of the page.

    Raises:
        RunError: the folder cannot be written.
    """
    folder = _place(Path(folder))
    file = folder / "report.html"
    with _writing(file, html(report)):
        _write_files(_comparison(report.comparison), folder)
    return file


def write_tables(paths: Sequence[str | Path], folder: str | Path, *, evaluation: str | None = None) -> Path:
    """Write what a paper needs into a folder.

    ``report.md`` and ``report.tex`` are the whole report; ``table.md``, ``.csv``, ``.tex`` and ``.json`` the table of
    results as `compare` prints it. Beside them lie ``tables/`` (every table of the report in the same four formats),
    ``figures/`` (SVG and PDF) and ``pictures/``; those of an earlier report in the same folder are replaced. What
    belongs to a second group of runs, scored differently, is in a folder ``2`` there, and so on.

    Returns:
        The folder.

    Raises:
        RunError: the folder is a run, holds what is not of a report or cannot be written, or what `compare` raises.
    """
    folder = _folder(Path(folder))
    return _write_files(_files(build_report(paths, evaluation=evaluation)), folder, BESIDE)


# --- places ----------------------------------------------------------------------------------------------------------

BESIDE = ("tables", "figures", "pictures")
"""Folders that belong to a report and are replaced with it."""

OF_STUDY = ("table.md", "table.csv", "table.tex", "table.json")
"""What `write_results` leaves beside ``report.html``."""

FIXED = ("report.md", "report.tex", *OF_STUDY)
"""Files that every report has; a folder with all of them is of an earlier one."""


def _page(file: Path) -> Path:
    """Return the path of a page if one can be there."""
    if file.suffix.lower() not in {".html", ".htm"}:
        example = file.with_suffix(".html") if file.suffix else file / "report.html"
        raise RunError(f"{file}: a report ends in .html: name the file, for example {example}")
    if file.is_dir():
        raise RunError(f"{file}: is a folder: name the file, for example {file / 'report.html'}")
    _place(file.parent)
    return file


def _folder(folder: Path) -> Path:
    """Return a folder if a report may take its place there: nothing but an earlier report is overwritten."""
    if RunFolder(_place(folder)).exists():
        raise RunError(f"{folder}: is a run: name another folder for tables, for example {folder / 'paper'}")
    there = [name for name in (*FIXED, *BESIDE) if (folder / name).exists()]
    if there and not _earlier(folder, there):
        raise RunError(f"{folder / there[0]}: is not of an earlier report and would be replaced: name another folder")
    return folder


def _earlier(folder: Path, there: Sequence[str]) -> bool:
    """Return whether what is there in the places of a report is one, or the tables of a study."""
    if set(there) == set(OF_STUDY):
        return (folder / "report.html").is_file()
    return all((folder / name).is_file() for name in FIXED) and not any((folder / name).is_file() for name in BESIDE)


def _place(folder: Path) -> Path:
    """Return a folder if it is there or can be made."""
    try:
        there = next(path for path in (folder, *folder.parents) if path.exists())
    except OSError as error:
        raise RunError(f"{folder}: cannot be written: {error}") from None
    if not there.is_dir():
        raise RunError(f"{folder}: cannot be written: {there} is a file")
    return folder


# --- files -----------------------------------------------------------------------------------------------------------


@contextmanager
def _writing(file: Path, text: str) -> Iterator[None]:
    """Write a text that takes its place when the block ends well, and vanishes when not."""
    try:
        with replacing(file) as temporary:
            temporary.write_text(text, encoding="utf-8")
            yield
    except OSError as error:
        raise RunError(f"{file}: cannot be written: {error}") from None


def _write_files(files: Files, folder: Path, replaced: Sequence[str] = ()) -> Path:
    """Write all files or, where one cannot be written, none; the folders `replaced` lose what they held."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Inside the folder: what is beside it may be another disk, or another owner's.
        with tempfile.TemporaryDirectory(prefix=".report.", dir=folder) as temporary:
            for name, content in files.items():
                file = Path(temporary) / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content if isinstance(content, bytes) else content.encode())
            for name in replaced:
                if (folder / name).exists():
                    shutil.rmtree(folder / name)
            for entry in sorted(Path(temporary).iterdir()):
                entry.replace(folder / entry.name)
    except OSError as error:
        raise RunError(f"{folder}: cannot be written: {error}") from None
    return folder


def _files(report: Report) -> Files:
    """Return all that `write_tables` writes."""
    files: Files = {"report.md": markdown(report), "report.tex": latex(report), **_comparison(report.comparison)}
    for chapter in outline(report):
        for place in chapter.places:
            for block in flat(place.section.blocks):
                files |= _block(block, place)
    return files


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


Raw = str | float | None


def _raw(table: Table) -> tuple[list[str], list[list[Raw]]]:
    """Return titles and rows: raw numbers where there are any, and texts elsewhere; the footer is the last row.

    A column of intervals becomes two, of their low and high ends, behind the numbers that they are about.
    """
    rows = [*table.rows, *([table.footer] if table.footer else [])]
    titles: list[str] = []
    values: list[list[Raw]] = [[] for _ in rows]
    for place, column in enumerate(table.columns):
        cells = [row[place] for row in rows]
        spans = any(cell.interval is not None for cell in cells)
        if not spans or any(cell.value is not None for cell in cells):
            titles.append(column.title)
            for own, cell in zip(values, cells, strict=True):
                own.append(_number(cell) if column.number else cell.text)
        if spans:
            titles += [f"{column.title} low", f"{column.title} high"]
            for own, cell in zip(values, cells, strict=True):
                own.extend(cell.interval or (None, None))
    return titles, values


def _number(cell: Cell) -> Raw:
    return cell.value if cell.value is not None or not cell.text else cell.text


def _csv(table: Table) -> str:
    titles, rows = _raw(table)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(titles)
    writer.writerows(rows)
    return stream.getvalue()


def _json(table: Table) -> str:
    """Return rows as lists beside their titles: a run may be called as another column is."""
    titles, rows = _raw(table)
    value = {"caption": table.caption, "columns": titles, "rows": rows}
    return json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
