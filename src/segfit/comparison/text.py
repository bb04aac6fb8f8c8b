"""Facts of one run or one label space as plain text for the terminal."""

from collections.abc import Mapping
from typing import Any

__all__ = ["classes_text", "evaluation_text"]

TITLES = {
    "dice": "Dice (macro)",
    "miou": "mIoU",
    "pixel_accuracy": "pixel accuracy",
    "mean_accuracy": "mean accuracy",
    "frequency_weighted_iou": "frequency-weighted IoU",
    "dice_per_image": "Dice (mean over images)",
}


def evaluation_text(facts: Mapping[str, Any]) -> str:
    """Return the per-class table and the means of an evaluation, the majority class beside them.

    Args:
        facts: ``scores``, ``baseline`` and ``per_class``, as in a run's ``metrics.json``.
    """
    width = max(len(row["name"]) for row in facts["per_class"])
    lines = [f"{'class':<{width}}  {'Dice':>6}  {'IoU':>6}  {'acc.':>6}  {'pixels':>12}"]
    for row in facts["per_class"]:
        numbers = "  ".join(_number(row[key]) for key in ("dice", "iou", "accuracy"))
        lines += [f"{row['name']:<{width}}  {numbers}  {row['pixels']:>12,}"]
    lines += ["", f"{'':<24}  {'model':>6}  {'majority class':>14}"]
    lines += [
        f"{title:<24}  {_number(facts['scores'][key])}  {_number(facts['baseline'][key]):>14}"
        for key, title in TITLES.items()
        if key in facts["scores"]
    ]
    lines.append(f"{facts['images']} images of {facts['split']}, at their original size")
    return "\n".join(lines)


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
