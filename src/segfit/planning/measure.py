"""What training and validation really allocate, to check plans with."""

import gc
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile

from segfit.config import Recipe
from segfit.planning.rehearsal import BATCHES, batch, build, score
from segfit.training.parallel import Ranks
from segfit.training.step import TrainStep

__all__ = ["measured_peak", "measured_training", "measured_validation"]


def measured_peak(work: Callable[[], object], device: torch.device) -> int:
    """Return the most bytes that are there at once while `work` runs, beyond those that were there before.

    On a CPU it is exact to the byte, because torch's allocator reports every block; what other libraries allocate by
    themselves is not seen. On a GPU it is the peak of torch's caching allocator.

    Args:
        work: makes all that is to be counted.
        device: whose memory.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        work()
    results = recorded.profiler.kineto_results
    changes = [(event.start_ns(), event.nbytes()) for event in results.events() if event.name() == "[memory]"]
    held = peak = 0
    for _, change in sorted(changes, key=lambda event: event[0]):
        held += change
        peak = max(peak, held)
    return peak


def measured_training(recipe: Recipe, classes: int, device: torch.device) -> int:
    """Return the peak of two optimizer steps, with model, loss and optimizer: the bytes of `Footprint.training`.

    Args:
        recipe: resolved, with a batch.
        classes: number of classes.
        device: where to train.
    """

    def work() -> None:
        step = TrainStep(*build(recipe, classes, device), recipe, Ranks(device=device))
        size = recipe.augment.size
        for _ in range(2):
            batches = [batch(recipe.train.images, size, classes, device) for _ in range(BATCHES[device.type])]
            step(*batches[0])
            del batches

    return measured_peak(work, device)


def measured_validation(recipe: Recipe, classes: int, size: tuple[int, int], device: torch.device) -> int:
    """Return the peak of scoring a batch, beyond what the model takes: `Footprint.validation`'s temporaries.

    Args:
        recipe: resolved, with a batch.
        classes: number of classes.
        size: (height, width) of the images.
        device: where to score.
    """
    model, loss = build(recipe, classes, device)
    return measured_peak(lambda: score(model, loss, recipe, classes, size, device), device)
