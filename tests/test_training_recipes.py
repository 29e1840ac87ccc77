"""Every recipe is checked before it is built, and in miniature it trains, overfits, resumes and serves as a loss."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from training_data import write_methods, write_rated_images

from iqaloss import IQALoss, create_scorer
from iqaloss.training.engine import trainer as trainer_module
from iqaloss.training.engine.resuming import training_state
from iqaloss.training.engine.trainer import Trainer
from iqaloss.training.recipes import list_recipes, read_recipe
from iqaloss.training.recipes.files import read_values, recipe_from

PLAIN = {"flip": 0.5}


@dataclass(frozen=True)
class Small:
    """What makes a recipe small: fewer steps at a higher rate, small images, a small scorer."""

    recipe: str
    steps: int
    lr: float
    transform: dict[str, Any] = field(default_factory=lambda: dict(PLAIN))
    views: dict[str, Any] = field(default_factory=dict)
    scorer: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    schedule: str | None = None
    resume_at: int = 2


LAR_VIEWS = {"authentic": {"resize": [64, 64], "flip": 0.5}, "synthetic": {"crop": 96, "small": "zero"}}
WINDOWS = {"crop": 64, "random": True, "crops": 2, "flip": 0.5}
NO_TEXT = {"tokenizer": None}

CASES = [
    Small("mdiqa_technical_spaq", 40, 3e-3, options={"backbone_steps": 30}),
    Small("mdiqa_aesthetic_para", 40, 3e-3, options={"backbone_steps": 30}),
    Small("mdiqa_fusion_koniq", 40, 3e-3),
    Small("mdiqa_fusion_koniq_reference", 40, 3e-3),
    Small("lar_iqa_authentic", 40, 1e-3, {"resize": [64, 64], "flip": 0.5}),
    Small("lar_iqa_synthetic", 40, 1e-3, {"crop": 64, "flip": 0.5}, options={"color_spaces": ["RGB"]}),
    Small("lar_iqa_merge_kan", 40, 3e-3, views=LAR_VIEWS),
    Small("lar_iqa_merge_mlp", 40, 3e-3, views=LAR_VIEWS),
    Small("lar_iqa_merge_released", 40, 3e-3, views=LAR_VIEWS),
    Small("pmt_iqa_bid", 60, 1e-3, {"crop": 64, "random": True, "crops": 2}, scorer={"levels": 5}, schedule="constant"),
    Small(
        "pmt_iqa_livec", 40, 3e-3, {"crop": 64, "random": True, "crops": 2}, scorer={"levels": 5}, schedule="constant"
    ),
    Small(
        "pmt_iqa_live", 40, 3e-3, {"crop": 64, "random": True, "crops": 2}, scorer={"levels": 5}, schedule="constant"
    ),
    Small(
        "pmt_iqa_csiq", 40, 3e-3, {"crop": 64, "random": True, "crops": 2}, scorer={"levels": 5}, schedule="constant"
    ),
    Small("pmt_iqa_bid_released", 40, 3e-3, {"resize": [224, 224]}, schedule="constant"),
    Small("moe_agiqa_prior", 40, 3e-3, {"crop": 32, "random": True, "crops": 3}, scorer={"vision": {}, "text": {}}),
    Small("moe_agiqa_agiqa1k", 40, 3e-3, options=NO_TEXT),
    Small("moe_agiqa_agiqa3k", 40, 3e-3, options=NO_TEXT),
    Small("moe_agiqa_aigciqa2023", 40, 3e-3, options=NO_TEXT),
    Small("moe_agiqa_agiqa3k_released", 40, 3e-3, options=NO_TEXT),
    Small("sr_iqa_base", 60, 1e-4, WINDOWS, schedule="constant"),
    Small("sr_iqa_calibrate", 40, 1e-2, WINDOWS),
    Small("sr_iqa_calibrate_released", 40, 1e-3, WINDOWS),
]
FAST = {
    "mdiqa_technical_spaq",
    "mdiqa_fusion_koniq",
    "lar_iqa_authentic",
    "lar_iqa_merge_kan",
    "pmt_iqa_bid",
    "moe_agiqa_prior",
    "moe_agiqa_agiqa3k",
    "sr_iqa_base",
    "sr_iqa_calibrate",
}


def parameters() -> list[Any]:
    return [
        pytest.param(case, id=case.recipe, marks=() if case.recipe in FAST else (pytest.mark.slow,)) for case in CASES
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("data")
    write_rated_images(base)
    write_methods(base / "methods")
    return base


def small_values(case: Small, folder: Path) -> dict[str, Any]:
    """The recipe's own values, on a synthetic set of eight images that it also validates on."""
    values = read_values(case.recipe)
    values["scorer"] = {**values["scorer"], "size": "tiny"}
    values["scorer"]["options"] = {**values["scorer"].get("options", {}), **case.scorer}
    values["options"] = {**values.get("options", {}), **case.options}
    values["start"] = []
    values["optimiser"]["lr"] = case.lr
    if case.schedule is not None:
        values["schedule"] = {"name": case.schedule}
    data = values["data"]
    data["workers"] = 0
    for spec in (*data["train"], *data["validation"]):
        for name in ("split", "shares", "part", "scale", "views", "layout"):
            spec.pop(name, None)
        spec.update(data=str(folder / "scores.csv"), transform=case.transform)
    for spec in data["train"]:
        spec.update(batch_size=8, views=case.views)
    for spec in data["validation"]:
        spec.update(batch_size=4)
    if "methods" in data:
        data["methods"].update(folder=str(folder / "methods"), ranking=str(folder / "methods" / "ranking.csv"))
        data["methods"].update(batch_size=min(4, data["methods"]["batch_size"]), transform=case.transform)
    run = values["run"]
    # As many epochs as in the recipe, so that schedules take their whole course.
    epochs = min(run.pop("epochs", 1), case.steps)
    run["epoch_steps"] = case.steps // epochs
    run.update(steps=case.steps, validate_every=case.steps // 4, save_every=case.steps - case.resume_at)
    return values


@pytest.fixture
def kept_states(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keeps a copy of each training state under the number of its step."""
    write = trainer_module.write_last

    def write_and_keep(state: dict[str, Any], path: Path, accelerator: Any) -> None:
        write(state, path, accelerator)
        shutil.copy(path, path.with_name(f"kept-{state['step']}.pt"))

    monkeypatch.setattr(trainer_module, "write_last", write_and_keep)
    yield


def test_every_recipe_has_a_miniature() -> None:
    assert sorted(case.recipe for case in CASES) == list_recipes()


@pytest.mark.parametrize("name", list_recipes())
def test_every_recipe_is_valid_and_says_where_its_values_come_from(name: str) -> None:
    recipe = read_recipe(name)
    assert recipe.source
    assert recipe.scorer.size == "published"
    assert recipe.data.validation


@pytest.mark.usefixtures("kept_states")
@pytest.mark.parametrize("case", parameters())
def test_a_recipe_overfits_resumes_bit_for_bit_and_serves_as_a_loss(case: Small, folder: Path, tmp_path: Path) -> None:
    recipe = recipe_from(small_values(case, folder))
    first, second = tmp_path / "first", tmp_path / "second"
    trainer = Trainer(recipe, first, bar=False, cpu=True)
    result = trainer.fit()
    assert trainer.best > 0.95, f"on its own training images: {trainer.history}"

    second.mkdir()
    shutil.copy(first / f"kept-{case.steps - case.resume_at}.pt", second / "last.pt")
    torch.rand(3)
    resumed = Trainer(recipe, second, resume=True, bar=False, cpu=True)
    resumed.fit()
    one, two = load_file(first / "last.safetensors"), load_file(second / "last.safetensors")
    assert [name for name in one if not torch.equal(one[name], two[name])] == []
    want, got = training_state(trainer)["random"], training_state(resumed)["random"]
    assert torch.equal(want[0]["torch"], got[0]["torch"])

    scorer = create_scorer(recipe.scorer.name, weights=result)
    images = torch.rand(1, 3, 64, 64).requires_grad_()
    value = IQALoss(scorer, mode="both")(images, torch.rand(1, 3, 64, 64))
    value.backward()
    assert torch.isfinite(value)
    assert images.grad is not None
    assert float(images.grad.abs().max()) > 0
