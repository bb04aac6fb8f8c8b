"""The sky and what it does to a picture: the sun's place and colour, clouds, haze."""

import math
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from segfit.data.scenery.ade import Ade
from segfit.data.scenery.geometry import Camera, Vec, turn
from segfit.data.scenery.light import Daylight
from segfit.data.scenery.stage import Stage, Window
from segfit.data.scenery.texture import Array, Color, hsv, noise

__all__ = ["Weather", "draw_sky", "random_weather"]


@dataclass(frozen=True)
class Weather:
    """A sky.

    Attributes:
        light: sun and sky light.
        zenith: colour straight above.
        horizon: colour at the horizon; also the haze.
        glow: colour around the sun.
        clouds: share of the sky that they cover, in [0, 1].
        cloud_color: their lit side.
        haze: share of a thing's own colour lost per metre.
        sun: the sun's direction.
    """

    light: Daylight
    zenith: Color
    horizon: Color
    glow: Color
    clouds: float
    cloud_color: Color
    haze: float
    sun: Vec


def random_weather(rng: np.random.Generator, *, haze: float = 0.0025, ahead: float = 0.6) -> Weather:
    """Return one of several skies: clear, with clouds, overcast, evening, morning haze.

    Args:
        rng: decides.
        haze: typical share of colour lost per metre.
        ahead: the sun stands within this angle (in half turns) of the viewer's back: 0 behind, 1 anywhere.
    """
    kind = rng.choice(("clear", "clouds", "overcast", "evening", "misty"), p=(0.3, 0.32, 0.12, 0.17, 0.09))
    low, high = {"evening": (0.16, 0.36), "misty": (0.3, 0.6)}.get(str(kind), (0.5, 1.0))
    elevation = float(rng.uniform(low, high))
    # Mostly from behind the viewer and to one side: faces are lit and shadows fall into the picture.
    azimuth = math.pi + float(rng.choice((-1, 1)) * rng.uniform(0.2, ahead) * math.pi)
    ce, se = turn(elevation)
    ca, sa = turn(azimuth)
    sun = (sa * ce, se, ca * ce)
    return _SKIES[str(kind)](rng, sun, haze)


def _clear(rng: np.random.Generator, sun: Vec, haze: float) -> Weather:
    hue = rng.uniform(0.565, 0.605)
    zenith, horizon = hsv(hue, rng.uniform(0.6, 0.8), rng.uniform(0.62, 0.8)), hsv(hue - 0.02, 0.2, 0.95)
    light = Daylight(sun, _warm(1.45, 0.06), hsv(hue, 0.2, 0.72), hsv(0.1, 0.25, 0.36))
    return Weather(light, zenith, horizon, _warm(0.5, 0.1), rng.uniform(0.0, 0.3), _warm(1.15, 0.03), haze, sun)


def _clouds(rng: np.random.Generator, sun: Vec, haze: float) -> Weather:
    hue = rng.uniform(0.56, 0.6)
    zenith, horizon = hsv(hue, rng.uniform(0.45, 0.68), rng.uniform(0.6, 0.78)), hsv(hue - 0.02, 0.12, 0.94)
    light = Daylight(sun, _warm(1.2, 0.05), hsv(hue, 0.15, 0.76), hsv(0.1, 0.22, 0.38))
    return Weather(light, zenith, horizon, _warm(0.4, 0.1), rng.uniform(0.4, 0.75), _warm(1.1, 0.02), haze, sun)


def _overcast(rng: np.random.Generator, sun: Vec, haze: float) -> Weather:
    hue = rng.uniform(0.55, 0.62)
    zenith, horizon = hsv(hue, 0.1, rng.uniform(0.66, 0.8)), hsv(hue, 0.05, rng.uniform(0.84, 0.94))
    light = Daylight(sun, _warm(0.25, 0.0), hsv(hue, 0.06, 0.95), hsv(0.1, 0.15, 0.45))
    return Weather(
        light, zenith, horizon, _warm(0.1, 0.0), rng.uniform(0.8, 0.95), hsv(hue, 0.04, 0.9), haze * 1.7, sun
    )


def _evening(rng: np.random.Generator, sun: Vec, haze: float) -> Weather:
    warm = rng.uniform(0.02, 0.1)
    zenith, horizon = hsv(rng.uniform(0.58, 0.7), 0.42, rng.uniform(0.5, 0.68)), hsv(warm, 0.42, 0.97)
    light = Daylight(sun, hsv(warm + 0.01, 0.5, 1.2), hsv(0.65, 0.22, 0.62), hsv(0.07, 0.35, 0.33))
    cloud = hsv(warm, 0.35, 1.05)
    return Weather(light, zenith, horizon, hsv(warm, 0.6, 1.0), rng.uniform(0.2, 0.65), cloud, haze * 1.3, sun)


def _misty(rng: np.random.Generator, sun: Vec, haze: float) -> Weather:
    warm = rng.uniform(0.08, 0.15)
    zenith, horizon = hsv(0.58, 0.2, 0.83), hsv(warm, 0.1, 0.95)
    light = Daylight(sun, _warm(0.75, 0.08), hsv(0.58, 0.1, 0.82), hsv(0.1, 0.2, 0.4))
    return Weather(light, zenith, horizon, _warm(0.5, 0.1), rng.uniform(0.1, 0.5), _warm(1.0, 0.03), haze * 4, sun)


_SKIES = {"clear": _clear, "clouds": _clouds, "overcast": _overcast, "evening": _evening, "misty": _misty}


def _warm(value: float, amount: float) -> Color:
    return np.array((value, value * (1 - amount), value * (1 - 2.6 * amount)), np.float32)


@cache
def _cloud_noise() -> Array:
    """Return the height of clouds over a tile of the sky, in deviations."""
    rng = np.random.default_rng(11)
    return noise(rng, 256, cells=(3, 3), octaves=6, persistence=0.55)


def draw_sky(stage: Stage, weather: Weather) -> None:
    """Fill the picture with sky; everything else is nearer."""
    camera = stage.camera
    rays = sky_rays(camera)
    up = np.maximum(rays[..., 1], 0.0)
    share = (1 - np.exp(-up * 3.2))[..., None]
    color = weather.horizon + (weather.zenith - weather.horizon) * share
    towards_sun = np.maximum((rays * np.array(weather.sun, np.float32)).sum(-1), 0)
    color += weather.glow * (0.55 * towards_sun**6 + 1.5 * towards_sun**120)[..., None]
    if weather.clouds > 0.05:
        color = _with_clouds(stage.rng, color, rays, weather)
    color = cv2.resize(color.astype(np.float32), (camera.width, camera.height), interpolation=cv2.INTER_LINEAR)
    window = Window(0, 0, camera.width, camera.height)
    everywhere = np.ones(stage.near.shape, bool)
    stage.commit(window, everywhere, color, Ade.SKY, 0.0)


def sky_rays(camera: Camera) -> Array:
    """Return the unit directions of rays through the picture, `(h, w, 3)` at half its resolution: the sky is soft."""
    width, height = max(camera.width // 2, 1), max(camera.height // 2, 1)
    x = ((np.arange(width) + 0.5) / width - 0.5) * (camera.width / camera.focal)
    y = (0.5 - (np.arange(height) + 0.5) / height) * (camera.height / camera.focal)
    rays = np.empty((height, width, 3), np.float32)
    rays[..., 0], rays[..., 1], rays[..., 2] = x[None, :], y[:, None], 1
    rays /= np.sqrt((rays * rays).sum(-1, keepdims=True))
    right, up, forward = (np.array(axis, np.float32) for axis in camera.axes)
    world: Array = rays[..., :1] * right + rays[..., 1:2] * up + rays[..., 2:] * forward
    return world


def _with_clouds(rng: np.random.Generator, color: Array, rays: Array, weather: Weather) -> Array:
    """Lay clouds over the sky: noise on a plane high above, so that they shrink towards the horizon."""
    offset = rng.random(2, dtype=np.float32) * 256
    height = np.maximum(rays[..., 1], 0.0) + 0.09
    x, y = rays[..., 0] / height * 46 + offset[0], rays[..., 2] / height * 46 + offset[1]
    flat = max(abs(weather.sun[0]), abs(weather.sun[2]), 0.2) / 5
    values = _sample_clouds(x, y)
    beside = _sample_clouds(x + np.float32(weather.sun[0] / flat), y + np.float32(weather.sun[2] / flat))
    threshold = np.float32(1.9 - 3.2 * weather.clouds)
    cover = np.clip((values - threshold) / 1.1, 0, 1)
    cover = cover * cover * (3 - 2 * cover) * np.clip(rays[..., 1] * 9, 0, 1)
    bright = np.clip(0.78 + 0.2 * (values - beside), 0.5, 1.05) - 0.16 * cover * np.clip(values - threshold - 0.9, 0, 1)
    clouds = weather.cloud_color * bright[..., None] + weather.zenith * 0.12
    covered: Array = color + (clouds - color) * (0.92 * cover)[..., None]
    return covered


def _sample_clouds(x: Array, y: Array) -> Array:
    sampled: Array = cv2.remap(_cloud_noise(), x % 256, y % 256, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return sampled
