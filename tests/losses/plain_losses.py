"""The losses as their papers write them: dense probabilities, a one-hot target, autograd. And what a loss allocates."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from segfit.labels import IGNORE


def one_hot(target: Tensor, classes: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Return the one-hot target `(B, K, H, W)` and the valid pixels `(B, 1, H, W)`."""
    valid = target != IGNORE
    hot = F.one_hot(target.where(valid, 0), classes).movedim(-1, 1).to(dtype)
    return hot * valid[:, None], valid[:, None].to(dtype)


def groups(target: Tensor, per_image: bool) -> list[slice]:
    """Return what is scored by itself: the images with valid pixels, or the batch."""
    images = [slice(b, b + 1) for b in range(len(target))] if per_image else [slice(None)]
    return [image for image in images if (target[image] != IGNORE).any()]


def weighted(values: Tensor, counted: Tensor, class_weights: tuple[float, ...] | None) -> Tensor:
    """Return the mean of some of the values `(K,)`."""
    weights = torch.ones(len(values)) if class_weights is None else torch.tensor(class_weights)
    weights = weights.double() * counted
    return (weights * values).sum() / weights.sum()


def cross_entropy(scores: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(scores, target, ignore_index=IGNORE)


def focal(scores: Tensor, target: Tensor, gamma: float = 2.0, class_weights: tuple[float, ...] | None = None) -> Tensor:
    hot, _ = one_hot(target, scores.shape[1], scores.dtype)
    logs = (scores.log_softmax(1) * hot).sum(1)
    chance = (scores.softmax(1) * hot).sum(1)
    weights = torch.ones(scores.shape[1]) if class_weights is None else torch.tensor(class_weights)
    counted = (hot * weights.to(scores.dtype)[:, None, None]).sum(1)
    return -(counted * (1 - chance) ** gamma * logs).sum() / counted.sum()


def dice(
    scores: Tensor,
    target: Tensor,
    per_image: bool = False,
    smooth: float = 0.0,
    squared: bool = False,
    present: bool = True,
    class_weights: tuple[float, ...] | None = None,
    jaccard: bool = False,
) -> Tensor:
    hot, valid = one_hot(target, scores.shape[1], scores.dtype)
    chance = scores.softmax(1) * valid
    losses = []
    for images in groups(target, per_image):
        p, y = chance[images], hot[images]
        inside, size = (p * y).sum((0, 2, 3)), y.sum((0, 2, 3))
        mass = ((p * p) if squared else p).sum((0, 2, 3))
        score = (
            (inside + smooth) / (mass + size - inside + smooth)
            if jaccard
            else (2 * inside + smooth) / (mass + size + smooth)
        )
        losses.append(weighted(1 - score, size > 0 if present else torch.ones_like(size), class_weights))
    return torch.stack(losses).mean()


def lovasz(
    scores: Tensor, target: Tensor, per_image: bool = False, class_weights: tuple[float, ...] | None = None
) -> Tensor:
    """Algorithm 1 of the paper, on the valid pixels of each class of the target."""
    chance, losses = scores.softmax(1), []
    for images in groups(target, per_image):
        labels = target[images].flatten()
        valid = labels != IGNORE
        labels = labels[valid]
        found = torch.zeros(scores.shape[1], dtype=scores.dtype)
        counted = torch.zeros(scores.shape[1])
        for k in labels.unique().tolist():
            inside = (labels == k).to(scores.dtype)
            errors, order = (inside - chance[images, k].flatten()[valid]).abs().sort(descending=True)
            inside = inside[order]
            intersection = inside.sum() - inside.cumsum(0)
            union = inside.sum() + (1 - inside).cumsum(0)
            jaccard = 1 - intersection / union
            jaccard[1:] = jaccard[1:] - jaccard[:-1].clone()
            found = found + F.one_hot(torch.tensor(k), len(found)) * errors.dot(jaccard)
            counted[k] = 1
        losses.append(weighted(found, counted, class_weights))
    return torch.stack(losses).mean()


PLAIN: dict[str, Callable[..., Tensor]] = {
    "cross_entropy": cross_entropy,
    "focal": focal,
    "dice": dice,
    "jaccard": lambda *args, **options: dice(*args, **options, jaccard=True),
    "lovasz": lovasz,
    "sum": lambda scores, target: cross_entropy(scores, target) + dice(scores, target),
}
"""By registered name, with its default options."""


def example(
    seed: int,
    size: tuple[int, int] = (9, 7),
    batch: int = 3,
    classes: int = 4,
    target_size: tuple[int, int] | None = None,
    ignored: float = 0.2,
) -> tuple[Tensor, Tensor]:
    """Return float64 scores, and a target with ignored pixels in which the last of 3 or more classes does not occur."""
    generator = torch.Generator().manual_seed(seed)
    scores = 3 * torch.randn(batch, classes, *size, generator=generator, dtype=torch.float64)
    shape = (batch, *(target_size or size))
    target = torch.randint(0, classes - 1 if classes > 2 else classes, shape, generator=generator)
    target[torch.rand(shape, generator=generator) < ignored] = IGNORE
    return scores, target


def peak_memory(work: Callable[[], object]) -> int:
    """Return the most bytes that were allocated at a time above what was there before, as the CPU allocator saw it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        work()
    assert found.profiler is not None
    events = [event for event in found.profiler.kineto_results.events() if event.name() == "[memory]"]
    total = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        total += event.nbytes()
        peak = max(peak, total)
    return peak
