"""Time of scoring, statistics and reports, segfit beside others: see README.md beside this file."""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from cases import Case, run
from conclusions import bootstrap, report, share
from scoring import boundary, confusion, label_maps, rle
from segfit.training.device import device_name


def main() -> None:
    """Measure what the command line says and print it."""
    options = _parse()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    facts: dict[str, Any] = {
        "machine": device_name(torch.device(options.device)),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "threads": options.threads,
        "clock": "processor's time" if options.cpu_time else "wall time",
        "masks": "synthetic" if options.masks is None else options.masks.name,
        "parts": {},
    }
    for name in options.parts:
        print(name, file=sys.stderr)
        facts["parts"][name] = run(PARTS[name](options), options.rounds, CLOCKS[options.cpu_time])
    if options.json:
        print(json.dumps(facts, indent=2))
    else:
        _print(facts)


PARTS: Mapping[str, Callable[[argparse.Namespace], Iterator[Case]]] = {
    "confusion": lambda _: confusion(),
    "boundary": lambda options: boundary(label_maps(options.masks, min(8, options.count))),
    "rle": lambda options: rle(label_maps(options.masks, options.count)),
    "bootstrap": lambda _: bootstrap(),
    "report": lambda options: report(options.runs),
    "share": lambda options: share(label_maps(options.masks, 2), options.device),
}


CLOCKS = {False: time.perf_counter, True: time.process_time}


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=list(PARTS), default=list(PARTS), help="which parts (all)")
    parser.add_argument("--masks", type=Path, help="folder of ADE20K masks as PNGs (synthetic ones)")
    parser.add_argument("--count", type=int, default=40, help="masks for the run-length codes (40)")
    parser.add_argument("--runs", type=int, default=20, help="runs in the report (20)")
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds (5)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch and OpenCV (all)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="of the models in `share` (cpu)")
    parser.add_argument("--cpu-time", action="store_true", help="count the processor's time, not the wall's")
    parser.add_argument("--json", action="store_true", help="print facts for machines")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch sees no GPU here")
    return options


def _print(facts: Mapping[str, Any]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 110, highlight=False)
    console.print(
        f"{facts['machine']}, {facts['threads']} threads, {facts['clock']}, masks: {facts['masks']}; "
        f"torch {facts['torch']}, NumPy {facts['numpy']}, OpenCV {facts['opencv']}"
    )
    for cases in facts["parts"].values():
        for case in cases:
            console.print(f"\n{case['name']}")
            table = Table("", "ms", "least", "most")
            for column in table.columns[1:]:
                column.justify = "right"
            for name, seconds in case["seconds"].items():
                values = (statistics.median(seconds), min(seconds), max(seconds))
                table.add_row(name, *(f"{1e3 * value:,.2f}" for value in values))
            console.print(table)
            for goal in case["goals"]:
                verdict = "" if goal["goal"] is None else f" (goal {goal['goal']:g})"
                verdict += {True: ": reached", False: ": MISSED", None: ""}[goal["reached"]]
                console.print(f"  {goal['what']}: {goal['value']:.3g}{goal['unit']}{verdict}")


if __name__ == "__main__":
    main()
