"""What torch's kernels allocate for themselves and free again before they return; fake tensors do not show it.

Each rule is read off torch's source, named with it, and holds for 32-bit floats. On a CPU these bytes come from the
same allocator as tensors. Left out are the kilobytes that each thread has inside oneDNN and, on CUDA, the workspaces
that cuDNN and cuBLAS choose by the free memory.

Letters: x input, w weight, y output, g gradient.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["cpu_scratch", "cuda_scratch"]


def cpu_scratch(name: str, args: tuple[Any, ...], results: list[Tensor]) -> int:
    """Return the bytes that an operation allocates for itself on a CPU."""
    rule = CPU.get(name.rstrip("_") if name.startswith("_fused") else name)
    return rule(args, results) if rule is not None else 0


def cuda_scratch(name: str, args: tuple[Any, ...], results: list[Tensor]) -> int:
    """Return the bytes that an operation allocates for itself on a GPU, without cuDNN's workspace."""
    rule = CUDA.get(name)
    return rule(args, results) if rule is not None else 0


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


# --- convolutions ----------------------------------------------------------------------------------------------------


def _channels_last(x: Tensor, w: Tensor) -> bool:
    """Whether a convolution works in channels-last order: when the input or the weights suggest it."""
    return any(t.ndim == 4 and _suggests_channels_last(t) for t in (x, w))


def _suggests_channels_last(tensor: Tensor) -> bool:
    """As `suggest_memory_format` in c10: by the strides, also of tensors that are not dense."""
    return torch._prims_common.suggest_memory_format(tensor) is torch.channels_last


def _copied(tensors: list[Tensor], channels_last: bool) -> int:
    """Return the bytes of the tensors that have to be copied to be in that order."""
    order = torch.channels_last if channels_last else torch.contiguous_format
    return sum(_size(t) for t in tensors if not t.is_contiguous(memory_format=order))


def _lanes() -> int:
    """Channels in one of oneDNN's blocks: what a vector register holds."""
    return 16 if "AVX512" in torch.backends.cpu.get_cpu_capability() else 8


def _blocked(tensor: Tensor) -> int:
    """Return the bytes of features in blocks of channels; an image oneDNN takes as it is."""
    channels = tensor.shape[1]
    return 0 if channels in (1, 3) else _size(tensor) // channels * (-(-channels // _lanes()) * _lanes())


def _with_onednn(x: Tensor, w: Tensor, stride: list[int], dilation: list[int], groups: int) -> bool:
    """Whether a convolution on a CPU runs in oneDNN (`use_mkldnn` in ATen/native/Convolution.cpp)."""
    if x.dtype != torch.float32:
        return True
    alone = w.shape[2:] == (1, 1) and max(*stride, *dilation) == 1 and x.shape[0] < 16 and torch.get_num_threads() == 1
    small = groups == 1 and max(w.shape[2:]) <= 3 and x.shape[0] == 1 and x.numel() <= 20480
    return not alone and not small


def _columns(x: Tensor, w: Tensor, y: Tensor) -> int:
    """Return the bytes of one image as the matrix whose product with the weights is the convolution."""
    return w[0].numel() * y.shape[2:].numel() * x.element_size()


def _as_product(dilation: list[int], groups: int) -> bool:
    """Whether oneDNN has no kernel of its own for a dilated convolution, but takes it for a product of matrices."""
    return max(dilation) > 1 and groups == 1 and _lanes() == 8


def _convolution(args: tuple[Any, ...], results: list[Tensor]) -> int:
    """Weights are reordered and, in NCHW order, input and output, too (ATen/native/mkldnn/Conv.cpp)."""
    x, w, _, stride, padding, dilation, _, _, groups = args
    (y,) = results
    last = _channels_last(x, w)
    copies = _copied([x, w], last)
    if not _with_onednn(x, w, stride, dilation, groups):
        # ConvolutionMM2d.cpp; with a kernel of one pixel, the input is that matrix.
        return copies + (0 if w.shape[2:] == (1, 1) else len(x) * _columns(x, w, y))
    if last:
        return copies + _size(w)
    if _as_product(dilation, groups) and max(padding) > 3:
        return copies + _size(y)
    return copies + max(_blocked(x) + _size(w) + _blocked(y) - _size(y), _blocked(y))


def _convolution_backward(args: tuple[Any, ...], _results: list[Tensor]) -> int:
    """First the gradient of the input, then that of the weights; each is made in oneDNN's order, then copied."""
    gy, x, w, _, stride, _, dilation, _, _, groups, wanted = args
    last = _channels_last(x, w)
    copies = _copied([gy, x, w], last)
    gx, gw = (_size(t) if want else 0 for t, want in zip((x, w), wanted, strict=False))
    if not _with_onednn(x, w, stride, dilation, groups):
        return copies + (0 if w.shape[2:] == (1, 1) else len(x) * _columns(x, w, gy))
    product = 0
    if _as_product(dilation, groups):
        # Observed with oneDNN 3.13: each thread has its columns and four times the gradient of the weights.
        threads = min(torch.get_num_threads(), len(x))
        product = threads * (_columns(x, w, gy) + 4 * gw + (_size(x[:1]) if last else 0))
    if last:
        # The gradient of the weights: oneDNN's, in NCHW order, in channels-last order.
        return copies + max(_size(w) - gw, 2 * gw, product)
    moments = [
        _blocked(gy) + _size(w) + _blocked(x) if gx and not product else 0,
        _blocked(x) + gx if gx else 0,
        gx + gw + (product or _blocked(gy) + _blocked(x)),
        gx + 2 * gw,
    ]
    return copies + max(0, max(moments) - gx - gw)


def _converted(args: tuple[Any, ...], _results: list[Tensor]) -> int:
    """Return what cuDNN copies: it wants all in one order (ATen/native/cudnn/ConvShared.cpp)."""
    tensors = [t for t in args[:3] if isinstance(t, Tensor) and t.ndim == 4]
    x, w = tensors[-2:]
    return _copied(tensors, _channels_last(x, w))


# --- others ----------------------------------------------------------------------------------------------------------


def _batch_norm_backward(_args: tuple[Any, ...], results: list[Tensor]) -> int:
    """The gradient of the input is allocated twice for a moment (batch_norm_backward_cpu_template)."""
    return _size(results[0])


def _sum(args: tuple[Any, ...], results: list[Tensor]) -> int:
    """A reduction converts its whole input to the type of its result first (TensorIterator on the CPU)."""
    x = args[0]
    return 0 if x.dtype == results[0].dtype else x.numel() * results[0].element_size()


def _elementwise(args: tuple[Any, ...], results: list[Tensor]) -> int:
    """Operands of another type are converted first (TensorIterator on the CPU)."""
    others = [t for t in args[:2] if isinstance(t, Tensor) and t.dtype != results[0].dtype]
    return sum(t.numel() for t in others) * results[0].element_size()


def _fused_optimizer(args: tuple[Any, ...], _results: list[Tensor]) -> int:
    """One parameter's gradient after the other is copied to be contiguous (ATen/native/FusedAdam.cpp, FusedSGD.cpp)."""
    return max((_size(gradient) for gradient in args[1] if not gradient.is_contiguous()), default=0)


Rule = Callable[[tuple[Any, ...], list[Tensor]], int]

CPU: dict[str, Rule] = {
    "convolution": _convolution,
    "convolution_backward": _convolution_backward,
    "native_batch_norm_backward": _batch_norm_backward,
    "sum": _sum,
    "add": _elementwise,
    "sub": _elementwise,
    "mul": _elementwise,
    "div": _elementwise,
    "_fused_adam": _fused_optimizer,
    "_fused_adamw": _fused_optimizer,
    "_fused_sgd": _fused_optimizer,
}

CUDA: dict[str, Rule] = {"convolution": _converted, "convolution_backward": _converted}
