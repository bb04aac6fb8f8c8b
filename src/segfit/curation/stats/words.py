"""The statistics in sentences: what the terminal and the page say alike."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segfit import units
from segfit.curation.names import short_names
from segfit.curation.stats import Stats
from segfit.curation.stats.tally import Tally

__all__ = ["findings", "headline", "listed", "size_text"]

NAMED = 6
"""So many names are written out."""
MOST_PIXELS = 0.5
IGNORED = 0.02
"""A smaller share of pixels that are not annotated is not worth a sentence."""


def listed(names: Sequence[str]) -> str:
    """Return ``a, b and 3 more``."""
    if len(names) > NAMED + 1:
        return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def headline(stats: Stats) -> str:
    """Return the dataset in one sentence."""
    tally = stats.overall
    covered = tally.coverage()[:, 0]
    images = f"{len(tally.records):,} image{'s' * (len(tally.records) != 1)}"
    if not len(covered):
        return f"{images}, and nothing in them is annotated"
    half = int(np.searchsorted(covered, MOST_PIXELS)) + 1
    if len(covered) < len(tally.pixels):
        return f"{images} show {len(covered)} of {len(tally.pixels)} classes; {_cover(half, covered)}"
    return f"{images}, {len(covered)} classes: {_cover(half, covered)}"


def _cover(half: int, covered: NDArray[np.float64]) -> str:
    subject = "one of them covers" if half == 1 else f"{half} of them cover"
    return f"{subject} {units.share(float(covered[half - 1]))} of the annotated pixels"


def findings(stats: Stats) -> list[str]:
    """Return what a user should know before training, one sentence each, worst first."""
    short = dict(zip(stats.names, short_names(stats.names), strict=True))
    found = []
    elsewhere = stats.only_elsewhere()
    if elsewhere:
        found.append(
            f"{_classes(elsewhere)} of other splits never {_occur(elsewhere)} in {stats.base}, "
            f"where a model would learn: {listed([short[name] for name in elsewhere])}."
        )
    nowhere = stats.missing(stats.overall)
    if nowhere:
        found.append(f"{_classes(nowhere)} {_occur(nowhere)} nowhere: {listed([short[name] for name in nowhere])}.")
    for name, split in stats.splits.items():
        missing = [short[label] for label in stats.missing(split) if label not in nowhere]
        if missing and name != stats.base:
            found.append(
                f"{_classes(missing)} never {_occur(missing)} in {name} and cannot be scored there: {listed(missing)}."
            )
    ignored = 1 - stats.overall.annotated / stats.overall.area
    if ignored >= IGNORED:
        found.append(f"{units.share(ignored)} of the pixels are not annotated; losses and scores ignore them.")
    return found


def _classes(names: Sequence[str]) -> str:
    return f"{len(names)} class{'es' * (len(names) != 1)}"


def _occur(names: Sequence[str]) -> str:
    return "occurs" if len(names) == 1 else "occur"


def size_text(tally: Tally) -> str:
    """Return the sizes of the images in one sentence."""
    counts = tally.size_counts()
    (height, width), images = counts[0]
    if len(counts) == 1:
        return f"All images are {width}x{height} pixels."
    heights, widths = tally.census.sizes.T
    most = units.share(images / len(tally.records))
    return (
        f"{len(counts):,} sizes: widths from {widths.min()} to {widths.max()} and heights from {heights.min()} to "
        f"{heights.max()} pixels. The most common one, {width}x{height}, has {most} "
        f"of the images; the median short side has {np.median(tally.census.sizes.min(1)):.0f} pixels."
    )
