import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from run_folders import STUDY, Fake, edit_json, write_run
from segfit.comparison.comparing import compare
from segfit.comparison.facts import read_run
from segfit.comparison.overfitting import Overfitting, continuations, overfitting, overfitting_of
from segfit.comparison.table import Group

SMALL = tuple(replace(fake, images=4) for fake in STUDY)


def group_of(folder: Path, *fakes: Fake) -> Group:
    (group,) = compare([write_run(folder / fake.name, fake) for fake in fakes]).groups
    return group


def test_what_came_after_the_best_epoch_is_counted(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", SMALL[1]))
    found = overfitting_of(run, "dice")
    assert found is not None
    dice = [event["dice"] for event in run.events if event["event"] == "validation"]
    assert (found.best_epoch, found.last_epoch, found.epochs) == (22, 40, 18)
    assert (found.best, found.last) == (max(dice), dice[-1])
    assert found.lost == pytest.approx(max(dice) - dice[-1])
    assert found.seconds == pytest.approx(18 / 40 * SMALL[1].seconds)
    assert found.share == pytest.approx(18 / 40)


def test_it_is_said_in_words(tmp_path: Path) -> None:
    sentences = overfitting(group_of(tmp_path, SMALL[1], SMALL[2]))
    assert len(sentences) == 2
    assert re.fullmatch(
        r"attention-unet-8 was best at epoch 22 of 40; the 18 epochs after it took 3 h 06 min \(45 % of the training\) "
        r"and lost 0\.\d{3} Dice\.",
        sentences[0],
    )
    assert sentences[1].startswith("The tables show the weights of the best epochs")


def test_the_last_checkpoint_contains_the_loss(tmp_path: Path) -> None:
    folders = [write_run(tmp_path / fake.name, fake) for fake in SMALL[:2]]
    edit_json(folders[0] / "metrics.json", "evaluation", "checkpoint", value="last")
    (group,) = compare(folders).groups
    assert "elsewhere it is time only" in overfitting(group)[-1]
    edit_json(folders[1] / "metrics.json", "evaluation", "checkpoint", value="last")
    (group,) = compare(folders).groups
    assert overfitting(group)[-1] == "The tables show the last weights, so they contain the loss."


def test_runs_that_improve_to_their_end_are_not_mentioned(tmp_path: Path) -> None:
    assert overfitting(group_of(tmp_path, SMALL[2], SMALL[3])) == ()


def test_events_without_times_are_counted_in_epochs(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", SMALL[1])
    file = folder / "events.jsonl"
    file.write_text(re.sub(r'"(time|seconds)": [\d.e+]+, ', "", file.read_text()))
    found = overfitting_of(read_run(folder), "dice")
    assert found is not None
    assert found.seconds is None
    assert found.share == 18 / 40
    assert found.cost().startswith("the 18 epochs after it were 45 % of the training and lost 0.")


@given(best=st.floats(0, 1), lost=st.floats(0, 0.4), epochs=st.integers(1, 200))
def test_words_never_claim_more_than_was_lost(best: float, lost: float, epochs: int) -> None:
    found = Overfitting(
        metric="miou", best_epoch=3, last_epoch=3 + epochs, best=best, last=best - lost, seconds=60.0, share=0.5,
        kept=True,
    )  # fmt: skip
    cost = found.cost()
    assert ("the epoch after it" in cost) == (epochs == 1)
    said = re.search(r"lost (?:less than )?(\d\.\d{3}) mIoU", cost)
    assert said is not None
    assert abs(float(said[1]) - found.lost) <= 0.001


# --- runs that continue one another ----------------------------------------------------------------------------------

SHORT = replace(SMALL[1], name="attention-unet-10", epochs=50, peak=45, seconds=8 * 3600)
MIDDLE = replace(
    SHORT, name="attention-unet-10-125", epochs=125, peak=61, seconds=20 * 3600,
    changes={"train.continue_from": "attention-unet-10"},
)  # fmt: skip
LONG = replace(
    SHORT, name="attention-unet-10-200", epochs=200, peak=61, seconds=31 * 3600,
    changes={"train.continue_from": "attention-unet-10-125"},
)  # fmt: skip


def test_the_papers_three_runs_are_one_story(tmp_path: Path) -> None:
    group = group_of(tmp_path, LONG, SHORT, MIDDLE)
    assert [[row.name for row in chain] for chain in continuations(group)] == [[SHORT.name, MIDDLE.name, LONG.name]]
    story, *rest = overfitting(group)
    whole = next(run for run in group.runs if run.training.epochs == 200)
    at = [whole.curves.dice[epoch - 1] for epoch in (50, 125, 200)]
    best = int(np.argmax(whole.curves.dice))
    assert story.startswith(
        f"attention-unet-10 was trained for 50 epochs and continued to 125 and then to 200: validation Dice was "
        f"{at[0]:.3f} at 50, {at[1]:.3f} at 125, {at[2]:.3f} at 200 epochs. It was best at epoch {best + 1} with "
        f"{whole.curves.dice[best]:.3f}; the {199 - best} epochs after it took "
    )
    assert story.endswith(f"lost {whole.curves.dice[best] - at[2]:.3f} Dice.")
    # None of the three is told again by itself.
    assert len(rest) == 1
    assert "was best at" not in rest[0]


def test_a_continued_run_that_still_improves_is_a_story_without_loss(tmp_path: Path) -> None:
    longer = replace(MIDDLE, name="longer", peak=None, changes={"train.continue_from": "attention-unet-10"})
    (story,) = overfitting(group_of(tmp_path, replace(SHORT, peak=None), longer))
    assert story.endswith("going on did not overfit it.")


def rewrite(folder: Path, scores: dict[int, float], losses: dict[int, float] | None = None) -> None:
    """Leave the validations of some epochs, with these scores, and change training losses."""
    kept = []
    for line in (folder / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["event"] == "validation":
            if event["epoch"] not in scores:
                continue
            event["dice"] = scores[event["epoch"]]
        if event["event"] == "epoch":
            event["loss"] = (losses or {}).get(event["epoch"], event["loss"])
        kept.append(json.dumps(event) + "\n")
    (folder / "events.jsonl").write_text("".join(kept))


def test_what_was_lost_is_told_where_too_few_validations_follow(tmp_path: Path) -> None:
    folders = [write_run(tmp_path / fake.name, fake) for fake in (SHORT, MIDDLE, LONG)]
    for folder in folders:
        rewrite(folder, {50: 0.6, 125: 0.55, 200: 0.4})
    (story,) = overfitting(compare(folders).groups[0])
    assert story.endswith(
        "It was best at epoch 50 with 0.600 and had lost 0.200 Dice by epoch 200: too few validations follow to tell "
        "whether it overfits."
    )
    # The best is the last one that was finite.
    for folder in folders:
        rewrite(folder, {50: 0.6, 125: 0.62, 200: float("nan")})
    (story,) = overfitting(compare(folders).groups[0])
    assert story.endswith("It was best at epoch 125 with 0.620: going on did not overfit it.")


def test_a_score_that_fell_with_a_training_loss_that_rose_is_no_overfitting(tmp_path: Path) -> None:
    folders = [write_run(tmp_path / fake.name, fake) for fake in (SHORT, MIDDLE)]
    for folder in folders:
        rewrite(folder, {50: 0.6, 75: 0.5, 100: 0.5, 125: 0.5}, {125: 9.0})
    (story,) = overfitting(compare(folders).groups[0])
    assert story.endswith(
        "had lost 0.100 Dice by epoch 125, but nothing shows that it fitted its training images any better: that is "
        "not called overfitting."
    )


def test_a_run_continued_twice_begins_two_stories(tmp_path: Path) -> None:
    other = replace(MIDDLE, name="other", epochs=80)
    group = group_of(tmp_path, SHORT, MIDDLE, other)
    assert sorted(tuple(row.name for row in chain) for chain in continuations(group)) == [
        (SHORT.name, MIDDLE.name),
        (SHORT.name, "other"),
    ]


def test_a_run_that_continues_one_that_is_not_compared_stands_alone(tmp_path: Path) -> None:
    group = group_of(tmp_path, MIDDLE, SMALL[2])
    assert continuations(group) == []
    assert overfitting(group)[0].startswith("attention-unet-10-125 was best at epoch ")
