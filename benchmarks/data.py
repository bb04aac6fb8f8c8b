"""How fast image and mask pairs come, side by side with other libraries: see README.md beside this file."""

import argparse
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2
import torch
from rich.console import Console
from rich.table import Table

from contenders import CONTENDERS, PEERS, Task, Way
from memory import measure_memory
from segfit.curation.opening import Dataset, open_dataset
from segfit.data.cache import prepare
from segfit.errors import UserError
from segfit.labels import select
from stages import measure_stages

GOALS = (
    ("segfit standard, raw cache", "a", 8.0),
    ("segfit standard, raw cache", "b", 6.0),
    ("segfit standard, raw cache", "c", 1.5),
    ("segfit standard, files", "a", 3.0),
)
"""(contender, peer, how many times as fast it should be)."""

CHECK_GOAL = 300.0
"""Pairs per second and core of `segfit data check` on CamVid."""

CHECK = "segfit data check"

MEMORY = ("at_10_percent", "at_the_end", "peak", "growth")


def main() -> None:
    """Measure what the command line says and print it."""
    options = _parse()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    opened, paper = (
        open_dataset(options.data, [f"augment.preset={preset}", "augment.size=[512,512]", *options.overrides])
        for preset in ("standard", "paper")
    )
    split = options.split or opened.recipe.data.train
    records = opened.source.records(split)[: options.images]
    facts: dict[str, Any] = {"data": str(options.data), "images": len(records)}
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        task = Task(
            source=opened.source,
            records=records,
            labels=select(opened.source.labels),
            standard=opened.recipe.augment,
            paper=paper.recipe.augment,
            raw=prepare(opened.source, {split: records}, Path(scratch) / "raw"),
            jpeg=prepare(opened.source, {split: records}, Path(scratch) / "jpeg", jpeg_quality=90),
        )
        if options.rss:
            facts |= measure_memory(task, options.samples, cached=options.rss == "cache")
        elif options.profile:
            facts["milliseconds"] = measure_stages(task, options.rounds)
        else:
            races = {
                cores: _race(task, cores, options.rounds, opened, cpu_time=options.cpu_time) for cores in options.cores
            }
            facts["pairs_per_second"] = races
            facts["goals"] = {cores: _goals(rates) for cores, rates in races.items()}
    if options.json:
        print(json.dumps(facts, indent=2))
    elif "pairs_per_second" in facts and not options.rss:
        _print_races(facts)
    else:
        _print_facts(facts)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="for the dataset, e.g. data.ignore=[11]")
    parser.add_argument("--data", type=Path, required=True, help="folder of a dataset")
    parser.add_argument("--split", help="by default the training split")
    parser.add_argument("--images", type=int, default=200, help="how many (200)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender runs over them (5)")
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2], help="processes, one core each (1 2)")
    parser.add_argument("--cpu-time", action="store_true", help="time of the processor, where others use it, too")
    parser.add_argument("--scratch", type=Path, help="where to write the caches (a temporary folder)")
    parser.add_argument("--profile", action="store_true", help="milliseconds of each of segfit's stages instead")
    parser.add_argument("--rss", nargs="?", const="files", choices=["files", "cache"], help="memory of a long epoch")
    parser.add_argument("--samples", type=int, default=50_000, help="of that epoch (50000)")
    parser.add_argument("--json", action="store_true", help="print facts for machines")
    return parser.parse_args()


# --- the race --------------------------------------------------------------------------------------------------------


def _race(task: Task, cores: int, rounds: int, opened: Dataset, *, cpu_time: bool) -> dict[str, list[float]]:
    """Return the pairs per second of every contender in each round; all run in turn, so noise hits all alike."""
    available = sorted(os.sched_getaffinity(0))
    if cores > len(available):
        sys.exit(f"--cores {cores}: this process may use only {len(available)} cores")
    context = get_context("fork")
    pipes, processes = [], []
    for number in range(cores):
        ours, theirs = context.Pipe()
        pipes.append(ours)
        processes.append(context.Process(target=_serve, args=(task, available[number], theirs), daemon=True))
        processes[-1].start()
    names = [name for name in CONTENDERS if _possible(name)]
    rates: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-1, rounds):  # the first round warms up
        for name in names:
            rate = _lap(pipes, name, number + 1, len(task.records), cpu_time=cpu_time)
            if number >= 0:
                rates[name].append(rate)
    for pipe, process in zip(pipes, processes, strict=True):
        pipe.send(None)
        process.join()
    rates[CHECK] = [_check(opened, set(available[:cores])) for _ in range(min(rounds, 2))]
    return rates


def _lap(pipes: Sequence[Connection], name: str, epoch: int, count: int, *, cpu_time: bool) -> float:
    """Return the pairs per second of one contender over all images, dealt out to the processes."""
    for number, pipe in enumerate(pipes):
        pipe.send((name, epoch, range(number, count, len(pipes))))
    for pipe in pipes:
        pipe.recv()
    began = time.perf_counter()
    for pipe in pipes:
        pipe.send("go")
    busy = [pipe.recv() for pipe in pipes]
    return count / (max(busy) if cpu_time else time.perf_counter() - began)


def _serve(task: Task, core: int, pipe: Connection) -> None:
    """Run contenders on one core, as the pipe asks for."""
    os.sched_setaffinity(0, {core})
    ways: dict[str, Way] = {}
    while (job := pipe.recv()) is not None:
        name, epoch, indices = job
        way = ways[name] = ways.get(name) or CONTENDERS[name](task)
        pipe.send("ready")
        pipe.recv()
        began = time.process_time()
        for index in indices:
            way(index, epoch)
        pipe.send(time.process_time() - began)


def _possible(name: str) -> bool:
    if name == PEERS["c"] and importlib.util.find_spec("albumentations") is None:
        print("AlbumentationsX is not installed and left out: see README.md", file=sys.stderr)
        return False
    return True


def _check(opened: Dataset, cores: set[int]) -> float:
    """Return the pairs per second of `segfit data check` over the whole dataset, all splits."""
    from segfit.data.check import check_dataset

    root = opened.recipe.data.root
    assert root is not None, "the recipe is resolved"
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    result = check_dataset(opened.source, root, opened.splits, workers=len(cores))
    os.sched_setaffinity(0, before)
    return sum(pairs for _, _, pairs in result.counts.values()) / result.seconds


def _goals(rates: Mapping[str, Sequence[float]]) -> list[dict[str, Any]]:
    """Return, for each goal that could be measured, what was reached."""
    return [
        {
            "contender": name,
            "peer": PEERS[peer],
            "goal": goal,
            "ratio": _median(rates, name) / _median(rates, PEERS[peer]),
        }
        for name, peer, goal in GOALS
        if PEERS[peer] in rates
    ]


def _median(rates: Mapping[str, Sequence[float]], name: str) -> float:
    return statistics.median(rates[name])


# --- printing --------------------------------------------------------------------------------------------------------


def _print_races(facts: Mapping[str, Any]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 120)
    for cores, rates in facts["pairs_per_second"].items():
        title = f"{facts['data']}, {facts['images']} images, {cores} core{'s' if cores > 1 else ''}"
        peers = [name for name in PEERS.values() if name in rates]
        table = Table("", "pairs/s", "least", "most", *(f"x {name}" for name in peers), title=title)
        for column in table.columns[1:]:
            column.justify = "right"
        for name, values in rates.items():
            ratios = [f"{_median(rates, name) / _median(rates, peer):.1f}" for peer in peers if name != CHECK]
            table.add_row(
                name, *(f"{value:,.0f}" for value in (statistics.median(values), min(values), max(values))), *ratios
            )
        console.print(table)
        for goal in facts["goals"][cores]:
            verdict = "reached" if goal["ratio"] >= goal["goal"] else "MISSED"
            console.print(
                f"{goal['contender']}: {goal['ratio']:.2f} x {goal['peer']} (goal {goal['goal']:g}): {verdict}",
                highlight=False,
            )
        rate = _median(rates, CHECK) / cores
        console.print(f"{CHECK}: {rate:,.0f} pairs/s per core (goal on CamVid {CHECK_GOAL:g})\n", highlight=False)


def _print_facts(facts: Mapping[str, Any]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 120)
    table = Table("", "", show_header=False)
    table.columns[1].justify = "right"
    for name, value in {**facts, **facts.get("milliseconds", {})}.items():
        if name in MEMORY:
            table.add_row(name.replace("_", " "), f"{value / 1e6:,.1f} MB")
        elif name != "milliseconds":
            table.add_row(name.replace("_", " "), f"{value:,.3f}" if isinstance(value, float) else str(value))
    console.print(table)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"segfit: {error}")
