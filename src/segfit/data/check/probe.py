"""One file, looked at once: its faults, and the facts that faults between files are found by.

Pure functions of a path: they raise nothing, print nothing and keep nothing, so they run in threads.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from segfit.data.check.masks import MaskContent, read_content
from segfit.data.check.structure import ENDINGS, Header, Limits, Unusable, identify, read, read_header, require_whole
from segfit.data.stderr import STDERR, decode

__all__ = ["THUMBNAIL", "ImageFacts", "MaskFacts", "complaint", "probe_image", "probe_mask"]

THUMBNAIL = 16
"""Side of the thumbnails that duplicates are found by."""

NARROW = 10  # an aspect ratio beyond this is hardly a photograph


@dataclass(kw_only=True)
class ImageFacts:
    """What was found out about an image.

    Attributes:
        faults: (code, detail).
        header: None where the file cannot be used.
        size: (width, height) as training sees it, turned by EXIF where the decoder does so.
        digest: of the bytes.
        thumbnail: grey `(16, 16)` uint8.
        suspect: the decoder may have complained.
    """

    faults: list[tuple[str, str]] = field(default_factory=list)
    header: Header | None = None
    size: tuple[int, int] = (0, 0)
    digest: bytes = b""
    thumbnail: NDArray[np.uint8] | None = None
    suspect: bool = False


@dataclass(kw_only=True)
class MaskFacts:
    """What was found out about a mask.

    Attributes:
        faults: (code, detail).
        size: (width, height) as stored.
        content: what labels it holds; None where the file cannot be used.
    """

    faults: list[tuple[str, str]] = field(default_factory=list)
    size: tuple[int, int] = (0, 0)
    content: MaskContent | None = None


def probe_image(path: Path, limits: Limits) -> ImageFacts:
    """Look at an image file."""
    facts = ImageFacts()
    try:
        data = read(path, limits)
        header = _sound_header(data, path, limits, facts.faults)
        said = STDERR.said()
        thumbnail, turned = _thumbnail(data, header)
    except Unusable as reason:
        facts.faults.append((reason.code, reason.detail))
        return facts
    facts.header, facts.thumbnail = header, thumbnail
    facts.size = (header.height, header.width) if turned else (header.width, header.height)
    facts.digest = hashlib.blake2b(data, digest_size=16).digest()
    facts.suspect = header.format == "JPEG" and STDERR.said() != said
    facts.faults += [(code, say(header)) for code, is_so, say in IMAGE_RULES if is_so(header)]
    return facts


def probe_mask(path: Path, limits: Limits, *, colored: bool) -> MaskFacts:
    """Look at a mask file.

    Args:
        path: the file.
        limits: what is not decoded.
        colored: labels are colours, not indices.
    """
    facts = MaskFacts()
    try:
        data = read(path, limits)
        if identify(data) == "JPEG":
            raise Unusable("mask-lossy", f"a JPEG, called {path.suffix}")
        header = _sound_header(data, path, limits, facts.faults)
        facts.size = header.width, header.height
        facts.content = read_content(data, path, header, colored=colored)
    except Unusable as reason:
        facts.faults.append((reason.code, reason.detail))
    return facts


def complaint(path: Path, limits: Limits) -> str:
    """Return what the decoder says of a JPEG; nothing if it is content. No other thread may be decoding."""
    try:
        data = read(path, limits)
    except Unusable:
        return ""
    said = STDERR.said()
    decode(data, cv2.IMREAD_REDUCED_GRAYSCALE_8)
    lines = [line for line in STDERR.since(said).splitlines() if "JPEG" in line]
    return lines[0].strip() if lines else ""


# --- images ----------------------------------------------------------------------------------------------------------

IMAGE_RULES: tuple[tuple[str, Callable[[Header], bool], Callable[[Header], str]], ...] = (
    ("image-rotated", lambda h: h.orientation != 1, lambda h: f"EXIF orientation {h.orientation}"),
    ("image-grey", lambda h: h.mode in ("1", "L", "LA", "I", "F", "I;16", "I;16B"), lambda h: f"mode {h.mode}"),
    ("image-alpha", lambda h: h.mode in ("RGBA", "LA", "PA", "RGBa", "La"), lambda h: f"mode {h.mode}"),
    ("image-16bit", lambda h: h.depth > 8, lambda h: f"{h.depth} bits per value"),
    ("image-cmyk", lambda h: h.mode == "CMYK", lambda h: f"mode {h.mode}"),
    (
        "image-narrow",
        lambda h: max(h.width, h.height) > NARROW * min(h.width, h.height),
        lambda h: f"{h.width} x {h.height}",
    ),
)


def _sound_header(data: bytes, path: Path, limits: Limits, faults: list[tuple[str, str]]) -> Header:
    """Return the header of a file that is whole and not too large; note small faults.

    Raises:
        Unusable: it is neither.
    """
    kind = identify(data)
    if kind in ("JPEG", "PNG", "WEBP"):
        require_whole(data, kind)
    header = read_header(data, kind)
    if header.width * header.height > limits.pixels:
        raise Unusable(
            "too-many-pixels",
            f"{header.width:,} x {header.height:,} in {len(data):,} bytes (--max-pixels {limits.pixels:,})",
        )
    if kind in ("BMP", "TIFF"):
        require_whole(data, kind)
    if path.suffix.lower() not in ENDINGS[kind]:
        faults.append(("wrong-extension", f"holds a {kind}"))
    if header.frames > 1:
        faults.append(("multi-frame", f"{header.frames} frames"))
    return header


def _thumbnail(data: bytes, header: Header) -> tuple[NDArray[np.uint8], bool]:
    """Decode an image as small as its format allows, all its bytes nevertheless.

    Returns:
        Its grey thumbnail `(16, 16)`, and whether the decoder swapped width and height as EXIF says.

    Raises:
        Unusable: it cannot be decoded.
    """
    # JPEGs are decoded from their coarse coefficients; at least two pixels per pixel of the thumbnail are left.
    shrink = next((factor for factor in (8, 4, 2) if min(header.width, header.height) >= 2 * THUMBNAIL * factor), 1)
    grey = decode(data, SHRINK[shrink])
    if grey is None:
        raise Unusable("file-damaged", "OpenCV cannot decode it")
    width = grey.shape[1]
    turned = header.turned and abs(width * shrink - header.height) <= abs(width * shrink - header.width)
    thumbnail: NDArray[np.uint8] = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return thumbnail, turned


SHRINK = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
