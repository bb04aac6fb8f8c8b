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


@pytest.mark.parametrize(("images", "sight"), [(1, "one image"), (2, "2 images")])
def test_smaller_micro_batches_are_said_with_what_they_mean(tmp_path, capsys, images, sight):
    with EventLog(tmp_path / "events.jsonl", label="unet") as log:
        fields = {"step": 11, "from": 1, "to": 4, "images": images, "memory": 15_200_000_000}
        log.write("out_of_memory", **fields, batch_norm=True, planned=14_100_000_000)
        log.write("out_of_memory", **fields, batch_norm=False, planned=None)
    first, second = capsys.readouterr().err.splitlines()
    assert first == (
        "unet  out of memory in step 12 at 15.2 GB (planned: 14.1 GB): makes it again with 4 micro-batches instead of "
        f"1, and batch normalisation sees {sight} at a time; to begin so, set train.accumulate=4"
    )
    assert second == (
        "unet  out of memory in step 12 at 15.2 GB: makes it again with 4 micro-batches instead of 1; to begin so, set "
        "train.accumulate=4"
    )
