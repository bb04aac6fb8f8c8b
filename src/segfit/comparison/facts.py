"""What a run folder says about its run: recipe, label space, environment, curves and scores, checked once, here.

Nothing is measured again and nothing is guessed: a folder that is unfinished or damaged is refused with one line.
"""

import json
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from segfit.comparison.curves import Curves, ScoreName, learning_curves
from segfit.config import CheckpointName, DataConfig, EvaluateConfig, ProtocolName, Recipe
from segfit.errors import RunError
from segfit.folder import RunFolder, ScoreFiles
from segfit.labels import LabelSpace

__all__ = [
    "Boundary",
    "Calibration",
    "ClassScore",
    "Dataset",
    "Environment",
    "Evaluation",
    "ReliabilityBin",
    "RunFacts",
    "Scores",
    "Training",
    "read_run",
]

Unit = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Facts(BaseModel):
    """A frozen part of a run's files; keys that a newer segfit added are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Dataset(_Facts):
    """How many images the run saw, and fingerprints of their files: of all, and of those that it was trained on."""

    training: Count
    validation: Count
    fingerprint: str
    # Runs of earlier versions have only the one.
    training_fingerprint: str | None = None


class Environment(_Facts):
    """Where and how the run was started (``environment.json``)."""

    segfit: str
    python: str
    torch: str
    device: Literal["cpu", "cuda"]
    device_name: str
    cores: Count
    ranks: Count
    git: str | None
    platform: str
    started: str
    command: str
    dataset: Dataset


class Training(_Facts):
    """What the training cost: seconds of wall time, bytes at the peak, images per second, trained parameters."""

    epochs: Count
    steps: Count
    batch: Count
    seconds: Amount
    memory: Count
    memory_kind: str
    images_per_second: Amount
    parameters: Count
    best_epoch: Count
    best_score: float


class Scores(_Facts):
    """Metrics over all images of a split, each in [0, 1]; means are over the classes that occur."""

    dice: Unit
    miou: Unit
    pixel_accuracy: Unit
    mean_accuracy: Unit
    frequency_weighted_iou: Unit
    dice_per_image: Unit
    miou_per_image: Unit | None = None
    boundary_iou: Unit | None = None
    boundary_f: Unit | None = None
    ece: Unit | None = None


class ClassScore(_Facts):
    """The metrics of one class, None where it does not occur, and its number of annotated pixels.

    The accuracy of a class is its recall, as mmsegmentation calls it.
    """

    name: str
    dice: Unit | None
    iou: Unit | None
    precision: Unit | None = None
    accuracy: Unit | None
    boundary_iou: Unit | None = None
    boundary_f: Unit | None = None
    pixels: Count

    def score(self, name: ScoreName) -> float | None:
        """Return the class's part in the mean that `name` stands for."""
        return self.dice if name == "dice" else self.iou


class ReliabilityBin(_Facts):
    """Pixels of about the same confidence: its mean, the share that is right, and how many they are."""

    confidence: Unit | None
    accuracy: Unit | None
    pixels: Count


class Calibration(_Facts):
    """Expected calibration error, and the bins that it is made of, from low to high confidence."""

    ece: Unit | None
    every: Count
    bins: tuple[ReliabilityBin, ...]


class Boundary(_Facts):
    """Distance within which boundaries were compared, as a share of the image's diagonal."""

    distance: Unit


class Evaluation(_Facts):
    """How the run was scored, its scores, and those of always answering the most common class."""

    split: str
    images: Count
    resize: Literal["squash", "short-side"]
    # Runs of earlier versions do not say what could not be chosen then.
    protocol: ProtocolName = "original"
    window: Literal["whole", "sliding"] = "whole"
    overlap: Unit | None = None
    weighting: Literal["uniform", "gaussian"] = "uniform"
    scales: tuple[Amount, ...] = (1.0,)
    flip: bool = False
    boundary: Boundary | None = None
    calibration: Calibration | None = None
    checkpoint: CheckpointName
    seconds: Amount
    scores: Scores
    baseline: Scores
    per_class: tuple[ClassScore, ...]


class _Metrics(_Facts):
    training: Training
    evaluation: Evaluation


class _Saved(_Facts):
    evaluation: Evaluation
    data: DataConfig
    evaluate: EvaluateConfig
    command: str


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """All that a finished run's folder tells.

    Attributes:
        path: the run folder.
        recipe: the resolved recipe, as the run was trained.
        labels: the label space.
        environment: versions, device, command and dataset.
        training: time, memory and size.
        own: the evaluation that ended the run, scored as its validations were.
        evaluation: that one, or another one that was saved: the scores that are compared.
        data: the dataset of that evaluation.
        score_name: which metric sorts this run.
        files: where what belongs to the evaluation is.
        commands: what was typed: to train, and to score where that came later.
        events: the lines of ``events.jsonl``, in order, a torn last line left out.
    """

    path: Path
    recipe: Recipe
    labels: LabelSpace
    environment: Environment
    training: Training
    own: Evaluation
    evaluation: Evaluation
    data: DataConfig
    score_name: ScoreName
    files: ScoreFiles
    commands: tuple[str, ...]
    events: tuple[dict[str, Any], ...]

    @property
    def score(self) -> float:
        """The score that sorts this run."""
        return float(getattr(self.evaluation.scores, self.score_name))

    @property
    def hardware(self) -> str:
        """What the run was trained on, for people: ``2 x Tesla T4``."""
        ranks, device = self.environment.ranks, self.environment.device_name
        return device if ranks == 1 else f"{ranks} x {device}"

    @property
    def as_trained(self) -> "RunFacts":
        """The run with the evaluation that ended it."""
        return replace(self, evaluation=self.own, data=self.recipe.data, score_name=self.recipe.evaluate.score)

    @property
    def scoring(self) -> str:
        """The command that writes the per-image records of the evaluation."""
        again = f"segfit evaluate {self.path} --per-image {self.files.per_image}"
        return self.commands[1] if len(self.commands) > 1 else again

    @property
    def soup(self) -> bool:
        """It is an average of trainings, not one more of them."""
        return RunFolder(self.path).soup_file.is_file()

    @cached_property
    def curves(self) -> Curves:
        """The run's learning curves."""
        return learning_curves(self.events)


def read_run(path: str | Path, evaluation: str | None = None) -> RunFacts:
    """Read a finished run's folder.

    Args:
        path: the run folder.
        evaluation: name of a saved evaluation whose scores are wanted; None for those of the run's end.

    Raises:
        RunError: no such folder, not a run, not finished, no evaluation of that name, or a damaged file.
    """
    folder = RunFolder(path).open()
    metrics = _checked(_Metrics, folder.metrics(), folder.metrics_file)
    environment = _checked(Environment, folder.read(folder.environment_file), folder.environment_file)
    recipe = folder.recipe()
    run = RunFacts(
        path=folder.path,
        recipe=recipe,
        labels=folder.labels(),
        environment=environment,
        training=metrics.training,
        own=metrics.evaluation,
        evaluation=metrics.evaluation,
        data=recipe.data,
        score_name=recipe.evaluate.score,
        files=folder.own,
        commands=(environment.command,),
        events=tuple(_read_events(folder.events_file)),
    )
    run = run if evaluation is None else _with_saved(run, folder.saved(evaluation))
    if [entry.name for entry in run.evaluation.per_class] != list(run.labels.names):
        raise RunError(f"{run.files.facts}: its classes are not those of labels.json: evaluate the run again")
    return run


def _with_saved(run: RunFacts, files: ScoreFiles) -> RunFacts:
    """Return a run with a saved evaluation in the place of its own."""
    saved = _checked(_Saved, RunFolder(run.path).read(files.facts), files.facts)
    return replace(
        run,
        evaluation=saved.evaluation,
        data=saved.data,
        score_name=saved.evaluate.score,
        files=files,
        commands=(*run.commands, saved.command),
    )


M = TypeVar("M", bound=BaseModel)


def _checked(kind: type[M], value: dict[str, Any], file: Path) -> M:
    """Return what a JSON file of a run folder says, as `kind`."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RunError(f"{file}: {where}: {first['msg']}: the file was changed: restore it or run again") from None


# --- events ----------------------------------------------------------------------------------------------------------


AMOUNTS = ("time", "step", "seconds")
"""What an event says of when it was written: always numbers."""

VALUES = ("loss", "dice", "miou", "memory")
"""What an event measured: numbers, or null where there was none, or none that was finite."""


def _read_events(file: Path) -> list[dict[str, Any]]:
    """Return the events of a run; what a killed process left half-written is passed over.

    A torn line can only be the last one, or stand before the ``start`` of the resumed run.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{file}: cannot be read: {error}") from None
    parsed = [_event(line) for line in lines]
    for number, (event, following) in enumerate(pairwise(parsed), 1):
        if event is None and (following is None or following["event"] != "start"):
            raise RunError(f"{file}, line {number}: not an event: the file is damaged: restore it or delete the line")
    return [event for event in parsed if event is not None]


def _event(line: str) -> dict[str, Any] | None:
    """Return the event that a line holds; None when it is not a whole one."""
    try:
        event = json.loads(line)
    except json.JSONDecodeError:
        return None
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        return None
    epoch = event.get("epoch")
    complete = event["event"] not in {"epoch", "validation"} or (isinstance(epoch, int) and not isinstance(epoch, bool))
    return event if complete and _numbers(event) else None


def _numbers(event: dict[str, Any]) -> bool:
    """Whether what an event measured are numbers; what was not finite is written as null."""
    known = [event[key] for key in AMOUNTS if key in event]
    known += [event[key] for key in VALUES if event.get(key) is not None]
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in known)
