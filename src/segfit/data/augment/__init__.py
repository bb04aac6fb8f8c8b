"""From a decoded pair to the training size, and from an image to a model's input size.

Everything here is a pure function. What is random comes from a generator that `rng_for` derives from (seed, epoch,
sample id), so neither workers nor ranks nor a resumed run change what a sample looks like.

A sample goes through ``geometry`` (one warp of image and mask), ``color`` (one affine map of RGB), ``quality`` (blur
and noise) and ``mixing`` (parts of another sample, a part cut out). A step draws the same count of numbers whether it
is on or off, and those that need many come last or draw from a generator of their own: what one setting does to a
sample depends on no other.
"""

import hashlib
from collections.abc import Callable

import cv2
import numpy as np

from segfit.config import AugmentConfig
from segfit.data import Image
from segfit.data.augment.color import jitter_color
from segfit.data.augment.fitting import Fit
from segfit.data.augment.geometry import draw_view
from segfit.data.augment.mixing import class_mix, copy_paste, cut_out
from segfit.data.augment.quality import degrade
from segfit.labels import IGNORE, Mask

__all__ = ["Fit", "Partner", "augment", "choose_partner", "rng_for"]

Partner = Callable[[np.random.Generator], tuple[Image, Mask]]
"""Chooses another pair of the training split with the given generator and returns it decoded, in train ids."""


def rng_for(seed: int, epoch: int, sample_id: str) -> np.random.Generator:
    """Return the random generator of one sample in one epoch, the same in every process and on every platform."""
    digest = hashlib.blake2b(sample_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return np.random.default_rng(np.random.SeedSequence((seed, epoch, int.from_bytes(digest, "little"))))


def choose_partner(index: int, count: int, rng: np.random.Generator) -> int:
    """Return the index of a random record of `count` other than `index`, if there are two."""
    return (index + 1 + int(rng.integers(max(count - 1, 1)))) % count


def augment(
    image: Image, mask: Mask, config: AugmentConfig, rng: np.random.Generator, partner: Partner | None = None
) -> tuple[Image, Mask]:
    """Bring an image and its mask to the training size, changed at random as `config` says.

    Without a scale range the pair is squashed to `config.size`. With one, it is scaled and cropped at random; where it
    is smaller than the crop, the image is padded with 0 and the mask with `IGNORE`.

    Args:
        image: `(h, w, 3)` RGB.
        mask: `(h, w)` train ids.
        config: a resolved section (see `segfit.config.resolve`).
        rng: source of randomness (see `rng_for`).
        partner: gives the pair from which class_mix and copy_paste take; needed where either is on.

    Returns:
        The pair at the size (H, W) of `config`; every label of the mask also occurs in `mask` or in the partner's or is
        `IGNORE`.
    """
    assert config.class_mix is not None, "the section is resolved"
    assert config.copy_paste is not None
    assert config.cutout is not None
    mixed = config.class_mix + config.copy_paste
    assert partner is not None or not mixed, "mixing needs another pair"
    drawn_mix, drawn_cut, *rectangle = rng.random(6)
    image, mask = _changed(image, mask, config, rng)
    if partner is not None and drawn_mix < mixed:
        mix = class_mix if drawn_mix < config.class_mix else copy_paste
        mix((image, mask), _changed(*partner(rng), config, rng), rng)
    if drawn_cut < config.cutout:
        cut_out((image, mask), rectangle)
    return image, mask


def _changed(image: Image, mask: Mask, config: AugmentConfig, rng: np.random.Generator) -> tuple[Image, Mask]:
    """Do all that concerns one pair alone."""
    assert config.flip is not None, "the section is resolved"
    assert config.vertical_flip is not None
    view = draw_view(mask, config, rng)
    across, down = rng.random(2) < (config.flip, config.vertical_flip)
    image, mask = view.read_image(image), view.read_mask(mask)
    image = degrade(jitter_color(image, config, rng), config, rng)
    image, mask = view.pad(image, 0), view.pad(mask, IGNORE)
    if across or down:
        # OpenCV's codes: 1 mirrors left and right, 0 top and bottom, -1 both.
        code = int(across) - int(down) if across != down else -1
        image, mask = cv2.flip(image, code), cv2.flip(mask, code)
    return image, mask
