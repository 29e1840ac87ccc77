"""How good the scorer is on held-out images, shared out over all processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iqaloss.evaluation.agreement.correlations import plcc, srcc
from iqaloss.training.engine.checkpointing import BEST
from iqaloss.training.engine.collective import gather_objects, world
from iqaloss.training.engine.data import PickedData, sharded_loader, to_device
from iqaloss.training.engine.sampling import Pick, mixed_seed
from iqaloss.training.state import TrainState

ScoreBatch = Callable[[Mapping[str, Any]], Tensor]


@torch.no_grad()
def predict_sharded(
    score: ScoreBatch, data: PickedData, *, batch_size: int, device: torch.device, seed: int, workers: int = 0
) -> NDArray[np.float64]:
    """Scores a whole data set; every process scores its share and all get the whole result, in order.

    Args:
        score: Scores a batch: returns ``[B]``.
        data: The images. The draw of image i depends on (seed, i) alone, so that crops stay the same.
        batch_size: Images at once in one process.
        device: Where the batches go.
        seed: Seed of the crops.
        workers: Loader processes.
    """
    rank, ranks = world()
    picks = [Pick(i, mixed_seed(seed, i)) for i in range(rank, len(data), ranks)]
    found: list[tuple[int, float]] = []
    for batch in sharded_loader(data, picks, batch_size, workers):
        scores = score(to_device(batch, device)).detach().double().cpu().reshape(-1)
        found += zip((int(i) for i in batch["index"]), scores.tolist())
    out = np.full(len(data), np.nan)
    for index, value in (pair for pairs in gather_objects(found) for pair in pairs):
        out[index] = value
    return out


def correlations(predicted: NDArray[np.float64], target: NDArray[np.float64]) -> dict[str, float]:
    """Returns SRCC and PLCC; NaN for constant predictions.

    Example:
        >>> correlations(np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 3.0]))["srcc"]
        1.0
    """
    return {"srcc": round(srcc(predicted, target), 12), "plcc": plcc(predicted, target)}


def bettered(state: TrainState, mean: float, each: Mapping[str, float], keep_each: bool) -> list[str]:
    """Returns the files that a validation writes: that of the best mean, and of each set's best where they are kept.

    Example:
        >>> bettered(TrainState(best=0.5, best_each={"a": 0.9}), 0.6, {"a": 0.8, "b": 0.4}, True)
        ['best.safetensors', 'best_b.safetensors']
    """
    own = [name for name, value in each.items() if keep_each and value > state.best_each.get(name, float("-inf"))]
    return [BEST] * (mean > state.best) + [f"best_{name}.safetensors" for name in own]


def mean_of(results: Mapping[str, Mapping[str, float]], key: str) -> float:
    """Returns the mean of one measure over the validation sets, NaN counting as -1, the worst."""
    values = [result[key] for result in results.values()]
    return float(np.mean([-1.0 if math.isnan(value) else value for value in values]))
