"""What each scorer costs at its published size, as ``benchmarks.scorer_costs`` counts it."""

from __future__ import annotations

COSTS: dict[str, tuple[float, float]] = {
    "mdiqa-mobile": (6.4, 0.58),
    "lar-iqa": (20.2, 7.58),
    "mdiqa": (197.3, 29.58),
    "moe-agiqa": (598.6, 179.85),
    "pmt-iqa": (23.6, 5.39),
    "sr-iqa": (151.5, 2.78),
}
"""Scorer to millions of parameters, and billions of multiply-accumulates for an image of 256x256."""
