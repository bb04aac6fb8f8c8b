"""How often the 95 % intervals of `segfit compare` hold the truth, where the truth is known because the data are drawn.

    python benchmarks/coverage.py                  # the table of docs/statistics.md
    python benchmarks/coverage.py --sets 200       # a quick look

Every line draws many sets of images of one kind, scores two invented models on each, and counts how many of the
intervals hold the score (or the difference) that such sets have on average in the classes that are in the set. Beside
the interval that segfit writes stand the textbook intervals that were tried and not kept.

Shape suffixes: N images, K classes, S trainings (seeds) of a model.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from segfit.comparison.statistics.influence import influence
from segfit.comparison.statistics.ratios import RATIOS, Ratios
from segfit.comparison.statistics.resampling import resample
from segfit.comparison.statistics.samples import difference_spread, sample, score_spread
from segfit.comparison.statistics.spread import Part, Seeds, with_seeds
from segfit.evaluation.metrics import ClassCounts

Values = NDArray[np.float64]

PIXELS = 200_000


@dataclass(frozen=True, kw_only=True)
class World:
    """A kind of images and two models that see them.

    Attributes:
        classes: K.
        rarest: share of the images that have the rarest class; the most common is in 70 % or more.
        size_matters: how much better large regions are found, in logits for a factor e of area.
        seeds: trainings of each model; a third one is of a model beside the two.
        luck: standard deviation of what the seed does, in logits, half of it to all classes alike.
    """

    classes: int
    rarest: float
    size_matters: float = 0.3
    seeds: tuple[int, ...] = (1, 1)
    luck: float = 0.0
    presence: Values = field(init=False)
    skill: Values = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.classes)
        object.__setattr__(self, "presence", np.geomspace(0.8, self.rarest, self.classes))
        usual = np.sort(rng.normal(0.8, 0.9, self.classes))[::-1]
        others = [usual + rng.normal(0.1, 0.3, self.classes) for _ in self.seeds[1:]]
        object.__setattr__(self, "skill", np.stack([usual, *others]))

    def draw(self, images: int, rng: np.random.Generator) -> tuple[list[Ratios], ...]:
        """Return the Dice of all models' trainings on N new images."""
        shape = (images, self.classes)
        there = rng.random(shape) < self.presence
        there[np.arange(images), rng.integers(0, 3, images)] = True
        usual = self.presence**0.5
        area = np.where(there, np.exp(rng.normal(0, 1, shape)) * usual, 0)
        whole = area.sum(axis=1, keepdims=True)
        area /= whole
        large = np.log(np.maximum(area, 1e-6) / usual)
        hard = rng.normal(0, 0.5, (images, 1)) + rng.normal(0, 0.7, shape) + self.size_matters * large
        blobs = np.exp(rng.normal(-2, 1, shape)) * usual / whole
        made: tuple[list[Ratios], ...] = tuple([] for _ in self.seeds)
        for model, count in enumerate(self.seeds):
            for _ in range(count):
                luck = self.luck * 0.5**0.5 * (rng.normal() + rng.normal(0, 1, self.classes))
                found = 1 / (1 + np.exp(-(self.skill[model] + luck + hard + rng.normal(0, 0.5, shape))))
                beside = np.where(there, area * (1 - found) * rng.random(shape), 0)
                invented = np.where(~there & (rng.random(shape) < 0.15 * self.presence), blobs, 0)
                made[model].append(_dice(area * found, area, area * found + beside + invented))
        return made


def _dice(hits: Values, target: Values, prediction: Values) -> Ratios:
    pixels = [np.rint(PIXELS * part).astype(np.int64) for part in (hits, target, prediction)]
    return RATIOS["dice"](ClassCounts(hits=pixels[0], target=pixels[1], prediction=pixels[2]))


Ends = tuple[float, float]
Method = Callable[[float, Values, Values], Ends]
"""From the estimate, its resamples and the raw influence of every image to an interval."""


def _percentile(_value: float, resamples: Values, _raw: Values) -> Ends:
    low, high = np.quantile(resamples, [0.025, 0.975])
    return float(low), float(high)


def _basic(value: float, resamples: Values, _raw: Values) -> Ends:
    low, high = np.quantile(resamples, [0.025, 0.975])
    return float(2 * value - high), float(2 * value - low)


def _bca(value: float, resamples: Values, raw: Values) -> Ends:
    shift = norm.ppf(np.clip((resamples < value).mean(), 1e-4, 1 - 1e-4))
    skew = (raw**3).sum() / (6 * (raw**2).sum() ** 1.5)
    ends = shift + norm.ppf([0.025, 0.975])
    low, high = np.quantile(resamples, norm.cdf(shift + ends / (1 - skew * ends)))
    return float(low), float(high)


def _jackknife(value: float, _resamples: Values, raw: Values) -> Ends:
    half = norm.ppf(0.975) * (raw**2).sum() ** 0.5
    return float(value - half), float(value + half)


RIVALS: dict[str, Method] = {"percentile": _percentile, "basic": _basic, "BCa": _bca, "jackknife": _jackknife}


def _raw_influence(ratios: Ratios) -> Values:
    """Return the `(N,)` influence of the images on a score, without any correction."""
    total = np.where(ratios.occurs, ratios.bottom.sum(axis=0), 1.0)
    summed = ((ratios.top - ratios.bottom * ratios.classes) / total).sum(axis=1)
    return np.asarray(summed * influence(ratios).share)


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """What came of one line: shares of the intervals that hold the truth, by method, for scores and for differences.

    Attributes:
        score: of sets of this size; ``segfit`` and, where asked for, its rivals.
        difference: the same for differences.
        endless: of the score on endlessly many images, by segfit's interval.
    """

    score: dict[str, float]
    difference: dict[str, float]
    endless: float | None


def measure(world: World, images: int, sets: int, *, rivals: int = 0, endless: int = 0, seed: int = 1) -> Coverage:
    """Draw `sets` sets of N images and count.

    Args:
        world: what is drawn.
        images: N.
        sets: how many.
        rivals: resamples for the rivals' intervals; 0 leaves them out.
        endless: images that stand for endlessly many; 0 leaves them out.
        seed: of everything.
    """
    rng = np.random.default_rng(seed)
    intervals: dict[str, list[tuple[Ends, Ends]]] = {}
    scores, shares = [], []
    for _ in range(sets):
        models = world.draw(images, rng)
        for name, ends in _intervals(models, rivals).items():
            intervals.setdefault(name, []).append(ends)
        scores.append([np.mean([run.classes for run in runs], axis=0) for runs in models])
        shares.append([np.mean([_share(run) for run in runs], axis=0) for runs in models])
    usual = _usual(np.array(scores), np.array(shares))
    truth = (usual * np.array(shares)).sum(axis=2)
    found = {name: np.array(ends) for name, ends in intervals.items()}
    at_infinity = None
    if endless:
        endless_truth = (_endless(world, endless) * np.array(shares)).sum(axis=2)
        at_infinity = _held(found["segfit"][:, 0], endless_truth[:, 0])
    return Coverage(
        score={name: _held(ends[:, 0], truth[:, 0]) for name, ends in found.items()},
        difference={name: _held(ends[:, 1], truth[:, 0] - truth[:, 1]) for name, ends in found.items()},
        endless=at_infinity,
    )


def _intervals(models: Sequence[Sequence[Ratios]], rivals: int) -> dict[str, tuple[Ends, Ends]]:
    """Return the intervals of the first model's score and of the difference, by method."""
    first, second, *beside = (sample(runs) for runs in models)
    value, change = first.value, first.value - second.value
    own = [score_spread(first).interval(value), difference_spread(first, second, beside).interval(change)]
    found = {"segfit": ((own[0].low, own[0].high), (own[1].low, own[1].high))}
    if rivals:
        pair = [models[0][0], models[1][0]]
        drawn, raw = resample(pair, rivals), [_raw_influence(run) for run in pair]
        for name, method in RIVALS.items():
            found[name] = (method(value, drawn[0], raw[0]), method(change, drawn[0] - drawn[1], raw[0] - raw[1]))
    return found


def _share(run: Ratios) -> Values:
    """Return what each class counts in the mean; a class that is only predicted has nothing to vary."""
    return np.where(run.top.any(axis=0), 1.0 / run.occurs.sum(), 0.0)


def _usual(scores: Values, shares: Values) -> Values:
    """Return `(M, K)` the mean score of each class of M models in the sets that have it."""
    there = shares > 0
    return np.asarray((scores * there).sum(axis=0) / np.maximum(1, there.sum(axis=0)))


def _endless(world: World, images: int) -> Values:
    """Return `(2, K)` the scores of the classes on very many images, for worlds without luck."""
    rng, size = np.random.default_rng(99), 5_000
    top, bottom = np.zeros((2, 2, world.classes))
    for _ in range(images // size):
        for model, runs in enumerate(world.draw(size, rng)):
            top[model] += runs[0].top.sum(axis=0)
            bottom[model] += runs[0].bottom.sum(axis=0)
    return np.asarray(top / bottom)


def _held(ends: Values, truth: Values) -> float:
    return float(((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean())


def measure_seeds(seeds: Sequence[int], spreads: Sequence[float], sets: int, *, seed: int = 1) -> float:
    """Return how often intervals of a difference hold it where only seeds vary, and those of one model more.

    Args:
        seeds: trainings of each of the two models, and of those beside them.
        spreads: standard deviation of the scores of each model's trainings, which are normal.
        sets: how many times both models are trained.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    held = 0
    for _ in range(sets):
        scores = [rng.normal(0.0, spread, count) for count, spread in zip(seeds, spreads, strict=True)]
        known = [Seeds(values, 0.0) for values in scores]
        spread = with_seeds(Part(0.0, 100.0), known[:2], known[2:])
        held += 0.0 in spread.interval(float(scores[0].mean() - scores[1].mean()))
    return held / sets


COMMON = World(classes=10, rarest=0.3)
RARE = World(classes=150, rarest=0.01)

SEEDS = ((2, 2), (3, 3), (5, 5), (2, 5), (2, 10), (2, 1), (3, 1), (1, 1, 2), (1, 1, 3), (1, 1, 5))
"""Trainings of the first and of the second model, and of a third one beside them."""

UNEQUAL = (((3, 3), 3.0), ((2, 5), 2.0), ((2, 10), 2.0), ((1, 3), 3.0), ((1, 1, 3), 3.0))
"""Trainings of the models, as above, and how many times as much those of the first vary."""


def _words(seeds: Sequence[int]) -> str:
    beside = f" beside {seeds[2]}" if len(seeds) > 2 else ""
    return f"{seeds[0]} and {seeds[1]}{beside}"


def _seeds_lines(seeds: tuple[int, ...], sets: int) -> None:
    for luck, words in ((0.0, "none"), (0.15, "twice that over images"), (0.5, "six times that")):
        found = measure(World(classes=10, rarest=0.3, seeds=seeds, luck=luck), 200, sets)
        # The interval of a single training's score is over images only, and does not ask for more.
        score = f"{100 * found.score['segfit']:.1f}" if seeds[0] > 1 else ""
        print(f"| {_words(seeds)} | {words} | {score} | {100 * found.difference['segfit']:.1f} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=1000, help="sets of images a line")
    parser.add_argument("--resamples", type=int, default=1000, help="resamples a set, for the rivals")
    options = parser.parse_args()
    names = ["segfit", *RIVALS]
    print("| classes | images | of | " + " | ".join(names) + " | segfit, endless |")
    print("|---|---|---|" + "---|" * (len(names) + 1))
    for world, text in ((COMMON, "10"), (RARE, "150, rare")):
        for images in (50, 200, 1000):
            found = measure(world, images, options.sets, rivals=options.resamples, endless=300_000)
            for of, values in (("score", found.score), ("difference", found.difference)):
                numbers = " | ".join(f"{100 * values[name]:.1f}" for name in names)
                last = f"{100 * (found.endless or 0):.1f}" if of == "score" else ""
                print(f"| {text} | {images} | {of} | {numbers} | {last} |", flush=True)
    print("\n| seeds | spread over seeds | score | difference |\n|---|---|---|---|")
    for seeds in SEEDS:
        _seeds_lines(seeds, options.sets)
    print("\n| seeds | the first vary | difference |\n|---|---|---|")
    for seeds, times in UNEQUAL:
        share = measure_seeds(seeds, (times, *[1.0] * len(seeds[1:])), 20 * options.sets)
        print(f"| {_words(seeds)} | {times:g} times as much | {100 * share:.1f} |", flush=True)


if __name__ == "__main__":
    main()
