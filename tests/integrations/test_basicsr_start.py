"""A training goes on from a file of any kind that the other commands write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from iqaloss.integrations.basicsr.model import NamedLosses


class Stock:
    """What a stock model does with files."""

    def __init__(self, opt: dict[str, Any]) -> None:
        self.read: list[str] = []

    def get_bare_model(self, net: nn.Module) -> nn.Module:
        return net

    def load_network(self, net: nn.Module, load_path: str, strict: bool, param_key: str | None) -> None:
        self.read.append(load_path)


class Model(NamedLosses, Stock):
    """As the registered ones are made."""


def test_a_network_starts_from_safetensors_too(tmp_path: Path) -> None:
    path, network, model = tmp_path / "start.safetensors", nn.Linear(2, 2), Model({})
    save_file({"weight": torch.eye(2), "bias": torch.ones(2)}, path)
    model.load_network(network, str(path), True, "params")
    assert torch.equal(network.weight, torch.eye(2))
    assert not model.read
    with pytest.raises(RuntimeError, match="Missing key"):
        model.load_network(nn.Sequential(network), str(path))


def test_other_files_are_the_stock_models() -> None:
    model = Model({})
    model.load_network(nn.Linear(2, 2), "start.pth")
    assert model.read == ["start.pth"]
