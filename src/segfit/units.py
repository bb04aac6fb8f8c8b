"""Numbers as people read them: one unit, the digits that matter, and nothing that the measurement does not support."""

import re
from collections.abc import Sequence

__all__ = ["count", "duration", "listed", "memory", "parse_memory", "rate", "score", "share"]

BYTES = {"b": 1, **{f"{unit}b": 1000**power for power, unit in enumerate("kmgt", 1)}}
BYTES |= {f"{unit}ib": 1024**power for power, unit in enumerate("kmgt", 1)}


def memory(size: float) -> str:
    """Return bytes as ``3.4 GB`` (1 GB = 10⁹ bytes); below 0.1 GB as ``42 MB``."""
    return f"{size / 1e9:.1f} GB" if size >= 0.1e9 else f"{size / 1e6:.0f} MB"


def parse_memory(text: str) -> int:
    """Return the bytes that ``16GB`` (10⁹ bytes each), ``16GiB`` (2³⁰) or ``800 mb`` mean.

    Raises:
        ValueError: it is no positive number with one of these units.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*([a-z]+)", text.strip().lower())
    size = round(float(found[1]) * BYTES[found[2]]) if found and found[2] in BYTES else 0
    if size == 0:
        raise ValueError(f"{text!r} is no amount of memory: write 16GB or 16GiB")
    return size


def duration(seconds: float) -> str:
    """Return seconds as ``8 h 05 min``, ``12 min 30 s``, ``45 s`` or ``4.2 s``."""
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60:02} min"


def count(number: float) -> str:
    """Return a count as ``870``, ``56.1 k``, ``31.0 M`` or ``1.2 B``."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size * 0.99995:
            return f"{number / size:.1f} {unit}"
    return f"{number:.0f}"


def rate(number: float) -> str:
    """Return a rate with three digits or all whole ones: ``0.42``, ``12.3``, ``1,830``."""
    return f"{number:,.0f}" if number >= 99.95 else f"{number:.1f}" if number >= 9.995 else f"{number:.2f}"


def score(value: float | None) -> str:
    """Return a metric in [0, 1] with three decimals; a dash where there is none."""
    return "\N{EN DASH}" if value is None else f"{value:.3f}"


def share(value: float) -> str:
    """Return a share of the whole in percent: ``61 %``, ``3.2 %``, ``0.04 %``, ``< 0.01 %``."""
    percent = 100 * value
    if 0 < percent < 0.01:
        return "< 0.01 %"
    return f"{percent:.0f} %" if percent >= 9.95 or percent == 0 else f"{percent:.{1 if percent >= 0.95 else 2}f} %"


def listed(words: Sequence[str]) -> str:
    """Return words as a sentence has them: ``a``, ``a and b``, ``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
