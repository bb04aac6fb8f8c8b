"""A grid of texts as a terminal table, as Markdown and as LaTeX; every name is escaped."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

__all__ = ["Grid", "latex_row", "latex_text", "markdown_text"]

GAP = 2
"""Spaces between the columns in a terminal."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Texts in rows and columns.

    Attributes:
        caption: one line that says what the table shows.
        titles: title of each column.
        numbers: whether a column holds numbers, which are aligned to the right.
        body: the rows, best first.
        footer: a last row that is set apart from the body; None where there is none.
        essential: how many leading columns even a narrow terminal shows.
    """

    caption: str
    titles: tuple[str, ...]
    numbers: tuple[bool, ...]
    body: tuple[tuple[str, ...], ...]
    footer: tuple[str, ...] | None
    essential: int

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        """Show the table in a terminal; one that is too narrow gets the essential columns and the names of the rest."""
        widths = [max(cell_len(text) for text in column) for column in zip(*self._rows(), strict=True)]
        fits = sum(widths) + GAP * (len(widths) - 1) <= options.max_width
        shown = len(self.titles) if fits else self.essential
        yield Text(self.caption, style="dim")
        yield Text()
        yield self._table(shown)
        if not fits:
            yield Text(f"\nA wider terminal also shows {', '.join(self.titles[shown:])}.", style="dim")

    def _rows(self) -> list[tuple[str, ...]]:
        return [self.titles, *self.body, *([self.footer] if self.footer else [])]

    def _table(self, shown: int) -> Table:
        """Return the first `shown` columns: the best row bold, the footer dim; names wrap, numbers do not."""
        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
        for title, number in list(zip(self.titles, self.numbers, strict=True))[:shown]:
            justify: Literal["left", "right"] = "right" if number else "left"
            table.add_column(Text(title), justify=justify, no_wrap=number, overflow="fold")
        for position, texts in enumerate(self.body):
            style = "bold" if position == 0 else ""
            table.add_row(*(Text(text, style=style) for text in texts[:shown]))
        if self.footer:
            table.add_row()
            table.add_row(*(Text(text, style="dim") for text in self.footer[:shown]))
        return table

    def to_markdown(self) -> str:
        """Return a caption and a table whose columns are aligned in the source, too; the footer is in italics."""
        texts = [[markdown_text(text) for text in row] for row in (self.titles, *self.body)]
        footer = [[f"*{markdown_text(text)}*" if text else "" for text in self.footer]] if self.footer else []
        rows = [*texts, *footer]
        widths = [max(len(row[i]) for row in rows) for i in range(len(self.titles))]
        rule = ["-" * (width - 1) + "-:"[number] for width, number in zip(widths, self.numbers, strict=True)]

        def line(texts: Sequence[str]) -> str:
            aligned = zip(texts, widths, self.numbers, strict=True)
            return f"| {' | '.join(t.rjust(width) if number else t.ljust(width) for t, width, number in aligned)} |"

        table = "\n".join([line(rows[0]), line(rule), *(line(row) for row in rows[1:])])
        return f"{markdown_text(self.caption)}\n\n{table}"

    def to_latex(self) -> str:
        r"""Return a ``tabular`` with booktabs' rules and, as a paragraph beneath it, the caption.

        A ``\caption`` would need a float around it, and a last row as long as a protocol would spread the columns.
        """
        return "\n".join(
            [
                rf"\begin{{tabular}}{{{''.join('lr'[number] for number in self.numbers)}}}",
                r"  \toprule",
                latex_row(self.titles),
                r"  \midrule",
                *(latex_row(texts) for texts in self.body),
                *([r"  \midrule", latex_row(self.footer)] if self.footer else []),
                r"  \bottomrule",
                r"\end{tabular}",
                rf"\par\smallskip{{\footnotesize {latex_text(self.caption)}\par}}",
            ]
        )


def markdown_text(text: str) -> str:
    """Return `text` with Markdown's special characters escaped, in one line."""
    return "".join(f"\\{char}" if char in "\\|*_`<>[]~#&$" else char for char in " ".join(text.split()))


_LATEX = {
    "\\": r"\textbackslash{}",
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    # At the beginning of a row these would be read as arguments of the row before.
    "[": "{[}",
    "*": "{*}",
    "\N{EN DASH}": "--",
    "\N{EM DASH}": "---",
    "\N{HORIZONTAL ELLIPSIS}": r"\dots{}",
    "\N{MIDDLE DOT}": r"\textperiodcentered{}",
    "\N{MINUS SIGN}": "$-$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{PLUS-MINUS SIGN}": r"$\pm$",
    "\N{ALMOST EQUAL TO}": r"$\approx$",
    "\N{LESS-THAN OR EQUAL TO}": r"$\leq$",
    "\N{GREATER-THAN OR EQUAL TO}": r"$\geq$",
    "\N{RIGHTWARDS ARROW}": r"$\rightarrow$",
    **{
        char: rf"\textsuperscript{{{digit}}}"
        for digit, char in enumerate("\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")
    },
}


def latex_text(text: str) -> str:
    """Return `text` with LaTeX's special characters escaped, in one line."""
    return "".join(_LATEX.get(char, char) for char in " ".join(text.split()))


def latex_row(texts: Sequence[str]) -> str:
    """Return a row of a ``tabular``."""
    return f"  {' & '.join(map(latex_text, texts))} \\\\"
