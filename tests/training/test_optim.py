"""Optimizer groups and schedules."""

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, PolynomialLR

from segfit.config import OptimConfig
from segfit.models import MODELS
from segfit.training.optim import build_optimizer, learning_rate, set_learning_rate


@pytest.mark.parametrize(
    ("config", "peer"),
    [
        (OptimConfig(schedule="poly", power=0.9), lambda o: PolynomialLR(o, total_iters=40, power=0.9)),
        (OptimConfig(schedule="cosine"), lambda o: CosineAnnealingLR(o, T_max=40)),
    ],
)
def test_schedules_equal_torchs(config, peer):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=config.lr)
    scheduler = peer(optimizer)
    for step in range(40):
        assert learning_rate(config, step, 40) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        scheduler.step()


def test_warmup_rises_linearly_to_the_peak_and_the_end_is_the_floor():
    config = OptimConfig(lr=1.0, schedule="cosine", warmup=4, min_lr=0.1)
    assert [learning_rate(config, step, 10) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert learning_rate(config, 4, 10) == 1.0
    assert learning_rate(config, 10, 10) == pytest.approx(0.1)


def test_constant_is_constant():
    assert {learning_rate(OptimConfig(schedule="constant"), step, 5) for step in range(5)} == {1e-3}


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_every_parameter_is_optimized_once_and_only_matrices_decay(name):
    model = MODELS.build("unet", 3, width=4, depth=2)
    optimizer = build_optimizer(model, OptimConfig(name=name, weight_decay=0.1))
    optimized = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(optimized) == sorted(id(p) for p in model.parameters())
    for group in optimizer.param_groups:
        assert {p.ndim > 1 for p in group["params"]} == {group["weight_decay"] > 0}


def test_a_pretrained_backbone_gets_its_own_rate():
    model = MODELS.build("unet", 3, width=4, depth=2)
    first = next(iter(model.parameters()))
    model.backbone_parameters = lambda: [first]
    optimizer = build_optimizer(model, OptimConfig(lr=1.0, backbone_lr=0.1))
    set_learning_rate(optimizer, 0.5)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rates.pop(id(first)) == 0.05
    assert set(rates.values()) == {0.5}


# --- one kernel or many ----------------------------------------------------------------------------------------------


def trained_steps(name, fused, *, clip_norm=None, scaled=False, reload_after=None, steps=6):
    """Make steps on fixed gradients of very different sizes; return the weights and the state's tensors."""
    torch.manual_seed(0)
    model = MODELS.build("unet", 3, width=4, depth=2).to(memory_format=torch.channels_last)
    config = OptimConfig(name=name, lr=0.01, weight_decay=0.1, fused=fused)
    optimizer = build_optimizer(model, config)
    scaler = torch.amp.GradScaler("cpu", enabled=scaled, init_scale=1024.0)
    draw = torch.Generator().manual_seed(1)
    for step in range(steps):
        set_learning_rate(optimizer, learning_rate(config, step, steps))
        for parameter in model.parameters():
            size = 10.0 ** torch.randint(-6, 3, (), generator=draw)
            parameter.grad = torch.empty_like(parameter).copy_(torch.randn(parameter.shape, generator=draw) * size)
            if scaled:
                parameter.grad *= scaler.get_scale()
        if scaled and step == 2:
            next(model.parameters()).grad[0, 0, 0, 0] = float("inf")  # this step is skipped
        if scaled:
            scaler.scale(torch.zeros(()))
        if clip_norm is not None:
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        if step == reload_after:
            state = optimizer.state
            optimizer = build_optimizer(model, config)
            optimizer.state.update(state)
    tensors = [parameter.detach() for parameter in model.parameters()]
    return tensors, [value for state in optimizer.state.values() for value in state.values() if value is not None]


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("clip_norm", [None, 1.0])
@pytest.mark.parametrize("scaled", [False, True], ids=["plain", "scaled"])
def test_one_kernel_updates_as_many_do(name, clip_norm, scaled):
    one = trained_steps(name, True, clip_norm=clip_norm, scaled=scaled)
    many = trained_steps(name, False, clip_norm=clip_norm, scaled=scaled)
    for got, wanted in zip(one, many, strict=True):
        assert len(got) == len(wanted)
        for a, b in zip(got, wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=2e-6, atol=2e-7)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_a_fused_optimizer_goes_on_bit_for_bit(name):
    whole, parts = trained_steps(name, True), trained_steps(name, True, reload_after=2)
    assert all(map(torch.equal, whole[0], parts[0]))


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_without_fusion_torch_chooses_how_many_at_a_time(name):
    # "fused=False" would also switch off the kernels for lists of tensors, torch's default on GPUs.
    optimizer = build_optimizer(MODELS.build("unet", 3, width=4, depth=2), OptimConfig(name=name, fused=False))
    assert {(group["fused"], group["foreach"]) for group in optimizer.param_groups} == {(None, None)}
