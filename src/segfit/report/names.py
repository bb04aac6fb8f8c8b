"""Names of classes as they fit into sentences, tables and figures."""

from collections import Counter
from collections.abc import Sequence

__all__ = ["short_names"]


def short_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return each name without its synonyms (ADE20K: ``door, double door``), where that leaves all names different."""
    first = [name.split(",")[0].strip() for name in names]
    counts = Counter(first)
    return tuple(short if short and counts[short] == 1 else name for short, name in zip(first, names, strict=True))
