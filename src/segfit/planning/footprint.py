"""What one training step and one validation batch of a recipe take, known without running them.

The code that trains, `TrainStep`, runs on fake tensors: shapes without values. So whatever changes there changes here,
too. Nothing is allocated, no GPU is needed, and no weights or images are read.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from typing_extensions import override

from segfit.config import Recipe
from segfit.errors import RecipeError
from segfit.losses import LOSSES
from segfit.models import MODELS
from segfit.models.outputs import STRIP_BYTES
from segfit.planning.kernels import cpu_scratch, cuda_scratch
from segfit.planning.rehearsal import BATCHES, batch, build, score
from segfit.planning.thinning import few_images, few_strips
from segfit.planning.tracker import Block, Tracker
from segfit.training.parallel import Ranks
from segfit.training.step import TrainStep

__all__ = ["Footprint", "Memory", "Operation", "footprint"]

Device = Literal["cpu", "cuda"]

CPU = torch.device("cpu")

FAKE_ERRORS = (
    fake_tensor.DataDependentOutputException,
    fake_tensor.DynamicOutputShapeException,
    fake_tensor.UnsupportedOperatorException,
)

GRANULARITY = {"cpu": 1, "cuda": 512}
"""Bytes that the allocator's sizes are a multiple of."""

SCRATCH = {"cpu": cpu_scratch, "cuda": cuda_scratch}


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes that are there when most are.

    Attributes:
        parameters: with buffers.
        gradients: of the parameters; with several ranks also what they are sent in.
        optimizer: its state, from the second step on.
        activations: what the forward pass keeps for the backward pass, and the batch.
        temporaries: all else.
    """

    parameters: int
    gradients: int
    optimizer: int
    activations: int
    temporaries: int

    @property
    def total(self) -> int:
        """Their sum."""
        return self.parameters + self.gradients + self.optimizer + self.activations + self.temporaries


@dataclass(frozen=True, kw_only=True)
class Operation:
    """Equal calls of one operation within a step.

    Attributes:
        name: of the operation (``"convolution"``).
        dtype: its arithmetic: ``"fp32"``, ``"bf16"``, ``"fp16"`` or ``"other"``.
        count: number of these calls.
        flops: floating-point operations of each call; 0 for all but convolutions and matrix products.
        bytes: read and written by each call, at least.
    """

    name: str
    dtype: str
    count: int
    flops: int
    bytes: int

    def seconds(self, flops_per_second: float, bytes_per_second: float) -> float:
        """Return how long the calls take together, each bound by its arithmetic or by its traffic."""
        return self.count * max(self.flops / flops_per_second, self.bytes / bytes_per_second)


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """What a recipe takes of one device.

    Attributes:
        training: memory of an optimizer step, from the second one on.
        validation: memory of scoring one batch between two steps.
        operations: of one optimizer step of one rank.
        parameters: number of values that are learnt.
    """

    training: Memory
    validation: Memory
    operations: tuple[Operation, ...]
    parameters: int


def footprint(
    recipe: Recipe,
    classes: int,
    *,
    world: int = 1,
    device: Device = "cuda",
    validation_size: tuple[int, int] | None = None,
) -> Footprint:
    """Return what `recipe` takes of each of `world` devices.

    On a GPU there come on top: the context (hundreds of MB), cuDNN's workspaces, and what fragmentation costs.
    Compilation is left out: the step is planned as it runs without it.

    Args:
        recipe: resolved, with a batch.
        classes: number of classes.
        world: number of ranks; each has its share of the batch.
        device: what is planned for.
        validation_size: (height, width) of the images that are scored; by default the training size.

    Raises:
        RecipeError: what the model or the loss does depends on values in a way that no plan can know.
    """
    trace = _Trace(recipe, classes, world, device)
    try:
        with trace.fake():
            trace.prepare()
            training, operations = trace.train()
            validation = trace.validate(recipe.augment.size if validation_size is None else validation_size)
    except FAKE_ERRORS as error:
        raise RecipeError(
            f"model.name, loss.name: {recipe.model.name} with {recipe.loss.name} cannot be planned, because it asks "
            f"for values ({' '.join(str(error).split())}): set train.batch to a number and train.fit=null"
        ) from None
    return Footprint(training=training, validation=validation, operations=operations, parameters=trace.learnt)


class _Trace:
    """The real code on fake tensors, before the eyes of a tracker.

    The tensors are the CPU's, because those of a GPU need one in the backward pass. Where a GPU would do otherwise, the
    code around is told so.

    Attributes:
        tracker: sees all.
        learnt: number of values that are learnt.
    """

    def __init__(self, recipe: Recipe, classes: int, world: int, device: Device) -> None:
        share = {"batch": recipe.train.images // world, "compile": False}
        self.recipe = recipe.model_copy(update={"train": recipe.train.model_copy(update=share)})
        self.classes, self.world, self.device = classes, world, device
        self.tracker = Tracker(granularity=GRANULARITY[device], scratch=SCRATCH[device])
        self.learnt = 0
        self._roles: dict[Block, str] = {}
        self._forwards: list[tuple[int, int]] = []
        # Found now: what a module makes when it is imported must not be fake.
        MODELS.get(recipe.model.name)
        LOSSES.get(recipe.loss.name)

    @contextmanager
    def fake(self) -> Iterator[None]:
        """Let what runs inside have shapes only."""
        before = STRIP_BYTES["cpu"]
        STRIP_BYTES["cpu"] = STRIP_BYTES[self.device]
        try:
            with FakeTensorMode(allow_non_fake_inputs=True), self.tracker:
                yield
        finally:
            STRIP_BYTES["cpu"] = before

    def prepare(self) -> None:
        """Build the parts, and use the optimizer once: it allocates its state in the first step."""
        recipe = self.recipe
        self.model, self.loss = build(recipe, self.classes, CPU)
        self.step = TrainStep(self.model, self.loss, recipe, Ranks(device=CPU))
        self.step.scaler = _Finite("cpu", enabled=self.step.scaler.is_enabled())
        if self.device == "cuda" and not recipe.optim.fused:
            for group in self.step.optimizer.param_groups:
                group["foreach"] = True  # torch's choice on a GPU, but not on a CPU
        learnt = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.learnt = sum(parameter.numel() for parameter in learnt)
        self._assign("parameters", [*self.model.parameters(), *self.model.buffers(), *self.loss.buffers()])
        self._watch_gradients(learnt)
        self._watch_forward()
        for parameter in learnt:
            parameter.grad = torch.zeros_like(parameter)
        self.step.optimizer.step()
        self.step.drop_gradients()
        states = (value for state in self.step.optimizer.state.values() for value in state.values())
        self._assign("optimizer", (value for value in states if isinstance(value, Tensor)))
        if self.step.average is not None:
            self._assign("optimizer", self.step.average.values.values())

    def train(self) -> tuple[Memory, tuple[Operation, ...]]:
        """Make a step; on a GPU the batch after it is there already."""
        size = self.recipe.augment.size
        batches = [batch(self.recipe.train.images, size, self.classes, CPU) for _ in range(BATCHES[self.device])]
        start = self.tracker.now + 1
        self.tracker.calls.clear()
        with few_strips(self.tracker):
            self.step(*batches[0])
        calls = sorted(self.tracker.calls.items(), key=lambda item: (item[0].name, item[0].dtype))
        operations = (
            Operation(name=call.name, dtype=call.dtype, count=count, flops=call.flops, bytes=call.bytes)
            for call, count in calls
        )
        return self._memory(start), tuple(operations)

    def validate(self, size: tuple[int, int]) -> Memory:
        """Score a batch of images whose original size is `size`."""
        start = self.tracker.now + 1
        # Sliding windows are averaged along the way from one strip to the next: there all of them are needed. Of images
        # that are seen several times, those of a later forward pass may begin at the fullest moment.
        few, settings = ExitStack(), self.recipe.evaluate
        if settings.window == "whole":
            few.enter_context(few_strips(self.tracker))
            if len(settings.scales) == 1 and not settings.flip:
                few.enter_context(few_images(settings.batch or 1))
        with few:
            score(self.model, self.loss, self.recipe, self.classes, size, CPU)
        return self._memory(start)

    # --- what the blocks are -----------------------------------------------------------------------------------------

    def _assign(self, role: str, tensors: Iterable[Tensor]) -> None:
        self._roles.update((self.tracker.block(tensor), role) for tensor in tensors)

    def _watch_gradients(self, parameters: list[nn.Parameter]) -> None:
        """Note where gradients are; with several ranks, move them to the buckets in which they are sent.

        DistributedDataParallel has buckets for all gradients. With `gradient_as_bucket_view` the last micro-batch
        leaves the gradients there; those of the micro-batches before it are tensors of their own.
        """
        buckets = {parameter: torch.empty_like(parameter) for parameter in parameters} if self.world > 1 else {}
        self._assign("gradients", buckets.values())
        count = dict.fromkeys(parameters, 0)

        def note(parameter: nn.Parameter) -> None:
            count[parameter] += 1
            if parameter in buckets and count[parameter] % self.recipe.train.accumulate == 0:
                parameter.grad = buckets[parameter]
            assert parameter.grad is not None, "it has just been added up"
            self._assign("gradients", [parameter.grad])

        for parameter in parameters:
            parameter.register_post_accumulate_grad_hook(note)  # type: ignore[no-untyped-call]

    def _watch_forward(self) -> None:
        """Note the first and the last call of each forward pass."""
        begun: list[int] = []
        self.step.objective.register_forward_pre_hook(lambda *_: begun.append(self.tracker.now + 1))
        self.step.objective.register_forward_hook(
            lambda *_: self._forwards.append((begun[-1], self.tracker.now)), always_call=True
        )

    def _memory(self, start: int) -> Memory:
        """Return what is there at the fullest moment since call number `start`."""
        held = self.tracker.held()
        moment = max(range(start, len(held)), key=held.__getitem__)
        ends = [end for begin, end in self._forwards if start <= begin <= moment]
        sizes = dict.fromkeys(("parameters", "gradients", "optimizer", "activations", "temporaries"), 0)
        for block in self.tracker.blocks:
            if block.alive(moment):
                kept = bool(ends) and block.born <= ends[-1] and block.alive(ends[-1] + 1)
                sizes[self._roles.get(block, "activations" if kept else "temporaries")] += block.size
        return Memory(**sizes)


class _Finite(torch.amp.GradScaler):
    """Lets the optimizer make its step without asking whether the gradients are finite: fake ones cannot tell."""

    @override
    def _maybe_opt_step(self, optimizer: Any, optimizer_state: Any, *args: Any, **kwargs: Any) -> Any:
        return optimizer.step(*args, **kwargs)
