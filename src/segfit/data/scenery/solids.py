"""Bodies made of flat outlines: boxes, extrusions, turned shapes, balls, rocks, strokes."""

import math
from collections.abc import Sequence

import numpy as np

from segfit.data.scenery.ade import Ade
from segfit.data.scenery.geometry import UP, Frame, Place, Points, cross, dot, ellipse, rectangle
from segfit.data.scenery.stage import Paint, Stage

__all__ = ["ball", "billboard", "box", "disc", "extrude", "face", "lathe", "rock", "stroke"]

Corner = tuple[float, float, float]


def box(
    stage: Stage,
    place: Place,
    low: Corner,
    high: Corner,
    paint: Paint,
    label: Ade,
    *,
    top: Paint | None = None,
    front: Paint | None = None,
    cast: bool = True,
) -> None:
    """Draw a box between two corners in the place's coordinates.

    Args:
        stage: where to draw.
        place: where the box's coordinates are.
        low: the corner with the smallest coordinates.
        high: the opposite corner.
        paint: its faces.
        label: its class.
        top: the upper face, if it looks different.
        front: the front face, if it looks different.
        cast: whether it throws a shadow.
    """
    (x0, y0, z0), (x1, y1, z1) = low, high
    wide, tall, deep = rectangle(0, 0, x1 - x0, y1 - y0), rectangle(0, 0, z1 - z0, y1 - y0), None
    right, back = place.right, place.back
    deep = rectangle(0, 0, x1 - x0, z1 - z0)
    faces = (
        (place.front(x0, y0, z0), wide, front or paint),
        (Frame(place.point((x1, y0, z1)), -right, UP), wide, paint),
        (place.side(x1, y0, z0), tall, paint),
        (Frame(place.point((x0, y0, z1)), -back, UP), tall, paint),
        (place.flat(x0, y1, z0), deep, top or paint),
        (Frame(place.point((x0, y0, z1)), right, -back), deep, paint),
    )
    for frame, outline, look in faces:
        stage.panel(frame, [outline], look, label, one_sided=True)
    if cast:
        corners = [(x, y, z) for x in (x0, x1) for y in (y0, y1) for z in (z0, z1)]
        stage.cast(place.point(corners))


def extrude(
    stage: Stage,
    frame: Frame,
    outline: Points,
    depth: float,
    paint: Paint,
    label: Ade,
    *,
    edge: Paint | None = None,
    cast: bool = True,
) -> None:
    """Draw an outline (counter-clockwise as seen from the front) that reaches `depth` metres back from its frame."""
    back = -frame.normal * depth
    stage.panel(frame, [outline], paint, label, one_sided=True)
    mirrored = Frame(frame.origin + back, -frame.u, frame.v)
    stage.panel(mirrored, [outline * (-1, 1)], paint, label, one_sided=True)
    corners = frame.at(outline)
    for i in range(len(corners)):
        along = corners[i - 1] - corners[i]
        length = math.sqrt(dot(along, along))
        if length > 1e-6:
            side = Frame(corners[i], along / length, back / depth)
            stage.panel(side, [rectangle(0, 0, length, depth)], edge or paint, label, one_sided=True)
    if cast:
        stage.cast(np.concatenate([corners, corners + back]))


def face(stage: Stage, corners: Points, paint: Paint, label: Ade, *, one_sided: bool = False) -> None:
    """Draw a flat polygon given by `(n, 3)` world positions, counter-clockwise as seen from its front."""
    along = corners[1] - corners[0]
    u = along / math.sqrt(dot(along, along))
    other = corners[-1] - corners[0]
    v = other - u * dot(other, u)
    length = math.sqrt(dot(v, v))
    if length < 1e-6:
        return
    v = v / length
    away = corners - corners[0]
    outline = np.stack([(away * u).sum(1), (away * v).sum(1)], axis=-1)
    stage.panel(Frame(corners[0], u, v), [outline], paint, label, one_sided=one_sided)


def billboard(stage: Stage, center: Points, *, towards: float = 0.0) -> Frame:
    """Return the upright frame at `center` that faces the viewer, moved towards it by some metres."""
    view = center - stage.camera.position
    length = max(math.sqrt(float(view[0] * view[0] + view[2] * view[2])), 1e-3)
    x, z = float(view[0]) / length, float(view[2]) / length
    return Frame(center - np.array((x, 0.0, z)) * towards, np.array((z, 0.0, -x)), UP)


def lathe(
    stage: Stage, base: Points, profile: Sequence[tuple[float, float]], paint: Paint, label: Ade, *, cast: bool = True
) -> None:
    """Draw a shape turned about the vertical.

    Args:
        stage: where to draw.
        base: `(3,)` the foot of its axis.
        profile: (radius, height) from the bottom to the top.
        paint: its surface.
        label: its class.
        cast: whether it throws a shadow.
    """
    frame = billboard(stage, base, towards=profile[0][0])
    away = base - stage.camera.position
    distance = max(math.sqrt(float(away[0] ** 2 + away[2] ** 2)), 0.3)
    # Each height is a circle seen at its own angle: its sides appear higher than its nearest point.
    rises = [radius * -(float(away[1]) + height) / distance for radius, height in profile]
    right = [(radius, height + rise) for (radius, height), rise in zip(profile, rises, strict=True)]
    bottom = [(s * profile[0][0], (1 - c) * rises[0]) for c, s in _half_turn(-1, 1)]
    top = [(s * profile[-1][0], profile[-1][1] + (1 - c) * rises[-1]) for c, s in _half_turn(1, -1)]
    left = [(-x, y) for x, y in reversed(right)]
    outline = np.array(bottom + right + top + left)
    stage.panel(frame, [outline], paint, label, bulge=(0.95, 0.0))
    if rises[-1] > 0 and profile[-1][0] > 0:
        disc(stage, base + UP * profile[-1][1], profile[-1][0], paint, label)
    if cast:
        ring = [
            (x, height, z) for radius, height in (profile[0], max(profile), profile[-1]) for x, z in _ring(radius)
        ]
        stage.cast(base + np.array(ring))


def _half_turn(start: int, end: int) -> list[tuple[float, float]]:
    """Return cosine and sine from a quarter turn on one side to the other, without the ends."""
    arc = ellipse(1, 1, sides=7, start=start * 0.25, sweep=(end - start) * 0.25)
    return [(float(c), float(s)) for c, s in arc[1:-1]]


def _ring(radius: float) -> list[tuple[float, float]]:
    return [(float(x), float(z)) for x, z in ellipse(radius, radius, sides=8)]


def disc(
    stage: Stage, center: Points, radius: float, paint: Paint, label: Ade, *, depth: float | None = None
) -> None:
    """Draw a horizontal disc, or an ellipse where `depth` is its radius away from the viewer."""
    frame = Frame(center, np.array((1.0, 0.0, 0.0)), np.array((0.0, 0.0, 1.0)))
    stage.panel(frame, [ellipse(radius, radius if depth is None else depth, sides=20)], paint, label)


def ball(stage: Stage, center: Points, radius: float, paint: Paint, label: Ade, *, cast: bool = True) -> None:
    """Draw a sphere."""
    frame = billboard(stage, center)
    stage.panel(frame, [ellipse(radius, radius, sides=24)], paint, label, bulge=(0.95, 0.95))
    if cast:
        stage.cast(center + np.array([(x, y, z) for x, z in _ring(radius * 0.8) for y in (-radius / 2, radius / 2)]))


def rock(stage: Stage, base: Points, size: Corner, paint: Paint, label: Ade) -> None:
    """Draw an irregular stone of about `size` (x, y, z) that stands on `base`."""
    rng = stage.rng
    rings = []
    for level, (height, radius) in enumerate(((-0.1, 0.95), (0.4, 1.0), (0.8, 0.62))):
        wobble = rng.uniform(0.72, 1.15, 7)[:, None]
        lift = rng.uniform(-0.08, 0.08, 7) * (level > 0)
        ring = ellipse(size[0] / 2, size[2] / 2, sides=7, start=0.07 * level) * wobble * radius
        rings.append(base + np.stack([ring[:, 0], (height + lift) * size[1], ring[:, 1]], axis=-1))
    peak = base + np.array((rng.uniform(-0.12, 0.12) * size[0], size[1], 0.0))
    for low, high in zip(rings, rings[1:], strict=False):
        for i in range(7):
            _facet(stage, low[i - 1], low[i], high[i], peak, paint, label)
            _facet(stage, low[i - 1], high[i], high[i - 1], peak, paint, label)
    for i in range(7):
        _facet(stage, rings[-1][i - 1], rings[-1][i], peak, peak - UP, paint, label)
    stage.cast(np.concatenate([rings[0], rings[1], rings[2], peak[None]]))


def _facet(stage: Stage, a: Points, b: Points, c: Points, inner: Points, paint: Paint, label: Ade) -> None:
    """Draw a triangle of a stone with its front away from `inner`."""
    outward = cross(c - a, b - a)
    corners = [a, b, c] if dot(outward, a - inner) > 0 else [a, c, b]
    face(stage, np.array(corners), paint, label, one_sided=True)


def stroke(points: Points, start: float, end: float | None = None) -> list[Points]:
    """Return the outlines of a line through `(n, 2)` points whose width goes from `start` to `end`."""
    widths = np.linspace(start, start if end is None else end, len(points)) / 2
    outlines = []
    for i in range(len(points) - 1):
        along = points[i + 1] - points[i]
        length = max(math.sqrt(float(along[0] ** 2 + along[1] ** 2)), 1e-6)
        across = np.array((-along[1], along[0])) / length
        first, second = across * widths[i], across * widths[i + 1]
        outlines.append(np.array((points[i] - first, points[i + 1] - second, points[i + 1] + second, points[i] + first)))
    return outlines
