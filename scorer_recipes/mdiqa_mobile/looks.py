"""How much worse than its original a picture looks: what judges of the panel say, in units of L1's restorations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from iqaloss.evaluation.panel import load_panel

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
            self.units = [float(self(restored[None], originals, number).mean()) for number in range(len(measures))]

    def __call__(self, versions: Tensor, originals: Tensor, number: int) -> Tensor:
        """Returns one judge's distances ``[V, B]`` of versions ``[V, B, 3, H, W]``, with their graph.

        Args:
            versions: V pictures of each original.
            originals: ``[B, 3, H, W]``; each is looked at once.
            number: Which judge; they take turns, for both in a step would cost twice as much.
        """
        turn = number % len(self.measures)
        measure, fast = self.measures[turn], torch.channels_last
        found = [
            measure(versions[:, row].contiguous(memory_format=fast), originals[row : row + 1])
            for row in range(len(originals))
        ]
        return torch.stack(found, dim=1) / self.units[turn]
