"""Networks without numbers, for tests that look at names and shapes alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch


@contextlib.contextmanager
def without_numbers() -> Iterator[None]:
    """Builds what is built inside on the meta device.

    timm before 1.0.10 reads the rates of stochastic depth off a ``torch.linspace`` that it makes where the network is
    made, and numbers cannot be read there: these stay on the CPU.
    """
    linspace = torch.linspace

    def readable(*bounds: Any, **options: Any) -> torch.Tensor:
        return linspace(*bounds, **{"device": "cpu", **options})

    with torch.device("meta"), mock.patch.object(torch, "linspace", readable):
        yield
