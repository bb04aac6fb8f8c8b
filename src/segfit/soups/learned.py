"""Learned soups: the weights of the mean follow the gradient of the loss."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import count, islice

import torch
from torch import Tensor, nn

from segfit.data.loader import Batch, TrainLoader
from segfit.errors import RunError
from segfit.parts import Parts
from segfit.soups.batch_norm import batch_statistics
from segfit.soups.kitchen import Kitchen, Tasting
from segfit.training.checkpoint import open_weights
from segfit.training.prefetch import on_device
from segfit.training.step import TrainStep

__all__ = ["learned", "mixing_gradient"]

STEPS = 50
RATE = 0.1
"""Steps of Adam on the logits of the weights, and its learning rate."""


def learned(kitchen: Kitchen, singles: Sequence[Tasting]) -> None:
    """Keep the mean whose weights were learnt, or what scores better of the uniform one and the best ingredient alone.

    That ingredient has its normalisation measured again, as the means have.

    Wortsman et al. 2022, section 2: the weights are a softmax, learnt on held-out images, here on crops of the
    validation split with batch normalisation as in training. There are as many numbers to learn as ingredients, yet
    they were chosen by the split that scores them, as those of a greedy soup.

    Args:
        kitchen: has the ingredients.
        singles: what each of them scores.

    Raises:
        RunError: the loss is not a number.
    """
    uniform = kitchen.taste(kitchen.equally(range(len(singles))), "mean of all")
    kitchen.keep(uniform)
    best = uniform
    highest = max(range(len(singles)), key=lambda i: (singles[i].sound, singles[i].score))
    measured = kitchen.taste_measured(highest) if len(singles) > 1 else None
    if measured is not None and measured.sound and measured.score > best.score:
        best = measured
        kitchen.keep(best)
    mixture = kitchen.taste(_learn(kitchen), "learnt weights")
    if mixture.sound and mixture.score >= best.score:
        kitchen.keep(mixture)


def _learn(kitchen: Kitchen) -> tuple[float, ...]:
    """Return the weights after the last step."""
    parts, step = kitchen.parts, _objective(kitchen.parts)
    logits = torch.zeros(len(kitchen.ingredients), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=RATE)
    for batch in islice(_crops(parts), STEPS):
        weights = logits.softmax(0)
        kitchen.mix(weights.tolist())
        with batch_statistics(parts.model):
            loss, _ = step.gradients(batch.images, batch.masks)
        if not loss.isfinite():
            raise RunError(f"{kitchen.ingredients[0].name}: the loss of the mean is {loss.item()}: use --how greedy")
        # A rank has the gradient of its share, made for a mean over the ranks.
        gradient = parts.ranks.sum(mixing_gradient(parts.model, kitchen).to(parts.ranks.device)) / parts.ranks.world
        step.drop_gradients()
        logits.grad = None
        (weights * gradient.cpu()).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return tuple(logits.detach().softmax(0).tolist())


def mixing_gradient(model: nn.Module, kitchen: Kitchen) -> Tensor:
    """Return the derivative of the loss by the weight of each ingredient, `(N,)` float64.

    The mean is linear in its weights, so that is the product of the gradient that the parameters have and each
    ingredient. The files are read tensor by tensor: no more than the model and its gradient is in memory, where
    interpolating inside the forward pass would hold every ingredient there.
    """
    derivative = torch.zeros(len(kitchen.ingredients), dtype=torch.float64)
    with ExitStack() as stack:
        files = [stack.enter_context(open_weights(one.file)) for one in kitchen.ingredients]
        for name, parameter in model.named_parameters():
            if parameter.grad is None:
                continue
            gradient = parameter.grad.double().cpu()
            for index, file in enumerate(files):
                derivative[index] += (gradient * file.tensor(name).double()).sum()
    return derivative


def _objective(parts: Parts) -> TrainStep:
    """Return what computes the loss's gradient. Of each rank by itself: ranks exchange N numbers, not N tensors."""
    train = parts.recipe.train
    # float16 would need a scaler that finds its scale in many more steps.
    precision = "fp32" if train.precision == "fp16" else train.precision
    changed = train.model_copy(update={"compile": False, "precision": precision, "ema": None})
    return TrainStep(parts.model, parts.loss, parts.recipe.model_copy(update={"train": changed}), parts.ranks)


def _crops(parts: Parts) -> Iterator[Batch]:
    """Yield augmented batches of the validation split without end."""
    train, ranks = parts.recipe.train, parts.ranks
    loader = TrainLoader(
        parts.source,
        parts.validation,
        parts.labels,
        parts.recipe.augment,
        batch=max(1, min(train.images, len(parts.validation)) // ranks.world) * ranks.world,
        seed=train.seed,
        rank=ranks.rank,
        world=ranks.world,
        workers=train.workers or 0,
        pin=ranks.device.type == "cuda",
    )
    for epoch in count():
        yield from on_device(loader.epoch(epoch), ranks.device)
