"""What the C libraries inside OpenCV say while they decode.

libjpeg goes on after damaged data and tells nobody but stderr. So stderr is read: whoever decodes inside `Overheard`
learns whether something was said meanwhile. Threads hear each other, so that what was heard is only a suspicion, to be
confirmed by decoding that file alone.
"""

import os
import tempfile
import threading
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["OVERHEARD", "Overheard", "decode"]


class Overheard:
    """Sends stderr to a file while any thread is inside.

    What Python itself writes to stderr meanwhile is lost, too, so nothing but one decoder call belongs inside.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._stderr: int | None = None
        self._file: int | None = None

    def said(self) -> int:
        """Return how many bytes have been said since the process began."""
        return 0 if self._file is None else os.fstat(self._file).st_size

    def since(self, start: int) -> str:
        """Return what was said after the first `start` bytes."""
        return "" if self._file is None else os.pread(self._file, 10_000, start).decode("utf-8", "replace")

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside > 1:
                return
            if self._file is None:
                with tempfile.TemporaryFile(buffering=0) as file:
                    self._file = os.dup(file.fileno())
            try:
                self._stderr = os.dup(2)
            except OSError:  # a daemon without stderr
                self._stderr = None
                return
            os.lseek(self._file, 0, os.SEEK_END)
            os.dup2(self._file, 2)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside and self._stderr is not None:
                os.dup2(self._stderr, 2)
                os.close(self._stderr)


OVERHEARD = Overheard()
"""The process has one stderr, so there is one of these."""


def decode(data: bytes, flags: int) -> NDArray[Any] | None:
    """Return what OpenCV makes of an encoded picture; None if it cannot decode it.

    Args:
        data: content of the file.
        flags: of ``cv2.imdecode``.
    """
    try:
        with OVERHEARD:
            decoded: NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
    return decoded
