"""Intervals, differences and corrections against plain loops, and what must hold for any counts."""

import json
import math
from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from segfit.comparison.entrants import Entrant
from segfit.comparison.statistics import Statistics, study
from segfit.comparison.statistics.corrections import holm
from segfit.comparison.statistics.differences import class_deltas
from segfit.comparison.statistics.influence import image_spread, influence
from segfit.comparison.statistics.ratios import RATIOS, Ratios
from segfit.comparison.statistics.resampling import BLOCK, LEAST, MOST, draws, how_many, resample
from segfit.comparison.statistics.samples import difference_spread, sample, score_spread
from segfit.comparison.statistics.spread import Part, Seeds, Spread, with_seeds
from segfit.evaluation.metrics import ClassCounts, macro_dice, macro_iou, per_image_dice, scores_from_counts


def counts(seed: int, images: int = 30, classes: int = 5, skill: float = 0.7, world: int = 0) -> ClassCounts:
    """Return counts on the images of `world`, as a model of `skill` with luck `seed` would have them."""
    there, own = np.random.default_rng(world), np.random.default_rng([seed, 7])
    presence = np.geomspace(0.9, 0.15, classes)
    target = np.where(there.random((images, classes)) < presence, there.integers(1, 5000, (images, classes)), 0)
    target[:, 0] += 1
    hard = there.normal(0, 0.1, (images, 1))
    hits = (target * np.clip(skill + hard + own.normal(0, 0.1, target.shape), 0, 1)).astype(np.int64)
    beside = np.where(own.random(target.shape) < presence, own.integers(0, 900, target.shape), 0)
    return ClassCounts(hits=hits, target=target, prediction=hits + beside)


def entrant(*names: str) -> Entrant:
    rows = [
        SimpleNamespace(
            name=name, number=number, run=SimpleNamespace(recipe=SimpleNamespace(train=SimpleNamespace(seed=number)))
        )
        for number, name in enumerate(names)
    ]
    return Entrant(name=names[0], rows=tuple(rows))  # type: ignore[arg-type]


def studied(runs: dict[str, ClassCounts], groups: list[tuple[str, ...]] | None = None) -> Statistics:
    return study([entrant(*names) for names in groups or [(name,) for name in runs]], runs, "dice")


# --- ratios ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_every_ratio_is_the_score_of_that_name(seed: int) -> None:
    given_counts = counts(seed)
    total = given_counts.total()
    result = scores_from_counts(total)
    expected = {
        "dice": float(macro_dice(total)),
        "miou": float(macro_iou(total)),
        "pixel_accuracy": result.pixel_accuracy,
        "dice_per_image": per_image_dice(given_counts),
        "miou_per_image": float(macro_iou(given_counts).mean()),
    }
    assert expected.keys() == RATIOS.keys()
    for name, value in expected.items():
        assert RATIOS[name](given_counts).score == pytest.approx(value, abs=1e-12)


# --- the bootstrap ---------------------------------------------------------------------------------------------------


def loop_bootstrap(given_counts: ClassCounts, chosen: np.ndarray) -> float:
    """Score one resample image by image, the rule for missing classes written out."""
    hits, size = [0] * given_counts.hits.shape[1], [0] * given_counts.hits.shape[1]
    for image in chosen.tolist():
        for k in range(len(hits)):
            hits[k] += 2 * int(given_counts.hits[image, k])
            size[k] += int(given_counts.target[image, k]) + int(given_counts.prediction[image, k])
    total = given_counts.total()
    values = []
    for k in range(len(hits)):
        whole = int(total.target[k] + total.prediction[k])
        if whole:
            values.append(hits[k] / size[k] if size[k] else 2 * int(total.hits[k]) / whole)
    return math.fsum(values) / len(values)


@pytest.mark.parametrize("images", [3, 12])
def test_resampling_equals_a_plain_loop(images: int) -> None:
    runs = [counts(seed, images=images, classes=6) for seed in range(2)]
    found = resample([RATIOS["dice"](run) for run in runs], 40, seed=3)
    chosen = np.random.default_rng(3).integers(0, images, (40, images), dtype=np.int32)
    for run, values in zip(runs, found, strict=True):
        expected = [loop_bootstrap(run, row) for row in chosen]
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12)
    missing = [k for row in chosen for k in range(6) if not runs[0].target[row, k].any() and runs[0].target[:, k].any()]
    assert missing or images > 3, "the rule for missing classes was not tried"


def test_draws_are_the_same_every_time_and_have_the_right_size() -> None:
    blocks = list(draws(17, BLOCK + 3))
    assert [block.shape for block in blocks] == [(BLOCK, 17), (3, 17)]
    assert all((block.sum(axis=1) == 17).all() for block in blocks)
    assert all(np.array_equal(a, b) for a, b in zip(blocks, draws(17, BLOCK + 3), strict=True))
    mean = np.concatenate(blocks).mean(axis=0)
    assert np.abs(mean - 1).max() < 5 / BLOCK**0.5


def test_the_number_of_resamples_falls_with_the_work() -> None:
    assert how_many(1, 2000, 150) == MOST
    assert how_many(20, 2000, 150) == LEAST
    sizes = [how_many(runs, 2000, 150) for runs in range(1, 40)]
    assert sizes == sorted(sizes, reverse=True)


def test_resampled_spread_agrees_with_the_influence_where_no_class_is_rare() -> None:
    ratios = RATIOS["dice"](counts(1, images=400, classes=4))
    resampled = resample([ratios], 4000)[0]
    error = image_spread(influence(ratios)).variance ** 0.5
    assert resampled.std() == pytest.approx(error, rel=0.05)


# --- influence -------------------------------------------------------------------------------------------------------


def test_of_equal_images_it_is_the_usual_standard_error() -> None:
    values = np.random.default_rng(0).random(25)
    part = image_spread(influence(Ratios(values[:, None], np.ones((25, 1)))))
    assert part.variance == pytest.approx(values.var(ddof=1) / 25)
    interval = Spread((Part(part.variance, 24),)).interval(values.mean())
    expected = stats.t.interval(0.95, 24, loc=values.mean(), scale=stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx(expected)


def test_the_influence_is_the_derivative_of_the_score() -> None:
    ratios = RATIOS["miou"](counts(2, images=14))
    found = influence(ratios)
    weights = ratios.bottom / ratios.bottom.sum(axis=0)
    factor = np.sqrt(1 - 2 * weights + (weights**2).sum(axis=0))
    step = 1e-6
    for image in range(14):
        more = np.ones((14, 1))
        more[image] += step
        moved = (more * ratios.top).sum(axis=0) / (more * ratios.bottom).sum(axis=0)
        slope = (moved - ratios.classes) / step
        np.testing.assert_allclose(found.images[image] * factor[image], slope, atol=1e-6)


def test_the_correction_is_unbiased_for_few_images() -> None:
    """Classes in two or three images: the estimated variance is right on average, the plain one is far too small."""
    rng = np.random.default_rng(5)
    sizes = np.array([[1.0, 3.0, 0.0], [2.0, 1.0, 4.0], [0.0, 2.0, 5.0]])
    estimated, plain, scores = [], [], []
    for _ in range(4000):
        ratios = Ratios(sizes * (0.5 + 0.1 * rng.normal(size=sizes.shape)), sizes)
        estimated.append(image_spread(influence(ratios)).variance)
        weights = sizes / sizes.sum(axis=0)
        raw = (weights * (np.divide(ratios.top, sizes, where=sizes > 0, out=np.zeros((3, 3))) - ratios.classes)).sum(
            1
        ) / 3
        plain.append((raw**2).sum())
        scores.append(ratios.score)
    true = np.var(scores)
    assert np.mean(estimated) == pytest.approx(true, rel=0.06)
    assert np.mean(plain) < 0.7 * true


def test_a_class_in_one_image_gets_the_spread_of_the_others() -> None:
    rng = np.random.default_rng(1)
    bottom = np.ones((40, 3))
    bottom[1:, 2] = 0
    top = bottom * rng.normal(0.5, 0.1, bottom.shape)
    with_it = image_spread(influence(Ratios(top, bottom))).variance
    without = image_spread(influence(Ratios(top[:, :2], bottom[:, :2]))).variance
    # (1/3)^2 of the variance of one image, and two thirds of the others' score
    per_image = np.mean([top[:, k].var(ddof=1) for k in range(2)])
    assert with_it == pytest.approx(without * 4 / 9 + per_image / 9, rel=1e-6)


# --- spreads ---------------------------------------------------------------------------------------------------------


def test_one_source_of_chance_is_a_t_test() -> None:
    spread = Spread((Part(0.04, 9.0),))
    assert spread.p_value(0.5) == pytest.approx(2 * stats.t.sf(2.5, 9))
    assert spread.interval(0.5).high == pytest.approx(0.5 + 0.2 * stats.t.ppf(0.975, 9))


@given(image=st.floats(1e-6, 1.0), seed=st.floats(1e-6, 1.0), freedom=st.floats(1, 20), value=st.floats(0.01, 5))
def test_the_p_value_is_where_the_interval_begins_to_hold_zero(
    image: float, seed: float, freedom: float, value: float
) -> None:
    spread = Spread((Part(image, 50.0), Part(seed, freedom)))
    interval, p_value = spread.interval(value), spread.p_value(value)
    if abs(interval.low) > 1e-6 * value:
        assert (0 in interval) == (p_value > 0.05)
    assert spread.p_value(2 * value) <= p_value <= spread.p_value(value / 2)


def test_seeds_widen_an_interval_by_their_own_t() -> None:
    values = np.array([0.50, 0.54, 0.49])
    images = Part(1e-4, 100.0)
    spread = with_seeds(images, [Seeds(values, chance=2e-5)])
    seed_part = (values.var(ddof=1) - 2e-5) / 3
    half = (stats.t.ppf(0.975, 100) ** 2 * 1e-4 + stats.t.ppf(0.975, 2) ** 2 * seed_part) ** 0.5
    assert spread.interval(0.51).high == pytest.approx(0.51 + half)
    assert with_seeds(images, [Seeds(values[:1], 0.0)]).parts == (images,)
    # seeds that differ no more than the choice of images explains add nothing
    assert with_seeds(images, [Seeds(values, chance=1.0)]).parts == (images,)


def test_an_entrant_trained_once_borrows_the_spread_of_the_other() -> None:
    values = np.array([0.50, 0.54, 0.49])
    images = Part(1e-12, 100.0)
    spread = with_seeds(images, [Seeds(values, 0.0), Seeds(np.array([0.6]), 0.0)])
    result = stats.ttest_ind(values, [0.6], equal_var=True)
    assert spread.p_value(0.6 - values.mean()) == pytest.approx(result.pvalue, rel=1e-4)


def test_two_trained_once_borrow_the_spread_of_those_beside_them() -> None:
    several = [np.array([0.50, 0.54, 0.49]), np.array([0.61, 0.70])]
    images, once = Part(1e-4, 100.0), [Seeds(np.array([value]), 0.0) for value in (0.5, 0.6)]
    spread = with_seeds(images, once, [*once, *(Seeds(values, 3e-4) for values in several)])
    # Three degrees of freedom: two thirds of the chance of images are taken away.
    pooled = sum(np.square(values - values.mean()).sum() for values in several) / 3 - 2 / 3 * 3e-4
    assert spread.parts[1].freedom == 3
    assert spread.parts[1].variance == pytest.approx(2 * pooled)
    # Who was trained several times speaks for itself, and a group without such entrants says nothing.
    pair = [Seeds(several[0], 0.0), once[0]]
    assert with_seeds(images, pair, [Seeds(several[1], 0.0)]) == with_seeds(images, pair)
    assert with_seeds(images, once, once).parts == (images,)


def test_seeds_of_a_group_widen_the_differences_of_those_trained_once() -> None:
    runs = {f"a{seed}": counts(seed, skill=0.5 + 0.15 * seed) for seed in range(3)}
    runs |= {"b": counts(8, skill=0.7), "c": counts(9, skill=0.55)}
    alone = studied({name: runs[name] for name in "bc"}).difference("b", "c")
    pair = studied(runs, [("a0", "a1", "a2"), ("b",), ("c",)])
    beside = pair.difference("b", "c")
    assert beside.value == alone.value
    assert beside.interval.high - beside.interval.low > 2 * (alone.interval.high - alone.interval.low)
    assert (alone.distinguishable, beside.distinguishable) == (True, False)
    assert (alone.seeds, beside.seeds, beside.probability) == (False, True, 1 - beside.p_value / 2)
    widths = [
        [one.interval.high - one.interval.low for one in found.classes("b", "c") if one.interval is not None]
        for found in (studied({name: runs[name] for name in "bc"}), pair)
    ]
    assert np.mean(widths[1]) > np.mean(widths[0])


def test_classes_that_are_all_in_one_image_tell_no_spread() -> None:
    """As many classes as images, each in its own: nothing repeats, so nothing is claimed."""
    rng = np.random.default_rng(1)
    target = np.diag(np.full(12, 1000))

    def run() -> ClassCounts:
        hits = np.diag(rng.integers(300, 900, 12))
        return ClassCounts(hits=hits, target=target, prediction=hits)

    runs = {name: run() for name in "abc"}
    for groups in (None, [("a", "b"), ("c",)]):
        found = studied(runs, groups)
        for pair in found.differences:
            assert pair.value > 0
            assert (pair.p_value, pair.probability, pair.distinguishable) == (1.0, 0.5, False)
            assert (pair.interval.low, pair.interval.high) == (-1.0, 1.0)
            assert not any(one.distinguishable for one in found.classes(pair.better, pair.other))
        for one in found.standings:
            assert (one.interval.low, one.interval.high) == (0.0, 1.0)
            # Scores that do not tell classes apart are known as ever.
            assert one.scores["pixel_accuracy"].interval.low > 0
        math.fsum(json.loads(json.dumps(pair["p_value"])) for pair in found.to_facts()["differences"])


@pytest.mark.parametrize("images", [4, 5, 6, 7, 10, 20])
def test_a_class_in_five_equal_images_is_told(images: int) -> None:
    rng = np.random.default_rng(0)
    sizes = np.zeros((30, 2))
    sizes[:, 0], sizes[:images, 1] = 1, 777
    one, other = (sample([Ratios(sizes * rng.uniform(0.4, 0.6, sizes.shape), sizes)]) for _ in range(2))
    told = class_deltas(one, other, np.array([30, images]))[1]
    assert (told.p_value is not None) == (images >= 5)


# --- corrections -----------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_equals_its_definition(values: list[float]) -> None:
    found = holm(values)
    for i, value in enumerate(values):
        earlier = [j for j in range(len(values)) if (values[j], j) <= (value, i)]
        steps = []
        for j in earlier:
            smaller = sum((values[m], m) < (values[j], j) for m in range(len(values)))
            steps.append(min(1.0, values[j] * (len(values) - smaller)))
        assert found[i] == pytest.approx(max(steps))


def test_holm_by_hand() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([]) == []


# --- all of it -------------------------------------------------------------------------------------------------------


def test_the_order_of_runs_and_their_number_change_nothing() -> None:
    runs = {name: counts(seed, skill=0.5 + 0.06 * seed) for seed, name in enumerate("abc")}
    first = studied(runs).to_facts()
    for order in permutations("abc"):
        assert studied({name: runs[name] for name in order}).to_facts() == first
    pair = studied({name: runs[name] for name in "ba"}).difference("a", "b")
    assert pair.interval == studied(runs).difference("b", "a").interval


def test_the_order_of_images_changes_no_interval() -> None:
    runs = {name: counts(seed) for seed, name in enumerate("ab")}
    order = np.random.default_rng(0).permutation(30)
    mixed = {
        name: ClassCounts(hits=run.hits[order], target=run.target[order], prediction=run.prediction[order])
        for name, run in runs.items()
    }
    one, other = studied(runs), studied(mixed)
    for a, b in zip(one.standings, other.standings, strict=True):
        assert (a.interval.low, a.interval.high) == pytest.approx((b.interval.low, b.interval.high))


def test_identical_predictions_differ_by_exactly_nothing() -> None:
    found = studied({"a": counts(0), "b": counts(0), "c": counts(1, skill=0.4)})
    pair = found.difference("a", "b")
    assert (pair.value, pair.interval.low, pair.interval.high) == (0, 0, 0)
    assert pair.identical
    assert not pair.distinguishable
    assert pair.probability == 0.5
    assert pair.words() == "a and b scored exactly alike in every image."
    assert {standing.name for standing in found.tied} == {"a", "b"}
    assert not any(one.distinguishable for one in found.classes("a", "b"))


def test_a_clear_difference_is_claimed_and_chance_is_not() -> None:
    found = studied({"good": counts(0, skill=0.9), "bad": counts(1, skill=0.5), "bad too": counts(2, skill=0.5)})
    best = found.difference("good", "bad")
    assert best.distinguishable
    assert best.probability == 1
    assert best.words().startswith(f"good is better than bad by {best.value:.3f} (95 % interval ")
    tie = found.difference("bad", "bad too")
    assert not tie.distinguishable
    assert "are not distinguishable on these images" in tie.words()
    assert [standing.name for standing in found.tied] == ["good"]


def test_a_pair_is_surer_than_its_scores() -> None:
    """What makes an image hard is hard for both: the paired interval is narrower than two independent ones."""
    first, second = (sample([RATIOS["dice"](counts(seed, images=200))]) for seed in range(2))
    paired = difference_spread(first, second).variance
    assert paired < 0.8 * (score_spread(first).variance + score_spread(second).variance)


def test_probability_and_interval_never_contradict_each_other() -> None:
    for seed in range(6):
        runs = {"a": counts(seed, skill=0.70), "b": counts(seed + 50, skill=0.72), "b2": counts(seed + 90, skill=0.72)}
        for groups in ([("a",), ("b",)], [("a",), ("b", "b2")]):
            pair = studied({name: runs[name] for group in groups for name in group}, groups).differences[0]
            assert (pair.interval.low > 0) == (pair.p_value < 0.05)
            assert pair.seeds == (groups[1] != ("b",))
            if pair.seeds:
                assert pair.probability == 1 - pair.p_value / 2
            if abs(pair.interval.low) > 0.1 * pair.value:
                assert (pair.probability > 0.975) == (pair.interval.low > 0)


def test_intervals_end_where_scores_and_differences_end() -> None:
    """Two seeds that differ much leave nearly everything open, but no score beyond 0 and 1."""
    runs = {name: counts(seed, skill=skill) for seed, (name, skill) in enumerate(
        {"a1": 0.95, "a2": 0.3, "b1": 0.9, "b2": 0.2}.items())}  # fmt: skip
    found = studied(runs, [("a1", "a2"), ("b1", "b2")])
    (pair,) = found.differences
    samples = [sample([RATIOS["dice"](runs[f"{name}{seed}"]) for seed in (1, 2)]) for name in "ab"]
    raw = score_spread(samples[0]).interval(samples[0].value)
    assert raw.low < 0
    assert raw.high > 1
    assert (found.best.interval.low, found.best.interval.high) == (0, 1)
    apart = difference_spread(*samples)
    wide = apart.interval(pair.value)
    assert wide.low < -1
    assert wide.high > 1
    assert (pair.interval.low, pair.interval.high) == (-1, 1)
    assert pair.p_value == apart.p_value(pair.value)
    assert "(95 % interval \N{MINUS SIGN}1.000 to 1.000)" in pair.words()
    spans = [one.interval for one in found.classes("a1", "b1") if one.interval is not None]
    assert spans
    assert all(-1 <= span.low <= span.high <= 1 for span in spans)
    assert any(span.low == -1 for span in spans)


def test_many_pairs_need_more_than_one() -> None:
    """Among many equals the largest difference looks like one; corrected, it is none."""
    found = studied({f"run {seed}": counts(seed, images=60) for seed in range(14)})
    alone = [pair for pair in found.differences if pair.p_value < 0.05]
    assert alone, "91 pairs of equals, and none stands out: the test tests nothing"
    assert not any(pair.distinguishable for pair in found.differences)
    assert all(
        pair.words().endswith("would stand alone, but not among all the pairs that were looked at.") for pair in alone
    )


def test_single_classes_are_found_and_corrected() -> None:
    base, other = counts(0, images=120), counts(1, images=120)
    hits = other.hits.copy()
    hits[:, 2] //= 2
    found = studied({"a": base, "b": ClassCounts(hits=hits, target=other.target, prediction=other.prediction)})
    deltas = {one.index: one for one in found.classes("a", "b")}
    assert [index for index, one in deltas.items() if one.distinguishable] == [2]
    dice = [
        RATIOS["dice"](run).classes
        for run in (base, ClassCounts(hits=hits, target=other.target, prediction=other.prediction))
    ]
    for index, one in deltas.items():
        assert one.value == pytest.approx(dice[0][index] - dice[1][index])
        assert one.p_value is not None
        assert one.corrected is not None
        assert one.corrected >= one.p_value
        assert one.images == (base.target[:, index] > 0).sum()


def test_nothing_is_claimed_of_a_class_in_few_images() -> None:
    runs = {}
    for seed, name in enumerate("ab"):
        run = counts(seed, images=50)
        for part in (run.hits, run.target, run.prediction):
            part[3:, 4] = 0
            part[:3, 4] = 1000
        run.hits[:3, 4] = 900 * seed
        runs[name] = run
    rare = next(one for one in studied(runs).classes("a", "b") if one.index == 4)
    assert (rare.interval, rare.p_value, rare.corrected, rare.images) == (None, None, None, 3)
    assert not rare.distinguishable


def test_seeds_are_means_with_wider_intervals() -> None:
    runs = {f"a{seed}": counts(seed, skill=0.6 + 0.06 * seed) for seed in range(3)}
    runs["b"] = counts(9, skill=0.2)
    found = studied(runs, [("a0", "a1", "a2"), ("b",)])
    standing = found.row("a1")
    assert standing is found.row("a2")
    scores = [RATIOS["dice"](runs[f"a{seed}"]).score for seed in range(3)]
    assert standing.value == pytest.approx(np.mean(scores))
    assert standing.seed_spread == pytest.approx(np.std(scores, ddof=1))
    alone = studied({"a1": runs["a1"]}).best.interval
    assert standing.interval.high - standing.interval.low > alone.high - alone.low
    assert found.repeated


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(10, 40), st.integers(1, 6))
def test_intervals_hold_the_score_and_facts_are_numbers(seed: int, images: int, classes: int) -> None:
    runs = {name: counts(seed + number, images=images, classes=classes, world=seed) for number, name in enumerate("ab")}
    found = studied(runs)
    for standing in found.standings:
        for estimate in standing.scores.values():
            assert estimate.value in estimate.interval
            assert math.isfinite(estimate.interval.low + estimate.interval.high)
    (pair,) = found.differences
    assert pair.value >= 0
    assert pair.value in pair.interval
    assert 0 <= pair.probability <= 1
    assert pair.p_value <= pair.corrected <= 1
