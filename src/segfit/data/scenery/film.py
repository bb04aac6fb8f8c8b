"""From light to a photograph: shadows, contact shading, haze, exposure, lens and sensor; and the mask beside it."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from segfit.data.scenery.stage import OVER, Stage
from segfit.data.scenery.texture import Array, Color, white_noise

__all__ = ["Film", "Shot", "develop", "majority"]


@dataclass(frozen=True)
class Film:
    """How a scene is photographed.

    Attributes:
        exposure: factor on the light.
        balance: RGB factors, the colour temperature.
        haze: share of a thing's own colour lost per metre.
        haze_color: what it is lost to.
        softness: radius of the shadows' borders, relative to the short side.
        sun_patch: light of the sun that falls in through windows, relative to what is there.
        vignette: how much darker the corners are.
        grain: deviation of the sensor's noise at mid grey, of 255.
    """

    exposure: float = 1.0
    balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    haze: float = 0.0
    haze_color: Color | None = None
    softness: float = 0.004
    sun_patch: Color | None = None
    vignette: float = 0.2
    grain: float = 2.5


Shot = tuple[Stage, Film]
"""A scene with everything in it, and how it is photographed."""


def develop(stage: Stage, film: Film) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the picture `(H, W, 3)` uint8 RGB and its mask `(H, W)` uint8 of ADE20K ids."""
    size = (stage.camera.width, stage.camera.height)
    light = cv2.resize(stage.color, size, interpolation=cv2.INTER_AREA)
    near = cv2.resize(stage.near, size, interpolation=cv2.INTER_AREA)
    mask = majority(stage.label)
    light *= _ground_light(stage, film)
    light *= _contact_shading(near, min(size))[..., None]
    if film.haze and film.haze_color is not None:
        clear = np.exp(-film.haze / np.maximum(near, 1e-5))[..., None]
        clear[near <= 0] = 1
        light = film.haze_color + (light - film.haze_color) * clear
    return _expose(light.astype(np.float32), film, stage.rng), mask


def majority(label: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the most frequent of the 2x2 samples of each pixel; of two equally frequent ones, the upper left's."""
    assert OVER == 2, "written for four samples"
    a, b, c, d = label[::2, ::2], label[::2, 1::2], label[1::2, ::2], label[1::2, 1::2]
    rest = np.where((b == c) | (b == d), b, np.where(c == d, c, a))
    return np.where((a == b) | (a == c) | (a == d), a, rest)


def _ground_light(stage: Stage, film: Film) -> Array:
    """Return the factor of cast shadows and sun patches, which fall on the ground only."""
    size = (stage.camera.width, stage.camera.height)
    ground = cv2.resize((stage.surface >> 8).astype(np.float32), size, interpolation=cv2.INTER_AREA)[..., None]
    sigma = film.softness * min(size)
    shade = _soft(stage.shade, sigma)[..., None]
    factor: Array = 1 + ground * shade * (stage.light.shadow_color - 1)
    if film.sun_patch is not None:
        sunny = _soft(stage.sunny, 0.004 * min(size))[..., None] * (1 - 0.8 * shade)
        factor *= 1 + ground * sunny * film.sun_patch
    return factor.astype(np.float32)


def _soft(mask: NDArray[np.uint8], sigma: float) -> Array:
    blurred: Array = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), max(sigma, 0.3))
    return blurred


def _contact_shading(near: Array, short: int) -> Array:
    """Return the darkening of what lies just behind something else (Luft et al. 2006, depth unsharp masking)."""
    depth = np.log(np.maximum(near, 1e-3))
    total = np.ones_like(depth)
    solid = near > 0.004
    for radius, strength, limit in ((0.012, 0.55, 0.25), (0.04, 0.3, 0.3)):
        # Wide blurs are made of a smaller picture.
        step = max(int(radius * short / 2.5), 1)
        small = cv2.resize(depth, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
        blurred = cv2.GaussianBlur(small, (0, 0), max(radius * short / step, 0.3))
        behind = cv2.resize(blurred, depth.shape[::-1], interpolation=cv2.INTER_LINEAR) - depth
        total -= strength * np.clip(behind, 0, limit) * solid
    return total


def _metered(light: Array) -> float:
    """Return the exposure that a camera would choose: towards a middle grey, but not all the way."""
    mean = float(np.exp(np.log(light.mean(-1) + 0.01).mean()))
    return float(np.clip((0.3 / mean) ** 0.65, 0.7, 2.2))


def _expose(light: Array, film: Film, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the photograph of linear light: bloom, tone curve, vignette and noise."""
    height, width = light.shape[:2]
    small = cv2.resize(light, (max(width // 4, 1), max(height // 4, 1)), interpolation=cv2.INTER_AREA)
    exposure = film.exposure * _metered(small)
    small *= np.float32(exposure)
    light *= np.array(film.balance, np.float32) * np.float32(exposure)
    bright = cv2.GaussianBlur(np.clip(small - 0.9, 0, 2), (0, 0), 0.008 * min(height, width))
    light += 0.5 * cv2.resize(bright, (width, height), interpolation=cv2.INTER_LINEAR)
    y = (np.arange(height, dtype=np.float32)[:, None] + 0.5) / height - 0.5
    x = (np.arange(width, dtype=np.float32)[None, :] + 0.5) / width - 0.5
    light *= (1 - film.vignette * 2 * (x * x + y * y))[..., None]
    # A shoulder keeps highlights from clipping; the contrast curve leaves black, middle grey and white where they are.
    light = np.maximum(light, 0)
    toned = np.sqrt(light * (1 + light / 16) / (1 + 0.25 * light) * 0.98)
    toned += 0.5 * toned * (toned - 0.5) * np.maximum(1 - toned, 0)
    toned += _grain(rng, (height, width)) * np.float32(film.grain / 255)
    return np.clip(toned * 255 + 0.5, 0, 255).astype(np.uint8)


def _grain(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Return noise `(H, W, 3)` with mean 0 and deviation 1: three pieces of the fixed noise."""
    reach = 256
    field = white_noise((shape[0] + reach, shape[1] + reach))
    grain = np.empty((*shape, 3), np.float32)
    for channel, (top, left) in enumerate(rng.integers(0, reach, (3, 2)).tolist()):
        grain[..., channel] = field[top : top + shape[0], left : left + shape[1]]
    grain -= 0.5
    grain *= np.float32(12**0.5)
    return grain
