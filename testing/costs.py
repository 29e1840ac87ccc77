"""What a computation costs, counted and not timed: FLOPs, operations, bytes kept and bytes alive at once."""

from __future__ import annotations

import contextlib
import weakref
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from iqaloss import IQALoss
from iqaloss.losses.encoded import EncodedTarget


class _Whole(contextlib.nullcontext[None]):
    """Counts for no module, in place of torch's tracker, whose hooks before torch 2.6 fail under ``autograd.grad``."""

    parents = frozenset({"Global"})


def flops(function: Callable[..., Any], *arguments: Any) -> tuple[Counter[str], Any]:
    """FLOPs by operator, and the result."""
    counter = FlopCounterMode(display=False)
    if torch.__version__ < "2.6":
        counter.mod_tracker = _Whole()  # type: ignore[assignment]
    with counter:
        result = function(*arguments)
    return Counter({str(op): n for op, n in counter.get_flop_counts().get("Global", {}).items()}), result


def total_flops(function: Callable[..., Any], *arguments: Any) -> tuple[int, Any]:
    """FLOPs of all operators together, and the result."""
    counts, result = flops(function, *arguments)
    return sum(counts.values()), result


class _Held:
    """A tensor that autograd keeps, without the graph that made it."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor.detach()


def saved_bytes(function: Callable[[], Any], known: Iterable[Tensor]) -> tuple[int, Any]:
    """Bytes of the distinct storages that autograd keeps when a function has returned, and its result.

    Those of ``known`` tensors are left out, and so is what was kept for a while only.
    """
    given = {tensor.untyped_storage().data_ptr() for tensor in known}
    kept: weakref.WeakSet[_Held] = weakref.WeakSet()

    def keep(tensor: Tensor) -> _Held:
        held = _Held(tensor)
        kept.add(held)
        return held

    with saved_tensors_hooks(keep, lambda held: held.tensor):
        result = function()
    storages = {held.tensor.untyped_storage().data_ptr(): held.tensor.untyped_storage().nbytes() for held in kept}
    return sum(size for address, size in storages.items() if address not in given), result


@dataclass(frozen=True)
class StepCosts:
    """What one step takes, there and back; it does not depend on the machine."""

    forward_flops: int
    backward_flops: int
    saved_bytes: int


def step_costs(forward: Callable[[], Tensor], backward: Callable[[Tensor], Any], known: Iterable[Tensor]) -> StepCosts:
    """Counts a step whose forward pass returns what its backward pass begins with; see :func:`saved_bytes`."""
    saved, (there, value) = saved_bytes(lambda: total_flops(forward), known)
    back, _ = total_flops(backward, value)
    return StepCosts(there, back, saved)


def loss_costs(loss: IQALoss, pred: Tensor, target: Tensor | EncodedTarget | None = None) -> StepCosts:
    """Counts a step of a loss down to its prediction; parameters and prediction are not saved for it."""
    return step_costs(
        lambda: loss(pred, target),
        lambda value: torch.autograd.grad(value, pred),
        [*loss.scorer.parameters(), pred],
    )


class _Operations(TorchDispatchMode):
    """Counts operations, views left out: on a GPU each launches a kernel or more."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


def operations(function: Callable[..., Any], *arguments: Any) -> int:
    """Number of operations, views left out."""
    with _Operations() as counter:
        function(*arguments)
    return counter.count


class Peak(TorchDispatchMode):
    """The most bytes that tensors made inside held at one time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        return out

    def _add(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        self.now += storage.nbytes()
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._drop, key, storage.nbytes())

    def _drop(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


class NoWaiting(TorchDispatchMode):
    """Fails where a GPU would make the host wait: a value read, a shape that depends on values, a copy to or from it.

    On the meta device the device's tensors are told from the host's.
    """

    _READS = ("_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "unique")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if name in self._READS:
            raise AssertionError(f"{name} waits for the device")
        out = func(*args, **kwargs)
        devices = {t.device.type for t in tree_leaves((args, kwargs, out)) if isinstance(t, Tensor) and t.ndim}
        if len(devices) > 1:
            raise AssertionError(f"{name} copies between {' and '.join(sorted(devices))}")
        return out
