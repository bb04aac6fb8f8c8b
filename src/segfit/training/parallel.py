"""Several ranks as one: what torchrun starts trains as one process would.

The mean loss is taken over the global batch, batch normalisation sees the global batch, and the order of samples does
not depend on the number of ranks; so one rank and two give the same curve up to float rounding.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from typing_extensions import override

from segfit.errors import RecipeError
from segfit.models.layers import BatchNorm2d

__all__ = ["Ranks", "distribute", "ranks"]


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process among its peers.

    Attributes:
        rank: 0 .. world-1.
        world: how many there are.
        device: where this rank computes.
    """

    rank: int = 0
    world: int = 1
    device: torch.device

    @property
    def main(self) -> bool:
        """Whether this is the rank that writes files."""
        return self.rank == 0

    def sum(self, value: Tensor) -> Tensor:
        """Return the sum of `value` over the ranks."""
        if self.world == 1:
            return value
        total = value.to(self.device, copy=True)
        dist.all_reduce(total)
        return total

    def largest(self, value: int) -> int:
        """Return the largest `value` over the ranks."""
        return max(map(int, self.gather(value)))

    def gather(self, value: Any) -> list[Any]:
        """Return the value of each rank, in rank order."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Wait for the others."""
        if self.world > 1:
            dist.barrier()


@contextmanager
def ranks(device: str) -> Iterator[Ranks]:
    """Join the process group that torchrun announces in the environment; without one, be the only rank.

    A group that is open already is used and left open.

    Args:
        device: ``"cpu"`` (gloo) or ``"cuda"`` (nccl, one GPU per local rank).

    Raises:
        RecipeError: more local ranks than GPUs.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if device == "cuda" and here > torch.cuda.device_count():
        raise RecipeError(f"{here} ranks were started here but there are {torch.cuda.device_count()} GPUs: start fewer")
    place = torch.device(device, local) if device == "cuda" else torch.device(device)
    if device == "cuda":
        torch.cuda.set_device(place)
    if world == 1 or dist.is_initialized():
        yield Ranks(rank=int(os.environ.get("RANK", "0")) if world > 1 else 0, world=world, device=place)
        return
    dist.init_process_group("nccl" if device == "cuda" else "gloo", device_id=place if device == "cuda" else None)
    try:
        yield Ranks(rank=dist.get_rank(), world=world, device=place)
    finally:
        dist.destroy_process_group()


def distribute(module: nn.Module, group: Ranks) -> nn.Module:
    """Return `module` so that gradients are averaged and batches normalised over all ranks; itself for one rank."""
    if group.world == 1:
        return module
    # The buffers agree already, and gradients that live where the ranks exchange them exist once instead of twice.
    options: dict[str, Any] = {"broadcast_buffers": False, "gradient_as_bucket_view": True}
    if group.device.type == "cuda":
        module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
        return DistributedDataParallel(module, device_ids=[group.device], **options)
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d):
            child.__class__ = HostSyncBatchNorm
    return DistributedDataParallel(module, **options)


class HostSyncBatchNorm(BatchNorm2d):
    """Batch normalisation over the batches of all ranks on the CPU, where torch has none."""

    @override
    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        normalised, mean, variance, count = _Normalise.apply(x, self.weight, self.bias, self.eps)
        assert self.momentum is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        return normalised  # type: ignore[no-any-return]


class _Normalise(torch.autograd.Function):
    """Normalise by the mean and variance over all ranks; one exchange forward, one backward."""

    @staticmethod
    @override
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, ...]:
        mean, variance, count = _moments(x)
        ctx.save_for_backward(x, weight, mean, torch.rsqrt(variance + eps), count)
        ctx.mark_non_differentiable(mean, variance, count)
        return F.batch_norm(x, mean, variance, weight, bias, eps=eps), mean, variance, count

    @staticmethod
    @override
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x, weight, mean, deviation, count = ctx.saved_tensors
        mean, deviation, factor = _shaped(mean), _shaped(deviation), _shaped(weight * deviation)
        gradient, centred = gradient.float(), x.float() - mean
        of_bias = gradient.sum((0, 2, 3))
        of_weight = (gradient * centred).sum((0, 2, 3)) * deviation.flatten()
        sums = torch.stack((of_bias, of_weight))
        dist.all_reduce(sums)
        shift, tilt = (_shaped(row) for row in sums / count)
        # factor * (gradient - shift - centred * deviation * tilt), with one tensor of this size in memory
        result = centred.mul_(-factor * deviation * tilt).addcmul_(gradient, factor).sub_(factor * shift)
        return result.to(x.dtype), of_weight, of_bias, None


def _moments(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean and variance per channel over all ranks in float32, and the number of values in each.

    The ranks' squared deviations, from their own means and from the common one, lose no digits to a difference of
    large sums (Chan et al. 1979, "Updating formulae and a pairwise algorithm for computing sample variances").
    """
    variance, mean = torch.var_mean(x.float(), (0, 2, 3), correction=0)
    own = torch.stack((mean, variance, torch.full_like(mean, x.numel() / x.shape[1])))
    every = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(every, own)
    means, variances, counts = torch.stack(every, dim=1)
    count = counts.sum(0)
    common = (counts * means).sum(0) / count
    spread = (counts * (variances + (means - common).square())).sum(0) / count
    return common, spread, count


def _shaped(channels: Tensor) -> Tensor:
    """Return values per channel in the shape that multiplies a batch."""
    return channels.view(1, -1, 1, 1)
