"""What a selection did: facts for machines, and for people a table of the classes before and after it."""

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from segfit import units
from segfit.curation.names import short_names
from segfit.curation.select import Selection
from segfit.drawing.placement import shorten

__all__ = ["selection_facts", "selection_text"]


def selection_facts(selection: Selection) -> dict[str, Any]:
    """Return what was selected and dropped, and how often each class is shown before and after, JSON-ready."""
    before, after = selection.before, selection.after
    columns = {
        "name": before.table.names,
        "images_before": before.images().tolist(),
        "images_after": after.images().tolist(),
        "pixels_before": before.ratios().tolist(),
        "pixels_after": after.ratios().tolist(),
    }
    return {
        "split": selection.split,
        "fingerprint": selection.fingerprint,
        "images": {"before": len(before.ids), "after": len(after.ids), "rest": len(selection.rest)},
        "dropped": [
            {"criterion": dropped.criterion, "images": len(dropped.ids), "ids": list(dropped.ids)}
            for dropped in selection.dropped
        ],
        "classes": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)],
    }


def selection_text(selection: Selection) -> RenderableType:
    """Return the facts for a terminal: the classes, what each criterion dropped, and a summary next to the prompt."""
    return Group(_classes(selection), Text(), _dropped(selection), Text(), Text(_summary(selection), style="bold"))


def _classes(selection: Selection) -> Table:
    """Return the classes that occur, the most frequent first."""
    before, after = selection.before, selection.after
    table = Table("class", box=None, header_style="dim", pad_edge=False)
    for title in ("images", "share", "selected", "share", "pixels", "selected"):
        table.add_column(title, justify="right")
    names = short_names(before.table.names)
    shown, left = before.images(), after.images()
    pixels, pixels_left = before.ratios(), after.ratios()
    for i in sorted(range(len(shown)), key=lambda i: (-shown[i], i)):
        if shown[i]:
            table.add_row(
                Text(shorten(names[i])),
                f"{shown[i]:,}",
                units.share(shown[i] / len(before.ids)),
                f"{left[i]:,}",
                units.share(left[i] / len(after.ids)),
                units.share(pixels[i]),
                units.share(pixels_left[i]),
                style="" if left[i] else "red",
            )
    return table


def _dropped(selection: Selection) -> Table:
    table = Table("criterion", box=None, header_style="dim", pad_edge=False)
    for title in ("left out", "left"):
        table.add_column(title, justify="right")
    left = len(selection.before.ids)
    for dropped in selection.dropped:
        left -= len(dropped.ids)
        table.add_row(Text(dropped.criterion), f"{len(dropped.ids):,}", f"{left:,}")
    return table


def _summary(selection: Selection) -> str:
    shown, left = ((census.images() > 0).sum() for census in (selection.before, selection.after))
    return (
        f"{len(selection.ids):,} of {len(selection.before.ids):,} images of {selection.split}, "
        f"showing {left} of its {shown} classes"
    )
