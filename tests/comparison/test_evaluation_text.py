"""An evaluation in the terminal: aligned at any width, complete, and silent about what was not measured."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len

from run_folders import Fake, records, space
from segfit.comparison.text import evaluation_text
from segfit.evaluation.boundary import boundary_counts
from segfit.evaluation.calibration import calibration_counts
from segfit.evaluation.engine import Evaluation
from segfit.evaluation.facts import evaluation_facts
from segfit.evaluation.records import Records

PROTOCOL = {"protocol": "original", "window": "whole", "weighting": "uniform", "scales": [1.0], "flip": False}


def facts_of(fake: Fake, **protocol: Any) -> dict[str, Any]:
    """Return the facts of an invented evaluation with boundaries and confidences."""
    made, classes = records(fake), len(fake.names)
    target = np.kron(np.arange(64).reshape(8, 8) % classes, np.ones((16, 16))).astype(np.uint8)
    prediction = np.roll(target, 2, axis=0)
    confidence = np.full(target.shape, 0.75, dtype=np.float32)
    evaluation = Evaluation(
        confusion=Records.of(made, classes).total(),
        loss=0.7,
        records=made,
        seconds=3.0,
        boundary=boundary_counts(target, prediction, classes, 0.02),
        calibration=calibration_counts(target, prediction, confidence),
    )
    facts = evaluation_facts(evaluation, space(fake), split="validation", checkpoint="best")
    return {**facts, **PROTOCOL, **protocol}


FEW = Fake(images=20)
MANY = Fake(images=20, names=tuple(f"a class with a long name, number {i}" for i in range(150)))


def line(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(start))


@pytest.mark.parametrize("fake", [FEW, MANY], ids=["8 classes", "150 classes"])
@pytest.mark.parametrize("width", [80, 100, 200])
def test_fits_the_width_and_numbers_stand_below_each_other(fake: Fake, width: int) -> None:
    text = evaluation_text(facts_of(fake), width)
    lines = text.splitlines()
    assert max(map(cell_len, lines)) <= width
    table = lines[1 : lines.index("")]
    assert len(table) == 2 + len(fake.names)
    assert len({cell_len(line) for line in table}) == 1
    assert table[0].split() == ["class", "Dice", "IoU", "prec.", "recall", "IoU", "F", "pixels"]
    # The word above ends where the last title of its group does.
    assert len(lines[0]) == table[0].index("F") + 1


def test_every_number_is_the_one_of_the_facts() -> None:
    facts = facts_of(FEW)
    text = evaluation_text(facts, 100)
    keys = ("dice", "iou", "precision", "recall", "boundary_iou", "boundary_f")
    for row in facts["per_class"]:
        words = line(text, row["name"]).split()
        assert words == [row["name"], *(f"{row[key]:.4f}" for key in keys), f"{row['pixels']:,}"]
    for key, name in (("macro", "macro"), ("micro", "micro"), ("weighted", "weighted"), ("per_image", "per image")):
        both = facts["averages"][key], facts["baseline_averages"][key]
        numbers = [f"{averages[metric]:.4f}" for averages in both for metric in keys[:4]]
        assert line(text, name).removeprefix(name).split() == numbers
    assert f"{facts['scores']['boundary_iou']:.4f}, F {facts['scores']['boundary_f']:.4f}" in line(text, "boundary")
    assert f"(ECE) {facts['scores']['ece']:.4f}: 0.7500 sure on average" in line(text, "calibration")
    assert line(text, "images").split() == ["images", "20", "of", "validation"]


def test_a_class_that_does_not_occur_has_dashes() -> None:
    facts = facts_of(FEW)
    facts["per_class"][3] |= dict.fromkeys(("dice", "iou", "precision", "recall", "boundary_iou", "boundary_f"), None)
    facts["per_class"][3]["pixels"] = 0
    assert line(evaluation_text(facts, 100), "tree").split() == ["tree", *"------", "0"]


def test_what_was_not_measured_is_left_out() -> None:
    """As in `segfit score`: no boundaries, no confidences, no images, no protocol."""
    facts = facts_of(FEW)
    for key in ("boundary", "calibration", *PROTOCOL):
        del facts[key]
    for averages in (facts["averages"], facts["baseline_averages"]):
        del averages["per_image"]
    for row in facts["per_class"]:
        del row["boundary_iou"], row["boundary_f"]
    text = evaluation_text(facts, 100)
    for word in ("boundary", "calibration", "per image", "nan", "None"):
        assert word not in text
    assert text.startswith("class ")
    assert line(text, "protocol").endswith("scored at each image's original size")


def test_a_long_name_is_cut_and_a_wide_one_too() -> None:
    names = ("\N{CJK UNIFIED IDEOGRAPH-6A39}" * 40, "plain", *FEW.names[2:])
    lines = evaluation_text(facts_of(replace(FEW, names=names)), 80).splitlines()
    cut = next(line for line in lines if line.startswith(names[0][0]))
    assert "\N{HORIZONTAL ELLIPSIS}" in cut
    assert cell_len(cut) == cell_len(next(line for line in lines if line.startswith("plain"))) <= 80


def test_the_protocol_says_all_that_scores_must_share() -> None:
    changes = {"protocol": "mmseg", "window": "sliding", "weighting": "gaussian", "scales": [0.75, 1.0], "flip": True}
    text = evaluation_text(facts_of(FEW, **changes), 300)
    words = line(text, "protocol")
    for part in ("mmseg: short side 512", "in sliding windows, gaussian weights", "scales 0.75 1", "mirrored, too"):
        assert part in words
    plain = line(evaluation_text(facts_of(FEW), 300), "protocol")
    assert plain.endswith("original: input as in training, scored at each image's original size")


@pytest.mark.parametrize(
    ("confidence", "words"), [(0.99, "too sure"), (0.01, "not sure enough")], ids=["too sure", "not sure enough"]
)
def test_calibration_in_words(confidence: float, words: str) -> None:
    facts = facts_of(FEW)
    target = np.zeros((4, 4), dtype=np.uint8)
    prediction = np.tile(np.array([0, 1], dtype=np.uint8), (4, 2))
    found = calibration_counts(target, prediction, np.full((4, 4), confidence, dtype=np.float32))
    facts["calibration"] = found.facts()
    assert line(evaluation_text(facts, 200), "calibration").endswith(f"right in 0.5000: {words}")
    facts["calibration"] = {**found.facts(), "ece": None, "bins": []}
    assert line(evaluation_text(facts, 200), "calibration").endswith("no pixel to measure it on")
