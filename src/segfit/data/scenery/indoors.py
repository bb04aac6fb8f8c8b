"""Rooms to live and work in: living room, bedroom, office, hall."""

import numpy as np

from segfit.data.scenery import decor, furniture, people, street
from segfit.data.scenery.ade import Ade
from segfit.data.scenery.dressing import dress, floor_center, on_top
from segfit.data.scenery.film import Shot
from segfit.data.scenery.geometry import Place
from segfit.data.scenery.patterns import random_paint
from segfit.data.scenery.rooms import WHOLE, Room, Style, build_room
from segfit.data.scenery.solids import lathe
from segfit.data.scenery.texture import hsv

__all__ = ["bedroom", "hall", "living_room", "office"]


def living_room(rng: np.random.Generator, width: int, height: int) -> Shot:
    """Return a living room."""
    style = Style(
        ((4.0, 4.2, 2.5), (6.2, 6.5, 3.1)),
        ("plaster", "plaster", "wallpaper", "brick"),
        ("planks", "parquet", "carpet"),
        warm=0.8,
    )
    room = build_room(rng, width, height, style)
    stage = room.stage
    long = float(rng.uniform(1.7, 2.4))
    seat = room.against(long, 0.95, wall=room.back) or room.against(long, 0.95)
    if seat:
        furniture.sofa(stage, seat, long)
        for _ in range(int(rng.integers(0, 4))):
            decor.cushion(stage, seat.moved(float(rng.uniform(-long / 2 + 0.35, long / 2 - 0.35)), 0.46, -0.02))
        if rng.random() < 0.3:
            people.person(stage, seat.moved(float(rng.uniform(-0.5, 0.5)), 0, -0.35), seated=True)
    middle = floor_center(room)
    if rng.random() < 0.7:
        decor.rug(stage, middle, float(rng.uniform(2.0, 3.0)), float(rng.uniform(1.4, 2.0)))
    low = middle.moved(float(rng.uniform(-0.3, 0.3)), 0, 0, float(rng.uniform(-0.3, 0.3)))
    furniture.coffee_table(stage, low)
    on_top(stage, low.moved(0, 0.45), 0.25)
    for _ in range(int(rng.integers(0, 3))):
        side = float(rng.choice((-1, 1)))
        furniture.armchair(
            stage,
            middle.moved(
                side * float(rng.uniform(1.3, 1.7)),
                0,
                float(rng.uniform(-0.3, 0.4)),
                -side * float(rng.uniform(0.7, 1.5)),
            ),
        )
    _media(room)
    dress(room, shelves=0.7, pictures=3, greens=2, lamps=1)
    return stage, room.film


def _media(room: Room) -> None:
    """Put a low cabinet with a television at a wall."""
    stage, rng = room.stage, room.stage.rng
    if rng.random() < 0.55:
        wide = float(rng.uniform(1.2, 1.8))
        place = room.against(wide, 0.42, tall=True)
        if place:
            tall = float(rng.uniform(0.4, 0.6))
            furniture.cabinet(stage, place, (wide, tall, 0.4))
            decor.television(stage, place.moved(0, tall), float(rng.uniform(0.8, 1.15)))


def bedroom(rng: np.random.Generator, width: int, height: int) -> Shot:
    """Return a bedroom."""
    style = Style(
        ((3.4, 3.9, 2.4), (5.0, 5.4, 2.8)),
        ("plaster", "wallpaper", "plaster"),
        ("planks", "parquet", "carpet"),
        (0.35, 0.6),
        warm=0.9,
    )
    room = build_room(rng, width, height, style)
    stage = room.stage
    wide = float(rng.choice((0.95, 1.45, 1.7)))
    wall = room.back if rng.random() < 0.6 else (room.left if rng.random() < 0.5 else room.right)
    head = room.against(wide + 1.1, 2.05, wall=wall) or room.against(wide + 0.2, 2.05)
    if head:
        if rng.random() < 0.5:
            decor.rug(stage, head.moved(0, 0, -0.7), wide + 1.4, 1.6)
        furniture.bed(stage, head, wide)
        for side in (-1, 1):
            table = head.moved(side * (wide / 2 + 0.3), 0, 0.8)
            furniture.cabinet(stage, table, (0.42, 0.5, 0.4), rows=2)
            decor.table_lamp(stage, table.moved(0, 0.5)) if rng.random() < 0.7 else on_top(
                stage, table.moved(0, 0.5), 0.08
            )
    if rng.random() < 0.7:
        size = float(rng.uniform(1.0, 1.9))
        place = room.against(size, 0.6, tall=True)
        if place:
            furniture.wardrobe(stage, place, size)
    if rng.random() < 0.6:
        for place in room.places(1, 0.95, 0.5):
            on_top(stage, place.moved(0, furniture.chest(stage, place)), 0.3)
    if rng.random() < 0.35:
        furniture.chair(stage, floor_center(room).moved(float(rng.uniform(-1.2, 1.2)), 0, 0, float(rng.uniform(0, 6))))
    dress(room, shelves=0.25, pictures=2, greens=1, lamps=1)
    return stage, room.film


def office(rng: np.random.Generator, width: int, height: int) -> Shot:
    """Return an office or a study."""
    style = Style(
        ((3.6, 3.8, 2.5), (6.0, 6.0, 3.1)),
        ("plaster", "plaster", "concrete", "brick"),
        ("carpet", "planks", "tiles"),
        (0.6, 0.5),
        warm=0.2,
    )
    room = build_room(rng, width, height, style)
    stage = room.stage
    for _ in range(int(rng.integers(2, 5))):
        wide = float(rng.uniform(1.2, 1.6))
        place = room.against(wide + 0.1, 0.75)
        if place:
            # Who sits there looks at the wall: the screen stands at the back of the desk.
            furniture.desk(stage, place, wide)
            decor.computer(stage, place.moved(float(rng.uniform(-0.2, 0.2)), 0.745, 0.12))
            on_top(stage, place.moved(0, 0.745, -0.05), wide * 0.4)
            furniture.chair(
                stage, place.moved(float(rng.uniform(-0.2, 0.2)), 0, -0.6, np.pi + float(rng.uniform(-0.5, 0.5)))
            )
    for place in room.places(int(rng.integers(0, 3)), 0.95, 0.5, tall=True):
        furniture.cabinet(stage, place, (0.9, float(rng.uniform(0.8, 1.9)), 0.45), rows=int(rng.integers(1, 5)))
    for _ in range(int(rng.integers(0, 3))):
        decor.carton(
            stage,
            floor_center(room).moved(
                float(rng.uniform(-1.6, 1.6)), 0, float(rng.uniform(-0.5, 1)), float(rng.uniform(0, 1))
            ),
            0.4,
        )
    for place in room.places(int(rng.random() < 0.5), 0.4, 0.4):
        street.bin_(stage, place, 0.4)
    if rng.random() < 0.45:
        people.person(stage, floor_center(room).moved(float(rng.uniform(-1.2, 1.2)), 0, 0.5))
    dress(room, shelves=0.8, pictures=2, greens=2, lamps=1)
    return stage, room.film


def hall(rng: np.random.Generator, width: int, height: int) -> Shot:
    """Return a corridor or a lobby with columns and doors."""
    style = Style(
        ((2.8, 8.0, 2.7), (5.5, 13.0, 3.6)),
        ("plaster", "concrete", "stones", "brick"),
        ("tiles", "concrete", "stones", "carpet"),
        (0.4, 0.3),
        warm=0.3,
    )
    room = build_room(rng, width, height, style)
    stage = room.stage
    if room.high[0] - room.low[0] > 3.6 and rng.random() < 0.7:
        _columns(room)
    for wall in (room.left, room.right, room.left, room.right, room.back):
        frame = room.hang(1.15, 0.0, wall=wall, levels=WHOLE)
        if frame and rng.random() < 0.8:
            decor.door(stage, frame.moved(0.12))
    for z in np.arange(2.5, room.high[2], 2.4).tolist():
        decor.ceiling_light(stage, ((room.low[0] + room.high[0]) / 2, room.high[1] - 0.01, z))
    _signs(room)
    for place in room.places(int(rng.integers(0, 3)), 1.8, 0.6):
        street.bench(stage, place)
        if rng.random() < 0.4:
            people.person(stage, place.moved(0.2, 0, -0.1), seated=True)
    for _ in range(int(rng.integers(1, 5))):
        x = float(rng.uniform(room.low[0] + 0.5, room.high[0] - 0.5))
        people.person(stage, Place(x, 0, float(rng.uniform(2.5, room.high[2] - 0.5))))
    for place in room.places(int(rng.random() < 0.5), 0.5, 0.5):
        street.bin_(stage, place, 0.7)
    dress(room, shelves=0.1, pictures=2, greens=2, lamps=0)
    return stage, room.film


def _signs(room: Room) -> None:
    """Hang signboards on the walls."""
    stage, rng = room.stage, room.stage.rng
    for _ in range(int(rng.integers(1, 4))):
        frame = room.hang(0.9, float(rng.uniform(1.6, 2.1)))
        if frame:
            street.signboard(stage, frame.moved(0, 0, 0.02), 0.8, float(rng.uniform(0.25, 0.45)))


def _columns(room: Room) -> None:
    """Draw a row of columns along both sides."""
    stage, rng = room.stage, room.stage.rng
    stone = random_paint(
        rng,
        str(rng.choice(("plaster", "concrete", "leather"))),
        hsv(0.1, rng.uniform(0.02, 0.25), rng.uniform(0.55, 0.95)),
    )
    radius, tall = float(rng.uniform(0.14, 0.24)), room.high[1]
    for z in np.arange(2.6, room.high[2] - 0.5, 2.6).tolist():
        for x in (room.low[0] + 0.75, room.high[0] - 0.75):
            foot = [(radius * 1.35, 0), (radius * 1.35, 0.14)]
            lathe(stage, (x, 0.0, z), foot, stone, Ade.COLUMN)
            lathe(
                stage,
                (x, 0.12, z),
                [(radius, 0), (radius * 0.9, tall - 0.3), (radius * 1.4, tall - 0.12)],
                stone,
                Ade.COLUMN,
            )
