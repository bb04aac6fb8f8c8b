"""The parquet files of a Hugging Face dataset repository, through the library ``huggingface_hub``.

The library knows the hub's address, tokens and caches (``HF_ENDPOINT``, ``HF_TOKEN``, …), resumes, and speaks the
hub's own transfer protocol. Which files are wanted, room, checksums and the folder's integrity are decided here.
"""

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from segfit.curation.download.dataset import Downloaded, require_new
from segfit.data.disk import folder_in_place, one_at_a_time, require_room, writable_parent
from segfit.data.hub import CLASS_FILES, split_of
from segfit.errors import DataError, did_you_mean
from segfit.units import memory

__all__ = ["download_repository"]

USUAL = (".", "data")
"""Folders of a repository in which the parquet files are looked for first."""


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A file of the repository.

    Attributes:
        path: in the repository.
        size: bytes.
        sha256: where the hub knows it; None for small files.
    """

    path: PurePosixPath
    size: int
    sha256: str | None


def download_repository(
    repository: str,
    out: Path,
    *,
    revision: str | None = None,
    splits: Sequence[str] = (),
    folder: str | None = None,
    endpoint: str | None = None,
    notice: Callable[[str], None] = lambda _text: None,
) -> Downloaded:
    """Download the parquet files of a dataset repository, as ``data.name=hub`` reads them.

    What has arrived stays in ``OUT.part`` until everything is there; a second call goes on there.

    Args:
        repository: ``owner/name``.
        out: the dataset's folder, which must not have anything in it.
        revision: branch, tag or commit; default: the main branch.
        splits: only these; default: all.
        folder: of the repository, where its parquet files lie in several (one per configuration).
        endpoint: address of the hub; default: what ``HF_ENDPOINT`` says.
        notice: called with one line when the download begins.

    Raises:
        DataError: the library is missing, there is no such repository, split or folder, no room, or the download
            failed.
    """
    out = require_new(out)
    partial = writable_parent(out) / f"{out.name}.part"
    with one_at_a_time(out, wait=False):
        with _explained(repository):
            api, files, commit = _listed(repository, revision, endpoint)
        wanted = _wanted(repository, files, folder, splits)
        total = sum(file.size for file in wanted)
        require_room(out, total - _arrived(partial, wanted), f"downloading {repository}")
        # The library draws its own bars, one per file.
        notice(f"downloading {len(wanted)} files of {repository}, {memory(total)}")
        with _explained(repository):
            for file in wanted:
                api.hf_hub_download(repository, str(file.path), repo_type="dataset", revision=commit, local_dir=partial)
        for file in wanted:
            _verify(partial / file.path, file)
        _move(partial, out, wanted)
    return Downloaded(root=out, files=len(wanted), size=total)


def _arrived(partial: Path, files: Sequence[Remote]) -> int:
    """Return how many bytes of `files` an earlier call left in `partial`, at most all of them."""
    whole = [(partial / file.path, file.size) for file in files]
    begun = sum(path.stat().st_size for path in partial.rglob("*.incomplete"))
    arrived = begun + sum(min(path.stat().st_size, size) for path, size in whole if path.is_file())
    return min(arrived, sum(file.size for file in files))


def _move(partial: Path, out: Path, files: Sequence[Remote]) -> None:
    """Put the complete files into `out`, where they are expected; if that fails, they stay in `partial`."""
    require_new(out)  # a download takes long enough for something to come there
    with folder_in_place(out) as folder:
        for file in files:
            place = folder / file.path if str(file.path.parent) in USUAL else folder / file.path.name
            place.parent.mkdir(exist_ok=True)
            _link(partial / file.path, place)
    shutil.rmtree(partial)


def _link(file: Path, place: Path) -> None:
    """Let a file be in another place, too; only there where the disk has no hard links."""
    try:
        place.hardlink_to(file)
    except OSError:
        file.rename(place)


def _listed(repository: str, revision: str | None, endpoint: str | None) -> tuple[Any, list[Remote], str]:
    """Return the library's client, the repository's files, and the commit that `revision` means."""
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint, library_name="segfit")
    info = api.dataset_info(repository, revision=revision, files_metadata=True)
    files = []
    for sibling in info.siblings or []:
        path = PurePosixPath(sibling.rfilename)
        if path.is_absolute() or ".." in path.parts or "\\" in sibling.rfilename:
            raise DataError(f"{repository}: has a file {sibling.rfilename!r}, which leads out of the folder")
        files.append(Remote(path=path, size=sibling.size or 0, sha256=sibling.lfs.sha256 if sibling.lfs else None))
    if info.sha is None:
        raise DataError(f"{repository}: the hub names no commit: try again")
    return api, files, info.sha


def _wanted(repository: str, files: list[Remote], folder: str | None, splits: Sequence[str]) -> list[Remote]:
    """Return the parquet files of one folder and the files with class names."""
    parquet = [file for file in files if file.path.suffix == ".parquet"]
    folders = sorted({str(file.path.parent) for file in parquet})
    if not folders:
        raise DataError(f"{repository}: no .parquet files there: download it by other means and convert it")
    chosen = folder or next((name for name in (*USUAL, *folders[: len(folders) == 1]) if name in folders), None)
    if chosen is None:
        raise DataError(f"{repository}: parquet files in {', '.join(folders)}: choose one with --folder")
    parquet = [file for file in parquet if str(file.path.parent) == chosen.rstrip("/")]
    if not parquet:
        raise DataError(f"{repository}: no parquet files in the folder {chosen!r}{did_you_mean(chosen, folders)}")
    known = {split_of(file.path.name) for file in parquet}
    for split in splits:
        if split not in known:
            raise DataError(f"{repository}: no split {split!r}{did_you_mean(split, known)}")
    names = [file for file in files if file.path.name in CLASS_FILES and len(file.path.parts) == 1]
    return [file for file in parquet if not splits or split_of(file.path.name) in splits] + names


@contextmanager
def _explained(repository: str) -> Iterator[None]:
    """Turn what the library raises into one line."""
    try:
        from huggingface_hub import errors
    except ImportError:
        raise DataError("downloading from the hub needs another library: pip install 'segfit[hub]'") from None
    try:
        yield
    except errors.GatedRepoError:
        raise DataError(
            f"{repository}: its owner grants access on request: ask for it on its page, then set HF_TOKEN"
        ) from None
    except errors.RevisionNotFoundError:
        raise DataError(f"{repository}: no such revision: correct --revision") from None
    except errors.RepositoryNotFoundError:
        raise DataError(f"{repository}: no such dataset repository, or a private one that HF_TOKEN opens") from None
    except errors.HFValidationError as error:
        raise DataError(f"{repository}: not a repository, which is written owner/name: {error}") from None
    except (vars(errors)["HTTPError"], OSError) as error:  # the base of the HTTP library beneath, whichever it is
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{repository}: the download failed ({reason}): the same command goes on where it ended"
        ) from None


def _verify(path: Path, file: Remote) -> None:
    """Delete the file and raise unless it has the size and the checksum that the hub announced."""
    with path.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest() if file.sha256 is not None else None
    if path.stat().st_size != file.size or digest != file.sha256:
        path.unlink()
        raise DataError(f"{file.path}: came damaged and was deleted: the same command fetches it again")
