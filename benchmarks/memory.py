"""How much memory the loader and its workers take in the course of a long epoch (Linux)."""

import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from contenders import Task
from segfit.data.loader import TrainLoader

__all__ = ["measure_memory"]

BATCH = 16
WORKERS = 2
EVERY = 0.5


def measure_memory(task: Task, samples: int, *, cached: bool) -> dict[str, Any]:
    """Run one epoch of `samples` images with two workers and return bytes of memory in its course.

    Memory is the proportional set size (PSS) of this process and all its children: each page counts once, however many
    of them share it.

    Args:
        task: its records are repeated under different names.
        samples: records of the epoch.
        cached: read from the raw cache instead of the files.
    """
    count = len(task.records)
    records = [
        replace(task.records[i % count], id=f"{task.records[i % count].id}#{i // count}") for i in range(samples)
    ]
    loader = TrainLoader(
        task.source,
        records,
        task.labels,
        task.standard,
        batch=BATCH,
        seed=0,
        workers=WORKERS,
        cache=task.raw if cached else None,
    )
    del records
    done, course, ended = 0, list[tuple[float, int]](), threading.Event()

    def watch() -> None:
        while not ended.wait(EVERY):
            course.append((done / samples, _memory()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    for batch in loader.epoch(0):
        done += len(batch.ids)
    seconds = time.perf_counter() - began
    ended.set()
    watcher.join()
    early = [size for share, size in course if 0.05 < share <= 0.15] or [course[0][1]]
    late = [size for share, size in course if share > 0.9] or [course[-1][1]]
    return {
        "from": "raw cache" if cached else "files",
        "samples": done,
        "pairs_per_second": done / seconds,
        "at_10_percent": max(early),
        "at_the_end": max(late),
        "peak": max(size for _, size in course),
        "growth": max(late) - max(early),
    }


def _memory() -> int:
    """Return the bytes of this process and all below it."""
    processes, total = [os.getpid()], 0
    while processes:
        process = Path("/proc") / str(processes.pop())
        try:
            lines = (process / "smaps_rollup").read_text(encoding="utf-8").splitlines()
            for task in (process / "task").iterdir():
                processes += map(int, (task / "children").read_text(encoding="utf-8").split())
        except OSError:  # it has ended meanwhile
            continue
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
    return total
