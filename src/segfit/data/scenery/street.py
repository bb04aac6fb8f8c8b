"""What stands in streets, parks and gardens: lamps, signs, fences, benches, bins, flags, awnings, cables."""

import math

import numpy as np

from segfit.data.scenery.ade import Ade
from segfit.data.scenery.geometry import UP, Frame, Place, Points, Vec, dot, ellipse, rectangle, rounded, unit
from segfit.data.scenery.patterns import random_paint
from segfit.data.scenery.solids import ball, billboard, box, face, lathe, rock, stroke
from segfit.data.scenery.stage import Paint, Stage
from segfit.data.scenery.texture import hsv

__all__ = [
    "awning", "bench", "bin_", "cable", "clutter", "fence", "flag", "hoarding", "pole", "sign", "signboard",
    "street_lamp", "toy_ball", "traffic_light", "umbrella",
]  # fmt: skip

IRON = hsv(0.6, 0.12, 0.25)


def street_lamp(stage: Stage, place: Place, height: float = 5.5) -> None:
    """Draw a street lamp whose arm reaches to local right."""
    frame = place.front()
    old = stage.rng.random() < 0.3
    if old:
        height *= 0.7
        post = [*stroke(np.array([(0, 0), (0, height)]), 0.16, 0.09), rectangle(-0.14, 0, 0.14, 0.5)]
        stage.panel(billboard(stage, frame.origin), post, Paint(IRON), Ade.STREETLIGHT, bulge=(0.8, 0))
        ball(stage, place.at(0, height + 0.2, 0), 0.24, Paint(hsv(0.12, 0.12, 1.0)), Ade.STREETLIGHT, cast=False)
    else:
        arm = np.array([(0, 0), (0, height * 0.88), (0.25, height * 0.97), (0.9, height), (1.6, height)])
        stage.panel(
            billboard(stage, frame.origin),
            stroke(arm[:2], 0.16, 0.11),
            Paint(hsv(0.6, 0.08, 0.5)),
            Ade.STREETLIGHT,
            bulge=(0.8, 0),
        )
        stage.panel(frame, stroke(arm[1:], 0.11, 0.08), Paint(hsv(0.6, 0.08, 0.5)), Ade.STREETLIGHT)
        stage.panel(
            frame, [rounded(1.3, height - 0.12, 2.1, height + 0.06, 0.08)], Paint(hsv(0.6, 0.05, 0.75)), Ade.STREETLIGHT
        )
    stage.cast(frame.at(np.array([(-0.06, 0), (0.06, 0), (0.06, height), (-0.06, height)])))


def traffic_light(stage: Stage, place: Place) -> None:
    """Draw a traffic light on a pole, facing the place's front."""
    pole(stage, place, 3.2, 0.11)
    lit = int(stage.rng.integers(3))
    box(stage, place, (-0.2, 2.5, -0.14), (0.2, 3.6, 0.14), Paint(hsv(0.35, 0.2, 0.16)), Ade.TRAFFIC_LIGHT)
    for i, hue in enumerate((0.38, 0.12, 0.0)):
        glow = 1.6 if i == lit else 0.18
        lens = [ellipse(0.12, 0.12, center=(0, 2.68 + 0.36 * i), sides=14)]
        stage.panel(
            place.front(0, 0, -0.16), lens, Paint(hsv(hue, 0.8, 0.95), glow=glow), Ade.TRAFFIC_LIGHT, one_sided=True
        )


def pole(stage: Stage, place: Place, height: float, width: float = 0.13) -> None:
    """Draw a bare pole."""
    color = hsv(stage.rng.choice((0.6, 0.08)), 0.15, stage.rng.uniform(0.3, 0.7))
    frame = billboard(stage, place.at())
    stage.panel(
        frame, stroke(np.array([(0, 0), (0, height)]), width, width * 0.8), Paint(color), Ade.POLE, bulge=(0.85, 0)
    )
    stage.cast(frame.at(np.array([(-width / 2, 0), (width / 2, 0), (width / 2, height), (-width / 2, height)])))


def sign(stage: Stage, place: Place) -> None:
    """Draw a traffic sign on a pole, facing the place's front."""
    rng = stage.rng
    pole(stage, place, 2.6, 0.07)
    shape = int(rng.integers(3))
    outer = [
        ellipse(0.36, 0.36, sides=18),
        ellipse(0.42, 0.42, sides=3, start=0.25),
        rectangle(-0.34, -0.34, 0.34, 0.34),
    ][shape]
    color = hsv(rng.choice((0.0, 0.6, 0.12)), 0.85, 0.75)
    stage.panel(place.front(0, 2.5, -0.06), [outer], Paint(color), Ade.SIGNBOARD)
    stage.panel(place.front(0, 2.5, -0.08), [outer * 0.7], Paint(hsv(0, 0, 0.95)), Ade.SIGNBOARD, one_sided=True)
    stage.panel(
        place.front(0, 2.5, -0.1),
        [rectangle(-0.16, -0.05, 0.16, 0.05)],
        Paint(hsv(0.6, 0.2, 0.15)),
        Ade.SIGNBOARD,
        one_sided=True,
    )


def signboard(stage: Stage, frame: Frame, width: float, height: float) -> None:
    """Draw a board with lines of writing on a wall."""
    rng = stage.rng
    hue = rng.random()
    back = hsv(hue, rng.uniform(0.2, 0.9), rng.uniform(0.2, 0.9))
    ink = hsv(hue + 0.5, rng.uniform(0, 0.3), 0.95 if back.mean() < 0.3 else 0.12)
    stage.panel(frame, [rectangle(0, 0, width, height)], Paint(back), Ade.SIGNBOARD, one_sided=True)
    marks: list[Points] = []
    x, size = 0.12 * width, height * rng.uniform(0.35, 0.5)
    while x < width * 0.86:
        step = size * rng.uniform(0.35, 0.8)
        low, high = height * 0.5 - size / 2, height * 0.5 + size * rng.choice((0.25, 0.5))
        marks += [rectangle(x, low, x + 0.18 * size, high), rectangle(x, low, x + step * 0.7, low + 0.16 * size)]
        x += step
    stage.panel(frame.moved(ahead=0.03), marks, Paint(ink), Ade.SIGNBOARD, one_sided=True)


def awning(stage: Stage, place: Place, width: float, height: float) -> None:
    """Draw a striped awning over a shop window; the wall is at the place's z = 0."""
    rng = stage.rng
    colors = (hsv(rng.random(), rng.uniform(0.5, 0.85), rng.uniform(0.45, 0.85)), hsv(0.1, 0.06, 0.95))
    count = max(int(width / 0.45), 2)
    step = width / count
    for i in range(count):
        a, b = i * step, (i + 1) * step
        paint = Paint(colors[i % 2])
        face(
            stage,
            place.points([(a, height - 0.6, -1.1), (b, height - 0.6, -1.1), (b, height, -0.05), (a, height, -0.05)]),
            paint,
            Ade.AWNING,
        )
        face(
            stage,
            place.points(
                [(a, height - 0.85, -1.1), (b, height - 0.85, -1.1), (b, height - 0.6, -1.1), (a, height - 0.6, -1.1)]
            ),
            paint,
            Ade.AWNING,
        )
    stage.cast(place.points([(0, height - 0.6, -1.1), (width, height - 0.6, -1.1), (width, height, 0), (0, height, 0)]))


def fence(stage: Stage, place: Place, length: float, height: float) -> None:
    """Draw a fence along local x: pickets, rails between posts, or iron bars."""
    rng = stage.rng
    kind = int(rng.integers(3))
    frame = place.front(0, 0, 0)
    if kind == 0:
        pickets = [
            np.array([(x, 0.05), (x + 0.1, 0.05), (x + 0.1, height - 0.1), (x + 0.05, height), (x, height - 0.1)])
            for x in np.arange(0, length, 0.2)
        ]
        rails = [rectangle(0, y * height, length, y * height + 0.09) for y in (0.25, 0.7)]
        look = random_paint(rng, "wood", hsv(0.09, rng.choice((0.02, 0.4)), rng.uniform(0.55, 0.97)))
        stage.panel(frame, [*pickets, *rails], look, Ade.FENCE)
    elif kind == 1:
        posts = [rectangle(x, 0, x + 0.14, height) for x in np.arange(0, length, 2.2)]
        rails = [rectangle(0, y * height, length, y * height + 0.11) for y in (0.25, 0.55, 0.85)]
        look = random_paint(rng, "wood", hsv(0.08, 0.25, rng.uniform(0.35, 0.6)))
        stage.panel(frame, [*posts, *rails], look, Ade.FENCE)
    else:
        bars = [rectangle(x, 0, x + 0.035, height) for x in np.arange(0, length, 0.16)]
        rails = [rectangle(0, y * height, length, y * height + 0.05) for y in (0.1, 0.9)]
        stage.panel(frame, [*bars, *rails], Paint(IRON), Ade.FENCE)
    stage.cast(place.points([(0, height * 0.5, 0), (length, height * 0.5, 0), (length, 0, 0.02), (0, 0, 0.02)]))


def bench(stage: Stage, place: Place) -> None:
    """Draw a park bench, 1.7 m wide, facing the place's front."""
    rng = stage.rng
    slats = random_paint(rng, "wood", hsv(0.08, rng.uniform(0.3, 0.6), rng.uniform(0.4, 0.65)))
    for z in (-0.22, -0.06, 0.1):
        box(stage, place, (-0.85, 0.42, z), (0.85, 0.46, z + 0.13), slats, Ade.BENCH, cast=False)
    back = [rectangle(-0.85, y, 0.85, y + 0.1) for y in (0.56, 0.7, 0.84)]
    stage.panel(place.front(0, 0, 0.26), back, slats, Ade.BENCH)
    for x in (-0.75, 0.69):
        box(stage, place, (x, 0, -0.2), (x + 0.06, 0.42, -0.14), Paint(IRON), Ade.BENCH, cast=False)
        box(stage, place, (x, 0, 0.2), (x + 0.06, 0.95, 0.26), Paint(IRON), Ade.BENCH, cast=False)
    stage.cast(place.points([(x, y, z) for x in (-0.85, 0.85) for y, z in ((0.44, -0.2), (0.44, 0.25), (0.9, 0.27))]))


def bin_(stage: Stage, place: Place, height: float = 0.9) -> None:
    """Draw a litter bin."""
    color = hsv(stage.rng.choice((0.35, 0.6, 0.0, 0.08)), stage.rng.uniform(0.1, 0.6), stage.rng.uniform(0.2, 0.6))
    r = height * 0.28
    lathe(
        stage,
        place.at(),
        [(r * 0.85, 0), (r, height * 0.86), (r * 1.1, height * 0.88), (r * 1.05, height)],
        Paint(color),
        Ade.ASHCAN,
    )


def flag(stage: Stage, place: Place, height: float) -> None:
    """Draw a flag of two or three stripes on a pole."""
    rng = stage.rng
    pole(stage, place, height, 0.09)
    frame = billboard(stage, place.at(), towards=0.05)
    wide, tall, count = height * 0.26, height * 0.17, int(rng.integers(2, 4))
    t = np.linspace(0, 1, 6)
    wave = tall * 0.08 * np.array((0.0, 1.0, 0.2, -0.9, -0.3, 0.6)) * float(rng.choice((-1, 1)))
    for i in range(count):
        low, high = height - tall * (i + 1) / count, height - tall * i / count
        stripe = np.concatenate([np.stack([t * wide, low + wave], -1), np.stack([t * wide, high + wave], -1)[::-1]])
        color = hsv(rng.choice((0.0, 0.33, 0.6, 0.13)), rng.choice((0.0, 0.85)), 0.85)
        stage.panel(frame, [stripe], Paint(color), Ade.FLAG, bulge=(0.5, 0))


def cable(stage: Stage, start: Vec, end: Vec, sag: float) -> None:
    """Draw a cable between two world positions; ADE20K does not name cables."""
    along = (end[0] - start[0], 0.0, end[2] - start[2])
    length = math.sqrt(dot(along, along))
    t = np.linspace(0, 1, 10)
    line = np.stack([t * length, t * (end[1] - start[1]) - 4 * sag * t * (1 - t)], axis=-1)
    stage.panel(Frame(start, unit(along), UP), stroke(line, 0.05), Paint(hsv(0.6, 0.1, 0.14)), Ade.OTHER)


def toy_ball(stage: Stage, place: Place) -> None:
    """Draw a ball with a coloured band."""
    rng = stage.rng
    r = rng.uniform(0.11, 0.3)
    center = place.at(0, r, 0)
    color = hsv(rng.random(), rng.uniform(0.6, 0.9), rng.uniform(0.7, 0.95))
    ball(stage, center, r, Paint(color), Ade.BALL)
    band = ellipse(r * 0.98, r * 0.3, sides=14)
    stage.panel(
        billboard(stage, center, towards=0.01), [band], Paint(hsv(rng.random(), 0.3, 0.95)), Ade.BALL, bulge=(0.9, 0.2)
    )


def hoarding(stage: Stage, place: Place, length: float) -> None:
    """Draw the boards around a building site along local x, with bills on them; ADE20K has no name for it."""
    rng = stage.rng
    wood = random_paint(
        rng, "boards", hsv(rng.choice((0.09, 0.58, 0.35)), rng.uniform(0.1, 0.5), rng.uniform(0.45, 0.8))
    )
    box(stage, place, (0, 0, 0), (length, 2.3, 0.1), wood, Ade.OTHER)
    for x in np.arange(0.6, length - 1, 1.4).tolist():
        if rng.random() < 0.6:
            bill = hsv(rng.random(), rng.uniform(0.1, 0.8), rng.uniform(0.4, 0.95))
            frame = place.front(x, float(rng.uniform(0.8, 1.1)), -0.02)
            stage.panel(frame, [rectangle(0, 0, 0.7, 1.0)], Paint(bill), Ade.OTHER, one_sided=True)
            marks = [rectangle(0.08, y, 0.08 + float(rng.uniform(0.2, 0.5)), y + 0.08) for y in (0.15, 0.35, 0.75)]
            ink = Paint(hsv(rng.random(), 0.3, 0.15 if bill.mean() > 0.3 else 0.95))
            stage.panel(frame.moved(ahead=0.01), marks, ink, Ade.OTHER, one_sided=True)


def umbrella(stage: Stage, place: Place) -> None:
    """Draw a sunshade; ADE20K's 150 classes have none."""
    rng = stage.rng
    frame = billboard(stage, place.at())
    stage.panel(frame, stroke(np.array([(0, 0), (0, 2.3)]), 0.06), Paint(hsv(0, 0, 0.85)), Ade.OTHER)
    colors = (hsv(rng.random(), 0.7, 0.85), hsv(0.1, 0.1, 0.95))
    edge = np.linspace(-1.5, 1.5, 7)
    peak = (0.0, 2.65)
    for i in range(6):
        gore = np.array([(edge[i], 2.0 + 0.06 * (i % 2)), (edge[i + 1], 2.0 + 0.06 * ((i + 1) % 2)), peak])
        stage.panel(frame, [gore], Paint(colors[i % 2]), Ade.OTHER, bulge=(0.3, 0.3))
    stage.cast(place.points([(x, 2.0, z) for x, z in ellipse(1.5, 1.5, sides=10)]))


def clutter(stage: Stage, place: Place, size: float) -> None:
    """Draw a covered heap or a switch cabinet: things that ADE20K leaves unnamed."""
    rng = stage.rng
    if rng.random() < 0.5:
        sheet = random_paint(
            rng, "leather", hsv(rng.choice((0.58, 0.33, 0.1, 0.6)), rng.uniform(0.1, 0.6), rng.uniform(0.25, 0.6))
        )
        rock(stage, place.at(), (size * 1.3, size * 0.7, size), sheet, Ade.OTHER)
    else:
        metal = random_paint(
            rng, "metal", hsv(rng.choice((0.3, 0.6, 0.1)), rng.uniform(0.05, 0.3), rng.uniform(0.4, 0.7))
        )
        box(stage, place, (-size * 0.5, 0, -size * 0.2), (size * 0.5, size * 1.1, size * 0.25), metal, Ade.OTHER)
        box(
            stage,
            place,
            (-size * 0.55, size * 1.1, -size * 0.25),
            (size * 0.55, size * 1.18, size * 0.3),
            metal,
            Ade.OTHER,
            cast=False,
        )
