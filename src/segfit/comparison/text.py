"""Facts of one run or one label space as plain text for the terminal."""

import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size

from segfit.config import PROTOCOLS

__all__ = ["classes_text", "evaluation_text"]

METRICS = {"dice": "Dice", "iou": "IoU", "precision": "prec.", "recall": "recall"}

BOUNDARY = {"boundary_iou": "IoU", "boundary_f": "F"}

AVERAGES = {
    "macro": ("macro", "every class that occurs weighs the same: its IoU is mIoU, its recall mean accuracy"),
    "micro": ("micro", "every pixel weighs the same: its recall is pixel accuracy"),
    "weighted": ("weighted", "classes weigh by their true pixels: its IoU is frequency-weighted IoU"),
    "per_image": ("per image", "macro average of each image, then the mean over images"),
}
"""Name and meaning of each average."""

LABEL = 13
"""Columns before what is said about a thing."""

NARROWEST = 8
"""Columns that the name of a class gets at least."""


def evaluation_text(facts: Mapping[str, Any], width: int | None = None) -> str:
    """Return an evaluation: a table of the classes, the averages beside the majority class's, how it was scored.

    Args:
        facts: as in a run's ``metrics.json``; parts that were not measured are left out.
        width: columns of the text; by default the terminal's.
    """
    columns = width or shutil.get_terminal_size((100, 24)).columns
    parts = [_class_table(facts["per_class"], columns), _average_table(facts), _remarks(facts, columns)]
    return "\n".join([*parts[0], "", *parts[1], "", *parts[2]])


# --- tables ----------------------------------------------------------------------------------------------------------


def _class_table(rows: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    boundary = BOUNDARY if any(key in row for row in rows for key in BOUNDARY) else {}
    most = max(len("pixels"), *(len(f"{row['pixels']:,}") for row in rows))
    numbers = 8 * (len(METRICS) + len(boundary)) + 2 + most
    names = max(len("class"), *(cell_len(row["name"]) for row in rows))
    names = min(names, max(NARROWEST, width - numbers))
    # One word over both columns, its end above theirs.
    above = f"{'boundary':>{names + 8 * (len(METRICS) + 2)}}"
    head = f"{'class':<{names}}{_titles(METRICS)}{_titles(boundary)}  {'pixels':>{most}}"
    lines = [above, head] if boundary else [head]
    lines.append("\N{BOX DRAWINGS LIGHT HORIZONTAL}" * len(head))
    for row in rows:
        values = _numbers(row.get(key) for key in (*METRICS, *boundary))
        lines.append(f"{_cut(row['name'], names)}{values}  {row['pixels']:>{most},}")
    return lines


def _average_table(facts: Mapping[str, Any]) -> list[str]:
    model, baseline = facts["averages"], facts["baseline_averages"]
    titles = _titles(METRICS)
    head = f"{'average':<{LABEL - 2}}{titles} {titles}"
    lines = [
        f"{'':<{LABEL}}{'model':<{len(titles)}} {'majority class everywhere'}",
        head,
        "\N{BOX DRAWINGS LIGHT HORIZONTAL}" * len(head),
    ]
    for key, (name, _) in AVERAGES.items():
        if key in model:
            both = (_numbers(averages[key][metric] for metric in METRICS) for averages in (model, baseline))
            lines.append(f"{name:<{LABEL - 2}}{' '.join(both)}")
    return lines


def _titles(metrics: Mapping[str, str]) -> str:
    return "".join(f"{title:>8}" for title in metrics.values())


def _numbers(values: Iterable[float | None]) -> str:
    return "".join(f"  {_number(value)}" for value in values)


def _cut(name: str, width: int) -> str:
    """Return a name in exactly `width` columns of a terminal."""
    return (
        set_cell_size(name, width)
        if cell_len(name) <= width
        else set_cell_size(name, width - 1) + "\N{HORIZONTAL ELLIPSIS}"
    )


# --- remarks ---------------------------------------------------------------------------------------------------------


def _remarks(facts: Mapping[str, Any], width: int) -> list[str]:
    """Return the named lines below the tables."""
    remarks = {name: words for key, (name, words) in AVERAGES.items() if key in facts["averages"]}
    if "boundary" in facts:
        remarks["boundary"] = _boundary(facts)
    if "calibration" in facts:
        remarks["calibration"] = _calibration(facts["calibration"])
    remarks["images"] = f"{facts['images']:,} of {facts['split']}"
    remarks["protocol"] = _protocol(facts) if "protocol" in facts else "scored at each image's original size"
    return [line for name, words in remarks.items() for line in _remark(name, words, width)]


def _remark(name: str, words: str, width: int) -> list[str]:
    lines = textwrap.wrap(words, max(width - LABEL, 20))
    return [f"{label:<{LABEL}}{line}" for label, line in zip((name, *("" for _ in lines[1:])), lines, strict=True)]


def _boundary(facts: Mapping[str, Any]) -> str:
    iou, f = (_number(facts["scores"][key]).strip() for key in BOUNDARY)
    share = f"{100 * facts['boundary']['distance']:g} %"
    return f"IoU {iou}, F {f} (macro), within {share} of the image's diagonal"


def _calibration(facts: Mapping[str, Any]) -> str:
    """Return the expected error and whether the model is too sure."""
    bins = [one for one in facts["bins"] if one["pixels"]]
    pixels = sum(one["pixels"] for one in bins)
    if not pixels:
        return "no pixel to measure it on"
    confidence, accuracy = (
        sum(one[key] * one["pixels"] for one in bins) / pixels for key in ("confidence", "accuracy")
    )
    verdict = "too sure" if confidence > accuracy else "not sure enough"
    error = "expected error (ECE) " + _number(facts["ece"]).strip()
    return f"{error}: {confidence:.4f} sure on average, right in {accuracy:.4f}: {verdict}"


def _protocol(facts: Mapping[str, Any]) -> str:
    """Return the protocol's name and everything that it was scored by."""
    words = [f"{facts['protocol']}: {PROTOCOLS[facts['protocol']].words}"]
    if facts.get("window") == "sliding":
        words.append(f"in sliding windows, {facts.get('weighting', 'uniform')} weights")
    if (scales := list(facts.get("scales", [1.0]))) != [1.0]:
        words.append("scales " + " ".join(f"{scale:g}" for scale in scales))
    if facts.get("flip"):
        words.append("mirrored, too")
    return "; ".join(words)


# --- label spaces ----------------------------------------------------------------------------------------------------


def classes_text(facts: Mapping[str, Any]) -> str:
    """Return a label space as a table with its coverage.

    Args:
        facts: ``classes`` (train_id, source_id, name, ratio) and ``coverage``.
    """
    lines = [f"{'train id':>8}  {'source id':>9}  {'ratio':>6}  name"]
    lines += [
        f"{row['train_id']:>8}  {row['source_id']:>9}  {_number(row['ratio'])}  {row['name']}"
        for row in facts["classes"]
    ]
    if facts["coverage"] is not None:
        lines.append(f"coverage {facts['coverage']:.4f}")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return f"{'-':>6}" if value is None else f"{value:6.4f}"
