"""The sections of a report in the order in which they are read; each is made by one file of this folder."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from segfit.comparison.analysis import Analysis
from segfit.comparison.comparing import Comparison
from segfit.report.blocks import Section
from segfit.report.sections.ablation import ablation
from segfit.report.sections.again import again
from segfit.report.sections.budget import budget
from segfit.report.sections.calibration import calibration
from segfit.report.sections.classes import classes
from segfit.report.sections.confusion import confusion
from segfit.report.sections.costs import costs
from segfit.report.sections.curves import curves
from segfit.report.sections.measured import measured
from segfit.report.sections.memory import memory
from segfit.report.sections.pictures import pictures
from segfit.report.sections.published import published
from segfit.report.sections.results import results
from segfit.report.sections.statistics import statistics

__all__ = ["ACROSS", "SECTIONS", "SMALL_PRINT", "Entry"]

Facts = TypeVar("Facts")


@dataclass(frozen=True)
class Entry(Generic[Facts]):
    """A section of a report.

    Attributes:
        title: what stands above the reason when it cannot be made.
        build: makes it from facts; None: there is nothing to show.
    """

    title: str
    build: Callable[[Facts], Section | None]


SECTIONS: tuple[Entry[Analysis], ...] = (
    Entry("Results", results),
    Entry("How sure is that?", statistics),
    Entry("What the score costs", costs),
    Entry("At equal budget", budget),
    Entry("How they learnt", curves),
    Entry("Which classes they know", classes),
    Entry("What they confuse", confusion),
    Entry("How sure the models are of themselves", calibration),
    Entry("What they see", pictures),
    Entry("Where the memory went", memory),
    Entry("Beside published results", published),
    Entry("How it was measured", measured),
    Entry("How to run it again", again),
)
"""Sections about runs that were scored alike."""

SMALL_PRINT = 2
"""How many of them, the last ones, say how the others came about; these are never left out."""

ACROSS: tuple[Entry[Comparison], ...] = (Entry("What made the difference", ablation),)
"""Sections about all runs, whether scored alike or not."""
