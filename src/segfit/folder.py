"""The run folder: the one place that knows which file holds what, and that writes them whole or not at all."""

import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from segfit.config import PROTOCOLS, Recipe, build_recipe
from segfit.errors import RecipeError, RunError, did_you_mean
from segfit.labels import LabelSpace

__all__ = ["RunFolder", "ScoreFiles", "replacing", "write_json"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` that takes its place when the block ends well, and vanishes when not.

    A full disk or a killed process leaves the old file as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not by tempfile, whose files nobody else may read: this one gets the rights that any new file has.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    temporary.touch(exist_ok=False)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write `value` as indented JSON, atomically; not-a-number is refused rather than written as invalid JSON."""
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class ScoreFiles:
    """Where the results of scoring a run are.

    Attributes:
        facts: JSON whose key ``evaluation`` holds the scores.
        per_image: the counts of each image.
        examples: folder of the predictions that were kept, ``ID.png``.
    """

    facts: Path
    per_image: Path
    examples: Path

    @classmethod
    def within(cls, folder: Path) -> "ScoreFiles":
        """Return the files of an evaluation that has a folder to itself."""
        return cls(
            facts=folder / "evaluation.json", per_image=folder / "per_image.parquet", examples=folder / "examples"
        )


class RunFolder:
    """Paths and small files of one run.

    Args:
        path: the folder; it need not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.recipe_file = self.path / "recipe.json"
        self.labels_file = self.path / "labels.json"
        self.environment_file = self.path / "environment.json"
        self.plan_file = self.path / "plan.json"
        self.events_file = self.path / "events.jsonl"
        self.metrics_file = self.path / "metrics.json"
        self.per_image_file = self.path / "per_image.parquet"
        self.soup_file = self.path / "soup.json"
        self.examples = self.path / "examples"
        self.evaluations = self.path / "evaluations"
        self.last = self.path / "checkpoints" / "last.safetensors"
        self.best = self.path / "checkpoints" / "best.safetensors"

    @property
    def name(self) -> str:
        """The run's name: its folder's."""
        return self.path.resolve().name

    def exists(self) -> bool:
        """Whether a run was started here."""
        return self.recipe_file.is_file()

    def finished(self) -> bool:
        """Whether the run was trained and scored to its end."""
        return self.metrics_file.is_file()

    def open(self) -> "RunFolder":
        """Return self if this is a run.

        Raises:
            RunError: it is not; the message tells a missing folder from a foreign one.
        """
        if not self.path.is_dir():
            raise RunError(f"{self.path}: no such run folder")
        if not self.exists():
            raise RunError(f"{self.path}: not a run folder (it has no recipe.json)")
        return self

    def trainable(self) -> "RunFolder":
        """Return self if training can go on from here.

        Raises:
            RunError: it is an average of runs, which has no optimizer and stands at no step.
        """
        if self.soup_file.is_file():
            raise RunError(
                f"{self.path}: is a soup, which was not trained by a recipe: take one of its runs (they stand in "
                f"{self.soup_file.name})"
            )
        return self

    def write_recipe(self, recipe: Recipe, labels: LabelSpace) -> None:
        """Store the resolved recipe and its label space."""
        write_json(self.recipe_file, recipe.model_dump(mode="json"))
        write_json(self.labels_file, asdict(labels))

    def recipe(self) -> Recipe:
        """Return the stored recipe."""
        try:
            return build_recipe(self.read(self.recipe_file), where=str(self.recipe_file))
        except RecipeError as error:
            raise RunError(str(error)) from None

    def labels(self) -> LabelSpace:
        """Return the stored label space."""
        try:
            return TypeAdapter(LabelSpace).validate_python(self.read(self.labels_file))
        except ValidationError:
            raise RunError(f"{self.labels_file}: not a label space: was the file changed?") from None

    def metrics(self) -> dict[str, Any]:
        """Return the final facts of a finished run."""
        self.open()
        if not self.finished():
            raise RunError(f"{self.path}: the run is not finished: go on with: segfit train --resume {self.path}")
        return self.read(self.metrics_file)

    @property
    def own(self) -> ScoreFiles:
        """What the run was scored with when it was trained."""
        return ScoreFiles(facts=self.metrics_file, per_image=self.per_image_file, examples=self.examples)

    def evaluation(self, name: str) -> Path:
        """Return the folder of an evaluation that was saved, or is to be saved, under a name.

        Raises:
            RunError: the name is none that a folder may have.
        """
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name, re.ASCII):
            raise RunError(f"{name}: no name for an evaluation: take letters, digits, points, hyphens and underscores")
        return self.evaluations / name

    def saved(self, name: str) -> ScoreFiles:
        """Return the files of a saved evaluation.

        Raises:
            RunError: the run has none of that name.
        """
        folder = self.evaluation(name)
        if not folder.is_dir():
            there = sorted(path.name for path in self.evaluations.glob("[!.]*") if path.is_dir())
            protocol = f"--protocol {name} " if name in PROTOCOLS else ""
            raise RunError(
                f"{self.path}: has no evaluation {name!r}{did_you_mean(name, there)}: save one with: segfit evaluate "
                f"{self.path} {protocol}--save {name}"
            )
        return ScoreFiles.within(folder)

    def read(self, path: Path) -> dict[str, Any]:
        """Read one of the folder's JSON files."""
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{path}: cannot be read: {error}") from None
        if not isinstance(value, dict):
            raise RunError(f"{path}: holds no JSON object")
        return value
