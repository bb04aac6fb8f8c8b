"""The moving average of the weights: what it is, what is kept of it, and that a run with it goes on bit for bit."""

import copy
import json
import signal

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import segfit
from segfit.config import build_recipe
from segfit.errors import Interrupted, RunError
from segfit.training import loop
from segfit.training.average import MovingAverage
from segfit.training.checkpoint import load_weights, open_weights


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def change(model):
    with torch.no_grad():
        for value in model.state_dict().values():
            value.add_(torch.randn(value.shape) if value.is_floating_point() else 1)


def test_it_is_the_recurrence_in_float64(model):
    average = MovingAverage(model, 0.8)
    expected = {name: value.double() for name, value in model.state_dict().items() if value.is_floating_point()}
    for step in range(1, 60):
        change(model)
        average.update()
        decay = min(0.8, step / (step + 10))
        expected = {
            name: decay * old + (1 - decay) * model.state_dict()[name].double() for name, old in expected.items()
        }
    for name, value in expected.items():
        torch.testing.assert_close(average.values[name].double(), value, rtol=1e-5, atol=1e-5)
    assert "1.num_batches_tracked" not in average.values


def test_once_warm_it_is_what_torch_computes(model):
    average = MovingAverage(model, 0.8)
    average.steps = 1000
    theirs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.8), use_buffers=True)
    theirs.update_parameters(model)
    for _ in range(20):
        change(model)
        average.update()
        theirs.update_parameters(model)
    for name, value in average.values.items():
        torch.testing.assert_close(value, theirs.module.state_dict()[name], rtol=1e-5, atol=1e-5)


def test_showing_it_leaves_the_weights_as_they_were(model):
    average = MovingAverage(model, 0.9)
    change(model)
    average.update()
    before, values = copy.deepcopy(model.state_dict()), copy.deepcopy(average.values)
    with pytest.raises(KeyboardInterrupt), average.shown():
        assert all(torch.equal(model.state_dict()[name], value) for name, value in values.items())
        raise KeyboardInterrupt
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    assert all(torch.equal(average.values[name], value) for name, value in values.items())


# --- in a run --------------------------------------------------------------------------------------------------------


def stored(run, name="last"):
    return load_file(run / "checkpoints" / f"{name}.safetensors")


def same(a, b):
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture(scope="module")
def averaged(tiny, tmp_path_factory):
    return segfit.train(build_recipe(tiny, ["train.ema=0.9"]), tmp_path_factory.mktemp("ema") / "run")


def test_the_training_itself_stays_the_same(averaged, trained):
    mine = {name: value for name, value in stored(averaged).items() if not name.startswith("average/")}
    same(mine, stored(trained))


def test_the_average_is_what_is_validated_kept_and_used(averaged, tiny):
    recipe = segfit.resolve(segfit.load_recipe(averaged))
    labels = json.loads((averaged / "labels.json").read_text())
    from segfit.models import MODELS

    model = MODELS.build("unet", len(labels["names"]), **recipe.model.options)
    load_weights(averaged / "checkpoints" / "last.safetensors", model)
    last = stored(averaged)
    shown = {name.removeprefix("average/"): value for name, value in last.items() if name.startswith("average/")}
    assert all(torch.equal(model.state_dict()[name], value) for name, value in shown.items())
    assert any(not torch.equal(last[name], value) for name, value in shown.items())
    with open_weights(averaged / "checkpoints" / "last.safetensors") as file:
        assert set(file.names) == set(model.state_dict())
        assert all(torch.equal(file.tensor(name), value) for name, value in model.state_dict().items())
    events = [json.loads(line) for line in (averaged / "events.jsonl").read_text().splitlines()]
    validated = [event for event in events if event["event"] == "validation"]
    again = segfit.evaluate(averaged, checkpoint="last")
    assert again["loss"] == pytest.approx(validated[-1]["loss"])
    assert not any(name.startswith("average/") for name in stored(averaged, "best"))


@pytest.mark.parametrize("stop_at", [1, 3, 4])
def test_an_interrupted_run_goes_on_bit_for_bit(averaged, tiny, tmp_path, monkeypatch, stop_at):
    left = stop_at
    make = loop.Trainer._train_step

    def stopping(trainer, batch):
        nonlocal left
        left -= 1
        if left == 0:
            trainer.stop._remember(signal.SIGINT, None)
        return make(trainer, batch)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, "_train_step", stopping)
        with pytest.raises(Interrupted):
            segfit.train(build_recipe(tiny, ["train.ema=0.9"]), tmp_path / "run")
    run = segfit.resume(tmp_path / "run")
    same(stored(run), stored(averaged))
    same(stored(run, "best"), stored(averaged, "best"))


def test_a_run_without_it_does_not_go_on_with_it(trained):
    with pytest.raises(RunError, match=r"was trained with train\.ema=None, not 0\.9"):
        segfit.resume(trained, overrides=["train.ema=0.9"])
