"""A trained model as a function from an image to its label map."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from segfit.data import Image
from segfit.data.augment import Fit
from segfit.data.decode import Color, read_image
from segfit.evaluation.segment import Segmentation
from segfit.labels import LabelSpace
from segfit.models import Segmenter

__all__ = ["Predictor", "overlay"]


class Predictor:
    """Segments images of any size.

    Args:
        segment: has the model.
        labels: what the train ids mean.
        fit: brings an image to the model's input size.
        scales: of that size, at which the model sees an image.
    """

    def __init__(
        self, segment: Segmentation, labels: LabelSpace, *, fit: Fit, scales: Sequence[float] = (1.0,)
    ) -> None:
        self.segment, self.labels = segment, labels
        self.fit, self.scales = fit, tuple(scales)

    @property
    def model(self) -> Segmenter:
        """The model, in evaluation mode."""
        return self.segment.model

    def __call__(self, image: Image | str | Path) -> NDArray[np.uint8]:
        """Return the `(H, W)` uint8 train ids of an `(H, W, 3)` uint8 RGB image or of an image file.

        Raises:
            DataError: the file is missing, truncated or not an image.
            ValueError: the array is not `(H, W, 3)` uint8.
            RunError: memory does not even suffice for one window.
        """
        if not isinstance(image, np.ndarray):
            image = read_image(Path(image))
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"an image is an (H, W, 3) uint8 array, not {image.shape} {image.dtype}")
        inputs = tuple(self.fit(image, scale) for scale in self.scales)
        found = self.segment([inputs], [(image.shape[0], image.shape[1])])
        return found.maps[0].to(torch.uint8).cpu().numpy()


def overlay(image: Image, mask: NDArray[np.uint8], colors: Sequence[Color], share: float = 0.55) -> Image:
    """Return `image` with the colour of each pixel's class laid over it; the colour makes up `share` of the sum."""
    palette = np.array([*colors, *[(0, 0, 0)] * (256 - len(colors))], dtype=np.uint8)
    return np.asarray(cv2.addWeighted(image, 1 - share, palette[mask], share, 0), dtype=np.uint8)
