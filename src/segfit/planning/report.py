"""Plans for the terminal."""

from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from segfit import units
from segfit.planning.fit import MOST_AT_ONCE, Option
from segfit.planning.plan import Plan, per_rank

__all__ = ["PlanTable"]

DASH = "\N{EN DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"

NARROW = 99
"""Columns below which the table has neither precision nor bars."""


class PlanTable:
    """Shows plans in a terminal: what each recipe takes, of what it consists, and what would make it smaller.

    Args:
        plans: at least one, all for the same device.
    """

    def __init__(self, plans: Sequence[Plan]) -> None:
        self.plans = plans

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the parts, an empty line between them."""
        for part in self._parts(options.max_width < NARROW):
            yield part
            yield Text()

    def _parts(self, narrow: bool) -> Iterator[RenderableType]:
        yield self._device()
        yield self._overview(narrow)
        yield self._memory()
        yield from self._taken()
        yield from self._offers(narrow)
        yield self._notes(narrow)

    def _device(self) -> Text:
        plan = self.plans[0]
        device = plan.device
        count = "" if plan.world == 1 else f"{plan.world} {TIMES} "
        each = " each" if plan.world > 1 else ""
        text = Text(f"{count}{device.name}", style="bold")
        text.append(
            f"  {units.memory(device.memory)}{each}, of which tensors may take {units.memory(device.room)}",
            style="not bold dim",
        )
        return text

    def _overview(self, narrow: bool) -> Table:
        more, bar = ((), ()) if narrow else (("precision",), ("",))
        table = _table("recipe", "classes", "batch", *more, "memory", *bar, "fits", "largest", "epoch")
        for plan in self.plans:
            option = plan.option
            fits = plan.fits(option)
            table.add_row(
                Text(plan.recipe.name, style="bold" if fits else ""),
                str(plan.classes),
                _batch(plan, option),
                *(Text(option.recipe.train.precision) for _ in more),
                units.memory(option.peak),
                *(_gauge(plan, option) for _ in bar),
                _yes(fits),
                _largest(plan),
                _time(plan, option),
            )
        return table

    def _memory(self) -> Table:
        table = _table("of which", "weights", "gradients", "optimizer", "activations", "temporary", "validation")
        for plan in self.plans:
            footprint = plan.option.footprint
            parts = footprint.training
            sizes = (parts.parameters, parts.gradients, parts.optimizer, parts.activations, parts.temporaries)
            table.add_row(
                Text(plan.recipe.name),
                *(units.memory(size) for size in sizes),
                Text(units.memory(footprint.validation.total), style="dim"),
            )
        return table

    def _taken(self) -> Iterator[Text]:
        for plan in self.plans:
            if plan.levers:
                changes = ", ".join(lever.change for lever in plan.levers)
                yield Text(f"{plan.recipe.name}: switched on to fit: {changes}", style="green")

    def _offers(self, narrow: bool) -> Iterator[RenderableType]:
        offers = _grouped(self.plans)
        if not offers:
            return
        bar = () if narrow else ("",)
        table = _table("to fit more", "memory", *bar, "fits", "largest", "epoch")
        table.columns[0].min_width = len("  train.checkpointing=blocks")
        for names, plan in offers:
            alike = f" and {len(names) - 1} alike" if len(names) > 1 else ""
            table.add_row(Text(f"{names[0]}{alike}", style="bold"))
            for option in plan.offered:
                assert option.lever is not None, "an offer has one"
                table.add_row(
                    Text(f"  {option.lever.change}", style="cyan"),
                    units.memory(option.peak),
                    *(_gauge(plan, option) for _ in bar),
                    _yes(plan.fits(option)),
                    "any" if "accumulate" in option.lever.change else f"~{plan.roughly_largest(option)}",
                    _time(plan, option),
                )
        yield table

    def _notes(self, narrow: bool) -> Text:
        offered = [option.lever for plan in self.plans for option in plan.offered if option.lever is not None]
        prices = dict.fromkeys(f"{lever.change.partition('=')[2]}: {lever.price}" for lever in offered)
        lines = [f"{change}." for change in prices if "images at once" not in change]
        if any("accumulate" in lever.change for lever in offered):
            lines.append("accumulate: the same batch in smaller parts; batch normalisation then sees fewer images.")
        lines.append(
            "Each lever comes on top of those above it. batch: images per step (at once on each GPU). largest: the "
            "largest batch that fits. epoch: training steps, without loading and validation."
        )
        if narrow:
            lines.append("A wider terminal also shows the precision, and how much of the room is taken.")
        return Text("\n".join(lines), style="dim")


def _grouped(plans: Sequence[Plan]) -> list[tuple[list[str], Plan]]:
    """Return plans that have something to offer; those whose offers are equal go together."""
    groups: dict[tuple[object, ...], tuple[list[str], Plan]] = {}
    for plan in plans:
        if plan.offered:
            key = tuple((option.lever, option.peak, plan.epoch_seconds(option)) for option in plan.offered)
            groups.setdefault(key, ([], plan))[0].append(plan.recipe.name)
    return list(groups.values())


GAUGE = 8


def _gauge(plan: Plan, option: Option) -> Text:
    """Return a bar that is full where the room is; beyond it, one that points on."""
    room = plan.device.room
    if option.peak > room:
        return Text("█" * GAUGE + "▶", style="red")
    whole, rest = divmod(round(option.peak / max(room, 1) * GAUGE * 8), 8)
    bar = "█" * whole + " ▏▎▍▌▋▊▉"[rest].strip()
    return Text(bar.ljust(GAUGE, "░"), style="green" if option.peak <= 0.9 * room else "yellow")


def _yes(fits: bool) -> Text:
    return Text("yes", style="green") if fits else Text("no", style="bold red")


def _batch(plan: Plan, option: Option) -> str:
    train = option.recipe.train
    once = per_rank(option.recipe, plan.world)
    return str(train.images) if once == train.images else f"{train.images} ({once})"


def _largest(plan: Plan) -> str:
    """Return the largest batch; beyond what was searched, about."""
    if plan.largest is None:
        return DASH
    searched = MOST_AT_ONCE * plan.world * plan.recipe.train.accumulate
    return str(plan.largest) if plan.largest < searched else f"~{max(searched, plan.roughly_largest(plan.option))}"


def _time(plan: Plan, option: Option) -> str:
    seconds = plan.epoch_seconds(option)
    return DASH if seconds is None else units.duration(seconds)


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(Text(first), overflow="fold")
    for title in others:
        # A column without a title holds bars.
        table.add_column(Text(title), justify="right" if title else "left", no_wrap=True)
    return table
