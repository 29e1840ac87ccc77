"""Batch norms of a fixed network folded into the convolutions before them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from iqaloss.scorers.layers.precision import neutral

_CONVOLUTION = torch.ops.aten.convolution.default


def fold_batch_norms(module: nn.Module, run: Callable[[], Any]) -> int:
    r"""Folds each batch norm that directly follows a convolution into it; the function computed stays the same.

    With stored statistics a batch norm is a factor and a shift for each channel, which the convolution takes over:

    .. math:: W' = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}} W, \quad
              b' = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}} (b - \mu) + \beta.

    Which ones follow each other is observed, not guessed: ``run`` is watched, and a pair is folded if all that the
    convolution gave went into this batch norm and nowhere else, and the batch norm saw nothing else. Pairs that do
    not run, that share weights, or whose batch norm is in training mode are left alone. A timm norm leaves its
    activation behind.

    Args:
        module: The network; changed in place. Its state dict has other keys afterwards.
        run: Calls the network on an example and returns what it gave; every path that is ever taken must run.

    Returns:
        Number of batch norms folded.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval().requires_grad_(False)
        >>> fold_batch_norms(net, lambda: net(torch.rand(1, 3, 8, 8)))
        1
        >>> net
        Sequential(
          (0): Conv2d(3, 4, kernel_size=(3, 3), stride=(1, 1))
          (1): Identity()
          (2): ReLU()
        )
    """
    places = _places(module)
    norms = [child for child, where in places.items() if len(where) == 1 and _remainder(child) is not None]
    if not norms:
        return 0
    pairs = _observe(module, norms, run)
    for convolution, norm in pairs:
        fold_pair(convolution, norm)
        parent, name = places[norm][0]
        setattr(parent, name, _remainder(norm))
    return len(pairs)


def fold_pair(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Gives a convolution the weights of itself and the batch norm behind it, computed in float64."""
    mean, var, weight = norm.running_mean, norm.running_var, convolution.weight
    if mean is None or var is None:
        raise ValueError(f"only a batch norm with stored statistics can be folded, got {norm}")
    scale = (var.double() + norm.eps).rsqrt()
    scale = scale if norm.weight is None else scale * norm.weight.double()
    bias = -mean.double() if convolution.bias is None else convolution.bias.double() - mean.double()
    bias = bias * scale if norm.bias is None else bias * scale + norm.bias.double()
    folded = weight.double() * scale[:, None, None, None]
    convolution.weight = nn.Parameter(folded.to(weight.dtype), requires_grad=False)
    convolution.bias = nn.Parameter(bias.to(weight.dtype), requires_grad=False)


def _places(module: nn.Module) -> dict[nn.Module, list[tuple[nn.Module, str]]]:
    """Returns where each module hangs: its parents, and its name in each."""
    places: dict[nn.Module, list[tuple[nn.Module, str]]] = {}
    for parent in module.modules():
        for name, child in parent._modules.items():
            if child is not None:
                places.setdefault(child, []).append((parent, name))
    return places


def _remainder(norm: nn.Module) -> nn.Module | None:
    """Returns what is left of a batch norm without its normalisation; None for what is none, or cannot be folded."""
    if norm.training or getattr(norm, "running_mean", None) is None or norm._forward_hooks or norm._forward_pre_hooks:
        return None
    if type(norm) is nn.BatchNorm2d:
        return nn.Identity()
    timm_norm = getattr(sys.modules.get("timm.layers"), "BatchNormAct2d", None)
    return norm.act if timm_norm is not None and type(norm) is timm_norm else None  # type: ignore[return-value]


@dataclass
class _Traffic:
    """What went where.

    Attributes:
        made: Identity of a tensor to the convolution that gave it.
        reads: Identity of a tensor to the number of operations that took it.
        normed: Identity of a tensor to the batch norms that took it.
        alive: All of these tensors: an identity is unique only as long as its object lives.
    """

    made: dict[int, nn.Conv2d] = field(default_factory=dict)
    reads: Counter[int] = field(default_factory=Counter)
    normed: dict[int, list[nn.Module]] = field(default_factory=dict)
    alive: list[Tensor] = field(default_factory=list)


class _Recorder(TorchDispatchMode):
    """Records which convolution gave a tensor, and how often each of these is read."""

    def __init__(self, weights: dict[int, nn.Conv2d], traffic: _Traffic) -> None:
        super().__init__()
        self.weights = weights
        self.traffic = traffic

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        traffic = self.traffic
        for value in tree_leaves((args, kwargs)):
            if isinstance(value, Tensor) and id(value) in traffic.made:
                traffic.reads[id(value)] += 1
        out = func(*args, **(kwargs or {}))
        # The weight itself, not one that was made of it: else its channels' factors might not come through.
        if func is _CONVOLUTION and id(args[1]) in self.weights:
            traffic.made[id(out)] = self.weights[id(args[1])]
            traffic.alive.append(out)
        return out


def _observe(module: nn.Module, norms: list[Any], run: Callable[[], Any]) -> list[tuple[nn.Conv2d, Any]]:
    """Runs the network and returns the pairs that are certain."""
    owners = Counter(id(value) for child in module.modules() for value in child._parameters.values())
    weights = {
        id(child.weight): child
        for child in module.modules()
        if isinstance(child, nn.Conv2d) and owners[id(child._parameters.get("weight"))] == 1
    }
    traffic = _Traffic()

    def note(norm: nn.Module, args: tuple[Any, ...]) -> None:
        traffic.normed.setdefault(id(args[0]), []).append(norm)
        traffic.alive.append(args[0])

    handles = [norm.register_forward_pre_hook(note) for norm in norms]
    try:
        # Autocast would hand the convolutions copies of their weights.
        with neutral(next(iter(module.parameters())).device), _Recorder(weights, traffic):
            result = run()
    finally:
        for handle in handles:
            handle.remove()
    returned = {id(value) for value in tree_leaves(result)}
    gave: dict[nn.Conv2d, set[Any]] = {}
    took: dict[nn.Module, set[Any]] = {}
    for key, convolution in traffic.made.items():
        takers = traffic.normed.get(key, [])
        only = traffic.reads[key] == len(takers) == 1 and key not in returned
        gave.setdefault(convolution, set()).add(takers[0] if only else None)
    for key, takers in traffic.normed.items():
        for norm in takers:
            took.setdefault(norm, set()).add(traffic.made.get(key))
    return [
        (convolution, norm)
        for convolution, receivers in gave.items()
        for norm in receivers
        if norm is not None and receivers == {norm} and took[norm] == {convolution}
    ]
