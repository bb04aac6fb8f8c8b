"""What a report says, before any format has a hand in it: a headline and sections for each group of runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from segfit.comparison.analysis import Analysis
from segfit.comparison.comparing import Comparison, compare
from segfit.comparison.headline import Headline, headline
from segfit.comparison.table import Row
from segfit.errors import UserError
from segfit.report.blocks import Block, Figures, Fold, Paragraph, Section, Table
from segfit.report.sections import ACROSS, SECTIONS, SMALL_PRINT, Entry

__all__ = ["Part", "Report", "build_report", "flat"]

Facts = TypeVar("Facts")


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a report says of runs that were scored alike.

    Attributes:
        number: from 1.
        analysis: the runs and what follows from them.
        headline: the result in words.
        sections: in the order in which they are read.
    """

    number: int
    analysis: Analysis
    headline: Headline
    sections: tuple[Section, ...]


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that a report says.

    Attributes:
        comparison: the runs.
        parts: one for each of its groups.
        across: sections about all runs, whether scored alike or not.
    """

    comparison: Comparison
    parts: tuple[Part, ...]
    across: tuple[Section, ...]

    @property
    def rows(self) -> list[Row]:
        """All runs, in the order in which they were given."""
        rows = (row for group in self.comparison.groups for row in group.rows)
        return sorted(rows, key=lambda row: row.number)

    @property
    def title(self) -> str:
        """The result in one line; of several groups, that they are several."""
        if len(self.parts) == 1:
            return self.parts[0].headline.title
        return f"{len(self.parts)} comparisons, not one"


def build_report(paths: Sequence[str | Path], *, evaluation: str | None = None) -> Report:
    """Compare finished runs and put in words, tables and figures what follows.

    A section that cannot be made, because a dataset is gone or a run kept no records, says why in its place.

    Args:
        paths: run folders.
        evaluation: as in `compare`.

    Raises:
        RunError: what `compare` raises.
    """
    comparison = compare(paths, evaluation=evaluation)
    parts = tuple(_part(number, analysis) for number, analysis in enumerate(comparison.analyses, 1))
    across = _sections(ACROSS, comparison)
    if len(parts) == 1:
        # Nothing is beside this group: what is about all runs is about these, and stands before the small print.
        sections = (*parts[0].sections[:-SMALL_PRINT], *across, *parts[0].sections[-SMALL_PRINT:])
        parts, across = (replace(parts[0], sections=sections),), ()
    report = Report(comparison=comparison, parts=parts, across=across)
    for part in parts:
        _check_names([*part.sections, *report.across])
    return report


def flat(blocks: Sequence[Block]) -> list[Block]:
    """Return blocks with those that are folded away in their places."""
    return [inner for block in blocks for inner in (flat(block.blocks) if isinstance(block, Fold) else [block])]


def _part(number: int, analysis: Analysis) -> Part:
    return Part(number=number, analysis=analysis, headline=headline(analysis), sections=_sections(SECTIONS, analysis))


def _sections(entries: Sequence[Entry[Facts]], facts: Facts) -> tuple[Section, ...]:
    made = (_section(entry.title, entry.build, facts) for entry in entries)
    return tuple(section for section in made if section is not None)


def _section(title: str, build: Callable[[Facts], Section | None], facts: Facts) -> Section | None:
    try:
        return build(facts)
    except UserError as error:
        reason = Paragraph(f"This could not be shown: {error}.", note=True)
        return Section(name=build.__name__.replace("_", "-"), title=title, blocks=[reason])


def _check_names(sections: Sequence[Section]) -> None:
    """Ids and files are called after sections, tables and figures."""
    names = [section.name for section in sections]
    assert len(set(names)) == len(names), f"sections of one name: {names}"
    for section in sections:
        tables = [block.name for block in flat(section.blocks) if isinstance(block, Table)]
        assert len(set(tables)) == len(tables), f"{section.name}: tables of one name: {tables}"
    blocks = [block for section in sections for block in flat(section.blocks)]
    figures = [drawing.name for block in blocks if isinstance(block, Figures) for drawing in block.drawings]
    assert len(set(figures)) == len(figures), f"figures of one name: {figures}"
