"""Rooms with water: kitchen and bathroom."""

import numpy as np

from segfit.data.scenery import decor, furniture, people
from segfit.data.scenery.ade import Ade
from segfit.data.scenery.dressing import dress, floor_center, on_top
from segfit.data.scenery.film import Shot
from segfit.data.scenery.geometry import Place, ellipse, rectangle, rounded
from segfit.data.scenery.patterns import random_paint
from segfit.data.scenery.rooms import WHOLE, Style, Wall, build_room
from segfit.data.scenery.solids import box, extrude, lathe
from segfit.data.scenery.stage import Paint, Stage
from segfit.data.scenery.texture import hsv

__all__ = ["bathroom", "kitchen"]

PORCELAIN = hsv(0.58, 0.02, 0.95)


def kitchen(rng: np.random.Generator, width: int, height: int) -> Shot:
    """Return a kitchen."""
    style = Style(
        ((3.4, 3.6, 2.4), (5.0, 5.2, 2.8)),
        ("plaster", "small-tiles", "plaster"),
        ("tiles", "planks", "tiles"),
        (0.25, 0.6),
        warm=0.4,
    )
    room = build_room(rng, width, height, style)
    stage = room.stage
    look = random_paint(rng, str(rng.choice(("wood", "plaster"))), furniture.wood_color(rng))
    top = random_paint(rng, "leather", hsv(rng.choice((0.08, 0.6)), rng.uniform(0.02, 0.3), rng.uniform(0.2, 0.85)))
    for wall in (room.back, room.left if rng.random() < 0.5 else room.right):
        _kitchen_row(stage, wall, look, top, cold=wall is room.back)
    table = floor_center(room).moved(float(rng.uniform(-0.4, 0.4)), 0, -0.3)
    if rng.random() < 0.75:
        _dining(stage, table)
    if rng.random() < 0.5:
        decor.pendant(stage, (table.x, room.high[1], table.z), float(rng.uniform(0.5, 0.8)))
    if rng.random() < 0.35:
        people.person(stage, floor_center(room).moved(float(rng.uniform(-1.2, 1.2)), 0, 0.7))
    dress(room, shelves=0.2, pictures=1, greens=1, lamps=0)
    return stage, room.film


def _kitchen_row(stage: Stage, wall: Wall, look: Paint, top: Paint, *, cold: bool) -> None:
    """Line a wall with kitchen units, perhaps after a refrigerator; none hang before a window."""
    rng = stage.rng
    if cold:
        at = wall.reserve(rng, 0.72, WHOLE)
        if at is not None:
            furniture.refrigerator(stage, wall.place.moved(at, 0, -0.34))
    for at in np.arange(wall.start + 0.3, wall.end - 0.3, 0.6).tolist():
        if wall.reserve(rng, 0.6, ("low",), middle=at) is not None:
            upper = wall.reserve(rng, 0.6, ("high",), middle=at) is not None
            _kitchen_unit(stage, wall.place.moved(at, 0, -0.32), look, top, upper=upper)


def _kitchen_unit(stage: Stage, place: Place, look: Paint, top: Paint, *, upper: bool) -> None:
    """Draw 0.6 m of a kitchen: below doors, a stove or a sink; above a cabinet or a hood."""
    rng = stage.rng
    kind = rng.random()
    if kind < 0.16:
        steel = random_paint(rng, "metal", hsv(0.6, 0.03, rng.uniform(0.2, 0.8)))
        box(stage, place, (-0.3, 0, -0.3), (0.3, 0.9, 0.3), steel, Ade.STOVE)
        stage.panel(
            place.front(0, 0, -0.305),
            [rounded(-0.24, 0.2, 0.24, 0.62, 0.02)],
            Paint(hsv(0.6, 0.2, 0.12)),
            Ade.STOVE,
            one_sided=True,
        )
        stage.panel(
            place.flat(0, 0.905),
            [ellipse(0.1, 0.1, center=(x, z), sides=12) for x in (-0.14, 0.14) for z in (-0.13, 0.14)],
            Paint(hsv(0, 0, 0.1)),
            Ade.STOVE,
        )
        if not upper:
            return
        hood = np.array([(-0.3, 1.5), (0.3, 1.5), (0.12, 1.75), (0.12, 2.4), (-0.12, 2.4), (-0.12, 1.75)])
        extrude(stage, place.front(0, 0, 0.0), hood, 0.3, steel, Ade.HOOD, cast=False)
        return
    furniture.cabinet(stage, place, (0.6, 0.86, 0.58), paint=look, rows=int(rng.choice((1, 3))))
    box(stage, place, (-0.3, 0.86, -0.31), (0.3, 0.9, 0.3), top, Ade.CABINET, cast=False)
    if kind < 0.34:
        steel = Paint(hsv(0.6, 0.03, 0.75))
        stage.panel(place.flat(0, 0.905), [rounded(-0.26, -0.2, 0.26, 0.18, 0.05)], steel, Ade.SINK)
        stage.panel(
            place.flat(0, 0.91), [rounded(-0.22, -0.16, 0.22, 0.14, 0.05)], Paint(hsv(0.6, 0.05, 0.4)), Ade.SINK
        )
        tap = [rectangle(-0.012, 0, 0.012, 0.28), rectangle(-0.012, 0.25, 0.1, 0.28)]
        stage.panel(place.front(0, 0.9, 0.22), tap, steel, Ade.SINK)
    elif rng.random() < 0.45:
        on_top(stage, place.moved(0, 0.9), 0.12)
    if upper and rng.random() < 0.75:
        furniture.cabinet(stage, place.moved(0, 0, 0.13), (0.6, 0.7, 0.33), paint=look, base=1.45)


def _dining(stage: Stage, place: Place) -> None:
    """Draw a table with chairs around it."""
    rng = stage.rng
    wide, deep = float(rng.uniform(0.9, 1.6)), float(rng.uniform(0.75, 0.9))
    furniture.table(stage, place, wide, deep)
    on_top(stage, place.moved(0, 0.745), wide * 0.3)
    for side in (-1, 1):
        for x in np.linspace(-wide * 0.25, wide * 0.25, 2 if wide > 1.2 else 1).tolist():
            angle = 0.0 if side > 0 else np.pi
            if rng.random() < 0.8:
                furniture.chair(
                    stage, place.moved(x, 0, side * (deep / 2 + 0.15), angle + float(rng.uniform(-0.3, 0.3)))
                )


def bathroom(rng: np.random.Generator, width: int, height: int) -> Shot:
    """Return a bathroom."""
    style = Style(
        ((2.6, 3.0, 2.4), (3.8, 4.2, 2.7)),
        ("small-tiles", "small-tiles", "tiles", "plaster"),
        ("tiles",),
        (0.35, 0.3),
        warm=0.2,
    )
    room = build_room(rng, width, height, style)
    stage = room.stage
    for place in room.places(1, 1.7, 0.75):
        _bathtub(stage, place)
    for place in room.places(int(rng.integers(1, 3)), 0.8, 0.5, tall=True):
        _washbasin(stage, place)
    for place in room.places(1, 0.55, 0.65):
        _toilet(stage, place)
    for _ in range(2):
        frame = room.hang(0.55, 0.9)
        if frame:
            decor.towel(stage, frame.moved(0.07))
    if rng.random() < 0.6:
        decor.rug(stage, floor_center(room), 1.0, 0.65)
    dress(room, shelves=0.15, pictures=1, greens=1, lamps=0)
    return stage, room.film


def _bathtub(stage: Stage, place: Place) -> None:
    white = Paint(PORCELAIN)
    box(
        stage,
        place,
        (-0.82, 0, -0.37),
        (0.82, 0.56, 0.37),
        random_paint(stage.rng, "tiles", hsv(0.58, 0.04, 0.9)),
        Ade.BATHTUB,
        top=white,
    )
    inner = rounded(-0.74, -0.3, 0.74, 0.3, 0.2)
    stage.panel(place.flat(0, 0.565), [inner], Paint(PORCELAIN * np.float32(0.55)), Ade.BATHTUB)
    tap = [rectangle(-0.015, 0.0, 0.015, 0.2), rectangle(-0.1, 0.16, 0.1, 0.19)]
    stage.panel(place.front(0.5, 0.56, 0.33), tap, Paint(hsv(0.6, 0.03, 0.75)), Ade.BATHTUB)


def _washbasin(stage: Stage, place: Place) -> None:
    """Draw a washbasin on a cabinet or a foot, with a mirror above."""
    rng = stage.rng
    if rng.random() < 0.6:
        furniture.cabinet(stage, place, (0.68, 0.72, 0.44))
    else:
        lathe(stage, place.at(), [(0.14, 0), (0.08, 0.2), (0.1, 0.75)], Paint(PORCELAIN), Ade.SINK)
    box(stage, place, (-0.34, 0.72, -0.24), (0.34, 0.86, 0.22), Paint(PORCELAIN), Ade.SINK)
    stage.panel(place.flat(0, 0.865), [ellipse(0.26, 0.16, sides=18)], Paint(PORCELAIN * np.float32(0.5)), Ade.SINK)
    tap = [rectangle(-0.015, 0.0, 0.015, 0.16), rectangle(-0.015, 0.14, 0.09, 0.16)]
    stage.panel(place.front(0, 0.86, 0.17), tap, Paint(hsv(0.6, 0.03, 0.75)), Ade.SINK)
    decor.mirror(stage, place.front(-0.32, 1.15, 0.27), 0.64, 0.8)


def _toilet(stage: Stage, place: Place) -> None:
    white = Paint(PORCELAIN)
    box(stage, place, (-0.2, 0.38, 0.12), (0.2, 0.8, 0.32), white, Ade.TOILET)
    lathe(stage, place.at(0, 0, -0.1), [(0.12, 0), (0.12, 0.15), (0.19, 0.38), (0.2, 0.41)], white, Ade.TOILET)
    seat = np.concatenate([ellipse(0.2, 0.26, sides=16)])
    stage.panel(place.flat(0, 0.42, -0.1), [seat], Paint(PORCELAIN * np.float32(0.92)), Ade.TOILET)
