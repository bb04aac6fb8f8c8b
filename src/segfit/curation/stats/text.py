"""The statistics for the terminal."""

from collections.abc import Iterator
from textwrap import indent

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from segfit import units
from segfit.curation.names import short_names
from segfit.curation.stats import Stats
from segfit.curation.stats.pairs import pairs
from segfit.curation.stats.suggestions import Suggestion
from segfit.curation.stats.tally import Tally
from segfit.curation.stats.words import findings, headline, size_text

__all__ = ["StatsText"]

BAR = 20
EIGHTHS = " ▏▎▍▌▋▊▉"
PAIRS = 5
SCENES = 8
IMAGENET = ("ImageNet", "0.485 0.456 0.406", "0.229 0.224 0.225")
"""What pretrained backbones expect (torchvision)."""


class StatsText:
    """Shows statistics in a terminal; what matters most stands last, next to the prompt."""

    def __init__(self, stats: Stats) -> None:
        self.stats = stats

    def __rich_console__(self, _console: Console, _options: ConsoleOptions) -> RenderResult:
        """Yield the parts, an empty line between them."""
        for part in self._parts():
            yield part
            yield Text()

    def _parts(self) -> Iterator[RenderableType]:
        stats = self.stats
        yield _classes(stats)
        yield _splits(stats)
        yield Text(size_text(stats.overall))
        yield from _scenes(stats.overall)
        yield from _pairs(stats)
        for sentence in findings(stats):
            yield Text(sentence)
        yield Text(f"Suggestions from the {len(stats.splits[stats.base].records):,} images of {stats.base}:")
        for suggestion in stats.suggestions:
            yield _suggestion(suggestion)
        data = stats.dataset.recipe.data
        yield Text(f"{headline(stats)}.", style="bold")
        yield Text(f"{data.name} in {data.root}, fingerprint {stats.fingerprint} ({data.train} and {data.validation})")


def _classes(stats: Stats) -> Table:
    """Return the classes that occur, the most common first; shares are of the annotated pixels."""
    tally, names = stats.overall, short_names(stats.names)
    table = _table(
        "class", "pixels", "", "sum", "images", "where shown", *(stats.splits if len(stats.splits) > 1 else ())
    )
    table.columns[2].justify = "left"
    shares = tally.pixels / max(tally.annotated, 1)
    each = [split.pixels / max(split.annotated, 1) for split in stats.splits.values()] if len(stats.splits) > 1 else []
    for i, (covered, _) in zip(tally.order, tally.coverage().tolist(), strict=True):
        table.add_row(
            Text(names[i]),
            units.share(shares[i]),
            Text(_bar(shares[i] / shares.max()), style="cyan"),
            units.share(covered),
            units.share(tally.images[i] / len(tally.records)),
            units.share(tally.where_shown[i]),
            *(Text(units.share(split[i]), style="dim") for split in each),
        )
    return table


def _splits(stats: Stats) -> Table:
    table = _table("split", "images", "pixels", "ignored", "classes", "mean of R, G, B", "standard deviation")
    rows = dict(stats.splits) if len(stats.splits) == 1 else {**stats.splits, "all": stats.overall}
    for name, tally in rows.items():
        table.add_row(
            Text(name),
            f"{len(tally.records):,}",
            units.count(tally.area),
            units.share(1 - tally.annotated / tally.area),
            str(len(tally.order)),
            *(" ".join(f"{value:.3f}" for value in values) for values in (tally.colors.mean, tally.colors.std)),
        )
    name, mean, std = IMAGENET
    table.add_row(name, "", "", "", "", mean, std, style="dim")
    return table


def _scenes(tally: Tally) -> Iterator[Text]:
    counts = tally.scene_counts()
    if counts:
        most = ", ".join(f"{name} {units.share(count / len(tally.records))}" for name, count in counts[:SCENES])
        yield Text(f"{len(counts):,} scene categories: {most}{' ...' if len(counts) > SCENES else '.'}")


def _pairs(stats: Stats) -> Iterator[Table]:
    found, names = pairs(stats.overall)[:PAIRS], short_names(stats.names)
    if found:
        table = _table("seen together", "images", "times chance")
        for pair in found:
            table.add_row(Text(f"{names[pair.first]} + {names[pair.second]}"), str(pair.images), units.rate(pair.lift))
        yield table


def _suggestion(suggestion: Suggestion) -> Group:
    title = Text(suggestion.title, style="bold green")
    if suggestion.applied:
        title.append(" (the recipe does)", style="dim")
    lines = Text(indent(suggestion.snippet(), "    "), style="cyan", no_wrap=True, overflow="ignore")
    return Group(title, Text(suggestion.reason), lines)


def _bar(share: float) -> str:
    whole, rest = divmod(round(share * BAR * 8), 8)
    return "█" * whole + EIGHTHS[rest].strip()


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(Text(first), overflow="fold")
    for title in others:
        table.add_column(Text(title), justify="right", no_wrap=True)
    return table
