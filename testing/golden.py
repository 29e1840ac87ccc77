"""Recorded outputs of the published models under deterministic weights, and how closely they must be met."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).parent.parent / "tests" / "golden"
SALT = "public"


class Golden:
    """The vectors of a folder, and the weights and pictures that they were made with."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder
        self.fill = _module(folder / "fill.py")

    def shapes(self, file: str) -> dict[str, list[int]]:
        """Keys and shapes of an official file."""
        return json.loads((self.folder / "keys" / f"{file}.json").read_text())

    def weights(self, file: str) -> dict[str, Tensor]:
        """The deterministic weights of an official file."""
        empty = {
            key: torch.zeros(shape, dtype=torch.long if key.endswith("num_batches_tracked") else torch.float32)
            for key, shape in self.shapes(file).items()
        }
        return self.fill.fill_state_dict(empty, f"{SALT}:{file}")

    def load(self, name: str) -> dict[str, np.ndarray]:
        """Every recorded array of a model, by name."""
        with np.load(self.folder / "public" / f"{name}.npz") as arrays:
            return dict(arrays)

    def image(self, salt: str, shape: Sequence[int] | np.ndarray) -> Tensor:
        """The picture that a salt names."""
        return self.fill.image(f"{SALT}:{salt}", tuple(int(side) for side in np.asarray(shape)))


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_fill", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def assert_close(got: Tensor | np.ndarray | float, want: np.ndarray) -> None:
    """Outputs, features, weights and losses agree within the tolerance that the vectors state."""
    got = got.detach().numpy() if isinstance(got, Tensor) else np.asarray(got)
    np.testing.assert_allclose(
        got.reshape(want.shape), want, rtol=1e-4, atol=max(1e-5, 1e-4 * float(np.abs(want).max()))
    )


def assert_gradient_close(grad: Tensor, want_samples: np.ndarray, want_norm: np.ndarray, *, step: int = 8) -> None:
    """A gradient's samples and norm agree within the (wider) tolerance that the vectors state.

    Which side of a ReLU or max-pool kink a value falls on depends on the machine's rounding, so that two in a
    thousand samples may differ more, and none by as much as a tenth of the largest.
    """
    off = np.abs(grad[..., ::step, ::step].numpy() - want_samples) / float(np.abs(want_samples).max())
    assert (off > 5e-3).mean() <= 2e-3
    assert off.max() < 0.1
    np.testing.assert_allclose(grad.double().norm().item(), want_norm.item(), rtol=2e-3)
