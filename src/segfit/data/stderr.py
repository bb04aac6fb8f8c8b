"""What the C libraries inside OpenCV say while they decode.

libjpeg and libpng print a line without a file name for damaged files, go on, and tell nobody but stderr. So stderr is
turned away while they decode; and whoever `listens` learns whether something was said. Threads hear each other, so that
what was heard is only a suspicion, to be confirmed by decoding that file alone.
"""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["STDERR", "Stderr", "decode"]


class Stderr:
    """The process's stderr, turned away while any thread is inside; nothing else than decoding belongs there.

    What Python itself writes to stderr meanwhile is lost, too.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._own: int | None = None
        self._heard: int | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Keep what is said, for `said` and `since`, until the block ends."""
        with tempfile.TemporaryFile(buffering=0) as file:
            self._heard = file.fileno()
            try:
                yield
            finally:
                self._heard = None

    def said(self) -> int:
        """Return how many bytes have been said since the listening began; 0 where nobody listens."""
        return 0 if self._heard is None else os.fstat(self._heard).st_size

    def since(self, start: int) -> str:
        """Return what was said after the first `start` bytes; nothing where nobody listens."""
        return "" if self._heard is None else os.pread(self._heard, 10_000, start).decode("utf-8", "replace")

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside > 1:
                return
            try:
                self._own = os.dup(2)
            except OSError:  # a daemon without stderr
                self._own = None
                return
            if self._heard is not None:
                os.lseek(self._heard, 0, os.SEEK_END)
                os.dup2(self._heard, 2)
            else:
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, 2)
                os.close(nowhere)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside and self._own is not None:
                os.dup2(self._own, 2)
                os.close(self._own)


STDERR = Stderr()
"""The process has one stderr, so there is one of these: two would lose it."""


def decode(data: bytes, flags: int) -> NDArray[Any] | None:
    """Return what OpenCV makes of an encoded picture, without a word on stderr; None if it cannot decode it.

    Args:
        data: content of the file.
        flags: of ``cv2.imdecode``.
    """
    try:
        with STDERR:
            decoded: NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
    return decoded
