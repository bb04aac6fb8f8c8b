"""Errors that are the user's to mend; the command line prints them as one line and exits with 2."""

import difflib
import signal
from collections.abc import Iterable

__all__ = ["DataError", "Interrupted", "RecipeError", "RunError", "SubmissionError", "UserError", "did_you_mean"]


class UserError(ValueError):
    """Something the user gave is wrong; the message says what, where and how to mend it."""


class RecipeError(UserError):
    """A recipe, a study or an override is wrong."""


class DataError(UserError):
    """A dataset, an image or a mask is missing or malformed."""


class RunError(UserError):
    """A run folder is missing, incomplete or does not fit what is asked of it."""


class SubmissionError(UserError):
    """A run-length-coded file is malformed or does not fit its images."""


class Interrupted(Exception):  # noqa: N818 (not an error: the user asked for it)
    """The run was asked to stop and has saved a checkpoint.

    Attributes:
        number: the signal; the process should exit with 128 + `number`.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the closest known word, or the list of them.

    The result is meant to be put at the end of an error message.
    """
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f" (did you mean {close[0]!r}?)"
    return f" (known: {', '.join(known)})" if known else ""
