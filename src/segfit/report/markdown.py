"""A report as Markdown: the same sections, with links to the figures and pictures beside it."""

from collections.abc import Callable, Iterable
from typing import Any

from segfit.comparison.formats import markdown_text
from segfit.report.blocks import (
    Block,
    Bullets,
    Commands,
    Figures,
    Fold,
    LegendEntry,
    Paragraph,
    Pictures,
    Slider,
    Table,
)
from segfit.report.content import Report
from segfit.report.files import Place, grid, helps, outline, picture_files

__all__ = ["markdown"]


def markdown(report: Report) -> str:
    """Return the report; figures, tables and pictures are linked as `files` calls them."""
    lines = [f"# {markdown_text(report.title)}"]
    lines += [markdown_text(report.comparison.warning or "")]
    for chapter in outline(report):
        lines += [f"## {markdown_text(chapter.title)}"] if chapter.title else []
        lines += [f"*{markdown_text(chapter.protocol)}*"] if chapter.protocol else []
        lines += [markdown_text(chapter.words), *(text for place in chapter.places for text in _section(place))]
    return _joined(lines) + "\n"


def _joined(parts: Iterable[str]) -> str:
    """Return paragraphs; what is empty is none."""
    return "\n\n".join(part for part in parts if part)


def _section(place: Place) -> list[str]:
    blocks = [_block(block, place) for block in place.section.blocks]
    return [f"{'#' * place.level} {markdown_text(place.section.title)}", *blocks]


def _block(block: Block, place: Place) -> str:
    return WRITERS[type(block)](block, place)


def _paragraph(block: Paragraph, _: Place) -> str:
    return markdown_text(block.text)


def _bullets(block: Bullets, _: Place) -> str:
    return "\n".join(f"- {markdown_text(item)}" for item in block.items)


def _table(block: Table, _: Place) -> str:
    notes = helps(block)
    return _joined([grid(block).to_markdown(), markdown_text(notes)])


def _figures(block: Figures, place: Place) -> str:
    links = [f"![{markdown_text(drawing.alt)}]({place.figure(drawing)}.svg)" for drawing in block.drawings]
    return _joined([*links, markdown_text(block.caption)])


def _pictures(block: Pictures | Slider, place: Place) -> str:
    files = picture_files(place, block)
    rows = (
        [markdown_text(file.caption) for file in files],
        ["---"] * len(files),
        [f"![{markdown_text(file.alt)}]({file.name})" for file in files],
    )
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    remark = block.remark if isinstance(block, Slider) else ""
    parts = (
        f"{'#' * (place.level + 1)} {markdown_text(block.title)}",
        table,
        markdown_text(_legend(block.legend)),
        markdown_text(remark),
    )
    return _joined(parts)


def _legend(entries: tuple[LegendEntry, ...]) -> str:
    """Return the classes without their colours, which plain text has none of."""
    texts = [f"{entry.name} ({entry.remark})" if entry.remark else entry.name for entry in entries]
    return f"Classes: {', '.join(texts)}." if texts else ""


def _commands(block: Commands, place: Place) -> str:
    parts = []
    for entry in block.commands:
        fence = "```"
        while fence in entry.command:
            fence += "`"
        parts += [f"{'#' * (place.level + 1)} {markdown_text(entry.title)}", f"{fence}sh\n{entry.command}\n{fence}"]
        parts.append(markdown_text(entry.remark))
    return _joined(parts)


def _fold(block: Fold, place: Place) -> str:
    inner = _joined(_block(inner, place) for inner in block.blocks)
    opened = " open" if block.opened else ""
    return f"<details{opened}>\n<summary>{_html_text(block.summary)}</summary>\n\n{inner}\n\n</details>"


def _html_text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


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
