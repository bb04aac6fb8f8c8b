"""Cars, vans, buses and boats: extruded profiles with windows, wheels and lights."""

from collections.abc import Sequence

import numpy as np

from segfit.data.scenery.ade import Ade
from segfit.data.scenery.geometry import Frame, Place, Points, ellipse, rectangle, rounded
from segfit.data.scenery.solids import billboard, box, extrude, face, stroke
from segfit.data.scenery.stage import Paint, Stage
from segfit.data.scenery.texture import Color, hsv

__all__ = ["boat", "bus", "car", "sailboat", "van"]

GLASS = hsv(0.58, 0.35, 0.3)
TYRE = hsv(0.6, 0.1, 0.12)


def lacquer(rng: np.random.Generator) -> Color:
    """Return the colour of a car: mostly white, grey and black, some red, blue and others."""
    if rng.random() < 0.5:
        return hsv(0.6, rng.uniform(0, 0.08), rng.choice((0.15, 0.35, 0.6, 0.8, 0.95)))
    return hsv(rng.choice((0.0, 0.02, 0.6, 0.57, 0.1, 0.35)), rng.uniform(0.5, 0.9), rng.uniform(0.4, 0.85))


HATCHBACK = (
    (-1.95, 0.3),
    (1.95, 0.28),
    (2.02, 0.62),
    (1.9, 0.82),
    (1.0, 0.95),
    (0.35, 1.42),
    (-1.3, 1.45),
    (-1.85, 1.0),
    (-2.0, 0.6),
)
SALOON = (
    (-2.25, 0.32),
    (2.2, 0.28),
    (2.28, 0.6),
    (2.1, 0.8),
    (1.05, 0.93),
    (0.4, 1.38),
    (-0.95, 1.4),
    (-1.55, 1.0),
    (-2.2, 0.95),
    (-2.3, 0.6),
)
OFFROAD = ((-2.2, 0.4), (2.2, 0.4), (2.25, 0.8), (2.1, 1.05), (1.15, 1.12), (0.75, 1.72), (-2.0, 1.75), (-2.2, 1.1))
"""Side views, the front at positive x, counter-clockwise (metres)."""


def car(stage: Stage, place: Place) -> None:
    """Draw a car; its front is at local right, its middle at the place."""
    rng = stage.rng
    profile = np.array((HATCHBACK, SALOON, OFFROAD)[int(rng.choice(3, p=(0.45, 0.35, 0.2)))])
    roof = float(profile[:, 1].max())
    sill = 0.95 if roof < 1.6 else 1.12
    front, back = _at_height(profile, sill), _at_height(profile, roof - 0.09)
    panes = [
        np.array([(front[0] + 0.12, sill), (-0.15, sill), (-0.15, roof - 0.1), (back[0] + 0.1, roof - 0.1)]),
        np.array([(-0.05, sill), (front[1] - 0.12, sill), (back[1] - 0.1, roof - 0.1), (-0.05, roof - 0.1)]),
    ]
    _vehicle(stage, place, profile, 1.72, panes, (-1.3, 1.35), 0.32, Ade.CAR, lacquer(rng))


def van(stage: Stage, place: Place) -> None:
    """Draw a delivery van, placed as a car."""
    profile = np.array(
        ((-2.6, 0.4), (2.6, 0.38), (2.65, 0.8), (2.5, 1.1), (1.95, 1.25), (1.4, 2.15), (1.2, 2.25), (-2.6, 2.25))
    )
    panes = [np.array([(0.75, 1.25), (1.8, 1.25), (1.35, 1.95), (0.75, 1.95)])]
    color = hsv(stage.rng.random(), stage.rng.choice((0.0, 0.0, 0.6)), stage.rng.uniform(0.6, 0.95))
    _vehicle(stage, place, profile, 1.95, panes, (-1.7, 1.7), 0.36, Ade.VAN, color)


def bus(stage: Stage, place: Place) -> None:
    """Draw a bus, placed as a car."""
    rng = stage.rng
    profile = np.array(((-5.2, 0.45), (5.2, 0.4), (5.25, 1.2), (5.1, 2.9), (4.9, 3.05), (-5.1, 3.05), (-5.25, 2.8)))
    panes = [rounded(x, 1.35, x + 1.35, 2.5, 0.1) for x in np.arange(-4.9, 4.0, 1.5)]
    panes += [rounded(4.2, 0.6, 4.95, 2.6, 0.1)]
    color = hsv(rng.choice((0.0, 0.12, 0.33, 0.58, 0.02)), rng.uniform(0.6, 0.9), rng.uniform(0.6, 0.9))
    _vehicle(stage, place, profile, 2.5, panes, (-3.2, 3.3), 0.5, Ade.BUS, color)
    stripe = [rectangle(-5.15, 1.02, 4.1, 1.16)]
    for frame, mirror in _flanks(place, 2.5):
        stage.panel(frame, [p * (mirror, 1) for p in stripe], Paint(hsv(0, 0, 0.95)), Ade.BUS, one_sided=True)


def _vehicle(
    stage: Stage,
    place: Place,
    profile: Points,
    width: float,
    panes: Sequence[Points],
    axles: tuple[float, float],
    wheel: float,
    label: Ade,
    color: Color,
) -> None:
    """Draw a body from its side view, and what is on its flanks and ends."""
    body = Paint(color)
    flank = place.front(0, 0, -width / 2)
    extrude(stage, flank, profile, width, body, label)
    near = stage.pixels(place.at(0, 1, 0)) > 9
    for frame, mirror in _flanks(place, width):
        stage.panel(frame, [p * (mirror, 1) for p in panes], Paint(GLASS), label, one_sided=True, bulge=(0.0, 0.5))
        parts = [(1.0, Paint(TYRE)), (0.55, Paint(hsv(0, 0, 0.7)))] if near else [(1.0, Paint(TYRE))]
        for size, paint in parts:
            wheels = [ellipse(wheel * size, wheel * size, center=(mirror * x, wheel), sides=14) for x in axles]
            stage.panel(frame, wheels, paint, label, one_sided=True)
    _windscreens(stage, place, profile, width, label)
    if near:
        _lamps(stage, place, profile, width, label)


def _flanks(place: Place, width: float) -> tuple[tuple[Frame, int], tuple[Frame, int]]:
    """Return the frames just outside both sides, and the factor on x that mirrors the second."""
    near = place.front(0, 0, -width / 2 - 0.012)
    far = place.rear(0, 0, width / 2 + 0.012)
    return (near, 1), (far, -1)


def _windscreens(stage: Stage, place: Place, profile: Points, width: float, label: Ade) -> None:
    """Draw glass on the steep edges of the roof."""
    glass = Paint(GLASS * np.float32(1.3))
    half = width / 2 - 0.1
    points = profile.tolist()
    for i, b in enumerate(points):
        a = points[i - 1]
        (x0, y0), (x1, y1) = sorted((a, b), key=lambda point: point[1])
        if y1 - y0 > 0.3 and y1 > 1.2 and y0 > 0.85:
            out = 0.015 if x0 > 0 else -0.015
            _end_pane(stage, place, (x0 + out, y0 + 0.05), (x1 + out, y1 - 0.06), (-half, half), glass, label)


def _lamps(stage: Stage, place: Place, profile: Points, width: float, label: Ade) -> None:
    """Draw head lamps, rear lamps and number plates."""
    half = width / 2 - 0.1
    for end, color in (
        (profile[:, 0].max() + 0.02, hsv(0.13, 0.1, 1.1)),
        (profile[:, 0].min() - 0.02, hsv(0.0, 0.85, 0.8)),
    ):
        x = float(end)
        for z in (-half * 0.72, half * 0.72):
            _end_pane(stage, place, (x, 0.6), (x, 0.74), (z - 0.15, z + 0.15), Paint(color), label)
        _end_pane(stage, place, (x, 0.45), (x, 0.56), (-0.25, 0.25), Paint(hsv(0, 0, 0.9)), label)


def _end_pane(
    stage: Stage,
    place: Place,
    low: tuple[float, float],
    high: tuple[float, float],
    across: tuple[float, float],
    paint: Paint,
    label: Ade,
) -> None:
    """Draw a pane on the front or the back, between two points (x, y) of the side view."""
    corners = ((*low, across[1]), (*low, across[0]), (*high, across[0]), (*high, across[1]))
    face(stage, place.points(corners), paint, label)


def _at_height(profile: Points, height: float) -> tuple[float, float]:
    """Return the smallest and the largest x at which a profile has a height."""
    crossings = []
    for i in range(len(profile)):
        a, b = profile[i - 1], profile[i]
        if (a[1] - height) * (b[1] - height) <= 0 and a[1] != b[1]:
            crossings.append(float(a[0] + (height - a[1]) / (b[1] - a[1]) * (b[0] - a[0])))
    return min(crossings), max(crossings)


def boat(stage: Stage, place: Place, length: float) -> None:
    """Draw a small boat with a cabin; its bow is at local right."""
    rng = stage.rng
    hull, beam = hsv(rng.choice((0.6, 0.0, 0.33, 0.1)), rng.uniform(0.0, 0.7), rng.uniform(0.3, 0.95)), length * 0.3
    outline = np.array(((-0.5, 0.0), (0.38, 0.0), (0.52, 0.2), (-0.5, 0.16))) * length
    frame = place.front(0, 0, -beam / 2)
    extrude(stage, frame, outline, beam, Paint(hull), Ade.BOAT, cast=False)
    rim = place.front(0, 0, -beam / 2 - 0.02)
    stage.panel(
        rim, stroke(np.array(((-0.5, 0.145), (0.515, 0.185))) * length, 0.03 * length), Paint(hsv(0, 0, 0.95)), Ade.BOAT
    )
    if rng.random() < 0.7:
        low, high = (-0.3 * length, 0.14 * length, -beam * 0.32), (0.1 * length, 0.34 * length, beam * 0.32)
        box(stage, place, low, high, Paint(hsv(0, 0.03, 0.92)), Ade.BOAT, cast=False)
        pane = [rectangle(x * length, 0.23 * length, (x + 0.09) * length, 0.3 * length) for x in (-0.26, -0.14, -0.02)]
        stage.panel(place.front(0, 0, -beam * 0.32 - 0.02), pane, Paint(GLASS), Ade.BOAT)


def sailboat(stage: Stage, place: Place, length: float) -> None:
    """Draw a boat under sail."""
    rng = stage.rng
    boat(stage, place, length)
    frame = billboard(stage, place.at(), towards=length * 0.12)
    mast = stroke(np.array(((0, 0.1), (0, 1.35))) * length, 0.03 * length)
    stage.panel(frame, mast, Paint(hsv(0.08, 0.3, 0.6)), Ade.BOAT)
    flip = float(rng.choice((-1, 1)))
    sails = [
        np.array(((0.03, 0.22), (0.5, 0.25), (0.22, 0.75), (0.03, 1.3))),
        np.array(((-0.03, 0.2), (-0.03, 1.1), (-0.42, 0.22))),
    ]
    cloth = hsv(rng.choice((0.1, 0.0, 0.6)), rng.choice((0.04, 0.04, 0.6)), 0.97)
    stage.panel(frame, [s * length * (flip, 1) for s in sails], Paint(cloth), Ade.BOAT, bulge=(0.5, 0.2))
