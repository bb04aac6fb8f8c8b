"""Colour, blur and noise."""

import cv2
import numpy as np
import pytest
from pairs import noise, plain, preset
from PIL import Image, ImageEnhance

from segfit.data.augment import augment, rng_for
from segfit.data.augment.color import color_matrix, jitter_color
from segfit.data.augment.quality import degrade
from segfit.labels import IGNORE


def jitter(image: np.ndarray, **amounts: float) -> np.ndarray:
    values = {"brightness": 0.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0, **amounts}
    return cv2.transform(image, color_matrix(**values))


def soft(seed: int = 0) -> np.ndarray:
    """Return an image whose colours are not clipped by moderate changes."""
    return cv2.resize(noise(8, 8, seed)[0] // 4 + 90, (32, 32))


def hsv(image: np.ndarray) -> np.ndarray:
    """Return hue in degrees, saturation in 0..1 and value in 0..1."""
    return cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)


# --- each change -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.4, 0.8, 1.3])
def test_contrast_and_saturation_agree_with_pillow(factor: float) -> None:
    """Contrast about black is what Pillow calls brightness."""
    image = cv2.resize(noise(8, 8)[0] // 2 + 50, (32, 32))
    for name, reference in {"contrast": ImageEnhance.Brightness, "saturation": ImageEnhance.Color}.items():
        wanted = np.asarray(reference(Image.fromarray(image)).enhance(factor))
        assert np.abs(jitter(image, **{name: factor}).astype(int) - wanted).max() <= 2


def test_brightness_adds() -> None:
    image = soft()
    np.testing.assert_array_equal(jitter(image, brightness=20 / 255), image + 20)
    np.testing.assert_array_equal(jitter(image, brightness=-20 / 255), image - 20)


def test_changes_follow_one_another_and_contrast_may_come_first_or_last() -> None:
    image = soft()
    at_once = jitter(image, brightness=0.1, contrast=0.8, saturation=1.2, hue=0.1)
    one_by_one = jitter(image, brightness=0.1)
    for name, amount in (("saturation", 1.2), ("hue", 0.1)):
        one_by_one = jitter(one_by_one, **{name: amount})
    assert np.abs(at_once.astype(int) - jitter(one_by_one, contrast=0.8)).max() <= 2
    first = color_matrix(0, 1, 1.2, 0.1)[:, :3] @ color_matrix(0.1, 0.8, 1, 0)
    np.testing.assert_allclose(first, color_matrix(0.1, 0.8, 1.2, 0.1), atol=1e-9)


def test_hue_turns_as_in_hsv() -> None:
    image = cv2.resize(noise(8, 8)[0] // 4 + 96, (64, 64), interpolation=cv2.INTER_NEAREST)
    before = hsv(image)
    for turn in (-0.1, -0.05, 0.05, 0.1):
        after = hsv(jitter(image, hue=turn))
        moved = (after[..., 0] - before[..., 0] - 360 * turn + 180) % 360 - 180
        # Colours that are nearly grey have no hue to speak of.
        assert np.abs(moved[before[..., 1] > 0.1]).max() < 5


def test_hue_and_saturation_keep_grey() -> None:
    grey = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, 2)
    np.testing.assert_array_equal(jitter(grey, hue=0.3, saturation=0.2), grey)
    image = soft()
    np.testing.assert_allclose(jitter(image, hue=0.3).mean(2), image.mean(2), atol=0.7)
    luma = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(jitter(image, saturation=1.3) @ luma, image @ luma, atol=0.7)
    np.testing.assert_array_equal(jitter(image, hue=1.0), image)


def test_values_are_clipped_not_wrapped() -> None:
    image = np.full((4, 4, 3), 250, np.uint8)
    assert (jitter(image, contrast=1.5) == 255).all()
    assert (jitter(image, brightness=-1.0) == 0).all()


# --- chance ----------------------------------------------------------------------------------------------------------


def amounts(name: str) -> np.ndarray:
    """Return the amounts of one change in 600 draws of the preset `standard`, as a test pixel shows them."""
    pixel = np.array([[[160, 110, 80]]], np.uint8)
    strength = getattr(preset("standard", (1, 1)), name)
    seen = np.array(
        [jitter_color(pixel, plain((1, 1), **{name: strength}), rng_for(0, i, ""))[0, 0] for i in range(600)]
    ).astype(float)
    if name == "brightness":
        return seen[:, 0] - 160
    if name == "contrast":
        return seen[:, 0] / 160
    if name == "hue":
        return (hsv(seen[None])[0, :, 0] - hsv(pixel)[0, 0, 0] + 180) % 360 - 180
    return (seen[:, 0] - seen[:, 2]) / 80


@pytest.mark.parametrize(
    ("name", "neutral", "extent", "slack"),
    [
        ("brightness", 0, 32, 0.5),
        ("contrast", 1, 0.5, 0.01),
        ("saturation", 1, 0.5, 0.02),
        ("hue", 0, 36, 2.5),
    ],
)
def test_standard_makes_each_change_in_half_of_the_samples_and_in_its_range(name, neutral, extent, slack) -> None:
    drawn = amounts(name) - neutral
    changed = drawn[np.abs(drawn) > slack / 4]
    assert len(changed) / len(drawn) == pytest.approx(0.5, abs=0.07)
    assert -extent - slack <= changed.min() < -0.93 * extent
    assert 0.93 * extent < changed.max() <= extent + slack
    # Uniform: half of the changes are smaller than half of the largest.
    assert np.mean(np.abs(changed) < extent / 2) == pytest.approx(0.5, abs=0.09)


def test_changes_are_independent() -> None:
    pixel = np.array([[[160, 110, 80]]], np.uint8)
    both = plain((1, 1), brightness=0.1, contrast=0.5)
    seen = [jitter_color(pixel, both, rng_for(0, i, ""))[0, 0].tolist() for i in range(400)]
    assert np.mean([value == [160, 110, 80] for value in seen]) == pytest.approx(0.25, abs=0.07)


def test_what_is_off_changes_nothing_and_shifts_nothing() -> None:
    image, _ = noise(16, 16)
    generator = rng_for(0, 0, "")
    assert jitter_color(image, plain((16, 16)), generator) is image
    assert degrade(image, plain((16, 16)), generator) is image
    other = rng_for(0, 0, "")
    jitter_color(image, preset("strong", (16, 16)), other)
    degrade(image, plain((16, 16), blur=1.0, noise=1.0), other)
    assert generator.random() == other.random()


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue", "blur", "noise"])
def test_colour_and_quality_leave_padding_and_mask_alone(name: str) -> None:
    image, mask = noise(30, 50)
    calm, labels = augment(image, mask, plain((64, 64), scale=(0.5, 0.5), rotate=5.0), rng_for(0, 1, ""))
    seen = set()
    for epoch in range(8):
        config = plain((64, 64), scale=(0.5, 0.5), rotate=5.0)
        calm, labels = augment(image, mask, config, rng_for(0, epoch, ""))
        vivid, same = augment(image, mask, config.model_copy(update={name: 0.5}), rng_for(0, epoch, ""))
        np.testing.assert_array_equal(labels, same)
        assert (vivid[labels == IGNORE] == 0).all()
        seen.add(bool((vivid != calm).any()))
    assert seen == {True, False}  # chance decides


# --- quality ---------------------------------------------------------------------------------------------------------


def test_noise_is_normal_and_of_the_promised_size() -> None:
    image = np.full((64, 64, 3), 128, np.uint8)
    deviations, steps = [], []
    for seed in range(60):
        difference = degrade(image, plain((64, 64), noise=1.0), rng_for(seed, 0, "")).astype(int) - 128
        deviations.append(difference.std())
        steps.append(difference.ravel() / difference.std())
        assert abs(difference.mean()) < 5 * difference.std() / np.sqrt(difference.size)
    assert 1.9 < min(deviations) < 3
    assert 11 < max(deviations) < 12.2
    together = np.concatenate(steps)
    assert np.mean(np.abs(together) < 1) == pytest.approx(0.683, abs=0.03)
    assert np.mean(np.abs(together) > 2) == pytest.approx(0.0455, abs=0.01)


def test_noise_does_not_wrap_at_black_and_white() -> None:
    for value in (0, 255):
        image = np.full((32, 32, 3), value, np.uint8)
        noisy = degrade(image, plain((32, 32), noise=1.0), rng_for(0, 0, "")).astype(int)
        assert np.abs(noisy - value).max() < 40


def test_blur_keeps_the_mean_and_takes_away_detail() -> None:
    image, _ = noise(64, 64)
    details = []
    for seed in range(40):
        blurred = degrade(image, plain((64, 64), blur=1.0), rng_for(seed, 0, ""))
        assert abs(blurred.mean() - image.mean()) < 2
        details.append(blurred.std() / image.std())
    assert max(details) <= 1
    assert min(details) < 0.25


@pytest.mark.parametrize(("name", "probability"), [("blur", 0.3), ("noise", 0.7)])
def test_probabilities_hold(name: str, probability: float) -> None:
    image, _ = noise(8, 8)
    config = plain((8, 8), **{name: probability})
    changed = [degrade(image, config, rng_for(0, i, "")) is not image for i in range(500)]
    assert np.mean(changed) == pytest.approx(probability, abs=0.07)
