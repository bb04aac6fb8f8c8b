"""Runs side by side: who was scored alike, and in which order."""

from dataclasses import dataclass

from segfit.comparison.curves import SCORES, ScoreName
from segfit.comparison.facts import RunFacts, Scores
from segfit.config import ProtocolName, Rest
from segfit.labels import OTHER

__all__ = ["BASELINE", "Group", "Protocol", "Row"]

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
        overlap: share of a window that its neighbour covers, too; None without windows, or where a run does not say.
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
    overlap: float | None
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
            dataset=run.data.name,
            split=run.evaluation.split,
            images=run.evaluation.images,
            classes=run.labels.names,
            to_train=tuple(sorted(run.labels.to_train)),
            rest=run.recipe.labels.rest,
            resize=run.evaluation.resize,
            window=run.evaluation.window,
            overlap=run.evaluation.overlap,
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
        if windows and self.overlap is not None:
            windows += f" overlapping by {self.overlap:.0%}".replace("%", " %")
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
    def validated_alike(self) -> bool:
        """Whether the runs were scored alike while they were trained, too: only then their curves can be compared."""
        return len({Protocol.of(run.as_trained) for run in self.runs}) == 1

    @property
    def runs(self) -> list[RunFacts]:
        """The runs of the rows, in the same order."""
        return [row.run for row in self.rows if row.run is not None]
