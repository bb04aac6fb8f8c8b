import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from segfit.config import AugmentConfig
from segfit.data.augment import augment, fit, jitter_color, rng_for
from segfit.labels import IGNORE

# Colours far apart, none of them the padding's black; class i has colour CODE[i].
CODE = np.array(
    [[(37 * i + 40) % 216 + 40, (91 * i + 90) % 216 + 40, (151 * i) % 216 + 40] for i in range(9)], np.uint8
)


def config(size: tuple[int, int], scale: tuple[float, float] | None = None, flip: float = 0, color: float = 0):
    return AugmentConfig(size=size, scale=scale, flip=flip, color=color)


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


def assert_aligned(image: np.ndarray, mask: np.ndarray) -> None:
    """Check that the image has its label's colour wherever the mask (see `with_borders`) says it must."""
    for label, color in enumerate(CODE):
        assert (image[mask == label] == color).all()
    assert (image[mask == IGNORE] == 0).all()


# --- geometry --------------------------------------------------------------------------------------------------------

sides = st.integers(1, 150)
sizes = st.tuples(st.integers(1, 90), st.integers(1, 90))
scales = st.none() | st.tuples(st.floats(0.2, 1.0), st.floats(1.0, 4.0))


@settings(max_examples=150, deadline=None)
@given(height=sides, width=sides, size=sizes, scale=scales, flip=st.sampled_from([0.0, 1.0]), seed=st.integers(0, 999))
def test_image_and_mask_agree_everywhere_but_at_borders(height, width, size, scale, flip, seed) -> None:
    labels = blobs(height, width, seed)
    step = min(height, width) / max(min(size) * scale[0], 1) if scale else 0
    mask = with_borders(labels, step or height / size[0], step or width / size[1])
    image, found = augment(CODE[labels], mask, config(size, scale, flip), np.random.default_rng(seed))
    assert image.shape == (*size, 3)
    assert found.shape == size
    assert image.dtype == found.dtype == np.uint8
    assert set(np.unique(found)) <= {*np.unique(mask), IGNORE}
    assert_aligned(image, found)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [(64, 64), (61, 97), (256, 200)])
@pytest.mark.parametrize("scale", [0.5, 0.77, 1.0, 2.0])
def test_most_of_a_photo_with_large_regions_agrees(seed: int, size: tuple[int, int], scale: float) -> None:
    labels = blobs(331, 517, seed, cell=60)
    step = 331 / (min(size) * scale)
    image, found = augment(
        CODE[labels], with_borders(labels, step, step), config(size, (scale, scale), 0.5), np.random.default_rng(seed)
    )
    assert (found < 100).sum() > 0.25 * (found != IGNORE).sum()
    assert_aligned(image, found)


@pytest.mark.parametrize("shift", [(0, 1), (1, 0), (0, -1), (-1, 0)])
def test_the_check_of_agreement_notices_a_shift_of_few_pixels(shift: tuple[int, int]) -> None:
    labels = blobs(331, 517, 0, cell=60)
    mask = with_borders(labels, 331 / 256, 331 / 256)
    image, found = augment(CODE[labels], mask, config((256, 200), (1.0, 1.0)), np.random.default_rng(0))
    with pytest.raises(AssertionError):
        assert_aligned(np.roll(image, (4 * shift[0], 4 * shift[1]), (0, 1)), found)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 11), (64, 48), (101, 333)])
def test_identity_and_flip_are_bitwise_exact(height: int, width: int) -> None:
    image, mask = noise(height, width)
    rng = np.random.default_rng(0)
    for flip, step in ((0.0, 1), (1.0, -1)):
        same_image, same_mask = augment(image, mask, config((height, width), flip=flip), rng)
        np.testing.assert_array_equal(same_image, image[:, ::step])
        np.testing.assert_array_equal(same_mask, mask[:, ::step])


@pytest.mark.parametrize("flip", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_at_scale_one_a_crop_holds_the_source_itself(seed: int, flip: float) -> None:
    image, mask = noise(40, 97, seed)
    crop, labels = augment(image, mask, config((40, 60), (1.0, 1.0), flip), np.random.default_rng(seed))
    crop, labels = (crop[:, ::-1], labels[:, ::-1]) if flip else (crop, labels)
    places = [x for x in range(38) if (image[:, x : x + 60] == crop).all()]
    assert len(places) == 1
    np.testing.assert_array_equal(labels, mask[:, places[0] : places[0] + 60])


def test_crops_reach_every_place_and_no_farther() -> None:
    mask = np.tile(np.arange(12, dtype=np.uint8), (4, 1))
    image = np.repeat(mask[..., None], 3, 2)
    seen = {int(augment(image, mask, config((4, 4), (1.0, 1.0)), rng_for(0, i, ""))[1][0, 0]) for i in range(200)}
    assert seen == set(range(9))


@pytest.mark.parametrize("seed", range(8))
def test_padding_is_black_and_ignored_and_nothing_else_is(seed: int) -> None:
    image, mask = noise(30, 50, seed)
    image = np.maximum(image, 1)
    crop, labels = augment(image, mask, config((64, 64), (0.5, 0.5), 0.5), np.random.default_rng(seed))
    padded = labels == IGNORE
    np.testing.assert_array_equal(padded, (crop == 0).all(axis=-1))
    rows, columns = np.flatnonzero(~padded.all(axis=1)), np.flatnonzero(~padded.all(axis=0))
    assert len(rows) == 32
    assert abs(len(columns) - 50 * 32 / 30) < 1
    assert not padded[np.ix_(rows, columns)].any()


def test_colour_leaves_padding_and_mask_alone() -> None:
    image, mask = noise(30, 50)
    plain, labels = augment(image, mask, config((64, 64), (0.5, 0.5)), np.random.default_rng(1))
    vivid, same = augment(image, mask, config((64, 64), (0.5, 0.5), color=1.0), np.random.default_rng(1))
    np.testing.assert_array_equal(labels, same)
    assert (vivid[labels == IGNORE] == 0).all()
    assert (vivid != plain).any()


def nearest(length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the source pixel of each output pixel, and whether its place is clear of the border between two."""
    places = (np.arange(size) + 0.5) * length / size
    return places.astype(int), np.abs(places - np.round(places)) > 0.01


@settings(max_examples=40, deadline=None)
@given(height=sides, width=sides, size=sizes)
def test_squash_equals_nearest_indices_and_torch(height: int, width: int, size: tuple[int, int]) -> None:
    image, mask = noise(height, width)
    found, labels = augment(image, mask, config(size), np.random.default_rng(0))
    (rows, clear_rows), (columns, clear_columns) = (
        nearest(n, out) for n, out in zip((height, width), size, strict=True)
    )
    clear = np.ix_(clear_rows, clear_columns)
    np.testing.assert_array_equal(labels[clear], mask[rows][:, columns][clear])
    if height < 2 * size[0] and width < 2 * size[1]:
        tensor = torch.from_numpy(image).permute(2, 0, 1)[None].double()
        reference = F.interpolate(tensor, size=size, mode="bilinear", align_corners=False)[0].permute(1, 2, 0).numpy()
        # OpenCV before version 5 rounds places to 1/32 pixel.
        assert np.abs(found - reference).max() <= 9


def test_shrinking_averages_instead_of_skipping() -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 254
    mask = np.zeros((256, 256), np.uint8)
    for size in ((128, 128), (64, 64), (64, 128), (32, 32)):
        small, _ = augment(stripes, mask, config(size), np.random.default_rng(0))
        assert (small == 127).all()
    area = cv2.resize(noise(192, 192)[0], (64, 64), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(fit(noise(192, 192)[0], (64, 64), "squash"), area)


@pytest.mark.parametrize("shape", [(201, 303), (257, 129), (99, 1000)])
def test_averaging_moves_nothing(shape: tuple[int, int]) -> None:
    """The centre of mass of a bright square lies where the geometry puts it, whatever is left over at the edges."""
    image = np.zeros((*shape, 3), np.uint8)
    top, left = shape[0] // 3, shape[1] // 2
    image[top : top + 30, left : left + 40] = 255
    small = fit(image, (32, 40), "squash")[..., 0].astype(float)
    rows, columns = np.arange(32) + 0.5, np.arange(40) + 0.5
    total = small.sum()
    assert (small.sum(1) @ rows) / total == pytest.approx((top + 15) * 32 / shape[0], abs=0.1)
    assert (small.sum(0) @ columns) / total == pytest.approx((left + 20) * 40 / shape[1], abs=0.1)


# --- fit -------------------------------------------------------------------------------------------------------------


def test_fit_squash_is_the_training_path() -> None:
    image, mask = noise(75, 130)
    for size in ((64, 64), (20, 33), (130, 75)):
        np.testing.assert_array_equal(
            fit(image, size, "squash"), augment(image, mask, config(size), rng_for(0, 0, ""))[0]
        )


@settings(max_examples=40, deadline=None)
@given(height=sides, width=sides, size=sizes)
def test_fit_short_side_keeps_the_ratio(height: int, width: int, size: tuple[int, int]) -> None:
    rows, columns, _ = fit(noise(height, width)[0], size, "short-side").shape
    assert min(rows, columns) == min(size)
    assert max(rows, columns) == round(max(height, width) * min(size) / min(height, width))


def test_fit_at_the_right_size_changes_nothing() -> None:
    image, _ = noise(40, 70)
    np.testing.assert_array_equal(fit(image, (40, 40), "short-side"), image)
    np.testing.assert_array_equal(fit(image, (40, 70), "squash"), image)


# --- colour ----------------------------------------------------------------------------------------------------------


class Scripted:
    """A generator that applies the colour changes in the given order with the given amounts in [-1, 1]."""

    def __init__(self, order: list[int], amounts: list[float]) -> None:
        self.order, self.amounts = order, iter(amounts)

    def permutation(self, count: int) -> list[int]:
        assert count == len(self.order)
        return self.order

    def random(self) -> float:
        return (next(self.amounts) + 1) / 2


def jitter(image: np.ndarray, **amounts: float) -> np.ndarray:
    """Change a picture by the given amounts of brightness, contrast, saturation and hue, in this order."""
    names = ("brightness", "contrast", "saturation", "hue")
    return jitter_color(image, 1.0, Scripted([0, 1, 2, 3], [amounts.get(name, 0.0) for name in names]))  # type: ignore[arg-type]


@pytest.mark.parametrize("amount", [-0.6, -0.2, 0.3])
def test_brightness_contrast_and_saturation_agree_with_pillow(amount: float) -> None:
    image = cv2.resize(noise(8, 8)[0] // 2 + 50, (32, 32))
    pairs = {"brightness": ImageEnhance.Brightness, "contrast": ImageEnhance.Contrast, "saturation": ImageEnhance.Color}
    for name, reference in pairs.items():
        wanted = np.asarray(reference(Image.fromarray(image)).enhance(1 + amount))
        assert np.abs(jitter(image, **{name: amount}).astype(int) - wanted).max() <= 2


def test_changes_follow_one_another() -> None:
    image = cv2.resize(noise(8, 8)[0] // 4 + 90, (32, 32))
    at_once = jitter(image, brightness=0.1, contrast=-0.3, saturation=0.2, hue=0.4)
    one_by_one = image
    for name, amount in (("brightness", 0.1), ("contrast", -0.3), ("saturation", 0.2), ("hue", 0.4)):
        one_by_one = jitter(one_by_one, **{name: amount})
    assert np.abs(at_once.astype(int) - one_by_one).max() <= 3


def test_hue_keeps_grey_and_luma_and_turns_as_said() -> None:
    grey = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, 2)
    assert np.abs(jitter(grey, hue=0.7).astype(int) - grey).max() <= 1
    image = noise(16, 16)[0] // 4 + 96
    luma = np.array([0.299, 0.587, 0.114])
    turned = jitter(image, hue=1.0)
    assert np.abs((turned - image.astype(float)) @ luma).max() < 1
    # An eighth of the circle at full strength: eight of them are the identity, four the opposite hue.
    for _ in range(7):
        turned = jitter(turned, hue=1.0)
    assert np.abs(turned.astype(int) - image).max() <= 8


def test_values_are_clipped_not_wrapped() -> None:
    image = np.full((4, 4, 3), 250, np.uint8)
    assert (jitter(image, brightness=0.5) == 255).all()
    assert (jitter(image, brightness=-1.0) == 0).all()


def test_colour_strength_bounds_the_change() -> None:
    image = np.full((4, 4, 3), 100, np.uint8)
    values = np.array([jitter_color(image, 0.2, rng_for(0, i, ""))[0, 0] for i in range(300)])
    assert values.min() >= 79
    assert values.max() <= 121
    assert values.min() < 85
    assert values.max() > 115
    np.testing.assert_array_equal(jitter_color(image, 0.0, rng_for(0, 0, "")), image)


# --- randomness ------------------------------------------------------------------------------------------------------


def test_the_generator_depends_on_every_part_and_on_nothing_else() -> None:
    draw = {key: rng_for(*key).random(4).tobytes() for key in [(0, 0, "a"), (1, 0, "a"), (0, 1, "a"), (0, 0, "b")]}
    assert len(set(draw.values())) == 4
    assert rng_for(0, 0, "a").random(4).tobytes() == draw[0, 0, "a"]


def test_the_generator_is_the_same_in_every_process() -> None:
    code = "from segfit.data.augment import rng_for; print(rng_for(3, 5, 'ADE_train_00000001\u00e9').random())"
    output = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": "1"}, capture_output=True, text=True, check=True
    ).stdout
    assert float(output) == rng_for(3, 5, "ADE_train_00000001\u00e9").random() == 0.11742169093045152


def test_flip_happens_as_often_as_said() -> None:
    image, mask = noise(4, 5)
    flipped = [
        (augment(image, mask, config((4, 5), flip=0.25), rng_for(0, i, "x"))[1] == mask[:, ::-1]).all()
        for i in range(400)
    ]
    assert np.mean(flipped) == pytest.approx(0.25, abs=0.08)


def test_the_same_generator_gives_the_same_sample_and_inputs_stay() -> None:
    image, mask = noise(60, 80)
    before = image.copy(), mask.copy()
    standard = config((32, 32), (0.5, 2.0), 0.5, 0.4)
    first, again = (augment(image, mask, standard, rng_for(0, 1, "x")) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(mask, before[1])
