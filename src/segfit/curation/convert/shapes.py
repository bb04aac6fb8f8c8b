"""What formats with outlines share: a background class or none, and one error for a shape that cannot be drawn."""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from segfit.curation.convert.contract import VOID
from segfit.curation.convert.outlines import Polygon

__all__ = ["Background", "Coordinate", "Seed", "Share", "backed", "ring"]

Background = Literal["class", "ignore"]
"""What pixels are that no outline covers: a class ``background``, or not annotated."""

BACKGROUND_NAMES = ("background", "_background_")
"""Classes that mean just that."""

Coordinate = Annotated[float, Field(ge=-1e7, le=1e7, allow_inf_nan=False)]
"""In pixels."""

Share = Annotated[float, Field(gt=0, lt=1)]
Seed = Annotated[int, Field(ge=0)]


def backed(names: Sequence[str], background: Background) -> tuple[tuple[str, ...], int]:
    """Return the classes and the position of the one that fills what no outline covers.

    Args:
        names: of the annotated classes; one of them may be the background.
        background: see `Background`.
    """
    if background == "ignore":
        return tuple(names), VOID
    for name in BACKGROUND_NAMES:
        if name in names:
            return tuple(names), list(names).index(name)
    return (BACKGROUND_NAMES[0], *names), 0


def ring(numbers: Sequence[float]) -> Polygon:
    """Return a polygon ``[x, y, x, y, …]`` as `(N, 2)`.

    Raises:
        ValueError: an odd number of coordinates, or fewer than 3 corners.
    """
    if len(numbers) % 2:
        raise ValueError(f"a polygon has {len(numbers)} coordinates, which are not pairs of x and y")
    if len(numbers) < 6:
        raise ValueError(f"a polygon has {len(numbers) // 2} corners, fewer than 3")
    return np.array(numbers, np.float64).reshape(-1, 2)
