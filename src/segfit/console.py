"""What people see on stderr while they wait."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

__all__ = ["own_stderr", "waiting"]


@contextmanager
def own_stderr() -> Iterator[TextIO]:
    """Give a stream to where stderr leads now, whatever becomes of stderr itself.

    The picture decoders turn the process's stderr away while they work (`segfit.data.stderr`); what is shown meanwhile
    needs a way of its own.
    """
    try:
        handle = os.dup(sys.stderr.fileno())
    except (OSError, ValueError):  # not a file, as in a notebook: nothing turns it away
        yield sys.stderr
        return
    with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as stream:
        yield stream


@contextmanager
def waiting(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar that the given function moves to (done, total); without a terminal, print one line.

    The line comes with the first progress, so that what is refused at once is not announced.
    """
    if not sys.stderr.isatty():
        yield _said_once(label)
        return
    from rich.console import Console
    from rich.progress import Progress

    with own_stderr() as stream, Progress(console=Console(file=stream), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _said_once(label: str) -> Callable[[int, int], None]:
    said = False

    def say(_done: int, _total: int) -> None:
        nonlocal said
        if not said:
            print(f"{label} ...", file=sys.stderr, flush=True)
            said = True

    return say
