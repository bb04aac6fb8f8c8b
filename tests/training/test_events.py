"""What a run tells: of waiting for data only where it matters, and what to do where it matters much."""

import io
import json
import sys

import pytest

from segfit.training.events import EventLog

EPOCH = {"epoch": 3, "step": 30, "loss": 0.5, "seconds": 60.0, "images_per_second": 12.34, "memory": 1_200_000_000}


@pytest.mark.parametrize(
    ("wait", "seconds", "end"),
    [
        (0.0, 60.0, "12.3 images/s  1.2 GB"),
        (0.05, 60.0, "12.3 images/s  1.2 GB"),
        (0.12, 60.0, "1.2 GB  waited 12 % for data"),
        (0.34, 60.0, "1.2 GB  waited 34 % for data: raise train.workers, or buy a faster disk"),
        (0.34, 1.0, "1.2 GB  waited 34 % for data"),  # less than a second: the start of the workers
    ],
)
def test_an_epoch_tells_how_long_it_waited(tmp_path, capsys, wait, seconds, end):
    path = tmp_path / "events.jsonl"
    with EventLog(path, label="unet", faster="raise train.workers, or buy a faster disk") as events:
        events.write("epoch", **{**EPOCH, "wait": wait, "seconds": seconds})
    assert capsys.readouterr().err.rstrip("\n").endswith(end)
    assert json.loads(path.read_text())["wait"] == wait


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("wait", "shown"), [(0.04, False), (0.25, True)])
def test_the_progress_line_tells_it_too(tmp_path, monkeypatch, wait, shown):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")
    step = {"epoch": 1.5, "step": 3, "loss": 0.5, "lr": 0.1, "images_per_second": 10.0, "memory": 10**9, "wait": wait}
    with EventLog(tmp_path / "events.jsonl", label="unet", total=10) as events:
        events.write("step", **step)
    assert "images/s" in terminal.getvalue()
    assert ("waits 25 % for data" in terminal.getvalue()) is shown
