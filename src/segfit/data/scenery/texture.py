"""Colours and textures: tileable noise, and pictures that repeat every few metres with their mip levels.

Colours are linear light with a gamma of 2: a value picked by eye is squared once, the finished picture is rooted once.
"""

import colorsys
import copy
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Color", "Texture", "hsv", "jitter", "noise", "white_noise"]

Array = NDArray[np.float32]
Color = Array
"""`(3,)` linear RGB."""

LEVELS = 7
"""Mip levels of a texture."""


def hsv(hue: float, saturation: float, value: float) -> Color:
    """Return the linear colour of a hue (in turns), saturation and value as one would pick them by eye."""
    return np.array(colorsys.hsv_to_rgb(hue % 1.0, saturation, value), np.float32) ** 2


def jitter(rng: np.random.Generator, color: Color, amount: float = 0.15) -> Color:
    """Return the colour a little lighter or darker, warmer or cooler."""
    warm = rng.uniform(-0.3, 0.3) * amount
    scale = rng.uniform(1 - amount, 1 + amount) * np.array((1 + warm, 1.0, 1 - warm))
    return (color * scale).astype(np.float32)


def noise(
    rng: np.random.Generator,
    size: int,
    *,
    cells: tuple[int, int] = (4, 4),
    octaves: int = 4,
    persistence: float = 0.55,
) -> Array:
    """Return fractal value noise that tiles.

    Args:
        rng: where the lattice comes from.
        size: side of the `(size, size)` result.
        cells: lattice cells along rows and columns in the first octave; unequal ones stretch the noise.
        octaves: each has twice the cells.
        persistence: amplitude of an octave relative to the one before.

    Returns:
        Values with mean about 0 and deviation 1.
    """
    total = np.zeros((size, size), np.float32)
    amplitude = 1.0
    for octave in range(octaves):
        rows, columns = (min(c << octave, size) for c in cells)
        lattice = rng.random((rows, columns), dtype=np.float32)
        total += amplitude * _enlarge(lattice, size)
        amplitude *= persistence
    total -= total.mean()
    total /= max(float(total.std()), 1e-6)
    return total


def _enlarge(lattice: Array, size: int) -> Array:
    """Enlarge a lattice to (size, size) smoothly and periodically."""
    rows, columns = lattice.shape
    padded = np.pad(lattice, 2, mode="wrap")
    height, width = size + 4 * size // rows, size + 4 * size // columns
    large = cv2.resize(padded, (width, height), interpolation=cv2.INTER_CUBIC)
    top, left = (height - size) // 2, (width - size) // 2
    return np.ascontiguousarray(large[top : top + size, left : left + size], dtype=np.float32)


@cache
def _white_noise(side: int) -> Array:
    return np.random.default_rng(0).random((side, side), dtype=np.float32)


def white_noise(shape: tuple[int, int]) -> Array:
    """Return fixed uniform noise in [0, 1), for dithering."""
    side = 512
    while side < max(shape):
        side *= 2
    return _white_noise(side)[: shape[0], : shape[1]]


class Texture:
    """A picture on a surface that repeats in both directions.

    Args:
        tile: `(N, N, 3)` linear RGB, N a power of two of at least 64.
        width: metres after which it repeats along u.
        height: the same along v; as `width` by default. Row 0 of the tile is at the top (largest v).
    """

    def __init__(self, tile: Array, width: float, height: float | None = None) -> None:
        size = len(tile)
        assert size >= 64 and size & (size - 1) == 0, "the side of a tile is a power of two"
        self.width = width
        self.height = width if height is None else height
        self.mean: Color = tile.mean((0, 1), dtype=np.float32)
        self._sizes = np.array([size >> level for level in range(LEVELS)], np.float32)
        starts = np.cumsum([0, *(int(s) + 2 for s in self._sizes[:-1])])
        self._starts = starts.astype(np.float32)
        self._atlas = np.zeros((int(starts[-1] + self._sizes[-1] + 2), size + 2, 3), np.float32)
        for level, start in enumerate(starts):
            side = size >> level
            if level:
                tile = cv2.resize(tile, (side, side), interpolation=cv2.INTER_AREA)
            self._atlas[start : start + side + 2, : side + 2] = cv2.copyMakeBorder(tile, 1, 1, 1, 1, cv2.BORDER_WRAP)

    def scaled(self, factor: float) -> "Texture":
        """Return the same picture over `factor` times the metres."""
        other = copy.copy(self)
        other.width, other.height = self.width * factor, self.height * factor
        return other

    def sample(self, u: Array, v: Array, area: Array) -> Array:
        """Return the colours `(h, w, 3)` at positions.

        Args:
            u: `(h, w)` metres to the right.
            v: `(h, w)` metres upwards.
            area: `(h, w)` square metres that a pixel covers; it chooses the mip level.
        """
        texels = area * np.float32(self._sizes[0] ** 2 / (self.width * self.height))
        level = 0.5 * np.log2(np.maximum(texels, 1e-6))
        # A dithered level instead of two blended ones: half the samples, and no visible bands.
        level += white_noise(u.shape)
        level -= np.float32(0.25)
        index = np.clip(level, 0, LEVELS - 1).astype(np.intp)
        x = u * np.float32(1 / self.width)
        y = v * np.float32(-1 / self.height)
        x -= np.floor(x)
        y -= np.floor(y)
        sizes = self._sizes[index]
        x *= sizes
        x += 0.5
        y *= sizes
        y += self._starts[index]
        y += 0.5
        colors: Array = cv2.remap(self._atlas, x, y, cv2.INTER_LINEAR)
        return colors.reshape(*u.shape, 3)
