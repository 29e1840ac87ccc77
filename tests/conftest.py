"""Fixtures that several test files share."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

ROOT = Path(__file__).parent.parent
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


class Golden:
    """Reference outputs of the published models under deterministic weights."""

    def __init__(self, folder: Path) -> None:
        spec = importlib.util.spec_from_file_location("golden_fill", folder / "fill.py")
        assert spec is not None
        assert spec.loader is not None
        self.fill: ModuleType = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.fill)
        self.folder = folder

    def shapes(self, part: str) -> dict[str, list[int]]:
        return json.loads((self.folder / "keys" / f"{part}.json").read_text())

    def weights(self, part: str, *, keys: str | None = None) -> dict[str, Tensor]:
        """The deterministic weights of a part; ``keys`` names the key list when it is another part's."""
        empty = {
            key: torch.zeros(shape, dtype=torch.long if key.endswith("num_batches_tracked") else torch.float32)
            for key, shape in self.shapes(keys or part).items()
        }
        return self.fill.fill_state_dict(empty, f"public:{part}")

    def load(self, name: str) -> dict[str, np.ndarray]:
        with np.load(self.folder / "public" / f"{name}.npz") as arrays:
            return dict(arrays)

    def image(self, salt: str, shape: object) -> Tensor:
        return self.fill.image(f"public:{salt}", tuple(int(side) for side in np.asarray(shape)))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of material that is not part of the repository."""
    folder = Path(os.environ.get("IQALOSS_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"needs the shared material, which is not at {folder}; set IQALOSS_SHARED")
    return folder


@pytest.fixture(scope="session")
def golden(shared: Path) -> Golden:
    return Golden(shared / "golden")


def assert_close(got: object, want: np.ndarray) -> None:
    """Outputs, features, weights and losses agree within the tolerance that the fixtures state."""
    got = got.detach().numpy() if isinstance(got, Tensor) else np.asarray(got)
    np.testing.assert_allclose(
        got.reshape(want.shape), want, rtol=1e-4, atol=max(1e-5, 1e-4 * float(np.abs(want).max()))
    )


def assert_gradient_close(grad: Tensor, want_samples: np.ndarray, want_norm: np.ndarray, *, step: int = 8) -> None:
    """A gradient's samples and norm agree within the (wider) tolerance that the fixtures state.

    Which side of a ReLU or max-pool kink a value falls on depends on the machine's rounding, so that two in a
    thousand samples may differ more, and none by as much as a tenth of the largest.
    """
    off = np.abs(grad[..., ::step, ::step].numpy() - want_samples) / float(np.abs(want_samples).max())
    assert (off > 5e-3).mean() <= 2e-3
    assert off.max() < 0.1
    np.testing.assert_allclose(grad.double().norm().item(), want_norm.item(), rtol=2e-3)


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Names a lambda by its argument: its address would give each worker of a parallel run other names."""
    return argname if getattr(val, "__name__", "") == "<lambda>" else None
