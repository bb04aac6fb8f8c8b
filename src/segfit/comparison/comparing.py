"""The same table of runs for people, papers and machines, with intervals and a verdict."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from rich.console import Group as RichGroup
from rich.text import Text

from segfit import units
from segfit.comparison.analysis import Analysis
from segfit.comparison.curves import SCORES, ScoreName
from segfit.comparison.facts import RunFacts, Scores, read_run
from segfit.comparison.formats import Grid, markdown_text
from segfit.comparison.headline import headline
from segfit.comparison.statistics import Standing
from segfit.comparison.table import BASELINE, Group, Protocol, Row
from segfit.errors import RunError

__all__ = ["Column", "Comparison", "compare", "grid", "seed_notes"]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column: its title, its text for a row, and whether it holds numbers (aligned to the right)."""

    title: str
    text: Callable[[Row, Analysis], str]
    number: bool = True


def _cost(title: str, text: Callable[[RunFacts], str]) -> Column:
    """Return a column that only runs have; the baseline costs nothing worth measuring."""
    return Column(title=title, text=lambda row, _: "" if row.run is None else text(row.run))


def _metric(title: str, name: str) -> Column:
    return Column(title=title, text=lambda row, _: units.score(getattr(row.scores, name)))


def _standing(row: Row, analysis: Analysis) -> Standing | None:
    """Return where a run's entrant stands; None for the baseline, or where there are no statistics."""
    return None if row.run is None or analysis.statistics is None else analysis.statistics.row(row.name)


def _interval_text(row: Row, analysis: Analysis) -> str:
    """Return the interval of a run that stands for itself; of several seeds only the mean has one."""
    standing = _standing(row, analysis)
    if standing is None or len(standing.entrant.rows) > 1:
        return ""
    low, high = standing.interval.low, standing.interval.high
    return f"{units.score(low)}\N{EN DASH}{units.score(high)}"


def _columns(score: ScoreName, *, sure: bool) -> tuple[Column, ...]:
    """Return the paper's columns, then ours; the metric that sorts comes first among the metrics."""
    other: ScoreName = "miou" if score == "dice" else "dice"
    return (
        Column(title="Model", text=lambda row, _: row.name, number=False),
        _cost("Epochs", lambda run: str(run.training.epochs)),
        _cost("Batch size", lambda run: str(run.training.batch)),
        Column(title="Classes", text=lambda _, analysis: analysis.group.protocol.classes_text),
        _cost("Memory", lambda run: units.memory(run.training.memory)),
        _cost("Time", lambda run: units.duration(run.training.seconds)),
        _metric(SCORES[score], score),
        *([Column(title="95 % interval", text=_interval_text)] if sure else []),
        _metric(SCORES[other], other),
        _metric("Pixel acc.", "pixel_accuracy"),
        _cost("Params", lambda run: units.count(run.training.parameters)),
        _cost("Images/s", lambda run: units.rate(run.training.images_per_second)),
    )


ESSENTIAL = 7
"""How many of the columns are the paper's; a narrow terminal shows these only."""


def grid(analysis: Analysis) -> Grid:
    """Return the texts of a group's table; the baseline is the footer."""
    group = analysis.group
    sure = analysis.statistics is not None and any(len(entrant.rows) == 1 for entrant in analysis.entrants)
    columns = _columns(group.protocol.score, sure=sure)

    def texts(row: Row) -> tuple[str, ...]:
        return tuple(column.text(row, analysis) for column in columns)

    return Grid(
        caption=group.protocol.describe(),
        titles=tuple(column.title for column in columns),
        numbers=tuple(column.number for column in columns),
        body=tuple(texts(row) for row in group.rows),
        footer=texts(group.baseline),
        essential=ESSENTIAL,
    )


def _notes_of(analysis: Analysis) -> list[str]:
    """Return what a reader must know of a table: why there are no intervals, or what the means over seeds are."""
    unsure = [analysis.statistics_note] if analysis.statistics_note else []
    return [*analysis.group.notes, *unsure, *seed_notes(analysis)]


def seed_notes(analysis: Analysis) -> list[str]:
    """Return the mean over seeds of each entrant of several trainings, a sentence each, and which runs these are."""
    notes = []
    for standing in analysis.statistics.standings if analysis.statistics else ():
        if len(standing.trainings) > 1:
            low, high = units.score(standing.interval.low), units.score(standing.interval.high)
            runs = units.listed([row.name for row in standing.entrant.rows])
            notes.append(
                f"{standing.name}: {units.score(standing.value)} on average over {len(standing.trainings)} seeds, "
                f"95 % interval {low} to {high} ({runs})."
            )
    return notes


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Runs in groups that were scored alike; every output shows all groups, and ranks only within one.

    Attributes:
        analyses: each group and what follows from it.
    """

    analyses: tuple[Analysis, ...]

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups."""
        return tuple(analysis.group for analysis in self.analyses)

    @property
    def warning(self) -> str | None:
        """Why the runs stand in several tables; None when all were scored alike."""
        if len(self.groups) == 1:
            return None
        first, *others = (group.protocol for group in self.groups)
        differing = [
            f.name for f in fields(Protocol) if any(getattr(first, f.name) != getattr(p, f.name) for p in others)
        ]
        words = dict.fromkeys(_WORDS[name] for name in differing)
        return (
            f"These runs were not scored alike ({', '.join(words)} differ), so they stand in {len(self.groups)} tables "
            "and are ranked only within each."
        )

    def to_rich(self) -> RichGroup:
        """Return the tables for a terminal."""
        parts: list[Any] = [Text(self.warning, style="yellow"), Text()] if self.warning else []
        for analysis in self.analyses:
            notes = (Text(note, style="dim") for note in _notes_of(analysis))
            parts += [grid(analysis), Text(), Text(headline(analysis).title, style="bold"), Text(), *notes, Text()]
        return RichGroup(*parts[:-1])

    def to_markdown(self) -> str:
        """Return Markdown tables whose columns are aligned in the source, too."""
        parts = [self.warning] if self.warning else []
        for analysis in self.analyses:
            notes = "\n".join(f"- {markdown_text(note)}" for note in _notes_of(analysis))
            parts += [grid(analysis).to_markdown(), f"**{markdown_text(headline(analysis).title)}**", notes]
        return "\n\n".join(parts) + "\n"

    def to_latex(self) -> str:
        """Return ``tabular`` environments with booktabs' rules."""
        parts = ["% needs \\usepackage{booktabs}", *([f"% {self.warning}"] if self.warning else [])]
        parts += [grid(analysis).to_latex() for analysis in self.analyses]
        return "\n\n".join(parts) + "\n"

    def to_csv(self) -> str:
        """Return one row a run and one a baseline: raw numbers in bytes, seconds and shares of one."""
        records = self._records()
        stream = io.StringIO()
        writer = csv.DictWriter(stream, fieldnames=list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        return stream.getvalue()

    def to_json(self) -> str:
        """Return the rows of `to_csv` with each group's protocol and notes, indented."""
        groups = [
            {
                "protocol": {f.name: getattr(analysis.group.protocol, f.name) for f in fields(Protocol)},
                "verdict": headline(analysis).title,
                "notes": _notes_of(analysis),
                "rows": [_record(number, rank, row, analysis) for rank, row in _ranked(analysis.group)],
                "statistics": analysis.statistics.to_facts() if analysis.statistics else None,
            }
            for number, analysis in enumerate(self.analyses, 1)
        ]
        value = {"warning": self.warning, "groups": groups}
        return json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"

    def _records(self) -> list[dict[str, Any]]:
        return [
            _record(number, rank, row, analysis)
            for number, analysis in enumerate(self.analyses, 1)
            for rank, row in _ranked(analysis.group)
        ]


_WORDS = {
    "name": "the protocols",
    "dataset": "the datasets",
    "split": "the splits",
    "images": "the images",
    "classes": "the classes",
    "to_train": "the classes",
    "rest": "the treatment of the other classes",
    "resize": "the input sizes",
    "window": "the windows (whole or sliding)",
    "overlap": "the overlaps of windows",
    "weighting": "the weights of windows",
    "scales": "the scales of the input",
    "flip": "the mirroring of the input",
    "score": "the sorting metrics",
    "pixels": "the annotated pixels",
}


def compare(paths: Sequence[str | Path] | Path, *, evaluation: str | None = None) -> Comparison:
    """Compare finished runs by what their folders say.

    Args:
        paths: run folders.
        evaluation: name of the saved evaluation whose scores are compared; by default those of the runs' ends.

    Raises:
        RunError: no run at all, the same one twice, or what `read_run` raises.
    """
    if isinstance(paths, str | Path):
        paths = [paths]
    if not paths:
        raise RunError("nothing to compare: name at least one run folder")
    resolved = [Path(path).resolve() for path in paths]
    for path, place in zip(paths, resolved, strict=True):
        if resolved.count(place) > 1:
            raise RunError(f"{path}: named twice: name every run once")
    runs = [read_run(path, evaluation) for path in paths]
    members: dict[Protocol, list[Row]] = {}
    for number, (name, run) in enumerate(zip(_unique_names(runs), runs, strict=True)):
        row = Row(name=name, number=number, run=run, scores=run.evaluation.scores)
        members.setdefault(Protocol.of(run), []).append(row)
    return Comparison(analyses=tuple(Analysis(_group(protocol, rows)) for protocol, rows in members.items()))


def _group(protocol: Protocol, rows: list[Row]) -> Group:
    runs = [row.run for row in rows if row.run is not None]
    return Group(
        protocol=protocol,
        rows=tuple(sorted(rows, key=lambda row: (-row.score(protocol.score), row.name))),
        baseline=Row(name=BASELINE, number=-1, run=None, scores=runs[0].evaluation.baseline),
        notes=tuple(_notes(runs)),
    )


def _notes(runs: Sequence[RunFacts]) -> list[str]:
    """Return what keeps the costs of these runs from being compared as they stand."""
    notes = []
    kinds = sorted({run.training.memory_kind for run in runs})
    if len(kinds) == 1:
        notes.append(f"Memory is the peak {kinds[0]}; 1 GB is 10⁹ bytes.")
    else:
        notes.append(f"Memory was measured differently ({', '.join(kinds)}): do not compare it.")
    devices = sorted({run.hardware for run in runs})
    if len(devices) > 1:
        notes.append(f"Times are from different hardware ({', '.join(devices)}): do not compare them.")
    checkpoints = {run.evaluation.checkpoint for run in runs}
    if len(checkpoints) > 1:
        notes.append("Some runs are scored at their best checkpoint, some at their last.")
    return notes


def _unique_names(runs: Sequence[RunFacts]) -> list[str]:
    """Return the recipes' names; where two agree, with as much of their folders' paths as tells them apart."""
    names = [run.recipe.name for run in runs]
    paths = [run.path.resolve() for run in runs]
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        repeated = [names.count(name) > 1 for name in names]
        tails = ["/".join(path.parts[-depth:]) for path in paths]
        rows = zip(names, runs, tails, repeated, strict=True)
        names = [f"{run.recipe.name} ({tail})" if twice else name for name, run, tail, twice in rows]
    return names


# --- writing ---------------------------------------------------------------------------------------------------------


def _ranked(group: Group) -> list[tuple[int | None, Row]]:
    return [*enumerate(group.rows, 1), (None, group.baseline)]


def _record(number: int, rank: int | None, row: Row, analysis: Analysis) -> dict[str, Any]:
    """Return a row's raw numbers; costs are None for the baseline, intervals where there are none."""
    run, protocol = row.run, analysis.group.protocol
    standing = _standing(row, analysis)
    return {
        "group": number,
        "rank": rank,
        "name": row.name,
        "model": run.recipe.model.name if run else None,
        "seed": run.recipe.train.seed if run else None,
        "protocol": protocol.name,
        "dataset": protocol.dataset,
        "split": protocol.split,
        "images": protocol.images,
        "classes": len(protocol.classes),
        "rest": protocol.rest,
        "resize": protocol.resize,
        "window": protocol.window,
        "overlap": protocol.overlap,
        "weighting": protocol.weighting,
        "scales": " ".join(f"{scale:g}" for scale in protocol.scales),
        "flip": protocol.flip,
        "checkpoint": run.evaluation.checkpoint if run else None,
        "score": protocol.score,
        "entrant": standing.name if standing else None,
        "low": standing.interval.low if standing else None,
        "high": standing.interval.high if standing else None,
        "seed_spread": standing.seed_spread if standing else None,
        **{name: getattr(row.scores, name) for name in Scores.model_fields},
        **{name: getattr(run.training, name) if run else None for name in _COSTS},
        "device": run.environment.device_name if run else None,
        "ranks": run.environment.ranks if run else None,
    }


_COSTS = (
    "epochs",
    "steps",
    "batch",
    "best_epoch",
    "seconds",
    "memory",
    "memory_kind",
    "images_per_second",
    "parameters",
)
