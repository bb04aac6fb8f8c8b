"""A street between buildings."""

import math

import numpy as np

from segfit.data.scenery import buildings, landscape, people, plants, street, vehicles
from segfit.data.scenery.ade import Ade
from segfit.data.scenery.film import Shot
from segfit.data.scenery.geometry import Place, ellipse, rectangle
from segfit.data.scenery.outdoors import QUARTER, beside, outdoors
from segfit.data.scenery.patterns import random_paint
from segfit.data.scenery.solids import box
from segfit.data.scenery.stage import Paint, Stage
from segfit.data.scenery.texture import hsv

__all__ = ["town_street"]


def town_street(rng: np.random.Generator, width: int, height: int) -> Shot:
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
            street.cable(
                stage, (shift - half - walk, 6.5, z), (shift + half + walk, 6.8, z + float(rng.uniform(-3, 3))), 0.6
            )
    _street_end(stage, shift, length)
    return stage, film


def _street_ground(stage: Stage, half: float, walk: float, shift: float, length: float) -> None:
    rng = stage.rng
    asphalt = landscape.soil(
        stage,
        str(rng.choice(("asphalt", "asphalt", "stones"))),
        hsv(0.6, rng.uniform(0, 0.08), rng.uniform(0.36, 0.62)),
    )
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
    paving = landscape.soil(
        stage, str(rng.choice(("stones", "concrete", "tiles"))), hsv(0.09, rng.uniform(0, 0.18), rng.uniform(0.5, 0.75))
    )
    kerb = Paint(hsv(0.1, 0.05, 0.68))
    for low, high in ((-half - walk, -half), (half, half + walk)):
        box(stage, Place(shift, 0, 0), (low, 0, -3), (high, 0.13, far), kerb, Ade.SIDEWALK, cast=False)
        landscape.ground(stage, rectangle(shift + low, -3, shift + high, far), paving, Ade.SIDEWALK, height=0.135)
    for _ in range(2):
        lid = ellipse(0.35, 0.35, center=(shift + rng.uniform(-half, half) * 0.6, rng.uniform(4, 12)), sides=14)
        stage.panel(frame, [lid], Paint(hsv(0.6, 0.05, 0.25)), Ade.OTHER, ground=True)


def _row_of_buildings(stage: Stage, side: int, edge: float, shift: float, length: float, tall: float) -> None:
    """Line one side of a street with buildings, now and then a gap with trees."""
    rng = stage.rng
    z = float(rng.uniform(-2, 3))
    while z < length:
        width = float(rng.uniform(8, 17))
        if rng.random() < 0.18:
            street.hoarding(stage, beside(side, shift + side * (edge - 0.3), z, width), width)
        if rng.random() < 0.14:
            for _ in range(2):
                plants.tree(
                    stage,
                    Place(shift + side * (edge + rng.uniform(1.5, 4)), 0, z + rng.uniform(2, width)),
                    rng.uniform(5, 9),
                )
            street.fence(stage, beside(side, shift + side * edge, z, width), width, 1.3)
            z += width
            continue
        place = beside(side, shift + side * edge, z, width)
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
        street.signboard(
            stage, place.front(rng.uniform(0.5, width - long - 0.5), 2.85, -0.08), long, float(rng.uniform(0.45, 0.8))
        )
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
        street.street_lamp(
            stage, Place.facing(kerb, 0.13, float(z), 0.0 if side < 0 else math.pi), float(rng.uniform(4.8, 6.5))
        )
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
        lambda place: street.clutter(stage, place, 1.2),
    )
    for _ in range(int(rng.integers(2, 5))):
        things[int(rng.integers(len(things)))](
            Place.facing(kerb, 0.13, float(rng.uniform(5, 26)), float(rng.uniform(-0.3, 0.3)))
        )
    for _ in range(int(rng.integers(0, 3))):
        street.clutter(stage, Place.facing(kerb, 0.13, float(rng.uniform(3.5, 16)), float(rng.uniform(-0.3, 0.3))), 1.4)
    if rng.random() < 0.4:
        street.bench(stage, beside(side, wall, float(rng.uniform(5, 16))))
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
