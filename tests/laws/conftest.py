"""What the laws share: losses where and in what they run, and how exact a loss is there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from iqaloss import IQALoss
from testing.cases import Case
from testing.tolerances import TOLERANCES, Tolerance


@pytest.fixture(scope="session")
def build(device: torch.device, dtype: torch.dtype) -> Callable[[Case], IQALoss]:
    """Builds a case's loss on the device and in the number type that were asked for."""
    return lambda case: case.loss(device, dtype)


@pytest.fixture(scope="session")
def loss_tolerance(tolerance: Tolerance) -> Tolerance:
    """How far apart two ways to the same loss may end: a loss is float32 whatever the scorer is."""
    least = TOLERANCES[torch.float32]
    return {"rtol": max(tolerance["rtol"], least["rtol"]), "atol": max(tolerance["atol"], least["atol"])}
