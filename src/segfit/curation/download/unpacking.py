"""Zip archives from strangers: every member is judged by its name, kind and size before the first byte is written.

What is refused: names that lead out of the folder or mean different files on different systems (CWE-22; two names that
differ in case only), links and devices, encryption, and sizes that no archive of images has (CWE-409; D. Fifield, "A
better zip bomb", WOOT 2019, shows why overlapping members must count as well as high ratios).
"""

import hashlib
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from segfit.curation.download.transfer import Progress
from segfit.data.disk import folder_in_place, require_room
from segfit.errors import DataError

__all__ = ["Contents", "RefusedError", "inspect", "require_checksum", "unpack"]

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

RATIO = 20
"""An archive of images, which are compressed already, does not grow by more than this."""

LEEWAY = 64 * 2**20
"""Bytes that any archive may have."""

LARGEST = 2**30
"""Bytes of the largest member."""

BLOCK = 2**18
CLUSTER = 4096
"""Bytes by which a file may take more room on the disk than it has."""

FOREIGN = "__MACOSX"
"""Folder in which macOS adds its own notes to an archive."""

ENCRYPTED = 0x1
BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, ValueError)
"""What `zipfile` raises on archives that are damaged."""


class RefusedError(DataError):
    """The archive itself is of no use: another attempt with the same file ends the same way."""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What an archive holds.

    Attributes:
        files: members with the paths that they get; one folder that holds everything is left out of the paths.
        size: bytes of all files.
    """

    files: tuple[tuple[zipfile.ZipInfo, PurePosixPath], ...]
    size: int


def inspect(archive: Path) -> Contents:
    """Return what is in `archive` after judging every member.

    Raises:
        RefusedError: it is no complete zip archive, or a member is refused; the message names it and says why.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [info for info in opened.infolist() if PurePosixPath(info.filename).parts[:1] != (FOREIGN,)]
    except OSError as error:
        raise DataError(f"{archive}: cannot be read: {error.strerror}") from None
    except BROKEN as error:
        raise RefusedError(f"{archive}: truncated, damaged or not a zip archive ({error}): fetch it again") from None
    taken: dict[str, str] = {}
    for info in members:
        reason = _objection(info) or _collision(info, taken)
        if reason:
            raise RefusedError(f"{archive}: member {info.orig_filename!r} {reason}: nothing was unpacked")
    files = [info for info in members if not info.is_dir()]
    if not files:
        raise RefusedError(f"{archive}: the archive has no files in it")
    size, packed = sum(info.file_size for info in files), sum(info.compress_size for info in files)
    length = archive.stat().st_size
    if size > LEEWAY + RATIO * length or packed > length:
        raise RefusedError(
            f"{archive}: {length:,} bytes claim to hold {size:,}: a zip bomb, not an archive of images; nothing was "
            "unpacked"
        )
    paths = [PurePosixPath(info.filename) for info in files]
    top = len({path.parts[0] for path in paths}) == 1 and all(len(path.parts) > 1 for path in paths)
    return Contents(
        files=tuple((info, PurePosixPath(*path.parts[top:])) for info, path in zip(files, paths, strict=True)),
        size=size,
    )


def unpack(archive: Path, out: Path, *, progress: Progress = lambda _done, _total: None) -> Contents:
    """Unpack a zip archive into the folder `out`, which is there at the end with all files, or not at all.

    Args:
        archive: the zip.
        out: folder that does not exist yet, or is empty; nobody else must write it meanwhile (`one_at_a_time`).
        progress: called with (bytes done, bytes in all).

    Raises:
        RefusedError: as `inspect`, or a member's bytes are not those that the archive promises.
        DataError: no room on the disk.
    """
    contents = inspect(archive)
    require_room(out, contents.size + CLUSTER * len(contents.files), f"unpacking {archive.name}")
    done = 0
    with folder_in_place(out) as folder, zipfile.ZipFile(archive) as opened:
        for info, path in contents.files:
            try:
                _copy(opened, info, folder / path)
            except BROKEN as error:
                reason = f"is damaged ({error}): fetch the archive again"
                raise RefusedError(f"{archive}: member {info.filename!r} {reason}") from None
            except OSError as error:
                raise DataError(f"{out / path}: cannot be written: {error.strerror}: nothing was unpacked") from None
            done += info.file_size
            progress(done, contents.size)
    return contents


def require_checksum(archive: Path, checksum: str, *, progress: Progress = lambda _done, _total: None) -> None:
    """Raise unless the file has the checksum ``algorithm:hexadecimal``.

    Raises:
        RefusedError: it has another one.
        DataError: it cannot be read.
    """
    algorithm, _, wanted = checksum.partition(":")
    digest, done = hashlib.new(algorithm, usedforsecurity=False), 0
    try:
        total = archive.stat().st_size
        with archive.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
                done += len(block)
                progress(done, total)
    except OSError as error:
        raise DataError(f"{archive}: cannot be read: {error.strerror}") from None
    if digest.hexdigest() != wanted.lower():
        raise RefusedError(
            f"{archive}: {algorithm} {digest.hexdigest()} instead of {wanted}: not the file that is wanted: fetch it "
            "again, or give the SHA-256 of another edition with --sha256"
        )


def _copy(opened: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> None:
    """Write one member; its CRC is checked on the way, and it never gets longer than the archive says."""
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with opened.open(info) as member, target.open("xb") as file:
        while block := member.read(BLOCK):
            written += len(block)
            file.write(block)
    if written != info.file_size:
        raise zipfile.BadZipFile(f"{written:,} bytes instead of {info.file_size:,}")


# --- what is refused -------------------------------------------------------------------------------------------------


def _objection(info: zipfile.ZipInfo) -> str | None:
    """Return why a member cannot be unpacked; None if it can."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if info.flag_bits & ENCRYPTED:
        return "is encrypted"
    if info.compress_type not in METHODS:
        return f"is compressed by method {info.compress_type}, which is not deflate"
    if info.file_size > LARGEST:
        return f"claims {info.file_size:,} bytes, more than any image has"
    return _bad_name(info.orig_filename)


def _bad_name(name: str) -> str | None:
    if name.startswith("/") or "\\" in name or re.match(r"[A-Za-z]:", name):
        return "is not a relative path"
    if any(part in ("", ".", "..") for part in name.removesuffix("/").split("/")):
        return "leads out of the folder, or has empty parts"
    if not name.isprintable():
        return "has control characters in its name"
    return None


def _collision(info: zipfile.ZipInfo, taken: dict[str, str]) -> str | None:
    """Return why the name of a member would meet another one's where case does not count; note it in `taken`.

    Args:
        info: the member.
        taken: by folded path, the spelling of every file and, with a slash at its end, every folder so far.
    """
    *folders, last = PurePosixPath(info.filename).parts
    path = ""
    for step in (*(f"{folder}/" for folder in folders), f"{last}/" if info.is_dir() else last):
        path += step
        folded = unicodedata.normalize("NFC", path).casefold().rstrip("/")
        known = taken.get(folded)
        if known is not None and (known != path or not path.endswith("/")):
            return f"has the same name as {known!r} where case does not count"
        taken[folded] = path
    return None
