"""Names of classes as they fit into tables and pictures."""

from collections import Counter
from collections.abc import Sequence

__all__ = ["short_names"]


def short_names(names: Sequence[str]) -> list[str]:
    """Return the first of the synonyms of each name (``building, edifice``) where that tells the classes apart."""
    first = [name.split(",")[0].strip() or name for name in names]
    often = Counter(first)
    return [short if often[short] == 1 else name for short, name in zip(first, names, strict=True)]
