"""How to run it again: the exact commands, and what they ran on."""

from segfit.comparison.analysis import Analysis
from segfit.comparison.facts import RunFacts
from segfit.report.blocks import Block, Command, Commands, Fold, Section

__all__ = ["again"]

OPENED = 6
"""The commands of more runs are folded away."""


def again(analysis: Analysis) -> Section:
    """Return the command of every run with its seed, data and environment."""
    group = analysis.group
    commands = Commands(
        tuple(
            Command(title=row.name, command="\n".join(run.commands), remark=_remark(run), run=row.number)
            for row, run in zip(group.rows, group.runs, strict=True)
        )
    )
    blocks: list[Block] = [commands]
    if len(group.rows) > OPENED:
        blocks = [Fold(summary=f"The commands of {len(group.rows)} runs", blocks=(commands,))]
    return Section(name="again", title="How to run it again", blocks=blocks)


def _remark(run: RunFacts) -> str:
    here = run.environment
    commit = f", commit {here.git}" if here.git else ""
    return " \N{MIDDLE DOT} ".join(
        (
            f"Seed {run.recipe.train.seed}",
            f"{here.dataset.training:,} training and {here.dataset.validation:,} validation images, "
            f"fingerprint {here.dataset.fingerprint}",
            f"{run.hardware}, {here.cores} cores",
            f"segfit {here.segfit}, torch {here.torch}, Python {here.python}{commit}",
            here.platform,
            f"started {here.started}",
        )
    )
