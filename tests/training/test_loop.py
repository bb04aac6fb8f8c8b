"""The loop: it learns, it stops and goes on at any step, and its numbers are what they claim."""

import json
import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import segfit
from segfit.config import build_recipe
from segfit.data.ade20k import Ade20k
from segfit.data.cache import prepare
from segfit.data.census import take_census
from segfit.errors import Interrupted, RunError
from segfit.models import MODELS, FeatureOutput, Normalize, Segmenter
from segfit.training import loop
from segfit.training.checkpoint import load_weights


def events(run, kind):
    lines = (run / "events.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def weights(run, name="last"):
    from safetensors.torch import load_file

    return load_file(run / "checkpoints" / f"{name}.safetensors")


def same(a, b):
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture
def every_step(monkeypatch):
    """Log each step, so that curves can be compared."""
    monkeypatch.setattr(loop, "LOG_SECONDS", 0.0)


def test_a_run_learns_and_records_its_facts(trained):
    losses = [event["loss"] for event in events(trained, "epoch")]
    assert losses[-1] < losses[0]
    metrics = json.loads((trained / "metrics.json").read_text())
    training = metrics["training"]
    assert training["epochs"] == 2
    assert training["steps"] == 6
    assert training["seconds"] > 0
    assert training["memory"] > 0
    assert training["best_score"] == max(event["dice"] for event in events(trained, "validation"))
    assert metrics["evaluation"]["scores"]["dice"] == pytest.approx(training["best_score"], abs=1e-12)
    assert len(list((trained / "examples").iterdir())) == 2


def test_the_stored_recipe_trains_again_identically(trained, tmp_path):
    again = segfit.train(str(trained / "recipe.json"), tmp_path / "again")
    same(weights(trained), weights(again))


class StopAfter:
    """Sends this process a signal when the loop makes its n-th step, and notes the ids of every batch."""

    def __init__(self, monkeypatch, count, number):
        self.left, self.number, self.ids = count, number, []
        original = loop.Trainer._train_step

        def counted(trainer, batch):
            self.left -= 1
            self.ids.append(batch.ids)
            if self.left == 0:
                os.kill(os.getpid(), self.number)
            return original(trainer, batch)

        monkeypatch.setattr(loop.Trainer, "_train_step", counted)


@pytest.mark.parametrize(
    "model",
    [{"name": "unet", "width": 4, "depth": 2}, {"name": "attention_unet", "width": 4, "depth": 2, "dropout": 0.3}],
)
@pytest.mark.parametrize("stop_at", [1, 3, 4])
def test_an_interrupted_run_goes_on_bit_for_bit(tiny, tmp_path, monkeypatch, every_step, model, stop_at):
    recipe = build_recipe({**tiny, "model": model})
    whole = segfit.train(recipe, tmp_path / "whole")
    with monkeypatch.context() as patch:
        StopAfter(patch, stop_at, signal.SIGINT)
        with pytest.raises(Interrupted, match="SIGINT"):
            segfit.train(recipe, tmp_path / "parts")
    assert not (tmp_path / "parts" / "metrics.json").exists()
    parts = segfit.resume(tmp_path / "parts")
    same(weights(whole), weights(parts))
    same(weights(whole, "best"), weights(parts, "best"))
    assert [event["loss"] for event in events(whole, "step")] == [event["loss"] for event in events(parts, "step")]
    assert [event["loss"] for event in events(whole, "epoch")] == [event["loss"] for event in events(parts, "epoch")]
    scores = [json.loads((run / "metrics.json").read_text())["evaluation"]["scores"] for run in (whole, parts)]
    assert scores[0] == scores[1]


def test_sigterm_stops_with_its_own_number(tiny_recipe, tmp_path, monkeypatch):
    StopAfter(monkeypatch, 2, signal.SIGTERM)
    with pytest.raises(Interrupted) as caught:
        segfit.train(tiny_recipe, tmp_path / "run")
    assert caught.value.number == signal.SIGTERM
    assert (tmp_path / "run" / "checkpoints" / "last.safetensors").is_file()


def test_a_finished_run_is_prolonged_and_equals_a_longer_one(tiny, tmp_path):
    def constant(epochs):
        return build_recipe(
            {**tiny, "optim": {"name": "adam", "schedule": "constant"}, "train": {**tiny["train"], "epochs": epochs}}
        )

    long = segfit.train(constant(3), tmp_path / "long")
    short = segfit.train(constant(2), tmp_path / "short")
    same(weights(long), weights(segfit.resume(short, overrides=["train.epochs=3"])))


def test_continue_from_starts_a_new_run_where_another_ended(tiny, tmp_path):
    optim = {"name": "adam", "schedule": "constant"}
    first = build_recipe({**tiny, "name": "first", "optim": optim})
    second = build_recipe(
        {**tiny, "name": "second", "optim": optim, "train": {**tiny["train"], "epochs": 3, "continue_from": "first"}}
    )
    with pytest.raises(RunError, match="no such run to continue: train it first"):
        segfit.train(second, tmp_path / "second")
    segfit.train(first, tmp_path / "first")
    run = segfit.train(second, tmp_path / "second")
    assert [event["epoch"] for event in events(run, "epoch")] == [1, 2, 3]
    assert json.loads((run / "metrics.json").read_text())["training"]["steps"] == 9


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["optim.lr=0.5"], r"was trained with optim\.lr=0\.01, not 0\.5"),
        (["labels.top=3"], r"was trained with labels\.top=None, not 3"),
        (["train.epochs=1"], "was planned for 2 epochs, more than 1"),
    ],
)
def test_a_run_is_not_resumed_as_another_one(trained, overrides, message):
    with pytest.raises(RunError, match=message):
        segfit.resume(trained, overrides=overrides)


def test_a_folder_with_a_run_is_not_overwritten(trained, tiny_recipe):
    before = (trained / "metrics.json").read_bytes()
    with pytest.raises(RunError, match="holds a run already"):
        segfit.train(tiny_recipe, trained)
    assert (trained / "metrics.json").read_bytes() == before


class Linear(Segmenter):
    """Without batch normalisation, which sees micro-batches, every number is a plain mean over pixels."""

    def __init__(self, classes: int, *, normalize: Normalize = "unit") -> None:
        super().__init__(normalize)
        self.classifier = torch.nn.Conv2d(3, classes, 1)

    def predict(self, x):
        return FeatureOutput(x, self.classifier)


def test_micro_batches_add_up_to_the_batch(tiny, tmp_path, monkeypatch, every_step):
    monkeypatch.setitem(MODELS._builders, "linear", Linear)
    # The crops have different shares of ignored pixels, so a mean of means would differ.
    augment = {**tiny["augment"], "scale": [0.3, 1.5]}

    def run(accumulate):
        recipe = build_recipe(
            {**tiny, "augment": augment, "model": {"name": "linear"}}, [f"train.accumulate={accumulate}"]
        )
        return segfit.train(recipe, tmp_path / str(accumulate))

    one, four = run(1), run(4)
    assert [e["loss"] for e in events(one, "step")] == pytest.approx(
        [e["loss"] for e in events(four, "step")], rel=1e-5
    )
    for name, value in weights(one).items():
        torch.testing.assert_close(value, weights(four)[name], rtol=1e-4, atol=1e-6)


class Tight(Linear):
    """Has room for a few images at a time in training; notes how many it saw."""

    room = 100
    seen: list[int]

    def predict(self, x):
        if self.training:
            Tight.seen.append(len(x))
            if len(x) > Tight.room:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return super().predict(x)


@pytest.fixture
def tight(tiny, monkeypatch):
    monkeypatch.setitem(MODELS._builders, "tight", Tight)
    monkeypatch.setattr(Tight, "seen", [], raising=False)
    monkeypatch.setattr(Tight, "room", 2)
    return build_recipe({**tiny, "model": {"name": "tight"}})


def test_a_resumed_run_keeps_the_micro_batches_that_fitted(tight, tmp_path, monkeypatch, every_step):
    whole = segfit.train(tight, tmp_path / "whole")
    # Planning may have run the model before.
    assert Tight.seen[-13:] == [4, *[2] * 12]
    [told] = events(whole, "out_of_memory")
    assert (told["step"], told["from"], told["to"], told["images"], told["planned"]) == (0, 1, 2, 2, None)
    with monkeypatch.context() as patch:
        StopAfter(patch, 2, signal.SIGINT)
        with pytest.raises(Interrupted):
            segfit.train(tight, tmp_path / "parts")
    Tight.seen, Tight.room = [], 100
    parts = segfit.resume(tmp_path / "parts")
    assert Tight.seen[-8:] == [2] * 8
    assert len(events(parts, "out_of_memory")) == 1
    same(weights(whole), weights(parts))


def test_a_checkpoint_that_knows_no_micro_batches_is_read(tight, tmp_path, monkeypatch):
    from safetensors import safe_open
    from safetensors.torch import save_file

    Tight.room = 100
    with monkeypatch.context() as patch:
        StopAfter(patch, 2, signal.SIGINT)
        with pytest.raises(Interrupted):
            segfit.train(tight, tmp_path / "run")
    path = tmp_path / "run" / "checkpoints" / "last.safetensors"
    with safe_open(path, framework="pt") as file:
        facts = json.loads(file.metadata()["segfit"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert facts["progress"].pop("accumulate") == 0
    save_file(tensors, path, metadata={"segfit": json.dumps(facts)})
    Tight.seen = []
    segfit.resume(tmp_path / "run")
    assert Tight.seen[-4:] == [4] * 4


def test_a_loss_that_is_not_a_number_ends_the_run(tiny, tmp_path, every_step):
    recipe = build_recipe(tiny, ["optim.lr=1e30", "optim.name=sgd"])
    with pytest.raises(RunError, match=r"the loss is (nan|inf) at step \d+: lower optim\.lr"):
        segfit.train(recipe, tmp_path / "run")


def test_the_best_checkpoint_is_the_best_validated_one(trained):
    recipe = segfit.load_recipe(trained)
    labels = json.loads((trained / "labels.json").read_text())
    model = MODELS.build("unet", len(labels["names"]), **segfit.resolve(recipe).model.options)
    facts = load_weights(trained / "checkpoints" / "best.safetensors", model)
    validations = events(trained, "validation")
    assert facts["dice"] == max(event["dice"] for event in validations)


# --- the loader's part -----------------------------------------------------------------------------------------------


def test_a_run_from_the_cache_is_the_run_from_the_files(tiny, trained, tmp_path):
    source = Ade20k(Path(tiny["data"]["root"]))
    prepare(source, {"training": source.records("training")}, tmp_path / "cache", short_side=64)
    recipe = build_recipe(tiny, [f"data.cache={tmp_path / 'cache'}", "train.workers=1"])
    same(weights(trained), weights(segfit.train(recipe, tmp_path / "run")))


def test_a_run_that_prefers_rare_classes_goes_on_bit_for_bit(tiny, tmp_path, monkeypatch, capsys):
    source = Ade20k(Path(tiny["data"]["root"]))
    counted = take_census(source, source.records("training"))
    # Between a class of one image and one of most, that image is drawn more than twice per epoch.
    rare, common = np.flatnonzero(counted.images() == 1)[0], counted.images().argmax()
    classes = [source.labels.names[rare], source.labels.names[common]]
    recipe = build_recipe({**tiny, "labels": {"classes": classes}}, ["data.sampling=rare", "train.workers=2"])
    steps = StopAfter(monkeypatch, 0, signal.SIGINT)
    whole = segfit.train(recipe, tmp_path / "whole")
    assert "counting the classes in 12 training masks" in capsys.readouterr().err
    the_image = counted.ids[int(counted.pixels[:, rare].argmax())]
    assert sum(steps.ids[:3], ()).count(the_image) >= 2
    assert sum(steps.ids[3:], ()).count(the_image) >= 2
    with monkeypatch.context() as patch:
        StopAfter(patch, 2, signal.SIGINT)
        with pytest.raises(Interrupted):
            segfit.train(recipe, tmp_path / "parts")
    same(weights(whole), weights(segfit.resume(tmp_path / "parts", overrides=["train.workers=0"])))


def test_a_run_that_waits_for_its_data_says_so(tiny_recipe, tmp_path, monkeypatch, capsys):
    def slowly(source, record, read=Ade20k.read_mask):
        time.sleep(0.1 if "training" in record.mask.parts else 0)
        return read(source, record)

    monkeypatch.setattr(Ade20k, "read_mask", slowly)
    run = segfit.train(tiny_recipe, tmp_path / "run")
    waits = [event["wait"] for kind in ("step", "epoch") for event in events(run, kind)]
    assert all(0.2 < wait < 1 for wait in waits)
    said = [line for line in capsys.readouterr().err.splitlines() if "train loss" in line]
    advice = (
        r"waited \d\d % for data: raise train\.workers, or read decoded images \(segfit data prepare; data\.cache=…\)"
    )
    assert all(re.search(advice, line) for line in said)
    assert len(said) == 2


def test_a_dead_loader_process_ends_the_run_with_one_line(tiny, cli, tmp_path, monkeypatch):
    def die(source, record, read=Ade20k.read_mask):
        if record.id.endswith("5"):
            os.kill(os.getpid(), signal.SIGKILL)
        return read(source, record)

    monkeypatch.setattr(Ade20k, "read_mask", die)
    (tmp_path / "recipe.json").write_text(json.dumps({**tiny, "train": {**tiny["train"], "workers": 2}}))
    done = cli("train", tmp_path / "recipe.json", "--out", tmp_path / "run", check=2)
    assert done.stdout == ""
    line = r"segfit: loader process [12] of 2 was killed by SIGKILL while it read \S+5\.jpg: if memory .*\n"
    assert re.fullmatch(line, done.stderr)
