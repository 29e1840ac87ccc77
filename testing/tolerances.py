"""How far apart two ways to the same value may end, by number type."""

from __future__ import annotations

from typing import TypedDict

import torch

DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class Tolerance(TypedDict):
    """Keywords of ``torch.testing.assert_close``."""

    rtol: float
    atol: float


# A scorer is some fifty layers deep: about a hundred times the rounding of the type.
TOLERANCES: dict[torch.dtype, Tolerance] = {
    torch.float64: {"rtol": 1e-9, "atol": 1e-10},
    torch.float32: {"rtol": 1e-4, "atol": 1e-5},
    torch.float16: {"rtol": 5e-2, "atol": 1e-2},
    torch.bfloat16: {"rtol": 2e-1, "atol": 5e-2},
}
