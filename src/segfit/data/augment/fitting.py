"""How an image is brought to the size at which a model sees it, when it is not augmented."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import cv2

from segfit.data import Image
from segfit.data.augment.geometry import Size, resample

__all__ = ["Fit", "linear"]

Resample = Callable[[Image, Size], Image]
"""Makes an image `(h, w, 3)` one of (height, width)."""


def linear(image: Image, size: Size) -> Image:
    """Resize bilinearly, without averaging where the image shrinks: what mmsegmentation does."""
    resized: Image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
    return resized


@dataclass(frozen=True)
class Fit:
    """A model's input size.

    Attributes:
        size: (height, width).
        resize: ``squash`` to exactly `size`, or ``short-side``: to ``min(size)``, keeping the ratio of the sides.
        longest: no side becomes longer than this; the short side stays below its size then.
        resample: how; by default as in training.
    """

    size: Size
    resize: Literal["squash", "short-side"]
    longest: int | None = None
    resample: Resample = resample

    def size_of(self, source: Size, scale: float = 1.0) -> Size:
        """Return the (height, width) at which the model sees an image of some (height, width).

        Args:
            source: of the image.
            scale: of the result; test-time augmentation sees an image at several.
        """
        if self.resize == "squash":
            factors = self.size[0] / source[0], self.size[1] / source[1]
        else:
            factor = min(self.size) / min(source)
            if self.longest is not None:
                factor = min(factor, self.longest / max(source))
            factors = factor, factor
        # Half up, as mmsegmentation rounds.
        height, width = (max(1, int(side * f * scale + 0.5)) for side, f in zip(source, factors, strict=True))
        return height, width

    def __call__(self, image: Image, scale: float = 1.0) -> Image:
        """Bring an image `(h, w, 3)` to its input size, times `scale`."""
        height, width = image.shape[:2]
        return self.resample(image, self.size_of((height, width), scale))
