"""The library of surface patterns: wood, tiles, cloth, brick, grass, water and so on.

A pattern is a texture with mean about 1 that a colour is multiplied with. It is made once per process from a seed of
its own, so that a scene costs no more than it shows.
"""

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np

from segfit.data.scenery.stage import Paint
from segfit.data.scenery.texture import Array, Color, Texture, noise

__all__ = ["PATTERNS", "VARIANTS", "macro", "paint", "pattern", "random_paint"]

Maker = Callable[[np.random.Generator], tuple[Array, float]]

VARIANTS = 4
"""Versions of each pattern."""

SIZE = 256

PATTERNS: dict[str, Maker] = {}
"""Pattern makers by name; each returns a tile of `(N, N)` or `(N, N, 3)` factors and its side in metres."""


def makes(name: str) -> Callable[[Maker], Maker]:
    """Register a pattern."""

    def keep(maker: Maker) -> Maker:
        PATTERNS[name] = maker
        return maker

    return keep


@cache
def pattern(name: str, variant: int = 0) -> Texture:
    """Return a pattern of the library."""
    tile, metres = PATTERNS[name](np.random.default_rng([sum(name.encode()), variant]))
    if tile.ndim == 2:
        tile = np.repeat(tile[..., None], 3, axis=2)
    tile = np.maximum(tile, 0.02).astype(np.float32)
    return Texture(np.ascontiguousarray(tile / tile.mean()), metres)


@cache
def macro() -> Texture:
    """Return slow variation for large surfaces."""
    rng = np.random.default_rng(7)
    tile = np.exp(0.22 * noise(rng, 128, cells=(3, 3), octaves=4))
    return Texture(np.repeat(tile[..., None], 3, axis=2), 31.0)


def paint(name: str, color: Color, *, variant: int = 0, varied: bool = False) -> Paint:
    """Return a paint of the colour with the pattern."""
    return Paint(color, pattern(name, variant), macro=macro() if varied else None)


def random_paint(rng: np.random.Generator, name: str, color: Color) -> Paint:
    """Return a paint of the colour with one of the pattern's variants."""
    return paint(name, color, variant=int(rng.integers(VARIANTS)))


def relative(value: Array, depth: float) -> Array:
    """Return factors around 1 from noise with deviation 1."""
    factors: Array = np.exp(depth * np.clip(value, -3, 3)).astype(np.float32)
    return factors


def tinted(factor: Array, warmth: Array) -> Array:
    """Return RGB factors: brightness and, by `warmth`, more red than blue."""
    return np.stack([factor * np.exp(warmth), factor, factor * np.exp(-1.3 * warmth)], axis=-1).astype(np.float32)


def cells(size: int, count: int) -> tuple[Array, Array]:
    """Return for each row of a tile the number of its cell and its position in the cell, [0, 1)."""
    position = np.arange(size) * count / size
    return np.floor(position).astype(np.float32), (position % 1).astype(np.float32)


@makes("plaster")
def plaster(rng: np.random.Generator) -> tuple[Array, float]:
    """Painted plaster: almost even."""
    return relative(noise(rng, SIZE, cells=(3, 3), octaves=6, persistence=0.7), 0.035), 2.5


@makes("concrete")
def concrete(rng: np.random.Generator) -> tuple[Array, float]:
    """Concrete: blotches, pores and joints."""
    value = relative(noise(rng, SIZE, cells=(3, 3), octaves=6, persistence=0.75), 0.13)
    value[:2] *= 0.7
    value[:, :2] *= 0.7
    return value, 3.0


@makes("planks")
def planks(rng: np.random.Generator) -> tuple[Array, float]:
    """A wooden floor: boards along v with grain, each of its own tone."""
    boards = int(rng.integers(8, 13))
    column, inside = cells(SIZE, boards)
    tone = rng.normal(0, 0.16, (3, boards)).astype(np.float32)
    starts = rng.random(boards)
    rows = (np.arange(SIZE)[:, None] / SIZE + starts[column.astype(int)][None, :]) % 1
    piece = (rows * 3).astype(int)
    end = (rows * 3) % 1
    grain = noise(rng, SIZE, cells=(4, 64), octaves=3, persistence=0.6)
    value = np.exp(tone[piece, column.astype(int)[None, :]] + 0.09 * grain)
    value *= np.where((inside[None, :] < 0.06) | (end < 0.012), 0.5, 1.0)
    warmth = 0.3 * tone[(piece + 1) % 3, column.astype(int)[None, :]]
    return tinted(value.astype(np.float32), warmth.astype(np.float32)), 1.6


@makes("parquet")
def parquet(rng: np.random.Generator) -> tuple[Array, float]:
    """A herringbone-like parquet: blocks of staves whose direction alternates."""
    block, stave = SIZE // 8, SIZE // 32
    rows, columns = np.indices((SIZE, SIZE))
    turned = ((rows // block) + (columns // block)) % 2 == 0
    staff = np.where(turned, rows // stave, columns // stave)
    tone = rng.normal(0, 0.16, (33, 9, 9))[staff, rows // block, columns // block]
    line = np.where(turned, rows % stave, columns % stave) == 0
    border = (rows % block == 0) | (columns % block == 0)
    value = np.exp(tone + 0.05 * noise(rng, SIZE, cells=(32, 32), octaves=2)) * np.where(line | border, 0.62, 1)
    return tinted(value.astype(np.float32), (0.25 * tone).astype(np.float32)), 2.0


@makes("wood")
def wood(rng: np.random.Generator) -> tuple[Array, float]:
    """Wood grain along v, for furniture."""
    wave = noise(rng, SIZE, cells=(2, 5), octaves=3)
    rings = np.sin(wave * 3.2 + np.linspace(0, 16 * np.pi, SIZE, endpoint=False)[None, :])
    grain = noise(rng, SIZE, cells=(3, 90), octaves=2)
    value = relative((0.7 * rings + 0.8 * grain).astype(np.float32), 0.11)
    return tinted(value, (0.05 * wave).astype(np.float32)), 1.1


@makes("tiles")
def tiles(rng: np.random.Generator) -> tuple[Array, float]:
    """Ceramic tiles: grout lines, some boards with two tones."""
    count = int(rng.choice((4, 6, 8)))
    number, inside = cells(SIZE, count)
    index = number.astype(int)
    tone = rng.normal(0, 0.06, (count, count))[index[:, None], index[None, :]]
    if rng.random() < 0.5:
        tone = tone + np.where((index[:, None] + index[None, :]) % 2, 0.45, -0.45)
    grout = 0.018 * count / 4
    line = (inside[:, None] < grout) | (inside[None, :] < grout)
    marble = noise(rng, SIZE, cells=(5, 5), octaves=5, persistence=0.7)
    return np.where(line, 0.72, np.exp(tone + 0.04 * marble)).astype(np.float32), 0.3 * count


@makes("small-tiles")
def small_tiles(rng: np.random.Generator) -> tuple[Array, float]:
    """Wall tiles, often laid like bricks, with a soft gloss in each."""
    rows, columns = (16, 8) if rng.random() < 0.6 else (12, 12)
    row, up = cells(SIZE, rows)
    across = np.arange(SIZE)[None, :] * columns / SIZE + (0.5 * (row % 2))[:, None] * (rows != columns)
    inside = across % 1
    tone = rng.normal(0, 0.05, (rows, columns))[row.astype(int)[:, None], across.astype(int) % columns]
    gloss = 0.06 * np.sin(up * 2 * np.pi)[:, None]
    line = (up[:, None] < 0.1) | (inside < 0.1 * columns / rows)
    return np.where(line, 0.8, np.exp(tone + gloss)).astype(np.float32), 1.2


@makes("carpet")
def carpet(rng: np.random.Generator) -> tuple[Array, float]:
    """A carpet's pile."""
    pile = rng.normal(0, 1, (SIZE, SIZE)).astype(np.float32)
    soft = noise(rng, SIZE, cells=(4, 4), octaves=4)
    return relative(cv2.GaussianBlur(pile, (0, 0), 0.7) * 1.1 + 0.7 * soft, 0.12), 1.2


@makes("cloth")
def cloth(rng: np.random.Generator) -> tuple[Array, float]:
    """Woven cloth, plain, striped, checked or dotted."""
    u = np.arange(SIZE)[None, :] / SIZE
    v = np.arange(SIZE)[:, None] / SIZE
    weave = 0.05 * (np.sin(u * 2 * np.pi * 64) * np.sin(v * 2 * np.pi * 64))
    kind = int(rng.integers(4))
    value = weave + 0.06 * noise(rng, SIZE, cells=(4, 4), octaves=5, persistence=0.7)
    count = int(rng.integers(3, 9))
    if kind == 1:
        value = value + 0.35 * np.sign(np.sin(u * 2 * np.pi * count) - rng.uniform(-0.5, 0.5))
    elif kind == 2:
        value = value + 0.2 * (np.sign(np.sin(u * 2 * np.pi * count)) + np.sign(np.sin(v * 2 * np.pi * count)))
    elif kind == 3:
        dots = np.sin(u * 2 * np.pi * count) * np.sin(v * 2 * np.pi * count)
        value = value + 0.4 * (np.abs(dots) > 0.6)
    return np.exp(value).astype(np.float32), 0.8


@makes("leather")
def leather(rng: np.random.Generator) -> tuple[Array, float]:
    """Leather and plain upholstery: soft patches."""
    return relative(noise(rng, SIZE, cells=(5, 5), octaves=6, persistence=0.65), 0.09), 1.0


@makes("wallpaper")
def wallpaper(rng: np.random.Generator) -> tuple[Array, float]:
    """Wallpaper: stripes, a trellis or sprigs."""
    u = np.arange(SIZE)[None, :] / SIZE * 2 * np.pi
    v = np.arange(SIZE)[:, None] / SIZE * 2 * np.pi
    kind, count = int(rng.integers(3)), int(rng.integers(4, 9))
    if kind == 0:
        figure = np.sign(np.sin(u * count) + 0 * v)
    elif kind == 1:
        figure = -np.exp(-8 * np.abs(np.sin((u + v) * count / 2) * np.sin((u - v) * count / 2)))
    else:
        figure = (np.sin(u * count) * np.sin(v * count) + 0.35 * np.sin(u * 3 * count + v * count) > 0.55) * 1.0
    paper = noise(rng, SIZE, cells=(8, 8), octaves=4, persistence=0.8)
    return np.exp(rng.uniform(0.07, 0.2) * figure + 0.025 * paper).astype(np.float32), 1.4


@makes("brick")
def brick(rng: np.random.Generator) -> tuple[Array, float]:
    """A brick wall."""
    rows, columns = 24, 8
    row, up = cells(SIZE, rows)
    across = np.arange(SIZE)[None, :] * columns / SIZE + (0.5 * (row % 2))[:, None]
    tone = rng.normal(0, 0.2, (rows, columns))[row.astype(int)[:, None], across.astype(int) % columns]
    line = (up[:, None] < 0.16) | (across % 1 < 0.055)
    grit = noise(rng, SIZE, cells=(16, 16), octaves=4, persistence=0.8)
    value = np.where(line, 1.35, np.exp(tone)) * np.exp(0.08 * grit)
    return tinted(value.astype(np.float32), np.where(line, -0.25, 0.3 * tone).astype(np.float32)), 1.9


@makes("stones")
def stones(rng: np.random.Generator) -> tuple[Array, float]:
    """Masonry or paving of stones of unequal width."""
    rows, columns = 8, 6
    row, up = cells(SIZE, rows)
    across = np.arange(SIZE)[None, :] * columns / SIZE + rng.random(rows)[row.astype(int)][:, None]
    tone = rng.normal(0, 0.15, (rows, columns))[row.astype(int)[:, None], across.astype(int) % columns]
    line = (up[:, None] < 0.06) | (across % 1 < 0.05)
    grit = noise(rng, SIZE, cells=(8, 8), octaves=5, persistence=0.75)
    value = np.where(line, 0.55, np.exp(tone)) * np.exp(0.1 * grit)
    return tinted(value.astype(np.float32), (0.2 * tone).astype(np.float32)), 2.4


@makes("asphalt")
def asphalt(rng: np.random.Generator) -> tuple[Array, float]:
    """Asphalt with patches."""
    grit = rng.normal(0, 1, (SIZE, SIZE)).astype(np.float32)
    wear = noise(rng, SIZE, cells=(2, 2), octaves=5, persistence=0.6)
    return relative(cv2.GaussianBlur(grit, (0, 0), 0.6) * 0.9 + wear, 0.12), 4.0


@makes("gravel")
def gravel(rng: np.random.Generator) -> tuple[Array, float]:
    """Gravel and trodden earth."""
    pebbles = noise(rng, SIZE, cells=(48, 48), octaves=2, persistence=0.6)
    patches = noise(rng, SIZE, cells=(3, 3), octaves=4)
    return tinted(relative(pebbles + 0.8 * patches, 0.17), (0.04 * patches).astype(np.float32)), 2.5


@makes("sand")
def sand(rng: np.random.Generator) -> tuple[Array, float]:
    """Sand with wind ripples and footprints."""
    ripples = np.sin(np.arange(SIZE)[:, None] / SIZE * 2 * np.pi * 9 + 1.6 * noise(rng, SIZE, cells=(3, 3), octaves=3))
    dents = noise(rng, SIZE, cells=(20, 20), octaves=3, persistence=0.7)
    return relative((0.45 * ripples + dents).astype(np.float32), 0.07), 3.0


@makes("grass")
def grass(rng: np.random.Generator) -> tuple[Array, float]:
    """A lawn: tufts and blades, patches of dry and lush."""
    blades = noise(rng, SIZE, cells=(24, 64), octaves=3, persistence=0.75)
    patches = noise(rng, SIZE, cells=(3, 3), octaves=4)
    return tinted(relative(blades + 0.8 * patches, 0.2), (0.1 * patches).astype(np.float32)), 2.2


@makes("meadow")
def meadow(rng: np.random.Generator) -> tuple[Array, float]:
    """Tall grass with flowers."""
    blades = noise(rng, SIZE, cells=(12, 48), octaves=4, persistence=0.8)
    value = tinted(relative(blades, 0.28), 0.09 * noise(rng, SIZE, cells=(4, 4), octaves=4))
    bloom = (rng.random((SIZE, SIZE)) < rng.choice((0.0, 0.004, 0.012))).astype(np.float32)
    bloom = np.minimum(cv2.GaussianBlur(bloom, (0, 0), 1.2) * 8, 1)[..., None]
    color = np.array(((6.0, 4.5, 1.0), (7.0, 1.2, 2.0), (5.0, 4.5, 6.0))[int(rng.integers(3))], np.float32)
    return value * (1 - bloom) + color * bloom, 3.0


@makes("crop")
def crop(rng: np.random.Generator) -> tuple[Array, float]:
    """A field with rows of plants along v."""
    u = np.arange(SIZE)[None, :] / SIZE * 2 * np.pi
    bend = 0.5 * noise(rng, SIZE, cells=(4, 4), octaves=4)
    rows = np.sin(u * 6 + bend) + 0.4 * np.sin(u * 12 + 2 * bend)
    clumps = noise(rng, SIZE, cells=(30, 30), octaves=3, persistence=0.7)
    value = relative((rows + 0.8 * clumps).astype(np.float32), 0.24)
    return tinted(value, (-0.12 * rows).astype(np.float32)), 4.8


@makes("leaves")
def leaves(rng: np.random.Generator) -> tuple[Array, float]:
    """Foliage of a hedge or a wooded slope seen from afar."""
    clumps = noise(rng, SIZE, cells=(10, 10), octaves=5, persistence=0.75)
    return tinted(relative(clumps, 0.34), (0.06 * noise(rng, SIZE)).astype(np.float32)), 2.0


@makes("crag")
def crag(rng: np.random.Generator) -> tuple[Array, float]:
    """Rock: embossed noise, as if lit from the upper left."""
    height = noise(rng, SIZE, cells=(4, 3), octaves=7, persistence=0.6)
    slope: Array = (
        np.roll(height, 1, 1) - np.roll(height, -1, 1) + 0.6 * (np.roll(height, 1, 0) - np.roll(height, -1, 0))
    )
    return tinted(relative(-3.2 * slope, 0.45), (0.08 * height).astype(np.float32)), 3.0


@makes("water")
def water(rng: np.random.Generator) -> tuple[Array, float]:
    """Waves: noise stretched across the view, with crests."""
    waves = noise(rng, SIZE, cells=(14, 4), octaves=4, persistence=0.6)
    ridged = 1 - np.abs(noise(rng, SIZE, cells=(10, 3), octaves=3))
    return relative((0.8 * waves + 0.5 * ridged).astype(np.float32), 0.16), 7.0


@makes("shingles")
def shingles(rng: np.random.Generator) -> tuple[Array, float]:
    """Roof tiles."""
    rows, columns = 20, 20
    row, up = cells(SIZE, rows)
    across = np.arange(SIZE)[None, :] * columns / SIZE + (0.5 * (row % 2))[:, None]
    tone = rng.normal(0, 0.14, (rows, columns))[row.astype(int)[:, None], across.astype(int) % columns]
    value = np.exp(tone + 0.25 * (up[:, None] - 0.5)) * np.where((up[:, None] > 0.85) | (across % 1 < 0.08), 0.62, 1)
    return tinted(value.astype(np.float32), (0.2 * tone).astype(np.float32)), 4.0


@makes("boards")
def boards(rng: np.random.Generator) -> tuple[Array, float]:
    """Horizontal weatherboards of a wooden house."""
    _, up = cells(SIZE, 16)
    grain = noise(rng, SIZE, cells=(40, 4), octaves=3)
    value = np.exp(0.07 * grain + 0.1 * (up[:, None] - 0.5)) * np.where(up[:, None] > 0.86, 0.55, 1)
    return value.astype(np.float32), 2.6


@makes("metal")
def metal(rng: np.random.Generator) -> tuple[Array, float]:
    """Brushed metal and lacquer: a long soft sheen."""
    return relative(noise(rng, SIZE, cells=(2, 24), octaves=4), 0.045), 1.5
