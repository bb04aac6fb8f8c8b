"""Drawing a contact sheet: pictures in rows, names below them, a legend of the classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from segfit.curation.names import short_names
from segfit.data import Image, Sample
from segfit.data.augment.geometry import resample
from segfit.drawing.style import FAINT, INK, MUTED, PAPER
from segfit.labels import IGNORE, LabelSpace, Mask

__all__ = ["Row", "draw_sheet"]

Color = tuple[int, int, int]

HEIGHT = 224
"""Of the pictures, in pixels."""
WIDEST = 400
"""A wider picture is shown lower."""
MARGIN, GAP = 40, 12
TITLE, TEXT, SMALL = 24, 15, 13
LINE = 24
"""Height of a line of text."""
SWATCH = 16

COVER = 0.42
"""Share of the class's colour in what is laid over a picture."""
GROUND, STRIPES = (236, 238, 241), (205, 210, 216)
"""Ignored pixels are hatched in these colours."""
HATCH, HATCH_COVER = 8, 0.85
"""Distance of two stripes in pixels, and how much of the picture they hide."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """An original and samples of it, as images and masks of train ids."""

    original: Sample
    samples: Sequence[tuple[Image, Mask]]


def draw_sheet(rows: Sequence[Row], labels: LabelSpace, title: str, settings: Sequence[str]) -> Pillow.Image:
    """Return the contact sheet.

    Args:
        rows: at least one; all with the same number of samples, all of one size.
        labels: names and colours of the train ids.
        title: what the images are.
        settings: how the samples were made, in parts between which a line may be broken.
    """
    pictures = [
        [
            _picture(image, mask, labels.colors)
            for image, mask in ((row.original.image, row.original.mask), *row.samples)
        ]
        for row in rows
    ]
    widths = [max(picture.width for picture in column) for column in zip(*pictures, strict=True)]
    lefts = [MARGIN + sum(widths[:column]) + GAP * column for column in range(len(widths))]
    legend = _legend(rows, labels)
    room = LINE * (len(settings) + len(legend) + 20) + (HEIGHT + 3 * LINE) * len(rows)
    sheet = _Sheet(width=lefts[-1] + widths[-1] + MARGIN, height=room)
    sheet.heading(title, settings)
    for left, name in zip(lefts, ["original", *(f"epoch {epoch}" for epoch in range(1, len(widths)))], strict=True):
        sheet.text(left, name, SMALL, MUTED)
    sheet.down(LINE)
    for row, across in zip(rows, pictures, strict=True):
        sheet.pictures(lefts, across)
        sheet.caption(row.original, lefts[0], widths[0])
    sheet.legend(legend)
    return sheet.finished()


class _Sheet:
    """A page that is written from top to bottom.

    Args:
        width: in pixels.
        height: enough for what will be written.
    """

    def __init__(self, width: int, height: int) -> None:
        self.page = Pillow.new("RGB", (width, height), PAPER)
        self.canvas = ImageDraw.Draw(self.page)
        self.y = MARGIN

    def down(self, pixels: int) -> None:
        """Go on farther below."""
        self.y += pixels

    def text(self, x: int, text: str, size: int, color: str, weight: str = "") -> None:
        """Write a line of text whose upper left corner is at `x`."""
        self.canvas.text((x, self.y), _printable(text), fill=color, font=_font(size, weight))

    def heading(self, title: str, settings: Sequence[str]) -> None:
        """Write the title, and below it the settings in as many lines as they need."""
        self.text(MARGIN, title, TITLE, INK, "-Bold")
        self.down(TITLE + 14)
        for line in _lines(settings, self.page.width - 2 * MARGIN):
            self.text(MARGIN, line, TEXT, MUTED)
            self.down(LINE)
        self.down(GAP)

    def pictures(self, lefts: Sequence[int], pictures: Sequence[Pillow.Image]) -> None:
        """Show pictures side by side, their upper edges in line."""
        for left, picture in zip(lefts, pictures, strict=True):
            self.page.paste(picture, (left, self.y), _rounded(picture.size))
        self.down(max(picture.height for picture in pictures) + 7)

    def caption(self, original: Sample, left: int, width: int) -> None:
        """Write the id of an image and its size."""
        height, across = original.mask.shape
        size = f"{across} x {height}"
        name = _shortened(original.id, width - 2 * GAP - _length(size, SMALL))
        self.text(left, name, SMALL, INK)
        self.text(left + round(_length(name, SMALL)) + GAP, size, SMALL, MUTED)
        self.down(LINE + GAP)

    def legend(self, entries: Sequence[tuple[str, Color | None]]) -> None:
        """Show names with their colours, in columns of equal width; without a colour the hatch."""
        self.canvas.line([(MARGIN, self.y), (self.page.width - MARGIN, self.y)], fill=FAINT)
        self.down(GAP + 8)
        pitch = max(_length(name, TEXT) for name, _ in entries) + SWATCH + 10 + 2 * GAP
        columns = max(1, int((self.page.width - 2 * MARGIN + 2 * GAP) // pitch))
        for start in range(0, len(entries), columns):
            for column, (name, color) in enumerate(entries[start : start + columns]):
                left = MARGIN + int(column * pitch)
                swatch = _hatch((SWATCH, SWATCH)) if color is None else np.full((SWATCH, SWATCH, 3), color, np.uint8)
                self.page.paste(Pillow.fromarray(swatch), (left, self.y + 2), _rounded((SWATCH, SWATCH), 4))
                self.text(left + SWATCH + 10, name, TEXT, INK)
            self.down(LINE + 2)

    def finished(self) -> Pillow.Image:
        """Return the page, cut where the writing ends."""
        return self.page.crop((0, 0, self.page.width, self.y + MARGIN - 8))


# --- pictures --------------------------------------------------------------------------------------------------------


def _picture(image: Image, mask: Mask, colors: Sequence[Color]) -> Pillow.Image:
    """Return an image at the sheet's size with its mask over it."""
    height, width = mask.shape
    scale = min(HEIGHT / height, WIDEST / width)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    image = resample(image, size)
    mask = cv2.resize(mask, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT)
    ignored = (mask == IGNORE)[..., None]
    palette = np.array([*colors, *[(0, 0, 0)] * (256 - len(colors))])
    covered = np.where(
        ignored,
        HATCH_COVER * _hatch(size) + (1 - HATCH_COVER) * image,
        COVER * palette[mask] + (1 - COVER) * image,
    )
    # A border is drawn in the colour of its side, so that it reads as the edge of a region and not as a class.
    edges = _edges(mask)[..., None] & ~ignored
    return Pillow.fromarray(np.where(edges, 0.15 * covered + 0.85 * palette[mask], covered).astype(np.uint8))


def _edges(mask: Mask) -> np.ndarray:
    """Return the pixels whose right or lower neighbour has another label."""
    edges = np.zeros(mask.shape, np.bool_)
    edges[:, :-1] = mask[:, :-1] != mask[:, 1:]
    edges[:-1] |= mask[:-1] != mask[1:]
    return edges


def _hatch(size: tuple[int, int]) -> np.ndarray:
    """Return diagonal stripes, `(h, w, 3)`."""
    rows, columns = np.indices(size)
    stripes: np.ndarray = np.where(((rows + columns) % HATCH < 2)[..., None], STRIPES, GROUND).astype(np.uint8)
    return stripes


@cache
def _rounded(size: tuple[int, int], radius: int = 5) -> Pillow.Image:
    """Return a mask (width, height) that rounds the corners of a picture."""
    large = Pillow.new("L", (size[0] * 4, size[1] * 4))
    ImageDraw.Draw(large).rounded_rectangle((0, 0, size[0] * 4 - 1, size[1] * 4 - 1), radius * 4, fill=255)
    return large.resize(size, Pillow.Resampling.BOX)


# --- text ------------------------------------------------------------------------------------------------------------


def _legend(rows: Sequence[Row], labels: LabelSpace) -> list[tuple[str, Color | None]]:
    """Return names and colours of the classes that occur, the most frequent first; None is the hatch."""
    masks = [mask for row in rows for mask in (row.original.mask, *(mask for _, mask in row.samples))]
    counts = np.sum([np.bincount(mask.ravel(), minlength=256) / mask.size for mask in masks], axis=0)
    names = short_names(labels.names)
    entries: list[tuple[str, Color | None]] = [
        (names[train], labels.colors[train])
        for train in np.argsort(-counts[: len(names)], kind="stable")
        if counts[train]
    ]
    return [*entries, ("ignored", None)] if counts[IGNORE] else entries


def _lines(parts: Sequence[str], width: float) -> list[str]:
    """Join parts to lines of at most `width` pixels."""
    lines = [parts[0]]
    for part in parts[1:]:
        longer = f"{lines[-1]}  ·  {part}"
        if _length(longer, TEXT) <= width:
            lines[-1] = longer
        else:
            lines.append(part)
    return lines


def _shortened(text: str, width: float) -> str:
    """Return `text`, or its beginning and end, so that it is at most `width` pixels long."""
    if _length(text, SMALL) <= width:
        return text
    kept = max((n for n in range(len(text)) if _length(_cut(text, n), SMALL) <= width), default=0)
    return _cut(text, kept)


def _cut(text: str, kept: int) -> str:
    """Return `kept` characters of `text`, a third of them from its beginning, for names differ at their end."""
    front = kept // 3
    return f"{text[:front]}…{text[len(text) - (kept - front) :]}"


def _length(text: str, size: int) -> float:
    return _font(size).getlength(_printable(text))


def _printable(text: str) -> str:
    """Return `text` without what cannot be encoded: the bytes of names that are not UTF-8."""
    return text.encode("utf-8", "replace").decode()


@cache
def _font(size: int, weight: str = "") -> ImageFont.FreeTypeFont:
    """Return the font of the figures, which comes with matplotlib."""
    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / f"DejaVuSans{weight}.ttf"), size)
