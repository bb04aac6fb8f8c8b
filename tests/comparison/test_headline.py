"""The words at the top of a report, in every case; the rule by which an entrant is kept."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from run_folders import STUDY, Fake, edit_json, write_run
from segfit.comparison.analysis import Analysis
from segfit.comparison.comparing import compare
from segfit.comparison.headline import headline, protocol_notes
from segfit.comparison.recommendation import recommend
from segfit.config import PROTOCOLS

FAST = {"images": 80, "epochs": 3}


def analysis_of(folder: Path, *fakes: Fake) -> Analysis:
    paths = [write_run(folder / f"{number}-{fake.name}", fake) for number, fake in enumerate(fakes)]
    (group,) = compare(paths).groups
    return Analysis(group)


def fake(name: str, quality: float, gigabytes: float = 3.4, **rest: object) -> Fake:
    """Return a run whose recipe differs from those of other names."""
    known = {**FAST, "changes": {"model.width": 8 + sum(name.encode()) % 97}, **rest}
    return Fake(name=name, quality=quality, memory=round(gigabytes * 1e9), **known)  # type: ignore[arg-type]


def seeds(one: Fake, count: int) -> list[Fake]:
    return [replace(one, name=f"{one.name}-seed{seed}", seed=seed, history=seed) for seed in range(count)]


def all_of(analysis: Analysis) -> tuple[str, str]:
    words = headline(analysis)
    assert all(sentence.endswith(".") for sentence in words.sentences)
    assert "  " not in " ".join(words.sentences)
    return words.title, " ".join(words.sentences)


# --- words -----------------------------------------------------------------------------------------------------------


def test_the_best_of_several_is_kept(tmp_path: Path) -> None:
    title, text = all_of(analysis_of(tmp_path, *(replace(one, images=80) for one in STUDY)))
    assert title == "Keep attention-unet-8: it is better than all 3 others"
    assert re.search(
        r"attention-unet-8 reaches Dice 0\.\d{3} \(95 % interval 0\.\d{3} to 0\.\d{3}\); that is 0\.", text
    )
    assert re.search(r"attention-unet-8 is better than unet-8 by 0\.\d{3} \(95 % interval 0\.\d{3} to 0\.\d{3}\)", text)
    assert "resampled sets of images" in text
    assert "trained for 6 h 54 min on 2 x Tesla T4 with 4.6 GB of memory at the peak, unet-8 for 8 h 24 min" in text
    assert "The least memory sufficed for unet-small: 1.2 GB for Dice 0." in text
    assert "Each was trained once" in text


def test_of_two_that_cannot_be_told_apart_the_cheaper_is_kept(tmp_path: Path) -> None:
    title, text = all_of(analysis_of(tmp_path, fake("heavy", 0.662, 6), fake("light", 0.660, 3), fake("bad", 0.4, 1)))
    names = title.split(" are not distinguishable; ")
    assert {"heavy", "light"} == set(names[0].split(" and "))
    assert names[1] in {"keep light, which needs half the memory", "keep light, which needs less memory"}
    assert "are not distinguishable on these images: the difference of 0.0" in text
    assert "may be nothing but chance (95 % interval \N{MINUS SIGN}0.0" in text
    assert "bad is worse than" in text


def test_equal_costs_keep_the_best_score(tmp_path: Path) -> None:
    analysis = analysis_of(tmp_path, fake("one", 0.66, 3.0), fake("two", 0.66, 3.1))
    title, _ = all_of(analysis)
    assert title.endswith(f"keep {analysis.entrants[0].name}: none scored higher with about as much or less memory")


@pytest.mark.parametrize("first", ["cheap", "dear"])
def test_of_exactly_equal_scores_the_cheaper_is_kept(tmp_path: Path, first: str) -> None:
    # As a greedy soup that came out as its best ingredient: the same predictions, at the cost of all trainings.
    paths = {
        name: write_run(tmp_path / name, replace(fake(name, 0.66, gigabytes), seconds=seconds))
        for name, gigabytes, seconds in (("cheap", 3.3, 100.0), ("dear", 3.4, 250.0))
    }
    for file in ("per_image.parquet", "metrics.json"):
        kept = json.loads((paths["dear"] / "metrics.json").read_text())["training"]
        shutil.copyfile(paths["cheap"] / file, paths["dear"] / file)
    edit_json(paths["dear"] / "metrics.json", "training", value=kept)
    (group,) = compare([paths[first], *(path for name, path in paths.items() if name != first)]).groups
    title, text = all_of(Analysis(group))
    assert title.endswith("keep cheap: none scored higher with about as much or less memory")
    assert "cheap reaches Dice" in text


def test_classes_that_only_some_runs_invent_are_told(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / name, fake(name, 0.6)) for name in ("a", "b")]
    edit_json(paths[1] / "metrics.json", "evaluation", "per_class", 7, "dice", value=None)
    (group,) = compare(paths).groups
    notes = " ".join(protocol_notes(group))
    assert "over the classes that occur in the images or in what a run predicts (7 to 8), from pixel counts" in notes


def test_many_that_cannot_be_told_apart_are_counted(tmp_path: Path) -> None:
    runs = (fake(name, 0.66, 3 + number) for number, name in enumerate(("one", "two", "three", "four")))
    analysis = analysis_of(tmp_path, *runs)
    title, _ = all_of(analysis)
    best = analysis.entrants[0].name
    assert title.startswith(f"3 others are not distinguishable from {best}; keep one, which needs ")


def test_of_three_only_pairs_with_the_best_are_spoken_of(tmp_path: Path) -> None:
    analysis = analysis_of(tmp_path, *(fake(name, 0.66, 3 + number) for number, name in enumerate(("one", "two", "6"))))
    title, _ = all_of(analysis)
    best, second, third = (entrant.name for entrant in analysis.entrants)
    assert title.startswith(f"{second} and {third} are not distinguishable from {best}; keep one, which ")


def uncertain() -> list[Fake]:
    """Return two trainings that differ so much that their mean might be anything."""
    return [
        replace(one, quality=quality) for one, quality in zip(seeds(fake("best", 0.9), 2), (0.95, 0.65), strict=True)
    ]


def test_only_what_surely_beats_the_majority_class_is_kept_of_two(tmp_path: Path) -> None:
    analysis = analysis_of(tmp_path, *uncertain(), fake("second", 0.6))
    found, advice = analysis.statistics, recommend(analysis)
    assert found is not None
    assert [standing.name for standing in found.tied] == ["best", "second"]
    assert advice.keep is not None
    title, text = all_of(analysis)
    assert advice.keep.name in title
    assert title == (
        "Of two that are not distinguishable, keep second, the only one that is surely better than the majority class"
    )
    base = analysis.group.baseline.scores.dice
    assert found.best.interval.low <= base < found.row("second").interval.low
    assert "best and second are not distinguishable" in text
    assert f"best is not surely better than the majority class: its interval does not lie above {base:.3f}" in text


def test_only_what_surely_beats_the_majority_class_is_kept_of_three(tmp_path: Path) -> None:
    analysis = analysis_of(tmp_path, *uncertain(), fake("second", 0.6, 5), fake("third", 0.6, 2))
    advice = recommend(analysis)
    assert advice.keep is not None
    title, text = all_of(analysis)
    assert advice.keep.name in title
    assert title == (
        "Of best and the 2 that are not distinguishable from it, keep third, one of 2 that are surely better than the "
        "majority class"
    )
    assert "best is not surely better" in text


def test_a_single_run_has_an_interval_and_no_rival(tmp_path: Path) -> None:
    title, text = all_of(analysis_of(tmp_path, fake("alone", 0.6)))
    assert title.startswith("alone reaches Dice 0.")
    assert "95 % interval" in text
    assert "distinguishable" not in text
    assert "another training, with another seed, might differ" in text


def test_what_learnt_nothing_is_not_recommended(tmp_path: Path) -> None:
    analysis = analysis_of(tmp_path, Fake(quality=0.0, **FAST))  # type: ignore[arg-type]
    title, text = all_of(analysis)
    assert title.startswith("Keep none: no run beats the majority class, the best reaches Dice 0.")
    assert "below always answering" in text
    assert recommend(analysis).keep is None


def test_with_seeds_it_is_the_mean_that_beats_nothing(tmp_path: Path) -> None:
    several = [replace(one, quality=q) for one, q in zip(seeds(fake("a", 0.7), 2), (0.7, 0.35), strict=True)]
    analysis = analysis_of(tmp_path, *several)
    base, (lucky, _) = analysis.group.baseline, analysis.group.rows
    for level, said in ((lucky.scores.dice - 0.01, "beats"), (lucky.scores.dice / 2, "is surely better than")):
        lifted = base.scores.model_copy(update={"dice": level})
        title = headline(Analysis(replace(analysis.group, baseline=replace(base, scores=lifted)))).title
        mean = analysis.entrants[0].score("dice")
        assert lucky.scores.dice > level
        assert title == (
            f"Keep none: on average over seeds, none {said} the majority class, the best reaches Dice {mean:.3f}"
        )


def test_what_is_surely_better_than_something_sure_is_kept(tmp_path: Path) -> None:
    """Two seeds that differ leave the best's own score open; its difference from many steady seeds is sure."""
    best = [replace(one, quality=q) for one, q in zip(seeds(fake("best", 0.9), 2), (0.85, 0.65), strict=True)]
    analysis = analysis_of(tmp_path, *best, *seeds(fake("steady", 0.3), 8))
    found = analysis.statistics
    assert found is not None
    low, steady = found.best.interval.low, found.row("steady-seed0")
    assert found.best.name == "best"
    base = analysis.group.baseline
    between = base.scores.model_copy(update={"dice": (low + steady.interval.low) / 2})
    lifted = Analysis(replace(analysis.group, baseline=replace(base, scores=between)))
    assert low < between.dice < steady.interval.low
    assert headline(lifted).title == "Keep best: it is better than steady"
    assert [one.name for one in recommend(lifted).tied] == ["best"]


def test_what_is_not_surely_better_than_the_majority_class_is_not_recommended(tmp_path: Path) -> None:
    analysis = analysis_of(tmp_path, fake("alone", 0.6))
    found = analysis.statistics
    assert found is not None
    base = analysis.group.baseline
    scores = base.scores.model_copy(update={"dice": found.best.interval.low + 1e-4})
    lifted = Analysis(replace(analysis.group, baseline=replace(base, scores=scores)))
    assert headline(lifted).title.startswith("Keep none: no run is surely better than the majority class")


def test_seeds_are_named_in_words(tmp_path: Path) -> None:
    runs = [*seeds(fake("good", 0.8), 3), *seeds(fake("weak", 0.4), 3)]
    title, text = all_of(analysis_of(tmp_path, *runs))
    assert title == "Keep good: it is better than weak"
    assert "(the mean of 3 trainings, 95 % interval" in text
    assert "The intervals are over the choice of images and of seeds." in text
    assert "The probability that good is better is more than 99.9 %." in text or re.search(r"better is 9\d\.\d %", text)
    assert "resampled" not in text


def test_who_was_trained_once_beside_seeds_is_named(tmp_path: Path) -> None:
    _, text = all_of(analysis_of(tmp_path, *seeds(fake("good", 0.8), 3), fake("weak", 0.4)))
    assert (
        "weak was trained once; in differences, its spread over seeds is taken to be that of the entrant compared with."
        in text
    )


def test_two_that_were_trained_once_borrow_the_spread_of_a_third(tmp_path: Path) -> None:
    _, text = all_of(analysis_of(tmp_path, *seeds(fake("good", 0.8), 2), fake("weak", 0.4), fake("poor", 0.3)))
    assert "weak and poor were trained once; in differences, their spread over seeds is taken to be that of" in text
    assert "the entrant compared with or, where that shows none either, that of all with several trainings." in text


def test_a_soup_was_not_trained_once(tmp_path: Path) -> None:
    several = seeds(fake("good", 0.8), 2)
    paths = [write_run(tmp_path / one.name, one) for one in (*several, fake("mixed", 0.82))]
    (paths[-1] / "soup.json").write_text("{}")
    for chosen, said in (
        (
            paths,
            "mixed is an average of trainings, whose own spread over seeds is not known; in differences, it is taken",
        ),
        (paths[1:], "The intervals are over the choice of images only: other trainings, with other seeds,"),
        (paths[2:], "The interval is over the choice of images only: an average of other trainings might differ."),
    ):
        _, text = all_of(Analysis(compare(chosen).groups[0]))
        assert said in text
        assert "trained once" not in text


def test_identical_predictions_are_called_so(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / str(number), fake("same", 0.6)) for number in range(2)]
    _, text = all_of(Analysis(compare(paths).groups[0]))
    assert "scored exactly alike in every image" in text


def test_too_few_images_give_no_interval_and_no_advice(tmp_path: Path) -> None:
    analysis = analysis_of(tmp_path, fake("a", 0.5, images=6), fake("b", 0.8, images=6))
    title, text = all_of(analysis)
    assert title.startswith("b scored best: Dice 0.")
    assert title.endswith("but how sure that is cannot be said")
    assert "6 images are too few for intervals: at least 10 are needed." in text
    assert analysis.statistics is None
    assert "95 %" not in text


def test_missing_records_are_the_reason_for_no_interval(tmp_path: Path) -> None:
    analysis = analysis_of(tmp_path, fake("a", 0.5), fake("b", 0.8))
    (analysis.group.runs[1].path / "per_image.parquet").unlink()
    title, text = all_of(analysis)
    assert "how sure that is cannot be said" in title
    assert "There are no intervals: " in text
    assert "segfit evaluate " in text


def test_costs_on_different_hardware_are_not_compared(tmp_path: Path) -> None:
    _, text = all_of(analysis_of(tmp_path, fake("one", 0.8), fake("two", 0.4, device_name="EPYC")))
    assert "of memory at the peak. " in text


def test_costs_that_trainings_of_one_entrant_do_not_share_are_left_out(tmp_path: Path) -> None:
    first, second = seeds(fake("a", 0.8), 2)
    cases = (
        ({}, "a trained for 1 h 32 min each on 2 x Tesla T4 with 3.4 GB of memory at the peak."),
        ({"device_name": "V100"}, "a was trained on different hardware with 3.4 GB of memory at the peak."),
        ({"memory_kind": "resident in RAM"}, "a trained for 1 h 32 min each on 2 x Tesla T4."),
        ({"device_name": "V100", "memory_kind": "resident in RAM"}, "a was trained on different hardware."),
    )
    for number, (changed, said) in enumerate(cases):
        analysis = analysis_of(tmp_path / str(number), first, replace(second, **changed))  # type: ignore[arg-type]
        assert said in headline(analysis).sentences


def test_notes_say_how_the_images_were_scored(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", Fake(images=3))
    notes = protocol_notes(compare([path]).groups[0])
    assert "predictions were scored at each image's original resolution" in notes[1]
    assert notes[2] == "The models saw squashed input."
    edit_json(path / "metrics.json", "evaluation", "flip", value=True)
    for name in ("paper", "mmseg"):
        edit_json(path / "metrics.json", "evaluation", "protocol", value=name)
        notes = protocol_notes(compare([path]).groups[0])
        assert notes[1] == f"The 3 validation images were scored by the protocol {name}: {PROTOCOLS[name].words}."  # type: ignore[index]
        assert notes[2] == "The models saw squashed input, mirrored."
        assert not any("original resolution" in note for note in notes)


# --- the rule --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kinds", "devices", "cost"),
    [
        (("a", "a"), ("x", "y"), "memory"),
        (("a", "b"), ("x", "x"), "time"),
        (("a", "b"), ("x", "y"), "parameters"),
    ],
)
def test_the_first_comparable_cost_decides(
    tmp_path: Path, kinds: tuple[str, str], devices: tuple[str, str], cost: str
) -> None:
    cheap = {"memory": {"gigabytes": 1.0}, "time": {"seconds": 600.0}, "parameters": {"parameters": 10_000}}[cost]
    runs = (
        fake("heavy", 0.662, memory_kind=kinds[0], device_name=devices[0]),
        fake("light", 0.660, memory_kind=kinds[1], device_name=devices[1], **cheap),  # type: ignore[arg-type]
    )
    advice = recommend(analysis_of(tmp_path, *runs))
    assert len(advice.tied) == 2
    assert advice.keep is not None
    assert advice.keep.name == "light"
    assert advice.cost is not None
    assert advice.cost.name == cost


def test_a_saving_that_is_named_is_one(tmp_path: Path) -> None:
    """Within 5 % is not transitive: 1.0505 and 1.0495 are equal, though only one of them is within 5 % of 1."""
    names = ("one", "two", "three")
    order = [e.name for e in analysis_of(tmp_path / "order", *(fake(name, 0.66) for name in names)).entrants]
    peaks = dict(zip(order, (1.0505, 1.0495, 1.0), strict=True))
    analysis = analysis_of(tmp_path / "peaks", *(fake(name, 0.66, peaks[name]) for name in names))
    advice = recommend(analysis)
    assert [entrant.name for entrant in advice.tied] == order
    assert advice.keep is not None
    assert advice.keep.name == order[2]
    assert advice.ratio < 1 / 1.05
    assert headline(analysis).title.endswith(f"keep {order[2]}, which needs 5 % less memory")


def test_a_cheap_entrant_that_is_worse_is_not_kept(tmp_path: Path) -> None:
    advice = recommend(analysis_of(tmp_path, fake("good", 0.8, 8), fake("cheap", 0.5, 1)))
    assert advice.keep is not None
    assert advice.keep.name == "good"
    assert advice.cost is None
