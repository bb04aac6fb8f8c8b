"""A step that runs out of memory is the step with smaller micro-batches, bit for bit, and leaves nothing behind."""

import copy
import weakref

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from segfit.config import build_recipe
from segfit.errors import RunError
from segfit.losses import LOSSES
from segfit.models import MODELS, FeatureOutput, Segmenter
from segfit.training import step as step_module
from segfit.training.device import PeakMemory
from segfit.training.parallel import HostSyncBatchNorm, Ranks
from segfit.training.retry import REHEARSALS, RetryingStep, fitting_accumulate
from segfit.training.step import TrainStep

CPU = torch.device("cpu")


class Fits(Segmenter):
    """Normalises, drops, and has room for `room` images at a time, in the forward or in the backward pass."""

    def __init__(self, room=100, fails_in="forward"):
        super().__init__("unit")
        self.room, self.fails_in = room, fails_in
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.classifier = nn.Conv2d(4, 3, 1)
        self.seen = []
        self.left = []
        self.leaks = 0

    def predict(self, x):
        self.leaks += sum(reference() is not None for reference in self.left)
        self.left.clear()
        self.seen.append(len(x))
        x = nn.functional.dropout(self.norm(self.first(x)), 0.5, self.training)
        if len(x) > self.room:
            self.left.append(weakref.ref(x))
            if self.fails_in == "forward":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            x.register_hook(_fail)
        return FeatureOutput(x, self.classifier)


def _fail(gradient):
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 2000000000 bytes.")


RECIPE = {
    "data": {"root": "/nowhere"},
    "optim": {"name": "adam", "clip_norm": 1.0},
    "train": {"batch": 8, "device": "cpu", "precision": "fp32", "workers": 0},
    "augment": {"size": [8, 8]},
}


def make(model, ranks=None, where="runs/a", **train):
    recipe = build_recipe({**RECIPE, "train": {**RECIPE["train"], **train}})
    ranks = ranks or Ranks(device=CPU)
    step = TrainStep(model.train(), LOSSES.build("cross_entropy", 3), recipe, ranks)
    step.join_ranks()
    told = []
    return RetryingStep(step, PeakMemory(CPU), told.append, where), told


def batch(number, rank=0, size=8):
    draw = torch.Generator().manual_seed(100 * rank + number)
    return (
        torch.randint(0, 256, (size, 8, 8, 3), dtype=torch.uint8, generator=draw).permute(0, 3, 1, 2),
        torch.randint(0, 3, (size, 8, 8), dtype=torch.uint8, generator=draw),
    )


def same(one, other):
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert torch.equal(value, other[key]), key


@pytest.mark.parametrize("fails_in", ["forward", "backward"])
@pytest.mark.parametrize(("room", "parts"), [(4, 2), (3, 4), (1, 8)])
@pytest.mark.parametrize("suddenly", [0, 2], ids=["at once", "later"])
def test_it_is_the_run_with_smaller_micro_batches(fails_in, room, parts, suddenly):
    torch.manual_seed(0)
    tight = Fits(fails_in=fails_in)
    roomy = copy.deepcopy(tight)
    tried, told = make(tight)
    begun, never = make(roomy)
    for number in range(4):
        if number == suddenly:
            tight.room = room
            begun.step.accumulate = parts
        got, wanted = tried(*batch(number), number), begun(*batch(number), number)
        assert [value.item() for value in got] == [value.item() for value in wanted]
        assert all(parameter.grad is None for parameter in tight.parameters())
    same(tight.state_dict(), roomy.state_dict())
    assert not never
    assert (told[0].before, told[-1].after, told[-1].images) == (1, parts, 8 // parts)
    assert [event.after for event in told[:-1]] == [event.before for event in told[1:]]
    assert all(event.batch_norm and event.memory >= 0 for event in told)
    assert len(told) == len(tight.seen) - len(roomy.seen)  # nothing is tried twice
    assert tight.leaks == 0


@given(st.integers(1, 500), st.integers(1, 500))
def test_the_next_number_of_micro_batches(batch, least):
    parts = fitting_accumulate(batch, least)
    assert batch % parts == 0
    assert parts == min([d for d in range(1, batch + 1) if batch % d == 0 and d >= least], default=batch)


def test_one_image_that_does_not_fit_ends_the_run_and_changes_nothing():
    model = Fits()
    tried, told = make(model)
    tried(*batch(0), 0)
    before = copy.deepcopy(model.state_dict())
    model.room = 0
    with pytest.raises(
        RunError,
        match=r"^runs/a: out of memory in step 2 at \d+ MB, with one image per micro-batch: make augment\.size smaller "
        r"or set train\.checkpointing=blocks; checkpoints stay as they are$",
    ):
        tried(*batch(1), 1)
    same(before, model.state_dict())
    assert [event.after for event in told] == [2, 4, 8]


def test_other_failures_pass_through():
    model = Fits()
    tried, told = make(model)
    model.classifier = nn.Conv2d(5, 3, 1)
    with pytest.raises(RuntimeError, match="channels|shapes"):
        tried(*batch(0), 0)
    assert not told


@pytest.mark.parametrize(("fused", "mend"), [(True, "optim.name=sgd"), (False, "optim.fused=true")])
def test_an_optimizer_that_does_not_fit_is_not_tried_twice(monkeypatch, fused, mend):
    model = Fits()
    recipe = build_recipe({**RECIPE, "optim": {"name": "adam", "fused": fused}})
    step = TrainStep(model.train(), LOSSES.build("cross_entropy", 3), recipe, Ranks(device=CPU))
    told = []
    tried = RetryingStep(step, PeakMemory(CPU), told.append, "runs/a")

    def full(*arguments, **options):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(step.optimizer, "step", full)
    with pytest.raises(RunError, match=rf"in the optimizer's update: set {mend}, or train a smaller model"):
        tried(*batch(0), 0)
    assert model.seen == [8]
    assert not told


# --- several ranks ---------------------------------------------------------------------------------------------------


def _rank(rank, folder, cases):
    """Train each case of (name, model, room of rank 1, from which step on, settings), and note what happened."""
    import torch.distributed as dist

    torch.set_num_threads(1)
    step_module.BACKEND = "aot_eager"
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    for name, model, room, since, train in cases:
        torch.manual_seed(0)
        torch.save(_train_on_two(rank, model(), room, since, train), f"{folder}/{name}{rank}")
    dist.destroy_process_group()


def on_two(folder, *cases):
    torch.multiprocessing.spawn(_rank, args=(str(folder), cases), nprocs=2)
    return {path.name: torch.load(path) for path in folder.iterdir() if path.name != "store"}


def _unet():
    return MODELS.build("unet", 3, width=2, depth=1)


def _train_on_two(rank, model, room, since, train):
    tried, told = make(model, Ranks(rank=rank, world=2, device=CPU), **train)
    said, losses = "", []
    try:
        for number in range(4):
            if rank == 1 and number == since:
                model.room = room
            losses.append(tried(*batch(number, rank), number)[0].item())
    except RunError as error:
        said = str(error)
    return {
        "weights": model.state_dict(),
        "losses": losses,
        "after": [event.after for event in told],
        "said": said,
        "seen": getattr(model, "seen", []),
        "shared": any(isinstance(module, HostSyncBatchNorm) for module in model.modules()),
    }


@pytest.fixture(scope="module")
def on_two_ranks(tmp_path_factory):
    """What two ranks did; in the last case one of them fails, and the other one is not left waiting."""
    folder = tmp_path_factory.mktemp("two")
    cases = (("tight", Fits, 2, 0, {}), ("begun", Fits, 100, 0, {"accumulate": 4}), ("late", Fits, 2, 3, {}))
    with pytest.raises(torch.multiprocessing.ProcessRaisedException, match=r"(?is)process 0 .*(connection|gloo)"):
        on_two(folder, *cases)
    return {path.name: torch.load(path) for path in folder.iterdir() if path.name != "store"}


def test_ranks_agree_on_smaller_micro_batches(on_two_ranks):
    tight, begun = ([on_two_ranks[f"{name}{rank}"] for rank in range(2)] for name in ("tight", "begun"))
    for one, other in zip(tight, begun, strict=True):
        assert one["after"] == [2, 4]
        assert other["after"] == []
        assert one["losses"] == other["losses"]
        assert one["shared"]
        same(one["weights"], other["weights"])
    # A rehearsal is at most two micro-batches, and only the first steps have one.
    assert begun[0]["seen"] == [2] * (4 * 4 + REHEARSALS * 2)
    # The rank that had room stopped with the other one at every size: 8 once, 4 twice in a rehearsal, then 2.
    assert tight[0]["seen"] == [8, 4, 4] + begun[0]["seen"]
    assert tight[1]["seen"] == [8, 4] + begun[1]["seen"]


def test_a_rank_that_fails_later_ends_with_one_line(on_two_ranks):
    said = on_two_ranks["late1"]["said"]
    assert said.startswith("runs/a: out of memory in step 4 at ")
    assert "other ranks wait for this one: end what else uses its memory and go on with --resume" in said
    assert said.endswith("or train anew with train.accumulate=2; checkpoints stay as they are")
    assert "late0" not in on_two_ranks


@pytest.mark.slow
def test_compiled_ranks_train_as_plain_ones(tmp_path):
    done = on_two(tmp_path, ("plain", _unet, 100, 0, {}), ("compiled", _unet, 100, 0, {"compile": True}))
    for rank in range(2):
        plain, compiled = done[f"plain{rank}"], done[f"compiled{rank}"]
        assert plain["shared"]
        assert compiled["losses"] == pytest.approx(plain["losses"], rel=1e-5)
        assert compiled["weights"].keys() == plain["weights"].keys()
