"""Parks and gardens."""

import numpy as np

from segfit.data.scenery import buildings, landscape, people, plants, street, vehicles
from segfit.data.scenery.ade import Ade
from segfit.data.scenery.film import Shot
from segfit.data.scenery.geometry import Place, Points, ellipse, rectangle
from segfit.data.scenery.outdoors import QUARTER, beside, outdoors
from segfit.data.scenery.patterns import random_paint
from segfit.data.scenery.solids import rock
from segfit.data.scenery.stage import Stage
from segfit.data.scenery.texture import hsv, jitter

__all__ = ["garden", "park"]


def park(rng: np.random.Generator, width: int, height: int) -> Shot:
    """Return a park with lawns, a path and perhaps a pond."""
    stage, weather, film = outdoors(
        rng, width, height, eye=float(rng.uniform(1.4, 2.4)), pitch=float(rng.uniform(-0.12, 0.0))
    )
    green = hsv(rng.uniform(0.2, 0.3), rng.uniform(0.4, 0.65), rng.uniform(0.42, 0.62))
    landscape.ground(stage, landscape.band(-3, 900), landscape.soil(stage, "grass", green), Ade.GRASS)
    start = float(rng.uniform(-2, 2))
    gravel = landscape.soil(
        stage,
        str(rng.choice(("gravel", "asphalt", "stones"))),
        hsv(0.09, rng.uniform(0.1, 0.35), rng.uniform(0.5, 0.75)),
    )
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
            buildings.building(
                stage, Place(float(x), 0, 110), float(rng.uniform(14, 22)), 12, tall * rng.uniform(0.5, 1.3), shop=False
            )
    landscape.mountains(
        stage, 420, float(rng.uniform(10, 30)), jitter(rng, hsv(0.3, 0.4, 0.42), 0.3), Ade.TREE, rough=0.75
    )
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
        rock(
            stage,
            (float(foot[0]), 0.0, float(foot[1])),
            (0.7, 0.4, 0.6),
            random_paint(rng, "crag", hsv(0.1, 0.08, 0.55)),
            Ade.ROCK,
        )


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
        place = beside(side, float(edge[0]) + side * 0.6, float(edge[1])).moved(0, -0.13, 0)
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
    for x, z in landscape.scatter(rng, int(rng.integers(0, 3)), 6, 20, 0.5, clear=2):
        street.clutter(stage, Place(x, 0, z), float(rng.uniform(1.0, 1.8)))
    if rng.random() < 0.4:
        street.bin_(stage, Place(float(rng.uniform(-3, 3)), 0, float(rng.uniform(6, 10))))


def garden(rng: np.random.Generator, width: int, height: int) -> Shot:
    """Return a house behind its front garden."""
    stage, _, film = outdoors(
        rng, width, height, eye=float(rng.uniform(1.4, 2.2)), pitch=float(rng.uniform(-0.05, 0.06))
    )
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
        plants.bush(
            stage,
            Place(float(rng.uniform(left, left + wide)), 0, away - 0.8),
            float(rng.uniform(0.8, 1.6)),
            float(rng.uniform(0.7, 1.3)),
        )
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
            street.clutter(stage, Place(x, 0, z), 1.1)
    landscape.mountains(stage, 380, float(rng.uniform(14, 34)), hsv(0.3, 0.4, 0.42), Ade.TREE, rough=0.72)
    return stage, film


def _garden_ground(stage: Stage, middle: float, right: float, away: float) -> None:
    """Draw the path to the door, the drive with a car, and the fence."""
    rng = stage.rng
    stones = landscape.soil(stage, "stones", hsv(0.09, 0.12, rng.uniform(0.55, 0.75)))
    landscape.ground(
        stage, np.array([(middle - 0.7, away), (-1.0, -1), (0.6, -1), (middle + 0.7, away)]), stones, Ade.PATH
    )
    if rng.random() < 0.65:
        gravel = landscape.soil(stage, "gravel", hsv(0.1, 0.1, rng.uniform(0.45, 0.65)))
        landscape.ground(stage, rectangle(right + 0.5, -1, right + 4.2, away + 4), gravel, Ade.EARTH)
        vehicles.car(
            stage, Place.facing(right + 2.3, 0, away - float(rng.uniform(1, 4)), float(rng.choice((-1, 1))) * QUARTER)
        )
    if rng.random() < 0.6:
        z = float(rng.uniform(5, 8))
        street.fence(stage, Place(-16, 0, z), 14.5, 0.95)
        street.fence(stage, Place(1.2, 0, z), 12, 0.95)
