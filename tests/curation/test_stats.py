import json
from itertools import combinations
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segfit.curation.names import short_names
from segfit.curation.opening import open_dataset
from segfit.curation.stats import dataset_stats
from segfit.curation.stats.mosaic import choose
from segfit.curation.stats.pairs import pairs
from segfit.curation.stats.suggestions import effective_number, median_frequency
from segfit.curation.stats.words import listed
from segfit.data.decode import read_image
from segfit.errors import DataError, RecipeError

NAMES = ("sky", "road", "car, auto", "sign", "moon")


def write(root, masks, images=None):
    """Write masks (by split) as a dataset whose classes are `NAMES`; images are random unless given."""
    rng = np.random.default_rng(5)
    for split, arrays in masks.items():
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for i, mask in enumerate(arrays):
            picture = images[split][i] if images else rng.integers(0, 256, (*mask.shape, 3), dtype=np.uint8)
            Image.fromarray(picture).save(root / f"images/{split}/{i}.png", compress_level=0)
            Image.fromarray(mask).save(root / f"masks/{split}/{i}.png")
    (root / "classes.txt").write_text("\n".join(NAMES))
    return root


def random_masks(seed, count, ids=(0, 1, 2, 3, 255)):
    rng = np.random.default_rng(seed)
    return [
        rng.choice(rng.permutation(ids)[: rng.integers(1, len(ids) + 1)], size=rng.integers(1, 30, 2)).astype(np.uint8)
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def masks():
    return {"train": random_masks(1, 9), "val": random_masks(2, 5, (0, 2, 255))}


@pytest.fixture(scope="module")
def stats(masks, tmp_path_factory):
    return dataset_stats(open_dataset(write(tmp_path_factory.mktemp("random"), masks)))


@pytest.fixture(scope="module")
def drawn(scenes):
    return dataset_stats(open_dataset(scenes))


# --- counts against brute force --------------------------------------------------------------------------------------


def test_classes_are_counted_in_every_split_and_overall(stats, masks):
    facts = stats.facts()
    for split, arrays in {**masks, None: masks["train"] + masks["val"]}.items():
        found = facts["splits"][split] if split else facts["overall"]
        flat = np.concatenate([mask.ravel() for mask in arrays])
        assert found["images"] == len(arrays)
        assert found["pixels"] == flat.size
        assert found["ignored"] == pytest.approx(np.mean(flat == 255))
        assert {row["id"] for row in found["classes"]} == set(flat.tolist()) - {255}
        for row in found["classes"]:
            i = row["id"]
            shown = [mask for mask in arrays if (mask == i).any()]
            assert row["name"] == NAMES[i]
            assert row["pixels"] == np.sum(flat == i)
            assert row["share"] == pytest.approx(np.mean(flat == i))
            assert row["share_of_annotated"] == pytest.approx(np.mean(flat[flat != 255] == i))
            assert row["images"] == len(shown)
            assert row["share_where_shown"] == pytest.approx(row["pixels"] / sum(mask.size for mask in shown))
        assert [row["pixels"] for row in found["classes"]] == sorted(
            (row["pixels"] for row in found["classes"]), reverse=True
        )


def test_coverage_adds_up_the_most_common_classes(stats, masks):
    flat = np.concatenate([mask.ravel() for mask in masks["train"]])
    counts = sorted((int(np.sum(flat == i)) for i in range(4)), reverse=True)
    for k, row in enumerate(stats.facts()["splits"]["train"]["coverage"], 1):
        assert row["k"] == k
        assert row["of_all"] == pytest.approx(sum(counts[:k]) / flat.size)
        assert row["of_annotated"] == pytest.approx(sum(counts[:k]) / np.sum(flat != 255))
    assert row["of_annotated"] == 1


def test_co_occurrence_counts_the_images_that_show_both(stats, masks):
    arrays = masks["train"] + masks["val"]
    found = stats.facts()["co_occurrence"]
    ids = [NAMES.index(name) for name in found["classes"]]
    assert found["images"] == [
        [sum((mask == a).any() and (mask == b).any() for mask in arrays) for b in ids] for a in ids
    ]


def test_pairs_are_those_that_meet_more_often_than_chance(drawn):
    tally, found = drawn.overall, pairs(drawn.overall)
    shown, total = tally.census.pixels > 0, len(tally.records)
    lifts = {}
    for a, b in combinations(range(shown.shape[1]), 2):
        both = int((shown[:, a] & shown[:, b]).sum())
        if both >= 5:
            lifts[frozenset((a, b))] = both / total / (shown[:, a].mean() * shown[:, b].mean())
    best = sorted((lift for lift in lifts.values() if lift >= 2), reverse=True)[:20]
    assert len(best) > 5
    assert [pair.lift for pair in found] == pytest.approx(best)
    for pair in found:
        assert lifts[frozenset((pair.first, pair.second))] == pytest.approx(pair.lift)
        assert pair.given_first == pytest.approx((shown[shown[:, pair.first], pair.second]).mean())
        assert pair.given_second == pytest.approx((shown[shown[:, pair.second], pair.first]).mean())
        assert pair.given_first >= pair.given_second


@settings(max_examples=25)
@given(st.lists(st.integers(0, 2**5 - 1), min_size=1, max_size=40), st.integers(1, 45))
def test_chosen_images_show_more_and_more_classes(shows, count):
    pixels = np.array([[20 * (bits >> i & 1) for i in range(5)] for bits in shows])
    chosen = choose(SimpleNamespace(census=SimpleNamespace(sizes=np.full((len(shows), 2), 10), pixels=pixels)), count)
    assert len(set(chosen)) == len(chosen) == min(count, len(shows))
    seen, gains = 0, []
    for i in chosen:
        gains.append((shows[i] | seen).bit_count() - seen.bit_count())
        seen |= shows[i]
    assert gains == sorted(gains, reverse=True)
    everything = int(np.bitwise_or.reduce(shows))
    assert count < 5 or seen == everything


# --- sizes and colours -----------------------------------------------------------------------------------------------


def test_mean_and_deviation_are_exact(stats, masks):
    root = stats.dataset.recipe.data.root
    for split in masks:
        pixels = np.concatenate(
            [read_image(path).reshape(-1, 3) for path in sorted((root / "images" / split).iterdir())]
        )
        found = stats.facts()["splits"][split]["colors"]
        np.testing.assert_allclose(found["mean"], pixels.mean(0) / 255, rtol=1e-14)
        np.testing.assert_allclose(found["std"], pixels.std(0) / 255, rtol=1e-13)


def test_sums_are_whole_numbers_even_of_large_bright_images(tmp_path):
    picture = np.random.default_rng(0).integers(250, 256, (1203, 1501, 3), dtype=np.uint8)
    mask = np.zeros(picture.shape[:2], np.uint8)
    found = dataset_stats(open_dataset(write(tmp_path, {"train": [mask]}, {"train": [picture]}))).overall
    wide = picture.reshape(-1, 3).astype(np.int64)
    assert found.sums.tolist() == [wide.sum(0).tolist()]
    assert found.squares.tolist() == [(wide**2).sum(0).tolist()]


def test_an_even_gray_has_no_deviation(tmp_path):
    picture = np.full((301, 217, 3), 137, np.uint8)
    found = dataset_stats(
        open_dataset(write(tmp_path, {"train": [np.zeros((301, 217), np.uint8)]}, {"train": [picture]}))
    ).overall.colors
    assert found.std == (0, 0, 0)
    assert found.mean == pytest.approx((137 / 255,) * 3)


def test_sizes(stats, masks):
    shapes = [mask.shape for mask in masks["train"]]
    found = stats.facts()["splits"]["train"]["sizes"]
    for name, values in {
        "height": [h for h, _ in shapes],
        "width": [w for _, w in shapes],
        "short_side": [min(shape) for shape in shapes],
        "aspect": [w / h for h, w in shapes],
    }.items():
        assert found[name] == {"min": min(values), "median": np.median(values), "max": max(values)}
    assert found["distinct"] == len(set(shapes))
    assert sum(row["images"] for row in found["most_common"]) == len(shapes)


# --- splits ----------------------------------------------------------------------------------------------------------


def test_classes_that_a_split_lacks_are_named(stats):
    facts = stats.facts()
    assert facts["missing"]["train"] == ["moon"]
    assert facts["missing"]["val"] == ["road", "sign", "moon"]
    assert facts["only_outside_training"] == []


def test_classes_only_in_validation_are_named(tmp_path):
    masks = {"train": [np.zeros((4, 4), np.uint8)], "val": [np.full((4, 4), 3, np.uint8)]}
    found = dataset_stats(open_dataset(write(tmp_path, masks)))
    assert found.facts()["only_outside_training"] == ["sign"]


def test_only_the_wanted_split_is_counted(scenes, drawn):
    found = dataset_stats(open_dataset(scenes), ["validation"])
    assert list(found.splits) == ["validation"]
    assert found.overall.pixels.tolist() == drawn.splits["validation"].pixels.tolist()
    assert found.base == "validation"
    assert found.fingerprint == drawn.fingerprint


def test_limits_of_the_recipe_hold(scenes):
    found = dataset_stats(open_dataset(scenes, ["data.limit_train=3"]))
    assert [len(tally.records) for tally in found.splits.values()] == [3, 5]


def test_a_run_and_its_statistics_have_one_fingerprint(trained, drawn):
    environment = json.loads((trained / "environment.json").read_text())
    assert (
        dataset_stats(open_dataset(trained)).fingerprint == environment["dataset"]["fingerprint"] == drawn.fingerprint
    )


def test_progress_counts_to_all_images(scenes):
    seen = []
    dataset_stats(open_dataset(scenes), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 17) for i in range(1, 18)]


def test_scene_categories_are_counted(drawn):
    scenes = drawn.facts()["overall"]["scenes"]
    assert sum(scenes.values()) == 17
    assert list(scenes.values()) == sorted(scenes.values(), reverse=True)


def test_published_and_counted_shares_of_the_scenes_agree(drawn):
    # write_scenes counts while it draws; the statistics read the files.
    counted = drawn.overall.pixels / drawn.overall.area
    np.testing.assert_allclose(counted, drawn.overall.census.table.ratios, atol=6e-7)


def test_a_pair_of_two_sizes_is_refused(tmp_path):
    root = write(tmp_path, {"train": [np.zeros((4, 6), np.uint8)]})
    cv2.imwrite(str(root / "images/train/0.png"), np.zeros((6, 4, 3), np.uint8))
    with pytest.raises(DataError, match=r"0\.png: the mask is 6x4 and its image 4x6 pixels"):
        dataset_stats(open_dataset(root))


def test_nothing_annotated_is_a_fact_not_a_failure(tmp_path):
    found = dataset_stats(open_dataset(write(tmp_path, {"train": [np.full((4, 4), 255, np.uint8)]})))
    facts = found.facts()
    assert facts["overall"]["ignored"] == 1
    assert facts["overall"]["classes"] == facts["overall"]["coverage"] == []
    assert [suggestion["name"] for suggestion in facts["suggestions"]] == ["crop size"]


# --- suggestions -----------------------------------------------------------------------------------------------------


def named(stats, name):
    return next((suggestion for suggestion in stats.suggestions if suggestion.name == name), None)


def striped(rows):
    """Return a mask whose class i covers `rows[i]` rows."""
    return np.repeat(np.arange(len(rows)), rows).astype(np.uint8)[:, None].repeat(40, 1)


@pytest.mark.parametrize(
    ("sides", "expected"),
    [((100, 100, 100), 96), ((64, 200, 330), 192), ((20, 20, 20), 32), ((513, 530, 530), 512), ((900, 900, 2000), 512)],
)
def test_the_crop_fits_half_of_the_images(tmp_path, sides, expected):
    masks = {"train": [np.zeros((side, side + 40), np.uint8) for side in sides]}
    found = named(dataset_stats(open_dataset(write(tmp_path, masks))), "crop size")
    assert found.changes == {"augment": {"size": [expected, expected]}}
    assert found.applied == (expected == 512)


def test_class_weights_balance_by_the_median(tmp_path):
    # In its images, class 0 covers 96 of 100 rows, class 1 three of 100, class 3 one of 50.
    masks = {"train": [striped([97, 3]), striped([95, 3, 0, 2])]}
    found = named(dataset_stats(open_dataset(write(tmp_path, masks))), "class weights")
    assert found.changes["loss"]["class_weights"] == pytest.approx([0.03 / 0.96, 1, 1, 0.03 / 0.02, 1], rel=1e-2)
    assert "96 times" in found.reason


def test_even_classes_need_no_weights(tmp_path):
    found = dataset_stats(open_dataset(write(tmp_path, {"train": [striped([50, 30, 10, 10])]})))
    assert named(found, "class weights") is None


def test_rare_classes_suggest_rare_sampling(tmp_path):
    masks = {"train": [striped([6, 4, 0, 1] if i == 7 else [6, 4]) for i in range(60)]}
    found = named(dataset_stats(open_dataset(write(tmp_path, masks))), "sampling")
    assert found.changes == {"data": {"sampling": "rare"}}
    assert "1 of 5 classes is in fewer than 2 %" in found.reason
    assert "sign, is in one of 60" in found.reason


def test_the_suggested_classes_cover_nine_tenths(drawn):
    found = named(drawn, "top-k")
    top = found.changes["labels"]["top"]
    covered = drawn.splits["training"].coverage()[:, 0]
    assert covered[top - 1] >= 0.9 > covered[top - 2]


def test_every_snippet_is_a_recipe_that_trains_these_classes(drawn, scenes):
    from segfit.config import build_recipe, merge
    from segfit.parts import build_source, label_space, resolve

    for suggestion in drawn.suggestions:
        tree = merge({"data": {"name": "ade20k", "root": str(scenes)}}, yaml.safe_load(suggestion.snippet()))
        recipe = resolve(build_recipe(tree))
        labels = label_space(recipe, build_source(recipe))
        weights = recipe.loss.options.get("class_weights")
        assert weights is None or len(weights) == len(labels)


def test_what_the_recipe_says_already_is_marked(scenes):
    found = dataset_stats(open_dataset(scenes, ["augment.size=[64,64]", "labels.top=9", "labels.ratios=dataset"]))
    assert named(found, "crop size").applied
    assert not named(found, "top-k").applied
    weights = found.facts()["class_weights"]
    assert len(weights["classes"]) == len(weights["median_frequency"]) == len(weights["effective_number"]) == 9


@pytest.mark.parametrize("ratios", ["published", "dataset"])
def test_a_wrong_choice_of_classes_is_refused_before_anything_is_read(scenes, ratios):
    opened = open_dataset(scenes, ["labels.top=900", f"labels.ratios={ratios}"])
    with pytest.raises(RecipeError, match=r"labels\.top"):
        dataset_stats(opened, progress=lambda done, total: pytest.fail("read a file"))


def test_too_many_classes_for_a_model_are_still_counted(tmp_path):
    root = write(tmp_path, {"train": [np.zeros((4, 4), np.uint8)]})
    (root / "classes.txt").write_text("\n".join(f"class {i}" for i in range(400)))
    found = dataset_stats(open_dataset(root))
    assert found.facts()["class_weights"] is None
    assert named(found, "top-k").changes["labels"]["top"] == 1


@settings(max_examples=50)
@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=30))
def test_median_frequency_makes_classes_equal(frequency):
    weights = median_frequency(np.array(frequency))
    np.testing.assert_allclose(weights * frequency, np.median(frequency))


@settings(max_examples=50)
@given(st.lists(st.integers(1, 20000), min_size=1, max_size=30))
def test_effective_number_lies_between_no_and_inverse_weights(images):
    counts = np.array(images)
    weights = effective_number(counts)
    assert weights.mean() == pytest.approx(1)
    np.testing.assert_allclose(effective_number(counts, 0), 1)
    inverse = (1 / counts) / (1 / counts).mean()
    np.testing.assert_allclose(effective_number(counts, 1 - 1e-9), inverse, rtol=1e-3)
    order = np.argsort(counts, kind="stable")
    assert (np.diff(weights[order]) <= 1e-12).all()


# --- words -----------------------------------------------------------------------------------------------------------


def test_names_are_cut_only_where_they_stay_apart():
    assert short_names(["wall", "screen, crt", "screen, projection", "car, auto"]) == [
        "wall", "screen, crt", "screen, projection", "car",
    ]  # fmt: skip


def test_long_lists_end_in_a_number():
    assert listed(["a"]) == "a"
    assert listed(["a", "b"]) == "a and b"
    assert listed(list("abcdefg")) == "a, b, c, d, e, f and g"
    assert listed(list("abcdefgh")) == "a, b, c, d, e, f and 2 more"


# --- real images -----------------------------------------------------------------------------------------------------


def test_ade20k_mini(real_data):
    overall = dataset_stats(open_dataset(real_data / "ade20k-mini")).facts()["overall"]
    assert overall["images"] == 752
    assert round(overall["coverage"][9]["of_all"], 3) == 0.606
    assert round(overall["ignored"], 2) == 0.08
    red, green, blue = overall["colors"]["mean"]
    assert red == green == blue  # its images are gray


def test_camvid(real_data):
    found = dataset_stats(open_dataset(real_data / "camvid", ["data.ignore=[11]"]), ["val"])
    shares = {row["name"]: row["share_of_annotated"] for row in found.facts()["overall"]["classes"]}
    assert list(shares)[:2] == ["road", "building"]
    assert shares["road"] == pytest.approx(0.29, abs=0.01)
    assert shares["bicyclist"] == pytest.approx(0.023, abs=0.001)
    assert found.facts()["overall"]["sizes"]["most_common"] == [{"height": 360, "width": 480, "images": 101}]
