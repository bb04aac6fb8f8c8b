"""Colour: brightness, contrast, saturation and hue as one affine map of RGB.

The changes are those of mmsegmentation's PhotoMetricDistortion: brightness adds, contrast multiplies (about black),
saturation and hue follow, each with probability 1/2. There they are made one after another, rounded and clipped in
between, saturation and hue in HSV. Here they are one 3x4 matrix that is applied, rounded and clipped once:

* saturation moves a pixel towards or away from its grey (HSV: from its largest value), which keeps its luma;
* hue turns a pixel about the grey axis, which keeps its mean (HSV: its largest value). HSV's hue then changes by the
  angle of the turn, give or take 2 degrees on photographs (a turn in YIQ: by 28 or 39 instead of 36 degrees);
* contrast before or after them is the same, since nothing is clipped in between.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from segfit.config import AugmentConfig
from segfit.data import Image

__all__ = ["color_matrix", "jitter_color"]

PROBABILITY = 0.5
"""Of each of the four changes."""

LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in grey (ITU-R BT.601)."""

GREY = np.full((3, 3), 1 / 3)
"""Onto the grey axis."""

HUES = np.eye(3) - GREY
"""Onto the plane of hues, across the grey axis."""

QUARTER = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / np.sqrt(3)
"""Onto the plane of hues, turned there by a quarter."""


def jitter_color(image: Image, config: AugmentConfig, rng: np.random.Generator) -> Image:
    """Change the colours of an image at random.

    Args:
        image: `(h, w, 3)` uint8 RGB.
        config: a resolved section.
        rng: source of randomness; the same count of numbers is drawn whatever `config` says.
    """
    strengths = config.brightness, config.contrast, config.saturation, config.hue
    gates, amounts = rng.random((2, 4)).tolist()
    brightness, contrast, saturation, hue = (
        (strength or 0) * (2 * amount - 1) if gate < PROBABILITY else 0
        for strength, amount, gate in zip(strengths, amounts, gates, strict=True)
    )
    if not (brightness or contrast or saturation or hue):
        return image
    changed: Image = cv2.transform(image, color_matrix(brightness, 1 + contrast, 1 + saturation, hue))
    return changed


def color_matrix(brightness: float, contrast: float, saturation: float, hue: float) -> NDArray[np.float64]:
    """Return the 3x4 map of (red, green, blue, 1), in grey values of 0..255.

    Args:
        brightness: what is added, as a share of 255.
        contrast: what all values are multiplied with after that.
        saturation: what the distance to grey is multiplied with.
        hue: turn about the grey axis, as a share of the circle; red goes towards green.
    """
    angle = 2 * math.pi * hue
    matrix = np.empty((3, 4))
    turn = GREY + math.cos(angle) * HUES + math.sin(angle) * QUARTER
    # The grey that LUMA gives stays as it is when turned.
    matrix[:, :3] = saturation * turn + (1 - saturation) * LUMA
    matrix[:, 3] = 255 * brightness
    return contrast * matrix
