"""What cameras and codecs do to a picture: blur and noise."""

from statistics import NormalDist

import cv2
import numpy as np

from segfit.config import AugmentConfig
from segfit.data import Image

__all__ = ["degrade"]

BLUR = (0.3, 2.0)
"""Range of the Gaussian's standard deviation, in pixels of the training size."""

NOISE = (2.0, 12.0)
"""Range of the noise's standard deviation, in grey values of 0..255."""

NORMAL = np.array([NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256)])
"""Quantiles of the normal distribution: what turns a random byte into normal noise."""


def degrade(image: Image, config: AugmentConfig, rng: np.random.Generator) -> Image:
    """Blur an image and add noise to it, each with its probability.

    Args:
        image: `(h, w, 3)` uint8 RGB.
        config: a resolved section.
        rng: source of randomness; the same count of numbers is drawn whatever `config` says.
    """
    assert config.blur is not None, "the section is resolved"
    assert config.noise is not None
    drawn_blur, sigma, drawn_noise, level = rng.random(4)
    if drawn_blur < config.blur:
        image = cv2.GaussianBlur(image, (0, 0), BLUR[0] + (BLUR[1] - BLUR[0]) * sigma)
    if drawn_noise < config.noise:
        # A generator of its own: noise needs many numbers, and they must not shift what is drawn next.
        image = _noisy(image, NOISE[0] + (NOISE[1] - NOISE[0]) * level, rng.spawn(1)[0])
    return image


def _noisy(image: Image, sigma: float, rng: np.random.Generator) -> Image:
    """Add normal noise, independent for every pixel and channel."""
    random = np.frombuffer(rng.bytes(image.size), np.uint8).reshape(image.shape)
    steps = np.rint(sigma * NORMAL)
    # 8-bit tables for what is added and what is taken away: many times faster than signed numbers.
    more, less = (cv2.LUT(random, np.clip(part, 0, 255).astype(np.uint8)) for part in (steps, -steps))
    noisy: Image = cv2.subtract(cv2.add(image, more), less)
    return noisy
