"""Work that leaves no mark on the caller's torch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def aside(seed: int | None = None) -> Iterator[None]:
    """Inside, random numbers are drawn from a state of its own, and tensors are ordinary ones, also in inference mode.

    Args:
        seed: What the numbers begin with; by default where the caller's begin, which stay as they are.

    Example:
        >>> before = torch.get_rng_state()
        >>> with aside(0), torch.no_grad():
        ...     _ = torch.rand(3)
        >>> torch.equal(torch.get_rng_state(), before)
        True
    """
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() and torch.cuda.is_initialized() else []
    with torch.inference_mode(False), torch.random.fork_rng(devices):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
        yield
