"""Time and memory of a training step, segfit beside the plain way: see README.md beside this file."""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

import torch
from rich.console import Console
from rich.table import Table

from loss_race import measure_losses
from peers import PAIRS
from race import PLAIN, WAYS, Task, memory_of, seconds_of
from segfit.training.device import device_name, hardware

T = TypeVar("T")

CLASSES = (10, 150)

SAME = "segfit"
"""What a recipe's defaults make, at the peer's precision."""

TUNED = (SAME, "segfit contiguous")
"""What `train.autotune` chooses between."""

EXTRA, NEVER_ABOVE, HEAD_GOAL, HEAD_SHARE, FIT = 0.10, 1.0, 0.7, 0.3, 0.4
"""Goals: extra memory of 150 classes, of the peer's; step time, of the peer's, always and where its head and loss are
at least that share of its step; peak memory, of the peer's, with what a plan switches on."""

AGREE = {"fp32": 1e-4, "bf16": 2e-2}
"""How far a first loss may be from the peer's, as a share of it."""


def main() -> None:
    """Measure what the command line says and print it."""
    options = _parse()
    if options.loss:
        torch.set_num_threads(options.threads)
        facts = {**_where(options), **measure_losses(options.size, options.batch, options.rounds, options.device)}
    else:
        facts = _measure(options)
    if options.json:
        print(json.dumps(facts, indent=2))
    elif options.loss:
        _print_losses(facts)
    else:
        _print_steps(facts)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=PAIRS, default=list(PAIRS), help="which pairs (all)")
    parser.add_argument("--classes", type=int, nargs="+", default=CLASSES, help="numbers of classes (10 150)")
    parser.add_argument("--size", type=int, default=256, help="height and width of the images (256)")
    parser.add_argument("--batch", type=int, default=2, help="images per step (2)")
    parser.add_argument("--width", type=int, help="channels at full resolution (32, where the network has them)")
    parser.add_argument("--rounds", type=int, default=5, help="measured steps of each contender (5)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of a CPU (all)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where (cpu)")
    parser.add_argument("--ways", nargs="+", choices=WAYS, help="segfit's contenders (what the hardware has)")
    parser.add_argument("--loss", action="store_true", help="measure the loss alone instead")
    parser.add_argument("--json", action="store_true", help="print facts for machines")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch sees no GPU here")
    return options


# --- measuring -------------------------------------------------------------------------------------------------------


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    native = hardware().precisions[options.device]
    ways = options.ways or [name for name, train in WAYS.items() if train["precision"] in native]
    names = [PLAIN, SAME, *(way for way in ways if way != SAME)]
    pairs: dict[str, Any] = {}
    for name in options.models:
        pair = PAIRS[name]
        if not pair.possible:
            print(f"{pair.needs} is not installed, {name} is left out: see README.md", file=sys.stderr)
            continue
        found = pairs[name] = {"peer": pair.peer, "classes": {}}
        for classes in options.classes:
            task = Task(
                pair=name,
                classes=classes,
                width=(options.width or pair.width) if pair.width else 0,
                size=options.size,
                batch=options.batch,
                device=options.device,
                threads=options.threads,
            )
            print(f"{name}, {classes} classes", file=sys.stderr)
            # Memory alone in a process; time side by side in one, so that noise hits all alike.
            facts = _alone(seconds_of, task, names, options.rounds)
            facts["memory"] = {contender: _alone(memory_of, task, contender) for contender in names}
            facts["agree"] = _agree(facts["losses"])
            found["classes"][classes] = facts
        found["goals"] = _goals(found["classes"], names)
    return {**_where(options), "width": options.width, "contenders": names, "pairs": pairs}


def _where(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "device": device_name(torch.device(options.device)),
        "torch": torch.__version__,
        "threads": options.threads,
        "size": options.size,
        "batch": options.batch,
    }


def _alone(work: Callable[..., T], *args: Any) -> T:
    """Return what `work` returns in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(work, *args).result()


def _agree(losses: Mapping[str, Sequence[float]]) -> dict[str, bool]:
    """Return whether each contender's first loss is the peer's, up to rounding."""
    first = losses[PLAIN][0]
    return {
        name: abs(values[0] - first) <= AGREE[WAYS[name]["precision"]] * first
        for name, values in losses.items()
        if name != PLAIN
    }


def _ratio(facts: Mapping[str, Any], name: str) -> float:
    """Return the time of a contender's step over the peer's: the median over the rounds."""
    seconds = facts["seconds"]
    return statistics.median(ours / theirs for ours, theirs in zip(seconds[name], seconds[PLAIN], strict=True))


def _peak(facts: Mapping[str, Any], name: str) -> int:
    return int(facts["memory"][name]["allocated"])


def _goals(by_classes: Mapping[int, Mapping[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return what was to be reached and what was."""
    goals: list[dict[str, Any]] = []

    def add(what: str, value: float, goal: float, *, also: bool = True) -> None:
        goals.append({"what": what, "value": value, "goal": goal, "reached": value <= goal and also})

    few, many = min(by_classes), max(by_classes)
    if few < many:
        extra = {name: _peak(by_classes[many], name) - _peak(by_classes[few], name) for name in names}
        add(f"extra memory of {many} over {few} classes / the peer's", extra[SAME] / extra[PLAIN], EXTRA)
    for classes, facts in by_classes.items():
        ratios = {name: _ratio(facts, name) for name in names}
        for name in TUNED:
            if name in names:
                add(f"{classes} classes: time of {name!r} / the peer's", ratios[name], NEVER_ABOVE)
                if facts["head_share"] >= HEAD_SHARE:
                    share = f"head and loss being {facts['head_share']:.0%} of the peer's step"
                    add(f"{classes} classes: the same, {share}", ratios[name], HEAD_GOAL)
        others = [name for name in names if name != PLAIN]
        least = min(others, key=lambda name: (ratios[name] > NEVER_ABOVE, _peak(facts, name)))
        add(
            f"{classes} classes: peak of {least!r}, at {ratios[least]:.2f} x the time / the peer's",
            _peak(facts, least) / _peak(facts, PLAIN),
            FIT,
            also=ratios[least] <= NEVER_ABOVE,
        )
    return goals


# --- printing --------------------------------------------------------------------------------------------------------


def _print_steps(facts: Mapping[str, Any]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 130, highlight=False)
    console.print(
        f"{facts['device']}, torch {facts['torch']}, {facts['threads']} threads; "
        f"{facts['batch']} images of {facts['size']} x {facts['size']} per step"
    )
    for name, pair in facts["pairs"].items():
        columns = ("classes", "", "ms", "least", "most", "x time", "peak MB", "x peak", "resident MB", "loss")
        console.print(f"\n{name}: segfit beside {pair['peer']}, trained the plain way")
        table = Table(*columns)
        for number, column in enumerate(table.columns):
            column.justify = "left" if number == 1 else "right"
        for classes, found in pair["classes"].items():
            for contender in facts["contenders"]:
                table.add_row(str(classes), contender, *_cells(found, contender))
            share = f"{found['head_share']:.0%} of plain"
            table.add_row(str(classes), f"plain head and loss: {share}", *_times(found["seconds"]["head"]))
        if len(pair["classes"]) > 1:
            few, many = min(pair["classes"]), max(pair["classes"])
            for contender in facts["contenders"]:
                extra = _peak(pair["classes"][many], contender) - _peak(pair["classes"][few], contender)
                table.add_row(f"{few} to {many}", contender, "", "", "", "", f"+ {extra / 1e6:,.1f}")
        console.print(table)
        for goal in pair["goals"]:
            verdict = "reached" if goal["reached"] else "MISSED"
            console.print(f"  {goal['what']}: {goal['value']:.2f} (goal {goal['goal']:g}): {verdict}")


def _cells(found: Mapping[str, Any], contender: str) -> list[str]:
    memory = found["memory"][contender]
    differs = "" if found["agree"].get(contender, True) else " DIFFERS"
    return [
        *_times(found["seconds"][contender]),
        f"{_ratio(found, contender):.2f}",
        f"{memory['allocated'] / 1e6:,.1f}",
        f"{_peak(found, contender) / _peak(found, PLAIN):.2f}",
        f"{memory['resident'] / 1e6:,.0f}",
        f"{found['losses'][contender][0]:.6f}{differs}",
    ]


def _times(seconds: Sequence[float]) -> list[str]:
    return [f"{1e3 * value:,.0f}" for value in (statistics.median(seconds), min(seconds), max(seconds))]


def _print_losses(facts: Mapping[str, Any]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 130, highlight=False)
    console.print(f"{facts['device']}, torch {facts['torch']}, {facts['threads']} threads")
    for case in facts["cases"]:
        console.print(f"\n{case['name']}")
        table = Table("", "ms", "least", "most", "x time", "peak MB")
        for column in table.columns[1:]:
            column.justify = "right"
        plain = case["contenders"][PLAIN]["seconds"]
        for name, found in case["contenders"].items():
            ratios = [ours / theirs for ours, theirs in zip(found["seconds"], plain, strict=True)]
            times = [f"{1e3 * f(found['seconds']):,.1f}" for f in (statistics.median, min, max)]
            table.add_row(name, *times, f"{statistics.median(ratios):.2f}", f"{found['peak'] / 1e6:,.1f}")
        console.print(table)


if __name__ == "__main__":
    main()
