"""Which rows the papers learn from, what is written beside them, and which of their checkpoints are kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from iqaloss.data.open import open_rated
from iqaloss.scorers.base import Request
from iqaloss.scorers.factory import create_tiny
from iqaloss.training.engine.building import build_task
from iqaloss.training.engine.data import RatedImages, load_manifest
from iqaloss.training.engine.validation import bettered
from iqaloss.training.objectives import fidelity, vote_preferences
from iqaloss.training.recipes import finetune_recipe, read_recipe
from iqaloss.training.recipes.files import recipe_from
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


def with_column(table: Path, name: str, cells: Sequence[str]) -> Path:
    rows = table.read_text().splitlines()
    made = table.parent / f"with_{name}_{len(set(cells))}.csv"
    made.write_text("\n".join(f"{row},{cell}" for row, cell in zip(rows, [name, *cells])) + "\n")
    return made


@pytest.mark.parametrize(
    ("cells", "train", "held"),
    [
        (["train", "train", "train", "val", "val", "test"], "012", "34"),
        (["Training", "Training", "Training", "Training", "Test", "Test"], "0123", None),
    ],
)
def test_a_fine_tuning_keeps_to_the_split_of_its_table(
    table: Path, cells: list[str], train: str, held: str | None
) -> None:
    data = finetune_recipe("mdiqa-mobile", with_column(table, "split", cells), validation=0.25).data
    found = names(data.train[0]), names(data.validation[0])
    if held is None:  # then validation comes out of the training rows, and the test rows are left alone
        assert (found[0] | found[1], len(found[1])) == ({f"{number}.png" for number in train}, 1)
    else:
        assert found == tuple({f"{number}.png" for number in rows} for rows in (train, held))
    anew = finetune_recipe("mdiqa-mobile", with_column(table, "split", cells), split_by="group").data
    assert len(names(anew.train[0]) | names(anew.validation[0])) == 6


def test_a_split_column_that_nobody_understands_is_refused_with_the_way_out(table: Path) -> None:
    data = finetune_recipe("mdiqa-mobile", with_column(table, "set", ["a", "b", "c", "a", "b", "c"])).data
    with pytest.raises(ValueError, match=r"holds 'a', 'b', 'c', where train is needed .*--split-by group"):
        load_manifest(data.train[0])


def learning(scorer: str, **dimensions: tuple[str, ...]) -> set[str]:
    values = small_recipe(Path("scores.csv"))
    values["scorer"] = {"name": scorer, "size": "tiny"}
    task = build_task(recipe_from(values), dimensions)
    return {name.removeprefix("scorer.") for name, value in task.named_parameters() if value.requires_grad}


@pytest.mark.parametrize(
    ("scorer", "learns", "stays"),
    [
        (
            "mdiqa-mobile",
            ("branches.technical.heads", "fuse."),
            ("branches.technical.backbone.trunk", "statistics.dim"),
        ),
        ("mdiqa", ("fuse.", "weighting."), ("branches.", "clip.visual")),
        ("lar-iqa", ("branches.authentic.trunk",), ()),
        ("pmt-iqa", ("trunk.", "heads."), ()),
        ("moe-agiqa", ("fusion.", "semantic.text.layers.1."), ("visual.", "prior.", "semantic.reward")),
        ("sr-iqa", ("rectifier.",), ("clip.",)),
    ],
)
def test_a_fine_tuning_keeps_frozen_what_the_scorers_own_recipe_does(
    scorer: str, learns: tuple[str, ...], stays: tuple[str, ...]
) -> None:
    if scorer in ("mdiqa", "sr-iqa"):
        pytest.importorskip("open_clip")
    found = learning(scorer)
    assert all(any(name.startswith(start) for name in found) for start in learns)
    assert [name for name in found if name.startswith(stays or ("nothing",))] == []


def test_a_dimension_that_is_taught_has_a_head_that_learns() -> None:
    pytest.importorskip("open_clip")
    found = {name for name in learning("mdiqa", rated=("sharpness",)) if name.startswith("branches.")}
    assert found
    assert all(name.startswith("branches.technical.heads.sharpness.") for name in found)


def test_a_fine_tuning_learns_the_dimensions_of_its_table_and_says_so(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("typer", "rich", "accelerate"):
        pytest.importorskip(package)
    from iqaloss.cli import main

    rows = [line.split(",") for line in table.read_text().splitlines()]
    column = rows[0].index("noisiness")
    rows[2][column] = rows[3][column] = ""  # nobody said
    (table.parent / "holes.csv").write_text("\n".join(map(",".join, rows)) + "\n")
    run, small = (
        tmp_path / "run",
        ["--set", "scorer.size=tiny", "--weights", "none", "--crop", "64", "--batch-size", "4"],
    )
    words = [
        "--data",
        str(table.parent / "holes.csv"),
        "--out",
        str(run),
        "--device",
        "cpu",
        "--quiet",
        "--epochs",
        "1",
    ]
    assert main(["finetune", "mdiqa-mobile", *words, *small, "--validation", "0.34"]) == 0
    said = capsys.readouterr().err
    assert "trains branches (in part), weighting, local, statistics (in part), fuse" in said
    assert "from the score and brightness, colorfulness, contrast, noisiness, sharpness" in said
    held = ["evaluate", "mdiqa-mobile", "--run", str(run), "--json", "--bootstrap", "0"]
    assert main([*held, "--dimension", "sharpness"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 2


def test_a_dimension_teaches_by_the_images_that_have_a_score_of_it(table: Path) -> None:
    values = small_recipe(table)
    values["data"]["train"][0]["dimensions"] = ["sharpness", "noisiness"]
    task = build_task(recipe_from(values), {"rated": ("sharpness", "noisiness")})
    nan = float("nan")
    batch = {"image": torch.rand(3, 3, 64, 64), "score": torch.tensor([0.0, 0.5, 1.0])}
    batch |= {"target sharpness": torch.tensor([0.0, nan, 1.0]), "target noisiness": torch.tensor([nan, nan, 1.0])}
    predicted, targets = task.predict("rated", batch), task.targets("rated", batch)
    terms = task.losses("rated", predicted, targets, TrainState())
    assert set(terms) == {"nin", "mse", "sharpness nin", "sharpness mse"}
    off = (predicted["sharpness"] - targets["sharpness"])[[0, 2]]
    torch.testing.assert_close(terms["sharpness mse"], off.square().mean())


def test_pairs_are_taught_by_the_share_of_those_who_prefer_one(table: Path, tmp_path: Path) -> None:
    values = small_recipe(table, steps=1)
    values["data"]["train"][0].update(votes=["score", "sharpness", "noisiness"], score_column="score", batch_size=6)
    values["losses"] = {"fidelity": 1.0, "mse": 1.0}
    recipe = recipe_from(values)
    data = RatedImages(load_manifest(recipe.data.train[0]), recipe.data.train[0])
    assert data.votes is not None
    assert torch.equal(data.votes[:, 0], data.targets)
    task, score = build_task(recipe), torch.rand(6)
    targets = task.targets("rated", {"score": data.targets, "votes": data.votes})
    (name, value), *others = task.losses("rated", {"score": score}, targets, TrainState()).items()
    wanted = fidelity(score, prefer=vote_preferences(data.votes), link="paper")
    assert (name, others) == ("fidelity", [])
    torch.testing.assert_close(value, wanted)
    values["losses"] = {"mse": 1.0}
    with pytest.raises(ValueError, match="votes teach by fidelity or fidelity_released, got the losses mse"):
        build_task(recipe_from(values))


def test_the_best_file_of_each_head_is_kept_beside_the_best_mean(table: Path, tmp_path: Path) -> None:
    pytest.importorskip("accelerate", reason="accelerate is not installed (extra train)")
    from iqaloss.training.engine.trainer import Trainer

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
