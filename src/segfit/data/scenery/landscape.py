"""The land: ground in all its covers, mountains and hills, water that mirrors the sky, scattered things."""

from collections.abc import Iterator

import cv2
import numpy as np

from segfit.data.scenery.ade import Ade
from segfit.data.scenery.geometry import UP, Frame, Points, Vec
from segfit.data.scenery.patterns import macro, pattern
from segfit.data.scenery.stage import OVER, Paint, Stage
from segfit.data.scenery.texture import Color, hsv, noise
from segfit.data.scenery.weather import Weather

__all__ = ["band", "ground", "meander", "mirror_water", "mountains", "ridge", "scatter", "soil"]

EAST: Vec = (1.0, 0.0, 0.0)
NORTH: Vec = (0.0, 0.0, 1.0)


def ground(stage: Stage, outline: Points, paint: Paint, label: Ade, *, height: float = 0.0) -> None:
    """Cover the ground within `(n, 2)` positions (x, z)."""
    stage.panel(Frame((0.0, height, 0.0), EAST, NORTH), [outline], paint, label, ground=True)


def band(near: float, far: float, half: float = 900.0) -> Points:
    """Return a strip of ground from wall to wall between two distances."""
    return np.array([(-half, near), (half, near), (half, far), (-half, far)])


def soil(stage: Stage, name: str, color: Color, *, scale: float = 1.0) -> Paint:
    """Return a paint for large stretches of ground, varied from place to place."""
    variant = int(stage.rng.integers(4))
    return Paint(color, pattern(name, variant).scaled(scale), macro=macro())


def meander(rng: np.random.Generator, width: float, length: float, *, start: float = 0.0, bend: float = 4.0) -> Points:
    """Return the outline of a way that winds from the viewer into the distance."""
    z = np.concatenate([np.linspace(-1, 12, 8), np.linspace(16, length, 10)])
    knots = np.array([0.0, 6.0, 14.0, 30.0, max(length, 31.0)])
    shifts = np.concatenate([[0.0], np.cumsum(rng.uniform(-bend, bend, 4))]) + start
    x = smooth(np.interp(z, knots, shifts))
    return np.concatenate([np.stack([x - width / 2, z], -1), np.stack([x + width / 2, z], -1)[::-1]])


def smooth(values: Points) -> Points:
    """Return a line with its corners rounded."""
    inner = (values[:-2] + 2 * values[1:-1] + values[2:]) / 4
    return np.concatenate([values[:1], inner, values[-1:]])


def ridge(rng: np.random.Generator, points: int, roughness: float) -> Points:
    """Return heights in [0, 1] along a ridge: midpoint displacement (Fournier, Fussell and Carpenter 1982)."""
    heights = rng.uniform(0.3, 1.0, 3)
    step = 0.5
    while len(heights) < points:
        middle = (heights[:-1] + heights[1:]) / 2 + rng.uniform(-0.5, 0.5, len(heights) - 1) * step
        merged = np.empty(len(heights) + len(middle))
        merged[::2], merged[1::2] = heights, middle
        heights, step = merged, step * roughness
    heights = heights - heights.min()
    relative: Points = heights / max(float(heights.max()), 1e-6)
    return relative


def mountains(
    stage: Stage, distance: float, height: float, color: Color, label: Ade, *, snow: bool = False, rough: float = 0.52
) -> None:
    """Draw a range of mountains or hills across the whole horizon.

    Args:
        stage: where to draw.
        distance: metres.
        height: of the highest peak, metres.
        color: of its rock or woods.
        label: MOUNTAIN, HILL or TREE (a wooded skyline).
        snow: white above a ragged line.
        rough: amplitude of each finer displacement relative to the coarser one.
    """
    rng = stage.rng
    half = distance * 1.7
    heights = (0.25 + 0.75 * ridge(rng, 129, rough)) * height
    x = np.linspace(-half, half, len(heights)) + rng.uniform(-0.2, 0.2) * half
    frame = Frame((0.0, 0.0, distance), EAST, UP)
    line = np.stack([x, heights], -1)
    foot = np.array([(x[-1], -0.2 * height), (x[0], -0.2 * height)])
    name = "crag" if label == Ade.MOUNTAIN else "leaves"
    texture = pattern(name, int(rng.integers(4))).scaled(height / (1.6 if name == "crag" else 5.0))
    stage.panel(frame, [np.concatenate([line, foot])], Paint(color, texture), label)
    if label == Ade.MOUNTAIN:
        _shaded_flanks(stage, frame, line, color)
    if snow:
        border = height * (0.52 + 0.16 * ridge(rng, 129, 0.85)) - 0.2 * (heights - 0.6 * height)
        cap = np.concatenate([line, np.stack([x, np.minimum(border, heights)], -1)[::-1]])
        stage.panel(frame, [cap], Paint(hsv(0.6, 0.05, 0.97), pattern("crag", 1).scaled(height / 1.6)), label)


def _shaded_flanks(stage: Stage, frame: Frame, line: Points, color: Color) -> None:
    """Darken the side of each peak that the sun does not reach: from the summit down along a ragged spur."""
    rng = stage.rng
    x, heights = line[:, 0], line[:, 1]
    slopes = np.array(((-0.8, 0.33, -0.5), (0.8, 0.33, -0.5)))
    left, right = stage.light.at(np.zeros((2, 3)), slopes).sum(1).tolist()
    away = 1 if left >= right else -1
    flanks = []
    for i in range(6, len(line) - 7):
        if heights[i] < heights[i - 6 : i + 7].max():
            continue
        end = i
        while 0 < end < len(line) - 1 and heights[end + away] <= heights[end] + 0.01 * heights[i]:
            end += away
        if abs(end - i) < 3:
            continue
        crest = line[i : end + 1] if away > 0 else line[end : i + 1][::-1]
        drop = np.array((0.85, 0.65, 0.45, 0.25)) * heights[i]
        spur = x[i] + (x[end] - x[i]) * np.array((0.05, 0.3, 0.25, 0.6)) * rng.uniform(0.6, 1.3, 4)
        flanks.append(np.concatenate([crest, np.stack([spur, np.minimum(drop, heights[end])], -1)[::-1]]))
    if flanks:
        tone = color * np.float32(0.55)
        stage.panel(frame, flanks, Paint(tone, pattern("crag", 2).scaled(float(heights.max()) / 2)), Ade.MOUNTAIN)


def mirror_water(stage: Stage, weather: Weather, labels: tuple[Ade, ...]) -> None:
    """Let water of these classes mirror what is above the horizon, broken by ripples and stronger towards the distance.

    The picture is flipped about the horizon, which is exact for what is far away.
    """
    horizon = _horizon_row(stage)
    first = max(int(horizon), 0)
    water = np.isin(stage.label[first:], np.array(labels, np.uint8))
    if not water.any():
        return
    height, width = water.shape
    y = np.arange(first, first + height, dtype=np.float32)[:, None] + np.zeros((1, width), np.float32)
    x = np.arange(width, dtype=np.float32)[None, :] + np.zeros((height, 1), np.float32)
    # Ripples shrink towards the horizon: the noise is sampled in the perspective of the water.
    away = 900.0 / (y - np.float32(horizon) + 6)
    field = noise(stage.rng, 256, cells=(32, 32), octaves=3, persistence=0.7)
    map_x = ((x - width / 2) * away * 0.05) % 256
    ripple = cv2.remap(field, map_x.astype(np.float32), (away * 6) % 256, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    strength = np.clip((y - np.float32(horizon)) / height, 0.03, 1) * 0.05 * height
    source = 2 * np.float32(horizon) - y + ripple * strength
    mirrored = cv2.remap(
        stage.color,
        x + ripple * strength * 0.3,
        np.clip(source, 0, horizon),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    share = np.clip(0.82 - 0.5 * (y - np.float32(horizon)) / height + 0.1 * ripple, 0.1, 0.92)[..., None]
    own = stage.color[first:]
    glitter = np.maximum(ripple - 1.6, 0)[..., None] * weather.glow * 0.35
    blended = own + (mirrored * np.float32(0.88) - own) * share + glitter
    cv2.copyTo(blended.astype(np.float32), water.astype(np.uint8), stage.color[first:])


def _horizon_row(stage: Stage) -> float:
    """Return the row of samples at which the ground ends."""
    camera = stage.camera
    forward = camera.axes[2]
    up = camera.axes[1]
    return OVER * float(camera.height / 2 + camera.focal * forward[1] / up[1])


def scatter(
    rng: np.random.Generator, count: int, near: float, far: float, spread: float, *, clear: float = 0.0
) -> Iterator[tuple[float, float]]:
    """Yield positions (x, z) that are evenly spread over the picture: as many per doubling of the distance.

    Args:
        rng: decides.
        count: how many.
        near: smallest distance.
        far: largest distance.
        spread: half of the width relative to the distance.
        clear: keep |x| at least this large.
    """
    for share in rng.random(count):
        z = near * (far / near) ** float(np.round(share, 4))
        x = rng.uniform(-1, 1) * spread * (z + 3)
        if abs(x) >= clear:
            yield float(x), round(z, 3)
