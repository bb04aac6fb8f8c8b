"""What fills a room after its main furniture: things on tables, shelves, plants, pictures on the walls."""

from segfit.data.scenery import decor, furniture, plants, street
from segfit.data.scenery.geometry import Place
from segfit.data.scenery.rooms import WHOLE, Room
from segfit.data.scenery.stage import Stage

__all__ = ["dress", "floor_center", "on_top"]


def floor_center(room: Room) -> Place:
    """Return a place about the middle of what is seen of the floor."""
    rng = room.stage.rng
    x = (room.low[0] + room.high[0]) / 2 + float(rng.uniform(-0.4, 0.4))
    return Place.facing(x, 0, max(room.high[2] * 0.58, 2.4), float(rng.uniform(-0.12, 0.12)))


def on_top(stage: Stage, place: Place, spread: float) -> None:
    """Put one or two small things on a surface."""
    rng = stage.rng
    things = (decor.vase, decor.books, decor.bottle, decor.vase, decor.books)
    for x in rng.uniform(-spread, spread, int(rng.integers(1, 3))).tolist():
        things[int(rng.integers(len(things)))](stage, place.moved(x, 0, float(rng.uniform(-0.1, 0.1))))


def dress(room: Room, *, shelves: float, pictures: int, greens: int, lamps: int) -> None:
    """Fill what is left of the walls and the corners.

    Args:
        room: the room.
        shelves: probability of a shelf.
        pictures: most pictures on a wall.
        greens: most plants.
        lamps: most standing lamps.
    """
    stage, rng = room.stage, room.stage.rng
    wide = float(rng.uniform(0.8, 1.5))
    for place in room.places(int(rng.random() < shelves), wide, 0.34, tall=True):
        furniture.shelf(stage, place, wide, float(rng.uniform(1.4, 2.1)))
    for place in room.places(int(rng.integers(0, greens + 1)), 0.6, 0.6):
        plants.pot_plant(stage, place, float(rng.uniform(0.8, 1.7)))
    for place in room.places(int(rng.integers(0, lamps + 1)), 0.5, 0.5, tall=True):
        decor.floor_lamp(stage, place)
    for place in room.places(int(rng.integers(0, 3)), 0.9, 0.8):
        street.clutter(stage, place, float(rng.uniform(0.6, 0.95)))
    for place in room.places(int(rng.random() < 0.45), 1.6, 0.4, tall=True):
        decor.folding_screen(stage, place)
    if rng.random() < 0.5:
        frame = room.hang(1.05, 0.0, levels=WHOLE)
        if frame:
            decor.door(stage, frame.moved(0.1))
    _hang_pictures(room, pictures)


def _hang_pictures(room: Room, count: int) -> None:
    """Hang pictures, mirrors and clocks where the upper part of a wall is free."""
    stage, rng = room.stage, room.stage.rng
    for wall in room.walls:
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
