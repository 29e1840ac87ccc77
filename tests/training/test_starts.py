"""What recipes start from is fetched by name, or the message says what makes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from iqaloss.scorers import downloads
from iqaloss.training.engine.building import build_task
from iqaloss.training.recipes import list_recipes, read_recipe
from iqaloss.training.starts import START_FILES, advice, fetched, starts_of

for package in ("yaml", "timm", "typer", "rich"):
    pytest.importorskip(package)


@pytest.mark.parametrize("name", list_recipes())
def test_every_start_of_every_recipe_is_fetched_or_made_by_another_recipe(name: str) -> None:
    for path in starts_of(read_recipe(name)):
        told = advice(path)
        made = told.startswith("iqaloss train") and path.parts[1] in list_recipes()
        assert made or told.startswith("iqaloss models get"), (path, told)


def test_a_backbone_is_fetched_by_its_own_loader_once_and_saved_where_the_recipe_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import timm

    from iqaloss.cli import main

    asked: list[tuple[str, dict[str, Any]]] = []

    def create(tag: str, **options: Any) -> torch.nn.Module:
        asked.append((tag, options))
        return torch.nn.Linear(2, 3)

    monkeypatch.setattr(timm, "create_model", create)
    monkeypatch.chdir(tmp_path)
    for told in ("fetched by timm (license: torchvision's", "is there"):
        assert main(["models", "get", "pmt_iqa_bid"]) == 0
        assert told in capsys.readouterr().out
    assert asked == [("resnet50.tv_in1k", {"pretrained": True})]
    assert load_file(tmp_path / "weights" / "resnet50.tv_in1k.safetensors")["weight"].shape == (3, 2)


def test_what_another_recipe_makes_is_named_and_nothing_is_fetched_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from iqaloss.cli import main

    monkeypatch.chdir(tmp_path)
    assert list(fetched(starts_of(read_recipe("sr_iqa_calibrate"))))[-1].endswith("iqaloss train sr_iqa_base makes it")
    for name in (
        "vit_base_patch16_384.augreg_in21k_ft_in1k.safetensors",
        "pmt_iqa_bid",
        "sr_iqa_base",
        "mdiqa_technical_spaq",
    ):
        assert main(["models", "get", name, "--offline"]) == 2
        assert "nothing is fetched offline" in capsys.readouterr().err
    with pytest.raises(
        FileNotFoundError,
        match=r"models get resnet50\.tv_in1k\.safetensors fetches it: timm resnet50\.tv_in1k, license",
    ):
        build_task(read_recipe("pmt_iqa_bid", ["scorer.size=tiny"]))


@pytest.mark.parametrize("name", [name for name, file in START_FILES.items() if file.by == "https"])
def test_addresses_are_https_and_end_in_the_name_of_the_file(name: str) -> None:
    what = START_FILES[name].what
    downloads.Source().check(what)
    assert downloads.name_of(what) == name
