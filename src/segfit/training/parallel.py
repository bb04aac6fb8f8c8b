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
import torch.distributed.nn.functional as dist_nn
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
    if group.device.type == "cuda":
        module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
        return DistributedDataParallel(module, device_ids=[group.device], broadcast_buffers=False)
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d):
            child.__class__ = HostSyncBatchNorm
    return DistributedDataParallel(module, broadcast_buffers=False)


class HostSyncBatchNorm(BatchNorm2d):
    """Batch normalisation over the batches of all ranks on the CPU, where torch has none.

    Two passes, mean then centred variance, so that float32 loses no digits to a difference of large sums.
    """

    @override
    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        assert self.running_mean is not None
        assert self.running_var is not None
        values = x.float()
        sums = torch.cat([values.sum((0, 2, 3)), values.new_tensor([values.numel() / values.shape[1]])])
        sums = _sum_over_ranks(sums)
        count = sums[-1].detach()
        mean = (sums[:-1] / count).view(1, -1, 1, 1)
        centred = values - mean
        variance = (_sum_over_ranks(centred.square().sum((0, 2, 3))) / count).view(1, -1, 1, 1)
        with torch.no_grad():
            assert self.momentum is not None
            self.running_mean.lerp_(mean.flatten(), self.momentum)
            self.running_var.lerp_(variance.flatten() * count / (count - 1), self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        weight, bias = self.weight.view(1, -1, 1, 1), self.bias.view(1, -1, 1, 1)
        normalised: Tensor = centred * torch.rsqrt(variance + self.eps) * weight + bias
        return normalised.to(x.dtype)


def _sum_over_ranks(x: Tensor) -> Tensor:
    """Return the sum over ranks, through which gradients flow back to every rank."""
    total: Tensor = dist_nn.all_reduce(x)  # type: ignore[no-untyped-call]
    return total
