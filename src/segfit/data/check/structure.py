"""What the bytes of a file say before anything is decoded: its format, whether it is whole, its header.

Every function is about one file in memory. A file that cannot be used raises `Unusable` with its code.
"""

import errno
import io
import os
import stat
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image as Pillow
from PIL import ImageFile

from segfit.data.decode import BROKEN

__all__ = [
    "ENDINGS",
    "LIMITS",
    "Header",
    "Limits",
    "Unusable",
    "identify",
    "read",
    "read_header",
    "require_whole",
    "stat_file",
]

ORIENTATION = 0x0112
"""The EXIF and TIFF tag that says how to turn a picture (1 = as stored)."""

BITS_PER_SAMPLE = 258

ENDINGS = {
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
"""The formats that segfit reads, and the endings that belong to them."""

SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"GIF8", "a GIF"),
    (b"8BPS", "a Photoshop file"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"%PDF", "a PDF"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF", "an HDF5 or MATLAB file"),
    (b"version https://git-lfs", "a Git LFS pointer: run git lfs pull"),
)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is never read or decoded.

    Attributes:
        pixels: most pixels of a picture, by its header.
        bytes: most bytes of a file.
    """

    pixels: int = 100_000_000
    bytes: int = 250_000_000


LIMITS = Limits()
"""What suits photographs on small machines."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a picture says about itself.

    Attributes:
        format: key of `ENDINGS`.
        width: as stored, before any rotation.
        height: likewise.
        mode: Pillow's name of the pixel format.
        depth: bits per value.
        frames: frames or pages.
        orientation: EXIF orientation, 1..8.
    """

    format: str
    width: int
    height: int
    mode: str
    depth: int
    frames: int
    orientation: int

    @property
    def turned(self) -> bool:
        """Whether the orientation swaps width and height."""
        return self.orientation >= 5


class Unusable(Exception):  # noqa: N818 (a finding, not a failure)
    """The file cannot be used, so nothing more can be said about it."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


# --- from disk -------------------------------------------------------------------------------------------------------


def stat_file(path: Path) -> os.stat_result:
    """Return the status of a file with at least one byte that may be read.

    Raises:
        Unusable: there is no such file.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise _unreachable(path, error) from None
    if not stat.S_ISREG(status.st_mode):
        raise Unusable("not-a-file", "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, socket or device")
    if not status.st_mode & 0o444:
        # The superuser may read it all the same, but whoever trains may not.
        raise Unusable("file-unreadable", f"nobody may read it (mode {stat.S_IMODE(status.st_mode):03o})")
    if not os.access(path, os.R_OK):
        raise Unusable("file-unreadable", "you may not read it")
    if status.st_size == 0:
        raise Unusable("file-empty", "0 bytes")
    return status


def read(path: Path, limits: Limits) -> bytes:
    """Return the content of a file.

    Raises:
        Unusable: it cannot be read, is empty or too large.
    """
    size = stat_file(path).st_size
    if size > limits.bytes:
        raise Unusable("file-too-large", f"{size:,} bytes (--max-bytes {limits.bytes:,})")
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreachable(path, error) from None


def _unreachable(path: Path, error: OSError) -> Unusable:
    if error.errno == errno.ELOOP:
        return Unusable("link-loop", f"points to {_target(path)}")
    if path.is_symlink() and error.errno == errno.ENOENT:
        return Unusable("link-broken", f"points to {_target(path)}")
    return Unusable("file-unreadable", error.strerror or str(error))


def _target(path: Path) -> str:
    return str(path.readlink() if path.is_symlink() else path)


# --- formats ---------------------------------------------------------------------------------------------------------


def identify(data: bytes) -> str:
    """Return the format of a file by its first bytes: a key of `ENDINGS`.

    Raises:
        Unusable: it is something else; the detail says what, if that is known.
    """
    kind = next((kind for start, kind in SIGNATURES if data.startswith(start)), None)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kind = "WEBP"
    elif data[4:8] == b"ftyp":
        kind = "an AVIF" if data[8:12] in (b"avif", b"avis") else "a HEIC picture or a video"
    elif kind is None and data[:200].lstrip()[:1] == b"<":
        kind = "a page of text (HTML or XML), perhaps a download's error message"
    if kind not in ENDINGS:
        raise Unusable("not-an-image", kind or f"begins with {data[:8]!r}")
    return kind


def read_header(data: bytes, kind: str) -> Header:
    """Return what the header says; `kind` as `identify` returns it.

    Raises:
        Unusable: the header is damaged.
    """
    if kind not in Pillow.OPEN:
        Pillow.init()
    try:
        # Not Pillow.open, which judges the number of pixels by a limit of its own.
        with Pillow.OPEN[kind][0](io.BytesIO(data), "") as picture:
            return Header(
                format=kind,
                width=picture.width,
                height=picture.height,
                mode=picture.mode,
                depth=_depth(data, kind, picture),
                frames=getattr(picture, "n_frames", 1) if kind != "JPEG" else 1,
                orientation=_orientation(picture),
            )
    except (*BROKEN, KeyError, TypeError, IndexError) as error:
        raise Unusable("file-damaged", f"its header: {error}") from None


def _depth(data: bytes, kind: str, picture: ImageFile.ImageFile) -> int:
    if kind == "PNG":
        return data[24]  # in the header chunk, which comes first
    tags: Any = getattr(picture, "tag_v2", None)
    if tags is not None:
        bits = tags.get(BITS_PER_SAMPLE, (8,))
        return int(max(bits))
    return 8


def _orientation(picture: ImageFile.ImageFile) -> int:
    # Of a PNG, getexif would decode the pixels to look behind them.
    if picture.format == "PNG" and "exif" not in picture.info:
        return 1
    value = picture.getexif().get(ORIENTATION, 1)
    return value if value in range(1, 9) else 1


# --- whole or not ----------------------------------------------------------------------------------------------------


def require_whole(data: bytes, kind: str) -> None:
    """Raise unless the file is there from its first to its last byte, as far as its format tells.

    Raises:
        Unusable: it is truncated or damaged.
    """
    if kind == "PNG":
        _require_chunks(data)
    elif kind == "JPEG":
        _require_segments(data)
    elif kind == "WEBP" and len(data) < 8 + int.from_bytes(data[4:8], "little"):
        raise Unusable("file-truncated", f"{len(data):,} of {8 + int.from_bytes(data[4:8], 'little'):,} bytes")
    elif kind in ("BMP", "TIFF"):
        _require_loadable(data, kind)


def _require_chunks(data: bytes) -> None:
    """Walk over the chunks of a PNG, each with a length and a checksum, up to the end chunk."""
    view, position = memoryview(data), 8
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 12 + length
        if end > len(data):
            break
        kind = data[position + 4 : position + 8]
        # Small letters mark chunks that a picture can do without; decoders pass over their errors.
        if kind[:1].isupper() and zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(view[end - 4 : end]):
            raise Unusable("file-damaged", f"wrong checksum of the chunk {kind.decode('latin-1')} at byte {position:,}")
        if kind == b"IEND":
            return
        position = end
    raise Unusable("file-truncated", f"the PNG ends at byte {len(data):,}, before its end chunk")


def _require_segments(data: bytes) -> None:
    """Walk over the segments of a JPEG up to its pixels, and look for the end marker behind their start."""
    # An embedded preview has an end marker, too, but lies in a segment. Among the pixels, none can occur by chance.
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            raise Unusable("file-damaged", f"no JPEG marker at byte {position:,}")
        if data[position + 1] == 0xFF:
            position += 1
        elif data[position + 1] == 0xDA:
            if data.find(b"\xff\xd9", position) < 0:
                break
            return
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4])
    raise Unusable("file-truncated", f"the JPEG ends at byte {len(data):,}, before its end marker")


def _require_loadable(data: bytes, kind: str) -> None:
    """Decode formats that have no checksums and no end marker with Pillow, which is strict."""
    try:
        with Pillow.OPEN[kind][0](io.BytesIO(data), "") as picture:
            picture.load()
    except BROKEN as error:
        truncated = "truncated" in str(error) or isinstance(error, EOFError)
        raise Unusable("file-truncated" if truncated else "file-damaged", str(error)) from None
