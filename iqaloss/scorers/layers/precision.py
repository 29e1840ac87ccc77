"""Parts that keep their own precision, whatever the caller's autocast says."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


def full_precision(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Returns a context without autocast, also for a device that has none, such as ``meta``.

    Example:
        >>> with torch.autocast("cpu", torch.bfloat16), full_precision(torch.device("cpu")):
        ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
        torch.float32
    """
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return contextlib.nullcontext()


def exact(network: nn.Module, images: Tensor) -> Any:
    """Runs a network of convolutions in its weights' own precision, also under autocast; one in training follows that.

    A rectifier passes a gradient or stops it. In bfloat16 a few of a hundred stand on the other side, layer upon layer,
    and at the pixels half of a deep network's gradient is noise, though its output is right within a hundredth.

    Args:
        network: What runs.
        images: Its one argument.

    Example:
        >>> with torch.autocast("cpu", torch.bfloat16):
        ...     exact(nn.Conv2d(3, 1, 1).eval(), torch.rand(1, 3, 2, 2)).dtype
        torch.float32
    """
    if network.training:
        return network(images)
    with full_precision(images.device):
        weight = next(network.parameters(), images)
        return network(images.to(weight.dtype))


@contextlib.contextmanager
def neutral(*devices: torch.device) -> Iterator[None]:
    """Inside, the caller's inference mode, autocast and graph leave no mark on what is computed."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        for device in devices:
            stack.enter_context(full_precision(device))
        yield
