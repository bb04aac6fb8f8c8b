"""One picture and its mask: a pure function of the seed, the split and the number of the picture."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segfit.data.scenery import country, gardens, indoors, tiled_rooms, town
from segfit.data.scenery.film import Shot, develop

__all__ = ["LAYOUTS", "VERSION", "Scene", "render"]

VERSION = 1
"""Changes whenever the same seed gives other pictures."""

Layout = Callable[[np.random.Generator, int, int], Shot]

LAYOUTS: dict[str, tuple[Layout, float]] = {
    "street": (town.town_street, 0.17),
    "park": (gardens.park, 0.08),
    "house": (gardens.garden, 0.08),
    "field": (country.countryside, 0.08),
    "lake": (country.lake, 0.05),
    "coast": (country.coast, 0.06),
    "living_room": (indoors.living_room, 0.12),
    "bedroom": (indoors.bedroom, 0.11),
    "kitchen": (tiled_rooms.kitchen, 0.08),
    "office": (indoors.office, 0.07),
    "bathroom": (tiled_rooms.bathroom, 0.05),
    "corridor": (indoors.hall, 0.05),
}
"""Scene categories with the function that lays them out and their share of the pictures."""

ASPECTS = (4 / 3, 3 / 2, 1.0, 3 / 4, 2 / 3)
ASPECT_SHARES = (0.47, 0.25, 0.12, 0.1, 0.06)


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture with its truth.

    Attributes:
        image: `(H, W, 3)` uint8 RGB.
        mask: `(H, W)` uint8, 0 = other, 1..150 = ADE20K classes.
        category: key of `LAYOUTS`.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    category: str


def render(seed: int, split: int, index: int, *, size: int) -> Scene:
    """Draw one scene.

    Args:
        seed: of the dataset.
        split: number of the split, so that no picture is in two of them.
        index: number of the picture.
        size: short side in pixels; the long side follows from one of several aspect ratios.
    """
    rng = np.random.default_rng([seed, split, index])
    names = list(LAYOUTS)
    category = names[int(rng.choice(len(names), p=[share for _, share in LAYOUTS.values()]))]
    aspect = float(rng.choice(ASPECTS, p=ASPECT_SHARES))
    width, height = round(size * max(aspect, 1.0)), round(size / min(aspect, 1.0))
    stage, film = LAYOUTS[category][0](rng, width, height)
    image, mask = develop(stage, film)
    return Scene(image, mask, category)
