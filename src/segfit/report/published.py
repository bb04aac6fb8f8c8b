"""What others published on ADE20K: mIoU of methods on its 2,000 validation images and 150 classes.

``data/ade20k_published.csv`` has one row a method, backbone and way of testing. The numbers are from the papers and the
model lists of the repositories that go with them; ``trained_by`` says who trained the model that was scored, for the
first papers scored no ADE20K, and mmsegmentation trained several methods again, later and better.
"""

import csv
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files

from segfit.comparison.table import Group, Row
from segfit.config import PROTOCOLS

__all__ = [
    "AGAIN",
    "FAMILIES",
    "Published",
    "best_so_far",
    "comparable",
    "differences",
    "read_published",
    "started",
    "tested",
]

CLASSES = 150
IMAGES = 2000

AGAIN = "mmsegmentation 2020"
"""Who trained methods again that others had published."""

FAMILIES = ("convolution", "transformer", "mask classification")
"""How a method sees the image; the last one predicts masks with a class each, whatever its backbone."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published score.

    Attributes:
        year: in which the method was first published.
        method: its name.
        backbone: what it is built on.
        family: one of `FAMILIES`.
        miou: in percent, as published.
        test: ``single-scale``, ``multi-scale`` (several scales, mostly flipped, too) or ``not stated``.
        trained_by: who trained the scored model.
        source: first author, venue and year.
        arxiv: number of the paper there; "" where there is none.
    """

    year: int
    method: str
    backbone: str
    family: str
    miou: float
    test: str
    trained_by: str
    source: str
    arxiv: str

    @property
    def when(self) -> float:
        """The date as a year with a fraction: the month of the preprint, else the middle of the year."""
        return self.year + ((int(self.arxiv[2:4]) - 0.5) / 12 if self.arxiv else 0.5)

    @property
    def again(self) -> bool:
        """The method was trained again, by others and later: it says nothing about what was possible in its year."""
        return self.trained_by == AGAIN


@cache
def read_published() -> tuple[Published, ...]:
    """Return every published score, by year and score."""
    text = (files("segfit.report") / "data" / "ade20k_published.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return tuple(
        Published(
            year=int(row["year"]),
            method=row["method"],
            backbone=row["backbone"],
            family=row["family"],
            miou=float(row["miou"]),
            test=row["test"],
            trained_by=row["trained_by"],
            source=row["source"],
            arxiv=row["arxiv"],
        )
        for row in rows
    )


def best_so_far(scores: tuple[Published, ...]) -> list[Published]:
    """Return the scores that beat all earlier ones, in the order of their dates; what was trained again does not count.

    Of one date, only the best counts.
    """
    records: list[Published] = []
    for score in sorted((one for one in scores if not one.again), key=lambda one: (one.when, -one.miou)):
        if not records or score.miou > records[-1].miou:
            records.append(score)
    return records


def differences(group: Group) -> list[str]:
    """Return why the scores of a group must not stand beside published ones; nothing where they may."""
    protocol = group.protocol
    reasons = []
    if len(protocol.classes) != CLASSES or protocol.rest == "other":
        reasons.append(f"{protocol.classes_text} classes instead of {CLASSES}")
    if protocol.split != "validation":
        reasons.append(f"the split {protocol.split} instead of validation")
    if protocol.images != IMAGES:
        reasons.append(f"{protocol.images:,} images instead of {IMAGES:,}")
    if protocol.name != "mmseg":
        reasons.append(f"another way of scoring ({protocol.name}: {PROTOCOLS[protocol.name].words})")
    if len(protocol.scales) == 1 and protocol.scales != (1.0,):
        reasons.append(f"the scale {protocol.scales[0]:g} instead of 1")
    return reasons


def tested(group: Group) -> str:
    """Return the kind of test by which a group was scored, as `Published` has it: mirrored input is no single scale."""
    protocol = group.protocol
    return "multi-scale" if len(protocol.scales) > 1 or protocol.flip else "single-scale"


def comparable(group: Group) -> bool:
    """Return whether the scores of a group may stand beside published ones."""
    return group.protocol.dataset == "ade20k" and not differences(group)


def started(row: Row) -> float | None:
    """Return when a run was started as a year with a fraction; None where its environment does not say."""
    assert row.run is not None, "the baseline has no date"
    try:
        when = datetime.fromisoformat(row.run.environment.started)
    except ValueError:
        return None
    return when.year + (when.timetuple().tm_yday - 0.5) / 366
