"""How a frozen network runs, not what it says: precision, memory format, and what is kept for the way back."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import checkpoint as checkpointing

from iqaloss._errors import check_choice
from iqaloss.scorers.base import Request, ScoreOutput, Scorer
from iqaloss.scorers.layers.stacked import StackedLinear

PRECISIONS: dict[str | None, torch.dtype | None] = {None: None, "fp32": torch.float32, "bf16": torch.bfloat16}
Context = contextlib.AbstractContextManager[Any]
_LAYERS = (nn.Conv2d, nn.Linear, StackedLinear)


def run_scorer(
    scorer: Scorer,
    images: Tensor,
    request: Request,
    conditions: Mapping[str, Any],
    *,
    precision: str | None,
    checkpoint: bool,
    channels_last: bool,
) -> ScoreOutput:
    """Runs a frozen scorer.

    Args:
        scorer: The scorer.
        images: Float RGB in ``[0, 1]``, ``[B, 3, H, W]``.
        request: What to compute.
        conditions: What the scorer takes beside the images.
        precision: None follows the caller's autocast, ``"fp32"`` turns it off and ``"bf16"`` on.
        checkpoint: Whether the scorer's blocks are computed again on the way back; a compiler chooses on its own.
        channels_last: Whether the images go in with the channels last in memory, which convolutions hand on.
    """
    dtype = PRECISIONS[precision]
    cast: Context = contextlib.nullcontext()
    if dtype is not None:
        cast = torch.autocast(images.device.type, torch.bfloat16, enabled=dtype is torch.bfloat16)
    again: Context = contextlib.nullcontext()
    if checkpoint and torch.is_grad_enabled() and not torch.compiler.is_compiling():
        again = recomputed(stages(scorer))
    with cast, again:
        if channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return scorer(images, request, **conditions)


def stages(module: nn.Module) -> list[nn.Module]:
    """Returns the parts of a network that can be computed again one by one.

    A part is a member of an ``nn.Sequential`` or ``nn.ModuleList`` that holds two or more convolutions or linear
    layers and no such member itself: a residual block of a convolutional backbone, a layer of a transformer.

    Example:
        >>> blocks = [nn.Sequential(nn.Linear(2, 2), nn.GELU(), nn.Linear(2, 2)) for _ in range(3)]
        >>> len(stages(nn.ModuleList([*blocks, nn.Linear(2, 1)])))
        3
    """
    found: list[nn.Module] = []
    for child in module.children():
        inner = stages(child)
        if inner:
            found += inner
        elif isinstance(module, (nn.Sequential, nn.ModuleList)):
            layers = sum(isinstance(part, _LAYERS) for part in child.modules())
            found += [child] * (layers > 1)
    return found


@contextlib.contextmanager
def recomputed(parts: list[nn.Module]) -> Iterator[None]:
    """Inside, the parts keep only their inputs for the backward pass, and are computed again there.

    Parts must give the same output for the same input, as those of a frozen network do: no random state is kept.
    """
    own = [part.__dict__.get("forward") for part in parts]
    for part in parts:
        part.forward = functools.partial(_checkpointed, part.forward)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for part, forward in zip(parts, own):
            if forward is None:
                del part.forward
            else:
                part.forward = forward  # type: ignore[method-assign]


def _checkpointed(forward: Callable[..., Any], *args: Any, **options: Any) -> Any:
    return checkpointing.checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False, **options)


def channels_last_option(value: bool | str) -> bool | str:
    """Returns True, False or ``"auto"``; raises ``ValueError`` or ``TypeError`` for anything else."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise TypeError(f'channels_last must be True, False or "auto", got {value!r}')
    return check_choice("channels_last", value, ("auto",))


def wants_channels_last(option: bool | str, convolutional: bool, images: Tensor, precision: str | None) -> bool:
    """Whether a network should see the images with the channels last in memory.

    ``"auto"`` says yes to a network of convolutions where these are faster so: on a CPU (by a twentieth for ResNet-50,
    by a quarter for EfficientNet-Lite0), and on a GPU in half precision, where tensor cores want it.

    Args:
        option: What the user chose.
        convolutional: See :func:`is_convolutional`.
        images: What the network is going to see.
        precision: The loss's own precision, None for the caller's.
    """
    if isinstance(option, bool):
        return option
    if not images.is_cuda:
        return convolutional
    half = torch.is_autocast_enabled("cuda") if precision is None else precision == "bf16"
    return convolutional and (half or images.dtype in (torch.float16, torch.bfloat16))


def is_convolutional(network: nn.Module) -> bool:
    """Whether more than a quarter of a network's weights are those of convolutions.

    The dense layers of a convolutional network hold many weights and see few positions.

    Example:
        >>> is_convolutional(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(8, 1)))
        True
    """
    inside = sum(part.weight.numel() for part in network.modules() if isinstance(part, nn.Conv2d))
    return 4 * inside > sum(parameter.numel() for parameter in network.parameters())
