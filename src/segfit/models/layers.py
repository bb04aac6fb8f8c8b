"""Pieces that several model families share."""

import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from segfit.errors import RecipeError

__all__ = ["BatchNorm2d", "check_options", "crop_to", "pad_to", "tolerate_single_values"]


class BatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation that falls back on its running statistics where a channel has a single value.

    One image whose feature map is 1x1 (DeepLabV3's image pooling with batch 1) has no variance; torch raises there.
    """

    @override
    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.numel() == x.shape[1]:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        return super().forward(x)


def tolerate_single_values(model: nn.Module) -> None:
    """Make every batch normalisation of `model` accept one value per channel in training; keys stay the same."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = BatchNorm2d


def check_options(*, width: int, depth: int, dropout: float) -> None:
    """Check the options that U-shaped models share.

    Raises:
        RecipeError: `width` or `depth` is below 1, or `dropout` is not in [0, 1).
    """
    for option, value in (("width", width), ("depth", depth)):
        if value < 1:
            raise RecipeError(f"model.{option}: {value} is too small: use at least 1")
    if not 0 <= dropout < 1:
        raise RecipeError(f"model.dropout: {dropout} is out of range: use a probability of at least 0 and below 1")


def pad_to(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Enlarge `(B, C, H, W)` to `size` by repeating its last row and column; `crop_to` undoes it."""
    rows, columns = size[0] - x.shape[-2], size[1] - x.shape[-1]
    return F.pad(x, (0, columns, 0, rows), mode="replicate") if rows or columns else x


def crop_to(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the first rows and columns of `(B, C, H, W)`: the part that `pad_to` did not add."""
    return x[..., : size[0], : size[1]]
