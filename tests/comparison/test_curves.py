from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segfit.comparison.curves import best_position, learning_curves, overfit_epoch

Event = dict[str, Any]


@dataclass
class Loop:
    """What the training loop does with its clock and its events, without training anything."""

    per_epoch: int
    epochs: int
    wall: int = 1_000
    events: list[Event] = field(default_factory=list)
    state: dict[str, int] = field(default_factory=lambda: {"epoch": 0, "batch": 0, "step": 0, "seconds": 0})
    saved: dict[str, int] = field(default_factory=dict)
    truth: dict[int, int] = field(default_factory=dict)

    def write(self, event: str, **facts: Any) -> None:
        self.events.append({"event": event, "time": float(self.wall), "step": self.state["step"], **facts})

    def spend(self, seconds: int) -> None:
        self.wall += seconds
        self.state["seconds"] += seconds

    def save(self) -> None:
        self.saved = dict(self.state)

    def start(self, dt: int, stop: int | None, *, saves: bool) -> None:
        """Train to the end, or be interrupted after `stop` steps of this start: told to stop (saves) or killed."""
        self.wall += 5_000  # a pause that no run is charged for
        self.state = dict(self.saved) if self.saved else self.state
        made = 0
        self.write("start", epoch=self.state["epoch"])
        while self.state["epoch"] < self.epochs:
            begun = self.state["seconds"]
            while self.state["batch"] < self.per_epoch:
                self.spend(dt)
                self.state["step"] += 1
                self.state["batch"] += 1
                made += 1
                if made % 2 or made == stop or self.state["batch"] == self.per_epoch:
                    self.write("step", epoch=0.5, loss=1.0, memory=100 * self.state["step"])
                if made == stop and self.state["batch"] < self.per_epoch:
                    if saves:
                        self.save()
                    return
            self.state["epoch"] += 1
            self.state["batch"] = 0
            self.save()
            epoch = self.state["epoch"]
            self.write("epoch", epoch=epoch, loss=1.0, seconds=float(self.state["seconds"] - begun))
            self.spend(7)
            self.truth[epoch] = self.state["seconds"]
            self.write("validation", epoch=epoch, loss=1.0, dice=epoch / 100, miou=epoch / 200)
            self.save()
        self.write("end", epoch=self.state["epoch"])


INTERRUPTIONS = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 12), st.booleans()), max_size=5)


@given(per_epoch=st.integers(1, 5), epochs=st.integers(1, 5), interruptions=INTERRUPTIONS)
def test_seconds_are_those_that_the_loop_counted(
    per_epoch: int, epochs: int, interruptions: list[tuple[int, int, bool]]
) -> None:
    loop = Loop(per_epoch=per_epoch, epochs=epochs)
    for dt, stop, saves in interruptions:
        if loop.saved.get("epoch", 0) < epochs:
            loop.start(dt, stop, saves=saves)
    loop.start(3, None, saves=False)
    curves = learning_curves(loop.events)
    assert curves.validated.tolist() == list(range(1, epochs + 1))
    assert curves.seconds.tolist() == [loop.truth[epoch] for epoch in range(1, epochs + 1)]
    assert curves.steps.tolist() == [per_epoch * epoch for epoch in range(1, epochs + 1)]
    assert (np.diff(curves.seconds) > 0).all()
    assert (np.diff(curves.memory_steps) > 0).all()
    assert curves.memory.tolist() == [100 * step for step in curves.memory_steps.tolist()]


@given(first=st.integers(1, 3), more=st.integers(1, 3), per_epoch=st.integers(1, 4))
def test_a_continued_run_has_the_time_of_what_it_continues(first: int, more: int, per_epoch: int) -> None:
    loop = Loop(per_epoch=per_epoch, epochs=first)
    loop.start(2, None, saves=False)
    loop.epochs = first + more
    loop.start(5, None, saves=False)
    curves = learning_curves(loop.events)
    assert curves.seconds[first - 1] == first * (2 * per_epoch + 7)
    assert curves.seconds[-1] == first * (2 * per_epoch + 7) + more * (5 * per_epoch + 7)


def test_a_clock_that_was_set_back_takes_no_time_away() -> None:
    events = [
        {"event": "start", "time": 100.0, "step": 0},
        {"event": "epoch", "time": 130.0, "step": 5, "epoch": 1, "loss": 1.0, "seconds": 30.0},
        {"event": "validation", "time": 60.0, "step": 5, "epoch": 1, "loss": 1.0, "dice": 0.1, "miou": 0.1},
        {"event": "epoch", "time": 80.0, "step": 10, "epoch": 2, "loss": 1.0, "seconds": 20.0},
        {"event": "validation", "time": 84.0, "step": 10, "epoch": 2, "loss": 1.0, "dice": 0.2, "miou": 0.1},
    ]
    assert learning_curves(events).seconds.tolist() == [30.0, 54.0]


def test_old_events_that_do_not_tell_are_nan() -> None:
    curves = learning_curves([{"event": "validation", "epoch": e, "loss": 1.0, "dice": 0.1 * e} for e in (1, 2)])
    assert np.isnan(curves.steps).tolist() == np.isnan(curves.seconds).tolist() == [True, True]
    assert curves.dice == pytest.approx([0.1, 0.2])
    assert curves.memory.size == 0


def test_epochs_without_seconds_are_timed_by_the_clock() -> None:
    events = [
        {"event": "start", "time": 100.0, "step": 0},
        {"event": "epoch", "time": 130.0, "step": 5, "epoch": 1, "loss": 1.0},
        {"event": "validation", "time": 132.0, "step": 5, "epoch": 1, "loss": 1.0, "dice": 0.1, "miou": 0.1},
    ]
    assert learning_curves(events).seconds.tolist() == [32.0]


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=12))
def test_the_best_score_so_far_is_the_highest_up_to_there(scores: list[float | None]) -> None:
    events = [{"event": "validation", "epoch": e, "loss": 1.0, "dice": s} for e, s in enumerate(scores, 1)]
    best = learning_curves(events).best_so_far("dice")
    for i, value in enumerate(best.tolist()):
        seen = [score for score in scores[: i + 1] if score is not None]
        assert value == max(seen) if seen else np.isnan(value)


@given(st.lists(st.one_of(st.none(), st.sampled_from([0.1, 0.2, 0.3])), max_size=9))
def test_overfitting_takes_three_scores_that_are_worse(scores: list[float | None]) -> None:
    events: list[Event] = []
    for epoch, score in enumerate(scores, 1):
        events.append({"event": "epoch", "epoch": epoch, "loss": 1 / epoch, "seconds": 1.0})
        events.append({"event": "validation", "epoch": epoch, "loss": 1.0, "dice": score})
    known = [(score, epoch) for epoch, score in enumerate(scores, 1) if score is not None]
    best = max(known)[1] if known else 0
    worse = [epoch for _, epoch in known if epoch > best]
    assert overfit_epoch(learning_curves(events)) == (best if len(worse) >= 3 else None)


def test_of_equal_scores_the_last_is_the_best() -> None:
    assert best_position(np.array([0.5, 0.6, np.nan, 0.6, 0.59, np.nan])) == 3
