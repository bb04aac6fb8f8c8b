"""Activations that the backward pass computes again instead of finding them stored.

Training keeps what each operation needs for its gradient. Most of it is cheap to make again from the rest: behind every
convolution, the normalised, activated, joined, pooled or enlarged features. While a model runs inside `recomputing`,
every call of such an operation is remembered; when autograd wants to keep its result, it gets the calls that lead there
instead, and the backward pass repeats them. A batch normalisation is repeated with the statistics of the forward pass,
so the running statistics are updated once and no ranks are asked again, and dropout keeps its mask.

What is not known here is stored as ever: a model of any kind computes what it always did, and at worst saves nothing.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary
from typing_extensions import override

from segfit.errors import RecipeError
from segfit.models.repeatable import ALLOCATING, CHEAP, EXPENSIVE, RELU, Function, drop, normalise, pool

__all__ = ["Checkpointing", "keeps_graph", "recomputing"]

Checkpointing = Literal["none", "norms", "blocks"]
"""What is computed again: nothing; what is cheap; or also the convolutions and matrix products within each block."""

DEPTH = 7
"""Longest chain of cheap calls that is repeated: the sums of residual blocks would form one without end."""

SOON = 8
"""A cheap value that was made again stays while it is needed within so many more saved tensors."""


@contextmanager
def recomputing(checkpointing: Literal["norms", "blocks"], blocks: Iterable[nn.Module]) -> Iterator[None]:
    """Let what runs inside be recomputed in its backward pass.

    Args:
        checkpointing: ``norms`` or ``blocks``.
        blocks: the modules whose outputs are kept and within which everything else is recomputed (``blocks`` only).
    """
    activations = _Activations()
    with ExitStack() as stack:
        for block in blocks if checkpointing == "blocks" else ():
            stack.enter_context(block.register_forward_pre_hook(activations.enter))
            stack.enter_context(block.register_forward_hook(activations.leave, always_call=True))
        stack.enter_context(torch.autograd.graph.saved_tensors_hooks(activations.pack, activations.unpack))
        stack.enter_context(activations)
        yield
        activations.known.clear()


def keeps_graph() -> bool:
    """Whether the backward pass under way leaves its graph for another one (``retain_graph=True``)."""
    ask = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", None)
    return True if ask is None else bool(ask())


# --- activations -----------------------------------------------------------------------------------------------------


class _Activation:
    """A tensor of the forward pass: stored, or the call that makes it again.

    Attributes:
        stored: the tensor; else `call` makes it.
        sources: the activations that the call takes.
        depth: cheap calls from the last stored tensor or expensive call to this one.
        nbytes: of the tensor.
        free: whether storing it takes no memory: weights, buffers and inputs exist anyway.
        uses: serial numbers of the saved tensors that still wait for it.
        value: the tensor, made again and needed again.
        lasting: whether the value stays until nobody waits for it, because an expensive call made it.
    """

    def __init__(self, tensor: Tensor) -> None:
        self.stored: Tensor | None = None
        self.version = 0
        self.call: _Call | None = None
        self.nbytes = tensor.numel() * tensor.element_size()
        self.free = False
        self.shape = tensor.shape
        self.uses: list[int] = []
        self.value: Tensor | None = None
        self.lasting = False

    def keep(self, tensor: Tensor) -> None:
        """Be stored."""
        # Detached, because the graph must not own a tensor that owns the graph; the version stays shared.
        self.stored, self.version, self.free, self.call = tensor.detach(), tensor._version, tensor.is_leaf, None

    def forget(self, call: "_Call") -> None:
        """Be made by `call` instead of being stored."""
        self.stored, self.free, self.call = None, False, call

    @property
    def sources(self) -> "list[_Activation]":
        return [] if self.call is None else self.call.sources

    @property
    def depth(self) -> int:
        return 0 if self.call is None else self.call.depth

    def leaves(self) -> "Iterator[_Activation]":
        """Yield the stored activations that it is made of, or itself."""
        seen, waiting = {self}, [self]
        while waiting:
            activation = waiting.pop()
            if activation.stored is not None:
                yield activation
            waiting.extend(source for source in activation.sources if source not in seen)
            seen.update(activation.sources)

    def at_hand(self) -> Tensor | None:
        """Return the tensor if nothing must be computed for it.

        Raises:
            RecipeError: it was changed in place.
        """
        if self.stored is not None and self.stored._version != self.version:
            raise RecipeError(
                "train.checkpointing: the model changes a tensor in place that its backward pass needs: use none"
            )
        return self.value if self.stored is None else self.stored

    def wanted(self, serial: int) -> bool:
        """Whether its value is to stay after the saved tensor of this number has been used."""
        return any(self.lasting or abs(serial - use) <= SOON for use in self.uses)

    def costly(self) -> bool:
        """Whether making it now would repeat an expensive call."""
        if self.call is None or self.value is not None:
            return False
        return self.call.expensive or any(source.costly() for source in self.sources)


class _Call:
    """A call to repeat.

    Args:
        function: repeats it.
        args: positional arguments, with activations for tensors.
        kwargs: keyword arguments, likewise.
        device: whose automatic casts it ran under.
        expensive: whether it is worth keeping the result once it had to be repeated.
        fresh: whether the result shares its memory with nothing.
    """

    def __init__(
        self, function: Function, args: Any, kwargs: Any, device: str, *, expensive: bool = False, fresh: bool = False
    ) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs
        self.expensive, self.fresh = expensive, fresh
        self.device = device
        self.casts = torch.is_autocast_enabled(device)
        self.dtype = torch.get_autocast_dtype(device)
        self.sources: list[_Activation] = []
        _each(self.sources.append, _Activation, (args, kwargs))
        self.depth = 0 if expensive else 1 + max((source.depth for source in self.sources), default=0)

    def __call__(self, make: Callable[[_Activation], Tensor]) -> Tensor:
        """Return the result; `make` returns the tensor of an activation."""
        args, kwargs = _each(make, _Activation, (self.args, self.kwargs))
        if self.function in RELU and args:
            source = self.sources[0]
            if source.call is not None and source.call.fresh and source.value is None:
                # What was made for this call alone may be overwritten.
                return torch.relu_(args[0])
        now = torch.is_autocast_enabled(self.device), torch.get_autocast_dtype(self.device)
        if now == (self.casts, self.dtype) or not (now[0] or self.casts):
            return self.function(*args, **kwargs)  # type: ignore[no-any-return]
        with torch.autocast(self.device, dtype=self.dtype, enabled=self.casts, cache_enabled=False):
            return self.function(*args, **kwargs)  # type: ignore[no-any-return]


def _each(visit: Function, kind: type, value: Any) -> Any:
    """Return `value`, arguments of a call, with the result of `visit` for every `kind` in it."""
    if isinstance(value, kind):
        return visit(value)
    if type(value) in (list, tuple):
        return type(value)([_each(visit, kind, item) for item in value])
    if type(value) is dict:
        return {key: _each(visit, kind, item) for key, item in value.items()}
    return value


def _storage(tensor: Tensor) -> int:
    """Return what identifies the tensor's memory, which views share."""
    return tensor.untyped_storage()._cdata  # type: ignore[no-any-return]


class _Saved:
    """What autograd keeps instead of a tensor."""

    def __init__(self, serial: int, activation: _Activation) -> None:
        self.serial = serial
        self.activation: _Activation | None = activation


class _Activations(TorchFunctionMode):
    """The activations of one forward pass, until its backward pass has used them."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = 0
        """How many blocks the forward pass is in."""
        self.serial = 0
        """How many tensors autograd has saved."""
        self.known: Any = WeakTensorKeyDictionary()
        """Tensor -> its version, and its activation at that version."""
        self.held: set[int] = set()
        """The storages that the graph keeps alive."""
        self.made: list[_Activation] = []
        """Activations with a value."""
        self.last: _Activation | None = None
        """The one that autograd saved last."""

    # --- forward: remember calls ---

    def enter(self, *_: Any) -> None:
        """Enter a block."""
        self.inside += 1

    def leave(self, _module: nn.Module, _args: Any, output: Any) -> None:
        """Leave a block, whose outputs are kept."""
        self.inside -= 1
        _each(lambda tensor: self.activation(tensor).keep(tensor), Tensor, output)

    @override
    def __torch_function__(self, func: Function, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in SPECIAL:
            out = SPECIAL[func](self, *args, **kwargs)
            if out is not NotImplemented:
                return out
        expensive = self.inside > 0 and func in EXPENSIVE
        repeat = EXPENSIVE[func] if expensive else CHEAP.get(func)
        if repeat is None or "out" in kwargs:
            return func(*args, **kwargs)
        args_, kwargs_ = _each(self.activation, Tensor, (args, kwargs))
        out = func(*args, **kwargs)
        if isinstance(out, Tensor):
            fresh = func in ALLOCATING
            self.remember(out, _Call(repeat, args_, kwargs_, out.device.type, expensive=expensive, fresh=fresh))
        return out

    def activation(self, tensor: Tensor) -> _Activation:
        """Return what is known of a tensor; one that is new is stored."""
        version, found = self.known.get(tensor, (0, None))
        if found is None or version != tensor._version:
            found = _Activation(tensor)
            found.keep(tensor)
            self.known[tensor] = tensor._version, found
        return found  # type: ignore[no-any-return]

    def remember(self, out: Tensor, call: _Call) -> None:
        """Remember that `call` made `out`."""
        # Autograd may have saved the result before it was known where it comes from.
        activation = self.activation(out)
        if activation not in call.sources:
            activation.forget(call)
            if activation.uses:
                self.held.discard(_storage(out))
                self._settle(activation, out)

    def _settle(self, activation: _Activation, tensor: Tensor) -> None:
        """Decide whether a tensor that autograd wants is stored or made again."""
        leaves = {_storage(leaf.stored): leaf for leaf in activation.leaves() if leaf.stored is not None}
        more = sum(leaf.nbytes for key, leaf in leaves.items() if key not in self.held and not leaf.free)
        if more >= activation.nbytes or activation.depth > DEPTH:
            activation.keep(tensor)
            leaves = {_storage(tensor): activation}
        self.held.update(leaves)
        for source in activation.sources:
            if source.call is not None and source.call.expensive and not source.uses:
                # Autograd does not want it, but what it wants is made of it: it is wanted for as long.
                source.uses = activation.uses

    def pack(self, tensor: Tensor) -> _Saved:
        """Return what autograd keeps of a tensor."""
        self.serial += 1
        activation = self.activation(tensor)
        activation.uses.append(self.serial)
        self._settle(activation, tensor)
        self.last = activation
        return _Saved(self.serial, activation)

    # --- backward: repeat them ---

    def unpack(self, saved: _Saved) -> Tensor:
        """Return the tensor that autograd wanted to keep.

        Raises:
            RecipeError: it was returned before, in a backward pass that does not keep its graph.
        """
        activation = saved.activation
        if activation is None:
            raise RecipeError(
                "train.checkpointing: an operation of the model reads what it saved twice in its backward pass: "
                "use none"
            )
        if saved.serial in activation.uses:
            activation.uses.remove(saved.serial)
        with torch.no_grad():
            tensor = self._make(saved.serial, activation)
        for made in self.made:
            if not made.wanted(saved.serial):
                made.value = None
        self.made = [made for made in self.made if made.value is not None]
        if not keeps_graph():
            # What only this tensor was made of goes before its gradient comes.
            saved.activation = None
        return tensor

    def _make(self, serial: int, activation: _Activation) -> Tensor:
        """Return the tensor of an activation; its value stays where it is needed again."""
        tensor = activation.at_hand()
        if tensor is None:
            assert activation.call is not None, "what is not stored can be made"
            tensor = activation.call(partial(self._make, serial))
            activation.lasting = activation.call.expensive or any(map(_Activation.costly, activation.sources))
            if activation.wanted(serial):
                activation.value = tensor
                self.made.append(activation)
        return tensor


# --- calls that are remembered in their own way ----------------------------------------------------------------------


def _batch_norm(
    activations: _Activations,
    input: Tensor,  # noqa: A002 - the names are those of torch
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Normalise by the batch, and remember by what."""
    if not training or input.numel() == input.shape[1]:
        return NotImplemented
    x, scale, shift = _each(activations.activation, Tensor, (input, weight, bias))
    cudnn = torch.backends.cudnn.enabled
    out, mean, deviation, *_ = torch._batch_norm_impl_index(
        input, weight, bias, running_mean, running_var, training, momentum, eps, cudnn
    )
    statistics = activations.activation(mean), activations.activation(deviation)
    activations.remember(out, _Call(normalise, (x, *statistics, scale, shift), {}, input.device.type, fresh=True))
    return out


def _instance_norm(
    activations: _Activations,
    input: Tensor,  # noqa: A002
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Normalise each channel of each image by itself; as in torch, that is a batch normalisation of other channels."""
    if not use_input_stats or any(given is not None for given in (running_mean, running_var, weight, bias)):
        return NotImplemented
    rows = input.contiguous().view(1, -1, *input.shape[2:])
    normalised = _batch_norm(activations, rows, None, None, training=True, momentum=momentum, eps=eps)
    if normalised is NotImplemented:
        return NotImplemented
    out = normalised.view(input.shape)
    call = _Call(torch.reshape, (activations.activation(normalised), out.shape), {}, out.device.type)
    activations.remember(out, call)
    return out


def _dropout(
    activations: _Activations,
    input: Tensor,  # noqa: A002
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
) -> Any:
    """Drop values, and remember which: autograd saves the mask and nothing else."""
    x, before = activations.activation(input), activations.serial
    out = F.dropout(input, p, training, inplace)
    mask = activations.last
    if not inplace and activations.serial == before + 1 and mask is not None and mask.shape == input.shape:
        activations.remember(out, _Call(drop, (x, mask, p), {}, input.device.type, fresh=True))
    return out


def _max_pool2d(
    activations: _Activations,
    input: Tensor,  # noqa: A002
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Take the largest values of windows; where they are, which takes more memory, is found again, too."""
    settings = kernel_size, stride, padding, dilation, ceil_mode
    x = activations.activation(input)
    results = F.max_pool2d(input, *settings, return_indices=True)
    for part, result in enumerate(results):
        activations.remember(result, _Call(partial(pool, part), (x, settings), {}, input.device.type, fresh=True))
    return results if return_indices else results[0]


SPECIAL: dict[Function, Function] = {
    F.batch_norm: _batch_norm,
    F.instance_norm: _instance_norm,
    F.dropout: _dropout,
    F.max_pool2d: _max_pool2d,
    torch.max_pool2d: _max_pool2d,
}
"""Handlers of calls; one that returns NotImplemented leaves the call to the tables."""
