"""What a comparison says in plain words: which to keep, why, and how sure that is."""

from dataclasses import dataclass

from segfit import units
from segfit.comparison.analysis import Analysis
from segfit.comparison.curves import SCORES
from segfit.comparison.entrants import Entrant
from segfit.comparison.pareto import COSTS, Cost
from segfit.comparison.recommendation import EQUAL, Recommendation, amount, recommend
from segfit.comparison.statistics import Difference, Statistics
from segfit.comparison.table import Group
from segfit.config import PROTOCOLS

__all__ = ["Headline", "headline", "protocol_notes"]


@dataclass(frozen=True, kw_only=True)
class Headline:
    """The result in one line, and the sentences beneath it."""

    title: str
    sentences: tuple[str, ...]


def headline(analysis: Analysis) -> Headline:
    """Return which entrant to keep, the numbers and costs behind that, and what it does not mean.

    The rule is that of `segfit.comparison.recommendation`.
    """
    advice = recommend(analysis)
    shown = advice.keep or analysis.entrants[0]
    sentences = [
        _score(analysis, shown),
        *_against_others(analysis, advice),
        *_dropped(analysis, advice),
        *_costs(analysis, shown, advice),
        *_caveats(analysis),
    ]
    return Headline(title=_title(analysis, advice), sentences=tuple(sentences))


# --- the title -------------------------------------------------------------------------------------------------------


def _title(analysis: Analysis, advice: Recommendation) -> str:
    group = analysis.group
    score = group.protocol.score
    best = analysis.entrants[0]
    value = f"{SCORES[score]} {units.score(best.score(score))}"
    # Of several seeds it is the mean that competes, and one lucky training may lie above it.
    none = "on average over seeds, none" if any(len(one.rows) > 1 for one in analysis.entrants) else "no run"
    if best.score(score) <= group.baseline.score(score):
        return f"Keep none: {none} beats the majority class, the best reaches {value}"
    if advice.keep is not None:
        return f"{best.name} reaches {value}" if len(analysis.entrants) == 1 else _kept(analysis, advice, advice.keep)
    if analysis.statistics is None:
        return f"{best.name} scored best: {value}, but how sure that is cannot be said"
    return f"Keep none: {none} is surely better than the majority class, the best reaches {value}"


def _kept(analysis: Analysis, advice: Recommendation, keep: Entrant) -> str:
    """Return the title where one of several entrants is kept."""
    assert analysis.statistics is not None, "without them several entrants cannot be told apart"
    alike, sure = len(analysis.statistics.tied), len(advice.tied)
    if alike > sure:
        return _sure_among(analysis.entrants[0], alike, keep, sure)
    if alike == 1:
        return f"Keep {keep.name}: it is better than {_others(len(analysis.entrants) - 1, analysis)}"
    return f"{_alike(advice.tied)}; keep {_why(advice)}"


def _sure_among(best: Entrant, alike: int, keep: Entrant, sure: int) -> str:
    """Return the title where not all that are as good as the best are surely better than the majority class."""
    among = "two that are not distinguishable"
    if alike > 2:
        among = f"{best.name} and the {alike - 1} that are not distinguishable from it"
    one = "the only one that is" if sure == 1 else f"one of {sure} that are"
    return f"Of {among}, keep {keep.name}, {one} surely better than the majority class"


def _others(count: int, analysis: Analysis) -> str:
    if count == 1:
        return analysis.entrants[1].name
    return "both others" if count == 2 else f"all {count} others"


def _alike(entrants: tuple[Entrant, ...]) -> str:
    """Return who is not distinguishable: from the best, since nothing is said of pairs without it."""
    best, *others = (entrant.name for entrant in entrants)
    if len(others) == 1:
        return f"{best} and {others[0]} are not distinguishable"
    who = " and ".join(others) if len(others) == 2 else f"{len(others)} others"
    return f"{who} are not distinguishable from {best}"


def _why(advice: Recommendation) -> str:
    """Return whom to keep and what speaks for it among those that are equally good."""
    assert advice.keep is not None
    assert advice.cost is not None
    name, noun = advice.keep.name, advice.cost.name
    if advice.keep is advice.tied[0]:
        others = [amount(entrant, advice.cost) for entrant in advice.tied[1:]]
        if min(others) <= EQUAL * amount(advice.keep, advice.cost):
            about = "about as many or fewer parameters" if noun == "parameters" else f"about as much or less {noun}"
            return f"{name}: none scored higher with {about}"
        least = advice.cost.less if len(others) == 1 else f"{advice.cost.less} than the others"
        return f"{name}, which needs {least}"
    for low, high, share in ((0.45, 0.55, "half"), (0.30, 0.36, "a third of"), (0.23, 0.27, "a quarter of")):
        if low <= advice.ratio <= high:
            return f"{name}, which needs {share} the {noun}"
    less = advice.cost.less
    return f"{name}, which needs {100 * (1 - advice.ratio):.0f} % {less}"


# --- the sentences ---------------------------------------------------------------------------------------------------


def _score(analysis: Analysis, entrant: Entrant) -> str:
    """Return what an entrant scored, its interval, and how far that is from knowing nothing."""
    group, statistics = analysis.group, analysis.statistics
    score = group.protocol.score
    value, base = entrant.score(score), group.baseline.score(score)
    text = f"{entrant.name} reaches {SCORES[score]} {units.score(value)}"
    details = [f"the mean of {len(entrant.rows)} trainings"] if len(entrant.rows) > 1 else []
    if statistics is not None:
        interval = statistics.row(entrant.rows[0].name).interval
        if interval.high > interval.low:
            details.append(f"95 % interval {units.score(interval.low)} to {units.score(interval.high)}")
    if details:
        text += f" ({', '.join(details)})"
    return f"{text}; that is {_gap(value - base)} always answering the most common class ({units.score(base)})."


def _gap(difference: float) -> str:
    if abs(difference) < 0.0005:
        return "less than 0.001 away from"
    return f"{abs(difference):.3f} {'above' if difference > 0 else 'below'}"


def _against_others(analysis: Analysis, advice: Recommendation) -> list[str]:
    """Return how the kept entrant compares with those that it had to be chosen from."""
    statistics = analysis.statistics
    if statistics is None or len(analysis.entrants) == 1:
        return []
    best = statistics.best.name
    keep = advice.keep.name if advice.keep is not None else best
    rival = best if keep != best else statistics.standings[1].name
    pair = statistics.difference(keep, rival)
    sentences = [pair.words() if pair.identical else f"{pair.words()} {_probability(pair, statistics)}"]
    worse = [standing for standing in statistics.standings if standing not in statistics.tied]
    if len(statistics.tied) > 1 and worse:
        verb = "is" if len(worse) == 1 else "are"
        sentences.append(f"{_list([standing.name for standing in worse])} {verb} worse than {best}.")
    return sentences


def _dropped(analysis: Analysis, advice: Recommendation) -> list[str]:
    """Return who is as good as the best and yet may not be kept, where somebody is."""
    statistics = analysis.statistics
    if statistics is None or advice.keep is None:
        return []
    names = [standing.name for standing in statistics.tied if standing.entrant not in advice.tied]
    if not names:
        return []
    verb, whose, reach = ("is", "its interval", "does") if len(names) == 1 else ("are", "their intervals", "do")
    base = units.score(analysis.group.baseline.score(analysis.group.protocol.score))
    return [
        f"{_list(names)} {verb} not surely better than the majority class: {whose} {reach} not lie above {base} as a "
        "whole."
    ]


def _list(names: list[str]) -> str:
    if len(names) > 4:
        return f"The other {len(names)}"
    return units.listed(names)


def _probability(pair: Difference, statistics: Statistics) -> str:
    share = pair.probability
    percent = "more than 99.9" if share > 0.999 else f"{100 * share:.1f}" if share > 0.95 else f"{100 * share:.0f}"
    source = "" if pair.seeds else f" (from {statistics.resamples:,} resampled sets of images)"
    return f"The probability that {pair.better} is better is {percent} %{source}."


def _costs(analysis: Analysis, entrant: Entrant, advice: Recommendation) -> list[str]:
    """Return time and memory of an entrant, of its rival where they may be compared, and who needs the least memory."""
    memory, time, _ = COSTS
    text = _own_costs(entrant, memory, time)
    rival = next((other for other in (*advice.tied, *analysis.entrants) if other is not entrant), None)
    if rival is None or not _comparable(entrant, rival, (memory, time)):
        return [f"{text}."]
    text += f", {rival.name} for {time.text(amount(rival, time))} with {memory.text(amount(rival, memory))}."
    return [text, *_frugal(analysis, (entrant, rival), memory)]


def _own_costs(entrant: Entrant, memory: Cost, time: Cost) -> str:
    """Return what an entrant's trainings took, as far as that was measured alike in all of them."""
    text = f"{entrant.name} was trained on different hardware"
    if _comparable(entrant, entrant, (time,)):
        each = " each" if len(entrant.runs) > 1 else ""
        text = f"{entrant.name} trained for {time.text(amount(entrant, time))}{each} on {entrant.runs[0].hardware}"
    if _comparable(entrant, entrant, (memory,)):
        text += f" with {memory.text(amount(entrant, memory))} of memory at the peak"
    return text


def _comparable(first: Entrant, second: Entrant, costs: tuple[Cost, ...]) -> bool:
    runs = [*first.runs, *second.runs]
    return all(len({cost.measured_by(run) for run in runs}) == 1 for cost in costs)


def _frugal(analysis: Analysis, named: tuple[Entrant, Entrant], memory: Cost) -> list[str]:
    """Return what the entrant with the least memory reaches, unless it was named before."""
    least = min(analysis.entrants, key=lambda entrant: amount(entrant, memory))
    if least in named or not all(_comparable(least, entrant, (memory,)) for entrant in analysis.entrants):
        return []
    score = analysis.group.protocol.score
    return [
        f"The least memory sufficed for {least.name}: {memory.text(amount(least, memory))} "
        f"for {SCORES[score]} {units.score(least.score(score))}."
    ]


def _caveats(analysis: Analysis) -> list[str]:
    """Return what the intervals do not cover."""
    statistics = analysis.statistics
    if statistics is None:
        return [analysis.statistics_note or ""]
    soups = [entrant.name for entrant in analysis.entrants if entrant.soup]
    once = [entrant.name for entrant in analysis.entrants if len(entrant.rows) == 1 and not entrant.soup]
    if not statistics.repeated:
        return [_caveat_without_seeds(len(analysis.entrants), len(soups))]
    if not once and not soups:
        return ["The intervals are over the choice of images and of seeds."]
    sentences = ["The intervals are over images and, where there are several trainings, over seeds."]
    if once:
        verb, whose = ("was", "its") if len(once) == 1 else ("were", "their")
        known = (
            " or, where that shows none either, that of all with several trainings"
            if len(once) + len(soups) > 1
            else ""
        )
        sentences.append(
            f"{_list(once)} {verb} trained once; in differences, {whose} spread over seeds is taken to be that of the "
            f"entrant compared with{known}."
        )
    if soups:
        verb, what = ("is", "an average") if len(soups) == 1 else ("are", "averages")
        sentences.append(
            f"{_list(soups)} {verb} {what} of trainings, whose own spread over seeds is not known; in differences, it "
            "is taken to be that of one training."
        )
    return [" ".join(sentences)]


def _caveat_without_seeds(entrants: int, soups: int) -> str:
    only = "over the choice of images only"
    if entrants == 1:
        another = "an average of other trainings" if soups else "another training, with another seed,"
        return f"The interval is {only}: {another} might differ."
    if soups:
        return f"The intervals are {only}: other trainings, with other seeds, might be ordered differently."
    return f"Each was trained once: the intervals are {only}, and another seed might order them differently."


# --- other sentences of a report -------------------------------------------------------------------------------------


def protocol_notes(group: Group) -> list[str]:
    """Return how the scores came about, one fact a sentence."""
    protocol, runs = group.protocol, group.runs
    notes = [_metric_note(group), _image_note(group), f"The models saw {protocol.input_text}."]
    coverage = runs[0].labels.coverage
    if protocol.rest != "ignore" and coverage is not None and coverage < 0.9995:
        fate = "one extra class" if protocol.rest == "other" else "the most common class"
        notes.append(f"The chosen classes cover {units.share(coverage)} of the pixels; all others became {fate}.")
    elif coverage is not None and coverage < 0.9995:
        notes.append(f"The chosen classes cover {units.share(coverage)} of the pixels; the others are not scored.")
    if any(run.evaluation.checkpoint == "best" and run.evaluation.split == run.recipe.data.validation for run in runs):
        notes.append("Best checkpoints were chosen on the same images that are scored here, which flatters the scores.")
    notes.append("The majority class is what always answering the most common class of these images scores.")
    return notes


def _metric_note(group: Group) -> str:
    counts = sorted({sum(entry.dice is not None for entry in run.evaluation.per_class) for run in group.runs})
    occurring = f"the {counts[0]} classes that occur"
    if len(counts) > 1:
        # What a run invents counts as 0 for it.
        occurring = f"the classes that occur in the images or in what a run predicts ({counts[0]} to {counts[-1]})"
    formula = {
        "dice": "Dice = 2TP / (2TP + FP + FN)",
        "miou": "IoU = TP / (TP + FP + FN)",
    }[group.protocol.score]
    return (
        f"{formula} of each class lies in [0, 1]; the score is its mean over {occurring}, from "
        "pixel counts summed over all images."
    )


def _image_note(group: Group) -> str:
    protocol = group.protocol
    images = f"The {protocol.images:,} {protocol.split} images were"
    if protocol.name != "original":
        return f"{images} scored by the protocol {protocol.name}: {PROTOCOLS[protocol.name].words}."
    how = {
        "squash": "squashed to the training size",
        "short-side": "scaled until their short side has the training size",
    }[protocol.resize]
    windows = ", in overlapping windows of that size" if protocol.window == "sliding" else ""
    return (
        f"{images} {how} as input of the models{windows}; predictions were scored at each image's original resolution."
    )
