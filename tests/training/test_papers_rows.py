"""Which rows the papers learn from, what is written beside them, and which of their checkpoints are kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
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
from testing.published_copies import cells, write_matlab
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


def test_a_published_file_of_splits_tells_training_from_test(table: Path, tmp_path: Path) -> None:
    images = [f"{number}.png" for number in range(6)]
    orders = np.array([[2, 5, 1, 4, 6, 3], [1, 2, 3, 4, 5, 6]])  # as MATLAB has them: an order a row
    file = tmp_path / "published.mat"
    contents = np.arange(1.0, 7.0)[None]
    write_matlab(file, im_names=cells(images), index=orders.astype(float), ref_ids=contents)
    for rows, wanted in {":test": "25", ":train": "0134", ":test:1": "45", ":train:1": "0123"}.items():
        assert names(DataSpec("one", str(table), split=f"{file}{rows}")) == {f"{number}.png" for number in wanted}
    assert len(open_rated(table, splits=[str(file)])) == 2
    with pytest.raises(ValueError, match=r"holds the splits 0 to 1, got 2"):
        open_rated(table, splits=[f"{file}:test:2"])
    with pytest.raises(ValueError, match=r"say which rows of .*published\.mat:train or"):
        DataSpec("one", str(table), split=str(file))
    write_matlab(file, im_names=cells(images), quality=contents)
    with pytest.raises(ValueError, match=r"no index, ref_ids; it holds im_names, quality, and a file of splits has"):
        open_rated(table, splits=[str(file)])
    write_matlab(file, im_names=cells(images[:4]), index=orders.astype(float), ref_ids=contents)
    with pytest.raises(ValueError, match="4 names for 6 contents"):
        open_rated(table, splits=[str(file)])
    file.write_text("image,score")
    with pytest.raises(ValueError, match="cannot be read as a MATLAB file of splits"):
        open_rated(table, splits=[str(file)])


def test_a_file_of_splits_that_matlab_writes_since_version_7_3_is_hdf5(table: Path, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed (extra train)")
    file = tmp_path / "published.mat"
    with h5py.File(file, "w", userblock_size=512) as held:
        texts = [np.frombuffer(f"{number}.png".encode("utf-16-le"), "<u2")[:, None] for number in range(6)]
        kept = [held.create_dataset(f"#refs#/{number}", data=text).ref for number, text in enumerate(texts)]
        held.create_dataset("im_names", data=[kept], dtype=h5py.ref_dtype)
        held["index"], held["ref_ids"] = np.array([[2.0, 5, 1, 4, 6, 3]]).T, np.arange(1.0, 7.0)[None]
    with file.open("r+b") as head:  # HDF5 leaves room for MATLAB's own first lines
        head.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    assert names(DataSpec("one", str(table), split=f"{file}:test")) == {"2.png", "5.png"}
    with h5py.File(file, "r+") as held:
        del held["index"]
    with pytest.raises(ValueError, match="no index; it holds"):
        open_rated(table, splits=[str(file)])


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
