"""Buildings, houses and what stands at the street."""

from functools import cache

import cv2
import numpy as np

from segfit.data.scenery.ade import Ade
from segfit.data.scenery.geometry import Frame, Place, Points, rectangle
from segfit.data.scenery.patterns import PATTERNS, random_paint
from segfit.data.scenery.solids import box, extrude, face
from segfit.data.scenery.stage import Paint, Stage
from segfit.data.scenery.texture import Array, Color, Texture, hsv, jitter

__all__ = ["building", "facade", "house", "house_window", "wall_color"]


FACADES = 40


def wall_color(rng: np.random.Generator) -> Color:
    """Return the colour of a facade: plaster, stone, brick, concrete, some bright."""
    hue = rng.choice((0.04, 0.07, 0.1, 0.13, 0.58, 0.98))
    return hsv(hue + rng.uniform(-0.015, 0.015), rng.uniform(0.04, 0.5), rng.uniform(0.45, 0.92))


@cache
def facade(variant: int) -> tuple[Texture, Color, float]:
    """Return a facade of the library.

    Returns:
        Its texture of four bays by four floors, the colour of its wall, and the height of a floor (m).
    """
    rng = np.random.default_rng([101, variant])
    color = wall_color(rng)
    bay, floor = rng.uniform(2.2, 3.6), rng.uniform(2.9, 3.5)
    name = str(rng.choice(("plaster", "brick", "concrete", "stones", "plaster")))
    tile = _wall(rng, name, color)
    glass = hsv(rng.uniform(0.52, 0.62), rng.uniform(0.15, 0.5), rng.uniform(0.2, 0.45))
    frame = hsv(rng.choice((0.08, 0.6)), rng.uniform(0, 0.3), rng.choice((0.2, 0.75, 0.95)))
    wide, tall = int(rng.integers(24, 46)), int(rng.integers(30, 48))
    if rng.random() < 0.2:
        wide, tall = 60, 44  # ribbon windows of an office block
    trim = color * np.float32(rng.choice((0.7, 1.25)))
    for row in range(4):
        tile[row * 64 + 58 : row * 64 + 61] *= np.float32(rng.choice((0.72, 1.0, 1.12)))
        for column in range(4):
            x, y = column * 64 + (64 - wide) // 2, row * 64 + (60 - tall) // 2
            _pane(rng, tile, (x, y, wide, tall), (glass, frame, trim))
    return Texture(tile, bay * 4, floor * 4), color, floor


def _wall(rng: np.random.Generator, name: str, color: Color) -> Array:
    """Return a tile of bare wall; brick and stone are repeated to keep their scale."""
    maker, side = PATTERNS[name](np.random.default_rng(int(rng.integers(4))))
    if side < 2.5:
        maker = np.tile(cv2.resize(maker, (64, 64), interpolation=cv2.INTER_AREA), (4, 4, 1)[: maker.ndim])
    if maker.ndim == 2:
        maker = maker[..., None]
    tile: Array = (maker / maker.mean() * color).astype(np.float32)
    return tile


def _pane(
    rng: np.random.Generator, tile: Array, where: tuple[int, int, int, int], colors: tuple[Color, Color, Color]
) -> None:
    """Draw one window on a tile: surround, frame, glass that mirrors the sky, bars, a curtain or a lit room."""
    x, y, wide, tall = where
    glass, frame, trim = colors
    tile[y - 2 : y + tall + 3, x - 2 : x + wide + 2] = trim
    tile[y : y + tall, x : x + wide] = frame
    inner = tile[y + 2 : y + tall - 1, x + 2 : x + wide - 2]
    sky = np.linspace(1.7, 0.6, len(inner), dtype=np.float32)[:, None, None]
    inner[:] = glass * sky * np.float32(rng.uniform(0.6, 1.3))
    chance = rng.random()
    if chance < 0.2:
        inner[: int(len(inner) * rng.uniform(0.2, 0.7))] = hsv(0.1, 0.1, rng.uniform(0.5, 0.8))
    elif chance < 0.27:
        inner[:] = hsv(0.11, 0.5, 0.85)
    tile[y : y + tall, x + wide // 2 - 1 : x + wide // 2 + 1] = frame
    tile[y + tall : y + tall + 2, x - 3 : x + wide + 3] = trim * np.float32(0.6)


def building(stage: Stage, place: Place, width: float, depth: float, height: float, *, shop: bool = True) -> Frame:
    """Draw a town house whose front is at the place's z = 0, x from 0 to `width`.

    Returns:
        The frame of its front, from which signs and awnings hang.
    """
    rng = stage.rng
    texture, color, floor = facade(int(rng.integers(FACADES)))
    white = jitter(rng, np.ones(3, np.float32), 0.2)
    ground = floor * 1.15 if shop else 0.0
    box(
        stage,
        place,
        (0, ground, 0),
        (width, height, depth),
        Paint(white, texture),
        Ade.BUILDING,
        top=Paint(color * np.float32(0.5)),
    )
    front = place.front(0, 0, 0)
    if shop:
        _shop_floor(stage, place, width, depth, ground)
    cornice = random_paint(rng, "plaster", jitter(rng, color, 0.4))
    box(
        stage,
        place,
        (-0.15, height - 0.1, -0.3),
        (width + 0.15, height + rng.uniform(0.25, 0.8), depth),
        cornice,
        Ade.BUILDING,
        cast=False,
    )
    if rng.random() < 0.35:
        slate = random_paint(rng, "shingles", hsv(rng.choice((0.03, 0.6)), rng.uniform(0.1, 0.5), 0.4))
        _hip_roof(stage, place, (width, height + 0.3, depth), rng.uniform(2, 4), slate)
    return front


def _shop_floor(stage: Stage, place: Place, width: float, depth: float, ground: float) -> None:
    """Draw the ground floor: shop windows, a door, a plinth."""
    rng = stage.rng
    base = random_paint(rng, str(rng.choice(("stones", "plaster", "wood"))), wall_color(rng) * np.float32(0.8))
    box(stage, place, (0, 0, 0), (width, ground, depth), base, Ade.BUILDING, cast=False)
    count = max(int(width // 3), 1)
    step = width / count
    panes = [rectangle(i * step + 0.35, 0.55, (i + 1) * step - 0.35, ground - 0.7) for i in range(count)]
    glass = hsv(rng.choice((0.1, 0.58)), rng.uniform(0.2, 0.5), rng.uniform(0.25, 0.6))
    stage.panel(place.front(0, 0, -0.02), panes, Paint(glass), Ade.BUILDING, one_sided=True, bulge=(0.1, 0.6))
    door = int(rng.integers(count))
    left = door * step + step / 2 - 0.5
    stage.panel(
        place.front(0, 0, -0.03),
        [rectangle(left - 0.12, 0, left + 1.12, 2.3)],
        Paint(hsv(0, 0, 0.85)),
        Ade.BUILDING,
        one_sided=True,
    )
    leaf = hsv(rng.random(), rng.uniform(0.3, 0.7), rng.uniform(0.2, 0.5))
    stage.panel(place.front(0, 0, -0.05), [rectangle(left, 0, left + 1.0, 2.2)], Paint(leaf), Ade.DOOR, one_sided=True)


def _hip_roof(stage: Stage, place: Place, size: tuple[float, float, float], rise: float, paint: Paint) -> None:
    width, base, depth = size
    inset = min(1.5, width / 3)
    eaves = [(0, base, 0), (width, base, 0), (width, base, depth), (0, base, depth)]
    ridge = [
        (inset, base + rise, inset),
        (width - inset, base + rise, inset),
        (width - inset, base + rise, depth - inset),
        (inset, base + rise, depth - inset),
    ]
    low, high = place.points(eaves), place.points(ridge)
    for i in range(4):
        face(stage, np.array([low[i - 1], low[i], high[i], high[i - 1]]), paint, Ade.BUILDING)


def house(stage: Stage, place: Place, width: float, depth: float, height: float) -> None:
    """Draw a detached house with a gable roof, windows, a door and a chimney; its front is at the place's z = 0."""
    rng = stage.rng
    color = hsv(rng.choice((0.1, 0.02, 0.58, 0.13, 0.3)), rng.uniform(0.02, 0.45), rng.uniform(0.65, 0.97))
    walls = random_paint(rng, str(rng.choice(("boards", "plaster", "brick"))), color)
    roof = random_paint(
        rng, "shingles", hsv(rng.choice((0.02, 0.04, 0.6, 0.08)), rng.uniform(0.1, 0.6), rng.uniform(0.3, 0.6))
    )
    rise = width * rng.uniform(0.28, 0.42)
    gable_front = rng.random() < 0.5
    if gable_front:
        gable = np.array([(0, 0), (width, 0), (width, height), (width / 2, height + rise), (0, height)])
        extrude(stage, place.front(0, 0, 0), gable, depth, walls, Ade.HOUSE)
        _gable_roof(stage, place, width, depth, height, rise, roof)
    else:
        turned = place.moved(width, 0, 0, np.pi / 2)
        rise = depth * 0.4
        gable = np.array([(0, 0), (depth, 0), (depth, height), (depth / 2, height + rise), (0, height)])
        extrude(stage, turned.front(0, 0, 0), gable, width, walls, Ade.HOUSE)
        _gable_roof(stage, turned, depth, width, height, rise, roof)
    _house_front(stage, place, width, height)
    x = width * rng.uniform(0.2, 0.4)
    chimney = random_paint(rng, "brick", hsv(0.03, 0.5, 0.55))
    box(
        stage,
        place,
        (x, height, depth * 0.5),
        (x + 0.7, height + rise * 1.15, depth * 0.5 + 0.7),
        chimney,
        Ade.HOUSE,
        cast=False,
    )


def _gable_roof(
    stage: Stage, place: Place, width: float, depth: float, height: float, rise: float, paint: Paint
) -> None:
    """Draw both slopes of a roof whose ridge runs along local z, with eaves that stand out."""
    out, thick = 0.4, 0.18
    for side in (0, 1):
        edge, ridge = (-out, width / 2) if side == 0 else (width + out, width / 2)
        drop = rise * out / (width / 2)
        low, high = height - drop + thick, height + rise + thick
        slope = [(edge, low, -out), (ridge, high, -out), (ridge, high, depth + out), (edge, low, depth + out)]
        face(stage, place.points(slope), paint, Ade.HOUSE)
        verge = [(edge, low - thick, -out), (edge, low, -out), (ridge, high, -out), (ridge, high - thick, -out)]
        face(stage, place.points(verge), Paint(hsv(0, 0, 0.9)), Ade.HOUSE)


def _house_front(stage: Stage, place: Place, width: float, height: float) -> None:
    rng = stage.rng
    door_at = int(rng.integers(3))
    leaf = hsv(rng.choice((0.0, 0.33, 0.6, 0.08)), rng.uniform(0.3, 0.8), rng.uniform(0.3, 0.6))
    floors = 2 if height > 4.5 else 1
    for floor in range(floors):
        for i in range(3):
            x = width * (i + 0.5) / 3
            if floor == 0 and i == door_at:
                stage.panel(
                    place.front(x, 0, -0.03),
                    [rectangle(-0.6, 0, 0.6, 2.25)],
                    Paint(hsv(0, 0, 0.95)),
                    Ade.HOUSE,
                    one_sided=True,
                )
                stage.panel(
                    place.front(x, 0, -0.05), [rectangle(-0.47, 0, 0.47, 2.1)], Paint(leaf), Ade.DOOR, one_sided=True
                )
            else:
                house_window(stage, place.front(x - 0.6, 0.9 + 2.6 * floor, -0.03), 1.2, 1.3)


def house_window(stage: Stage, frame: Frame, width: float, height: float) -> None:
    """Draw the window of a house, with bars: ADE20K's windowpane."""
    glass = hsv(0.57, stage.rng.uniform(0.2, 0.45), stage.rng.uniform(0.3, 0.6))
    ahead = frame.moved(ahead=0.015)
    stage.panel(
        frame, [rectangle(-0.1, -0.1, width + 0.1, height + 0.1)], Paint(hsv(0, 0, 0.93)), Ade.HOUSE, one_sided=True
    )
    stage.panel(ahead, [rectangle(0, 0, width, height)], Paint(glass), Ade.WINDOW, one_sided=True, bulge=(0.1, 0.7))
    front = frame.moved(ahead=0.03)
    bars: list[Points] = [
        rectangle(width / 2 - 0.03, 0, width / 2 + 0.03, height),
        rectangle(0, height * 0.6, width, height * 0.6 + 0.05),
    ]
    stage.panel(front, bars, Paint(hsv(0, 0, 0.93)), Ade.WINDOW, one_sided=True)
