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
from segfit.evaluation.windows import Cut, whole
from segfit.labels import LabelSpace
from segfit.models import Segmenter

__all__ = ["Predictor", "overlay"]


class Predictor:
    """Segments images of any size.

    Args:
        model: in evaluation mode, on `device`.
        labels: what the train ids mean.
        fit: brings an image to the model's input size.
        device: where the model is.
        precision: of the forward pass.
        cut: chooses the windows of an image that was brought to the input size; by default it stays whole.
        batch: windows per forward pass; fewer where memory does not suffice.
    """

    def __init__(
        self,
        model: Segmenter,
        labels: LabelSpace,
        *,
        fit: Fit,
        device: torch.device,
        precision: str,
        cut: Cut = whole,
        batch: int = 1,
    ) -> None:
        self.model, self.labels = model, labels
        self.fit = fit
        self.device, self.precision = device, precision
        self._segment = Segmentation(model, cut=cut, batch=batch, device=device, precision=precision)

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
        found = self._segment([self.fit(image)], [(image.shape[0], image.shape[1])])
        return found.maps[0].to(torch.uint8).cpu().numpy()


def overlay(image: Image, mask: NDArray[np.uint8], colors: Sequence[Color], share: float = 0.55) -> Image:
    """Return `image` with the colour of each pixel's class laid over it; the colour makes up `share` of the sum."""
    palette = np.array([*colors, *[(0, 0, 0)] * (256 - len(colors))], dtype=np.uint8)
    return np.asarray(cv2.addWeighted(image, 1 - share, palette[mask], share, 0), dtype=np.uint8)
