"""From the name of a published archive to a dataset's folder: room, download, checksum, unpacking, in this order."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from segfit.console import waiting
from segfit.curation.download.archives import Archive
from segfit.curation.download.transfer import Part, fetch
from segfit.curation.download.unpacking import Contents, RefusedError, require_checksum, unpack
from segfit.data.disk import one_at_a_time, require_room, writable_parent
from segfit.errors import DataError

__all__ = ["Downloaded", "download_archive", "require_new"]

GROWTH = 1.1
"""What unpacked images take on the disk, as a multiple of their archive, until its directory can be read."""


@dataclass(frozen=True, kw_only=True)
class Downloaded:
    """A dataset that is there.

    Attributes:
        root: its folder.
        files: number of its files.
        size: bytes of its files.
        archive: the zip, if it was kept; else None.
    """

    root: Path
    files: int
    size: int
    archive: Path | None = None


def download_archive(
    archive: Archive,
    out: Path,
    *,
    url: str | None = None,
    given: Path | None = None,
    sha256: str | None = None,
    keep: bool = False,
    notice: Callable[[str], None] = lambda _text: None,
) -> Downloaded:
    """Download and unpack a published archive.

    What has arrived stays in ``OUT.zip.part`` until the dataset is complete; a second call goes on there. If
    ``OUT.zip`` is there, it is used instead of a download.

    Args:
        archive: which one.
        out: the dataset's folder, which must not have anything in it.
        url: a mirror; default: the publisher's address.
        given: a zip that is already here, instead of a download.
        sha256: what the zip must have in place of the published checksum and size.
        keep: keep the zip as ``OUT.zip``.
        notice: called with one line whenever the connection fails and is tried again, and like events.

    Raises:
        DataError: see `fetch`, `require_checksum` and `unpack`; or there is something in `out`.
    """
    out = require_new(out)
    target = writable_parent(out) / f"{out.name}.zip"
    checksum = archive.checksum if sha256 is None else f"sha256:{sha256}"
    size = archive.size if sha256 is None else None
    with one_at_a_time(out, wait=False):
        if given is None and target.is_file():
            notice(f"{target} is used instead of a download")
            given = target
        if given is not None:
            contents = _unpacked(given, out, checksum)
            return Downloaded(root=out, files=len(contents.files), size=contents.size, archive=given)
        part = _fetched(url or archive.url, target, size, notice)
        try:
            contents = _unpacked(part.path, out, checksum)
        except RefusedError:
            part.forget()
            raise
        if keep:
            part.keep()
        else:
            part.forget()
    return Downloaded(root=out, files=len(contents.files), size=contents.size, archive=target if keep else None)


def require_new(out: Path) -> Path:
    """Return the absolute path of a folder that does not exist yet, or is empty.

    Raises:
        DataError: there is something in it, or it is no folder.
    """
    out = out.expanduser().resolve()
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file, not a folder: choose another name")
    if out.is_dir() and any(out.iterdir()):
        raise DataError(f"{out}: there is something in this folder: delete it or choose another one")
    return out


def _fetched(url: str, target: Path, size: int | None, notice: Callable[[str], None]) -> Part:
    """Return the downloaded zip under its provisional name."""

    def accept(missing: int, total: int) -> None:
        require_room(target, missing + round(GROWTH * total), "downloading and unpacking it")

    if size is not None:
        accept(size - Part(target, url).size, size)
    with waiting(f"downloading {url}") as progress:
        return fetch(url, target, size=size, accept=accept, progress=progress, notice=notice)


def _unpacked(archive: Path, out: Path, checksum: str) -> Contents:
    """Check the zip and unpack it."""
    with waiting(f"checking {archive.name}") as progress:
        require_checksum(archive, checksum, progress=progress)
    with waiting(f"unpacking into {out}") as progress:
        return unpack(archive, out, progress=progress)
