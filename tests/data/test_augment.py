"""The geometry of a sample, and what it depends on."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import CODE, assert_aligned, blobs, largest_step, noise, plain, preset, with_borders

from segfit.data.augment import Fit, augment, rng_for
from segfit.data.augment.geometry import draw_view
from segfit.labels import IGNORE

# --- geometry --------------------------------------------------------------------------------------------------------

sides = st.integers(1, 150)
sizes = st.tuples(st.integers(1, 90), st.integers(1, 90))
scales = st.none() | st.tuples(st.floats(0.2, 1.0), st.floats(1.0, 4.0))


@settings(max_examples=150)
@given(
    height=sides,
    width=sides,
    size=sizes,
    scale=scales,
    flips=st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0])),
    rotate=st.sampled_from([0.0, 0.0, 20.0, 180.0]),
    seed=st.integers(0, 999),
)
def test_image_and_mask_agree_everywhere_but_at_borders(height, width, size, scale, flips, rotate, seed) -> None:
    labels = blobs(height, width, seed)
    mask = with_borders(labels, *largest_step((height, width), size, scale))
    config = plain(size, scale=scale, flip=flips[0], vertical_flip=flips[1], rotate=rotate)
    image, found = augment(CODE[labels], mask, config, np.random.default_rng(seed))
    assert image.shape == (*size, 3)
    assert found.shape == size
    assert image.dtype == found.dtype == np.uint8
    assert set(np.unique(found)) <= {*np.unique(mask), IGNORE}
    assert_aligned(image, found)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [(64, 64), (61, 97), (256, 200)])
@pytest.mark.parametrize("scale", [0.5, 0.77, 1.0, 2.0])
@pytest.mark.parametrize("rotate", [0.0, 30.0])
def test_most_of_a_photo_with_large_regions_agrees(seed, size, scale, rotate) -> None:
    labels = blobs(331, 517, seed, cell=60)
    mask = with_borders(labels, *largest_step(labels.shape, size, (scale, scale)))
    config = plain(size, scale=(scale, scale), flip=0.5, rotate=rotate)
    image, found = augment(CODE[labels], mask, config, np.random.default_rng(seed))
    assert (found < 100).sum() > 0.25 * (found != IGNORE).sum()
    assert_aligned(image, found)


@pytest.mark.parametrize("shift", [(0, 1), (1, 0), (0, -1), (-1, 0)])
def test_the_check_of_agreement_notices_a_shift_of_few_pixels(shift: tuple[int, int]) -> None:
    labels = blobs(331, 517, 0, cell=60)
    mask = with_borders(labels, 331 / 256, 331 / 256)
    image, found = augment(CODE[labels], mask, plain((256, 200), scale=(1.0, 1.0)), np.random.default_rng(0))
    with pytest.raises(AssertionError):
        assert_aligned(np.roll(image, (4 * shift[0], 4 * shift[1]), (0, 1)), found)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 11), (64, 48), (101, 333)])
def test_identity_and_flip_are_bitwise_exact(height: int, width: int) -> None:
    image, mask = noise(height, width)
    rng = np.random.default_rng(0)
    for flip, step in ((0.0, 1), (1.0, -1)):
        same_image, same_mask = augment(image, mask, plain((height, width), flip=flip), rng)
        np.testing.assert_array_equal(same_image, image[:, ::step])
        np.testing.assert_array_equal(same_mask, mask[:, ::step])


@pytest.mark.parametrize("flip", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_at_scale_one_a_crop_holds_the_source_itself(seed: int, flip: float) -> None:
    image, mask = noise(40, 97, seed)
    crop, labels = augment(image, mask, plain((40, 60), scale=(1.0, 1.0), flip=flip), np.random.default_rng(seed))
    crop, labels = (crop[:, ::-1], labels[:, ::-1]) if flip else (crop, labels)
    places = [x for x in range(38) if (image[:, x : x + 60] == crop).all()]
    assert len(places) == 1
    np.testing.assert_array_equal(labels, mask[:, places[0] : places[0] + 60])


def test_crops_reach_every_place_and_no_farther() -> None:
    mask = np.tile(np.arange(12, dtype=np.uint8), (4, 1))
    image = np.repeat(mask[..., None], 3, 2)
    seen = {int(augment(image, mask, plain((4, 4), scale=(1.0, 1.0)), rng_for(0, i, ""))[1][0, 0]) for i in range(200)}
    assert seen == set(range(9))


@pytest.mark.parametrize("seed", range(8))
def test_padding_is_black_and_ignored_and_nothing_else_is(seed: int) -> None:
    image, mask = noise(30, 50, seed)
    image = np.maximum(image, 1)
    crop, labels = augment(image, mask, plain((64, 64), scale=(0.5, 0.5), flip=0.5), np.random.default_rng(seed))
    padded = labels == IGNORE
    np.testing.assert_array_equal(padded, (crop == 0).all(axis=-1))
    rows, columns = np.flatnonzero(~padded.all(axis=1)), np.flatnonzero(~padded.all(axis=0))
    assert len(rows) == 32
    assert abs(len(columns) - 50 * 32 / 30) < 1
    assert not padded[np.ix_(rows, columns)].any()


def nearest(length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the source pixel of each output pixel, and whether its place is clear of the border between two."""
    places = (np.arange(size) + 0.5) * length / size
    return places.astype(int), np.abs(places - np.round(places)) > 0.01


@settings(max_examples=40)
@given(height=sides, width=sides, size=sizes)
def test_squash_equals_nearest_indices_and_torch(height: int, width: int, size: tuple[int, int]) -> None:
    image, mask = noise(height, width)
    found, labels = augment(image, mask, plain(size), np.random.default_rng(0))
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
        small, _ = augment(stripes, mask, plain(size), np.random.default_rng(0))
        assert (small == 127).all()
    area = cv2.resize(noise(192, 192)[0], (64, 64), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(Fit((64, 64), "squash")(noise(192, 192)[0]), area)


@pytest.mark.parametrize("shape", [(201, 303), (257, 129), (99, 1000)])
def test_averaging_moves_nothing(shape: tuple[int, int]) -> None:
    """The centre of mass of a bright square lies where the geometry puts it, whatever is left over at the edges."""
    image = np.zeros((*shape, 3), np.uint8)
    top, left = shape[0] // 3, shape[1] // 2
    image[top : top + 30, left : left + 40] = 255
    small = Fit((32, 40), "squash")(image)[..., 0].astype(float)
    rows, columns = np.arange(32) + 0.5, np.arange(40) + 0.5
    total = small.sum()
    assert (small.sum(1) @ rows) / total == pytest.approx((top + 15) * 32 / shape[0], abs=0.1)
    assert (small.sum(0) @ columns) / total == pytest.approx((left + 20) * 40 / shape[1], abs=0.1)


# --- references ------------------------------------------------------------------------------------------------------


def bilinear(image: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the image at the given places (pixel centres at i + 0.5) of rows and columns, its edges going on."""
    for axis, centres in ((0, rows), (1, columns)):
        places = np.clip(centres - 0.5, 0, image.shape[axis] - 1)
        low = np.minimum(places.astype(int), max(image.shape[axis] - 2, 0))
        high = np.minimum(low + 1, image.shape[axis] - 1)
        weight = (places - low).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        image = np.take(image, low, axis) * (1 - weight) + np.take(image, high, axis) * weight
    return image


@pytest.mark.parametrize("seed", range(12))
def test_a_crop_is_one_affine_map_read_bilinearly_and_at_the_nearest_pixel(seed: int) -> None:
    image, mask = noise(90 + seed, 130, seed)
    view = draw_view(mask, plain((64, 56), scale=(1.0, 2.5)), np.random.default_rng(seed))
    places = []
    for source, window in zip(view.source, view.window, strict=True):
        taken, filled = source.stop - source.start, window.stop - window.start
        assert taken < 2 * filled
        places.append((np.arange(filled) + 0.5) * taken / filled)
    inside = image[view.source].astype(float)
    assert np.abs(view.read_image(image) - bilinear(inside, *places)).max() <= 1
    clear = np.ix_(*[np.abs(place - np.round(place)) > 0.01 for place in places])
    nearest_mask = mask[view.source][np.ix_(*[place.astype(int) for place in places])]
    np.testing.assert_array_equal(view.read_mask(mask)[clear], nearest_mask[clear])


@pytest.mark.parametrize("seed", range(8))
def test_a_rotation_turns_the_output_about_its_centre(seed: int) -> None:
    """The mask is what a rotation of the places, written out, finds at the nearest pixel."""
    _, mask = noise(70, 95, seed)
    size = (48, 40)
    turned = augment(CODE[mask], mask, plain(size, rotate=90.0), np.random.default_rng(seed))[1]
    # The first six numbers are those of mixing; the next are the scale and the angle.
    angle = np.deg2rad(90 * (2 * np.random.default_rng(seed).random(8)[7] - 1))
    y, x = np.mgrid[: size[0], : size[1]] + 0.5 - np.array(size).reshape(2, 1, 1) / 2
    column = (np.cos(angle) * x - np.sin(angle) * y + size[1] / 2) * 95 / size[1]
    row = (np.sin(angle) * x + np.cos(angle) * y + size[0] / 2) * 70 / size[0]
    inside = (row >= 0) & (row < 70) & (column >= 0) & (column < 95)
    clear = (np.abs(row - np.round(row)) > 0.05) & (np.abs(column - np.round(column)) > 0.05)
    wanted = np.where(inside, mask[np.clip(row, 0, 69).astype(int), np.clip(column, 0, 94).astype(int)], IGNORE)
    assert clear.mean() > 0.7
    np.testing.assert_array_equal(turned[clear], wanted[clear])


def test_angles_reach_the_largest_on_both_sides() -> None:
    labels = np.zeros((101, 101), np.uint8)
    labels[50, 55:] = 1  # a hand that points to the right
    angles = []
    for seed in range(200):
        found = augment(CODE[labels], labels, plain((101, 101), rotate=30.0), rng_for(seed, 0, ""))[1]
        rows, columns = np.nonzero(found == 1)
        angles.append(np.degrees(np.arctan2(rows.mean() - 50, columns.mean() - 50)))
    assert -31 < min(angles) < -28
    assert 28 < max(angles) < 31
    assert abs(np.mean(angles)) < 4


# --- the protocol ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "rows"), [((100, 200), 64), ((100, 400), 64), ((100, 800), 32), ((100, 6400), 4)])
def test_long_images_are_limited_by_their_long_side(shape: tuple[int, int], rows: int) -> None:
    """At scale 1 an image is 64 pixels high, or 4 * 64 = 256 pixels wide."""
    image, mask = noise(*shape)
    labels = augment(image, mask, plain((64, 64), scale=(1.0, 1.0)), rng_for(0, 0, ""))[1]
    assert (labels != IGNORE).any(axis=1).sum() == rows
    assert (labels != IGNORE).any(axis=0).all()


def share(mask: np.ndarray) -> float:
    counts = np.bincount(mask[mask != IGNORE])
    return counts.max() / counts.sum()


def crops(mask: np.ndarray, limit: float, count: int = 150) -> list[np.ndarray]:
    image = np.zeros((*mask.shape, 3), np.uint8)
    config = plain((64, 64), scale=(1.5, 1.5), cat_max_ratio=limit)
    return [augment(image, mask, config, rng_for(0, i, ""))[1] for i in range(count)]


def test_crops_with_too_much_of_a_class_are_drawn_anew() -> None:
    mask = np.zeros((120, 160), np.uint8)
    mask[:, 80::2] = 1  # about half of all crops lie mostly on the left, where class 0 is alone
    free, limited = crops(mask, 1.0), crops(mask, 0.75)
    assert np.mean([share(crop) > 0.75 for crop in free]) > 0.4
    assert np.mean([share(crop) > 0.77 for crop in limited]) < 0.03
    # A crop that was right at once stays, and nothing else is kept.
    for before, after in zip(free, limited, strict=True):
        assert (before == after).all() or share(before) > 0.73


def test_ignored_pixels_count_for_no_class() -> None:
    mask = np.full((120, 160), IGNORE, np.uint8)
    mask[:, :100:4] = 0
    mask[:, 2:100:4] = 1
    # Every crop with labels is even, though most of it is ignored; those without labels are drawn anew.
    for before, after in zip(crops(mask, 1.0), crops(mask, 0.75), strict=True):
        assert (after != IGNORE).any()
        assert (before == after).all() or (before == IGNORE).all()


def test_where_no_crop_will_do_one_is_taken_all_the_same() -> None:
    for crop in crops(np.zeros((120, 160), np.uint8), 0.5, count=3):
        assert (crop == 0).all()


# --- fit -------------------------------------------------------------------------------------------------------------


def test_fit_squash_is_the_training_path() -> None:
    image, mask = noise(75, 130)
    for size in ((64, 64), (20, 33), (130, 75)):
        np.testing.assert_array_equal(
            Fit(size, "squash")(image), augment(image, mask, plain(size), rng_for(0, 0, ""))[0]
        )


@settings(max_examples=40)
@given(height=sides, width=sides, size=sizes)
def test_fit_short_side_keeps_the_ratio(height: int, width: int, size: tuple[int, int]) -> None:
    rows, columns, _ = Fit(size, "short-side")(noise(height, width)[0]).shape
    assert min(rows, columns) == min(size)
    assert abs(max(rows, columns) - max(height, width) * min(size) / min(height, width)) <= 0.5 + 1e-9


def test_fit_at_the_right_size_changes_nothing() -> None:
    image, _ = noise(40, 70)
    np.testing.assert_array_equal(Fit((40, 40), "short-side")(image), image)
    np.testing.assert_array_equal(Fit((40, 70), "squash")(image), image)


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
        (augment(image, mask, plain((4, 5), flip=0.25), rng_for(0, i, "x"))[1] == mask[:, ::-1]).all()
        for i in range(400)
    ]
    assert np.mean(flipped) == pytest.approx(0.25, abs=0.08)


def test_the_same_generator_gives_the_same_sample_and_inputs_stay() -> None:
    image, mask = noise(60, 80)
    before = image.copy(), mask.copy()
    partner = noise(50, 40, 1)
    for name in ("paper", "standard", "strong"):
        for seed in range(10):
            first, again = (
                augment(image, mask, preset(name, (32, 32)), rng_for(seed, 1, "x"), lambda _: partner) for _ in range(2)
            )
            np.testing.assert_array_equal(first[0], again[0])
            np.testing.assert_array_equal(first[1], again[1])
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(mask, before[1])
    for mine, its in zip(partner, noise(50, 40, 1), strict=True):
        np.testing.assert_array_equal(mine, its)
