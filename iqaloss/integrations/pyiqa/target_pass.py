"""What a full-reference network computes of the target alone: found by watching it, kept, and given back.

A full-reference network runs its backbone on the prediction and on the target. Where a target is compared with again
and again, its pass need not be repeated. The calls of submodules that see nothing of the prediction are found once,
their results are recorded for a target, and later passes take them from there.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import TreeSpec, tree_flatten, tree_leaves, tree_unflatten


@dataclass(frozen=True)
class TargetCall:
    """A call of a submodule that depends on the target alone.

    Attributes:
        module: Name of the submodule.
        turn: Which of its calls in a pass, from 0.
        spec: The structure of what it returns.
    """

    module: str
    turn: int
    spec: TreeSpec

    def names(self) -> list[str]:
        """Names under which its results are kept."""
        return [f"{self.module}.{self.turn}.{leaf}" for leaf in range(self.spec.num_leaves)]


@dataclass
class _Seen:
    """A call that saw nothing of the prediction, with what went in and came out."""

    call: TargetCall
    inputs: list[Tensor]
    outputs: list[Tensor]
    versions: list[int]
    inner: set[str]


@dataclass
class _Frame:
    """What was called inside a call that has not returned yet."""

    turn: int = 0
    seen: list[_Seen] = field(default_factory=list)
    inner: set[str] = field(default_factory=set)


def find_target_calls(net: nn.Module, target: Tensor) -> tuple[TargetCall, ...]:
    """Finds the outermost calls of submodules that see the target and nothing of the prediction.

    The network is watched twice, with the same target and another prediction. A call is left out if it did not see and
    give the same both times, if its result is changed in place afterwards, or if it does not return tensors with one
    row for each image. Nothing is found in a network that draws random numbers, such as a crop's place.

    Args:
        net: A frozen network that takes prediction and target.
        target: Images that it takes, at least two of them.

    Example:
        >>> class Distance(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.features = nn.Conv2d(3, 4, 3).requires_grad_(False)
        ...     def forward(self, pred, target):
        ...         return (self.features(pred) - self.features(target)).abs().mean((1, 2, 3))
        >>> [(call.module, call.turn) for call in find_target_calls(Distance(), torch.rand(2, 3, 8, 8))]
        [('features', 1)]
    """
    first = _watched(net, target.flip(0, -1), target)
    second = {(one.call.module, one.call.turn): one for one in _watched(net, target.flip(-1), target)}
    calls, inside = [], set().union(*(one.inner for one in first))
    for one in first:
        other = second.get((one.call.module, one.call.turn))
        same = other is not None and _equal(one.inputs, other.inputs) and _equal(one.outputs, other.outputs)
        unchanged = [leaf._version for leaf in one.outputs] == one.versions
        if same and unchanged and one.call.module not in inside:
            calls.append(one.call)
    return tuple(calls)


def record(net: nn.Module, calls: Sequence[TargetCall], target: Tensor) -> dict[str, Tensor]:
    """Returns what the calls give for a target, by name, without gradient."""
    kept: dict[str, Tensor] = {}
    wanted = {(call.module, call.turn): call for call in calls}

    def around(name: str, turn: int, forward: Callable[[], Any]) -> Any:
        output = forward()
        if (name, turn) in wanted:
            kept.update(zip(wanted[name, turn].names(), tree_leaves(output)))
        return output

    with torch.no_grad(), _between(net, {call.module for call in calls}, around):
        net(target, target)
    return kept


@contextlib.contextmanager
def replayed(net: nn.Module, calls: Sequence[TargetCall], kept: Mapping[str, Tensor]) -> Iterator[None]:
    """Inside, the calls return what :func:`record` kept and compute nothing."""
    wanted = {(call.module, call.turn): call for call in calls}

    def around(name: str, turn: int, forward: Callable[[], Any]) -> Any:
        call = wanted.get((name, turn))
        return forward() if call is None else tree_unflatten([kept[leaf] for leaf in call.names()], call.spec)

    with _between(net, {call.module for call in calls}, around):
        yield


@contextlib.contextmanager
def _between(net: nn.Module, names: set[str], around: Callable[[str, int, Callable[[], Any]], Any]) -> Iterator[None]:
    """Inside, ``around`` stands between the named submodules and their callers."""
    turns: Counter[str] = Counter()
    modules = {name: net.get_submodule(name) for name in names}
    own: dict[str, Any] = {name: module.__dict__.get("forward") for name, module in modules.items()}

    def replace(name: str, forward: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:
            turns[name] += 1
            return around(name, turns[name] - 1, lambda: forward(*args, **kwargs))

        return called

    for name, module in modules.items():
        module.forward = replace(name, module.forward)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for name, module in modules.items():
            del module.forward
            if own[name] is not None:
                module.forward = own[name]  # type: ignore[method-assign]


def _watched(net: nn.Module, pred: Tensor, target: Tensor) -> list[_Seen]:
    turns: Counter[str] = Counter()
    frames = [_Frame()]

    def enter(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            frames.append(_Frame(turns[name]))
            turns[name] += 1

        return hook

    def leave(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            frame, parent = frames.pop(), frames[-1]
            parent.inner |= frame.inner | {name}
            inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
            outputs, spec = tree_flatten(output)
            if _rows(inputs, len(target)) and _rows(outputs, len(target)):
                versions = [leaf._version for leaf in outputs]
                held = [leaf.detach().clone() for leaf in inputs]
                parent.seen.append(_Seen(TargetCall(name, frame.turn, spec), held, outputs, versions, frame.inner))
            else:
                parent.seen += frame.seen

        return hook

    hooks = []
    for name, module in net.named_modules():
        if name:
            hooks.append(module.register_forward_pre_hook(enter(name), with_kwargs=True))
            hooks.append(module.register_forward_hook(leave(name), with_kwargs=True))
    before = _random_states(target)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            net(pred.detach().clone().requires_grad_(), target.detach().clone())
    finally:
        for handle in hooks:
            handle.remove()
    return frames[0].seen if _equal(before, _random_states(target)) else []


def _random_states(images: Tensor) -> list[Tensor]:
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(images.device)] if images.is_cuda else states


def _rows(values: Sequence[Any], count: int) -> bool:
    """Whether these are tensors without a gradient, each with a row for each image."""
    return bool(values) and all(
        isinstance(value, Tensor) and not value.requires_grad and value.ndim > 1 and len(value) == count
        for value in values
    )


def _equal(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other))
