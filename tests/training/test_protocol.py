"""A protocol is a training repeated: other splits, medians with their spread, nothing done twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from iqaloss.data.scenes import match_scenes
from iqaloss.scorers.factory import create_tiny
from iqaloss.training.engine.building import build_task
from iqaloss.training.protocol import Outcome, run_protocol
from iqaloss.training.recipes import read_recipe
from iqaloss.training.recipes.files import recipe_from
from testing.tiny_data import small_recipe, write_methods, write_rated_images

for package in ("accelerate", "tensorboard", "scipy", "yaml", "typer", "rich"):
    pytest.importorskip(package)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rated_images(tmp_path_factory.mktemp("rated"))


def test_each_seed_has_a_split_of_its_own_and_what_is_finished_is_not_done_again(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from iqaloss.cli import main

    words = ["protocol", "mdiqa-mobile", "--data", str(table), "--weights", "none", "--out", str(tmp_path), "--json"]
    small = ["scorer.size=tiny", "run.epochs=1", "data.train.0.transform.crop=64", "data.train.0.batch_size=4"]
    words += [word for change in small for word in ("--set", change)]
    words += ["--device", "cpu", "--quiet", "--runs", "2", "--variant", "optimizer.lr=0.001"]
    assert main([*words]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["variant"], row["runs"]) for row in rows] == [("optimizer.lr=0.001", 2)]
    assert rows[0]["srcc_spread"][0] <= rows[0]["srcc"] <= rows[0]["srcc_spread"][1]
    kept = tmp_path / "variant-0" / "seed-1" / "result.json"
    kept.write_text(json.dumps({**json.loads(kept.read_text()), "best": {"srcc": 0.5, "plcc": 0.25}}))
    assert main([*words]) == 0
    assert json.loads(capsys.readouterr().out)[0]["srcc_spread"] != rows[0]["srcc_spread"] or rows[0]["srcc"] == 0.5


def test_a_cross_database_run_trains_on_one_whole_set_and_tests_on_another(table: Path, tmp_path: Path) -> None:
    from iqaloss.training.protocol import crossed

    values = small_recipe(table, steps=1, validate_every=1)
    values["data"]["train"][0].update(shares={"train": 0.5, "val": 0.5}, share="train")
    made = crossed(values, [str(write_rated_images(tmp_path / "other", count=5))])
    found = list(run_protocol(made, tmp_path / "out", seeds=[3], cpu=True))
    assert [type(one) for one in found] == [Outcome]
    recipe = recipe_from(made)
    assert (recipe.data.train[0].share, recipe.data.validation[0].name) == (None, "scores.csv")


def test_the_ablation_table_of_sr_iqa_is_one_run_against_votes(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("open_clip")
    from iqaloss.cli import main

    write_methods(tmp_path / "outputs", methods=2, images=2)
    (tmp_path / "votes.csv").write_text("winner,loser,image\nmethod1,method0,0.png\nmethod1,method0,1.png\n")
    rated = [{"name": "rated", "data": str(table), "batch_size": 4, "transform": {"crop": 64, "random": True}}]
    rated[0]["transform"] |= {"crops": 2}
    held = [{"name": "held", "data": str(table), "limit": 4}]
    methods = {"folder": tmp_path / "outputs", "ranking": tmp_path / "outputs" / "ranking.csv", "batch_size": 2}
    changes = [f"data.methods.{name}={value}" for name, value in methods.items()]
    changes += [
        f"data.train={json.dumps(rated)}",
        f"data.validation={json.dumps(held)}",
        "data.methods.transform.crop=64",
    ]
    changes += ["scorer.size=tiny", "start=[]", "run.epochs=1", "run.epoch_steps=1", "data.workers=0"]
    iv = "scorer.options.rectified=false options.learns=everything data.methods.batch_size=1"
    variants = ["data.train=[]", "data.methods.batch_size=1", iv, f"{iv} optimizer.lr=0", "options.link=paper"]
    words = ["protocol", "sr_iqa_calibrate", "--runs", "1", "--out", str(tmp_path / "out"), "--json", "--quiet"]
    words += ["--votes", str(tmp_path / "votes.csv"), "--outputs", str(tmp_path / "outputs"), "--device", "cpu"]
    words += [word for change in changes for word in ("--set", change)]
    assert main([*words, *(word for variant in variants for word in ("--variant", variant))]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["variant"] for row in rows] == variants
    assert all(row["two_afc"] in (0.0, 0.5, 1.0) for row in rows)
    assert main(["protocol", "sr_iqa_calibrate", "--votes", "votes.csv"]) == 2
    assert "go together" in capsys.readouterr().err


def test_scenes_are_matched_by_name_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    for name in ("A/1.png", "A/2.png", "B/2_B.png", "B/1_B.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    assert [path.name for path in match_scenes(tmp_path, ["A", "B"])["1"]] == ["1.png", "1_B.png"]
    (tmp_path / "B" / "1_B.png").unlink()
    with pytest.raises(ValueError, match=r"B has no picture of the scene '1', A has one"):
        match_scenes(tmp_path, ["A", "B"])


def test_version_1_passes_over_the_start_of_the_prior_that_it_does_not_have() -> None:
    start = "start=[{file: nowhere.safetensors, module: prior, prefix: prior.}, {file: nowhere.pt, role: vit_prior}]"
    task = build_task(
        read_recipe(
            "moe_agiqa_agiqa3k", ["scorer.size=tiny", "options.tokenizer=null", "options.without=[ndpm]", start]
        )
    )
    assert task.scorer.prior is None
    with pytest.raises(FileNotFoundError, match="nowhere"):
        build_task(read_recipe("moe_agiqa_agiqa3k", ["scorer.size=tiny", "options.tokenizer=null", start]))


def test_the_papers_form_starts_from_the_official_vision_and_text_files() -> None:
    from iqaloss.scorers.moe_agiqa import load_role
    from iqaloss.scorers.registry import entry

    item = entry("moe-agiqa")
    scorer = create_tiny("moe-agiqa")
    paper = item.scorer_class(item.card, type(item.tiny)(**{**vars(item.tiny), "variant": "paper"}))
    state = {name: value for name, value in scorer.prior.state_dict().items()}
    load_role(paper, "vit_prior", state)
    with pytest.raises(ValueError, match="official regressors fit variant"):
        load_role(paper, "regressor", {})


def test_the_number_of_levels_follows_from_range_and_interval() -> None:
    recipe = read_recipe("pmt_iqa_bid", ["scorer.size=tiny", "start=[]", "options.interval=0.25"])
    assert build_task(recipe).scorer.config.levels == 4
    with pytest.raises(ValueError, match=r"leave scorer\.options\.levels out"):
        build_task(read_recipe("pmt_iqa_bid", ["scorer.size=tiny", "start=[]", "scorer.options.levels=5"]))


@pytest.mark.parametrize("ablation", ["resnet_only", "multi_scale_only", "fixed_weights"])
def test_an_ablation_learns_as_many_parameters_as_the_whole_model(ablation: str) -> None:
    def learning(*changes: str) -> int:
        task = build_task(read_recipe("pmt_iqa_bid", ["scorer.size=tiny", "start=[]", *changes]))
        task.configure(0)
        dead = 3 * task.scorer.config.width * task.scorer.config.score_hidden[0] if "resnet_only" in changes[0] else 0
        return sum(value.numel() for value in task.parameters() if value.requires_grad) - dead

    whole, chosen = learning("options.ablation=none"), f"options.ablation={ablation}"
    assert learning(chosen) == pytest.approx(whole, rel=1e-4)
    if ablation != "fixed_weights":
        assert learning(chosen, "options.match_widths=false") < whole
        assert learning(chosen, "scorer.options.score_hidden=[8,8,8]") < whole


def test_model_iv_learns_without_a_rectifier() -> None:
    pytest.importorskip("open_clip")
    task = build_task(read_recipe("sr_iqa_model_iv", ["scorer.size=tiny", "start=[]"]))
    task.configure(0)
    assert task.scorer.rectifier is None
    assert task.scorer.clip.visual.proj.requires_grad
    with pytest.raises(ValueError, match="Model IV"):
        build_task(read_recipe("sr_iqa_model_iv", ["scorer.size=tiny", "start=[]", "options.learns=rectifier"]))


def test_the_released_form_starts_with_maniqa_and_a_rectifier_that_has_not_learnt() -> None:
    pytest.importorskip("open_clip")
    from iqaloss.scorers.sr_iqa.official import load_role

    task = build_task(read_recipe("sr_iqa_calibrate_released", ["scorer.size=tiny", "start=[]"]))
    with pytest.raises(ValueError, match=r"missing: tablock1\.0"):
        load_role(task.scorer, "maniqa", {})
    plain = build_task(read_recipe("sr_iqa_model_iv", ["scorer.size=tiny", "start=[]"]))
    with pytest.raises(ValueError, match="rectified=True"):
        load_role(plain.scorer, "maniqa", {})


def test_the_released_merge_learns_the_spline_scaler_in_8_bits() -> None:
    scorer = build_task(read_recipe("lar_iqa_merge_released", ["scorer.size=tiny", "start=[]"])).scorer
    assert (scorer.config.variant, scorer.config.kan_scaler) == ("released", True)
    assert any("scaler" in name for name, value in scorer.named_parameters() if value.requires_grad)
