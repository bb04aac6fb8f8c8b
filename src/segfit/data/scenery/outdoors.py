"""Outdoor scenes: street, park, garden, fields, lake, coast."""

import math

import numpy as np

from segfit.data.scenery import buildings, landscape, people, plants, street, vehicles
from segfit.data.scenery.ade import Ade
from segfit.data.scenery.film import Film
from segfit.data.scenery.geometry import Camera, Place, Points, ellipse, rectangle
from segfit.data.scenery.patterns import random_paint
from segfit.data.scenery.solids import box, rock
from segfit.data.scenery.stage import Paint, Stage
from segfit.data.scenery.texture import hsv, jitter
from segfit.data.scenery.weather import Weather, draw_sky, random_weather

__all__ = ["coast", "countryside", "garden", "lake", "park", "town_street"]

Scene = tuple[Stage, Film]
QUARTER = math.pi / 2


def outdoors(
    rng: np.random.Generator, width: int, height: int, *, eye: float, pitch: float, yaw: float = 0.25, haze: float = 0.0025
) -> tuple[Stage, Weather, Film]:
    """Set up camera, weather and sky."""
    weather = random_weather(rng, haze=haze)
    camera = Camera(
        width,
        height,
        focal=math.sqrt(width * height) * float(rng.uniform(0.75, 1.05)),
        eye=(0.0, eye, 0.0),
        yaw=float(rng.uniform(-yaw, yaw)),
        pitch=pitch,
    )
    stage = Stage(camera, weather.light, rng)
    draw_sky(stage, weather)
    film = Film(
        exposure=float(rng.uniform(0.85, 1.15)),
        balance=tuple(rng.uniform((0.96, 0.98, 0.93), (1.05, 1.02, 1.06)).tolist()),
        haze=weather.haze,
        haze_color=weather.horizon * np.float32(0.92),
        vignette=float(rng.uniform(0.1, 0.4)),
        grain=float(rng.uniform(1, 3.2)),
    )
    return stage, weather, film


def town_street(rng: np.random.Generator, width: int, height: int) -> Scene:
    """Return a street between buildings."""
    stage, _, film = outdoors(rng, width, height, eye=float(rng.uniform(1.5, 2.6)), pitch=float(rng.uniform(0.0, 0.1)))
    half, walk = float(rng.uniform(3.4, 5.5)), float(rng.uniform(2.0, 3.6))
    shift = float(rng.uniform(-half, half))
    length = float(rng.uniform(60, 120))
    _street_ground(stage, half, walk, shift, length)
    tall = float(rng.uniform(7, 20))
    for side in (-1, 1):
        _row_of_buildings(stage, side, half + walk, shift, length, tall)
        _pavement_life(stage, side, half, walk, shift)
        _parked(stage, side, half, shift)
    for _ in range(int(rng.integers(0, 3))):
        lane = float(rng.choice((-1, 1)))
        place = Place.facing(shift + lane * half * 0.4, 0, float(rng.uniform(9, 45)), lane * QUARTER)
        vehicles.bus(stage, place) if rng.random() < 0.3 else vehicles.car(stage, place)
    if rng.random() < 0.5:
        for _ in range(int(rng.integers(1, 4))):
            z = float(rng.uniform(8, 40))
            street.cable(stage, (shift - half - walk, 6.5, z), (shift + half + walk, 6.8, z + float(rng.uniform(-3, 3))), 0.6)
    _street_end(stage, shift, length)
    return stage, film


def _street_ground(stage: Stage, half: float, walk: float, shift: float, length: float) -> None:
    rng = stage.rng
    asphalt = landscape.soil(stage, str(rng.choice(("asphalt", "asphalt", "stones"))), hsv(0.6, rng.uniform(0, 0.08), rng.uniform(0.36, 0.62)))
    far = length + 60
    landscape.ground(stage, landscape.band(-4, 900), landscape.soil(stage, "gravel", hsv(0.1, 0.2, 0.5)), Ade.EARTH)
    landscape.ground(stage, rectangle(shift - half, -4, shift + half, far), asphalt, Ade.ROAD)
    marks = [rectangle(shift - 0.07, z, shift + 0.07, z + 2.2) for z in np.arange(-1.0, length, 5.0)]
    if rng.random() < 0.4:
        z = float(rng.uniform(5, 14))
        marks += [rectangle(x, z, x + 0.5, z + 3) for x in np.arange(shift - half + 0.4, shift + half - 0.5, 1.0)]
    white = random_paint(rng, "asphalt", hsv(0.12, 0.03, 0.9))
    frame = Place(0, 0.005, 0).flat()
    stage.panel(frame, marks, white, Ade.ROAD, ground=True)
    paving = landscape.soil(stage, str(rng.choice(("stones", "concrete", "tiles"))), hsv(0.09, rng.uniform(0, 0.18), rng.uniform(0.5, 0.75)))
    kerb = Paint(hsv(0.1, 0.05, 0.68))
    for low, high in ((-half - walk, -half), (half, half + walk)):
        box(stage, Place(shift, 0, 0), (low, 0, -3), (high, 0.13, far), kerb, Ade.SIDEWALK, cast=False)
        landscape.ground(stage, rectangle(shift + low, -3, shift + high, far), paving, Ade.SIDEWALK, height=0.135)
    for _ in range(2):
        lid = ellipse(0.35, 0.35, sides=14) + (shift + rng.uniform(-half, half) * 0.6, rng.uniform(4, 12))
        stage.panel(frame, [lid], Paint(hsv(0.6, 0.05, 0.25)), Ade.OTHER, ground=True)


def _row(side: int, x: float, z: float, width: float = 0.0) -> Place:
    """Return a place at the side of a street that faces it; what stands there reaches from z to z + width."""
    if side < 0:
        return Place.facing(x, 0.13, z, QUARTER)
    return Place.facing(x, 0.13, z + width, -QUARTER)


def _row_of_buildings(stage: Stage, side: int, edge: float, shift: float, length: float, tall: float) -> None:
    """Line one side of a street with buildings, now and then a gap with trees."""
    rng = stage.rng
    z = float(rng.uniform(-2, 3))
    while z < length:
        width = float(rng.uniform(8, 17))
        if rng.random() < 0.14:
            for _ in range(2):
                plants.tree(stage, Place(shift + side * (edge + rng.uniform(1.5, 4)), 0, z + rng.uniform(2, width)), rng.uniform(5, 9))
            street.fence(stage, _row(side, shift + side * edge, z, width), width, 1.3)
            z += width
            continue
        place = _row(side, shift + side * edge, z, width)
        shop = bool(rng.random() < 0.75)
        front = buildings.building(stage, place, width, 10, tall * rng.uniform(0.7, 1.35), shop=shop)
        if shop and z < 40:
            _shop_signs(stage, place, width)
        elif z < 40:
            for x in np.arange(1.5, width - 1.5, 4.0):
                buildings.house_window(stage, front.moved(float(x), 1.1, 0.03), 1.1, 1.5)
        z += width + float(rng.choice((0.0, 0.0, 1.5)))


def _shop_signs(stage: Stage, place: Place, width: float) -> None:
    rng = stage.rng
    if rng.random() < 0.7:
        long = float(rng.uniform(2, 5))
        street.signboard(stage, place.front(rng.uniform(0.5, width - long - 0.5), 2.85, -0.08), long, float(rng.uniform(0.45, 0.8)))
    if rng.random() < 0.45:
        long = float(rng.uniform(2, 4))
        street.awning(stage, place.moved(float(rng.uniform(0.4, width - long - 0.4))), long, 2.9)
    if rng.random() < 0.15:
        street.flag(stage, place.moved(width / 2, 3.0, -0.3), 3.0)


def _pavement_life(stage: Stage, side: int, half: float, walk: float, shift: float) -> None:
    """Put lamps, trees, people and furniture on one pavement."""
    rng = stage.rng
    kerb, wall = shift + side * (half + 0.45), shift + side * (half + walk - 0.5)
    for z in np.arange(rng.uniform(5, 14), 90, 16.0):
        street.street_lamp(stage, Place.facing(kerb, 0.13, float(z), 0.0 if side < 0 else math.pi), float(rng.uniform(4.8, 6.5)))
    if rng.random() < 0.55:
        for z in np.arange(rng.uniform(7, 15), 90, rng.uniform(8, 13)):
            plants.tree(stage, Place(kerb, 0.13, float(z)), float(rng.uniform(4, 7)))
    for _ in range(int(rng.integers(1, 6))):
        x = shift + side * (half + rng.uniform(0.5, walk - 0.3))
        people.person(stage, Place(x, 0.13, float(rng.uniform(4, 30))))
    things = (
        lambda place: street.sign(stage, place),
        lambda place: street.traffic_light(stage, place),
        lambda place: street.bin_(stage, place),
        lambda place: street.pole(stage, place, 7.0, 0.18),
        lambda place: street.clutter(stage, place, 0.9),
    )
    for _ in range(int(rng.integers(2, 5))):
        things[int(rng.integers(len(things)))](Place.facing(kerb, 0.13, float(rng.uniform(5, 26)), float(rng.uniform(-0.3, 0.3))))
    if rng.random() < 0.4:
        street.bench(stage, _row(side, wall, float(rng.uniform(5, 16))))
    if rng.random() < 0.3:
        plants.pot_plant(stage, Place(wall, 0.13, float(rng.uniform(4, 12))), 1.2)


def _parked(stage: Stage, side: int, half: float, shift: float) -> None:
    rng = stage.rng
    if rng.random() < 0.25:
        return
    z = float(rng.uniform(4, 12))
    while z < 60:
        if rng.random() < 0.6:
            place = Place.facing(shift + side * (half - 1.0), 0, z, side * QUARTER)
            vehicles.van(stage, place) if rng.random() < 0.12 else vehicles.car(stage, place)
        z += float(rng.uniform(5.5, 8))


def _street_end(stage: Stage, shift: float, length: float) -> None:
    rng = stage.rng
    if rng.random() < 0.5:
        landscape.mountains(stage, 900, rng.uniform(70, 200), hsv(0.32, 0.25, 0.45), Ade.MOUNTAIN)
    for _ in range(8):
        plants.tree(stage, Place(shift + rng.uniform(-16, 16), 0, length + rng.uniform(8, 25)), rng.uniform(6, 11))


def park(rng: np.random.Generator, width: int, height: int) -> Scene:
    """Return a park with lawns, a path and perhaps a pond."""
    stage, weather, film = outdoors(rng, width, height, eye=float(rng.uniform(1.4, 2.4)), pitch=float(rng.uniform(-0.12, 0.0)))
    green = hsv(rng.uniform(0.2, 0.3), rng.uniform(0.4, 0.65), rng.uniform(0.42, 0.62))
    landscape.ground(stage, landscape.band(-3, 900), landscape.soil(stage, "grass", green), Ade.GRASS)
    start = float(rng.uniform(-2, 2))
    gravel = landscape.soil(stage, str(rng.choice(("gravel", "asphalt", "stones"))), hsv(0.09, rng.uniform(0.1, 0.35), rng.uniform(0.5, 0.75)))
    way = landscape.meander(rng, float(rng.uniform(1.6, 3.0)), 70, start=start)
    landscape.ground(stage, way, gravel, Ade.PATH)
    pond = bool(rng.random() < 0.45)
    if pond:
        _pond(stage, float(rng.choice((-1, 1))) * rng.uniform(7, 10))
    _park_trees(stage)
    _park_life(stage, way)
    if rng.random() < 0.5:
        tall = float(rng.uniform(14, 35))
        for x in np.arange(-90, 90, 24.0):
            buildings.building(stage, Place(float(x), 0, 110), float(rng.uniform(14, 22)), 12, tall * rng.uniform(0.5, 1.3), shop=False)
    landscape.mountains(stage, 420, float(rng.uniform(10, 30)), jitter(rng, hsv(0.3, 0.4, 0.42), 0.3), Ade.TREE, rough=0.75)
    if pond:
        landscape.mirror_water(stage, weather, (Ade.WATER,))
    return stage, film


def _pond(stage: Stage, x: float) -> None:
    rng = stage.rng
    middle = (x, rng.uniform(12, 18))
    shore = ellipse(1, 1, sides=22) * rng.uniform(0.85, 1.1, (22, 1)) * (rng.uniform(4.5, 6.5), rng.uniform(3.5, 6))
    landscape.ground(stage, shore * 1.1 + middle, landscape.soil(stage, "gravel", hsv(0.09, 0.3, 0.5)), Ade.EARTH)
    landscape.ground(stage, shore + middle, landscape.soil(stage, "water", hsv(0.5, 0.35, 0.3)), Ade.WATER)
    for i in range(0, 22, 3):
        foot = shore[i] * 1.05 + middle
        rock(stage, (float(foot[0]), 0.0, float(foot[1])), (0.7, 0.4, 0.6), random_paint(rng, "crag", hsv(0.1, 0.08, 0.55)), Ade.ROCK)


def _park_trees(stage: Stage) -> None:
    rng = stage.rng
    leaves = plants.green(rng)
    for x, z in landscape.scatter(rng, int(rng.integers(9, 16)), 8, 80, 0.75, clear=2.5):
        height = float(rng.uniform(5, 11))
        (plants.conifer if rng.random() < 0.2 else plants.tree)(stage, Place(x, 0, z), height, leaves)
    for x, z in landscape.scatter(rng, 6, 6, 30, 0.6, clear=1.8):
        plants.bush(stage, Place(x, 0, z), float(rng.uniform(0.8, 2.2)), float(rng.uniform(0.6, 1.4)))
    for x, z in landscape.scatter(rng, 5, 4, 14, 0.5, clear=1.5):
        plants.flowers(stage, Place(x, 0, z), float(rng.uniform(0.8, 1.8)), 0.5)
    spots = [(x, 0.0, z) for x, z in landscape.scatter(rng, 30, 2.2, 8, 0.6, clear=1.2)]
    plants.tufts(stage, spots, 0.16, hsv(0.24, 0.55, 0.5), Ade.GRASS)


def _park_life(stage: Stage, way: Points) -> None:
    rng = stage.rng
    count = len(way) // 2
    for i in rng.choice(np.arange(5, count - 4), 4, replace=False):
        edge = way[i] if rng.random() < 0.5 else way[len(way) - 1 - i]
        side = 1 if edge[0] > way[[i, len(way) - 1 - i], 0].mean() else -1
        place = _row(side, float(edge[0]) + side * 0.6, float(edge[1])).moved(0, -0.13, 0)
        if rng.random() < 0.5:
            street.bench(stage, place)
            if rng.random() < 0.5:
                people.person(stage, place.moved(rng.uniform(-0.4, 0.4), 0, -0.05), seated=True)
        else:
            street.street_lamp(stage, place, 4.5)
    for x, z in landscape.scatter(rng, int(rng.integers(2, 6)), 5, 28, 0.5):
        people.person(stage, Place(x, 0, z))
    for x, z in landscape.scatter(rng, 2, 4, 10, 0.5):
        street.toy_ball(stage, Place(x, 0, z))
    if rng.random() < 0.4:
        street.flag(stage, Place(float(rng.uniform(-8, 8)), 0, 20), 7.0)
    if rng.random() < 0.4:
        street.bin_(stage, Place(float(rng.uniform(-3, 3)), 0, float(rng.uniform(6, 10))))


def garden(rng: np.random.Generator, width: int, height: int) -> Scene:
    """Return a house behind its front garden."""
    stage, _, film = outdoors(rng, width, height, eye=float(rng.uniform(1.4, 2.2)), pitch=float(rng.uniform(-0.05, 0.06)))
    green = hsv(rng.uniform(0.21, 0.3), rng.uniform(0.4, 0.65), rng.uniform(0.42, 0.6))
    landscape.ground(stage, landscape.band(-3, 900), landscape.soil(stage, "grass", green), Ade.GRASS)
    wide, tall = float(rng.uniform(8, 12)), float(rng.choice((3.0, 5.4)))
    left, away = float(rng.uniform(-8, -2)), float(rng.uniform(12, 18))
    buildings.house(stage, Place.facing(left, 0, away, float(rng.uniform(-0.2, 0.2))), wide, 8, tall)
    for x in (-26.0, 18.0):
        if rng.random() < 0.7:
            buildings.house(stage, Place.facing(x + float(rng.uniform(-3, 3)), 0, away + 9, 0.0), 9, 8, 3.0)
    _garden_ground(stage, left + wide / 2, left + wide, away)
    for x, z in landscape.scatter(rng, 6, away - 4, 60, 0.8, clear=6):
        plants.tree(stage, Place(x, 0, z), float(rng.uniform(5, 10)))
    for _ in range(5):
        plants.bush(stage, Place(float(rng.uniform(left, left + wide)), 0, away - 0.8), float(rng.uniform(0.8, 1.6)), float(rng.uniform(0.7, 1.3)))
    for x, z in landscape.scatter(rng, 6, 3.5, 10, 0.6, clear=0.8):
        plants.flowers(stage, Place(x, 0, z), float(rng.uniform(0.6, 1.6)), 0.5)
    spots = [(x, 0.0, z) for x, z in landscape.scatter(rng, 30, 2.2, 7, 0.6)]
    plants.tufts(stage, spots, 0.15, green, Ade.GRASS)
    for x, z in landscape.scatter(rng, 3, 4, 11, 0.4):
        choice = rng.random()
        if choice < 0.4:
            people.person(stage, Place(x, 0, z), height=float(rng.choice((1.15, 1.7))))
        elif choice < 0.75:
            street.toy_ball(stage, Place(x, 0, z))
        else:
            street.clutter(stage, Place(x, 0, z), 0.8)
    landscape.mountains(stage, 380, float(rng.uniform(14, 34)), hsv(0.3, 0.4, 0.42), Ade.TREE, rough=0.72)
    return stage, film


def _garden_ground(stage: Stage, middle: float, right: float, away: float) -> None:
    """Draw the path to the door, the drive with a car, and the fence."""
    rng = stage.rng
    stones = landscape.soil(stage, "stones", hsv(0.09, 0.12, rng.uniform(0.55, 0.75)))
    landscape.ground(stage, np.array([(middle - 0.7, away), (-1.0, -1), (0.6, -1), (middle + 0.7, away)]), stones, Ade.PATH)
    if rng.random() < 0.65:
        gravel = landscape.soil(stage, "gravel", hsv(0.1, 0.1, rng.uniform(0.45, 0.65)))
        landscape.ground(stage, rectangle(right + 0.5, -1, right + 4.2, away + 4), gravel, Ade.EARTH)
        vehicles.car(stage, Place.facing(right + 2.3, 0, away - float(rng.uniform(1, 4)), float(rng.choice((-1, 1))) * QUARTER))
    if rng.random() < 0.6:
        z = float(rng.uniform(5, 8))
        street.fence(stage, Place(-16, 0, z), 14.5, 0.95)
        street.fence(stage, Place(1.2, 0, z), 12, 0.95)


def countryside(rng: np.random.Generator, width: int, height: int) -> Scene:
    """Return fields before hills or mountains."""
    stage, _, film = outdoors(rng, width, height, eye=float(rng.uniform(1.6, 4.0)), pitch=float(rng.uniform(-0.08, 0.04)), haze=0.0008)
    crop = hsv(rng.choice((0.12, 0.15, 0.24, 0.28, 0.09)), rng.uniform(0.35, 0.65), rng.uniform(0.5, 0.78))
    name = str(rng.choice(("crop", "crop", "meadow")))
    landscape.ground(stage, landscape.band(-3, 900), landscape.soil(stage, name, crop), Ade.FIELD)
    for low in (60.0, 110.0, 220.0):
        other = hsv(rng.choice((0.12, 0.2, 0.26, 0.1)), rng.uniform(0.3, 0.6), rng.uniform(0.45, 0.75))
        label = Ade.FIELD if rng.random() < 0.7 else Ade.GRASS
        landscape.ground(stage, landscape.band(low * rng.uniform(0.8, 1.2), 900), landscape.soil(stage, "crop", other, scale=2), label)
    if rng.random() < 0.6:
        dirt = landscape.soil(stage, "gravel", hsv(0.08, rng.uniform(0.3, 0.5), rng.uniform(0.45, 0.65)))
        landscape.ground(stage, landscape.meander(rng, float(rng.uniform(1.8, 3)), 120, start=float(rng.uniform(-2, 2)), bend=6), dirt, Ade.EARTH)
    _distance(stage)
    for x, z in landscape.scatter(rng, int(rng.integers(4, 12)), 14, 200, 0.8, clear=3):
        (plants.conifer if rng.random() < 0.3 else plants.tree)(stage, Place(x, 0, z), float(rng.uniform(5, 11)))
    for x, z in landscape.scatter(rng, int(rng.integers(0, 3)), 35, 120, 0.6, clear=4):
        buildings.house(stage, Place.facing(x, 0, z, float(rng.uniform(-0.6, 0.6))), 11, 8, 3.2)
    _field_life(stage, crop)
    return stage, film


def _distance(stage: Stage) -> None:
    """Draw ranges of mountains behind one another, or hills."""
    rng = stage.rng
    if rng.random() < 0.65:
        rocky = hsv(rng.uniform(0.55, 0.68), rng.uniform(0.08, 0.25), rng.uniform(0.42, 0.6))
        landscape.mountains(stage, 900, float(rng.uniform(190, 380)), rocky, Ade.MOUNTAIN, snow=bool(rng.random() < 0.6))
        wooded = hsv(rng.uniform(0.25, 0.42), rng.uniform(0.2, 0.45), rng.uniform(0.3, 0.48))
        landscape.mountains(stage, 650, float(rng.uniform(70, 150)), wooded, Ade.MOUNTAIN, rough=0.45)
    if rng.random() < 0.6:
        soft = hsv(rng.uniform(0.18, 0.33), rng.uniform(0.3, 0.5), rng.uniform(0.4, 0.6))
        landscape.mountains(stage, 420, float(rng.uniform(18, 50)), soft, Ade.HILL, rough=0.3)
    landscape.mountains(stage, 300, float(rng.uniform(5, 12)), hsv(0.3, 0.45, 0.35), Ade.TREE, rough=0.8)


def _field_life(stage: Stage, crop: np.ndarray) -> None:
    rng = stage.rng
    if rng.random() < 0.6:
        street.fence(stage, Place.facing(-20, 0, float(rng.uniform(8, 16)), float(rng.uniform(-0.2, 0.3))), 46, 1.2)
    if rng.random() < 0.5:
        for x, z in landscape.scatter(rng, 5, 10, 45, 0.6):
            people_or_cow = people.cow if rng.random() < 0.85 else people.person
            people_or_cow(stage, Place(x, 0, z))
    if rng.random() < 0.4:
        for x, z in landscape.scatter(rng, 5, 9, 50, 0.6):
            street.clutter(stage, Place(x, 0, z), float(rng.uniform(1.2, 2.2)))
    if rng.random() < 0.35:
        line = [(x, 7.0, 26.0 + 0.3 * x) for x in (-40.0, -14.0, 12.0, 38.0)]
        for i, top in enumerate(line):
            street.pole(stage, Place(top[0], 0, top[2]), 7.4, 0.24)
            if i:
                street.cable(stage, line[i - 1], top, 0.9)
    for x, z in landscape.scatter(rng, 4, 4, 14, 0.6, clear=1.5):
        size = float(rng.uniform(0.4, 1.4))
        rock(stage, (x, 0.0, z), (size * 1.3, size * 0.7, size), random_paint(rng, "crag", hsv(0.1, 0.08, rng.uniform(0.4, 0.65))), Ade.ROCK)
    spots = [(x, 0.0, z) for x, z in landscape.scatter(rng, 40, 2.5, 9, 0.6)]
    plants.tufts(stage, spots, float(rng.uniform(0.2, 0.4)), crop, Ade.FIELD)


def lake(rng: np.random.Generator, width: int, height: int) -> Scene:
    """Return a lake before mountains."""
    stage, weather, film = outdoors(rng, width, height, eye=float(rng.uniform(2, 5)), pitch=float(rng.uniform(-0.1, 0.02)), haze=0.0007)
    grass = hsv(rng.uniform(0.18, 0.3), rng.uniform(0.3, 0.55), rng.uniform(0.4, 0.6))
    near = str(rng.choice(("grass", "gravel", "meadow")))
    label = Ade.EARTH if near == "gravel" else Ade.GRASS
    color = hsv(0.09, 0.2, 0.55) if near == "gravel" else grass
    landscape.ground(stage, landscape.band(-3, 900), landscape.soil(stage, near, color), label)
    first = float(rng.uniform(7, 16))
    x = np.linspace(-160, 160, 33)
    shore = np.stack([x, first + 4 * landscape.ridge(rng, 33, 0.6) + 0.05 * np.abs(x)], -1)
    far = np.array([(300.0, 190.0), (-300.0, 190.0)])
    landscape.ground(stage, np.concatenate([shore, far]), landscape.soil(stage, "water", hsv(rng.uniform(0.48, 0.58), 0.5, 0.3)), Ade.WATER)
    _distance(stage)
    for x_ in rng.uniform(-230, 230, 30).tolist():
        plants.conifer(stage, Place(x_, 0, float(rng.uniform(195, 280))), float(rng.uniform(8, 17)))
    for x_, z in landscape.scatter(rng, 4, 40, 150, 0.6):
        (vehicles.sailboat if rng.random() < 0.4 else vehicles.boat)(stage, Place.facing(x_, 0, z, float(rng.uniform(-0.6, 0.6))), float(rng.uniform(4, 7)))
    landscape.mirror_water(stage, weather, (Ade.WATER,))
    _lake_shore(stage, first)
    return stage, film


def _lake_shore(stage: Stage, first: float) -> None:
    rng = stage.rng
    for x, z in landscape.scatter(rng, 4, 6, first + 6, 0.9, clear=2.5):
        plants.conifer(stage, Place(x, 0, z), float(rng.uniform(5, 10)))
    gray = random_paint(rng, "crag", hsv(rng.uniform(0.05, 0.6), 0.08, rng.uniform(0.4, 0.65)))
    for x, z in landscape.scatter(rng, 7, 4, first + 4, 0.7):
        size = float(rng.uniform(0.4, 1.6))
        rock(stage, (x, 0.0, z), (size * 1.4, size * 0.7, size), gray, Ade.ROCK)
    for x, z in landscape.scatter(rng, 4, 4, 12, 0.7, clear=1.0):
        plants.bush(stage, Place(x, 0, z), float(rng.uniform(0.7, 1.6)), float(rng.uniform(0.5, 1.1)))
    if rng.random() < 0.5:
        people.person(stage, Place(float(rng.uniform(-2, 2)), 0, float(rng.uniform(5, 9))))
    if rng.random() < 0.4:
        street.bench(stage, Place.facing(float(rng.uniform(-2, 2)), 0, float(rng.uniform(5, 8)), math.pi + float(rng.uniform(-0.5, 0.5))))


def coast(rng: np.random.Generator, width: int, height: int) -> Scene:
    """Return a beach and the sea."""
    stage, weather, film = outdoors(rng, width, height, eye=float(rng.uniform(1.6, 4.5)), pitch=float(rng.uniform(-0.14, -0.01)), haze=0.0009)
    sand = landscape.soil(stage, "sand", hsv(rng.uniform(0.09, 0.13), rng.uniform(0.15, 0.4), rng.uniform(0.72, 0.92)))
    landscape.ground(stage, landscape.band(-3, 200), sand, Ade.SAND)
    first, slope = float(rng.uniform(9, 16)), float(rng.uniform(-0.25, 0.25))
    x = np.linspace(-400, 400, 65)
    wave = landscape.ridge(rng, 65, 0.7)
    shore = np.stack([x, np.maximum(first + slope * x + 4 * wave, 3.0)], -1)
    far = np.array([(900.0, 900.0), (-900.0, 900.0)])
    wet = Paint(hsv(0.1, 0.3, 0.55), sand.texture)
    landscape.ground(stage, np.concatenate([shore - (0, 1.1), far]), wet, Ade.SAND)
    sea = landscape.soil(stage, "water", hsv(rng.uniform(0.47, 0.57), rng.uniform(0.5, 0.8), rng.uniform(0.3, 0.5)))
    landscape.ground(stage, np.concatenate([shore, far]), sea, Ade.SEA)
    if rng.random() < 0.55:
        side = float(rng.choice((-1, 1)))
        _headland(stage, side)
    for x_, z in landscape.scatter(rng, int(rng.integers(2, 6)), 30, 200, 0.7):
        (vehicles.sailboat if rng.random() < 0.5 else vehicles.boat)(stage, Place.facing(x_, 0, z, float(rng.uniform(-0.7, 0.7))), float(rng.uniform(4, 8)))
    landscape.mirror_water(stage, weather, (Ade.SEA,))
    _surf(stage, shore)
    _beach_life(stage, first)
    return stage, film


def _headland(stage: Stage, side: float) -> None:
    rng = stage.rng
    color = hsv(rng.uniform(0.2, 0.6), rng.uniform(0.12, 0.3), rng.uniform(0.4, 0.55))
    heights = landscape.ridge(rng, 65, 0.55) * np.linspace(1, 0.02, 65) * rng.uniform(40, 110)
    x = np.linspace(700, 40, 65) * side
    line = np.stack([x, heights], -1)
    foot = np.array([(x[-1], -4.0), (x[0], -4.0)])
    frame = Place(0, 0, 420).front()
    stage.panel(frame, [np.concatenate([line, foot])], random_paint(rng, "crag", color), Ade.MOUNTAIN)


def _surf(stage: Stage, shore: Points) -> None:
    """Draw the foam of waves that run up the beach; it is sea."""
    rng = stage.rng
    foam = random_paint(rng, "gravel", hsv(0.55, 0.03, 1.0))
    for away, width in ((0.0, 0.5), (2.6, 0.35), (6.0, 0.5)):
        lower = shore + np.stack([0 * shore[:, 0], away + rng.uniform(-0.5, 0.5, len(shore))], -1)
        upper = lower + np.stack([0 * shore[:, 0], width * rng.uniform(0.2, 1.6, len(shore))], -1)
        landscape.ground(stage, np.concatenate([lower, upper[::-1]]), foam, Ade.SEA, height=0.01)


def _beach_life(stage: Stage, first: float) -> None:
    rng = stage.rng
    if rng.random() < 0.5:
        for x, z in landscape.scatter(rng, 4, 5, first + 3, 0.9, clear=2.0):
            plants.palm(stage, Place(x, 0, z), float(rng.uniform(4.5, 8)))
    if rng.random() < 0.6:
        for x, z in landscape.scatter(rng, 4, 6, first, 0.6):
            street.umbrella(stage, Place(x, 0, z))
    stone = random_paint(rng, "crag", hsv(rng.uniform(0.05, 0.6), 0.1, rng.uniform(0.3, 0.6)))
    for x, z in landscape.scatter(rng, int(rng.integers(2, 9)), 4, first + 5, 0.8):
        size = float(rng.uniform(0.4, 2.0))
        rock(stage, (x, 0.0, z), (size * 1.3, size * 0.8, size), stone, Ade.ROCK)
    for x, z in landscape.scatter(rng, int(rng.integers(1, 6)), 5, first + 2, 0.6):
        people.person(stage, Place(x, 0, z))
    for x, z in landscape.scatter(rng, 1, 4, 8, 0.5):
        street.toy_ball(stage, Place(x, 0, z))
    if rng.random() < 0.3:
        _pier(stage, float(rng.choice((-1, 1))) * float(rng.uniform(4, 8)), first)


def _pier(stage: Stage, x: float, first: float) -> None:
    """Draw a wooden pier with a railing that leads out to sea."""
    rng = stage.rng
    planks = random_paint(rng, "wood", hsv(0.08, 0.3, 0.55))
    place = Place(x, 0, first - 3)
    box(stage, place, (-1.2, 0.75, 0), (1.2, 0.95, 34), planks, Ade.PIER)
    for z in np.arange(1.0, 34, 5.0):
        for side in (-1.05, 0.9):
            box(stage, place, (side, 0, z), (side + 0.16, 0.75, z + 0.16), planks, Ade.PIER, cast=False)
    for side in (-1.15, 1.15):
        rails = [rectangle(0, y, 34, y + 0.06) for y in (1.4, 1.85)]
        posts = [rectangle(z, 0.95, z + 0.07, 1.9) for z in np.arange(0, 34, 2.0)]
        stage.panel(place.side(side), [*rails, *posts], planks, Ade.RAILING)
