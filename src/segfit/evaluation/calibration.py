"""Calibration: does a confidence of 80 % mean that 80 % of such pixels are right?

The confidence of a pixel is the softmax probability of the class predicted there. Pixels are put into bins of equal
width by confidence; the expected calibration error (ECE) is the mean over pixels of the distance between the accuracy
and the mean confidence of their bin (Guo et al., On Calibration of Modern Neural Networks, ICML 2017; 15 bins, each
without its lower and with its upper limit).

Only every `EVERY`-th row and column is looked at: neighbouring pixels say the same, and the softmax of all classes at
every pixel would cost more than scores may.

Confidences are added up as integers (fixed point), so sums do not depend on the order of images or on ranks.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segfit.labels import IGNORE

__all__ = ["BINS", "EVERY", "Calibration", "calibration_counts"]

BINS = 15
"""Bins of confidence, as many as in the paper."""

EVERY = 4
"""Rows and columns 0, 4, 8, ... of an image are looked at."""

ONE = 1 << 20
"""A confidence of 1 in fixed point: finer than what softmax in half precision can tell apart, by far."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """What confidences came to, by bin; sums of it are sums over images.

    Attributes:
        pixels: `(B,)` int64 valid pixels whose confidence is in the bin.
        right: `(B,)` int64 of these, those that are predicted right.
        confidence: `(B,)` int64, the sum of their confidences in units of 2^-20.
    """

    pixels: NDArray[np.int64]
    right: NDArray[np.int64]
    confidence: NDArray[np.int64]

    @classmethod
    def none(cls) -> "Calibration":
        """Return the counts of no pixel, to begin sums with."""
        return cls(**{name: np.zeros(BINS, dtype=np.int64) for name in ("pixels", "right", "confidence")})

    def __add__(self, other: "Calibration") -> "Calibration":
        return Calibration(
            pixels=self.pixels + other.pixels,
            right=self.right + other.right,
            confidence=self.confidence + other.confidence,
        )

    @property
    def ece(self) -> float | None:
        """The expected calibration error in [0, 1]; None without a pixel."""
        pixels = int(self.pixels.sum())
        return int(np.abs(self.right * ONE - self.confidence).sum()) / (pixels * ONE) if pixels else None

    @property
    def mean_confidence(self) -> float | None:
        """The mean confidence of all pixels in [0, 1]; None without a pixel."""
        pixels = int(self.pixels.sum())
        return int(self.confidence.sum()) / (pixels * ONE) if pixels else None

    def facts(self) -> dict[str, Any]:
        """Return ``ece``, ``every`` and ``bins`` from low to high confidence, JSON-ready.

        A bin has ``confidence`` and ``accuracy``, the means over its pixels (None without one), and ``pixels``.
        """
        bins = [
            {
                "confidence": confidence / (pixels * ONE) if pixels else None,
                "accuracy": right / pixels if pixels else None,
                "pixels": pixels,
            }
            for pixels, right, confidence in zip(
                self.pixels.tolist(), self.right.tolist(), self.confidence.tolist(), strict=True
            )
        ]
        return {"ece": self.ece, "every": EVERY, "bins": bins}


def calibration_counts(
    target: NDArray[np.uint8], prediction: NDArray[np.uint8], confidence: NDArray[np.float32]
) -> Calibration:
    """Count how often predictions of each confidence are right.

    Args:
        target: train ids at every `EVERY`-th row and column (``mask[::EVERY, ::EVERY]``), of any shape; pixels that
            hold `labels.IGNORE` are left out.
        prediction: train ids at the same pixels.
        confidence: softmax probability in [0, 1] of the predicted class at the same pixels; NaN (of scores that are
            not finite) counts as 0.
    """
    assert target.shape == prediction.shape == confidence.shape, "one prediction and one confidence per pixel"
    valid = target != IGNORE
    right = (target == prediction)[valid]
    # Scaling by a power of two is exact: what is rounded is rounded once.
    fixed = np.rint(np.nan_to_num(confidence[valid], nan=0.0) * np.float32(ONE)).astype(np.int64)
    assert fixed.size == 0 or (fixed.min() >= 0 and fixed.max() <= ONE), "confidences are shares in [0, 1]"
    # Bin b holds b / B < confidence <= (b + 1) / B; what is 0 belongs to the first.
    bins = np.maximum((fixed * BINS - 1) // ONE, 0)
    return Calibration(
        pixels=np.bincount(bins, minlength=BINS),
        right=np.bincount(bins[right], minlength=BINS),
        # Sums of weights are float64, exact for integers up to 2^53: 2^33 pixels.
        confidence=np.bincount(bins, weights=fixed, minlength=BINS).astype(np.int64),
    )
