# ruff: noqa: E402
"""Every recipe in restoration_recipes/ parses, is free of slips and builds."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from iqaloss.losses.iqa_loss import IQALoss
from iqaloss.scorers import checkpoints
from iqaloss.scorers.factory import create_tiny

if importlib.util.find_spec("basicsr") is None:
    pytest.skip("BasicSR is not installed (extra basicsr; not on Python 3.13)", allow_module_level=True)

from iqaloss.integrations.basicsr import register
from iqaloss.integrations.basicsr.checks import check_recipe
from iqaloss.integrations.basicsr.compat import cpu_in_place_of_cuda
from iqaloss.integrations.basicsr.losses import LossGroup
from iqaloss.integrations.basicsr.recipe import complete, read_recipe
from testing.hostile import small_restoration_recipe

register()

from basicsr.models import build_model

FOLDER = Path(__file__).parents[2] / "restoration_recipes"
RECIPES = sorted(FOLDER.glob("*.yml"))


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A file with a small random scorer of each kind that the recipes name."""
    folder = tmp_path_factory.mktemp("scorers")
    torch.manual_seed(0)
    return {
        name: str(checkpoints.save(create_tiny(name), folder / f"{name}.safetensors"))
        for name in ("mdiqa", "mdiqa-mobile")
    }


def test_there_are_recipes_for_each_network_and_mode() -> None:
    names = {path.stem for path in RECIPES}
    assert {f"{net}_x4_{mode}" for net in ("msrresnet", "rrdbnet") for mode in ("nr", "fr", "both")} <= names
    assert {"realesrgan_1_plain", "realesrgan_2_mdiqa_nr", "realesrgan_2_mdiqa_fr"} <= names


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_has_no_slip_and_builds(path: Path, weights: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    options = small_restoration_recipe(read_recipe(path, ["num_gpu=0"]), weights, tmp_path)
    check_recipe(options)
    opt = complete(options, tmp_path, rank=0, world_size=1)
    with cpu_in_place_of_cuda(True):
        model = build_model(opt)
    losses = options["train"].get("iqa_opt") or {}
    group = model.cri_perceptual
    assert isinstance(group, LossGroup) == bool(losses)
    for built, written in zip(group.losses if losses else [], losses.values()):
        assert isinstance(built, IQALoss)
        assert built.mode == written["mode"]
        assert built.loss_weight == written["loss_weight"]
        assert {name: built.weights[name] for name in written["weights"]} == written["weights"]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_comments_what_a_user_changes(path: Path) -> None:
    changed_by_users = (
        "name: " + path.stem,
        "dataroot",
        "meta_info",
        "batch_size_per_gpu",
        "num_worker_per_gpu",
        "pretrain_network",
        "total_iter",
        "lr",
        "num_gpu",
        "manual_seed",
        "mode: nr",
        "mode: fr",
        "mode: both",
        "print_freq",
        "save_checkpoint_freq",
        "val_freq",
        "sharpness: ",
        "noisiness: ",
    )
    for line in path.read_text().splitlines():
        if line.strip().startswith(changed_by_users):
            assert "  # " in line or line.strip() == "sharpness:", f"{path.name}: {line!r} has no comment"


def test_recipe_without_its_data_says_so() -> None:
    with pytest.raises(ValueError, match=r"datasets\.train\.dataroot_gt: there is nothing at datasets/train/HR"):
        check_recipe(read_recipe(FOLDER / "msrresnet_x4_nr.yml"))
