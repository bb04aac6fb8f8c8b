"""People and animals: flat figures with limbs, shaded as if round."""

import numpy as np

from segfit.data.scenery.ade import Ade
from segfit.data.scenery.geometry import Frame, Place, Points, ellipse
from segfit.data.scenery.patterns import random_paint
from segfit.data.scenery.solids import billboard, stroke
from segfit.data.scenery.stage import Paint, Stage
from segfit.data.scenery.texture import Color, hsv

__all__ = ["cow", "person"]

ROUND = (0.7, 0.15)


def garment(rng: np.random.Generator) -> Color:
    """Return the colour of a piece of clothing: often dark or pale, sometimes bright."""
    if rng.random() < 0.45:
        return hsv(rng.choice((0.6, 0.08, 0.0)), rng.uniform(0.0, 0.25), rng.choice((0.18, 0.3, 0.5, 0.85)))
    return hsv(rng.random(), rng.uniform(0.4, 0.85), rng.uniform(0.35, 0.9))


def person(stage: Stage, place: Place, *, seated: bool = False, height: float | None = None) -> None:
    """Draw a person who walks, stands or sits.

    Args:
        stage: where to draw.
        place: where the feet are (or, seated, the ground below the seat).
        seated: on a seat 0.45 m high.
        height: metres; by chance when left out.
    """
    rng = stage.rng
    tall = rng.uniform(1.5, 1.88) if height is None else height
    frame = billboard(stage, place.at(), towards=0.12 if seated else 0.0)
    hip = 0.52 if seated else tall * 0.5
    shoulder = hip + tall * 0.31
    wide = tall * rng.uniform(0.105, 0.13)
    legs, top, skin = (
        garment(rng),
        garment(rng),
        hsv(rng.uniform(0.04, 0.075), rng.uniform(0.3, 0.6), rng.uniform(0.35, 0.9)),
    )
    _legs(stage, frame, hip, tall, legs, seated=seated)
    cloth = random_paint(rng, "cloth", top)
    _arms(stage, frame, (shoulder, hip, wide), Paint(top * np.float32(0.8)), Paint(skin))
    lean = rng.uniform(-0.02, 0.02) * tall
    half = [
        (0.78, hip - 0.04, 0.0),
        (0.72, hip + 0.15, 0.0),
        (1.0, shoulder - 0.05, lean),
        (0.6, shoulder + 0.03, lean),
    ]
    right = [(wide * x + shift, y) for x, y, shift in half]
    left = [(-wide * x + shift, y) for x, y, shift in reversed(half)]
    torso = np.array(right + left)
    stage.panel(frame, [torso], cloth, Ade.PERSON, bulge=ROUND)
    _head(stage, frame, (lean, shoulder, tall), skin)
    stage.cast(
        frame.at(np.array([(-wide, 0), (wide, 0), (wide, shoulder), (0, shoulder + 0.22 * tall), (-wide, shoulder)]))
    )


def _legs(stage: Stage, frame: Frame, hip: float, tall: float, color: Color, *, seated: bool) -> None:
    rng = stage.rng
    width = tall * 0.085
    shoe = hsv(0.08, rng.uniform(0, 0.6), rng.choice((0.12, 0.25, 0.9)))
    reach = tall * rng.uniform(0.03, 0.16)
    lines, feet = [], []
    for side, far in ((-1, 0.9), (1, 1.0)):
        if seated:
            line = np.array([(side * 0.07, hip), (side * 0.09, hip - 0.12), (side * 0.09, 0.03)])
        else:
            foot = side * reach * 0.8
            line = np.array([(side * width * 0.45, hip), (side * reach * 0.75 * far, hip * 0.5), (foot, 0.04)])
        lines += stroke(line, width * 1.25, width * 0.75)
        feet.append(ellipse(0.055, 0.032, center=(line[-1, 0] + 0.025, 0.03), sides=10))
    stage.panel(frame, lines, Paint(color), Ade.PERSON, bulge=ROUND)
    stage.panel(frame, feet, Paint(shoe), Ade.PERSON)


def _arms(stage: Stage, frame: Frame, body: tuple[float, float, float], sleeve: Paint, skin: Paint) -> None:
    rng = stage.rng
    shoulder, hip, wide = body
    sleeves, hands = [], []
    for side in (-1, 1):
        elbow = np.array((side * (wide + rng.uniform(0.02, 0.12)), (shoulder + hip) / 2 + 0.02))
        hand = np.array((side * (wide + rng.uniform(-0.08, 0.16)), hip + rng.uniform(-0.1, 0.15)))
        sleeves += stroke(np.array([(side * wide * 0.85, shoulder - 0.02), elbow, hand]), 0.1, 0.07)
        hands.append(ellipse(0.042, 0.05, sides=10) + hand)
    stage.panel(frame, sleeves, sleeve, Ade.PERSON, bulge=ROUND)
    stage.panel(frame, hands, skin, Ade.PERSON)


def _head(stage: Stage, frame: Frame, where: tuple[float, float, float], skin: Color) -> None:
    rng = stage.rng
    lean, shoulder, tall = where
    hair = hsv(rng.uniform(0.03, 0.12), rng.uniform(0.1, 0.7), rng.choice((0.1, 0.2, 0.35, 0.7)))
    middle = np.array((lean, shoulder + tall * 0.115))
    across, up = tall * 0.047, tall * 0.068
    neck = stroke(np.array([(lean, shoulder), middle]), tall * 0.05)
    long = rng.random() < 0.4
    if long:
        mane = ellipse(across * 1.45, up * 1.7, sides=14) + middle - (0, up * 0.55)
        stage.panel(frame, [mane], Paint(hair * np.float32(0.8)), Ade.PERSON)
    stage.panel(frame, [*neck, ellipse(across, up, sides=16) + middle], Paint(skin), Ade.PERSON, bulge=ROUND)
    cap = ellipse(across * 1.13, up * 1.1, sides=14, start=-0.02, sweep=0.54) + middle + (0, up * 0.12)
    stage.panel(frame, [cap], Paint(hair), Ade.PERSON, bulge=ROUND)


def cow(stage: Stage, place: Place) -> None:
    """Draw a cow, seen from the side."""
    rng = stage.rng
    frame = billboard(stage, place.at())
    flip = float(rng.choice((-1, 1)))
    coat = hsv(rng.uniform(0.04, 0.1), rng.uniform(0.05, 0.6), rng.choice((0.2, 0.5, 0.85)))
    body = [(-1.0, 0.75), (0.6, 0.68), (0.85, 1.0), (0.8, 1.3), (-0.9, 1.35), (-1.05, 1.1)]
    head = [(0.7, 1.1), (1.1, 0.75), (1.35, 0.85), (1.2, 1.2), (0.85, 1.35)]
    if rng.random() < 0.5:  # it grazes
        head = [(0.6, 1.1), (0.85, 0.3), (1.15, 0.12), (1.2, 0.35), (0.95, 1.25)]
    legs = [part for x in (-0.85, -0.6, 0.45, 0.7) for part in stroke(np.array([(x, 0.8), (x, 0.0)]), 0.2, 0.1)]
    outlines: list[Points] = [np.array(part) * (flip, 1) for part in (body, head, *legs)]
    stage.panel(frame, outlines, Paint(coat), Ade.ANIMAL, bulge=(0.3, 0.75))
    spots = [
        ellipse(*rng.uniform(0.1, 0.25, 2), center=(rng.uniform(-0.8, 0.5), rng.uniform(0.95, 1.15)), sides=9)
        for _ in range(3)
    ]
    patch = hsv(0.08, 0.1, rng.choice((0.1, 0.9)))
    stage.panel(frame, spots, Paint(patch), Ade.ANIMAL, bulge=(0.3, 0.75))
    stage.cast(frame.at(np.array([(-1, 0.0), (1, 0.0), (1, 1.3), (-1, 1.3)])))
