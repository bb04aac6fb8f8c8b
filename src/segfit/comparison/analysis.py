"""What can be learnt from runs that were scored alike, computed when first asked for."""

from dataclasses import dataclass
from functools import cached_property

from segfit.comparison.table import Group
from segfit.errors import RunError
from segfit.evaluation.records import Records, read_records
from segfit.folder import RunFolder

__all__ = ["Analysis"]


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
        read = [read_records(RunFolder(run.path).per_image_file) for run in self.group.runs]
        first = read[0]
        for run, records in zip(self.group.runs, read, strict=True):
            if records.ids != first.ids or records.classes != first.classes:
                raise RunError(
                    f"{run.path}: was scored on other images than {self.group.runs[0].path}: evaluate both on the same"
                )
        return tuple(read)
