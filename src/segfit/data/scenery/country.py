"""Open country: fields, a lake, a beach."""

import math

import numpy as np

from segfit.data.scenery import buildings, landscape, people, plants, street, vehicles
from segfit.data.scenery.ade import Ade
from segfit.data.scenery.film import Shot
from segfit.data.scenery.geometry import Place, Points, rectangle
from segfit.data.scenery.outdoors import outdoors
from segfit.data.scenery.patterns import random_paint
from segfit.data.scenery.solids import box, rock
from segfit.data.scenery.stage import Paint, Stage
from segfit.data.scenery.texture import Color, hsv

__all__ = ["coast", "countryside", "lake"]


def countryside(rng: np.random.Generator, width: int, height: int) -> Shot:
    """Return fields before hills or mountains."""
    stage, _, film = outdoors(
        rng, width, height, eye=float(rng.uniform(1.6, 4.0)), pitch=float(rng.uniform(-0.08, 0.04)), haze=0.0008
    )
    crop = hsv(rng.choice((0.12, 0.15, 0.24, 0.28, 0.09)), rng.uniform(0.35, 0.65), rng.uniform(0.5, 0.78))
    name = str(rng.choice(("crop", "crop", "meadow")))
    landscape.ground(stage, landscape.band(-3, 900), landscape.soil(stage, name, crop), Ade.FIELD)
    for low in (60.0, 110.0, 220.0):
        other = hsv(rng.choice((0.12, 0.2, 0.26, 0.1)), rng.uniform(0.3, 0.6), rng.uniform(0.45, 0.75))
        label = Ade.FIELD if rng.random() < 0.7 else Ade.GRASS
        landscape.ground(
            stage,
            landscape.band(low * rng.uniform(0.8, 1.2), 900),
            landscape.soil(stage, "crop", other, scale=2),
            label,
        )
    if rng.random() < 0.6:
        dirt = landscape.soil(stage, "gravel", hsv(0.08, rng.uniform(0.3, 0.5), rng.uniform(0.45, 0.65)))
        landscape.ground(
            stage,
            landscape.meander(rng, float(rng.uniform(1.8, 3)), 120, start=float(rng.uniform(-2, 2)), bend=6),
            dirt,
            Ade.EARTH,
        )
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
        landscape.mountains(
            stage, 900, float(rng.uniform(190, 380)), rocky, Ade.MOUNTAIN, snow=bool(rng.random() < 0.6)
        )
        wooded = hsv(rng.uniform(0.25, 0.42), rng.uniform(0.2, 0.45), rng.uniform(0.3, 0.48))
        landscape.mountains(stage, 650, float(rng.uniform(70, 150)), wooded, Ade.MOUNTAIN, rough=0.45)
    if rng.random() < 0.6:
        soft = hsv(rng.uniform(0.18, 0.33), rng.uniform(0.3, 0.5), rng.uniform(0.4, 0.6))
        landscape.mountains(stage, 420, float(rng.uniform(18, 50)), soft, Ade.HILL, rough=0.3)
    landscape.mountains(stage, 300, float(rng.uniform(5, 12)), hsv(0.3, 0.45, 0.35), Ade.TREE, rough=0.8)


def _field_life(stage: Stage, crop: Color) -> None:
    rng = stage.rng
    if rng.random() < 0.6:
        street.fence(stage, Place.facing(-20, 0, float(rng.uniform(8, 16)), float(rng.uniform(-0.2, 0.3))), 46, 1.2)
    if rng.random() < 0.5:
        for x, z in landscape.scatter(rng, 5, 10, 45, 0.6):
            people_or_cow = people.cow if rng.random() < 0.85 else people.person
            people_or_cow(stage, Place(x, 0, z))
    if rng.random() < 0.4:
        for x, z in landscape.scatter(rng, 5, 9, 50, 0.6):
            street.clutter(stage, Place(x, 0, z), float(rng.uniform(1.3, 2.6)))
    if rng.random() < 0.35:
        line = [(x, 7.0, 26.0 + 0.3 * x) for x in (-40.0, -14.0, 12.0, 38.0)]
        for i, top in enumerate(line):
            street.pole(stage, Place(top[0], 0, top[2]), 7.4, 0.24)
            if i:
                street.cable(stage, line[i - 1], top, 0.9)
    for x, z in landscape.scatter(rng, 4, 4, 14, 0.6, clear=1.5):
        size = float(rng.uniform(0.4, 1.4))
        rock(
            stage,
            (x, 0.0, z),
            (size * 1.3, size * 0.7, size),
            random_paint(rng, "crag", hsv(0.1, 0.08, rng.uniform(0.4, 0.65))),
            Ade.ROCK,
        )
    spots = [(x, 0.0, z) for x, z in landscape.scatter(rng, 40, 2.5, 9, 0.6)]
    plants.tufts(stage, spots, float(rng.uniform(0.2, 0.4)), crop, Ade.FIELD)


def lake(rng: np.random.Generator, width: int, height: int) -> Shot:
    """Return a lake before mountains."""
    stage, weather, film = outdoors(
        rng, width, height, eye=float(rng.uniform(2, 5)), pitch=float(rng.uniform(-0.1, 0.02)), haze=0.0007
    )
    grass = hsv(rng.uniform(0.18, 0.3), rng.uniform(0.3, 0.55), rng.uniform(0.4, 0.6))
    near = str(rng.choice(("grass", "gravel", "meadow")))
    label = Ade.EARTH if near == "gravel" else Ade.GRASS
    color = hsv(0.09, 0.2, 0.55) if near == "gravel" else grass
    landscape.ground(stage, landscape.band(-3, 900), landscape.soil(stage, near, color), label)
    first = float(rng.uniform(7, 16))
    x = np.linspace(-160, 160, 33)
    shore = np.stack([x, first + 4 * landscape.ridge(rng, 33, 0.6) + 0.05 * np.abs(x)], -1)
    far = np.array([(300.0, 190.0), (-300.0, 190.0)])
    landscape.ground(
        stage,
        np.concatenate([shore, far]),
        landscape.soil(stage, "water", hsv(rng.uniform(0.48, 0.58), 0.5, 0.3)),
        Ade.WATER,
    )
    _distance(stage)
    for x_ in rng.uniform(-230, 230, 30).tolist():
        plants.conifer(stage, Place(x_, 0, float(rng.uniform(195, 280))), float(rng.uniform(8, 17)))
    for x_, z in landscape.scatter(rng, 4, 40, 150, 0.6):
        (vehicles.sailboat if rng.random() < 0.4 else vehicles.boat)(
            stage, Place.facing(x_, 0, z, float(rng.uniform(-0.6, 0.6))), float(rng.uniform(4, 7))
        )
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
        street.bench(
            stage,
            Place.facing(
                float(rng.uniform(-2, 2)), 0, float(rng.uniform(5, 8)), math.pi + float(rng.uniform(-0.5, 0.5))
            ),
        )


def coast(rng: np.random.Generator, width: int, height: int) -> Shot:
    """Return a beach and the sea."""
    stage, weather, film = outdoors(
        rng, width, height, eye=float(rng.uniform(1.6, 4.5)), pitch=float(rng.uniform(-0.14, -0.01)), haze=0.0009
    )
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
        (vehicles.sailboat if rng.random() < 0.5 else vehicles.boat)(
            stage, Place.facing(x_, 0, z, float(rng.uniform(-0.7, 0.7))), float(rng.uniform(4, 8))
        )
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
