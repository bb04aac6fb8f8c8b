"""What must hold for the footprint of any recipe; `test_plan_accuracy.py` compares it with measurements."""

import math
import resource

import pytest
import torch
from small_recipes import UNET, recipe
from torch.utils._python_dispatch import _get_current_dispatch_mode

from segfit.errors import RecipeError
from segfit.losses import LOSSES
from segfit.models import MODELS
from segfit.models.outputs import STRIP_BYTES
from segfit.planning import footprint as module
from segfit.planning.footprint import Footprint, Operation, footprint


def test_memory_grows_evenly_with_the_batch():
    two, four, six = (footprint(recipe(batch=batch), 10).training.total for batch in (2, 4, 6))
    # Rounding to 512 bytes is all that is uneven.
    assert six - four == pytest.approx(four - two, rel=0.01)
    assert four > two


@pytest.mark.parametrize(
    ("optim", "states"),
    [({"name": "adam"}, 2), ({"name": "sgd", "momentum": 0.9}, 1), ({"name": "sgd", "momentum": 0}, 0)],
)
def test_each_kind_of_memory_is_what_it_is_called(optim, states):
    model = MODELS.build("unet", 10, width=8, depth=1)
    learnt = sum(p.numel() for p in model.parameters())
    buffers = sum(b.numel() * b.element_size() for b in model.buffers())
    planned = footprint(recipe(optim=optim), 10, device="cpu")
    assert planned.parameters == learnt
    assert planned.training.parameters == 4 * learnt + buffers
    # Adam counts its steps in one number per parameter.
    assert planned.training.optimizer - 4 * states * learnt in range(5 * len(list(model.parameters())))
    assert planned.validation.gradients == planned.validation.activations == 0
    for memory in (planned.training, planned.validation):
        kinds = (memory.parameters, memory.gradients, memory.optimizer, memory.activations, memory.temporaries)
        assert min(kinds) >= 0
        assert memory.total == sum(kinds)


def test_accumulated_gradients_are_there_during_the_second_micro_batch():
    once, twice = (footprint(recipe(accumulate=parts), 10, device="cpu") for parts in (1, 2))
    assert twice.training.gradients == 4 * twice.parameters
    assert once.training.gradients < 4 * once.parameters
    assert twice.training.activations < 0.6 * once.training.activations


def test_ranks_share_the_batch_and_keep_buckets():
    alone, shared = footprint(recipe(batch=2), 10, device="cpu"), footprint(recipe(batch=4), 10, device="cpu", world=2)
    assert shared.training.gradients == 4 * shared.parameters
    assert shared.training.activations == pytest.approx(alone.training.activations, rel=0.01)
    assert shared.validation.gradients == 4 * shared.parameters
    parts = footprint(recipe(batch=8, accumulate=2), 10, device="cpu", world=2)
    assert parts.training.gradients == 2 * 4 * parts.parameters, "those of the first micro-batch are beside the buckets"


def test_half_precision_halves_what_is_kept():
    full, half = (footprint(recipe(precision=precision), 10) for precision in ("fp32", "fp16"))
    assert half.training.activations < 0.65 * full.training.activations
    assert half.training.optimizer == full.training.optimizer
    convolutions = [o for o in half.operations if o.name == "convolution"]
    assert {o.dtype for o in convolutions if o.flops > 0} >= {"fp16"}


def test_checkpointing_keeps_less_and_computes_more():
    none, norms, blocks = (footprint(recipe(checkpointing=kind), 10) for kind in ("none", "norms", "blocks"))
    assert none.training.total > norms.training.total > blocks.training.total
    assert flops(blocks) > flops(norms) == flops(none)


def flops(planned: Footprint) -> int:
    return sum(operation.count * operation.flops for operation in planned.operations)


def test_the_arithmetic_of_a_step_grows_with_images_and_pixels():
    one = flops(footprint(recipe(size=(16, 16), batch=2), 10))
    assert flops(footprint(recipe(size=(32, 16), batch=4), 10)) == 4 * one


def test_an_operation_is_bound_by_arithmetic_or_by_traffic():
    operation = Operation(name="convolution", dtype="fp32", count=3, flops=1000, bytes=50)
    assert operation.seconds(100.0, 1000.0) == pytest.approx(3 * 10)
    assert operation.seconds(1e9, 10.0) == pytest.approx(3 * 5)
    assert operation.seconds(math.inf, math.inf) == 0


@pytest.mark.parametrize("loss", LOSSES.names())
def test_every_loss_can_be_planned(loss):
    planned = footprint(recipe(loss=loss), 10).training
    assert planned.total > planned.activations > 0


def test_nothing_is_allocated():
    footprint(recipe(), 10)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    planned = footprint(recipe({**UNET, "width": 64}, size=(512, 512), batch=6), 10)
    assert planned.training.total > 4e9
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < 0.2e9


def test_weights_are_not_read(monkeypatch):
    monkeypatch.setattr("segfit.models.deeplabv3._load_pretrained", lambda *_: pytest.fail("it reads weights"))
    model = {"name": "deeplabv3", "backbone": "mobilenet_v2", "pretrained": "imagenet"}
    assert footprint(recipe(model), 10).parameters > 1e6


def test_a_failure_leaves_nothing_behind(monkeypatch):
    def fail(*_: object) -> None:
        raise RuntimeError("in the middle")

    before = dict(STRIP_BYTES)
    with monkeypatch.context() as context:
        context.setattr(module, "score", fail)
        with pytest.raises(RuntimeError, match="in the middle"):
            footprint(recipe(), 10)
    assert before == STRIP_BYTES
    assert _get_current_dispatch_mode() is None
    assert type(torch.zeros(1)) is torch.Tensor


def test_a_model_that_depends_on_values_is_refused(monkeypatch):
    monkeypatch.setattr(module, "score", lambda *_: torch.zeros(3).unique())
    with pytest.raises(RecipeError, match=r"unet with cross_entropy cannot be planned.*train\.batch"):
        footprint(recipe(), 10)
