"""Ctrl-C and SIGTERM end a run at the next step with a checkpoint, never in the middle of one."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from segfit.errors import Interrupted

__all__ = ["StopSignal"]


class StopSignal:
    """While entered, remembers the first SIGINT or SIGTERM; a second one acts as if nobody listened."""

    def __init__(self) -> None:
        self.number = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        # Only the main thread may set handlers; a run inside another thread is stopped by its owner.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._restore()

    def _remember(self, number: int, _frame: FrameType | None) -> None:
        self.number = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def check(self) -> None:
        """Raise `Interrupted` if a signal came."""
        if self.number:
            raise Interrupted(self.number)
