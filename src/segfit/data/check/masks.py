"""What labels a mask holds, and whether they can be the dataset's.

`read_content` counts what is in the file, `judge` compares that with the classes of the dataset.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from segfit.data import SourceMask
from segfit.data.check.structure import Header, Unusable
from segfit.data.check.tables import Table, describe_fit, pack, unpack
from segfit.data.decode import INDEX_MODES, Color, ValuesError, read_index_mask
from segfit.data.stderr import decode
from segfit.errors import DataError
from segfit.labels import LabelTable

__all__ = ["Expected", "MaskContent", "judge", "read_content"]

RAMP = 0.14
"""A mask whose borders hold more than this share of in-between values was blended.

Measured on CamVid and 752 masks of ADE20K: as they are 0.074 at most; scaled with interpolation, or once a JPEG of
quality 90, 0.18 at least.
"""

EDGES = 40  # fewer borders prove nothing
MIXTURES = 3  # fewer different values in between do not, either
SHOWN = 5  # ids or colours that a message names


@dataclass(frozen=True, kw_only=True)
class MaskContent:
    """What a mask holds.

    Attributes:
        mode: Pillow's name of the pixel format.
        values: the label ids, or packed colours (see `tables.pack`), that occur.
        counts: pixels of each.
        colored: `values` are colours.
        ramp: share of the border pixels whose value lies between their neighbours'.
        palette: packed colour of each of `values` in a palette; else None.
    """

    mode: str
    values: NDArray[np.int64]
    counts: NDArray[np.int64]
    colored: bool
    ramp: float
    palette: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What the masks of a dataset should hold.

    Attributes:
        ids: of the classes.
        ignored: ids that are not annotated.
        colors: packed colours of the classes; None for index masks.
        tables: the colour tables that unexpected colours are compared with.
    """

    ids: frozenset[int]
    ignored: frozenset[int]
    colors: frozenset[int] | None
    tables: tuple[Table, ...]

    @classmethod
    def of(cls, labels: LabelTable, colors: Sequence[Color] | None, tables: tuple[Table, ...]) -> "Expected":
        """Return what a source's masks should hold."""
        packed = None if colors is None else frozenset(pack(np.array(colors, np.uint8)).tolist())
        return cls(ids=frozenset(labels.ids), ignored=frozenset(labels.ignored), colors=packed, tables=tables)


# --- reading ---------------------------------------------------------------------------------------------------------


def read_content(data: bytes, path: Path, header: Header, *, colored: bool) -> MaskContent:
    """Return what a mask holds.

    Args:
        data: content of the file.
        path: the file.
        header: its header.
        colored: a palette counts as its colours.

    Raises:
        Unusable: it cannot be decoded.
    """
    if header.mode not in INDEX_MODES or (colored and header.mode == "P"):
        return _read_colors(data, header.mode)
    mask = _read_indices(path)
    values, counts = _count(mask)
    return MaskContent(
        mode=header.mode,
        values=values,
        counts=counts,
        colored=False,
        ramp=_ramp(mask),
        palette=_palette(path, values) if header.mode == "P" else None,
    )


def _read_indices(path: Path) -> SourceMask:
    try:
        return read_index_mask(path)
    except DataError as error:
        code = "mask-unknown-ids" if isinstance(error, ValuesError) else "file-damaged"
        raise Unusable(code, str(error).removeprefix(f"{path}: ")) from None


def _read_colors(data: bytes, mode: str) -> MaskContent:
    rgb = decode(data, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    if rgb is None:
        raise Unusable("file-damaged", "OpenCV cannot decode it")
    values, counts = _count(pack(rgb))
    return MaskContent(mode=mode, values=values, counts=counts, colored=True, ramp=_ramp(rgb[..., 1]))


def _count(values: SourceMask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the values that occur, sorted, and how many pixels have each."""
    flat = values.ravel()
    if values.dtype == np.uint8 and len(flat) < 2**24:  # its counts are 32-bit floats
        counts = cv2.calcHist([values], [0], None, [256], [0, 256]).ravel().astype(np.int64)
        found = np.flatnonzero(counts)
        return found, counts[found]
    # Sorting whole masks is slow, but they consist of few runs of equal values.
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(starts, append=len(flat))
    found, inverse = np.unique(flat[starts], return_inverse=True)
    return found.astype(np.int64), np.bincount(inverse, lengths).astype(np.int64)


def _ramp(values: NDArray[np.integer]) -> float:
    """Return which share of the borders between labels passes through values in between, `(H, W)` -> 0..1.

    Scaling with interpolation, smooth drawing and JPEG put mixtures of both labels between two labels; 0 where these
    are so few that they may be a class of its own, as outlines are.
    """
    across, down = (values[:, :-1], values[:, 1:]), (values[:-1], values[1:])
    edges, between = 0, []
    for step in (np.less(*across), np.greater(*across)):
        edges += int(np.count_nonzero(step))
        between.append((values[:, 1:-1], step[:, :-1] & step[:, 1:]))
    for step in (np.less(*down), np.greater(*down)):
        edges += int(np.count_nonzero(step))
        between.append((values[1:-1], step[:-1] & step[1:]))
    count = sum(int(np.count_nonzero(is_between)) for _, is_between in between)
    if edges < EDGES or count <= RAMP * edges:
        return count / max(edges, EDGES)
    mixtures = np.unique(np.concatenate([middle[is_between] for middle, is_between in between]))
    return count / edges if len(mixtures) >= MIXTURES else 0.0


def _palette(path: Path, values: NDArray[np.int64]) -> tuple[int, ...]:
    with Pillow.open(path) as picture:
        flat = picture.getpalette("RGB") or []
    table = np.zeros((256, 3), np.uint8)
    table.reshape(-1)[: len(flat)] = flat
    return tuple(pack(table)[values].tolist())


# --- judging ---------------------------------------------------------------------------------------------------------


def judge(content: MaskContent, expected: Expected) -> list[tuple[str, str]]:
    """Return the faults of a mask's labels as (code, detail)."""
    if content.colored:
        return _judge_colors(content, expected)
    if expected.colors is not None:
        # A grey value v is the colour (v, v, v).
        if expected.colors.issuperset((content.values * 0x010101).tolist()):
            return []
        return [("mask-indices", f"grey values {content.values.min()}..{content.values.max()} ({content.mode})")]
    return _judge_ids(content, expected)


def _judge_ids(content: MaskContent, expected: Expected) -> list[tuple[str, str]]:
    present = set(content.values.tolist())
    unknown = np.array([value not in expected.ids | expected.ignored for value in content.values.tolist()])
    if content.ramp > RAMP:
        return [_blended(content, unknown, "ids")]
    if unknown.any() and present <= {0, 255}:
        return [("mask-binary", f"{int(content.counts[unknown].sum()):,} pixels of 255")]
    if unknown.any():
        return [("mask-unknown-ids", _unknown_ids(content, unknown, expected))]
    if present <= expected.ignored:
        return [("mask-ignored", f"holds only {_listed(sorted(present))}")]
    return []


def _unknown_ids(content: MaskContent, unknown: NDArray[np.bool_], expected: Expected) -> str:
    values, counts = content.values[unknown].tolist(), content.counts[unknown].tolist()
    text = _listed([f"{value} ({count:,} px)" for value, count in zip(values, counts, strict=True)])
    if content.palette is None:
        return text
    colors = np.array(content.palette, np.int64)
    fit = describe_fit(colors, content.counts, expected.tables)
    return f"{text}; the colours of its palette {fit}"


def _judge_colors(content: MaskContent, expected: Expected) -> list[tuple[str, str]]:
    fit = describe_fit(content.values, content.counts, expected.tables)
    if expected.colors is None:
        return [("mask-colors", f"{len(content.values):,} colours ({content.mode}), which {fit}")]
    unknown = np.array([value not in expected.colors for value in content.values.tolist()])
    if not unknown.any():
        return []
    if content.ramp > RAMP:
        return [_blended(content, unknown, "colours")]
    values, counts = content.values[unknown].tolist(), content.counts[unknown].tolist()
    text = _listed([f"{unpack(value)} ({count:,} px)" for value, count in zip(values, counts, strict=True)])
    return [("mask-unknown-colors", f"{text}; all its colours {fit}")]


def _blended(content: MaskContent, unknown: NDArray[np.bool_], what: str) -> tuple[str, str]:
    share = f"{content.ramp:.0%} of the borders pass through values in between"
    return "mask-blended", f"{share}; {int(unknown.sum())} of its {len(unknown)} {what} are unknown"


def _listed(items: Sequence[object]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(map(str, items[:SHOWN])) + more
