"""What all outdoor scenes share: camera, weather and sky, and places beside a way."""

import math

import numpy as np

from segfit.data.scenery.film import Film
from segfit.data.scenery.geometry import Camera, Place
from segfit.data.scenery.stage import Stage
from segfit.data.scenery.weather import Weather, draw_sky, random_weather

__all__ = ["QUARTER", "beside", "outdoors"]

QUARTER = math.pi / 2


def outdoors(
    rng: np.random.Generator,
    width: int,
    height: int,
    *,
    eye: float,
    pitch: float,
    yaw: float = 0.25,
    haze: float = 0.0025,
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


def beside(side: int, x: float, z: float, width: float = 0.0) -> Place:
    """Return a place at the side of a street that faces it; what stands there reaches from z to z + width."""
    if side < 0:
        return Place.facing(x, 0.13, z, QUARTER)
    return Place.facing(x, 0.13, z + width, -QUARTER)
