"""What a program allocates and computes, operation by operation: a ledger of storages and a count of calls.

It works on real and on fake tensors alike. On fake ones nothing is allocated, so that knowing a step of 15 GB takes
seconds.
"""

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry
from typing_extensions import override

__all__ = ["Block", "Call", "Scratch", "Tracker"]

DTYPES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}

COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd

OVERWRITES = {"copy_", "fill_", "zero_", "normal_", "uniform_", "bernoulli_", "random_"}
"""Operations that write their first argument without reading it."""

VALUED = {"bincount", "nonzero", "masked_select", "index", "index_put", "index_put_"}
"""Operations whose result, or part in it, is as large as the values say."""

Scratch = Callable[[str, tuple[Any, ...], list[Tensor]], int]
"""The name, the arguments and the results of an operation -> bytes that it allocates for itself while it runs."""


@dataclass(eq=False)
class Block:
    """One allocation.

    Attributes:
        size: bytes.
        born: number of the call that made it; it is there during that call.
        died: number of the first call that finds it gone; None while it lives.
    """

    size: int
    born: int
    died: int | None = None

    def alive(self, moment: int) -> bool:
        """Whether it is there during the call with this number."""
        return self.born <= moment and (self.died is None or moment < self.died)


@dataclass(frozen=True)
class Call:
    """What one operation does.

    Attributes:
        name: of the operation, without its overload (``"convolution"``).
        dtype: the arithmetic, by the first floating-point tensor (``"fp32"``, ``"bf16"``, ``"fp16"``, ``"other"``).
        flops: of convolutions and matrix products, by torch's own formulas; 0 for all others.
        bytes: what it has to read and to write at least once.
    """

    name: str
    dtype: str
    flops: int
    bytes: int


class Tracker(TorchDispatchMode):
    """Keeps account of every storage and every operation of the program that runs within.

    Views share a storage, which counts once. Where the program asks a fake tensor for its value, it is told 1, by which
    anything can be divided; where a shape depends on values, none is assumed to be zero, so that it is the largest.

    Args:
        granularity: sizes are rounded up to a multiple of this many bytes (512 in CUDA's caching allocator).
        scratch: what an operation allocates for itself.

    Attributes:
        blocks: every allocation so far, in order.
        calls: how often each operation ran; views and bare allocations are not counted.
        now: number of the last call.
        times: how often a call counts among `calls`: it may stand for others like it.
    """

    def __init__(self, *, granularity: int = 1, scratch: Scratch = lambda _name, _args, _results: 0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.granularity, self.scratch = granularity, scratch
        self.blocks: list[Block] = []
        self.calls: Counter[Call] = Counter()
        self.now = 0
        self.times = 1
        self._living: dict[int, tuple[Block, weakref.ref[torch.UntypedStorage]]] = {}

    def block(self, tensor: Tensor) -> Block:
        """Return the block that holds `tensor`; one that is older than the tracker counts from now on."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, -(-storage.nbytes() // self.granularity) * self.granularity
        if key in self._living:
            block = self._living[key][0]
            if block.size == size:
                return block
            block.died = self.now + 1  # resized in place
        block = Block(size, self.now)
        self.blocks.append(block)
        self._living[key] = block, weakref.ref(storage, partial(_end, weakref.ref(self), key))
        return block

    def held(self) -> list[int]:
        """Return the bytes that are there during each call, from number 0 on."""
        changes = [0] * (self.now + 2)
        for block in self.blocks:
            changes[block.born] += block.size
            if block.died is not None:
                changes[block.died] -= block.size
        return list(accumulate(changes[:-1]))

    @override
    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if name == "_local_scalar_dense" and isinstance(args[0], FakeTensor):
            return _one(args[0].dtype)
        if func.namespace == "prim":  # asks for a property, most often for the device
            return args[0].fake_device if name == "device" and isinstance(args[0], FakeTensor) else func(*args)
        if _is_composite(func):  # autograd has not taken it apart: in inference mode
            with self:
                return func._op_dk(COMPOSITE, *args, **(kwargs or {}))
        self.now += 1
        result = _run(func, name, args, kwargs or {})
        inputs = [*_tensors(args), *_tensors(list((kwargs or {}).values()))]
        outputs = _tensors(result)
        given = {tensor.untyped_storage()._cdata for tensor in inputs}
        made = [output for output in outputs if self.block(output).born == self.now]
        fresh = [output for output in made if output.untyped_storage()._cdata not in given]
        if size := self.scratch(name, args, outputs):
            self.blocks.append(Block(size, self.now, self.now + 1))
        self._count(func, name, args, kwargs or {}, result, inputs, fresh)
        return result

    def _count(
        self,
        func: Any,
        name: str,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        result: Any,
        inputs: list[Tensor],
        fresh: list[Tensor],
    ) -> None:
        written = _tensors(_written(func, args, kwargs))
        if not (fresh or written) or "empty" in name:
            return
        formula = flop_registry.get(func.overloadpacket)
        read = inputs[1:] if name in OVERWRITES else inputs
        self.calls[
            Call(
                name=name,
                dtype=next((DTYPES.get(t.dtype, "other") for t in [*inputs, *fresh] if t.is_floating_point()), "other"),
                flops=int(formula(*args, **kwargs, out_val=result)) if formula is not None else 0,
                bytes=sum(map(_extent, [*read, *written, *fresh])),
            )
        ] += self.times


def _end(tracker: weakref.ref[Tracker], key: int, _storage: object) -> None:
    """Note that a storage is gone."""
    if (owner := tracker()) is not None:
        owner._living.pop(key)[0].died = owner.now + 1


def _run(func: Any, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Do an operation; where the shape of its result depends on values that are fake, as if all were nonzero."""
    if not (name in VALUED and isinstance(args[0], FakeTensor)):
        return func(*args, **kwargs)
    x = args[0]
    if name == "bincount":
        return x.new_empty(max(1, kwargs.get("minlength", args[2] if len(args) > 2 else 0)), dtype=torch.int64)
    if name == "nonzero":
        return x.new_empty(x.numel(), x.ndim, dtype=torch.int64)
    if name == "masked_select":
        return x.new_empty(torch.broadcast_shapes(x.shape, args[1].shape).numel())  # type: ignore[no-untyped-call]
    return func(x, [place for index in args[1] for place in _places(index)], *args[2:], **kwargs)


def _places(index: Tensor | None) -> list[Tensor | None]:
    """Return the index itself, or the places that a mask of ones stands for."""
    if index is None or index.dtype not in (torch.bool, torch.uint8):
        return [index]
    return [index.new_empty(index.numel(), dtype=torch.int64) for _ in range(index.ndim)]


def _tensors(tree: Any) -> list[Tensor]:
    """Return the tensors in the arguments or the results of an operation: lists within tuples at most."""
    if isinstance(tree, Tensor):
        return [tree]
    if isinstance(tree, list | tuple):
        return [tensor for branch in tree for tensor in _tensors(branch)]
    return []


def _written(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
    """Return the arguments that an operation changes."""
    places, names = _changes(func)
    return [*(args[place] for place in places if place < len(args)), *(kwargs[n] for n in names if n in kwargs)]


@cache
def _changes(func: Any) -> tuple[list[int], list[str]]:
    """Return which arguments an operation changes: their places, and their names."""
    declared = list(enumerate(func._schema.arguments))
    changed = [(place, a.name) for place, a in declared if a.alias_info is not None and a.alias_info.is_write]
    return [place for place, _ in changed], [name for _, name in changed]


@cache
def _is_composite(func: Any) -> bool:
    """Whether an operation is made of others on every device, so that it does nothing itself."""
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), COMPOSITE)


def _extent(tensor: Tensor) -> int:
    """Return the bytes behind a tensor; what is expanded is there once."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def _one(dtype: torch.dtype) -> bool | int | float:
    return True if dtype == torch.bool else 1.0 if dtype.is_floating_point else 1
