"""The result of a check as a table for people, and as JSON and CSV for machines."""

import csv
import os
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from segfit import units
from segfit.data.check.codes import CODES, Fault, shown
from segfit.data.check.dataset import Result
from segfit.folder import replacing

__all__ = ["facts", "file_lines", "summary", "to_table", "write_csv"]

EXAMPLES = 3
COLUMNS = ("code", "severity", "split", "path", "detail")


def facts(result: Result) -> dict[str, Any]:
    """Return the result as JSON values."""
    return {
        "root": _text(result.root),
        "splits": {
            split: {"images": images, "masks": masks, "pairs": pairs}
            for split, (images, masks, pairs) in result.counts.items()
        },
        "errors": result.count("error"),
        "warnings": result.count("warning"),
        "seconds": round(result.seconds, 3),
        "codes": {
            code: {
                "severity": CODES[code].severity,
                "count": len(faults),
                "meaning": CODES[code].meaning,
                "mend": CODES[code].mend,
            }
            for code, faults in _groups(result.faults)
        },
        "faults": [_row(fault) for fault in result.faults],
    }


def to_table(result: Result) -> Table:
    """Return one row per code: how many files, the first ones, how to mend it."""
    table = Table(title=None, expand=False, show_lines=True)
    table.add_column("code", no_wrap=True)
    table.add_column("files", justify="right")
    table.add_column("first ones", overflow="fold", ratio=3)
    table.add_column("what it means, and the mend", overflow="fold", ratio=2)
    for code, faults in _groups(result.faults):
        color = "red" if CODES[code].severity == "error" else "yellow"
        lines = [
            f"{escape(_place(fault.path, result.root))}: [dim]{escape(shown(fault.detail))}[/]" for fault in faults
        ]
        more = [f"… and {len(lines) - EXAMPLES:,} more"] if len(lines) > EXAMPLES else []
        meaning = f"{escape(CODES[code].meaning)}.\n[bold]{escape(CODES[code].mend)}[/]"
        table.add_row(
            f"[{color}]{code}[/]\n[dim]{CODES[code].severity}[/]",
            f"{len(faults):,}",
            "\n".join([*lines[:EXAMPLES], *more]),
            meaning,
        )
    return table


def summary(result: Result) -> str:
    """Return one line: what was looked at, and the verdict."""
    images = sum(images for images, _, _ in result.counts.values())
    masks = sum(masks for _, masks, _ in result.counts.values())
    splits = ", ".join(result.counts)
    verdict = (
        f"{_plural(result.count('error'), 'error')}, {_plural(result.count('warning'), 'warning')}"
        if result.faults
        else "nothing wrong"
    )
    return (
        f"{images:,} images and {masks:,} masks ({splits}) in {units.duration(result.seconds)}, "
        f"{units.rate(result.pairs / max(result.seconds, 1e-9))} pairs/s: {verdict}"
    )


def file_lines(result: Result) -> list[str]:
    """Return one line per fault."""
    return [
        f"{fault.severity} {fault.code} {_place(fault.path, result.root)}: {shown(fault.detail)}"
        for fault in result.faults
    ]


def write_csv(result: Result, path: Path) -> None:
    """Write one row per fault, atomically."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(_row(fault) for fault in result.faults)


def _row(fault: Fault) -> dict[str, str]:
    values = fault.code, fault.severity, fault.split, _text(fault.path), shown(fault.detail)
    return dict(zip(COLUMNS, values, strict=True))


def _groups(faults: Sequence[Fault]) -> list[tuple[str, list[Fault]]]:
    """Return the faults by code, errors first."""
    groups = [(code, list(group)) for code, group in groupby(faults, lambda fault: fault.code)]
    return sorted(groups, key=lambda group: CODES[group[0]].severity)


def _place(path: Path, root: Path) -> str:
    """Return a path below the root, as it can be printed."""
    return shown(str(path.relative_to(root) if path.is_relative_to(root) and path != root else path))


def _text(path: Path) -> str:
    """Return a path as valid text: bytes that are not UTF-8 as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _plural(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
