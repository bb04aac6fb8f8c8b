"""Plants: trees, bushes, palms, flowers, pots with leaves, tufts of grass."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from segfit.data.scenery.ade import Ade
from segfit.data.scenery.geometry import UP, Place, Points, ellipse, turn
from segfit.data.scenery.patterns import random_paint
from segfit.data.scenery.solids import billboard, lathe, stroke
from segfit.data.scenery.stage import OVER, Paint, Stage, Window
from segfit.data.scenery.texture import Array, Color, hsv, jitter, white_noise

__all__ = ["bush", "conifer", "flowers", "foliage", "green", "palm", "pot_plant", "tree", "tufts"]

Dabs = NDArray[np.float64]
"""`(n, 3)`: offsets to the right and upwards and radius, in metres."""


def green(rng: np.random.Generator) -> Color:
    """Return the colour of leaves: mostly green, sometimes olive, blue-green or autumnal."""
    if rng.random() < 0.14:
        return hsv(rng.uniform(0.03, 0.13), rng.uniform(0.55, 0.8), rng.uniform(0.5, 0.75))
    return hsv(rng.uniform(0.2, 0.36), rng.uniform(0.35, 0.7), rng.uniform(0.3, 0.58))


def foliage(stage: Stage, center: Points, dabs: Dabs, color: Color, label: Ade, *, size: float) -> None:
    """Draw a cloud of leaves as discs that face the viewer; later ones lie before earlier ones.

    Args:
        stage: where to draw.
        center: `(3,)` its middle.
        dabs: the discs.
        color: of a leaf in full light.
        label: class.
        size: radius (m) of the whole, over which the light turns as on a ball.
    """
    view = stage.camera.view(center[None])
    if view[0, 2] < 0.3:
        return
    x, y = stage.camera.project(view)[0]
    scale = stage.camera.focal / float(view[0, 2])
    middle = np.stack([x + dabs[:, 0] * scale, y - dabs[:, 1] * scale], axis=-1)
    radius = np.maximum(dabs[:, 2] * scale, 0.6)
    low, high = (middle - radius[:, None]).min(0), (middle + radius[:, None]).max(0)
    left, top = max(int(low[0]) - 1, 0), max(int(low[1]) - 1, 0)
    right, bottom = min(int(high[0]) + 2, stage.camera.width), min(int(high[1]) + 2, stage.camera.height)
    if left >= right or top >= bottom or high.min() < 0:
        return
    window = Window(left, top, right, bottom)
    colors, visible = _paint_dabs(window, middle, radius, _leaf_light(stage, center, dabs, size) * color)
    near = np.float32(1 / view[0, 2])
    visible[stage.near[window.samples] > near] = 0
    if visible.any():
        stage.commit(window, visible, colors, label, float(near))


def _leaf_light(stage: Stage, center: Points, dabs: Dabs, size: float) -> Array:
    """Return the light on each disc, `(n, 3)`, as on a rough ball that is darker inside and below."""
    frame = billboard(stage, center)
    s, t = np.clip(dabs[:, :1] / size, -0.9, 0.9), np.clip(dabs[:, 1:2] / size, -0.9, 0.9)
    ahead = np.sqrt(np.maximum(1 - s * s - t * t, 0.1))
    normals = frame.u * s + UP * t + frame.normal * ahead
    normals /= np.sqrt((normals * normals).sum(1, keepdims=True))
    light = stage.light.at(np.broadcast_to(center, normals.shape), normals)
    order = np.linspace(0.5, 1.12, len(dabs))[:, None]
    return (light * order * stage.rng.uniform(0.78, 1.2, (len(dabs), 1))).astype(np.float32)


def _paint_dabs(window: Window, middle: Points, radius: Points, colors: Array) -> tuple[Array, NDArray[np.uint8]]:
    """Return the colours of a window, one per sample, and where the discs are."""
    height, width = window.shape
    patch = np.zeros((height * OVER, width * OVER, 3), np.float32)
    visible = np.zeros(patch.shape[:2], np.uint8)
    centers = np.round((middle - (window.left, window.top)) * OVER * 16 - 8).astype(int).tolist()
    radii = np.maximum(np.round(radius * OVER * 16).astype(int), 8).tolist()
    for center, r, color in zip(centers, radii, colors.tolist(), strict=True):
        cv2.circle(patch, center, r, color, -1, cv2.LINE_8, 4)
        cv2.circle(visible, center, r, 255, -1, cv2.LINE_8, 4)
    speckle = np.resize(white_noise(), (height * OVER, width * OVER))
    patch *= (0.66 + 0.68 * speckle)[..., None]
    return patch, visible


def crown(rng: np.random.Generator, width: float, height: float, count: int, *, leaf: float = 0.17) -> Dabs:
    """Return the discs of a rounded crown, dark inner ones first, then clumps from the bottom up, then a ragged rim."""
    clumps = max(count // 12, 3)
    angle = rng.uniform(0, 2 * math.pi, clumps)
    reach = np.sqrt(rng.uniform(0.05, 0.62, clumps))
    hubs = np.stack([_round(np.cos(angle)) * reach * width, _round(np.sin(angle)) * reach * height], axis=-1)
    hubs = hubs[np.argsort(hubs[:, 1] - 0.5 * rng.random(clumps))]
    mean = (width + height) / 2
    inner = np.concatenate([hubs * 0.85, np.full((clumps, 1), 0.33 * mean)], axis=-1)
    per = max(count // clumps, 3)
    angle, reach = rng.uniform(0, 2 * math.pi, (clumps, per)), np.sqrt(rng.random((clumps, per))) * 0.36
    x = hubs[:, :1] + _round(np.cos(angle)) * reach * width
    y = hubs[:, 1:] + _round(np.sin(angle)) * reach * height
    y = np.sort(y, axis=1)
    r = rng.uniform(0.5, 1.15, (clumps, per)) * leaf * mean
    outer = np.stack([x.ravel(), y.ravel(), r.ravel()], axis=-1)
    return np.concatenate([inner, outer])


def _round(values: Points) -> Points:
    """Return sines and cosines on a fixed grid, the same on every platform."""
    return np.round(values * 2.0**20) / 2.0**20


def detail(stage: Stage, center: Points, radius: float, *, least: int = 18, most: int = 170) -> int:
    """Return how many discs a crown of this radius is worth at its distance."""
    depth = max(float(stage.camera.view(center[None])[0, 2]), 0.3)
    pixels = radius * stage.camera.focal / depth * (256 / min(stage.camera.width, stage.camera.height))
    return int(np.clip(pixels * 2.4, least, most))


def trunk(stage: Stage, place: Place, height: float, width: float, *, branches: int = 3) -> None:
    """Draw a trunk that thins upwards and forks into branches."""
    rng = stage.rng
    bark = random_paint(rng, "wood", jitter(rng, hsv(rng.uniform(0.05, 0.1), rng.uniform(0.15, 0.4), 0.42), 0.3))
    frame = billboard(stage, place.point((0, 0, 0)))
    lean = rng.uniform(-0.08, 0.08) * height
    stem = np.array([(0, 0), (lean * 0.3, height * 0.5), (lean, height)])
    outlines = stroke(stem, width * 1.3, width * 0.7)
    for _ in range(branches):
        start = rng.uniform(0.55, 0.95)
        side = rng.choice((-1, 1)) * rng.uniform(0.2, 0.5) * height
        foot = np.array((lean * start, height * start))
        outlines += stroke(np.array([foot, foot + (side * 0.5, height * 0.22), foot + (side, height * 0.55)]), width * 0.5, width * 0.15)
    stage.panel(frame, outlines, bark, Ade.TREE, bulge=(0.6, 0.0))


def tree(stage: Stage, place: Place, height: float, color: Color | None = None) -> None:
    """Draw a broad-leaved tree, now and then a bare one."""
    rng = stage.rng
    bole = height * rng.uniform(0.25, 0.4)
    trunk(stage, place, bole * 1.25, height * rng.uniform(0.03, 0.05), branches=4)
    wide, tall = height * rng.uniform(0.26, 0.4), (height - bole) / 2
    center = place.point((0, bole + tall * 0.95, 0))
    dabs = crown(rng, wide, tall, detail(stage, center, (wide + tall) / 2))
    foliage(stage, center, dabs, green(rng) if color is None else jitter(rng, color, 0.25), Ade.TREE, size=(wide + tall) / 2)
    for _ in range(3):
        shadow = ellipse(wide * 0.8, wide * 0.8, sides=9) + rng.uniform(-0.3, 0.3, 2) * wide
        stage.cast(center + np.stack([shadow[:, 0], rng.uniform(-0.5, 0.6) * tall + 0 * shadow[:, 0], shadow[:, 1]], axis=-1))


def conifer(stage: Stage, place: Place, height: float, color: Color | None = None) -> None:
    """Draw a fir or a cypress."""
    rng = stage.rng
    trunk(stage, place, height * 0.3, height * 0.035, branches=0)
    wide = height * rng.uniform(0.12, 0.24)
    center = place.point((0, height * 0.55, 0))
    count = detail(stage, center, height * 0.4)
    level = np.sort(rng.random(count))
    reach = (1 - level) ** 0.85 * wide + 0.02 * height
    x = rng.uniform(-1, 1, count) * reach
    y = (level * 0.92 - 0.47) * height - np.abs(x) * 0.35
    r = (0.25 + 0.5 * (1 - level)) * wide * rng.uniform(0.35, 0.7, count) + 0.012 * height
    shade = hsv(rng.uniform(0.27, 0.42), rng.uniform(0.3, 0.55), rng.uniform(0.26, 0.42)) if color is None else color
    foliage(stage, center, np.stack([x, y, r], axis=-1), shade, Ade.TREE, size=wide)
    stage.cast(place.point([(-wide, height * 0.15, 0), (wide, height * 0.15, 0), (0, height, 0)]))


def bush(stage: Stage, place: Place, width: float, height: float, color: Color | None = None) -> None:
    """Draw a bush: ADE20K's plant."""
    rng = stage.rng
    center = place.point((0, height * 0.42, 0))
    dabs = crown(rng, width / 2, height * 0.5, detail(stage, center, width / 2, least=14, most=90), leaf=0.2)
    foliage(stage, center, dabs, green(rng) if color is None else color, Ade.PLANT, size=width / 2)
    ring = ellipse(width * 0.4, width * 0.3, sides=8)
    stage.cast(place.point(np.stack([ring[:, 0], np.full(8, height * 0.6), ring[:, 1]], axis=-1)))


def flowers(stage: Stage, place: Place, width: float, height: float, color: Color | None = None) -> None:
    """Draw a bunch or a bed of flowers on leaves."""
    rng = stage.rng
    center = place.point((0, height * 0.5, 0))
    leaves = crown(rng, width / 2, height * 0.45, detail(stage, center, width / 2, least=12, most=40), leaf=0.2)
    foliage(stage, center, leaves * (1, 0.8, 1), green(rng), Ade.PLANT, size=width / 2)
    petals = hsv(rng.choice((0.0, 0.94, 0.85, 0.14, 0.75, 0.05)), rng.uniform(0.25, 0.85), rng.uniform(0.8, 1.0))
    count = detail(stage, center, width / 2, least=10, most=60)
    dabs = np.stack(
        [rng.uniform(-0.5, 0.5, count) * width, rng.uniform(-0.1, 0.55, count) * height, rng.uniform(0.04, 0.09, count) * height + 0.02],
        axis=-1,
    )
    above = billboard(stage, center, towards=0.04).origin
    foliage(stage, above, dabs, petals if color is None else color, Ade.FLOWER, size=width)


def palm(stage: Stage, place: Place, height: float) -> None:
    """Draw a palm with a bent trunk and hanging fronds."""
    rng = stage.rng
    frame = billboard(stage, place.point((0, 0, 0)))
    bend = rng.uniform(-0.25, 0.25) * height
    t = np.linspace(0, 1, 7)
    stem = np.stack([bend * t * t, height * t], axis=-1)
    bark = random_paint(rng, "wood", hsv(0.09, 0.3, 0.5))
    stage.panel(frame, stroke(stem, 0.05 * height, 0.03 * height), bark, Ade.PALM, bulge=(0.6, 0.0))
    head = stem[-1]
    color = hsv(rng.uniform(0.2, 0.32), 0.55, rng.uniform(0.38, 0.55))
    for shade, shift in ((0.55, 0.0), (0.8, 0.35), (1.1, 0.7)):
        fronds: list[Points] = []
        for i in range(5):
            fronds += _frond(rng, head, height * rng.uniform(0.26, 0.36), 0.2 * i + 0.2 * shift + rng.uniform(-0.04, 0.04))
        stage.panel(frame, fronds, Paint(color * np.float32(shade)), Ade.PALM, bulge=(0.5, 0.6))
    stage.cast(frame.at(np.array([(0, 0), (bend - 0.02 * height, height), (bend + 0.02 * height, height)])))


def _frond(rng: np.random.Generator, head: Points, length: float, heading: float) -> list[Points]:
    """Return the outlines of one frond that rises and droops, with the fringe of its leaves."""
    c, s = turn(2 * math.pi * heading)
    t = np.linspace(0, 1, 7)
    rib = head + np.stack([c * length * t, s * length * 0.55 * t + length * (0.35 * t - 0.9 * t * t)], axis=-1)
    outlines = stroke(rib, length * 0.06, length * 0.02)
    for i in range(1, 7):
        drop = length * rng.uniform(0.2, 0.32) * (1.15 - 0.12 * i)
        lean = c * length * 0.1
        a, b = rib[i - 1], rib[i]
        outlines.append(np.array([a, b, (b + a) / 2 + (lean, -drop)]))
    return outlines


def pot_plant(stage: Stage, place: Place, height: float) -> None:
    """Draw a plant in a pot."""
    rng = stage.rng
    pot = height * rng.uniform(0.24, 0.36)
    clay = hsv(rng.choice((0.05, 0.08, 0.55, 0.1)), rng.uniform(0.05, 0.55), rng.uniform(0.35, 0.9))
    lathe(stage, place.point((0, 0, 0)), [(pot * 0.36, 0), (pot * 0.52, pot * 0.9), (pot * 0.5, pot)], Paint(clay), Ade.POT)
    middle = place.point((0, pot, 0))
    if rng.random() < 0.5:
        center = middle + UP * (height - pot) * 0.5
        wide = height * rng.uniform(0.2, 0.32)
        dabs = crown(rng, wide, (height - pot) * 0.5, detail(stage, center, wide, least=16, most=80), leaf=0.18)
        foliage(stage, center, dabs, green(rng), Ade.PLANT, size=wide)
        return
    _leaf_fan(stage, middle, height - pot * 0.9)


def _leaf_fan(stage: Stage, foot: Points, height: float) -> None:
    """Draw long leaves that fan out from one point, dark ones behind."""
    rng = stage.rng
    color = green(rng)
    for layer, shade in enumerate((0.5, 0.8, 1.15)):
        frame = billboard(stage, foot, towards=0.03 * layer)
        outlines = [_leaf(height * rng.uniform(0.6, 1.0), rng.uniform(-0.75, 0.75)) for _ in range(5)]
        stage.panel(frame, outlines, Paint(jitter(rng, color * np.float32(shade), 0.2)), Ade.PLANT, bulge=(0.6, 0.3))


def _leaf(length: float, lean: float) -> Points:
    """Return the outline of a pointed leaf from (0, 0) that bends over to one side."""
    t = np.linspace(0, 1, 6)
    rib = np.stack([lean * length * (0.3 * t + 0.7 * t * t), length * (t - 0.45 * abs(lean) * t * t)], axis=-1)
    width = length * np.array((0.03, 0.09, 0.12, 0.1, 0.05, 0.0))
    sides = np.stack([width, np.zeros(6)], axis=-1)
    return np.concatenate([rib - sides, (rib + sides)[::-1]])


def tufts(stage: Stage, places: Sequence[Points], height: float, color: Color, label: Ade) -> None:
    """Draw tufts of blades at `(3,)` positions; they belong to the ground's class."""
    rng = stage.rng
    for spot in places:
        outlines = [_blade(rng, height) for _ in range(7)]
        frame = billboard(stage, spot)
        stage.panel(frame, outlines, Paint(jitter(rng, color, 0.3)), label)


def _blade(rng: np.random.Generator, height: float) -> Points:
    x, lean, tall = rng.uniform(-0.5, 0.5) * height, rng.uniform(-0.5, 0.5) * height, rng.uniform(0.5, 1.0) * height
    return np.array([(x - 0.03 * height, 0), (x + 0.03 * height, 0), (x + lean, tall)])
