"""Parts of another sample, parts cut out, and the preset that does everything."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import CODE, assert_aligned, blobs, largest_step, noise, plain, preset, with_borders

from segfit.data.augment import augment, rng_for
from segfit.labels import IGNORE


def coded(height: int, width: int, seed: int, labels: slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
    """Return an image that shows its mask; the mask has the labels of the slice only."""
    chosen = np.arange(len(CODE), dtype=np.uint8)[labels]
    mask = chosen[blobs(height, width, seed, cell=8) % len(chosen)]
    return CODE[mask], mask


def mixed(seed: int, **changes: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return image and mask of a sample mixed with a partner, and the mask of the partner as it is pasted.

    The sample has the labels 0..3, its partner 4..8, and nothing but the mixing happens to them.
    """
    mine, its = coded(40, 60, seed, slice(0, 4)), coded(40, 60, seed + 100, slice(4, None))
    image, mask = augment(*mine, plain((40, 60), **changes), rng_for(seed, 0, ""), lambda _: its)
    pasted = mask >= 4
    np.testing.assert_array_equal(mask[~pasted], mine[1][~pasted])
    np.testing.assert_array_equal(mask[pasted], its[1][pasted])
    np.testing.assert_array_equal(image, CODE[mask])
    return image, mask, its[1]


@pytest.mark.parametrize("seed", range(10))
def test_class_mix_pastes_all_of_half_of_the_partners_classes(seed: int) -> None:
    _, mask, its = mixed(seed, class_mix=1.0)
    chosen = set(np.unique(mask)) & set(np.unique(its))
    assert len(chosen) == len(np.unique(its)) // 2
    np.testing.assert_array_equal(mask >= 4, np.isin(its, list(chosen)))


@pytest.mark.parametrize("seed", range(10))
def test_copy_paste_pastes_whole_regions_of_up_to_three_classes(seed: int) -> None:
    _, mask, its = mixed(seed, copy_paste=1.0)
    labels = np.unique(mask[mask >= 4])
    assert 1 <= len(labels) <= 3
    for label in labels:
        _, regions = cv2.connectedComponents((its == label).astype(np.uint8), connectivity=4)
        chosen = np.unique(regions[mask == label])
        assert len(chosen) == 1
        np.testing.assert_array_equal(mask == label, regions == chosen[0])


def test_which_classes_are_pasted_is_chance() -> None:
    for changes in ({"class_mix": 1.0}, {"copy_paste": 1.0}):
        seen = {
            tuple(np.unique(mixed_mask[mixed_mask >= 4])) for mixed_mask in (mixed(s, **changes)[1] for s in range(30))
        }
        assert len(seen) > 5
        assert {label for labels in seen for label in labels} == set(range(4, 9))


def test_a_partner_of_one_class_or_of_none_replaces_nothing() -> None:
    mine = coded(20, 20, 0)
    for label in (7, IGNORE):
        other = np.full((20, 20, 3), 9, np.uint8), np.full((20, 20), label, np.uint8)
        image, mask = augment(*mine, plain((20, 20), class_mix=1.0), rng_for(0, 0, ""), lambda _, other=other: other)
        np.testing.assert_array_equal(image, mine[0])
        np.testing.assert_array_equal(mask, mine[1])
    image, mask = augment(*mine, plain((20, 20), copy_paste=1.0), rng_for(0, 0, ""), lambda _: other)
    np.testing.assert_array_equal(mask, mine[1])


def test_a_sample_is_mixed_as_often_as_said_and_in_one_way() -> None:
    asked = []

    def partner(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        asked.append(rng.random())
        return np.zeros((8, 8, 3), np.uint8), np.repeat(np.array([[4, 5, 6, 7, 8, 4, 5, 6]], np.uint8), 8, 0)

    for i in range(600):
        augment(*coded(8, 8, 0, slice(0, 4)), plain((8, 8), class_mix=0.2, copy_paste=0.3), rng_for(0, i, ""), partner)
    assert len(asked) / 600 == pytest.approx(0.5, abs=0.07)
    assert len(set(asked)) == len(asked)


def test_mixing_without_a_partner_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(AssertionError):
        augment(*coded(8, 8, 0), plain((8, 8), copy_paste=0.1), rng_for(0, 0, ""))


# --- cut-out ---------------------------------------------------------------------------------------------------------


def test_cut_out_takes_a_rectangle_away_and_nothing_else() -> None:
    image, mask = noise(40, 60)
    image = np.maximum(image, 1)
    corners = []
    for seed in range(60):
        cut, labels = augment(image, mask, plain((40, 60), cutout=1.0), rng_for(seed, 0, ""))
        gone = labels == IGNORE
        rows, columns = np.flatnonzero(gone.any(1)), np.flatnonzero(gone.any(0))
        assert gone.sum() == len(rows) * len(columns)
        assert 4 <= len(rows) <= 20
        assert 6 <= len(columns) <= 30
        np.testing.assert_array_equal(gone, (cut == 0).all(2))
        np.testing.assert_array_equal(cut[~gone], image[~gone])
        np.testing.assert_array_equal(labels[~gone], mask[~gone])
        corners.append((rows[0] / (40 - len(rows)), columns[0] / (60 - len(columns))))
    np.testing.assert_allclose(np.mean(corners, 0), 0.5, atol=0.15)


# --- together --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["blur", "noise", "brightness", "cutout", "class_mix", "copy_paste"])
def test_a_setting_changes_only_what_it_is_about(name: str) -> None:
    """What else happens to a sample stays the same when a setting is turned on."""
    base = preset("standard", (48, 48), rotate=15.0)
    mine, its = coded(60, 80, 0, slice(0, 4)), coded(70, 50, 1, slice(4, None))
    for epoch in range(12):
        before = augment(*mine, base, rng_for(0, epoch, ""))
        image, mask = augment(*mine, base.model_copy(update={name: 0.9}), rng_for(0, epoch, ""), lambda _: its)
        changed = mask != before[1]
        assert ((mask[changed] >= 4) | (mask[changed] == IGNORE)).all()
        if name in ("cutout", "class_mix", "copy_paste"):
            np.testing.assert_array_equal(image[~changed], before[0][~changed])
        else:
            assert not changed.any()


@settings(max_examples=60)
@given(
    shapes=st.tuples(*[st.integers(1, 90)] * 4),
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    seed=st.integers(0, 99),
)
def test_strong_takes_any_size_and_invents_no_label(shapes, size, seed) -> None:
    (image, mask), its = noise(*shapes[:2], seed), noise(*shapes[2:], seed + 1)
    its[1][:] += 100
    config = preset("strong", size, blur=1.0, noise=1.0, cutout=0.5, class_mix=0.5, copy_paste=0.5)
    found, labels = augment(image, mask, config, rng_for(seed, 0, ""), lambda _: its)
    assert found.shape == (*size, 3)
    assert labels.shape == size
    assert found.dtype == labels.dtype == np.uint8
    assert set(np.unique(labels)) <= {*np.unique(mask), *np.unique(its[1]), IGNORE}


@settings(max_examples=60)
@given(seed=st.integers(0, 9999), mix=st.sampled_from(["class_mix", "copy_paste"]))
def test_image_and_mask_agree_in_mixed_samples(seed: int, mix: str) -> None:
    size, scale = (48, 64), (0.5, 2.0)
    pairs = []
    for shape in ((110, 150), (130, 90)):
        labels = blobs(*shape, seed + len(pairs), cell=30)
        pairs.append((CODE[labels], with_borders(labels, *largest_step(shape, size, scale))))
    config = plain(size, scale=scale, flip=0.5, vertical_flip=0.5, rotate=20.0, cutout=0.5, **{mix: 1.0})
    assert_aligned(*augment(*pairs[0], config, rng_for(seed, 0, ""), lambda _: pairs[1]))
