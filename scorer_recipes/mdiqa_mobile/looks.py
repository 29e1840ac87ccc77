"""How much worse than its original a picture looks: what judges of the panel say, in units of L1's restorations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from iqaloss.evaluation.panel import load_panel
from scorer_recipes.mdiqa_mobile.speed import fast_format

JUDGES = ("lpips_vgg", "dists")
"""One for places and one for textures. LPIPS-Alex and the ViT stay strangers to the training, and judge it."""

Measure = Callable[[Tensor, Tensor], Tensor]
"""Pictures ``[V, 3, H, W]`` and their original ``[1, 3, H, W]`` to distances ``[V]``."""


def measures_of(folder: Path | None, device: str) -> list[Measure]:
    """Returns what the judges measure with.

    Args:
        folder: Their weights (see :func:`iqaloss.evaluation.panel.load_panel`).
        device: Where they look.

    Raises:
        ValueError: If a judge cannot be had.
    """
    panel = load_panel(JUDGES, folder, device)
    if panel.missing:
        raise ValueError("; ".join(f"{name} is not on the panel: {why}" for name, why in panel.missing.items()))
    return [panel.measures[name] for name in JUDGES]


class Looks:
    """Distances of pictures from their originals; 1 is the mean of what L1 restores.

    Args:
        measures: The judges' measures.
        restored: Restorations of a network that L1 trained, ``[B, 3, H, W]``.
        originals: What they restore.
    """

    def __init__(self, measures: Sequence[Measure], restored: Tensor, originals: Tensor) -> None:
        self.measures, self.units = measures, [1.0] * len(measures)
        with torch.no_grad():
            self.units = [float(self._one(number, restored[None], originals).mean()) for number in range(len(measures))]

    def __call__(self, versions: Tensor, originals: Tensor) -> Tensor:
        """Returns the judges' mean distances ``[V, B]`` of versions ``[V, B, 3, H, W]``, with their graph.

        Args:
            versions: V pictures of each original.
            originals: ``[B, 3, H, W]``; each is looked at once by each judge, or V times where that takes fewer calls.
        """
        return torch.stack([self._one(number, versions, originals) for number in range(len(self.measures))]).mean(dim=0)

    def _one(self, number: int, versions: Tensor, originals: Tensor) -> Tensor:
        measure, fast = self.measures[number], fast_format(originals.device)
        if len(versions) < len(originals):
            found = torch.stack([measure(one.contiguous(memory_format=fast), originals) for one in versions])
        else:
            rows = [versions[:, row].contiguous(memory_format=fast) for row in range(len(originals))]
            found = torch.stack([measure(row, originals[n : n + 1]) for n, row in enumerate(rows)], dim=1)
        return found / self.units[number]
