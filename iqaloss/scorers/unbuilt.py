"""Networks without memory: built to be looked at, never run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class _Numbers(TorchFunctionMode):
    """Leaves ``linspace`` its values: older timm asks it for the rate of each layer."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if func is torch.linspace:
            given.setdefault("device", "cpu")
        return func(*args, **given)


@contextlib.contextmanager
def without_memory() -> Iterator[None]:
    """Builds on the meta device inside the context: shapes and names are there, values are not.

    Example:
        >>> with without_memory():
        ...     layer = torch.nn.Linear(10**6, 10**6)
        >>> layer.weight.shape, layer.weight.device.type
        (torch.Size([1000000, 1000000]), 'meta')
    """
    with torch.device("meta"), _Numbers():
        yield
