"""Folders that are written whole or not at all, by one process at a time, and only where there is room for them."""

import contextlib
import importlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segfit.errors import DataError
from segfit.units import memory

__all__ = [
    "cache_folder",
    "folder_in_place",
    "free_space",
    "lock_of",
    "one_at_a_time",
    "require_room",
    "writable_parent",
]

# Elsewhere than on POSIX systems nobody is kept out.
fcntl: Any = importlib.import_module("fcntl") if os.name == "posix" else None

SPARE = 64 * 2**20
"""Bytes that stay free: a disk filled to its last byte harms everything else on it."""


def cache_folder() -> Path:
    """Return the folder for what can be made again, in the user's cache (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "segfit"


def free_space(folder: Path) -> int:
    """Return the bytes that may be written to the disk of `folder`, which need not exist yet."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return max(0, shutil.disk_usage(there).free - SPARE)


def require_room(
    folder: Path, needed: int, purpose: str, *, mend: str = "delete something or choose a folder on another disk"
) -> None:
    """Raise unless the disk of `folder`, which need not exist yet, has room for `needed` bytes.

    Raises:
        DataError: it has not; the message names what is needed and what is there.
    """
    free = free_space(folder)
    if free < needed:
        raise DataError(
            f"{folder}: {purpose} needs {memory(needed)} of disk space, {memory(free)} are free, "
            f"{memory(needed - free)} too little: {mend}"
        )


@contextlib.contextmanager
def one_at_a_time(target: Path, *, wait: bool) -> Iterator[None]:
    """Keep other processes from writing `target` until the block ends.

    The lock is a file beside the target (`lock_of`), held by the system: it falls with the process, however that ends.

    Args:
        target: file or folder that is about to be written.
        wait: wait for the other process; else refuse.

    Raises:
        DataError: another process writes it, and `wait` is off.
    """
    if fcntl is None:
        yield
        return
    writable_parent(target)
    lock = lock_of(target)
    handle = _locked(lock, wait)
    if handle is None:
        raise DataError(f"{target}: another process is writing it: wait until that has ended")
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(handle)


def lock_of(target: Path) -> Path:
    """Return the file that is locked while `target` is written: ``.NAME.lock`` beside it."""
    target = target.absolute()  # the current folder's relative path has no name
    return target.parent / f".{target.name}.lock"


@contextlib.contextmanager
def folder_in_place(target: Path) -> Iterator[Path]:
    """Give an empty folder beside `target` that takes its place when the block ends well, and vanishes when not.

    What a killed process left of an earlier attempt is deleted first, so this belongs inside `one_at_a_time`.

    Args:
        target: folder that does not exist yet, or is empty.
    """
    temporary = writable_parent(target) / f".{target.absolute().name}.unfinished"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        if target.is_dir():
            target.rmdir()
        temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def writable_parent(target: Path) -> Path:
    """Return the folder that `target` lies in; create it if it does not exist.

    Raises:
        DataError: it cannot be created or written.
    """
    parent = target.absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{parent}: cannot be created: {error.strerror}") from None
    if not os.access(parent, os.W_OK | os.X_OK):
        raise DataError(f"{parent}: cannot be written: correct its permissions or choose another folder")
    return parent


def _locked(lock: Path, wait: bool) -> int | None:
    """Return the handle of the locked file; None if another process holds it and `wait` is off."""
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(handle)
            return None
        # The former holder deletes the file: a lock on what no longer has a name would keep nobody out.
        with contextlib.suppress(FileNotFoundError):
            if os.stat(lock).st_ino == os.fstat(handle).st_ino:  # noqa: PTH116 (both of the same kind)
                return handle
        os.close(handle)
