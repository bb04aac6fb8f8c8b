"""One step: its halves, compilation, and that what only makes it faster changes nothing but rounding."""

import copy

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import segfit
from segfit.config import build_recipe
from segfit.errors import RecipeError, RunError
from segfit.losses import LOSSES
from segfit.models import MODELS, FeatureOutput, Segmenter
from segfit.training import step as step_module
from segfit.training.device import check_compiler, convolutions, measured_convolutions
from segfit.training.parallel import Ranks
from segfit.training.step import TrainStep

CPU = torch.device("cpu")


def make(model, *overrides):
    tree = {"data": {"root": "/nowhere"}, "optim": {"name": "adam"}, "train": {"device": "cpu", "precision": "fp32"}}
    recipe = build_recipe({**tree, "augment": {"size": [16, 16]}}, overrides)
    step = TrainStep(model.train(), LOSSES.build("cross_entropy", 3), recipe, Ranks(device=CPU))
    step.join_ranks()
    return step


def batch(number=0, size=4):
    draw = torch.Generator().manual_seed(number)
    return (
        torch.randint(0, 256, (size, 16, 16, 3), dtype=torch.uint8, generator=draw).permute(0, 3, 1, 2),
        torch.randint(0, 3, (size, 16, 16), dtype=torch.uint8, generator=draw),
    )


def unet():
    torch.manual_seed(0)
    return MODELS.build("unet", 3, width=4, depth=2)


def test_gradients_leave_the_weights_alone_and_update_uses_them():
    model = unet()
    step = make(model)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    step.gradients(*batch())
    assert all(map(torch.equal, before, model.parameters()))
    assert all(parameter.grad is not None for parameter in model.parameters())
    step.update()
    assert not any(map(torch.equal, before, model.parameters()))
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(("accumulate", "times"), [(1, 1), (2, 2), (4, 2)])
def test_a_rehearsal_costs_two_micro_batches_and_leaves_no_gradients(accumulate, times):
    model = unet()
    step = make(model, f"train.accumulate={accumulate}")
    before = [parameter.detach().clone() for parameter in model.parameters()]
    calls = []
    model.register_forward_hook(lambda module, args, output: calls.append(len(args[0])))
    step.rehearse(*batch())
    assert calls == [4 // accumulate] * times
    assert all(map(torch.equal, before, model.parameters()))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not step.optimizer.state


# --- compilation -----------------------------------------------------------------------------------------------------


@pytest.fixture
def traced(monkeypatch):
    """Compile without generating code: seconds instead of minutes, and every rule about graphs holds."""
    monkeypatch.setattr(step_module, "BACKEND", "aot_eager")


def compiled_graphs():
    import torch._dynamo.utils

    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


@pytest.mark.parametrize("name", ["unet", pytest.param("attention_unet", marks=pytest.mark.slow)])
def test_a_compiled_step_is_the_step(traced, name):
    torch.manual_seed(0)
    plain = MODELS.build(name, 3, width=4, depth=2)
    model = copy.deepcopy(plain)
    keys = list(model.state_dict())
    step, reference = make(model, "train.compile=true"), make(plain)
    before = compiled_graphs()
    for number in range(3):
        got, wanted = step(*batch(number)), reference(*batch(number))
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=0)
    assert compiled_graphs() - before == 1  # the model as a whole, without the loss, for the one size that there is
    assert list(model.state_dict()) == keys
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(model.state_dict()[key], value, rtol=1e-3, atol=2e-4)
    model.eval()
    model(batch(0, size=3)[0])
    assert compiled_graphs() - before == 1  # scoring, whose sizes vary, runs the model as it is


def test_every_model_of_a_study_is_compiled(traced):
    import torch._dynamo

    # torch compiles a function for so many models and then runs it as it is; the forward pass of all is one function.
    with torch._dynamo.config.patch(recompile_limit=1):
        for _ in range(3):
            before = compiled_graphs()
            make(Asks(), "train.compile=true")(*batch())
            assert compiled_graphs() - before == 1


@pytest.mark.slow
def test_a_compiled_run_keeps_its_keys_and_goes_on_bit_for_bit(traced, tiny, trained, tmp_path):
    constant = {**tiny, "optim": {"name": "adam", "schedule": "constant"}}
    recipe = build_recipe(constant, ["train.compile=true"])
    long = segfit.train(recipe, tmp_path / "long")
    short = segfit.train(recipe, tmp_path / "short", overrides=["train.epochs=1"])
    parts = segfit.resume(short, overrides=["train.epochs=2"])
    one, other, eager = (load_file(run / "checkpoints" / "last.safetensors") for run in (long, parts, trained))
    assert one.keys() == other.keys() == eager.keys()
    assert all(torch.equal(value, other[key]) for key, value in one.items())


@pytest.mark.parametrize(
    ("variable", "named"), [(None, "g++ or clang++|g\\+\\+"), ("/no/such/compiler -O2", "/no/such/compiler")]
)
def test_a_missing_compiler_is_one_line(monkeypatch, tmp_path, variable, named):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    if variable:
        monkeypatch.setenv("CXX", variable)
    with pytest.raises(
        RecipeError, match=rf"^train\.compile: .* C\+\+ compiler, and there is no ({named}): .*compile=false"
    ):
        make(unet(), "train.compile=true")


def test_the_compiler_that_the_variable_names_counts(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "mine").write_text("#!/bin/sh\n")
    (tmp_path / "mine").chmod(0o755)
    monkeypatch.setenv("CXX", "mine -O2")
    check_compiler(CPU)
    monkeypatch.setenv("CC", "mine")
    check_compiler(torch.device("cuda"))


def test_a_model_that_cannot_be_compiled_is_one_line(monkeypatch):
    def refuse(graph, inputs):
        raise NotImplementedError("no such thing here")

    monkeypatch.setattr(step_module, "BACKEND", refuse)
    with pytest.raises(
        RunError, match=r"^train\.compile: torch cannot compile this model \(.*\): set train\.compile=false$"
    ):
        make(unet(), "train.compile=true")(*batch())


@pytest.mark.slow
def test_generated_code_computes_the_step(monkeypatch):
    try:
        check_compiler(CPU)
    except RecipeError as error:
        pytest.skip(str(error))
    plain = unet()
    model = copy.deepcopy(plain)
    step, reference = make(model, "train.compile=true"), make(plain)
    for number in range(3):
        torch.testing.assert_close(step(*batch(number)), reference(*batch(number)), rtol=1e-4, atol=0)


# --- convolutions ----------------------------------------------------------------------------------------------------


class Asks(Segmenter):
    """Notes how cuDNN would choose while the model runs."""

    def __init__(self):
        super().__init__("unit")
        self.classifier = nn.Conv2d(3, 3, 1)
        self.seen = []

    def predict(self, x):
        self.seen.append(torch.backends.cudnn.benchmark)
        return FeatureOutput(x, self.classifier)


def test_cudnn_measures_in_training_on_a_gpu_only():
    with measured_convolutions(torch.device("cuda")):
        assert torch.backends.cudnn.benchmark
    assert not torch.backends.cudnn.benchmark
    model = Asks()
    make(model)(*batch())
    assert model.seen == [False]


@pytest.mark.parametrize("how", ["torch", "cudnn"])
def test_who_asks_for_determinism_gets_it(monkeypatch, how):
    assert convolutions(torch.device("cuda")) == "measured"
    if how == "cudnn":
        monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    else:
        monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    assert convolutions(torch.device("cuda")) == "fixed"
    with measured_convolutions(torch.device("cuda")):
        assert not torch.backends.cudnn.benchmark
