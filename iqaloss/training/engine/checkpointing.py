"""The state of a training on disk: complete or absent, never half written."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from iqaloss._files import clear_leftovers, replacing

STATE = "last.pt"
BEST = "best.safetensors"
LAST = "last.safetensors"
FORMAT = 1


def write_state(state: dict[str, Any], path: Path) -> None:
    """Writes a state, whole or not at all, and clears away what a process left that was killed while it wrote."""
    with replacing(path) as temporary:
        torch.save({"format": FORMAT, **state}, temporary)
    clear_leftovers(path.parent)


def check_finite(module: nn.Module, step: int, folder: Path) -> None:
    """Raises ``ValueError`` for weights that are not finite, before they take the place of a good checkpoint."""
    values = module.state_dict()
    bad = [name for name, value in values.items() if value.is_floating_point() and not bool(value.isfinite().all())]
    if bad:
        raise ValueError(
            f"after step {step} {len(bad)} of {len(values)} tensors are not finite, {bad[0]} first; none of it was "
            f"saved, and {folder} is as it was: lower the learning rate, or set optimizer.clip, and train anew"
        )


def read_state(path: Path) -> dict[str, Any]:
    """Reads what :func:`write_state` wrote, without running code in it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read or has another format.
    """
    if not path.is_file():
        raise FileNotFoundError(f"nothing to resume: {path} does not exist")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"cannot read the training state {path}: {error}") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        found = state.get("format") if isinstance(state, dict) else type(state).__name__
        raise ValueError(f"{path} is no training state of format {FORMAT} (found {found!r})")
    return state


def random_state() -> dict[str, Any]:
    """Returns the state of every random generator of this process: Python, NumPy, torch and its devices."""
    algorithm, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    state = {
        "python": random.getstate(),
        "numpy": (str(algorithm), [int(key) for key in keys], int(position), int(has_gauss), float(gauss)),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state: dict[str, Any]) -> None:
    """Puts back what :func:`random_state` returned."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    algorithm, keys, *rest = state["numpy"]
    np.random.set_state((algorithm, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def seed_everything(seed: int, rank: int = 0) -> None:
    """Seeds Python, NumPy and torch; every rank gets numbers of its own."""
    mixed = int(np.random.SeedSequence([seed, rank]).generate_state(1)[0])
    random.seed(mixed)
    np.random.seed(mixed)
    torch.manual_seed(mixed)
