"""Runs side by side: who was scored alike, in which order, and the same table for people, papers and machines."""

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
from segfit.comparison.curves import SCORES, ScoreName
from segfit.comparison.facts import RunFacts, Scores, read_run
from segfit.comparison.formats import Grid, markdown_text
from segfit.config import ProtocolName, Rest
from segfit.errors import RunError
from segfit.labels import OTHER

__all__ = ["BASELINE", "COLUMNS", "Column", "Comparison", "Group", "Protocol", "Row", "compare"]

_INPUTS = {"squash": "squashed", "short-side": "short-side"}

BASELINE = "majority class"
"""The name of the last row: what always answering the most common class scores."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What two runs must share for their scores to be compared.

    The annotated pixels of every class stand for the image set itself: they differ as soon as an image does.

    Attributes:
        name: of the way of scoring (see `config.PROTOCOLS`).
        dataset: kind of dataset.
        split: the split that was scored.
        images: how many images.
        classes: names of the train ids.
        to_train: pairs (source id, train id).
        rest: what became of the classes that were not selected.
        resize: how images were brought to the model's input size.
        window: what one forward pass saw of an image.
        weighting: what overlapping windows count.
        scales: at which sizes the input was seen.
        flip: whether it was seen mirrored, too.
        score: which metric sorts.
        pixels: annotated pixels of each class.
    """

    name: ProtocolName
    dataset: str
    split: str
    images: int
    classes: tuple[str, ...]
    to_train: tuple[tuple[int, int], ...]
    rest: Rest
    resize: str
    window: str
    weighting: str
    scales: tuple[float, ...]
    flip: bool
    score: ScoreName
    pixels: tuple[int, ...]

    @classmethod
    def of(cls, run: RunFacts) -> "Protocol":
        """Return the protocol that a run was scored by."""
        return cls(
            name=run.evaluation.protocol,
            dataset=run.recipe.data.name,
            split=run.evaluation.split,
            images=run.evaluation.images,
            classes=run.labels.names,
            to_train=tuple(sorted(run.labels.to_train)),
            rest=run.recipe.labels.rest,
            resize=run.evaluation.resize,
            window=run.evaluation.window,
            weighting=run.evaluation.weighting,
            scales=run.evaluation.scales,
            flip=run.evaluation.flip,
            score=run.score_name,
            pixels=tuple(entry.pixels for entry in run.evaluation.per_class),
        )

    @property
    def classes_text(self) -> str:
        """How many classes: ``150``, ``10 + other``, or ``10 (rest merged)`` where the rest became the most common."""
        if self.rest == "other" and OTHER in self.classes:
            return f"{len(self.classes) - 1} + {OTHER}"
        targets = [train for _, train in self.to_train if train < len(self.classes)]
        merged = self.rest == "most-common" and len(targets) > len(set(targets))
        return f"{len(self.classes)} (rest merged)" if merged else str(len(self.classes))

    def describe(self) -> str:
        """Return the protocol in one line."""
        return (
            f"Protocol {self.name}: {self.dataset} dataset, {self.images:,} {self.split} images, "
            f"{self.classes_text} classes, {self.input_text}, sorted by {SCORES[self.score]}"
        )

    @property
    def input_text(self) -> str:
        """What the models saw of an image: ``squashed input in Gaussian windows, mirrored, at 3 scales``."""
        kinds = {"uniform": " in windows", "gaussian": " in Gaussian windows"}
        windows = kinds[self.weighting] if self.window == "sliding" else ""
        seen = ", mirrored" if self.flip else ""
        scales = f", at {len(self.scales)} scales" if len(self.scales) > 1 else ""
        if len(self.scales) == 1 and self.scales != (1.0,):
            scales = f", at scale {self.scales[0]:g}"
        return f"{_INPUTS[self.resize]} input{windows}{seen}{scales}"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table.

    Attributes:
        name: what the run is called, unique among the runs compared.
        number: position among all runs as they were given, from 0; figures colour by it. -1 for the baseline.
        run: its facts; None for the baseline.
        scores: its metrics.
    """

    name: str
    number: int
    run: RunFacts | None
    scores: Scores

    def score(self, name: ScoreName) -> float:
        """Return the metric `name`."""
        return float(getattr(self.scores, name))


@dataclass(frozen=True, kw_only=True)
class Group:
    """Runs that were scored alike, best first.

    Attributes:
        protocol: how they were scored.
        rows: one row a run, sorted by falling score, then by name.
        baseline: the scores of always answering the most common class.
        notes: what a reader must know before comparing costs.
    """

    protocol: Protocol
    rows: tuple[Row, ...]
    baseline: Row
    notes: tuple[str, ...]

    @property
    def runs(self) -> list[RunFacts]:
        """The runs of the rows, in the same order."""
        return [row.run for row in self.rows if row.run is not None]

    def grid(self) -> Grid:
        """Return the texts of the table; the baseline is the footer."""
        columns = COLUMNS[self.protocol.score]

        def texts(row: Row) -> tuple[str, ...]:
            return tuple(column.text(row, self) for column in columns)

        return Grid(
            caption=self.protocol.describe(),
            titles=tuple(column.title for column in columns),
            numbers=tuple(column.number for column in columns),
            body=tuple(texts(row) for row in self.rows),
            footer=texts(self.baseline),
            essential=ESSENTIAL,
        )


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column: its title, its text for a row, and whether it holds numbers (aligned to the right)."""

    title: str
    text: Callable[[Row, Group], str]
    number: bool = True


def _cost(title: str, text: Callable[[RunFacts], str]) -> Column:
    """Return a column that only runs have; the baseline costs nothing worth measuring."""
    return Column(title=title, text=lambda row, _: "" if row.run is None else text(row.run))


def _metric(title: str, name: str) -> Column:
    return Column(title=title, text=lambda row, _: units.score(getattr(row.scores, name)))


def _columns(score: ScoreName) -> tuple[Column, ...]:
    """Return the paper's columns, then ours; the metric that sorts comes first among the metrics."""
    other: ScoreName = "miou" if score == "dice" else "dice"
    return (
        Column(title="Model", text=lambda row, _: row.name, number=False),
        _cost("Epochs", lambda run: str(run.training.epochs)),
        _cost("Batch size", lambda run: str(run.training.batch)),
        Column(title="Classes", text=lambda _, group: group.protocol.classes_text),
        _cost("Memory", lambda run: units.memory(run.training.memory)),
        _cost("Time", lambda run: units.duration(run.training.seconds)),
        _metric(SCORES[score], score),
        _metric(SCORES[other], other),
        _metric("Pixel acc.", "pixel_accuracy"),
        _cost("Params", lambda run: units.count(run.training.parameters)),
        _cost("Images/s", lambda run: units.rate(run.training.images_per_second)),
    )


ESSENTIAL = 7
"""How many of the columns are the paper's; a narrow terminal shows these only."""

COLUMNS: dict[ScoreName, tuple[Column, ...]] = {"dice": _columns("dice"), "miou": _columns("miou")}
"""The columns of a table by the metric that sorts it."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Runs in groups that were scored alike; every output shows all groups, and ranks only within one."""

    groups: tuple[Group, ...]

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
        for group in self.groups:
            notes = (Text(note, style="dim") for note in group.notes)
            parts += [group.grid(), Text(), *notes, Text()]
        return RichGroup(*parts[:-1])

    def to_markdown(self) -> str:
        """Return Markdown tables whose columns are aligned in the source, too."""
        parts = [self.warning] if self.warning else []
        for group in self.groups:
            parts += [group.grid().to_markdown(), "\n".join(f"- {markdown_text(note)}" for note in group.notes)]
        return "\n\n".join(parts) + "\n"

    def to_latex(self) -> str:
        """Return ``tabular`` environments with booktabs' rules."""
        parts = ["% needs \\usepackage{booktabs}", *([f"% {self.warning}"] if self.warning else [])]
        parts += [group.grid().to_latex() for group in self.groups]
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
                "protocol": {f.name: getattr(group.protocol, f.name) for f in fields(Protocol)},
                "notes": group.notes,
                "rows": [_record(number, rank, row, group) for rank, row in _ranked(group)],
            }
            for number, group in enumerate(self.groups, 1)
        ]
        value = {"warning": self.warning, "groups": groups}
        return json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"

    def _records(self) -> list[dict[str, Any]]:
        return [
            _record(number, rank, row, group)
            for number, group in enumerate(self.groups, 1)
            for rank, row in _ranked(group)
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
    "weighting": "the weights of windows",
    "scales": "the scales of the input",
    "flip": "the mirroring of the input",
    "score": "the sorting metrics",
    "pixels": "the annotated pixels",
}


def compare(paths: Sequence[str | Path]) -> Comparison:
    """Compare finished runs by what their folders say.

    Args:
        paths: run folders.

    Raises:
        RunError: no run at all, the same one twice, or what `read_run` raises.
    """
    if not paths:
        raise RunError("nothing to compare: name at least one run folder")
    resolved = [Path(path).resolve() for path in paths]
    for path, place in zip(paths, resolved, strict=True):
        if resolved.count(place) > 1:
            raise RunError(f"{path}: named twice: name every run once")
    runs = [read_run(path) for path in paths]
    members: dict[Protocol, list[Row]] = {}
    for number, (name, run) in enumerate(zip(_unique_names(runs), runs, strict=True)):
        row = Row(name=name, number=number, run=run, scores=run.evaluation.scores)
        members.setdefault(Protocol.of(run), []).append(row)
    return Comparison(groups=tuple(_group(protocol, rows) for protocol, rows in members.items()))


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


def _record(number: int, rank: int | None, row: Row, group: Group) -> dict[str, Any]:
    """Return a row's raw numbers; costs are None for the baseline."""
    run, protocol = row.run, group.protocol
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
        "weighting": protocol.weighting,
        "scales": " ".join(f"{scale:g}" for scale in protocol.scales),
        "flip": protocol.flip,
        "checkpoint": run.evaluation.checkpoint if run else None,
        "score": protocol.score,
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
