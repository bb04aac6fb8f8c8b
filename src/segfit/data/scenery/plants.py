"""Plants: trees, bushes, palms, flowers, pots with leaves, tufts of grass."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from segfit.data.scenery.ade import Ade
from segfit.data.scenery.geometry import GRID, UP, Place, Points, Vec, add, ellipse, turn
from segfit.data.scenery.patterns import random_paint
from segfit.data.scenery.solids import billboard, lathe, stroke
from segfit.data.scenery.stage import OVER, Paint, Stage, Window
from segfit.data.scenery.texture import Array, Color, hsv, jitter, white_noise

__all__ = ["bush", "conifer", "flowers", "foliage", "green", "palm", "pot_plant", "tree", "tufts"]

Dabs = NDArray[np.float64]
"""`(n, 4)`: offsets to the right and upwards and radius, in metres, and brightness."""


def green(rng: np.random.Generator) -> Color:
    """Return the colour of leaves: mostly green, sometimes olive, blue-green or autumnal."""
    if rng.random() < 0.14:
        return hsv(rng.uniform(0.03, 0.13), rng.uniform(0.55, 0.8), rng.uniform(0.5, 0.75))
    return hsv(rng.uniform(0.2, 0.36), rng.uniform(0.35, 0.7), rng.uniform(0.3, 0.58))


def foliage(stage: Stage, center: Vec, dabs: Dabs, color: Color, label: Ade, *, size: tuple[float, float]) -> None:
    """Draw a cloud of leaves as discs that face the viewer; later ones lie before earlier ones.

    Args:
        stage: where to draw.
        center: its middle.
        dabs: the discs.
        color: of a leaf in full light.
        label: class.
        size: half width and height (m) of the whole, over which the light turns as on a ball.
    """
    view = stage.camera.view(center)
    if view[2] < 0.3:
        return
    x, y = stage.camera.project(view)
    scale = stage.camera.focal / view[2]
    middle = np.stack([x + dabs[:, 0] * scale, y - dabs[:, 1] * scale], axis=-1)
    radius = np.maximum(dabs[:, 2] * scale, 0.6)
    (left, top), (right, bottom) = (
        np.floor((middle - radius[:, None]).min(0)).astype(int).tolist(),
        np.ceil((middle + radius[:, None]).max(0)).astype(int).tolist(),
    )
    window = Window(
        max(left - 1, 0), max(top - 1, 0), min(right + 1, stage.camera.width), min(bottom + 1, stage.camera.height)
    )
    if min(window.shape) <= 0:
        return
    colors, visible = _paint_dabs(window, middle, radius, _leaf_light(stage, center, dabs, size) * color)
    near = np.float32(1 / view[2])
    visible &= stage.near[window.samples] <= near
    if visible.any():
        stage.commit(window, visible, colors, label, float(near))


def _leaf_light(stage: Stage, center: Vec, dabs: Dabs, size: tuple[float, float]) -> Array:
    """Return the light on each disc, `(n, 3)`, as on a rough ball that is darker inside and below."""
    frame = billboard(stage, center)
    s, t = np.clip(dabs[:, :1] / size[0], -0.9, 0.9), np.clip(dabs[:, 1:2] / size[1], -0.6, 0.9)
    ahead = np.sqrt(np.maximum(1 - s * s - t * t, 0.1))
    normals = np.array(frame.u) * s + np.array(UP) * t + np.array(frame.normal) * ahead
    normals /= np.sqrt((normals * normals).sum(1, keepdims=True))
    light = stage.light.at(np.broadcast_to(np.array(center), normals.shape), normals)
    return (light * dabs[:, 3:] * stage.rng.uniform(0.8, 1.2, (len(dabs), 1))).astype(np.float32)


def _paint_dabs(window: Window, middle: Points, radius: Points, colors: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return the colours of a window, one per sample, and where the discs are."""
    height, width = window.shape
    patch = np.zeros((height * OVER, width * OVER, 4), np.float32)
    centers = np.round((middle - (window.left, window.top)) * OVER * 16 - 8).astype(int).tolist()
    radii = np.maximum(np.round(radius * OVER * 16).astype(int), 8).tolist()
    opaque = np.concatenate([colors, np.ones((len(colors), 1), np.float32)], axis=1).tolist()
    for center, r, color in zip(centers, radii, opaque, strict=True):
        cv2.circle(patch, center, r, color, -1, cv2.LINE_8, 4)
    speckle = 0.66 + 0.68 * white_noise((height * OVER, width * OVER))
    return patch[..., :3] * speckle[..., None], patch[..., 3] > 0


def crown(rng: np.random.Generator, width: float, height: float, count: int, *, leaf: float = 0.1) -> Dabs:
    """Return the discs of a rounded crown: dark inner ones, then clumps from back to front, each lit from above.

    Args:
        rng: decides.
        width: half of it (m).
        height: half of it (m).
        count: discs.
        leaf: typical radius of a disc relative to the crown's.
    """
    clumps = int(np.clip(count // 14, 4, 12))
    angle = rng.uniform(0, 2 * math.pi, clumps)
    reach = np.sqrt(rng.uniform(0.05, 0.55, clumps))
    hubs = np.stack([_round(np.cos(angle)) * reach * width, _round(np.sin(angle)) * reach * height], axis=-1)
    hubs = hubs[np.argsort(hubs[:, 1] + rng.uniform(-0.6, 0.6, clumps) * height)]
    mean = (width + height) / 2
    inner = np.concatenate([hubs * 0.9, np.full((clumps, 1), 0.3 * mean), np.full((clumps, 1), 0.45)], axis=-1)
    per = max(count // clumps, 4)
    angle, reach = rng.uniform(0, 2 * math.pi, (clumps, per)), np.sqrt(rng.random((clumps, per)))
    # From the bottom of a clump to its top, so that lit leaves lie on shaded ones.
    rise = np.sort(_round(np.sin(angle)) * reach, axis=1)
    x = hubs[:, :1] + _round(np.cos(angle)) * reach * 0.42 * width
    y = hubs[:, 1:] + rise * 0.42 * height
    r = rng.uniform(0.55, 1.3, (clumps, per)) * leaf * mean
    bright = 0.85 + 0.3 * rise
    outer = np.stack([x.ravel(), y.ravel(), r.ravel(), bright.ravel()], axis=-1)
    return np.concatenate([inner, outer])


def _round(values: Points) -> Points:
    """Return sines and cosines on a fixed grid, the same on every platform."""
    return np.round(values * GRID) / GRID


def detail(stage: Stage, center: Vec, radius: float, *, least: int = 20, most: int = 260) -> int:
    """Return how many discs a crown of this radius is worth at its distance."""
    return int(np.clip(radius * stage.pixels(center) * 4, least, most))


def trunk(stage: Stage, place: Place, height: float, width: float, *, branches: int = 3) -> None:
    """Draw a trunk that thins upwards and forks into branches."""
    rng = stage.rng
    bark = random_paint(rng, "wood", jitter(rng, hsv(rng.uniform(0.05, 0.1), rng.uniform(0.15, 0.4), 0.42), 0.3))
    frame = billboard(stage, place.at())
    lean = rng.uniform(-0.08, 0.08) * height
    stem = np.array([(0, 0), (lean * 0.3, height * 0.5), (lean, height)])
    outlines = stroke(stem, width * 1.3, width * 0.7)
    for _ in range(branches):
        start = rng.uniform(0.55, 0.95)
        side = rng.choice((-1, 1)) * rng.uniform(0.2, 0.5) * height
        foot = np.array((lean * start, height * start))
        outlines += stroke(
            foot + np.array([(0, 0), (side * 0.5, height * 0.22), (side, height * 0.55)]),
            width * 0.5,
            width * 0.15,
        )
    stage.panel(frame, outlines, bark, Ade.TREE, bulge=(0.6, 0.0))


def tree(stage: Stage, place: Place, height: float, color: Color | None = None) -> None:
    """Draw a broad-leaved tree, now and then a bare one."""
    rng = stage.rng
    bole = height * rng.uniform(0.25, 0.4)
    trunk(stage, place, bole * 1.25, height * rng.uniform(0.03, 0.05), branches=4)
    wide, tall = height * rng.uniform(0.26, 0.4), (height - bole) / 2
    center = place.at(0, bole + tall * 0.95, 0)
    dabs = crown(rng, wide, tall, detail(stage, center, (wide + tall) / 2))
    foliage(stage, center, dabs, green(rng) if color is None else jitter(rng, color, 0.25), Ade.TREE, size=(wide, tall))
    for _ in range(3):
        shadow = ellipse(wide * 0.8, wide * 0.8, sides=9) + rng.uniform(-0.3, 0.3, 2) * wide
        stage.cast(
            np.array(center)
            + np.stack([shadow[:, 0], rng.uniform(-0.5, 0.6) * tall + 0 * shadow[:, 0], shadow[:, 1]], axis=-1)
        )


def conifer(stage: Stage, place: Place, height: float, color: Color | None = None) -> None:
    """Draw a fir or a cypress."""
    rng = stage.rng
    trunk(stage, place, height * 0.3, height * 0.035, branches=0)
    wide = height * rng.uniform(0.12, 0.24)
    center = place.at(0, height * 0.55, 0)
    count = detail(stage, center, height * 0.4)
    level = np.sort(rng.random(count))
    tier = (level * 9) % 1
    reach = (1 - level) * wide * (1.15 - 0.45 * tier) + 0.01 * height
    across = rng.uniform(-1, 1, count)
    x = across * reach
    y = (level * 0.96 - 0.48) * height - np.abs(across) * reach * 0.4
    r = (0.12 + 0.3 * (1 - level)) * wide * rng.uniform(0.4, 0.8, count) + 0.008 * height
    bright = 0.7 + 0.45 * tier * rng.uniform(0.6, 1.0, count)
    shade = hsv(rng.uniform(0.27, 0.42), rng.uniform(0.3, 0.55), rng.uniform(0.32, 0.48)) if color is None else color
    foliage(stage, center, np.stack([x, y, r, bright], axis=-1), shade, Ade.TREE, size=(wide, height))
    stage.cast(place.points([(-wide, height * 0.15, 0), (wide, height * 0.15, 0), (0, height, 0)]))


def bush(stage: Stage, place: Place, width: float, height: float, color: Color | None = None) -> None:
    """Draw a bush: ADE20K's plant."""
    rng = stage.rng
    center = place.at(0, height * 0.42, 0)
    dabs = crown(rng, width / 2, height * 0.5, detail(stage, center, width / 2, least=24, most=160), leaf=0.13)
    dabs[:, 1] -= min(float((dabs[:, 1] - dabs[:, 2]).min()) + height * 0.42, 0.0) * (dabs[:, 1] < 0)
    # What would reach below the ground is lifted, and a low skirt keeps the bush from floating.
    skirt = np.linspace(-0.36, 0.36, 9)[:, None] * width
    foot = np.concatenate(
        [skirt, np.full((9, 1), -0.3 * height), np.full((9, 1), 0.14 * height), np.full((9, 1), 0.5)], axis=1
    )
    dabs = np.concatenate([foot, dabs])
    foliage(stage, center, dabs, green(rng) if color is None else color, Ade.PLANT, size=(width / 2, height / 2))
    ring = ellipse(width * 0.4, width * 0.3, sides=8)
    stage.cast(place.points(np.stack([ring[:, 0], np.full(8, height * 0.6), ring[:, 1]], axis=-1)))


def flowers(stage: Stage, place: Place, width: float, height: float, color: Color | None = None) -> None:
    """Draw a bunch or a bed of flowers on leaves."""
    rng = stage.rng
    center = place.at(0, height * 0.5, 0)
    leaves = crown(rng, width / 2, height * 0.45, detail(stage, center, width / 2, least=12, most=40), leaf=0.15)
    foliage(stage, center, leaves * (1, 0.8, 1, 1), green(rng), Ade.PLANT, size=(width / 2, height / 2))
    petals = hsv(rng.choice((0.0, 0.94, 0.85, 0.14, 0.75, 0.05)), rng.uniform(0.25, 0.85), rng.uniform(0.8, 1.0))
    count = detail(stage, center, width / 2, least=10, most=60)
    spread = np.stack([rng.uniform(-0.5, 0.5, count) * width, rng.uniform(-0.1, 0.55, count) * height], axis=-1)
    radius = rng.uniform(0.04, 0.09, (count, 1)) * height + 0.02
    dabs = np.concatenate([spread, radius, rng.uniform(0.7, 1.1, (count, 1))], axis=1)
    above = billboard(stage, center, towards=0.04).origin
    foliage(stage, above, dabs, petals if color is None else color, Ade.FLOWER, size=(width, height))


def palm(stage: Stage, place: Place, height: float) -> None:
    """Draw a palm with a bent trunk and hanging fronds."""
    rng = stage.rng
    frame = billboard(stage, place.at())
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
            fronds += _frond(
                rng, head, height * rng.uniform(0.26, 0.36), 0.2 * i + 0.2 * shift + rng.uniform(-0.04, 0.04)
            )
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
    lathe(stage, place.at(), [(pot * 0.36, 0), (pot * 0.52, pot * 0.9), (pot * 0.5, pot)], Paint(clay), Ade.POT)
    middle = place.at(0, pot, 0)
    if rng.random() < 0.5:
        center = add(middle, UP, (height - pot) * 0.5)
        wide = height * rng.uniform(0.2, 0.32)
        dabs = crown(rng, wide, (height - pot) * 0.5, detail(stage, center, wide, least=16, most=80), leaf=0.13)
        foliage(stage, center, dabs, green(rng), Ade.PLANT, size=(wide, wide))
        return
    _leaf_fan(stage, middle, height - pot * 0.9)


def _leaf_fan(stage: Stage, foot: Vec, height: float) -> None:
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


def tufts(stage: Stage, places: Sequence[Vec], height: float, color: Color, label: Ade) -> None:
    """Draw tufts of blades at world positions; they belong to the ground's class."""
    rng = stage.rng
    for spot in places:
        outlines = [_blade(rng, height) for _ in range(12)]
        frame = billboard(stage, spot)
        stage.panel(frame, outlines, Paint(jitter(rng, color * np.float32(1.3), 0.25)), label)


def _blade(rng: np.random.Generator, height: float) -> Points:
    x, lean, tall = rng.uniform(-0.5, 0.5) * height, rng.uniform(-0.5, 0.5) * height, rng.uniform(0.5, 1.0) * height
    return np.array([(x - 0.02 * height, 0), (x + 0.02 * height, 0), (x + lean, tall)])
