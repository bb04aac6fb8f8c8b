"""Indoor scenes: living room, bedroom, kitchen, office, bathroom, hall."""

import numpy as np

from segfit.data.scenery import decor, furniture, people, plants, street
from segfit.data.scenery.ade import Ade
from segfit.data.scenery.film import Film
from segfit.data.scenery.geometry import Place, ellipse, rectangle, rounded
from segfit.data.scenery.patterns import random_paint
from segfit.data.scenery.rooms import Room, Style, build_room
from segfit.data.scenery.solids import box, extrude, lathe
from segfit.data.scenery.stage import Paint, Stage
from segfit.data.scenery.texture import hsv

__all__ = ["bathroom", "bedroom", "hall", "kitchen", "living_room", "office"]

Scene = tuple[Stage, Film]

PORCELAIN = hsv(0.58, 0.02, 0.95)


def living_room(rng: np.random.Generator, width: int, height: int) -> Scene:
    """Return a living room."""
    style = Style(((4.0, 4.2, 2.5), (6.2, 6.5, 3.1)), ("plaster", "plaster", "wallpaper", "brick"), ("planks", "parquet", "carpet"), warm=0.8)
    room = build_room(rng, width, height, style)
    stage = room.stage
    long = float(rng.uniform(1.7, 2.4))
    seat = room.against(long, 0.95, wall=room.back, middle=float(rng.uniform(0.35, 0.65)) * (room.high[0] - room.low[0]))
    seat = seat or room.against(long, 0.95)
    if seat:
        furniture.sofa(stage, seat, long)
        for _ in range(int(rng.integers(0, 4))):
            decor.cushion(stage, seat.moved(float(rng.uniform(-long / 2 + 0.35, long / 2 - 0.35)), 0.46, -0.02))
        if rng.random() < 0.3:
            people.person(stage, seat.moved(float(rng.uniform(-0.5, 0.5)), 0, -0.35), seated=True)
    middle = _middle(room)
    if rng.random() < 0.7:
        decor.rug(stage, middle, float(rng.uniform(2.0, 3.0)), float(rng.uniform(1.4, 2.0)))
    low = middle.moved(float(rng.uniform(-0.3, 0.3)), 0, 0, float(rng.uniform(-0.3, 0.3)))
    furniture.coffee_table(stage, low)
    _on_top(stage, low.moved(0, 0.45), 0.25)
    for _ in range(int(rng.integers(0, 3))):
        side = float(rng.choice((-1, 1)))
        furniture.armchair(stage, middle.moved(side * float(rng.uniform(1.3, 1.7)), 0, float(rng.uniform(-0.3, 0.4)), -side * float(rng.uniform(0.7, 1.5))))
    _media(room)
    _dress(room, shelves=0.7, pictures=3, greens=2, lamps=1)
    return stage, room.film


def _middle(room: Room) -> Place:
    """Return a place about the middle of what is seen of the floor."""
    rng = room.stage.rng
    x = (room.low[0] + room.high[0]) / 2 + float(rng.uniform(-0.4, 0.4))
    return Place.facing(x, 0, max(room.high[2] * 0.58, 2.4), float(rng.uniform(-0.12, 0.12)))


def _on_top(stage: Stage, place: Place, spread: float) -> None:
    """Put one or two small things on a surface."""
    rng = stage.rng
    things = (decor.vase, decor.books, decor.bottle, decor.vase, decor.books)
    for x in rng.uniform(-spread, spread, int(rng.integers(1, 3))).tolist():
        things[int(rng.integers(len(things)))](stage, place.moved(x, 0, float(rng.uniform(-0.1, 0.1))))


def _media(room: Room) -> None:
    """Put a low cabinet with a television at a wall."""
    stage, rng = room.stage, room.stage.rng
    if rng.random() < 0.55:
        wide = float(rng.uniform(1.2, 1.8))
        place = room.against(wide, 0.42)
        if place:
            tall = float(rng.uniform(0.4, 0.6))
            furniture.cabinet(stage, place, (wide, tall, 0.4))
            decor.television(stage, place.moved(0, tall), float(rng.uniform(0.8, 1.15)))


def _dress(room: Room, *, shelves: float, pictures: int, greens: int, lamps: int) -> None:
    """Fill what is left of the walls and the corners."""
    stage, rng = room.stage, room.stage.rng
    if rng.random() < shelves:
        wide = float(rng.uniform(0.8, 1.5))
        place = room.against(wide, 0.34)
        if place:
            furniture.shelf(stage, place, wide, float(rng.uniform(1.4, 2.1)))
    for _ in range(int(rng.integers(0, greens + 1))):
        place = room.against(0.6, 0.6)
        if place:
            plants.pot_plant(stage, place, float(rng.uniform(0.8, 1.7)))
    for _ in range(int(rng.integers(0, lamps + 1))):
        place = room.against(0.5, 0.5)
        if place:
            decor.floor_lamp(stage, place)
    if rng.random() < 0.35:
        place = room.against(0.7, 0.7)
        if place:
            street.clutter(stage, place, float(rng.uniform(0.45, 0.75)))
    if rng.random() < 0.5:
        frame = room.hang(1.05, 0.0)
        if frame:
            decor.door(stage, frame.moved(0.1))
    _hang_pictures(room, pictures)


def _hang_pictures(room: Room, count: int) -> None:
    """Hang pictures, mirrors and clocks above everything else: they share the wall with low furniture."""
    stage, rng = room.stage, room.stage.rng
    for wall in room.walls:
        # Above 1.4 m a wall is free again unless a window, a door or a shelf is there; those stay taken.
        for _ in range(count):
            wide = float(rng.uniform(0.35, 1.0))
            frame = room.hang(wide + 0.15, float(rng.uniform(1.3, 1.55)), wall=wall)
            if frame is None:
                continue
            kind = rng.random()
            if kind < 0.72:
                decor.painting(stage, frame, wide, wide * float(rng.uniform(0.6, 1.3)) * 0.8)
            elif kind < 0.86:
                decor.mirror(stage, frame, wide * 0.8, 0.8)
            else:
                decor.clock(stage, frame.moved(wide / 2, 0.35), float(rng.uniform(0.13, 0.2)))
            if rng.random() < 0.5:
                break


def bedroom(rng: np.random.Generator, width: int, height: int) -> Scene:
    """Return a bedroom."""
    style = Style(((3.4, 3.9, 2.4), (5.0, 5.4, 2.8)), ("plaster", "wallpaper", "plaster"), ("planks", "parquet", "carpet"), (0.35, 0.6), warm=0.9)
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
            decor.table_lamp(stage, table.moved(0, 0.5)) if rng.random() < 0.7 else _on_top(stage, table.moved(0, 0.5), 0.08)
    if rng.random() < 0.7:
        size = float(rng.uniform(1.0, 1.9))
        place = room.against(size, 0.6)
        if place:
            furniture.wardrobe(stage, place, size)
    if rng.random() < 0.6:
        place = room.against(0.95, 0.5)
        if place:
            furniture.chest(stage, place)
            _on_top(stage, place.moved(0, 1.05), 0.3)
    if rng.random() < 0.35:
        furniture.chair(stage, _middle(room).moved(float(rng.uniform(-1.2, 1.2)), 0, 0, float(rng.uniform(0, 6))))
    _dress(room, shelves=0.25, pictures=2, greens=1, lamps=1)
    return stage, room.film


def kitchen(rng: np.random.Generator, width: int, height: int) -> Scene:
    """Return a kitchen."""
    style = Style(((3.4, 3.6, 2.4), (5.0, 5.2, 2.8)), ("plaster", "small-tiles", "plaster"), ("tiles", "planks", "tiles"), (0.25, 0.6), warm=0.4)
    room = build_room(rng, width, height, style)
    stage = room.stage
    wall = room.back
    look = random_paint(rng, str(rng.choice(("wood", "plaster"))), furniture.wood_color(rng))
    top = random_paint(rng, "leather", hsv(rng.choice((0.08, 0.6)), rng.uniform(0.02, 0.3), rng.uniform(0.2, 0.85)))
    cold = wall.reserve(rng, 0.72)
    if cold:
        furniture.refrigerator(stage, wall.place.moved(cold, 0, -0.34))
    at = wall.start + 0.3
    while at < wall.end - 0.3:
        if wall.reserve(rng, 0.6, middle=at) == at:
            _kitchen_unit(stage, wall.place.moved(at, 0, -0.32), look, top)
        at += 0.6
    for side in (room.left, room.right):
        for _ in range(4):
            if rng.random() < 0.5:
                spot = side.reserve(rng, 0.6)
                if spot:
                    furniture.cabinet(stage, side.place.moved(spot, 0, -0.31), (0.6, 0.88, 0.58), paint=look, top=top)
    table = _middle(room).moved(float(rng.uniform(-0.4, 0.4)), 0, -0.3)
    if rng.random() < 0.75:
        _dining(stage, table)
    if rng.random() < 0.5:
        decor.pendant(stage, (table.x, room.high[1], table.z), float(rng.uniform(0.5, 0.8)))
    if rng.random() < 0.35:
        people.person(stage, _middle(room).moved(float(rng.uniform(-1.2, 1.2)), 0, 0.7))
    _dress(room, shelves=0.2, pictures=1, greens=1, lamps=0)
    return stage, room.film


def _kitchen_unit(stage: Stage, place: Place, look: Paint, top: Paint) -> None:
    """Draw 0.6 m of a kitchen: below doors, a stove or a sink; above a cabinet or a hood."""
    rng = stage.rng
    kind = rng.random()
    if kind < 0.16:
        steel = random_paint(rng, "metal", hsv(0.6, 0.03, rng.uniform(0.2, 0.8)))
        box(stage, place, (-0.3, 0, -0.3), (0.3, 0.9, 0.3), steel, Ade.STOVE)
        stage.panel(place.front(0, 0, -0.305), [rounded(-0.24, 0.2, 0.24, 0.62, 0.02)], Paint(hsv(0.6, 0.2, 0.12)), Ade.STOVE, one_sided=True)
        stage.panel(place.flat(0, 0.905), [ellipse(0.1, 0.1, sides=12) + (x, z) for x in (-0.14, 0.14) for z in (-0.13, 0.14)], Paint(hsv(0, 0, 0.1)), Ade.STOVE)
        hood = np.array([(-0.3, 1.5), (0.3, 1.5), (0.12, 1.75), (0.12, 2.4), (-0.12, 2.4), (-0.12, 1.75)])
        extrude(stage, place.front(0, 0, 0.0), hood, 0.3, steel, Ade.HOOD, cast=False)
        return
    furniture.cabinet(stage, place, (0.6, 0.86, 0.58), paint=look, rows=int(rng.choice((1, 3))))
    box(stage, place, (-0.3, 0.86, -0.31), (0.3, 0.9, 0.3), top, Ade.CABINET, cast=False)
    if kind < 0.34:
        steel = Paint(hsv(0.6, 0.03, 0.75))
        stage.panel(place.flat(0, 0.905), [rounded(-0.26, -0.2, 0.26, 0.18, 0.05)], steel, Ade.SINK)
        stage.panel(place.flat(0, 0.91), [rounded(-0.22, -0.16, 0.22, 0.14, 0.05)], Paint(hsv(0.6, 0.05, 0.4)), Ade.SINK)
        tap = [rectangle(-0.012, 0, 0.012, 0.28), rectangle(-0.012, 0.25, 0.1, 0.28)]
        stage.panel(place.front(0, 0.9, 0.22), tap, steel, Ade.SINK)
    elif rng.random() < 0.45:
        _on_top(stage, place.moved(0, 0.9), 0.12)
    if rng.random() < 0.7:
        furniture.cabinet(stage, place.moved(0, 0, 0.13), (0.6, 0.7, 0.33), paint=look, base=1.45)


def _dining(stage: Stage, place: Place) -> None:
    """Draw a table with chairs around it."""
    rng = stage.rng
    wide, deep = float(rng.uniform(0.9, 1.6)), float(rng.uniform(0.75, 0.9))
    furniture.table(stage, place, wide, deep)
    _on_top(stage, place.moved(0, 0.745), wide * 0.3)
    for side in (-1, 1):
        for x in np.linspace(-wide * 0.25, wide * 0.25, 2 if wide > 1.2 else 1).tolist():
            angle = 0.0 if side > 0 else np.pi
            if rng.random() < 0.8:
                furniture.chair(stage, place.moved(x, 0, side * (deep / 2 + 0.15), angle + float(rng.uniform(-0.3, 0.3))))


def office(rng: np.random.Generator, width: int, height: int) -> Scene:
    """Return an office or a study."""
    style = Style(((3.6, 3.8, 2.5), (6.0, 6.0, 3.1)), ("plaster", "plaster", "concrete", "brick"), ("carpet", "planks", "tiles"), (0.6, 0.5), warm=0.2)
    room = build_room(rng, width, height, style)
    stage = room.stage
    for _ in range(int(rng.integers(1, 4))):
        wide = float(rng.uniform(1.2, 1.6))
        place = room.against(wide + 0.1, 0.75)
        if place:
            # Who sits there looks at the wall: the screen stands at the back of the desk.
            furniture.desk(stage, place, wide)
            decor.computer(stage, place.moved(float(rng.uniform(-0.2, 0.2)), 0.745, 0.12))
            _on_top(stage, place.moved(0, 0.745, -0.05), wide * 0.4)
            furniture.chair(stage, place.moved(float(rng.uniform(-0.2, 0.2)), 0, -0.6, np.pi + float(rng.uniform(-0.5, 0.5))))
    for _ in range(int(rng.integers(0, 3))):
        place = room.against(0.95, 0.5)
        if place:
            furniture.cabinet(stage, place, (0.9, float(rng.uniform(0.8, 1.9)), 0.45), rows=int(rng.integers(1, 5)))
    for _ in range(int(rng.integers(0, 3))):
        decor.carton(stage, _middle(room).moved(float(rng.uniform(-1.6, 1.6)), 0, float(rng.uniform(-0.5, 1)), float(rng.uniform(0, 1))), 0.4)
    if rng.random() < 0.5:
        place = room.against(0.4, 0.4)
        if place:
            street.bin_(stage, place, 0.4)
    if rng.random() < 0.45:
        people.person(stage, _middle(room).moved(float(rng.uniform(-1.2, 1.2)), 0, 0.5))
    _dress(room, shelves=0.8, pictures=2, greens=2, lamps=1)
    return stage, room.film


def bathroom(rng: np.random.Generator, width: int, height: int) -> Scene:
    """Return a bathroom."""
    style = Style(((2.6, 3.0, 2.4), (3.8, 4.2, 2.7)), ("small-tiles", "small-tiles", "tiles", "plaster"), ("tiles",), (0.35, 0.3), warm=0.2)
    room = build_room(rng, width, height, style)
    stage = room.stage
    place = room.against(1.7, 0.75)
    if place:
        _bathtub(stage, place)
    for _ in range(int(rng.integers(1, 3))):
        place = room.against(0.8, 0.5)
        if place:
            _washbasin(stage, place)
    place = room.against(0.55, 0.65)
    if place:
        _toilet(stage, place)
    for _ in range(2):
        frame = room.hang(0.55, 0.9)
        if frame:
            decor.towel(stage, frame.moved(0.07))
    if rng.random() < 0.6:
        decor.rug(stage, _middle(room), 1.0, 0.65)
    _dress(room, shelves=0.15, pictures=1, greens=1, lamps=0)
    return stage, room.film


def _bathtub(stage: Stage, place: Place) -> None:
    white = Paint(PORCELAIN)
    box(stage, place, (-0.82, 0, -0.37), (0.82, 0.56, 0.37), random_paint(stage.rng, "tiles", hsv(0.58, 0.04, 0.9)), Ade.BATHTUB, top=white)
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


def hall(rng: np.random.Generator, width: int, height: int) -> Scene:
    """Return a corridor or a lobby with columns and doors."""
    style = Style(((2.8, 8.0, 2.7), (5.5, 13.0, 3.6)), ("plaster", "concrete", "stones", "brick"), ("tiles", "concrete", "stones", "carpet"), (0.4, 0.3), warm=0.3)
    room = build_room(rng, width, height, style)
    stage = room.stage
    if room.high[0] - room.low[0] > 3.6 and rng.random() < 0.7:
        _columns(room)
    for wall in (room.left, room.right, room.left, room.right, room.back):
        frame = room.hang(1.15, 0.0, wall=wall)
        if frame and rng.random() < 0.8:
            decor.door(stage, frame.moved(0.12))
    for z in np.arange(2.5, room.high[2], 2.4).tolist():
        decor.ceiling_light(stage, ((room.low[0] + room.high[0]) / 2, room.high[1] - 0.01, z))
    for _ in range(int(rng.integers(1, 4))):
        frame = room.hang(0.9, float(rng.uniform(1.6, 2.1)))
        if frame:
            street.signboard(stage, frame.moved(0, 0, 0.02), 0.8, float(rng.uniform(0.25, 0.45)))
    for _ in range(int(rng.integers(0, 3))):
        place = room.against(1.8, 0.6)
        if place:
            street.bench(stage, place)
            if rng.random() < 0.4:
                people.person(stage, place.moved(0.2, 0, -0.1), seated=True)
    for _ in range(int(rng.integers(1, 5))):
        x = float(rng.uniform(room.low[0] + 0.5, room.high[0] - 0.5))
        people.person(stage, Place(x, 0, float(rng.uniform(2.5, room.high[2] - 0.5))))
    if rng.random() < 0.5:
        place = room.against(0.5, 0.5)
        if place:
            street.bin_(stage, place, 0.7)
    _dress(room, shelves=0.1, pictures=2, greens=2, lamps=0)
    return stage, room.film


def _columns(room: Room) -> None:
    """Draw a row of columns along both sides."""
    stage, rng = room.stage, room.stage.rng
    stone = random_paint(rng, str(rng.choice(("plaster", "concrete", "leather"))), hsv(0.1, rng.uniform(0.02, 0.25), rng.uniform(0.55, 0.95)))
    radius, tall = float(rng.uniform(0.14, 0.24)), room.high[1]
    for z in np.arange(2.6, room.high[2] - 0.5, 2.6).tolist():
        for x in (room.low[0] + 0.75, room.high[0] - 0.75):
            foot = [(radius * 1.35, 0), (radius * 1.35, 0.14)]
            lathe(stage, (x, 0.0, z), foot, stone, Ade.COLUMN)
            lathe(stage, (x, 0.12, z), [(radius, 0), (radius * 0.9, tall - 0.3), (radius * 1.4, tall - 0.12)], stone, Ade.COLUMN)
