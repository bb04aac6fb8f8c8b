"""From a decoded pair to the training size, and from an image to a model's input size.

Everything here is a pure function. What is random comes from a generator that `rng_for` derives from (seed, epoch,
sample id), so neither workers nor ranks nor a resumed run change what a sample looks like.

Geometry is one 2x3 affine matrix per sample. Coordinates are those of pixel centres: pixel i covers [i, i + 1) and its
centre is i + 0.5. The matrix takes the centre of an output pixel to its place in the source, for image and mask alike;
they differ only in how the source is read there, the image bilinearly and the mask at the nearest pixel.
"""

import hashlib
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from segfit.config import AugmentConfig
from segfit.data import Image
from segfit.labels import IGNORE, Mask

__all__ = ["augment", "fit", "jitter_color", "rng_for"]

Matrix = NDArray[np.float64]
Size = tuple[int, int]
Window = tuple[slice, slice]

LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in grey (ITU-R BT.601)."""

YIQ = np.array([LUMA, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
"""RGB -> luma and the two chroma axes of NTSC (FCC 1953)."""

HUE_SHARE = 1 / 8
"""Turns of the hue circle at colour strength 1: the strength 0.4 is +-18 degrees, as in mmsegmentation's protocol."""


def rng_for(seed: int, epoch: int, sample_id: str) -> np.random.Generator:
    """Return the random generator of one sample in one epoch, the same in every process and on every platform."""
    digest = hashlib.blake2b(sample_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return np.random.default_rng(np.random.SeedSequence((seed, epoch, int.from_bytes(digest, "little"))))


def augment(image: Image, mask: Mask, config: AugmentConfig, rng: np.random.Generator) -> tuple[Image, Mask]:
    """Bring an image and its mask to the training size, at random where `config` says so.

    Without a scale range the pair is squashed to `config.size`. With one, it is scaled relative to the image whose
    short side equals ``min(config.size)``, and cropped at random; where it is smaller than the crop, the image is
    padded with 0 and the mask with `IGNORE`.

    Args:
        image: `(h, w, 3)` RGB.
        mask: `(h, w)` train ids.
        config: a resolved section (see `segfit.config.resolve`).
        rng: source of randomness (see `rng_for`).

    Returns:
        The pair at the size (H, W) of `config`; every label of the mask also occurs in `mask` or is `IGNORE`.
    """
    assert config.flip is not None, "the section is resolved"
    assert image.shape[:2] == mask.shape, "image and mask have one size"
    matrix = _squash(mask.shape, config.size)
    if config.scale is not None:
        matrix = _crop(mask.shape, config.size, config.scale, rng)
    if rng.random() < config.flip:
        matrix = _flipped(matrix, config.size[1])
    window = _window(matrix, mask.shape, config.size)
    image = _read_image(image, matrix, window)
    mask = _read_mask(mask, matrix, window)
    if config.color:
        image = jitter_color(image, config.color, rng)
    return _pad(image, window, config.size, 0), _pad(mask, window, config.size, IGNORE)


def fit(image: Image, size: Size, resize: Literal["squash", "short-side"]) -> Image:
    """Bring an image `(h, w, 3)` to a model's input size, sampled as in training.

    Args:
        image: RGB.
        size: (height, width) in training.
        resize: ``squash`` to exactly `size`, or ``short-side``: to ``min(size)``, keeping the ratio of the sides.
    """
    height, width = image.shape[:2]
    if resize == "short-side":
        target, short = min(size), min(height, width)
        size = round(height * target / short), round(width * target / short)
    return _read_image(image, _squash((height, width), size), (slice(0, size[0]), slice(0, size[1])))


# --- geometry --------------------------------------------------------------------------------------------------------


def _squash(source: tuple[int, ...], size: Size) -> Matrix:
    """Return the matrix from an output of `size` to all of a source (h, w)."""
    return np.array([[source[1] / size[1], 0.0, 0.0], [0.0, source[0] / size[0], 0.0]])


def _crop(source: tuple[int, ...], size: Size, scale: tuple[float, float], rng: np.random.Generator) -> Matrix:
    """Return the matrix from a crop of `size` to a source (h, w) that is enlarged by a random factor."""
    drawn = scale[0] + (scale[1] - scale[0]) * rng.random()
    # The short side keeps at least one pixel.
    factor = max(min(size) * drawn, 1.0) / min(source)
    # Whole pixels: at factor 1 the crop then holds the source's own values.
    top = _offset(source[0] * factor - size[0], rng)
    left = _offset(source[1] * factor - size[1], rng)
    return np.array([[1 / factor, 0.0, left / factor], [0.0, 1 / factor, top / factor]])


def _offset(room: float, rng: np.random.Generator) -> int:
    """Return where a crop begins in an image that is `room` pixels longer, or (negative) shorter, than the crop."""
    pixels = int(room)  # towards zero, so that nothing is cut off that would fit
    return int(np.sign(pixels)) * int(rng.random() * (abs(pixels) + 1))


def _flipped(matrix: Matrix, width: int) -> Matrix:
    """Return the matrix of the mirrored output: column u is read where column ``width - u`` was."""
    mirror = np.array([[-1.0, 0.0, width], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    mirrored: Matrix = matrix @ mirror
    return mirrored


def _window(matrix: Matrix, source: tuple[int, ...], size: Size) -> Window:
    """Return the rows and columns of the output whose centres lie inside the source."""
    rows, columns = (
        np.flatnonzero((places >= 0) & (places < length))
        for places, length in (
            (matrix[1, 1] * (np.arange(size[0]) + 0.5) + matrix[1, 2], source[0]),
            (matrix[0, 0] * (np.arange(size[1]) + 0.5) + matrix[0, 2], source[1]),
        )
    )
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _pad(inside: NDArray[np.uint8], window: Window, size: Size, value: int) -> NDArray[np.uint8]:
    """Put `inside` at `window` of an output of `size`."""
    if inside.shape[:2] == size:
        return inside
    whole = np.full(size + inside.shape[2:], value, dtype=np.uint8)
    whole[window] = inside
    return whole


# --- reading ---------------------------------------------------------------------------------------------------------


def _read_mask(mask: Mask, matrix: Matrix, window: Window) -> Mask:
    return _warp(mask, matrix, window, cv2.INTER_NEAREST)


def _read_image(image: Image, matrix: Matrix, window: Window) -> Image:
    image, matrix = _shrunk(image, matrix)
    # OpenCV warps four channels more than twice as fast as three.
    rgb: Image = cv2.cvtColor(
        _warp(cv2.cvtColor(image, cv2.COLOR_RGB2RGBA), matrix, window, cv2.INTER_LINEAR), cv2.COLOR_RGBA2RGB
    )
    return rgb


def _shrunk(image: Image, matrix: Matrix) -> tuple[Image, Matrix]:
    """Average whole blocks of pixels where the output skips some, so that bilinear reading does not alias.

    The blocks are as large as the step between output pixels, rounded down, and the matrix is divided by the same whole
    numbers, so nothing moves.
    """
    down, across = (max(1, int(abs(step))) for step in (matrix[1, 1], matrix[0, 0]))
    if down == across == 1:
        return image, matrix
    rows, columns = -(-image.shape[0] // down), -(-image.shape[1] // across)
    missing = rows * down - image.shape[0], columns * across - image.shape[1]
    if any(missing):
        image = cv2.copyMakeBorder(image, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
    image = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)
    return image, matrix / np.array([[across], [down]])


def _warp(picture: NDArray[np.uint8], matrix: Matrix, window: Window, interpolation: int) -> NDArray[Any]:
    """Read `picture` at the output pixels of `window`; beyond its edge its outermost pixels go on."""
    rows, columns = window
    # From centres to OpenCV's coordinates, in which the first pixel's centre is 0: shift by half a pixel on both sides.
    first = np.array([columns.start + 0.5, rows.start + 0.5, 1.0])
    shifted = np.column_stack([matrix[:, :2], matrix @ first - 0.5])
    size = (columns.stop - columns.start, rows.stop - rows.start)
    flags = interpolation | cv2.WARP_INVERSE_MAP
    warped: NDArray[Any] = cv2.warpAffine(picture, shifted, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return warped


# --- colour ----------------------------------------------------------------------------------------------------------


def jitter_color(image: Image, strength: float, rng: np.random.Generator) -> Image:
    """Change brightness, contrast, saturation and hue at random, in random order.

    Each is an affine map of RGB, so all four are one 3x4 matrix, applied and rounded once; values are clipped only at
    the end. Brightness, contrast and saturation change by a factor in ``1 +- strength``, contrast about the mean grey;
    the hue turns by up to ``strength / 8`` of a circle, in the YIQ space.

    Args:
        image: `(h, w, 3)` uint8 RGB.
        strength: in [0, 1].
        rng: source of randomness.
    """
    mean = np.array([*cv2.mean(image)[:3], 1.0])
    matrix = np.eye(4)
    for kind in rng.permutation(4):
        amount = strength * (2 * rng.random() - 1)
        matrix = COLOR_CHANGES[kind](amount, float(LUMA @ (matrix @ mean)[:3])) @ matrix
    changed: Image = cv2.transform(image, matrix[:3])
    return changed


def _brightness(amount: float, _grey: float) -> Matrix:
    return np.diag([1 + amount] * 3 + [1.0])


def _contrast(amount: float, grey: float) -> Matrix:
    matrix = np.diag([1 + amount] * 3 + [1.0])
    matrix[:3, 3] = -amount * grey
    return matrix


def _saturation(amount: float, _grey: float) -> Matrix:
    matrix = np.eye(4)
    matrix[:3, :3] = (1 + amount) * np.eye(3) - amount * LUMA
    return matrix


def _hue(amount: float, _grey: float) -> Matrix:
    angle = 2 * np.pi * HUE_SHARE * amount
    turn = np.eye(3)
    turn[1:, 1:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix = np.eye(4)
    matrix[:3, :3] = np.linalg.solve(YIQ, turn @ YIQ)
    return matrix


COLOR_CHANGES = (_brightness, _contrast, _saturation, _hue)
"""Each takes an amount and the image's mean grey and returns the 4x4 matrix of (red, green, blue, 1)."""
