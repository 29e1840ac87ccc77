"""Checkpoints from anywhere: nothing in them is run or fetched, and what is wrong is named when they are loaded."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from iqaloss import create_scorer, list_scorers
from iqaloss.scorers import checkpoints
from iqaloss.scorers.layers.pyramid import create_network
from testing.cases import tiny

CONFIG = "iqaloss.config"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def written(folder: Path, change: Any = None, tensors: Any = None, text: str | None = "as it was") -> Path:
    """A checkpoint of a small mdiqa-mobile whose config, tensors or stored text are others than its own."""
    scorer = tiny("mdiqa-mobile")
    whole = checkpoints.save(scorer, folder / "whole.safetensors")
    notes = checkpoints.read_metadata(whole)
    config = json.loads(notes[CONFIG])
    if change is not None:
        config["branches"][0].update(change)
    notes[CONFIG] = json.dumps(config) if text == "as it was" else str(text)
    if text is None:
        del notes[CONFIG]
    state = {key: value.contiguous() for key, value in scorer.state_dict().items()}
    path = folder / "hostile.safetensors"
    save_file({**state, **(tensors(state) if tensors else {})}, path, metadata=notes)
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "lacks the field 'iqaloss.config'"),
        ("", "'iqaloss.config' is no JSON"),
        ("[" * 100_000, "'iqaloss.config' is no JSON: nested too deeply"),
        ("[]", r"must be a mapping, got \[\]"),
        ("null", "must be a mapping, got None"),
        ('{"branches": 3, "fusion": {}}', "branches must be a list, got 3"),
    ],
    ids=["missing", "empty", "deep", "list", "null", "kind"],
)
def test_a_config_that_is_none_is_told_with_its_file(text: str | None, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        create_scorer("mdiqa-mobile", written(tmp_path, text=text))
    assert "hostile.safetensors" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"trunk": "hf-hub:org/model"}, "'hf-hub:org/model' is an address"),
        ({"trunk": "local-dir:/etc"}, "'local-dir:/etc' is an address"),
        ({"trunk": "hf_hub:org/model"}, "is an address"),
        ({"trunk": "resnet5"}, "knows no backbone 'resnet5'; did you mean 'resnet50'"),
        ({"trunk": 3}, "trunk must be of type str, got 3"),
        ({"width": 100_000}, r"branches\[0\].width must be between 0 and 4096, as its tensors are, got 100000"),
        ({"heads": 10**9}, r"branches\[0\].heads must be between 0 and"),
        ({"width": -1}, "width must be between 0"),
        ({"width": 4096}, r"does not fit MDIQA: misshapen: .* expected \[4096\]"),
        ({"heads": 3}, "no scorer can be built as the config .* says: embed_dim must be divisible"),
        ({"patches": [[99, 1]]}, "no scorer can be built as the config"),
    ],
    ids=str,
)
def test_a_config_is_compared_with_the_tensors_before_anything_is_built(
    change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        create_scorer("mdiqa-mobile", written(tmp_path, change))
    assert "hostile.safetensors" in str(caught.value)


@pytest.mark.parametrize("name", ["hf-hub:a/b", "hf_hub:a/b", "local-dir:/tmp", "a/b", "timm/resnet50", "", 3])
def test_a_backbone_is_a_name_that_timm_knows(name: Any) -> None:
    with pytest.raises(ValueError, match=r"is an address|knows no backbone"):
        create_network(name)


def first(state: dict[str, torch.Tensor]) -> str:
    return next(name for name, value in state.items() if name.endswith("weight"))


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        (lambda state: {first(state): state[first(state)] * float("nan")}, "holds NaN or infinite weights: branches"),
        (lambda state: {first(state): state[first(state)].int()}, "of another kind: .* holds torch.int32, expected"),
        (lambda state: {first(state): state[first(state)][:1].clone()}, "misshapen: branches"),
        (lambda state: {"more": torch.ones(1)}, "unexpected: more"),
    ],
    ids=["nan", "int", "shape", "more"],
)
def test_a_tensor_that_cannot_be_right_is_named(tensors: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        create_scorer("mdiqa-mobile", written(tmp_path, tensors=tensors))


@pytest.mark.parametrize("name", list_scorers())
def test_folders_and_files_without_a_checkpoint_are_told_with_their_name(name: str, tmp_path: Path) -> None:
    tiny(name)
    (tmp_path / "net.pth").mkdir()
    for path in (tmp_path / "net.pth", tmp_path):
        with pytest.raises(ValueError, match=r"net\.pth|has no file|holds no checkpoint"):
            create_scorer(name, path)
    for content in ({1: torch.ones(1)}, [1], {}, 3, {"params": {"params": {}}}):
        torch.save(content, tmp_path / "other.pth")
        with pytest.raises(ValueError, match=r"other\.pth|checkpoint|does not fit"):
            create_scorer(name, tmp_path / "other.pth")
    for other in ("", 3, b"x", [1]):
        with pytest.raises(TypeError, match="weights must be a file, a folder, a state dict"):
            create_scorer(name, other)  # type: ignore[arg-type]
