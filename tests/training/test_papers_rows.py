"""Which rows the papers learn from, what is written beside them, and which of their checkpoints are kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from iqaloss.data.open import open_rated
from iqaloss.scorers.base import Request
from iqaloss.scorers.factory import create_tiny
from iqaloss.training.engine.building import build_task
from iqaloss.training.engine.data import load_manifest
from iqaloss.training.engine.validation import bettered
from iqaloss.training.recipes import finetune_recipe, read_recipe
from iqaloss.training.specs.data import DataSpec
from iqaloss.training.state import TrainState
from testing.tiny_data import small_recipe, write_rated_images


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rated_images(tmp_path_factory.mktemp("rated"), count=6)


def names(spec: DataSpec) -> set[str]:
    return {image.name for image in load_manifest(spec).images}


def test_a_file_of_image_names_is_a_split(table: Path, tmp_path: Path) -> None:
    listed = tmp_path / "test.txt"
    listed.write_text("1.png\nimages/4.png\n\n")
    assert names(DataSpec("test", str(table), split=str(listed))) == {"1.png", "4.png"}
    assert len(open_rated(table, splits=[str(listed)])) == 2
    listed.write_text("1.png\n9.png\n")
    with pytest.raises(ValueError, match=r"has not 1 of the images of .*test.txt, such as 9.png"):
        open_rated(table, splits=[str(listed)])


def test_a_published_split_may_be_by_image(table: Path, tmp_path: Path) -> None:
    rows = table.read_text().splitlines()
    grouped = table.parent / "grouped.csv"
    contents = ["group", *"aabbcc"]
    grouped.write_text("\n".join(f"{row},{content}" for row, content in zip(rows, contents)) + "\n")
    halves = {"shares": {"train": 0.5, "val": 0.5}, "share": "train"}
    by_group = DataSpec("train", str(grouped), **halves)
    assert len(names(by_group)) in (2, 4)
    assert len(names(DataSpec("train", str(grouped), split_by="image", **halves))) == 3
    with pytest.raises(ValueError, match="split_by"):
        DataSpec("train", str(grouped), split_by="scene")


def test_a_fine_tuning_learns_from_the_prompts_that_it_is_given(table: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.csv"
    prompts.write_text("image,prompt\n" + "".join(f"{number}.png,w{number}\n" for number in range(6)))
    for given, wanted in {"a man": {"a man"}, str(prompts): {f"w{number}" for number in range(6)}}.items():
        data = finetune_recipe("moe-agiqa", table, prompts=given).data
        found = [load_manifest(spec).prompts or () for spec in (*data.train, *data.validation)]
        assert {prompt for each in found for prompt in each} == wanted
    prompts.write_text("image,prompt\n1.png,w1\n")
    with pytest.raises(ValueError, match="no prompt for"):
        load_manifest(finetune_recipe("moe-agiqa", table, prompts=str(prompts)).data.train[0])


def test_the_best_file_of_each_head_is_kept_beside_the_best_mean(table: Path, tmp_path: Path) -> None:
    pytest.importorskip("accelerate", reason="accelerate is not installed (extra train)")
    from iqaloss.training.engine.trainer import Trainer
    from iqaloss.training.recipes.files import recipe_from

    values = small_recipe(table, keep_each=True)
    Trainer(recipe_from(values), tmp_path / "run", bar=False, cpu=True).fit()
    kept = {f"best_{each['name']}.safetensors" for each in values["data"]["validation"]}
    assert kept
    assert {path.name for path in (tmp_path / "run").glob("best*.safetensors")} == {"best.safetensors", *kept}


def test_a_head_that_is_no_better_than_before_keeps_its_file() -> None:
    state = TrainState().validated({}, 0.2, {"a": 0.5, "b": -0.1}).validated({}, 0.1, {"a": 0.4, "b": 0.3})
    assert (state.best, dict(state.best_each)) == (0.2, {"a": 0.5, "b": 0.3})
    assert bettered(state, 0.25, {"a": 0.5, "b": 0.35}, True) == ["best.safetensors", "best_b.safetensors"]
    assert bettered(state, 0.25, {"a": 0.9, "b": 0.9}, False) == ["best.safetensors"]


def test_crops_of_an_image_are_scored_with_one_look_of_blip_at_the_whole() -> None:
    scorer = create_tiny("moe-agiqa").eval()
    pictures, request = torch.rand(2, 3, 40, 56), Request(score=True, extras=("pooled",))
    prompts = torch.tensor([[1, 4, 2, 0, 0, 0], [1, 7, 2, 0, 0, 0]])
    crops = [pictures[..., :32, :32], pictures[..., 8:, 24:]]
    each = [scorer(crop, request, prompts=prompts, prompt_images=pictures) for crop in crops]
    joined = torch.stack(crops, 1).flatten(0, 1)
    out = scorer(joined, request, prompts=prompts, prompt_images=pictures, crops_given=2)
    torch.testing.assert_close(out.score, (each[0].score + each[1].score) / 2)
    torch.testing.assert_close(out.extras["pooled"], (each[0].extras["pooled"] + each[1].extras["pooled"]) / 2)
    with pytest.raises(ValueError, match="crops_given=3 does not divide 4 images"):
        scorer(joined, crops_given=3)


@pytest.mark.parametrize("name", ["moe_agiqa_agiqa1k", "moe_agiqa_agiqa3k", "moe_agiqa_aigciqa2023"])
def test_moe_agiqa_takes_its_crops_of_the_image_itself(name: str) -> None:
    data = read_recipe(name).data
    for spec, crops in ((data.train[0], 3), (data.validation[0], 15)):
        taken = spec.transform
        assert (taken.crop, taken.crops, taken.random, taken.resize, taken.small) == (224, crops, True, None, "zero")
        assert set(spec.versions) == {"whole"}
    with pytest.raises(ValueError, match="train takes crops, so BLIP needs the version 'whole'"):
        build_task(read_recipe(name, ["scorer.size=tiny", "start=[]", "data.train.0.versions={}"]))


@pytest.mark.parametrize("recipe", ["mdiqa_technical_spaq", "mdiqa_aesthetic_para"])
def test_mdiqas_branches_keep_each_head(recipe: str) -> None:
    assert read_recipe(recipe).run.keep_each


def test_the_command_takes_prompts(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("typer", reason="typer is not installed (extra cli)")
    from tests.contracts.surface import commands

    assert "--prompts" in json.dumps(commands()["iqaloss finetune"])
