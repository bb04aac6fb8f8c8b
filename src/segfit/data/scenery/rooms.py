"""Rooms: the box with its windows and light, and where along its walls things may stand."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from segfit.data.scenery import decor
from segfit.data.scenery.ade import Ade
from segfit.data.scenery.film import Film
from segfit.data.scenery.geometry import Camera, Frame, Place, Vec, rectangle
from segfit.data.scenery.light import Lamp, RoomLight
from segfit.data.scenery.patterns import random_paint
from segfit.data.scenery.stage import Paint, Stage
from segfit.data.scenery.texture import Color, hsv

__all__ = ["WHOLE", "Level", "Room", "Style", "Wall", "build_room"]

QUARTER = math.pi / 2


Level = Literal["low", "high"]
"""Parts of a wall: what stands before it up to a table's height, and what hangs above."""

WHOLE: tuple[Level, ...] = ("low", "high")


@dataclass
class Wall:
    """A wall seen from within.

    Attributes:
        place: its lower left corner; local x runs along it and local -z into the room.
        start: where along it the camera begins to see it.
        end: where it ends.
        taken: the stretches that are in use, by level.
    """

    place: Place
    start: float
    end: float
    taken: dict[Level, list[tuple[float, float]]] = field(default_factory=lambda: {"low": [], "high": []})

    def free(self, low: float, high: float, levels: Sequence[Level]) -> bool:
        """Return whether a stretch of the wall is in sight and not in use."""
        if low < self.start - 1e-6 or high > self.end + 1e-6:
            return False
        return all(high <= a + 1e-6 or low >= b - 1e-6 for level in levels for a, b in self.taken[level])

    def reserve(
        self, rng: np.random.Generator, width: float, levels: Sequence[Level], *, middle: float | None = None
    ) -> float | None:
        """Return the middle of a free stretch of the wall and take it; None when there is no room.

        Args:
            rng: decides where.
            width: metres needed.
            levels: which parts of the wall.
            middle: try only there.
        """
        if self.end - self.start < width:
            return None
        tries = (
            [middle] if middle is not None else rng.uniform(self.start + width / 2, self.end - width / 2, 16).tolist()
        )
        for at in tries:
            if self.free(at - width / 2, at + width / 2, levels):
                for level in levels:
                    self.taken[level].append((at - width / 2, at + width / 2))
                return float(at)
        return None


@dataclass(frozen=True)
class Style:
    """What a kind of room looks like.

    Attributes:
        size: smallest and largest width, depth and height (m).
        walls: patterns to choose from.
        floors: patterns to choose from.
        windows: probability of a window on the back wall and on a side wall.
        warm: how yellow the electric light is.
    """

    size: tuple[Vec, Vec]
    walls: tuple[str, ...]
    floors: tuple[str, ...]
    windows: tuple[float, float] = (0.55, 0.55)
    warm: float = 0.5


@dataclass(frozen=True)
class Room:
    """A room in which furniture can be put.

    Attributes:
        stage: where it is drawn.
        film: how it is photographed.
        low: its corner with the smallest coordinates.
        high: the opposite corner.
        back: the wall opposite the viewer.
        left: the wall to the left.
        right: the wall to the right.
    """

    stage: Stage
    film: Film
    low: Vec
    high: Vec
    back: Wall
    left: Wall
    right: Wall

    @property
    def walls(self) -> tuple[Wall, Wall, Wall]:
        """The walls that can be seen, in a random order."""
        order = self.stage.rng.permutation(3)
        walls = (self.back, self.left, self.right)
        return walls[order[0]], walls[order[1]], walls[order[2]]

    def against(self, width: float, depth: float, *, wall: Wall | None = None, tall: bool = False) -> Place | None:
        """Return a free place for something of this width and depth with its back to a wall; None if there is none.

        Args:
            width: metres along the wall.
            depth: metres into the room.
            wall: which wall; any when left out.
            tall: it covers the upper part of the wall, too.
        """
        for candidate in (wall,) if wall else self.walls:
            at = candidate.reserve(self.stage.rng, width, WHOLE if tall else ("low",))
            if at is not None:
                return candidate.place.moved(at, 0, -depth / 2 - 0.03)
        return None

    def places(self, count: int, width: float, depth: float, *, tall: bool = False) -> list[Place]:
        """Return up to `count` free places at the walls (see `against`)."""
        found = (self.against(width, depth, tall=tall) for _ in range(count))
        return [place for place in found if place is not None]

    def hang(
        self, width: float, bottom: float, *, wall: Wall | None = None, levels: Sequence[Level] = ("high",)
    ) -> Frame | None:
        """Return the frame of a free stretch of wall, its origin at the lower left corner; None if there is none."""
        for candidate in (wall,) if wall else self.walls:
            at = candidate.reserve(self.stage.rng, width, levels)
            if at is not None:
                return candidate.place.front(at - width / 2, bottom, -0.005)
        return None


@dataclass(frozen=True)
class Opening:
    """A window in a wall: along it from the left, above the floor, and its size (m)."""

    wall: Wall
    left: float
    sill: float
    width: float
    height: float


def build_room(rng: np.random.Generator, width: int, height: int, style: Style) -> Room:
    """Return an empty room with windows, curtains, a ceiling light and its camera."""
    low_size, high_size = style.size
    wide, deep, tall = (float(rng.uniform(a, b)) for a, b in zip(low_size, high_size, strict=True))
    left = -wide * float(rng.uniform(0.32, 0.68))
    low, high = (left, 0.0, -0.6), (left + wide, tall, deep)
    camera = Camera(
        width,
        height,
        focal=math.sqrt(width * height) * float(rng.uniform(0.62, 0.85)),
        eye=(0.0, float(rng.uniform(1.25, 1.75)), 0.0),
        yaw=float(rng.uniform(-0.38, 0.38)),
        pitch=float(rng.uniform(-0.2, -0.06)),
    )
    back = Wall(Place.facing(low[0], 0, high[2]), 0.1, wide - 0.1)
    left_wall = Wall(Place.facing(low[0], 0, low[2], QUARTER), 2.0, deep + 0.5)
    right_wall = Wall(Place.facing(high[0], 0, high[2], -QUARTER), 0.1, deep - 1.4)
    openings = _plan_windows(rng, style, (back, left_wall, right_wall), tall)
    day = float(rng.uniform(0.35, 1.2)) if openings else 0.0
    light = _light(rng, style, (low, high), openings, day)
    stage = Stage(camera, light, rng)
    warm = float(rng.uniform(-0.04, 0.06))
    film = Film(
        exposure=float(rng.uniform(0.85, 1.2)),
        balance=(1 + warm, 1.0, 1 - warm),
        softness=0.02,
        sun_patch=np.array((1.5, 1.25, 0.85), np.float32) * np.float32(day) if rng.random() < 0.6 else None,
        vignette=float(rng.uniform(0.1, 0.45)),
        grain=float(rng.uniform(1, 3.5)),
    )
    room = Room(stage, film, low, high, back, left_wall, right_wall)
    _shell(room, style)
    _hang_windows(room, openings, day)
    return room


def _plan_windows(rng: np.random.Generator, style: Style, walls: tuple[Wall, Wall, Wall], tall: float) -> list[Opening]:
    openings = []
    for wall, chance in zip(walls, (style.windows[0], style.windows[1], style.windows[1]), strict=True):
        if rng.random() >= chance:
            continue
        wide = float(rng.uniform(0.9, min(2.4, max((wall.end - wall.start) * 0.6, 0.95))))
        sill = float(rng.choice((0.25, 0.85, 0.95)))
        at = wall.reserve(rng, wide + 0.5, ("high",) if sill > 0.5 else WHOLE)
        if at is not None:
            openings.append(
                Opening(wall, at - wide / 2, sill, wide, min(tall - 0.35, float(rng.uniform(1.9, 2.3))) - sill)
            )
    return openings


def _light(
    rng: np.random.Generator, style: Style, corners: tuple[Vec, Vec], openings: list[Opening], day: float
) -> RoomLight:
    """Return the light of windows, the ceiling and perhaps a lamp in a corner."""
    low, high = corners
    lamps = []
    sky = hsv(rng.uniform(0.55, 0.62), rng.uniform(0.02, 0.15), 1.0)
    for opening in openings:
        place = opening.wall.place
        position = place.at(opening.left + opening.width / 2, opening.sill + opening.height / 2, -0.05)
        lamps.append(Lamp(position, sky * np.float32(3.2 * day * opening.width * opening.height), place.ahead))
    warm = hsv(0.09 + 0.03 * rng.random(), 0.12 + 0.3 * style.warm * rng.random(), 1.0)
    evening = 1.0 if not openings else float(rng.uniform(0.25, 0.9))
    middle = ((low[0] + high[0]) / 2, high[1] - 0.25, (low[2] + high[2]) / 2 + 0.4)
    lamps.append(Lamp(middle, warm * np.float32(2.6 * evening)))
    corner = (low[0] + 0.5 if rng.random() < 0.5 else high[0] - 0.5, 1.5, high[2] - 0.6)
    lamps.append(Lamp(corner, hsv(0.08, 0.45, 1.0) * np.float32(rng.choice((0.0, 0.5)))))
    ambient = (warm * np.float32(0.5) + sky * np.float32(0.3 * day)) * np.float32(0.36)
    return RoomLight(low, high, ambient, tuple(lamps))


def _wall_color(rng: np.random.Generator) -> Color:
    if rng.random() < 0.45:
        return hsv(rng.uniform(0.08, 0.14), rng.uniform(0.02, 0.15), rng.uniform(0.78, 0.95))
    return hsv(rng.random(), rng.uniform(0.06, 0.34), rng.uniform(0.5, 0.88))


def _shell(room: Room, style: Style) -> None:
    """Draw walls, one of them perhaps in another colour, floor, ceiling, skirting boards and a cornice."""
    stage, rng = room.stage, room.stage.rng
    low, high = room.low, room.high
    wide, deep, tall = high[0] - low[0], high[2] - low[2], high[1]
    color = _wall_color(rng)
    paint = random_paint(rng, str(rng.choice(style.walls)), color)
    accent = (
        random_paint(rng, str(rng.choice(("plaster", "wallpaper", "brick"))), _wall_color(rng))
        if rng.random() < 0.35
        else paint
    )
    trim = Paint(hsv(0.1, rng.choice((0.02, 0.4)), rng.choice((0.35, 0.9))))
    for wall, length, look in ((room.back, wide, accent), (room.left, deep, paint), (room.right, deep, paint)):
        stage.panel(wall.place.front(), [rectangle(0, 0, length, tall)], look, Ade.WALL)
        strips = [rectangle(0, 0, length, 0.09)]
        if rng.random() < 0.5:
            strips.append(rectangle(0, tall - 0.07, length, tall))
        stage.panel(wall.place.front(0, 0, -0.012), strips, trim, Ade.WALL)
    corner = Place(low[0], 0, low[2])
    kind = str(rng.choice(style.floors))
    tone = rng.uniform(0.4, 0.82)
    floor = {
        "planks": hsv(rng.uniform(0.05, 0.1), rng.uniform(0.25, 0.6), tone),
        "parquet": hsv(rng.uniform(0.05, 0.09), rng.uniform(0.3, 0.6), tone),
        "carpet": hsv(rng.random(), rng.uniform(0.05, 0.4), tone),
    }.get(kind, hsv(rng.choice((0.08, 0.58)), rng.uniform(0.02, 0.25), rng.uniform(0.5, 0.9)))
    stage.panel(corner.flat(), [rectangle(0, 0, wide, deep)], random_paint(rng, kind, floor), Ade.FLOOR, ground=True)
    top = Frame(corner.at(0, tall, deep), corner.right, corner.ahead)
    stage.panel(
        top,
        [rectangle(0, 0, wide, deep)],
        random_paint(rng, "plaster", hsv(0.1, 0.03, rng.uniform(0.82, 0.96))),
        Ade.CEILING,
    )
    if rng.random() < 0.6:
        decor.ceiling_light(stage, ((low[0] + high[0]) / 2, tall, (low[2] + high[2]) / 2 + float(rng.uniform(0, 1))))


def _hang_windows(room: Room, openings: list[Opening], day: float) -> None:
    """Draw the windows with their curtains, and let the sun fall in."""
    stage, rng = room.stage, room.stage.rng
    cloth = random_paint(rng, "cloth", hsv(rng.random(), rng.uniform(0.03, 0.5), rng.uniform(0.5, 0.95)))
    slant = float(rng.uniform(-0.6, 0.6))
    for opening in openings:
        place = opening.wall.place
        frame = place.front(opening.left, opening.sill, -0.002)
        decor.window(stage, frame, opening.width, opening.height, brightness=0.5 + 0.9 * day)
        _sun_patch(stage, opening, slant)
        if rng.random() < 0.65:
            # Before a low window the curtains reach the floor.
            top, wide = opening.sill + opening.height + 0.15, float(rng.uniform(0.22, 0.42))
            bottom = 0.04 if opening.sill < 0.5 else opening.sill - 0.15
            for left in (opening.left - 0.2, opening.left + opening.width + 0.2 - wide):
                decor.curtain(stage, place.front(left, bottom, 0), wide, top - bottom, cloth)
            rod = [rectangle(opening.left - 0.3, top, opening.left + opening.width + 0.3, top + 0.03)]
            stage.panel(place.front(0, 0, -0.12), rod, Paint(hsv(0.1, 0.3, 0.4)), Ade.CURTAIN)


def _sun_patch(stage: Stage, opening: Opening, slant: float) -> None:
    """Mark where the sun falls on the floor through a window, in panes."""
    place = opening.wall.place
    down = 0.62
    panes = 2 if opening.width > 1.2 else 1
    step = opening.width / panes
    for i in range(panes):
        left, right = opening.left + i * step + 0.04, opening.left + (i + 1) * step - 0.04
        corners = []
        for x in (left, right):
            for y in (opening.sill, opening.sill + opening.height):
                reach = y / down
                wx, _, wz = place.at(x + slant * reach, 0, -reach)
                corners.append((wx, wz))
        stage.sunlight(np.array(corners))
