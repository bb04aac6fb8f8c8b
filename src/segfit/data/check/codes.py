"""Every fault that a dataset can have: a stable name, how bad it is, what it means and how to mend it.

The names are an interface: scripts compare them. ``docs/data/check.md`` has an entry for each, which a test enforces.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from segfit.errors import DataError, did_you_mean

__all__ = ["CODES", "Code", "Fault", "Severity", "require_codes", "shown"]

Severity = Literal["error", "warning"]


@dataclass(frozen=True, kw_only=True)
class Code:
    """A kind of fault.

    Attributes:
        name: what scripts know it by.
        severity: ``error`` if training would fail or silently learn something wrong, else ``warning``.
        meaning: what is wrong, as half a sentence.
        mend: what to do about it.
    """

    name: str
    severity: Severity
    meaning: str
    mend: str


@dataclass(frozen=True)
class Fault:
    """One fault of one file.

    Attributes:
        code: name of a `Code`.
        path: the file, or the folder for a fault of a whole split.
        split: the split that it was found in; empty for a fault of the whole dataset.
        detail: the particulars.
    """

    code: str
    path: Path
    split: str
    detail: str

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return CODES[self.code].severity


def require_codes(names: Iterable[str]) -> frozenset[str]:
    """Return the names as a set.

    Raises:
        DataError: one of them is no code.
    """
    wanted = frozenset(names)
    for name in sorted(wanted - CODES.keys()):
        raise DataError(f"no fault has the code {name!r}{did_you_mean(name, CODES)}: see docs/data/check.md")
    return wanted


def shown(text: str) -> str:
    """Return text as it can be printed: control characters, and bytes that are not UTF-8, as escapes."""
    valid = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in valid)


def _codes(severity: Severity, *rows: tuple[str, str, str]) -> dict[str, Code]:
    return {name: Code(name=name, severity=severity, meaning=meaning, mend=mend) for name, meaning, mend in rows}


CODES: dict[str, Code] = {
    # --- splits, folders, links --------------------------------------------------------------------------------------
    **_codes(
        "error",
        ("split-empty", "the split has no images", "add images, or correct data.train and data.validation"),
        ("split-unreadable", "the files of the split cannot be listed", "do what the detail says"),
        ("folder-unreadable", "the folder may not be entered", "correct its permissions: chmod u+rx FOLDER"),
        ("link-broken", "the link leads nowhere", "restore what it points to, or delete the link"),
        ("link-loop", "the link leads back to itself", "replace it by the file"),
        ("not-a-file", "neither a file nor a folder, but a pipe, socket or device", "replace it by the file"),
    ),
    **_codes(
        "warning",
        ("folder-loop", "a link to a folder that contains it; it is passed over", "delete the link"),
        ("file-unsupported", "lies beside the data, but is not read", "convert it to PNG or JPEG, or move it away"),
    ),
    # --- files -------------------------------------------------------------------------------------------------------
    **_codes(
        "error",
        ("file-unreadable", "the file is gone or may not be read", "restore it, or correct its mode: chmod u+r FILE"),
        ("file-empty", "the file has no bytes", "fetch it again"),
        ("file-truncated", "the file ends too early", "fetch it again"),
        ("file-damaged", "the content is damaged", "fetch it again"),
        ("not-an-image", "the content is no picture that can be read", "fetch it again, or convert it to PNG or JPEG"),
        ("file-too-large", "more bytes than --max-bytes; it was not read", "make sure that it is a picture, scale it"),
        (
            "too-many-pixels",
            "more pixels than --max-pixels; it was not decoded",
            "scale it down or cut it into tiles; a small file with so many pixels may be a decompression bomb",
        ),
    ),
    **_codes(
        "warning",
        ("jpeg-damaged", "the JPEG decoder complains, yet goes on", "look at it; parts may be grey or shifted"),
        ("wrong-extension", "the name's ending is not that of the content", "rename it"),
        ("multi-frame", "several frames or pages; only the first is used", "store each one as a file"),
    ),
    # --- names and pairs ---------------------------------------------------------------------------------------------
    **_codes(
        "error",
        ("name-duplicate", "another file differs only in its ending", "delete or rename one of them"),
        ("mask-missing", "the image has no mask", "add the mask, remove the image, or set data.suffix"),
        ("image-missing", "the mask has no image", "add the image, remove the mask, or set data.suffix"),
        ("size-mismatch", "image and mask differ in size", "find out which was scaled, and restore it"),
        (
            "exif-mismatch",
            "the mask fits only the image before its EXIF rotation",
            "turn the mask, or delete the orientation from the image: exiftool -Orientation= FILE",
        ),
    ),
    **_codes(
        "warning",
        ("name-case", "another name differs only in upper and lower case", "rename one: other systems confuse them"),
        ("name-unprintable", "control characters, or blanks at an end of the name", "rename it"),
        ("name-non-ascii", "letters that other systems may encode differently", "rename it if the data will travel"),
    ),
    # --- images ------------------------------------------------------------------------------------------------------
    **_codes(
        "warning",
        ("image-rotated", "EXIF turns or mirrors the image", "store it upright, so that every program agrees"),
        ("image-grey", "a grey image; its values are repeated for R, G and B", "nothing, if all images are grey"),
        ("image-alpha", "transparency, which is dropped", "blend the image with its background, store it as RGB"),
        ("image-16bit", "16 bits per value, of which the upper 8 are kept", "scale to 8 bits, lest it be nearly black"),
        ("image-cmyk", "CMYK, which converts to RGB only roughly", "convert it to RGB with its colour profile"),
        ("image-narrow", "one side is more than ten times the other", "cut it into pieces"),
    ),
    # --- masks -------------------------------------------------------------------------------------------------------
    **_codes(
        "error",
        ("labels-shifted", "ids and class list are off by one", "do what the detail says"),
        ("mask-lossy", "a JPEG, whose compression changes labels", "export the mask anew as PNG"),
        (
            "mask-blended",
            "borders hold mixtures of labels: it was scaled or drawn smoothly, or was a JPEG once",
            "export the mask anew, without anti-aliasing and scaled with nearest neighbour",
        ),
        (
            "mask-colors",
            "colours where indices are expected",
            "data.name=folder data.colors=colors.csv with the colour table, or store indices (segfit data convert)",
        ),
        ("mask-indices", "indices where colours are expected", "leave out data.colors, and set data.classes"),
        ("mask-unknown-ids", "label ids that are neither a class nor ignored", "correct the mask or the class list"),
        ("mask-unknown-colors", "colours that are not in the colour table", "add them to the table or correct them"),
        (
            "mask-binary",
            "only 0 and 255, and 255 is no class",
            "store 0 and 1, or data.name=folder data.colors=colors.csv with the rows 0,0,0,NAME and 255,255,255,NAME",
        ),
        (
            "mask-palette-varies",
            "the palette numbers the colours otherwise than in other masks",
            "the colours are the labels: data.name=folder data.colors=colors.csv, or store indices",
        ),
    ),
    **_codes(
        "warning",
        ("mask-ignored", "every pixel is ignored; nothing is learnt from it", "annotate it or remove the pair"),
    ),
    # --- duplicates --------------------------------------------------------------------------------------------------
    **_codes(
        "error",
        ("duplicate-leak", "the same image is in another split: scores are too good", "remove it from one split"),
        ("duplicate-conflict", "the same image is there with another mask", "keep the right one"),
    ),
    **_codes(
        "warning",
        ("duplicate", "the same image is in the split twice", "remove one"),
        ("near-duplicate", "nearly the same image is in the split", "thin them out: segfit data select"),
        (
            "near-duplicate-leak",
            "nearly the same image is in another split: scores are too good",
            "keep the frames of a video, or the photos of a scene, in one split",
        ),
    ),
}
"""Every code by name, grouped by what it is about."""
