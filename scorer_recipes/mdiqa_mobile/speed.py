"""Measures that make training on a CPU several times faster without changing the network."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from scorer_recipes.mdiqa_mobile.recipe import Recipe

Autocast = Callable[[], Any]


def keep_memory() -> bool:
    """Lets the C library keep freed memory instead of handing it back to the system after every large tensor.

    Large tensors are otherwise mapped anew each time, and on virtual machines the page faults cost more than the
    arithmetic (3.5 times the time of a forward pass was seen). Does nothing but on Linux with glibc.

    Returns:
        Whether it had an effect.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        tune = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    trim_threshold, top_pad, mmap_max = -1, -2, -4
    return all(tune(*pair) == 1 for pair in ((mmap_max, 0), (trim_threshold, 2**31 - 1), (top_pad, 2**28)))


def fast_format(device: torch.device) -> torch.memory_format:
    """Returns the order in memory in which float32 convolutions are fast: channels last on a CPU."""
    return torch.channels_last if device.type == "cpu" else torch.contiguous_format


def _in_float32(conv: nn.Conv2d, x: Tensor) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        return type(conv).forward(conv, x.float()).to(x.dtype)


@contextmanager
def fast_bfloat16(network: nn.Module, recipe: Recipe) -> Iterator[Autocast]:
    """Avoids the two slow CPU kernels and yields what enters autocast (which each thread must do for itself).

    The bfloat16 backward passes of depthwise convolutions (with strides above all) and of fused attention are up to
    ten times slower than their float32 and unfused counterparts (oneDNN, torch 2.x); on a GPU nothing is changed.

    Args:
        network: The scorer, or a part of it.
        recipe: Says whether bfloat16 is used at all.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel

    device = next(network.parameters()).device.type
    with ExitStack() as stack:
        if device == "cpu" and recipe.bf16:
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            for module in slow_convolutions(network):
                module.forward = partial(_in_float32, module)  # type: ignore[method-assign]
                stack.callback(module.__dict__.pop, "forward")
        # Threads share autocast's cache, and one that leaves empties it: gradients would round as the timing wants.
        yield partial(torch.autocast, device, torch.bfloat16, enabled=recipe.bf16, cache_enabled=False)


def slow_convolutions(network: nn.Module) -> list[nn.Conv2d]:
    """Returns the depthwise convolutions that are trained."""
    return [
        module
        for module in network.modules()
        if isinstance(module, nn.Conv2d) and module.groups > 1 and module.weight.requires_grad
    ]
