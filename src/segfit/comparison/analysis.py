"""What can be learnt from runs that were scored alike, computed when first asked for."""

from dataclasses import dataclass
from functools import cached_property

from segfit.comparison.entrants import Entrant, entrants
from segfit.comparison.statistics import FEWEST_IMAGES, Statistics, study
from segfit.comparison.table import Group
from segfit.errors import RunError
from segfit.evaluation.metrics import scores
from segfit.evaluation.records import Records, read_records

__all__ = ["Analysis"]

EQUAL = 1e-9
"""Scores that differ by less are of the same counts."""


@dataclass(frozen=True)
class Analysis:
    """A group of runs and what follows from it.

    Attributes:
        group: runs that were scored alike, best first.
    """

    group: Group

    @cached_property
    def records(self) -> tuple[Records, ...]:
        """The per-image records of each row, in the order of the rows: the same images in the same order.

        Raises:
            RunError: a file is missing or damaged, or runs were scored on different images.
        """
        for run in self.group.runs:
            if not run.files.per_image.is_file():
                raise RunError(f"{run.files.per_image}: no such file: write it again with: {run.scoring}")
        read = [read_records(run.files.per_image) for run in self.group.runs]
        first = read[0]
        for run, records in zip(self.group.runs, read, strict=True):
            # Scores are shares of whole numbers: the same records give the same digits.
            if abs(scores(records.total()).pixel_accuracy - run.evaluation.scores.pixel_accuracy) > EQUAL:
                raise RunError(
                    f"{run.path}: its per-image records are of another evaluation: write them again with: {run.scoring}"
                )
            if records.ids != first.ids or records.classes != first.classes:
                raise RunError(
                    f"{run.path}: was scored on other images than {self.group.runs[0].path}: evaluate both on the same"
                )
        return tuple(read)

    @cached_property
    def entrants(self) -> tuple[Entrant, ...]:
        """Who competes: runs that differ only in their seed are one entrant; the highest mean score first."""
        return entrants(self.group)

    @property
    def statistics(self) -> Statistics | None:
        """Intervals and differences; None where `statistics_note` says why there are none."""
        return self._studied[0]

    @property
    def statistics_note(self) -> str | None:
        """Why there are no intervals, as a sentence; None where there are."""
        return self._studied[1]

    @cached_property
    def _studied(self) -> tuple[Statistics | None, str | None]:
        try:
            records = self.records
        except RunError as error:
            return None, f"There are no intervals: {error}."
        if len(records[0]) < FEWEST_IMAGES:
            return None, f"{_images(len(records[0]))} too few for intervals: at least {FEWEST_IMAGES} are needed."
        names = (row.name for row in self.group.rows)
        counts = {name: record.class_counts() for name, record in zip(names, records, strict=True)}
        return study(self.entrants, counts, self.group.protocol.score), None


def _images(count: int) -> str:
    return "One image is" if count == 1 else f"{count} images are"
