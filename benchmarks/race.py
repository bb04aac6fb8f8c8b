"""What is measured of a training step: time of the contenders in turn, memory of one alone."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peers import PAIRS, plain_scores, without_dropout
from segfit.config import build_recipe
from segfit.labels import IGNORE
from segfit.losses.cross_entropy import CrossEntropy
from segfit.models import Segmenter
from segfit.planning.measure import measured_peak
from segfit.training.device import PeakMemory, measured_convolutions
from segfit.training.parallel import Ranks
from segfit.training.step import TrainStep

__all__ = ["PLAIN", "WAYS", "Task", "memory_of", "seconds_of", "timed"]

PLAIN = "plain"
"""The contender that is the peer."""

WAYS: dict[str, dict[str, Any]] = {
    "segfit": {"precision": "fp32"},
    "segfit contiguous": {"precision": "fp32", "channels_last": False},
    "segfit norms": {"precision": "fp32", "checkpointing": "norms"},
    "segfit contiguous norms": {"precision": "fp32", "channels_last": False, "checkpointing": "norms"},
    "segfit bf16": {"precision": "bf16"},
    "segfit bf16 norms": {"precision": "bf16", "checkpointing": "norms"},
}
"""What the recipe of each of segfit's contenders says under `train`."""

RATE = 1e-4
"""Learning rate: small, so that all contenders stay close for the steps of a race."""

WARM_UP = 2

Step = Callable[[], float]
"""Makes one step and returns its loss."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A pair at some size.

    Attributes:
        pair: its name.
        classes: number of classes.
        width: channels at full resolution, 0 where the network has no such option.
        size: height and width of the images.
        batch: images per step.
        device: ``cpu`` or ``cuda``.
        threads: of a CPU.
    """

    pair: str
    classes: int
    width: int
    size: int
    batch: int
    device: str
    threads: int

    def data(self) -> tuple[Tensor, Tensor]:
        """Return random images and masks as the loader gives them; a tenth of the pixels is ignored."""
        generator = torch.Generator().manual_seed(0)
        shape = (self.batch, self.size, self.size)
        images = torch.randint(0, 256, (*shape, 3), dtype=torch.uint8, generator=generator).movedim(-1, 1)
        masks = torch.randint(0, self.classes, shape, dtype=torch.uint8, generator=generator)
        masks[torch.rand(shape, generator=generator) < 0.1] = IGNORE
        return images.to(self.device), masks.to(self.device)

    def contender(self, name: str, weights: Mapping[str, Tensor] | None = None) -> Step:
        """Build a contender, with the peer's weights where they are given."""
        torch.manual_seed(0)
        pair = PAIRS[self.pair]
        model = (pair.theirs if name == PLAIN else pair.ours)(self.classes, self.width)
        if weights is not None:
            model.load_state_dict(weights if name == PLAIN else pair.rename(dict(weights)))
        without_dropout(model)
        return _segfit(model, self, WAYS[name]) if isinstance(model, Segmenter) else _plain(model, self)


def _plain(model: nn.Module, task: Task) -> Step:
    """Return the step that anyone would write."""
    images, masks = task.data()
    images = images.contiguous()
    model = model.to(task.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)

    def step() -> float:
        scores = model(images.float() / 255)
        loss = F.cross_entropy(scores, masks.long(), ignore_index=IGNORE)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def _segfit(model: Segmenter, task: Task, train: Mapping[str, Any]) -> Step:
    """Return segfit's step with a recipe's defaults, but for what `train` says."""
    images, masks = task.data()
    recipe = build_recipe({"optim": {"name": "adam", "lr": RATE}, "train": {"batch": task.batch, **train}})
    model.checkpoint(recipe.train.checkpointing)
    model = model.to(task.device)
    if recipe.train.channels_last:
        model = model.to(memory_format=torch.channels_last)
    loss = CrossEntropy(task.classes).to(task.device)
    made = TrainStep(model, loss, recipe, Ranks(device=images.device))

    def step() -> float:
        with measured_convolutions(images.device):
            return made(images, masks)[0].item()

    return step


# --- time ------------------------------------------------------------------------------------------------------------


def timed(work: Callable[[], object], device: str) -> float:
    """Return how many seconds `work` takes."""
    if device == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def seconds_of(task: Task, names: Sequence[str], rounds: int) -> dict[str, Any]:
    """Let all contenders step in turn, round by round.

    Returns:
        ``seconds`` and ``losses`` of each contender (of each measured round, and of the first two steps), and the
        seconds of the peer's ``head`` and loss alone, forward and backward, in each round.
    """
    torch.set_num_threads(task.threads)
    torch.manual_seed(1)
    weights = PAIRS[task.pair].theirs(task.classes, task.width).state_dict()
    contenders = {name: task.contender(name, weights) for name in names}
    losses: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(WARM_UP):
        for name, step in contenders.items():
            losses[name].append(step())
    head = _head(task)
    head()
    seconds: dict[str, list[float]] = {name: [] for name in [*names, "head"]}
    for _ in range(rounds):
        for name, step in [*contenders.items(), ("head", head)]:
            seconds[name].append(timed(step, task.device))
    return {"seconds": seconds, "losses": losses, "head_share": _share(seconds)}


def _share(seconds: Mapping[str, list[float]]) -> float:
    """Return which part of the peer's step its head and loss are: the median over the rounds."""
    return statistics.median(head / step for head, step in zip(seconds["head"], seconds[PLAIN], strict=True))


def _head(task: Task) -> Step:
    """Return what the peer does from the native part of the output on, and back to it."""
    model = PAIRS[task.pair].ours(task.classes, task.width).to(task.device)
    images, masks = task.data()
    with torch.no_grad():
        output = model(images.contiguous())
    output.native.requires_grad_()

    def work() -> float:
        scores = plain_scores(output, (task.size, task.size))
        loss = F.cross_entropy(scores, masks.long(), ignore_index=IGNORE)
        torch.autograd.grad(loss, [output.native, *output.parameters])
        return loss.item()

    return work


# --- memory ----------------------------------------------------------------------------------------------------------


def memory_of(task: Task, name: str) -> dict[str, int]:
    """Build a contender and make two steps; return the most bytes that there were, to be called in a new process.

    Returns:
        ``allocated``: of tensors, by torch's own records. ``resident``: growth of the process's memory (on a GPU, what
        the caching allocator took); it also has what libraries take by themselves, and what lies idle.
    """
    torch.set_num_threads(task.threads)

    def work() -> None:
        step = task.contender(name)
        for _ in range(2):
            step()

    resident = PeakMemory(torch.device(task.device))
    work()
    taken = torch.cuda.max_memory_reserved() if task.device == "cuda" else resident.read()
    return {"allocated": measured_peak(work, torch.device(task.device)), "resident": taken}
