"""Processes that work through a list of tasks and give the results in its order.

Every worker has a pipe of its own and takes every n-th task, so nothing that a killed process could leave locked is
shared, and a worker's end is the end of its pipe: the main process notices it where it waits for that worker, and
nowhere else. In a shared array each worker notes what it is at, so that its end can be told with the sample that it
was reading.

torch's DataLoader, which would do, maps new shared memory for every batch (of 512 x 512 pixels that takes four times as
long as all of this), lets its workers share a queue whose lock a killed one may keep, and reports a dead worker by an
error that a signal handler raises anywhere in the main process, without the sample.
"""

import contextlib
import gc
import multiprocessing
import os
import signal
import threading
import traceback
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Generic, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from segfit.data.loader.memory import SharedBytes, cannot_start
from segfit.errors import RunError, UserError

__all__ = ["AHEAD", "Job", "Note", "Pool"]

AHEAD = 2
"""Tasks that each worker has been given and whose results have not been taken."""

PATIENCE = 5.0
"""Seconds that a worker has to end when it is told to."""

Note = Callable[[int], None]
"""Tells at which record a job is."""

Task = TypeVar("Task")
Result = TypeVar("Result")

Job = Callable[[Task, Note], Result]
"""What a worker does with a task: return its result, and call `note` with the index of each record before it is read.
It holds no state; a `UserError` that it raises is raised again in the main process."""


@dataclass(frozen=True)
class _Failure:
    """An error that a worker met. It is sent as a value, and becomes an error again in the main process."""

    error: Exception


class Pool(Generic[Task, Result]):
    """Does a job in `workers` processes, which start with the first pass and live on; 0 does it in this process.

    Args:
        job: what to do; it can be pickled.
        workers: number of processes.
        name: says what a record is, by its index, for messages.
    """

    def __init__(self, job: Job[Task, Result], workers: int, name: Callable[[int], str]) -> None:
        self._job, self._workers, self._name = job, workers, name
        self._crew: _Crew | None = None

    def results(self, tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield the result of every task in order; begin one pass only after the one before is no longer read.

        The results of at most ``AHEAD * workers`` tasks exist or are being made at any time.

        Raises:
            UserError: what the job raised.
            RunError: a worker has ended, or none can be started.
        """
        if not self._workers:
            for task in tasks:
                yield self._job(task, _ignore)
            return
        if self._crew is None:
            self._crew = self._start()
        crew, coming = self._crew, iter(tasks)
        for worker in range(self._workers):
            while crew.owed[worker]:  # by a pass that was broken off
                self._receive(crew, worker)
        for number, task in enumerate(islice(coming, AHEAD * self._workers)):
            crew.send(number % self._workers, task)
        number = 0
        while any(crew.owed):
            worker = number % self._workers
            answer = self._receive(crew, worker)
            if isinstance(answer, _Failure):
                self.close()
                raise answer.error
            yield answer
            for task in islice(coming, 1):
                crew.send(worker, task)
            number += 1

    def close(self) -> None:
        """End the workers; another pass would start new ones."""
        if self._crew is not None:
            self._crew.close()
            self._crew = None

    def _start(self) -> "_Crew":
        try:
            return _Crew(self._job, self._workers)
        except OSError as error:
            raise cannot_start(error) from None

    def _receive(self, crew: "_Crew", worker: int) -> Result | _Failure:
        try:
            return crew.receive(worker)
        except (EOFError, OSError):  # the latter within a message
            how, index = crew.end_of(worker)
        self.close()
        where = f"while it read {self._name(index)}" if index >= 0 else "before it read anything"
        raise RunError(
            f"loader process {worker + 1} of {self._workers} {how} {where}: if memory ran out, lower train.workers; "
            "else that file breaks its decoder: check it (segfit data check) and replace it"
        )


class _Crew:
    """Running worker processes, what they owe, and what they are at."""

    def __init__(self, job: Job[Task, Result], workers: int) -> None:
        context = multiprocessing.get_context()
        self.owed = [0] * workers
        self._at = _Diary(workers)
        self._pipes: list[Connection] = []
        self._processes: list[BaseProcess] = []
        # A forked process inherits the main process's ends of the pipes, and would never see them closed.
        forked = context.get_start_method() == "fork"
        self.close = weakref.finalize(self, _end, os.getpid(), self._processes, self._pipes)
        try:
            with _signals_wait():
                for worker in range(workers):
                    ours, theirs = context.Pipe()
                    self._pipes.append(ours)
                    with theirs:
                        inherited = tuple(self._pipes) if forked else ()
                        arguments = (job, worker, self._at, theirs, inherited)
                        process = context.Process(target=_work, args=arguments, daemon=True)
                        process.start()
                    self._processes.append(process)
        except OSError:
            self.close()
            raise

    def send(self, worker: int, task: Task) -> None:
        with contextlib.suppress(ConnectionError):  # the worker has ended; who waits for it will notice
            self._pipes[worker].send(task)
        self.owed[worker] += 1

    def receive(self, worker: int) -> Result | _Failure:
        answer: Result | _Failure = self._pipes[worker].recv()
        self.owed[worker] -= 1
        return answer

    def end_of(self, worker: int) -> tuple[str, int]:
        """Return how a worker that has closed its pipe ended, and the index of the record that it was at or -1."""
        process = self._processes[worker]
        process.join(PATIENCE)
        code = process.exitcode or 0
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return how, int(self._at.indices[worker])


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """Let SIGINT and SIGTERM wait until the block has ended.

    What comes during a fork would be handled by the first Python code after it, a hook of the logging module, and an
    exception that is raised in such a hook is lost: Ctrl-C would have no effect. To block the signals would not do:
    they would go to another thread of the process, and be handled here all the same.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Only the main thread handles signals.
        return
    came: list[int] = []
    owner = os.getpid()

    def wait(number: int, _frame: object) -> None:
        if os.getpid() == owner:
            came.append(number)
        elif number == signal.SIGTERM:
            os._exit(1)  # A worker that is ended before it has settled; Ctrl-C is not for workers.

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # What ends the process, or is ignored, raises nothing that could be lost.
    ours = [number for number, handler in before.items() if callable(handler)]
    for number in ours:
        signal.signal(number, wait)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])
    for late in came[:1]:
        signal.raise_signal(late)


class _Diary:
    """The index of the record that each worker is at, -1 before the first, in shared memory."""

    def __init__(self, workers: int) -> None:
        self._memory = SharedBytes(8 * workers)
        self.indices[:] = -1

    @property
    def indices(self) -> NDArray[np.int64]:
        return self._memory.array().view(np.int64)


def _ignore(_index: int) -> None:
    pass


def _end(owner: int, processes: Sequence[BaseProcess], pipes: Sequence[Connection]) -> None:
    """End the processes; they hold nothing that could be lost."""
    if os.getpid() != owner:
        return  # a process that was forked from the owner and inherited this
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(PATIENCE)
        if process.is_alive():
            process.kill()
            process.join()
    for pipe in pipes:
        pipe.close()


# --- what a worker does ----------------------------------------------------------------------------------------------


def _work(
    job: Job[Task, Result], worker: int, diary: _Diary, pipe: Connection, inherited: Sequence[Connection]
) -> None:
    _settle(inherited)
    indices = diary.indices

    def note(index: int) -> None:
        indices[worker] = index

    with contextlib.suppress(EOFError, OSError):  # the main process has ended
        while True:
            pipe.send(_answer(job, pipe.recv(), note))


def _settle(inherited: Sequence[Connection]) -> None:
    """Make this process a worker."""
    for pipe in inherited:
        pipe.close()
    # Ctrl-C and job schedulers signal the whole process group; the main process still needs its batch to end the step
    # it is in, and ends its workers itself.
    if hasattr(os, "setpgrp"):
        os.setpgrp()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # One thread per process: the processes are the parallelism.
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    # What is inherited is no garbage of this process; to look through it would copy every page of it.
    gc.freeze()


def _answer(job: Job[Task, Result], task: Task, note: Note) -> Result | _Failure:
    try:
        return job(task, note)
    except UserError as error:
        return _Failure(error)
    except MemoryError:
        return _Failure(RunError("out of memory in a loader process: lower train.workers or augment.size"))
    except Exception:  # noqa: BLE001 (our own bug, which the main process is to tell)
        return _Failure(RuntimeError(f"a loader process failed\n{traceback.format_exc()}"))
