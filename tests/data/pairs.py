"""Pairs of image and mask to augment, and settings to do it with."""

import cv2
import numpy as np

from segfit.config import AugmentConfig
from segfit.config.resolving import PRESETS
from segfit.labels import IGNORE

# Colours far apart, none of them the padding's black; class i has colour CODE[i].
CODE = np.array(
    [[(37 * i + 40) % 216 + 40, (91 * i + 90) % 216 + 40, (151 * i) % 216 + 40] for i in range(9)], np.uint8
)


def plain(size: tuple[int, int], **changes: object) -> AugmentConfig:
    """Return a resolved section that does nothing but what `changes` say."""
    return AugmentConfig(size=size, **{**PRESETS["paper"], **changes})


def preset(name: str, size: tuple[int, int], **changes: object) -> AugmentConfig:
    """Return a resolved section of a preset."""
    return AugmentConfig(preset=name, size=size, **{**PRESETS[name], **changes})


def blobs(height: int, width: int, seed: int, cell: int = 12) -> np.ndarray:
    """Return a mask of cells with random labels; the cells' sides are drawn around `cell`."""
    rng = np.random.default_rng(seed)
    rows = np.cumsum(rng.integers(0, 2 * cell, height) == 0)
    columns = np.cumsum(rng.integers(0, 2 * cell, width) == 0)
    cells = rng.integers(0, len(CODE), (rows[-1] + 1, columns[-1] + 1), dtype=np.uint8)
    return cells[rows][:, columns]


def noise(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8), rng.integers(0, 9, (height, width), dtype=np.uint8)


def with_borders(mask: np.ndarray, down: float, across: float) -> np.ndarray:
    """Add 100 to the labels that an output pixel of a step of `down` x `across` source pixels may mix with others.

    Such a pixel averages two neighbouring blocks that are at most one step long, so it sees 1.5 steps to either side.
    """
    kernel = np.ones([2 * int(np.ceil(1.5 * max(step, 1.0))) + 3 for step in (down, across)], np.uint8)
    low = cv2.erode(mask, kernel, borderType=cv2.BORDER_REPLICATE)
    return mask + 100 * (low != cv2.dilate(mask, kernel, borderType=cv2.BORDER_REPLICATE)).astype(np.uint8)


def largest_step(source: tuple[int, ...], size: tuple[int, int], scale: tuple[float, float] | None) -> list[float]:
    """Return the most source pixels, down and across, between two output pixels."""
    if scale is None:
        return [length / out for length, out in zip(source, size, strict=True)]
    # The read rectangle has whole pixels, at most half a pixel more than the scale says.
    exact = max(min(source), max(source) / 4) / max(min(size) * scale[0], 1)
    return [exact + 0.5 / out for out in size]


def assert_aligned(image: np.ndarray, mask: np.ndarray) -> None:
    """Check that the image has its label's colour wherever the mask (see `with_borders`) says it must."""
    for label, color in enumerate(CODE):
        assert (image[mask == label] == color).all()
    assert (image[mask == IGNORE] == 0).all()
