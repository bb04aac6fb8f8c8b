"""The command line: verbs, thin. Everything heavy is imported inside them, so that ``--help`` answers at once."""

import os
import sys

import click

from segfit import __version__
from segfit.cli.data import data
from segfit.cli.plan import plan
from segfit.cli.recipes import classes, recipe
from segfit.cli.runs import compare, evaluate, predict, report, score, submit
from segfit.cli.soup import soup
from segfit.cli.training import study, train
from segfit.errors import Interrupted, UserError

__all__ = ["main", "run_command"]


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """Run one command and return its exit code; wrong input ends in one line on stderr and 2.

    Args:
        arguments: the words after ``segfit``.
    """
    try:
        result = app(arguments, prog_name="segfit", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.Abort:
        return 130
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except (click.ClickException, UserError, OSError) as error:
        return _fail(error.format_message() if isinstance(error, click.ClickException) else str(error), 2)
    except Interrupted as error:
        return _fail(str(error), 128 + error.number)
    except (MemoryError, RuntimeError) as error:
        reason = _failure(error)
        if reason is None:
            raise
        return _fail(reason, 1)


def _failure(error: Exception) -> str | None:
    """Return what to say of a failure that is not our own bug; None if it is."""
    from segfit.training.memory import is_out_of_memory

    if is_out_of_memory(error):
        return (
            "out of memory: set train.fit to the memory that there is, train.checkpointing=blocks or a higher "
            "train.accumulate; where it happened in scoring, evaluate.batch=1 or evaluate.window=sliding"
        )
    text = str(error).lower()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and ("gloo" in text or "nccl" in text or "connection" in text):
        return "another rank ended; see what it said"
    return None


def _fail(message: str, code: int) -> int:
    rank = os.environ.get("RANK", "0")
    speaker = "segfit" if rank == "0" else f"segfit, rank {rank}"
    click.echo(f"{speaker}: {' '.join(message.split())}", err=True)
    return code


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="segfit", message="%(prog)s %(version)s")
def app() -> None:
    """Fit segmentation models to the hardware you have, and learn which one to keep."""


for _verb in (train, study, plan, evaluate, compare, report, soup, predict, submit, score, classes, recipe, data):
    app.add_command(_verb)
