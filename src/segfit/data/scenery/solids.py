"""Bodies made of flat outlines: boxes, extrusions, turned shapes, balls, rocks, strokes."""

import itertools
import math
from collections.abc import Sequence

import numpy as np

from segfit.data.scenery.ade import Ade
from segfit.data.scenery.geometry import UP, Frame, Place, Points, Vec, add, cross, dot, ellipse, rectangle, scale
from segfit.data.scenery.stage import Bulge, Paint, Stage

__all__ = ["ball", "billboard", "box", "disc", "extrude", "face", "lathe", "rock", "stroke"]


def box(
    stage: Stage,
    place: Place,
    low: Vec,
    high: Vec,
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
    wide, tall, deep = x1 - x0, y1 - y0, z1 - z0
    ex, ey, ez = place.local(stage.camera.eye)
    if ez < z0:
        stage.panel(place.front(x0, y0, z0), [rectangle(0, 0, wide, tall)], front or paint, label)
    elif ez > z1:
        stage.panel(place.rear(x1, y0, z1), [rectangle(0, 0, wide, tall)], paint, label)
    if ex > x1:
        stage.panel(place.side(x1, y0, z0), [rectangle(0, 0, deep, tall)], paint, label)
    elif ex < x0:
        stage.panel(Frame(place.at(x0, y0, z1), place.ahead, UP), [rectangle(0, 0, deep, tall)], paint, label)
    if ey > y1:
        stage.panel(place.flat(x0, y1, z0), [rectangle(0, 0, wide, deep)], top or paint, label)
    elif ey < y0:
        below = Frame(place.at(x0, y0, z1), place.right, place.ahead)
        stage.panel(below, [rectangle(0, 0, wide, deep)], paint, label)
    if cast:
        stage.cast(np.array([place.at(x, y, z) for x in (x0, x1) for y in (y0, y1) for z in (z0, z1)]))


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
    away = scale(frame.normal, -1.0)
    stage.panel(frame, [outline], paint, label, one_sided=True)
    rear = Frame(add(frame.origin, away, depth), scale(frame.u, -1.0), frame.v)
    stage.panel(rear, [outline * (-1, 1)], paint, label, one_sided=True)
    corners = frame.at(outline)
    positions: list[Vec] = [tuple(corner) for corner in corners.tolist()]
    for i, corner in enumerate(positions):
        _edge(stage, positions[i - 1], corner, (away, depth), edge or paint, label)
    if cast:
        stage.cast(np.concatenate([corners, corners + np.array(away) * depth]))


def _edge(stage: Stage, start: Vec, end: Vec, back: tuple[Vec, float], paint: Paint, label: Ade) -> None:
    """Draw the strip behind an edge of an extrusion; where it rises or falls, the texture stands upright."""
    away, depth = back
    along = add(end, start, -1.0)
    length = math.sqrt(dot(along, along))
    if length < 1e-6:
        return
    along = scale(along, 1 / length)
    if along[1] > 0.3:
        frame, outline = Frame(start, away, along), rectangle(0, 0, depth, length)
    elif along[1] < -0.3:
        frame, outline = (
            Frame(add(end, away, depth), scale(away, -1.0), scale(along, -1.0)),
            rectangle(0, 0, depth, length),
        )
    else:
        frame, outline = Frame(end, scale(along, -1.0), away), rectangle(0, 0, length, depth)
    stage.panel(frame, [outline], paint, label, one_sided=True)


def face(
    stage: Stage, corners: Points, paint: Paint, label: Ade, *, one_sided: bool = False, bulge: Bulge = (0.0, 0.0)
) -> None:
    """Draw a flat polygon given by `(n, 3)` world positions, counter-clockwise as seen from its front."""
    positions: list[Vec] = [tuple(corner) for corner in corners.tolist()]
    first = positions[0]
    along, other = add(positions[1], first, -1.0), add(positions[-1], first, -1.0)
    u = scale(along, 1 / math.sqrt(dot(along, along)))
    v = add(other, u, -dot(other, u))
    length = math.sqrt(dot(v, v))
    if length < 1e-6:
        return
    v = scale(v, 1 / length)
    away = [add(position, first, -1.0) for position in positions]
    outline = np.array([(dot(p, u), dot(p, v)) for p in away])
    stage.panel(Frame(first, u, v), [outline], paint, label, one_sided=one_sided, bulge=bulge)


def billboard(stage: Stage, center: Vec, *, towards: float = 0.0) -> Frame:
    """Return the upright frame at `center` that faces the viewer, moved towards it by some metres."""
    eye = stage.camera.eye
    x, z = center[0] - eye[0], center[2] - eye[2]
    length = max(math.sqrt(x * x + z * z), 1e-3)
    x, z = x / length, z / length
    return Frame((center[0] - x * towards, center[1], center[2] - z * towards), (z, 0.0, -x), UP)


def lathe(
    stage: Stage, base: Vec, profile: Sequence[tuple[float, float]], paint: Paint, label: Ade, *, cast: bool = True
) -> None:
    """Draw a shape turned about the vertical.

    Args:
        stage: where to draw.
        base: the foot of its axis.
        profile: (radius, height) from the bottom to the top.
        paint: its surface.
        label: its class.
        cast: whether it throws a shadow.
    """
    frame = billboard(stage, base, towards=profile[0][0])
    eye = stage.camera.eye
    distance = max(math.sqrt((base[0] - eye[0]) ** 2 + (base[2] - eye[2]) ** 2), 0.3)
    # Each height is a circle seen at its own angle: its sides appear higher than its nearest point.
    rises = [radius * (eye[1] - base[1] - height) / distance for radius, height in profile]
    right = [(radius, height + rise) for (radius, height), rise in zip(profile, rises, strict=True)]
    bottom = [(s * profile[0][0], (1 - c) * rises[0]) for c, s in _half_turn(-1, 1)]
    top = [(s * profile[-1][0], profile[-1][1] + (1 - c) * rises[-1]) for c, s in _half_turn(1, -1)]
    left = [(-x, y) for x, y in reversed(right)]
    stage.panel(frame, [np.array(bottom + right + top + left)], paint, label, bulge=(0.95, 0.0))
    if rises[-1] > 0 and profile[-1][0] > 0:
        disc(stage, add(base, UP, profile[-1][1]), profile[-1][0], paint, label)
    if cast:
        rings = [(x, height, z) for radius, height in (profile[0], max(profile), profile[-1]) for x, z in _ring(radius)]
        stage.cast(np.array(base) + np.array(rings))


def _half_turn(start: int, end: int) -> list[tuple[float, float]]:
    """Return cosine and sine from a quarter turn on one side to the other, without the ends."""
    arc = ellipse(1, 1, sides=7, start=start * 0.25, sweep=(end - start) * 0.25)
    return [(c, s) for c, s in arc[1:-1].tolist()]


def _ring(radius: float) -> list[tuple[float, float]]:
    return [(x, z) for x, z in ellipse(radius, radius, sides=8).tolist()]


def disc(stage: Stage, center: Vec, radius: float, paint: Paint, label: Ade) -> None:
    """Draw a horizontal disc."""
    frame = Frame(center, (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    stage.panel(frame, [ellipse(radius, radius, sides=20)], paint, label)


def ball(stage: Stage, center: Vec, radius: float, paint: Paint, label: Ade, *, cast: bool = True) -> None:
    """Draw a sphere."""
    stage.panel(billboard(stage, center), [ellipse(radius, radius, sides=24)], paint, label, bulge=(0.95, 0.95))
    if cast:
        ring = [(x, y, z) for x, z in _ring(radius * 0.8) for y in (-radius / 2, radius / 2)]
        stage.cast(np.array(center) + np.array(ring))


def rock(stage: Stage, base: Vec, size: Vec, paint: Paint, label: Ade) -> None:
    """Draw an irregular stone of about `size` (x, y, z) that stands on `base`."""
    rng = stage.rng
    rings: list[list[Vec]] = []
    for level, (height, radius) in enumerate(((-0.1, 0.95), (0.4, 1.0), (0.8, 0.62))):
        wobble = rng.uniform(0.72, 1.15, (7, 1))
        lift = rng.uniform(-0.08, 0.08, 7) * (level > 0)
        ring = ellipse(size[0] / 2, size[2] / 2, sides=7, start=0.07 * level) * wobble * radius
        heights = ((height + lift) * size[1]).tolist()
        rings.append([add(base, (x, y, z)) for (x, z), y in zip(ring.tolist(), heights, strict=True)])
    peak = add(base, (float(rng.uniform(-0.12, 0.12)) * size[0], size[1], 0.0))
    inner = add(base, UP, 0.3 * size[1])
    for low, high in itertools.pairwise(rings):
        for i in range(7):
            _facet(stage, (low[i - 1], low[i], high[i]), inner, paint, label)
            _facet(stage, (low[i - 1], high[i], high[i - 1]), inner, paint, label)
    for i in range(7):
        _facet(stage, (rings[-1][i - 1], rings[-1][i], peak), inner, paint, label)
    stage.cast(np.array([*rings[0], *rings[1], *rings[2], peak]))


def _facet(stage: Stage, corners: tuple[Vec, Vec, Vec], inner: Vec, paint: Paint, label: Ade) -> None:
    """Draw a triangle of a stone with its front away from `inner`."""
    a, b, c = corners
    outward = cross(add(c, a, -1.0), add(b, a, -1.0))
    if dot(outward, add(a, inner, -1.0)) < 0:
        b, c, outward = c, b, scale(outward, -1.0)
    if dot(outward, add(stage.camera.eye, a, -1.0)) > 0:
        face(stage, np.array((a, b, c)), paint, label)


def stroke(points: Points, start: float, end: float | None = None) -> list[Points]:
    """Return the outlines of a line through `(n, 2)` points whose width goes from `start` to `end`."""
    line = points.tolist()
    last = start if end is None else end
    outlines = []
    for i in range(len(line) - 1):
        (x0, y0), (x1, y1) = line[i], line[i + 1]
        dx, dy = x1 - x0, y1 - y0
        length = max(math.sqrt(dx * dx + dy * dy), 1e-6)
        first, second = (start + (last - start) * j / (len(line) - 1) for j in (i, i + 1))
        nx, ny = -dy / length / 2, dx / length / 2
        corners = (
            (x0 - nx * first, y0 - ny * first),
            (x1 - nx * second, y1 - ny * second),
            (x1 + nx * second, y1 + ny * second),
            (x0 + nx * first, y0 + ny * first),
        )
        outlines.append(np.array(corners))
    return outlines
