"""What hangs on walls and stands on furniture: pictures, lamps, clocks, curtains, vases, screens, cushions."""

import math

import numpy as np

from segfit.data.scenery.ade import Ade
from segfit.data.scenery.furniture import pillow
from segfit.data.scenery.geometry import Frame, Place, Points, Vec, ellipse, rectangle, rounded, turn
from segfit.data.scenery.patterns import random_paint
from segfit.data.scenery.plants import flowers
from segfit.data.scenery.solids import ball, box, lathe, stroke
from segfit.data.scenery.stage import Paint, Stage
from segfit.data.scenery.texture import Array, Texture, hsv, noise

__all__ = [
    "books", "bottle", "carton", "ceiling_light", "clock", "computer", "curtain", "cushion", "door", "floor_lamp",
    "folding_screen", "mirror", "painting", "pendant", "rug", "table_lamp", "television", "towel", "vase", "view",
    "window",
]  # fmt: skip

WHITE = hsv(0.1, 0.02, 0.95)


def painting(stage: Stage, frame: Frame, width: float, height: float) -> None:
    """Draw a framed picture on a wall; the frame's origin is its lower left corner."""
    rng = stage.rng
    border = 0.03 + 0.03 * float(rng.random())
    edge = hsv(rng.choice((0.1, 0.08, 0.6)), rng.uniform(0, 0.6), rng.choice((0.15, 0.55, 0.92)))
    outer = [rectangle(-border, -border, width + border, height + border)]
    stage.panel(frame.moved(ahead=0.02), outer, Paint(edge), Ade.PAINTING, one_sided=True)
    picture = Texture(_canvas(rng), width, height)
    stage.panel(
        frame.moved(ahead=0.025),
        [rectangle(0, 0, width, height)],
        Paint(np.ones(3, np.float32), picture),
        Ade.PAINTING,
        one_sided=True,
    )


def _canvas(rng: np.random.Generator) -> Array:
    """Return a painted `(64, 64, 3)` picture: a landscape, bands of colour, or figures on a ground."""
    hue = rng.random()
    tile = np.empty((64, 64, 3), np.float32)
    kind = int(rng.integers(3))
    if kind == 0:
        ridge = 26 + 7 * noise(rng, 64, cells=(2, 2), octaves=4)[0]
        rows = np.arange(64)[:, None]
        tile[:] = hsv(hue, 0.25, 0.95)
        tile[rows > ridge[None, :]] = hsv(hue + 0.5, 0.4, 0.5)
        tile[rows > ridge[None, ::-1] + 14] = hsv(hue + 0.35, 0.5, 0.35)
    elif kind == 1:
        for start in range(0, 64, 8):
            tile[start : start + 8] = hsv(hue + rng.uniform(-0.12, 0.12), rng.uniform(0.1, 0.8), rng.uniform(0.3, 0.95))
    else:
        tile[:] = hsv(hue, rng.uniform(0.05, 0.4), 0.9)
        y, x = np.mgrid[0:64, 0:64]
        for _ in range(6):
            cx, cy, r = rng.uniform(10, 54), rng.uniform(10, 54), rng.uniform(4, 16)
            tile[(x - cx) ** 2 + ((y - cy) * rng.uniform(0.5, 2)) ** 2 < r * r] = hsv(
                hue + rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.9), rng.uniform(0.2, 0.95)
            )
    strokes: Array = np.exp(0.1 * noise(rng, 64, cells=(8, 16), octaves=3))[..., None]
    return tile * strokes


def mirror(stage: Stage, frame: Frame, width: float, height: float) -> None:
    """Draw a mirror that shows a blurred brightness with slanted reflections."""
    rng = stage.rng
    shape = rounded(0, 0, width, height, float(rng.choice((0.01, 0.05, 0.5))))
    middle = np.array((width / 2, height / 2))
    grown = (shape - middle) * (1 + 0.1 / np.array((width, height))) + middle
    stage.panel(
        frame.moved(ahead=0.02),
        [grown],
        Paint(hsv(0.1, rng.choice((0.05, 0.5)), rng.uniform(0.3, 0.8))),
        Ade.MIRROR,
        one_sided=True,
    )
    glass = hsv(rng.uniform(0.5, 0.62), rng.uniform(0.05, 0.18), rng.uniform(0.55, 0.8))
    y, x = np.mgrid[0:64, 0:64] / 64
    sheen = 0.8 + 0.25 * np.sin((x + y) * 2 * np.pi) + 0.25 * (np.abs(((x - y) % 1) - 0.4) < 0.1)
    tile = (glass * sheen[..., None] * (1.25 - 0.6 * y[..., None])).astype(np.float32)
    stage.panel(
        frame.moved(ahead=0.025),
        [shape],
        Paint(np.ones(3, np.float32), Texture(tile, width, height), glow=0.85),
        Ade.MIRROR,
        one_sided=True,
    )


def clock(stage: Stage, frame: Frame, radius: float) -> None:
    """Draw a wall clock around the frame's origin."""
    rng = stage.rng
    rim = hsv(rng.random(), rng.uniform(0, 0.7), rng.uniform(0.15, 0.7))
    stage.panel(frame.moved(ahead=0.03), [ellipse(radius, radius, sides=24)], Paint(rim), Ade.CLOCK, one_sided=True)
    stage.panel(
        frame.moved(ahead=0.035),
        [ellipse(radius * 0.85, radius * 0.85, sides=24)],
        Paint(WHITE),
        Ade.CLOCK,
        one_sided=True,
    )
    hands: list[Points] = []
    for length in (0.5, 0.72):
        c, s = turn(float(rng.uniform(0, 2 * math.pi)))
        hands += stroke(np.array([(0.0, 0.0), (c * radius * length, s * radius * length)]), radius * 0.1)
    ticks = [
        ellipse(radius * 0.05, radius * 0.05, sides=6) + np.array(turn(math.pi * i / 6)) * radius * 0.72
        for i in range(12)
    ]
    stage.panel(frame.moved(ahead=0.04), [*hands, *ticks], Paint(hsv(0, 0, 0.1)), Ade.CLOCK, one_sided=True)


def view(rng: np.random.Generator) -> Array:
    """Return what one sees through a window, `(64, 64, 3)`: sky over trees, hills or roofs, out of focus."""
    sky = hsv(rng.uniform(0.54, 0.6), rng.uniform(0.05, 0.4), 1.0)
    rows = np.arange(64, dtype=np.float32)[:, None, None]
    tile = sky + (hsv(0.1, 0.06, 1.0) - sky) * np.minimum(rows / 40, 1) + np.zeros((64, 64, 3), np.float32)
    tile *= (1 + 0.12 * np.clip(noise(rng, 64, cells=(3, 2), octaves=4), -1, 2))[..., None]
    line = rng.uniform(30, 46) + 5 * noise(rng, 64, cells=(3, 3), octaves=4)[0]
    if rng.random() < 0.4:
        line = np.repeat(rng.uniform(18, 50, 8), 8)
    below = np.arange(64)[:, None] > line[None, :]
    color = hsv(rng.choice((0.28, 0.33, 0.08, 0.6)), rng.uniform(0.15, 0.5), rng.uniform(0.35, 0.65))
    leaves = np.exp(0.35 * noise(rng, 64, cells=(8, 8), octaves=3))[..., None] * color
    return np.where(below[..., None], leaves, tile).astype(np.float32)


def window(stage: Stage, frame: Frame, width: float, height: float, *, brightness: float) -> None:
    """Draw a window in a wall: the view, its frame with bars and the sill."""
    rng = stage.rng
    wood = Paint(hsv(0.09, rng.choice((0.02, 0.02, 0.5)), rng.uniform(0.6, 0.97)))
    stage.panel(
        frame.moved(ahead=0.015),
        [rectangle(-0.08, -0.08, width + 0.08, height + 0.08)],
        wood,
        Ade.WINDOW,
        one_sided=True,
    )
    scene = Paint(np.ones(3, np.float32), Texture(view(rng), width, height), glow=brightness)
    stage.panel(frame.moved(ahead=0.02), [rectangle(0, 0, width, height)], scene, Ade.WINDOW, one_sided=True)
    count = max(round(width / 0.7), 1)
    bars = [rectangle(width * i / count - 0.025, 0, width * i / count + 0.025, height) for i in range(1, count)]
    if rng.random() < 0.6:
        bars.append(rectangle(0, height * 0.62, width, height * 0.62 + 0.04))
    if bars:
        stage.panel(frame.moved(ahead=0.03), bars, wood, Ade.WINDOW, one_sided=True)
    sill = frame.moved(-0.12, -0.1, 0.0)
    place = Place(*sill.origin, sill.u[0], sill.u[2])
    box(stage, place, (0, -0.04, -0.16), (width + 0.24, 0.0, 0), wood, Ade.WINDOW, cast=False)


def curtain(stage: Stage, frame: Frame, width: float, height: float, paint: Paint) -> None:
    """Draw a curtain in folds; the frame's origin is its lower left corner."""
    count = max(round(width / 0.1), 2)
    step = width / count
    folds = [rectangle(i * step, 0, (i + 1.05) * step, height) for i in range(count)]
    for i, fold in enumerate(folds):
        hem = fold.copy()
        hem[:2, 1] += 0.03 * float(stage.rng.random())
        stage.panel(
            frame.moved(ahead=0.1 + 0.01 * (i % 2)), [hem], paint, Ade.CURTAIN, bulge=(0.85, 0.0), one_sided=True
        )


def door(stage: Stage, frame: Frame, width: float = 0.85, height: float = 2.05) -> None:
    """Draw a door with its case, panels and handle."""
    rng = stage.rng
    color = hsv(rng.uniform(0.05, 0.12), rng.choice((0.03, 0.4, 0.6)), rng.uniform(0.4, 0.95))
    leaf = random_paint(rng, "wood", color)
    case = Paint(color * np.float32(rng.choice((0.6, 1.1))))
    stage.panel(
        frame.moved(ahead=0.02), [rectangle(-0.09, 0, width + 0.09, height + 0.09)], case, Ade.DOOR, one_sided=True
    )
    stage.panel(frame.moved(ahead=0.025), [rectangle(0, 0, width, height)], leaf, Ade.DOOR, one_sided=True)
    rows = int(rng.integers(1, 4))
    inner = [
        rectangle(x, 0.15 + (height - 0.2) * i / rows, x + width * 0.36, 0.05 + (height - 0.2) * (i + 1) / rows)
        for i in range(rows)
        for x in (width * 0.1, width * 0.54)
    ]
    sunk = Paint(leaf.color * np.float32(0.72), leaf.texture)
    stage.panel(frame.moved(ahead=0.03), inner, sunk, Ade.DOOR, one_sided=True)
    stage.panel(
        frame.moved(ahead=0.06),
        [rectangle(width - 0.13, 1.0, width - 0.03, 1.03)],
        Paint(hsv(0.12, 0.3, 0.75)),
        Ade.DOOR,
        one_sided=True,
    )


def rug(stage: Stage, place: Place, width: float, depth: float) -> None:
    """Draw a rug with a border, or a round one."""
    rng = stage.rng
    color = hsv(rng.random(), rng.uniform(0.1, 0.65), rng.uniform(0.35, 0.85))
    body, border = (
        random_paint(rng, str(rng.choice(("carpet", "cloth"))), color),
        random_paint(rng, "carpet", color * np.float32(0.55)),
    )
    half = np.array((width / 2, depth / 2))
    if rng.random() < 0.3:
        shapes = [ellipse(half[1], half[1], sides=26), ellipse(half[1] * 0.85, half[1] * 0.85, sides=26)]
    else:
        shapes = [
            rectangle(-half[0], -half[1], half[0], half[1]),
            rectangle(-half[0] + 0.12, -half[1] + 0.12, half[0] - 0.12, half[1] - 0.12),
        ]
    for i, (shape, paint) in enumerate(zip(shapes, (border, body), strict=True)):
        stage.panel(place.flat(0, 0.006 + 0.004 * i), [shape], paint, Ade.RUG, ground=True)


def shade_paint(rng: np.random.Generator) -> Paint:
    """Return the paint of a lamp shade that shines."""
    return Paint(hsv(rng.uniform(0.06, 0.13), rng.uniform(0.1, 0.4), 1.0), glow=float(rng.uniform(0.9, 1.7)))


def floor_lamp(stage: Stage, place: Place) -> None:
    """Draw a standing lamp."""
    rng = stage.rng
    metal = Paint(hsv(rng.choice((0.6, 0.1)), rng.uniform(0.05, 0.5), rng.uniform(0.2, 0.6)))
    high = float(rng.uniform(1.35, 1.7))
    lathe(stage, place.at(), [(0.14, 0), (0.13, 0.03), (0.015, 0.05), (0.015, high)], metal, Ade.LAMP)
    wide = float(rng.uniform(0.16, 0.24))
    lathe(stage, place.at(0, high - 0.12), [(wide, 0), (wide * 0.65, 0.32)], shade_paint(rng), Ade.LAMP, cast=False)


def table_lamp(stage: Stage, place: Place) -> None:
    """Draw a small lamp that stands on something."""
    rng = stage.rng
    foot = Paint(hsv(rng.random(), rng.uniform(0.05, 0.6), rng.uniform(0.3, 0.9)))
    lathe(stage, place.at(), [(0.07, 0), (0.1, 0.09), (0.03, 0.2), (0.015, 0.27)], foot, Ade.LAMP, cast=False)
    lathe(stage, place.at(0, 0.24), [(0.16, 0), (0.1, 0.2)], shade_paint(rng), Ade.LAMP, cast=False)


def ceiling_light(stage: Stage, position: Vec) -> None:
    """Draw a flat lamp under the ceiling at a world position."""
    x, y, z = position
    shape = rectangle(-0.55, -0.12, 0.55, 0.12) if stage.rng.random() < 0.5 else ellipse(0.22, 0.22, sides=18)
    place = Place(x, y, z)
    below = Frame(place.at(0, -0.03), place.right, place.ahead)
    stage.panel(below, [shape], Paint(WHITE, glow=2.2), Ade.LIGHT, one_sided=True)


def pendant(stage: Stage, position: Vec, drop: float) -> None:
    """Draw a lamp that hangs from the ceiling at a world position."""
    rng = stage.rng
    place = Place(position[0], position[1] - drop, position[2])
    lathe(stage, place.at(0, 0.2), [(0.008, 0), (0.008, drop - 0.2)], Paint(hsv(0, 0, 0.15)), Ade.LAMP, cast=False)
    if rng.random() < 0.5:
        ball(stage, place.at(0, 0.1), 0.15, shade_paint(rng), Ade.LAMP, cast=False)
    else:
        color = hsv(rng.random(), rng.uniform(0.0, 0.7), rng.uniform(0.2, 0.9))
        lathe(stage, place.at(), [(0.22, 0), (0.2, 0.06), (0.05, 0.22)], Paint(color), Ade.LAMP, cast=False)
        glow = Frame(place.at(0, 0.005), place.right, place.ahead)
        stage.panel(glow, [ellipse(0.2, 0.2, sides=14)], Paint(WHITE, glow=2.0), Ade.LAMP, one_sided=True)


def vase(stage: Stage, place: Place, *, bloom: bool = True) -> None:
    """Draw a vase, mostly with flowers."""
    rng = stage.rng
    color = Paint(hsv(rng.random(), rng.uniform(0.0, 0.6), rng.uniform(0.3, 0.95)))
    tall, wide = float(rng.uniform(0.16, 0.3)), float(rng.uniform(0.05, 0.09))
    lathe(
        stage,
        place.at(),
        [(wide * 0.6, 0), (wide, tall * 0.4), (wide * 0.5, tall * 0.8), (wide * 0.65, tall)],
        color,
        Ade.VASE,
        cast=False,
    )
    if bloom:
        flowers(stage, place.moved(0, tall * 0.9), tall * 1.1, tall * 1.1)


def bottle(stage: Stage, place: Place) -> None:
    """Draw a bottle."""
    rng = stage.rng
    glass = Paint(hsv(rng.choice((0.33, 0.1, 0.02, 0.58)), rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.7)))
    profile = [(0.038, 0), (0.038, 0.16), (0.013, 0.22), (0.013, 0.28)]
    lathe(stage, place.at(), profile, glass, Ade.BOTTLE, cast=False)


def books(stage: Stage, place: Place) -> None:
    """Draw a small pile of books."""
    rng = stage.rng
    y = 0.0
    for _ in range(int(rng.integers(2, 5))):
        thick, half = float(rng.uniform(0.02, 0.045)), float(rng.uniform(0.09, 0.13))
        cover = Paint(hsv(rng.random(), rng.uniform(0.2, 0.75), rng.uniform(0.3, 0.8)))
        box(
            stage,
            place.moved(0, y, 0, float(rng.uniform(-0.4, 0.4))),
            (-half, 0, -0.09),
            (half, thick, 0.09),
            cover,
            Ade.BOOK,
            cast=False,
        )
        y += thick


def carton(stage: Stage, place: Place, size: float) -> None:
    """Draw a cardboard or coloured box with a strip of tape."""
    rng = stage.rng
    color = hsv(0.08, 0.45, rng.uniform(0.5, 0.75)) if rng.random() < 0.7 else hsv(rng.random(), 0.5, 0.7)
    wide, tall, deep = size * rng.uniform(0.8, 1.3) / 2, size * float(rng.uniform(0.6, 1.0)), size / 2
    box(stage, place, (-wide, 0, -deep), (wide, tall, deep), random_paint(rng, "plaster", color), Ade.BOX)
    strip = Paint(color * np.float32(1.35))
    stage.panel(
        place.front(0, 0, -deep - 0.004), [rectangle(-0.03, tall * 0.6, 0.03, tall)], strip, Ade.BOX, one_sided=True
    )
    stage.panel(
        place.flat(0, tall + 0.003, -deep), [rectangle(-0.03, 0, 0.03, 2 * deep)], strip, Ade.BOX, one_sided=True
    )


def screen_paint(rng: np.random.Generator, width: float, height: float) -> Paint:
    """Return what a screen shows: dark glass, a picture, or windows of text."""
    kind = rng.random()
    if kind < 0.45:
        return Paint(hsv(0.6, 0.3, 0.1))
    tile = view(rng) * np.float32(0.8)
    if kind > 0.75:
        tile = np.full((64, 64, 3), 0.8, np.float32)
        for row in range(6, 60, 5):
            tile[row : row + 2, 6 : int(rng.integers(20, 60))] = hsv(0.6, 0.5, 0.3)
    return Paint(np.ones(3, np.float32), Texture(tile, width, height), glow=0.75)


def television(stage: Stage, place: Place, width: float, *, label: Ade = Ade.TELEVISION) -> None:
    """Draw a flat screen on a foot."""
    height = width * 0.58
    black = Paint(hsv(0.6, 0.05, 0.12))
    box(stage, place, (-width * 0.2, 0, -0.1), (width * 0.2, 0.02, 0.1), black, label, cast=False)
    box(stage, place, (-0.03, 0, 0.0), (0.03, 0.1, 0.04), black, label, cast=False)
    box(stage, place, (-width / 2, 0.07, -0.02), (width / 2, 0.07 + height, 0.03), black, label, cast=False)
    inner_width, inner_height = width - 0.05, height - 0.05
    frame = place.front(-inner_width / 2, 0.095, -0.026)
    stage.panel(
        frame,
        [rectangle(0, 0, inner_width, inner_height)],
        screen_paint(stage.rng, inner_width, inner_height),
        label,
        one_sided=True,
    )


def computer(stage: Stage, place: Place) -> None:
    """Draw a screen with a keyboard before it."""
    television(stage, place, float(stage.rng.uniform(0.45, 0.62)), label=Ade.COMPUTER)
    keys = Paint(hsv(0.6, 0.03, float(stage.rng.choice((0.15, 0.8)))))
    box(stage, place, (-0.2, 0, -0.3), (0.2, 0.02, -0.17), keys, Ade.COMPUTER, cast=False)


def cushion(stage: Stage, place: Place) -> None:
    """Draw a cushion that leans on the back of a seat."""
    rng = stage.rng
    paint = random_paint(rng, "cloth", hsv(rng.random(), rng.uniform(0.2, 0.85), rng.uniform(0.4, 0.9)))
    pillow(stage, place, float(rng.uniform(0.17, 0.24)), label=Ade.CUSHION, paint=paint)


def towel(stage: Stage, frame: Frame) -> None:
    """Draw a towel on a rod; the frame's origin is its lower left corner."""
    rng = stage.rng
    color = hsv(rng.random(), rng.uniform(0.1, 0.6), rng.uniform(0.6, 0.95))
    stage.panel(
        frame.moved(ahead=0.05),
        [rectangle(0, 0, 0.4, 0.65)],
        random_paint(rng, "carpet", color),
        Ade.TOWEL,
        bulge=(0.3, 0.0),
        one_sided=True,
    )
    stage.panel(
        frame.moved(ahead=0.055),
        [rectangle(0, 0.08, 0.4, 0.13)],
        Paint(color * np.float32(0.55)),
        Ade.TOWEL,
        one_sided=True,
    )
    stage.panel(
        frame.moved(ahead=0.06), [rectangle(-0.08, 0.64, 0.48, 0.665)], Paint(hsv(0, 0, 0.7)), Ade.OTHER, one_sided=True
    )


def folding_screen(stage: Stage, place: Place) -> None:
    """Draw a paravent of three leaves, 1.5 m wide; ADE20K's 150 classes have none."""
    rng = stage.rng
    wood = Paint(hsv(rng.uniform(0.05, 0.1), rng.uniform(0.2, 0.6), rng.uniform(0.2, 0.6)))
    cloth = random_paint(rng, "cloth", hsv(rng.random(), rng.uniform(0.05, 0.5), rng.uniform(0.5, 0.95)))
    tall = float(rng.uniform(1.5, 1.8))
    for i in range(3):
        leaf = place.moved(-0.72 + 0.48 * i, 0, 0.1 * (-1) ** i, 0.4 * (-1) ** (i + 1))
        stage.panel(leaf.front(0, 0.05), [rectangle(0, 0, 0.52, tall)], wood, Ade.OTHER)
        stage.panel(leaf.front(0, 0.05, -0.012), [rectangle(0.05, 0.08, 0.47, tall - 0.06)], cloth, Ade.OTHER)
    stage.cast(place.points([(x, y, 0.0) for x in (-0.72, 0.72) for y in (0.05, tall)]))
