"""Furniture. Each piece stands at its place's origin, its middle there, and faces local -z."""

from collections.abc import Sequence

import numpy as np

from segfit.data.scenery.ade import Ade
from segfit.data.scenery.geometry import Place, Points, Vec, ellipse, rectangle, rounded
from segfit.data.scenery.patterns import random_paint
from segfit.data.scenery.solids import box, disc, extrude, lathe
from segfit.data.scenery.stage import Paint, Stage
from segfit.data.scenery.texture import Color, hsv, jitter

__all__ = [
    "armchair", "bed", "cabinet", "chair", "chest", "coffee_table", "desk", "pillow", "refrigerator", "shelf", "sofa",
    "table", "upholstery", "wardrobe", "wood_color",
]  # fmt: skip

STEEL = hsv(0.6, 0.05, 0.6)


def wood_color(rng: np.random.Generator) -> Color:
    """Return the colour of furniture: wood from pale to dark, or lacquer."""
    if rng.random() < 0.3:
        return hsv(rng.choice((0.1, 0.6, 0.4)), rng.uniform(0.0, 0.25), rng.choice((0.25, 0.6, 0.92)))
    return hsv(rng.uniform(0.05, 0.1), rng.uniform(0.3, 0.65), rng.uniform(0.3, 0.8))


def upholstery(rng: np.random.Generator) -> Paint:
    """Return what a seat is covered with."""
    if rng.random() < 0.45:
        color = hsv(rng.uniform(0.05, 0.12), rng.uniform(0.05, 0.4), rng.uniform(0.3, 0.85))
    else:
        color = hsv(rng.random(), rng.uniform(0.2, 0.65), rng.uniform(0.3, 0.75))
    return random_paint(rng, str(rng.choice(("leather", "leather", "cloth"))), color)


def tinted(paint: Paint, factor: float) -> Paint:
    """Return a paint that is lighter or darker."""
    return Paint(paint.color * np.float32(factor), paint.texture, paint.glow, paint.macro)


def legs(
    stage: Stage, place: Place, half: tuple[float, float], height: float, width: float, paint: Paint, label: Ade
) -> None:
    """Draw four legs at the corners of a rectangle of half sizes (x, z)."""
    for x in (-half[0], half[0] - width):
        for z in (-half[1], half[1] - width):
            box(stage, place, (x, 0, z), (x + width, height, z + width), paint, label, cast=False)
    stage.cast(place.points([(x, 0.02, z) for x in (-half[0], half[0]) for z in (-half[1], half[1])]))


def padded(stage: Stage, place: Place, low: Vec, high: Vec, paint: Paint, label: Ade) -> None:
    """Draw an upholstered block: its front is round at the corners and bulges."""
    box(stage, place, low, high, paint, label, cast=False)
    front = rounded(low[0] - 0.01, low[1], high[0] + 0.01, high[1] + 0.015, 0.08)
    stage.panel(place.front(0, 0, low[2] - 0.03), [front], paint, label, bulge=(0.25, 0.7), one_sided=True)
    lid = rounded(low[0] - 0.01, low[2] - 0.03, high[0] + 0.01, high[2], 0.08)
    stage.panel(place.flat(0, high[1] + 0.015), [lid], tinted(paint, 1.08), label, bulge=(0.3, 0.4), one_sided=True)


def sofa(stage: Stage, place: Place, width: float = 2.0, *, label: Ade = Ade.SOFA) -> None:
    """Draw a sofa with arms, a back and seat cushions; narrow it is an armchair."""
    rng = stage.rng
    paint = upholstery(rng)
    half, deep = width / 2, 0.44
    arm = float(rng.uniform(0.13, 0.24))
    back, rest = float(rng.uniform(0.72, 0.95)), float(rng.uniform(0.52, 0.66))
    foot = Paint(wood_color(rng))
    legs(stage, place, (half - 0.03, deep - 0.04), 0.12, 0.06, foot, label)
    box(stage, place, (-half, 0.1, -deep), (half, 0.3, deep), paint, label)
    padded(stage, place, (-half, 0.28, 0.18), (half, back, deep), paint, label)
    for x in (-half, half - arm):
        padded(stage, place, (x, 0.2, -deep), (x + arm, rest, deep - 0.1), tinted(paint, 0.95), label)
    count = max(round((width - 2 * arm) / 0.62), 1)
    step = (width - 2 * arm) / count
    for i in range(count):
        x = -half + arm + i * step
        padded(stage, place, (x + 0.008, 0.3, -deep - 0.02), (x + step - 0.008, 0.45, 0.2), tinted(paint, 1.06), label)
        if count > 1:
            cushion = rounded(x + 0.03, 0.46, x + step - 0.03, back - 0.03, 0.07)
            stage.panel(place.front(0, 0, 0.12), [cushion], tinted(paint, 1.04), label, bulge=(0.5, 0.5))
    stage.cast(place.points([(x, y, z) for x in (-half, half) for y, z in ((0.4, -deep), (back, 0.3), (0.4, deep))]))


def armchair(stage: Stage, place: Place) -> None:
    """Draw an armchair."""
    sofa(stage, place, float(stage.rng.uniform(0.8, 0.98)), label=Ade.ARMCHAIR)


def bed(stage: Stage, place: Place, width: float) -> None:
    """Draw a bed whose head is at local +z: frame, mattress, blanket, headboard, pillows."""
    rng = stage.rng
    half, long = width / 2, 1.0
    wood = random_paint(rng, "wood", wood_color(rng))
    high = float(rng.uniform(0.42, 0.56))
    box(stage, place, (-half - 0.04, 0.1, -long - 0.04), (half + 0.04, 0.28, long), wood, Ade.BED)
    legs(stage, place, (half, long), 0.12, 0.07, wood, Ade.BED)
    sheet = random_paint(rng, "cloth", hsv(rng.random(), rng.uniform(0, 0.12), 0.93))
    padded(stage, place, (-half, 0.26, -long), (half, high, long - 0.02), sheet, Ade.BED)
    cover = random_paint(rng, "cloth", hsv(rng.random(), rng.uniform(0.05, 0.6), rng.uniform(0.35, 0.9)))
    fold = float(rng.uniform(0.2, 0.5))
    padded(stage, place, (-half - 0.03, 0.2, -long - 0.03), (half + 0.03, high + 0.03, fold), cover, Ade.BED)
    box(
        stage,
        place,
        (-half - 0.03, high, fold),
        (half + 0.03, high + 0.045, fold + 0.22),
        tinted(cover, 1.35),
        Ade.BED,
        cast=False,
    )
    board = upholstery(rng) if rng.random() < 0.5 else wood
    top = float(rng.uniform(0.9, 1.25))
    shape = rounded(-half - 0.08, 0.1, half + 0.08, top, float(rng.choice((0.02, 0.15))))
    extrude(stage, place.front(0, 0, long - 0.01), shape, 0.09, board, Ade.BED)
    count = 2 if width > 1.2 else 1
    for i in range(count):
        x = (i + 0.5) * width / count - half
        pillow(stage, place.moved(x, high, long - 0.12), min(0.36, width / count / 2 - 0.04))


def pillow(stage: Stage, place: Place, half: float, *, label: Ade = Ade.PILLOW, paint: Paint | None = None) -> None:
    """Draw a pillow or cushion that leans against what is behind it."""
    rng = stage.rng
    look = paint or random_paint(rng, "cloth", hsv(rng.random(), rng.uniform(0, 0.25), rng.uniform(0.8, 0.97)))
    t = ellipse(1, 1, sides=20)
    # A superellipse: the outline of a stuffed square.
    bow = np.sign(t) * np.sqrt(np.abs(t))
    stage.panel(place.front(0, half * 0.62, -0.04), [bow * (half, half * 0.62)], look, label, bulge=(0.6, 0.75))
    stage.panel(place.front(0, half * 0.62, 0.02), [bow * (half * 0.97, half * 0.6)], tinted(look, 0.8), label)


def table(
    stage: Stage, place: Place, width: float, depth: float, height: float = 0.74, *, label: Ade = Ade.TABLE
) -> None:
    """Draw a table: four legs, or a round top on a foot."""
    rng = stage.rng
    top = random_paint(rng, str(rng.choice(("wood", "wood", "plaster"))), wood_color(rng))
    if rng.random() < 0.25 and width / depth < 1.8:
        radius = (width + depth) / 4
        lathe(stage, place.at(), [(0.25, 0), (0.22, 0.03), (0.05, 0.06), (0.05, height - 0.04)], Paint(STEEL), label)
        lathe(stage, place.at(0, height - 0.04), [(radius, 0), (radius, 0.04)], top, label)
        disc(stage, place.at(0, height + 0.001), radius, top, label)
        return
    half = (width / 2, depth / 2)
    box(stage, place, (-half[0], height - 0.045, -half[1]), (half[0], height, half[1]), top, label)
    leg = top if rng.random() < 0.6 else Paint(STEEL)
    inset = (half[0] - 0.05, half[1] - 0.05)
    legs(stage, place, inset, height - 0.04, float(rng.uniform(0.04, 0.08)), leg, label)
    box(
        stage,
        place,
        (-inset[0], height - 0.13, -inset[1]),
        (inset[0], height - 0.04, inset[1]),
        tinted(leg, 0.8),
        label,
        cast=False,
    )


def coffee_table(stage: Stage, place: Place) -> None:
    """Draw a low table."""
    rng = stage.rng
    table(
        stage,
        place,
        float(rng.uniform(0.8, 1.3)),
        float(rng.uniform(0.5, 0.7)),
        float(rng.uniform(0.35, 0.45)),
        label=Ade.COFFEE_TABLE,
    )


def chair(stage: Stage, place: Place) -> None:
    """Draw a chair: legs, a seat, a back of slats or a board."""
    rng = stage.rng
    wood = random_paint(rng, "wood", wood_color(rng)) if rng.random() < 0.7 else Paint(STEEL)
    seat = upholstery(rng) if rng.random() < 0.5 else wood
    legs(stage, place, (0.21, 0.21), 0.43, 0.04, wood, Ade.CHAIR)
    box(stage, place, (-0.22, 0.42, -0.22), (0.22, 0.47, 0.22), seat, Ade.CHAIR)
    high = float(rng.uniform(0.84, 1.0))
    posts = [rectangle(-0.21, 0.45, -0.17, high), rectangle(0.17, 0.45, 0.21, high)]
    slats: Sequence[Points]
    if rng.random() < 0.5:
        slats = [rectangle(-0.2, y, 0.2, y + 0.06) for y in np.arange(0.58, high - 0.04, 0.13)]
    else:
        slats = [rounded(-0.21, 0.58, 0.21, high, 0.06)]
    extra = seat if len(slats) == 1 else wood
    for z in (0.2, 0.165):
        stage.panel(place.front(0, 0, z), posts, wood, Ade.CHAIR)
        stage.panel(place.front(0, 0, z - 0.005), slats, extra, Ade.CHAIR, bulge=(0.35, 0.0))
    stage.cast(place.points([(x, high, 0.2) for x in (-0.2, 0.2)] + [(x, 0.45, 0.2) for x in (-0.2, 0.2)]))


def desk(stage: Stage, place: Place, width: float = 1.4) -> None:
    """Draw a desk with a pedestal of drawers."""
    rng = stage.rng
    wood = random_paint(rng, "wood", wood_color(rng))
    half = width / 2
    box(stage, place, (-half, 0.7, -0.35), (half, 0.745, 0.35), wood, Ade.DESK)
    side = float(rng.choice((-1, 1)))
    low, high = sorted((side * half, side * (half - 0.42)))
    box(stage, place, (low, 0.05, -0.32), (high, 0.7, 0.34), tinted(wood, 0.9), Ade.DESK)
    _fronts(stage, place, (low, 0.05, high, 0.7), -0.325, 1, 3, wood, Ade.DESK)
    x = -side * (half - 0.04)
    for z in (-0.3, 0.26):
        box(stage, place, (x - 0.025, 0, z), (x + 0.025, 0.7, z + 0.05), Paint(STEEL), Ade.DESK, cast=False)
    stage.panel(place.front(0, 0, 0.32), [rectangle(-half + 0.02, 0.35, half - 0.02, 0.7)], tinted(wood, 0.8), Ade.DESK)


def _fronts(
    stage: Stage,
    place: Place,
    area: tuple[float, float, float, float],
    z: float,
    columns: int,
    rows: int,
    paint: Paint,
    label: Ade,
) -> None:
    """Draw doors or drawers with handles on a front at local z."""
    left, bottom, right, top = area
    wide, tall = (right - left) / columns, (top - bottom) / rows
    gap = 0.008
    leaves, handles = [], []
    for column in range(columns):
        for row in range(rows):
            x, y = left + column * wide, bottom + row * tall
            leaves.append(rectangle(x + gap, y + gap, x + wide - gap, y + tall - gap))
            if tall < wide * 1.2:
                handles.append(rectangle(x + wide * 0.38, y + tall * 0.62, x + wide * 0.62, y + tall * 0.62 + 0.022))
            else:
                edge = x + wide - 0.07 if column % 2 == 0 else x + 0.05
                middle = y + tall * (0.5 if bottom > 1 or tall > 1 else 0.72)
                handles.append(rectangle(edge, middle - 0.07, edge + 0.022, middle + 0.07))
    stage.panel(place.front(0, 0, z), [rectangle(left, bottom, right, top)], tinted(paint, 0.45), label, one_sided=True)
    stage.panel(place.front(0, 0, z - 0.008), leaves, paint, label, one_sided=True)
    stage.panel(place.front(0, 0, z - 0.03), handles, Paint(STEEL), label, one_sided=True)


def cabinet(
    stage: Stage,
    place: Place,
    size: Vec,
    *,
    paint: Paint | None = None,
    label: Ade = Ade.CABINET,
    rows: int | None = None,
    top: Paint | None = None,
    base: float = 0.0,
) -> None:
    """Draw a cabinet of size (x, y, z) with doors or drawers, `base` metres above the ground."""
    rng = stage.rng
    wide, tall, deep = size
    look = paint or random_paint(rng, "wood", wood_color(rng))
    box(
        stage,
        place,
        (-wide / 2, base + 0.04 * (base == 0), -deep / 2),
        (wide / 2, base + tall, deep / 2),
        look,
        label,
        top=top,
    )
    columns = max(round(wide / 0.5), 1)
    area = (-wide / 2 + 0.01, base + 0.06, wide / 2 - 0.01, base + tall - 0.02)
    _fronts(stage, place, area, -deep / 2 - 0.004, columns, rows or 1, look, label)


def chest(stage: Stage, place: Place, width: float = 0.9) -> float:
    """Draw a chest of drawers and return its height (m)."""
    rng = stage.rng
    look = random_paint(rng, "wood", wood_color(rng))
    tall = float(rng.uniform(0.7, 1.05))
    box(stage, place, (-width / 2, 0.08, -0.22), (width / 2, tall, 0.22), look, Ade.CHEST)
    _fronts(
        stage,
        place,
        (-width / 2 + 0.02, 0.1, width / 2 - 0.02, tall - 0.02),
        -0.225,
        1,
        int(rng.integers(3, 5)),
        look,
        Ade.CHEST,
    )
    return tall


def wardrobe(stage: Stage, place: Place, width: float) -> None:
    """Draw a wardrobe."""
    cabinet(stage, place, (width, float(stage.rng.uniform(1.95, 2.2)), 0.55), label=Ade.WARDROBE)


def refrigerator(stage: Stage, place: Place) -> None:
    """Draw a refrigerator with a freezer."""
    rng = stage.rng
    look = random_paint(
        rng, "metal", hsv(rng.choice((0.6, 0.0, 0.45)), rng.choice((0.02, 0.04, 0.5)), rng.uniform(0.6, 0.95))
    )
    tall = float(rng.uniform(1.6, 1.85))
    box(stage, place, (-0.32, 0.02, -0.3), (0.32, tall, 0.3), look, Ade.REFRIGERATOR)
    split = tall * float(rng.uniform(0.32, 0.4))
    doors = [rounded(-0.31, 0.08, 0.31, split, 0.02), rounded(-0.31, split + 0.015, 0.31, tall - 0.01, 0.02)]
    stage.panel(
        place.front(0, 0, -0.305),
        [rectangle(-0.31, 0.05, 0.31, tall)],
        tinted(look, 0.4),
        Ade.REFRIGERATOR,
        one_sided=True,
    )
    stage.panel(place.front(0, 0, -0.33), doors, look, Ade.REFRIGERATOR, one_sided=True, bulge=(0.25, 0.0))
    handles = [rectangle(0.22, split - 0.3, 0.25, split - 0.06), rectangle(0.22, split + 0.08, 0.25, split + 0.5)]
    stage.panel(place.front(0, 0, -0.36), handles, Paint(STEEL * np.float32(0.6)), Ade.REFRIGERATOR, one_sided=True)


def shelf(stage: Stage, place: Place, width: float, height: float) -> None:
    """Draw an open shelf with books, boxes and vases on its boards."""
    rng = stage.rng
    wood = random_paint(rng, "wood", wood_color(rng))
    half, deep = width / 2, 0.15
    stage.panel(place.front(-half, 0, deep), [rectangle(0, 0, width, height)], tinted(wood, 0.55), Ade.SHELF)
    for x in (-half, half - 0.03):
        box(stage, place, (x, 0, -deep), (x + 0.03, height, deep), wood, Ade.SHELF, cast=False)
    count = max(round(height / 0.36), 1)
    for i in range(count + 1):
        y = height * i / count
        box(stage, place, (-half, max(y - 0.03, 0), -deep), (half, max(y, 0.03), deep), wood, Ade.SHELF, cast=False)
        if i < count and height > 0.2:
            _shelf_load(stage, place, (-half + 0.04, y + 0.002, half - 0.04), height / count - 0.05)
    stage.cast(place.points([(x, y, z) for x in (-half, half) for y in (0, height) for z in (-deep, deep)]))


def _shelf_load(stage: Stage, place: Place, board: Vec, room: float) -> None:
    """Fill one board with rows of books and other things."""
    rng = stage.rng
    left, y, right = board
    spines: list[list[Points]] = [[], [], [], []]
    x = left
    while x < right - 0.05:
        if rng.random() < 0.1:
            wide = min(float(rng.uniform(0.15, 0.3)), right - x)
            what = hsv(rng.random(), rng.uniform(0.1, 0.6), rng.uniform(0.4, 0.9))
            box(
                stage,
                place,
                (x, y, -0.1),
                (x + wide, y + room * rng.uniform(0.4, 0.7), 0.1),
                Paint(what),
                Ade.BOX,
                cast=False,
            )
            x += wide + 0.02
        elif rng.random() < 0.12:
            x += float(rng.uniform(0.1, 0.3))
        else:
            thick = float(rng.uniform(0.02, 0.05))
            spines[int(rng.integers(4))].append(
                rectangle(x, y, min(x + thick, right), y + room * rng.uniform(0.62, 0.98))
            )
            x += thick + 0.003
    for outlines in spines:
        if outlines:
            cover = jitter(rng, hsv(rng.random(), rng.uniform(0.1, 0.75), rng.uniform(0.25, 0.85)))
            stage.panel(place.front(0, 0, -0.09), outlines, Paint(cover), Ade.BOOK)
