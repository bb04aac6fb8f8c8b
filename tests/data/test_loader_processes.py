"""Loader processes: how they are started, what they hold, and how they end."""

import gc
import multiprocessing
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
from noted import STANDARD, Noted, assert_same, error_of, evaluation, training, write
from typing_extensions import override

from segfit.config import PRESETS, AugmentConfig
from segfit.data import Record, SourceMask
from segfit.data.loader import TrainLoader
from segfit.errors import RunError
from segfit.labels import select

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),  # Python 3.12 and later
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Noted:
    return write(tmp_path_factory.mktemp("data"))


def test_everything_that_a_worker_needs_can_be_sent_to_a_spawned_process(
    source: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multiprocessing, "get_context", partial(multiprocessing.get_context, "spawn"))
    assert_same(list(training(source, batch=7, workers=1).epoch(0)), list(training(source, batch=7).epoch(0)))


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_workers_do_not_grow(source: Noted) -> None:
    # With names of a page each, a worker that looks at half of them as Python objects copies 4 MB.
    first = source.records("train")[0]
    records = [replace(first, id=f"{'x' * 4000}{i}") for i in range(2000)]
    config = AugmentConfig(size=(4, 4), **PRESETS["paper"])
    loader = TrainLoader(
        source,
        records,
        select(source.labels),
        config,
        batch=32,
        seed=0,
        workers=2,
        weights=lambda: np.ones(len(records)),
    )
    sizes = []
    for step, _ in enumerate(loader.epoch(0)):
        if step in (len(loader) // 10, len(loader) - 1):
            sizes.append([private_memory(process.pid) for process in multiprocessing.active_children()])
    assert len(sizes[0]) == 2
    assert max(after - before for before, after in zip(*sizes, strict=True)) < 1_000_000


def private_memory(process: int | None) -> int:
    """Return the bytes that a process shares with no other one."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Private_"))


class Deadly(Noted):
    """Ends the process that reads the mask of one record."""

    victim = "05"
    number = signal.SIGKILL

    @override
    def read_mask(self, record: Record) -> SourceMask:
        if record.id == self.victim:
            os.kill(os.getpid(), self.number)
        return super().read_mask(record)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_dead_worker_is_named_with_its_sample(source: Noted, number: signal.Signals) -> None:
    deadly = Deadly(source.root, ignore=(3,))
    deadly.number = number
    for loader in (training(deadly, batch=2, workers=2, config=STANDARD), evaluation(deadly, workers=2)):
        for _ in range(2):  # it can be read again, with new workers, and fails again
            kind, text = error_of(loader.epoch(0) if isinstance(loader, TrainLoader) else loader)
            assert kind is RunError
            assert re.fullmatch(
                rf"loader process [12] of 2 was killed by {number.name} while it read {deadly.root}/images/train/05.png"
                r": if memory ran out, lower train\.workers; else .* \(segfit data check\) and replace it",
                text,
            )
    deadly.victim = ""
    assert len(list(loader)) == 4
    assert multiprocessing.active_children() != []
    del loader
    gc.collect()
    assert multiprocessing.active_children() == []


def test_what_came_before_the_death_is_still_given(source: Noted) -> None:
    deadly = Deadly(source.root, ignore=(3,))
    batches, wanted = training(deadly, config=STANDARD, batch=2, workers=2).epoch(0), []
    with pytest.raises(RunError):
        wanted.extend(batch for batch in batches)
    healthy = list(training(source, config=STANDARD, batch=2).epoch(0))
    first = next(i for i, batch in enumerate(healthy) if "05" in batch.ids)
    assert_same(wanted, healthy[:first])


@pytest.mark.parametrize("free", range(12))
def test_workers_that_cannot_be_started(source: Noted, free: int) -> None:
    loader = training(source, batch=2, workers=2)
    with open_files_left(free):
        kind, text = error_of(loader.epoch(0))
    assert kind is RunError
    assert text.startswith("the loader processes cannot be started: Too many open files: lower train.workers, or")
    assert multiprocessing.active_children() == []
    assert len(list(loader.epoch(0))) == 7


@contextmanager
def open_files_left(count: int) -> Iterator[None]:
    """Allow at most `count` more files to be opened."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(count + 1)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[-1], limits[1]))
    for file in taken:
        os.close(file)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("evaluates", [True, False])
def test_workers_end_when_their_main_process_is_killed(source: Noted, evaluates: bool) -> None:
    def die(told: Connection) -> None:
        batches = iter(evaluation(source, batch=2, workers=2)) if evaluates else training(source, workers=2).epoch(0)
        next(batches)
        told.send([process.pid for process in multiprocessing.active_children()])
        os.kill(os.getpid(), signal.SIGKILL)

    context = multiprocessing.get_context("fork")
    listener, told = context.Pipe(duplex=False)
    process = context.Process(target=die, args=(told,))
    process.start()
    workers = listener.recv()
    process.join()
    assert len(workers) == 2
    deadline = time.monotonic() + 20
    while any(running(worker) for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# --- signals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_comes_while_processes_are_started_is_not_lost(source: Noted, number: signal.Signals) -> None:
    # What is raised in a hook of a fork is lost, and a signal that comes during the fork is handled in the first hook.
    class Told(Exception):
        pass

    def told(*_: object) -> None:
        raise Told

    kills = [True]

    def kill() -> None:
        if kills:
            kills.clear()
            os.kill(os.getpid(), number)
            for _ in range(1000):
                pass

    os.register_at_fork(after_in_parent=kill)
    before = signal.signal(number, told)
    try:
        loader = evaluation(source, workers=2)
        with pytest.raises(Told):
            list(loader)
        assert signal.getsignal(number) is told
    finally:
        kills.clear()
        signal.signal(number, before)
