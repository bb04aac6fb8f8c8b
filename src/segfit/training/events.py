"""What a run says while it goes: JSON lines for machines, a progress line for people."""

import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from segfit import units
from segfit.console import own_stderr
from segfit.errors import RunError

__all__ = ["EventLog"]


NOTICEABLE_WAIT = 0.05
LONG_WAIT = 0.2
"""Shares of the time: from where on waiting for data is mentioned, and from where on it is worth advice."""


class EventLog:
    """Appends events to ``events.jsonl`` and shows them.

    A terminal gets a live progress line, anything else one line per epoch. Ranks other than the first get a log
    without a path, which does nothing.

    Args:
        path: the file, appended to; None for a silent log.
        label: what the progress line is called.
        total: optimizer steps of the whole run.
        done: steps that an earlier start has made.
        faster: what the user may do where training waits for data.
    """

    def __init__(
        self, path: Path | None, *, label: str = "", total: int = 0, done: int = 0, faster: str = "raise train.workers"
    ) -> None:
        self.path = path
        self.label = label
        self.total = total
        self.done = done
        self.faster = faster
        self._file: TextIO | None = None
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._streams = ExitStack()

    def __enter__(self) -> Self:
        if self.path is None:
            return self
        try:
            _end_torn_line(self.path)
            self._file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise RunError(f"{self.path}: cannot be written: {error}") from None
        if sys.stderr.isatty():
            self._progress = Progress(
                TextColumn("[bold]{task.description}"),
                BarColumn(bar_width=24),
                TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                TextColumn("{task.fields[state]}"),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=Console(file=self._streams.enter_context(own_stderr())),
            )
            self._task = self._progress.add_task(self.label, total=self.total, completed=self.done, state="")
            self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._progress is not None:
            self._progress.stop()
        self._streams.close()
        if self._file is not None:
            self._file.close()

    def write(self, event: str, **fields: Any) -> None:
        """Record one event and show what people want to know of it."""
        if self._file is None:
            return
        json.dump({"event": event, "time": round(time.time(), 3), **fields}, self._file, allow_nan=False)
        self._file.write("\n")
        self._file.flush()
        if event == "step":
            self._show_step(fields)
        elif event in {"epoch", "validation", "out_of_memory"}:
            self._say(_sentence(event, fields, self.faster))

    def _show_step(self, fields: dict[str, Any]) -> None:
        if self._progress is None:
            return
        speed, memory = units.rate(fields["images_per_second"]), units.memory(fields["memory"])
        state = f"loss {fields['loss']:.3f}  {speed} images/s  {memory}{_wait(fields, 'waits')}"
        self._progress.update(self._task, completed=fields["step"], state=state)

    def _say(self, text: str) -> None:
        line = f"{self.label}  {text}"
        if self._progress is not None:
            self._progress.console.print(line, highlight=False, markup=False)
        else:
            print(line, file=sys.stderr, flush=True)


def _sentence(event: str, fields: dict[str, Any], faster: str) -> str:
    if event == "epoch":
        # A second at most is the start of the loader processes, and no reason for advice.
        advice = f": {faster}" if fields["wait"] > LONG_WAIT and fields["wait"] * fields["seconds"] > 1 else ""
        return (
            f"epoch {fields['epoch']:>3}  train loss {fields['loss']:.4f}  "
            f"{fields['images_per_second']:.1f} images/s  {units.memory(fields['memory'])}"
            f"{_wait(fields, 'waited')}{advice}"
        )
    if event == "out_of_memory":
        return _fewer_images(fields)
    return (
        f"epoch {fields['epoch']:>3}  val   loss {fields['loss']:.4f}  "
        f"Dice {fields['dice']:.4f}  mIoU {fields['miou']:.4f}"
    )


def _fewer_images(fields: dict[str, Any]) -> str:
    """Return what an out-of-memory means for the run, and how the next one begins where this one goes on."""
    planned = "" if fields["planned"] is None else f" (planned: {units.memory(fields['planned'])})"
    images = "one image" if fields["images"] == 1 else f"{fields['images']} images"
    caveat = f", and batch normalisation sees {images} at a time" if fields["batch_norm"] else ""
    return (
        f"out of memory in step {fields['step'] + 1} at {units.memory(fields['memory'])}{planned}: makes it again with "
        f"{fields['to']} micro-batches instead of {fields['from']}{caveat}; to begin so, set "
        f"train.accumulate={fields['to']}"
    )


def _wait(fields: dict[str, Any], waits: str) -> str:
    """Return what to say of the time spent waiting for data; nothing where it is not worth a word."""
    return f"  {waits} {units.share(fields['wait'])} for data" if fields["wait"] > NOTICEABLE_WAIT else ""


def _end_torn_line(path: Path) -> None:
    """End a line that a killed process left unfinished, so that the next event stands on its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file() and path.stat().st_size and not path.read_bytes().endswith(b"\n"):
        with path.open("a", encoding="utf-8") as file:
            file.write("\n")
