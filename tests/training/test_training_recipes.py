"""Every recipe is checked before it is built, and in miniature it trains, overfits, resumes and serves as a loss."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from iqaloss import IQALoss, create_scorer
from iqaloss.training.engine import trainer as trainer_module
from iqaloss.training.engine.building import apply_start, build_scorer, build_task
from iqaloss.training.engine.data import load_manifest
from iqaloss.training.engine.trainer import Trainer
from iqaloss.training.recipes import list_recipes, read_recipe
from iqaloss.training.recipes.files import read_values, recipe_from
from iqaloss.training.recipes.old_names import RENAMED
from iqaloss.training.state import TrainState
from iqaloss.training.tasks import checked, task_class
from iqaloss.training.tasks.moe_agiqa import FinetuneOptions
from testing import published_copies
from testing.tiny_data import write_methods, write_rated_images

for package in ("accelerate", "tensorboard", "scipy", "yaml"):
    pytest.importorskip(package)
PLAIN = {"flip": 0.5}


@dataclass(frozen=True)
class Small:
    """What makes a recipe small: fewer steps at a higher rate, small images, a small scorer."""

    recipe: str
    steps: int
    lr: float
    transform: dict[str, Any] = field(default_factory=lambda: dict(PLAIN))
    versions: dict[str, Any] = field(default_factory=dict)
    scorer: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    schedule: str | None = None
    resume_at: int = 2


LAR_VERSIONS = {"authentic": {"resize": [64, 64], "flip": 0.5}, "synthetic": {"crop": 96, "small": "zero"}}
WINDOWS = {"crop": 64, "random": True, "crops": 2, "flip": 0.5}
NO_TEXT = {"tokenizer": None}
CROPS = {"crop": 32, "random": True, "crops": 3}
WHOLE = {"whole": {"resize": 32, "crop": 32, "resample": "bicubic"}}
PATCHES = {"crop": 64, "random": True, "crops": 2}
FIVE = {"interval": 0.2}  # levels

CASES = [
    Small("mdiqa_technical_spaq", 16, 3e-3, options={"backbone_steps": 12}),
    Small("mdiqa_aesthetic_para", 24, 3e-3, options={"backbone_steps": 18}),
    Small("mdiqa_fusion_koniq", 16, 3e-3),
    Small("mdiqa_fusion_koniq_reference", 16, 3e-3),
    Small("mdiqa_fusion_cross", 16, 3e-3),
    Small("lar_iqa_authentic", 40, 1e-3, {"resize": [64, 64], "flip": 0.5}),
    Small("lar_iqa_synthetic", 24, 1e-3, {"crop": 64, "flip": 0.5}, options={"color_spaces": ["RGB"]}),
    Small("lar_iqa_merge_kan", 32, 3e-3, versions=LAR_VERSIONS),
    Small("lar_iqa_merge_mlp", 80, 1e-3, versions=LAR_VERSIONS),
    Small("lar_iqa_merge_released", 80, 1e-3, versions=LAR_VERSIONS),
    Small(
        "pmt_iqa_bid",
        60,
        1e-3,
        {"crop": 64, "random": True, "crops": 2},
        options={"interval": 0.2},
        schedule="constant",
    ),
    Small(
        "pmt_iqa_livec",
        40,
        3e-3,
        {"crop": 64, "random": True, "crops": 2},
        options={"interval": 0.2},
        schedule="constant",
    ),
    Small(
        "pmt_iqa_live",
        40,
        3e-3,
        {"crop": 64, "random": True, "crops": 2},
        options={"interval": 0.2},
        schedule="constant",
    ),
    Small(
        "pmt_iqa_csiq",
        40,
        3e-3,
        {"crop": 64, "random": True, "crops": 2},
        options={"interval": 0.2},
        schedule="constant",
    ),
    Small("pmt_iqa_bid_released", 40, 3e-3, {"resize": [224, 224]}, schedule="constant"),
    Small("moe_agiqa_prior", 40, 3e-3, {"crop": 32, "random": True, "crops": 3}, scorer={"vision": {}, "text": {}}),
    Small(
        "moe_agiqa_prior_released",
        40,
        3e-3,
        {"crop": 32, "random": True, "crops": 3},
        scorer={"vision": {}, "text": {}},
    ),
    Small("moe_agiqa_agiqa1k", 40, 3e-3, options=NO_TEXT),
    Small("moe_agiqa_agiqa3k", 40, 3e-3, CROPS, WHOLE, options=NO_TEXT),
    Small("moe_agiqa_aigciqa2023", 40, 3e-3, options=NO_TEXT),
    Small("moe_agiqa_aigiqa20k", 40, 3e-3, options=NO_TEXT),
    Small("moe_agiqa_agiqa3k_released", 40, 3e-3, options=NO_TEXT),
    Small("sr_iqa_base", 60, 1e-4, WINDOWS, schedule="constant"),
    Small("sr_iqa_calibrate", 40, 1e-2, WINDOWS),
    Small("sr_iqa_model_iv", 60, 1e-4, WINDOWS, schedule="constant"),
    Small("sr_iqa_calibrate_released", 40, 1e-3, WINDOWS),
]
STAGES = {
    "mdiqa_technical_spaq",
    "mdiqa_aesthetic_para",
    "lar_iqa_authentic",
    "lar_iqa_synthetic",
    "moe_agiqa_prior",
    "moe_agiqa_prior_released",
}
"""Recipes whose result is no whole scorer."""

FAST = {
    "mdiqa_technical_spaq",
    "mdiqa_fusion_koniq",
    "lar_iqa_synthetic",
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
    values["optimizer"]["lr"] = case.lr
    if case.schedule is not None:
        values["schedule"] = {"name": case.schedule}
    data = values["data"]
    data["workers"] = 0
    for spec in (*data["train"], *data["validation"]):
        for name in ("split", "shares", "share", "scale", "versions", "layout"):
            spec.pop(name, None)
        spec.update(data=str(folder / "scores.csv"), transform=case.transform)
        if spec.get("target") == "content":  # in a table, a column of that name tells what is shown
            spec.update(head="content", target="light")
    for spec in data["train"]:
        spec.update(batch_size=8, versions=case.versions)
    for spec in data["validation"]:
        spec.update(batch_size=4, versions={name: made for name, made in case.versions.items() if name in WHOLE})
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
def kept_states(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps a copy of each training state under the number of its step."""
    write = trainer_module.write_last

    def write_and_keep(state: dict[str, Any], path: Path, accelerator: Any) -> None:
        write(state, path, accelerator)
        shutil.copy(path, path.with_name(f"kept-{state['step']}.pt"))

    monkeypatch.setattr(trainer_module, "write_last", write_and_keep)


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
    assert trainer.state.best > 0.95, f"on its own training images: {trainer.state.history}"

    second.mkdir()
    shutil.copy(first / f"kept-{case.steps - case.resume_at}.pt", second / "last.pt")
    torch.rand(3)
    resumed = Trainer(recipe, second, resume=True, bar=False, cpu=True)
    resumed.fit()
    one, two = load_file(first / "last.safetensors"), load_file(second / "last.safetensors")
    assert [name for name in one if not torch.equal(one[name], two[name])] == []
    want, got = trainer.snapshot()["random"], resumed.snapshot()["random"]
    assert torch.equal(want[0]["torch"], got[0]["torch"])

    if case.recipe in STAGES:
        with pytest.raises(ValueError, match=r"best\.safetensors is no whole .*only the .* has learnt; the recipes"):
            create_scorer(recipe.scorer.name, weights=result)
        return
    scorer = create_scorer(recipe.scorer.name, weights=result)
    side = case.transform.get("resize", [64])[0]
    images = torch.rand(1, 3, side, side).requires_grad_()
    value = IQALoss(scorer, mode="both")(images, torch.rand(1, 3, side, side))
    value.backward()
    assert torch.isfinite(value)
    assert images.grad is not None
    assert float(images.grad.abs().max()) > 0


# --- what a recipe may say ---


def changed(name: str, *changes: str) -> None:
    read_recipe(name, changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("optimizer.learning_rate=1e-4", r"optimizer: unknown field 'learning_rate'"),
        ("optimizer.name=adamv", "unknown optimizer 'adamv'; did you mean 'adam"),
        ("losses={nim: 1.0}", r"mdiqa_fusion_koniq\.losses: unknown loss 'nim'; did you mean 'nin'"),
        ("task=mdiqa_fusoin", "unknown task 'mdiqa_fusoin'; did you mean 'mdiqa_fusion'"),
        ("options.reference_behavoir=true", "did you mean 'reference_behavior'"),
        ("data.train.0.transform.cropp=3", "did you mean 'crop'"),
        ("data.train.7.batch_size=3", "'7' is no position in a list of 1"),
        ("run.steps=many", r"run\.steps must be of type int, got 'many'"),
        ("run.epochs=3", "give either steps or epochs"),
        ("run.accumulate=0", "accumulate must be at least 1"),
        ("optimizer.lr=fast", "must be a number, got 'fast'"),
        ("run.steps", "written as key.key=value"),
        ("schedule.name=cosin", "did you mean 'cosine'"),
    ],
)
def test_a_slip_in_a_recipe_is_named_before_anything_is_built(change: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        changed("mdiqa_fusion_koniq", change)


@pytest.mark.parametrize("old", sorted(RENAMED))
@pytest.mark.parametrize("place", ["", "options.", "data.train.0.", "data.train.0.transform.", "scorer.options."])
def test_a_name_that_recipes_used_to_have_is_told_with_the_new_one(old: str, place: str) -> None:
    with pytest.raises(ValueError, match=f"the field '{old}' is now called '{RENAMED[old]}'"):
        read_recipe("mdiqa_fusion_koniq", [f"{place}{old}=1"])


def test_names_of_the_users_own_may_be_what_fields_used_to_be_called() -> None:
    changes = ["data.train.0.shares={part: 0.8, views: 0.2}", "data.train.0.share=part"]
    assert read_recipe("mdiqa_fusion_koniq", changes).data.train[0].share == "part"


def test_options_are_read_once_and_the_training_gets_what_was_checked() -> None:
    recipe = read_recipe("moe_agiqa_agiqa3k")
    assert checked(recipe) is recipe
    plain = dataclasses.replace(recipe, options={"fixed_rate": 0.25})
    assert checked(plain).options == dataclasses.replace(FinetuneOptions(), fixed_rate=0.25)


def test_a_number_written_as_yaml_reads_it_as_text_is_a_number() -> None:
    assert read_recipe("mdiqa_fusion_koniq", ["optimizer.lr=3e-5"]).optimizer.lr == 3e-5


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(FileNotFoundError, match="did you mean 'mdiqa_fusion_koniq'"):
        read_recipe("mdiqa_fusion_konik")


def test_a_missing_start_is_named(folder: Path, tmp_path: Path) -> None:
    values = small_values(CASES[2], folder)
    values["start"] = read_values("mdiqa_fusion_koniq")["start"]
    with pytest.raises(FileNotFoundError, match=r"runs/mdiqa_technical_spaq/best\.safetensors .*'branches\.technical'"):
        Trainer(recipe_from(values), tmp_path, bar=False, cpu=True)


COPIES_OF = {
    "koniq10k": "koniq",
    "SPAQ": "spaq",
    "PARA": "para",
    "kadid10k": "kadid",
    "tid2013": "tid",
    "PIPAL": "pipal",
    "BID": "bid",
    "LIVE": "live",
    "LIVE-C": "live_challenge",
    "CSIQ": "csiq",
    "UHD-IQA": "uhd",
    "FLIVE": "flive",
    "AGIQA-1K": "agiqa1k",
    "AGIQA-3K": "agiqa3k",
    "AIGCIQA2023": "aigciqa",
    "AIGCQA-30K-Image": "aigiqa20k",
}


@pytest.mark.parametrize("name", list_recipes())
def test_a_recipe_reads_its_data_sets_as_they_were_published(name: str, tmp_path: Path) -> None:
    recipe = read_recipe(name)
    for published in (*recipe.data.train, *recipe.data.validation):
        spec, copy = published, tmp_path / published.data
        if not copy.is_dir():
            copy.mkdir(parents=True)
            getattr(published_copies, COPIES_OF[copy.name])(copy)
        tiny = dataclasses.replace(spec.transform, small="resize")  # the copies' pictures are smaller than any crop
        spec = dataclasses.replace(spec, data=str(copy), transform=tiny)
        whole = dataclasses.replace(spec, shares={}, share=None)
        manifest = load_manifest(whole)
        if (
            spec.share is not None and len(set(manifest.groups or manifest.images)) > 1
        ):  # else there is nothing to split
            share = load_manifest(spec)
            assert 0 < len(share.images) < len(manifest.images)
        assert len(manifest.target(spec.target)) > 0


# --- what tasks do ---


def built(name: str, folder: Path, **options: Any) -> Any:
    case = next(case for case in CASES if case.recipe == name)
    task = build_task(recipe_from(small_values(dataclasses.replace(case, options={**case.options, **options}), folder)))
    task.configure(0)
    return task


def test_the_reference_behavior_lets_batch_norms_drift_by_one_batch(folder: Path) -> None:
    images = {"image": torch.rand(2, 3, 64, 64), "score": torch.rand(2)}
    for name, drifts in (("mdiqa_fusion_koniq", False), ("mdiqa_fusion_koniq_reference", True)):
        task = built(name, folder)
        task.eval()
        before = {key: value.clone() for key, value in task.scorer.weighting.state_dict().items() if "running" in key}
        task.train()
        task({"koniq": images})
        once = {key: value.clone() for key, value in task.scorer.weighting.state_dict().items() if "running" in key}
        task.train()
        task({"koniq": images})
        twice = {key: value for key, value in task.scorer.weighting.state_dict().items() if "running" in key}
        assert any(not torch.equal(before[key], once[key]) for key in before) is drifts
        assert all(torch.equal(once[key], twice[key]) for key in once)


def test_the_backbone_stops_where_the_recipe_says(folder: Path) -> None:
    task = built("mdiqa_technical_spaq", folder)
    backbone = task.scorer.branches["technical"].backbone
    assert any(parameter.requires_grad for parameter in backbone.parameters())
    assert not any(parameter.requires_grad for parameter in task.scorer.branches["aesthetic"].parameters())
    task.configure(12)
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert all(parameter.requires_grad for parameter in task.scorer.branches["technical"].heads.parameters())


@pytest.mark.parametrize(
    ("options", "early", "late"),
    [
        ({"schedule": "paper", "xi": 0.5}, (0.0, 1.0), (0.5 * 29 / 31, 1 - 0.5 * 29 / 31)),
        ({"schedule": "released"}, (0.0, 1.0), (1.0, 0.0)),
        ({"schedule": "fixed"}, (0.9419036, 0.9602832), (0.9419036, 0.9602832)),
        ({"ablation": "fixed_weights", "fixed": [0.5, 0.5]}, (0.5, 0.5), (0.5, 0.5)),
        ({"ablation": "multi_scale_only"}, (1.0, 0.0), (1.0, 0.0)),
        ({"ablation": "resnet_only"}, (1.0, 0.0), (1.0, 0.0)),
    ],
)
def test_the_weights_of_pmt_move_as_published(
    folder: Path, options: dict[str, Any], early: tuple[float, float], late: tuple[float, float]
) -> None:
    name = "pmt_iqa_bid"
    small = next(case for case in CASES if case.recipe == name)
    values = small_values(
        dataclasses.replace(small, options={"xi": 1.0, "fixed": [0.9419036, 0.9602832], **options}), folder
    )
    task = build_task(recipe_from(values))
    assert task.weights(TrainState(0, 300, 10)) == pytest.approx(early)
    assert task.weights(TrainState(290, 300, 10)) == pytest.approx(late)


def test_resnet_only_sees_no_scale_but_the_last(folder: Path) -> None:
    task = built("pmt_iqa_bid", folder, ablation="resnet_only")
    out = task.scorer.eval()(torch.rand(1, 3, 64, 64))
    assert not any(out.features[f"scale_{number}"].any() for number in (1, 2, 3))
    assert out.features["scale_4"].any()


def test_half_of_the_text_encoder_is_frozen_up_to_the_published_parameter() -> None:
    from iqaloss.training.tasks.moe_agiqa import freeze_share

    layers = torch.nn.ModuleDict({"layers": torch.nn.ModuleList(torch.nn.LayerNorm(2) for _ in range(12))})
    freeze_share(layers, "layers", 12, 0.5)
    learning = [name for name, parameter in layers.named_parameters() if parameter.requires_grad]
    assert learning[0] == "layers.6.bias"
    assert len(learning) == 11
    with pytest.raises(ValueError, match="fixed_rate must lie in"):
        freeze_share(layers, "layers", 12, 1.5)


@pytest.mark.parametrize("without", ["vidn", "sean", "ndpm", "tkem"])
def test_what_is_left_out_of_moe_agiqa_stays_out_of_its_checkpoint(without: str, folder: Path, tmp_path: Path) -> None:
    from iqaloss.scorers import checkpoints

    task = built("moe_agiqa_agiqa3k", folder, without=[without])
    scorer = create_scorer("moe-agiqa", weights=checkpoints.save(task.scorer, tmp_path / "x.safetensors"))
    images, prompts = torch.rand(2, 3, 32, 32), [torch.tensor([1, 5, 2]), torch.tensor([1, 9, 8, 7, 2])]
    scores = [scorer(images, prompts=prompt).score for prompt in prompts]
    if without == "sean":
        assert torch.equal(*scores)
    else:
        assert not torch.equal(*scores)
    out = scorer(images)
    assert ("prior" in out.extras) is (without != "ndpm")
    assert out.extras["experts"].shape[1] == (1 if without == "tkem" else 4)


def test_the_calibration_compares_the_methods_means(folder: Path) -> None:
    from iqaloss.training.objectives import fidelity

    task = built("sr_iqa_calibrate", folder)
    scores, ranks = torch.rand(4, 3), torch.tensor([[0.0, 1.0, 2.0]]).repeat(4, 1)
    terms = task.losses("methods", {"score": scores}, {"score": ranks}, TrainState())
    want = fidelity(scores.mean(0), torch.tensor([0.0, 1.0, 2.0]), link="paper")
    torch.testing.assert_close(terms["ranking_of_methods"], want)
    learning = {name.split(".")[1] for name, value in task.named_parameters() if value.requires_grad}
    assert learning == {"rectifier"}
    task = built("sr_iqa_calibrate", folder, learns="everything")
    assert not task.scorer.clip.logit_scale.requires_grad
    assert task.scorer.clip.visual.proj.requires_grad


def test_the_rankings_teach_alone_where_no_rated_set_is_given(folder: Path, tmp_path: Path) -> None:
    values = small_values(next(case for case in CASES if case.recipe == "sr_iqa_calibrate"), folder)
    values["data"]["train"], values["data"]["validation"] = [], []
    values["run"].update(steps=2)
    trainer = Trainer(recipe_from(values), tmp_path, bar=False, cpu=True)
    before = {name: value.detach().clone() for name, value in trainer.task.scorer.rectifier.named_parameters()}
    assert trainer.fit().name == "last.safetensors"
    assert any(not torch.equal(before[name], value) for name, value in trainer.task.scorer.rectifier.named_parameters())


def test_color_spaces_are_drawn_by_the_image_and_not_by_the_process() -> None:
    from iqaloss.training.tasks.lar_iqa import drawn_spaces

    images, draws = torch.rand(4, 3, 8, 8), torch.tensor([4, 5, 6, 7])
    spaces = ("RGB", "HSV", "LAB", "YUV")
    whole = drawn_spaces(images, draws, spaces)
    halves = [drawn_spaces(images[half], draws[half], spaces) for half in (slice(0, 2), slice(2, 4))]
    assert torch.equal(whole, torch.cat(halves))
    assert torch.equal(whole[0], images[0])
    assert not any(torch.allclose(whole[i], images[i]) for i in (1, 2, 3))


# --- what a person types ---


def test_finetune_from_the_command_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("typer")
    from iqaloss.cli import main

    small = ["--set", "scorer.size=tiny", "--weights", "none", "--crop", "64", "--epochs", "1", "--batch-size", "4"]
    words = [
        "--data",
        str(folder / "scores.csv"),
        "--out",
        str(tmp_path),
        "--device",
        "cpu",
        "--quiet",
        "--validation",
        "0.25",
    ]
    assert main(["finetune", "mdiqa-mobile", *words, *small]) == 0
    assert "create_scorer" in capsys.readouterr().out
    create_scorer("mdiqa-mobile", weights=tmp_path / "best.safetensors")
    assert main(["finetune", "mdiqa-mobile", *words, *small]) == 2
    assert "holds a training already" in capsys.readouterr().err
    assert main(["train", "mdiqa_fusion_konik"]) == 2
    assert "did you mean" in capsys.readouterr().err
    assert main(["train"]) == 0
    assert "PMT-IQA on BID" in capsys.readouterr().out


def published_weights(folder: Path) -> None:
    """Files with the names and tensors of the published starting weights, but random values."""
    import open_clip
    import timm

    for file, model in {
        "resnet50.a1_in1k": "resnet50",
        "resnet50.tv_in1k": "resnet50",
        "mobilenetv3_large_100.ra_in1k": "mobilenetv3_large_100",
        "vit_base_patch16_224.augreg_in21k_ft_in1k": "vit_base_patch16_224",
    }.items():
        save_file(timm.create_model(model, pretrained=False).state_dict(), folder / f"{file}.safetensors")
    for file, model in {"clip_rn50": "RN50", "clip_vit_b32": "ViT-B-32-quickgelu"}.items():
        state = open_clip.create_model(model, pretrained=None).state_dict()
        save_file({name: value.contiguous() for name, value in state.items()}, folder / f"{file}.safetensors")


START_FROM_PUBLISHED = (
    "mdiqa_technical_spaq",
    "mdiqa_aesthetic_para",
    "mdiqa_fusion_koniq",
    "lar_iqa_authentic",
    "lar_iqa_synthetic",
    "pmt_iqa_bid",
    "pmt_iqa_bid_released",
    "moe_agiqa_prior",
    "sr_iqa_base",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", START_FROM_PUBLISHED)
def test_published_starting_weights_fit_the_published_architecture(name: str, tmp_path: Path) -> None:
    pytest.importorskip("open_clip")
    published_weights(tmp_path)
    recipe = read_recipe(name)
    starts = [start for start in recipe.start if start.file.startswith("weights/")]
    assert starts
    scorer = build_scorer(recipe, task_class(recipe.task).scorer_options(recipe))
    for start in starts:
        path = tmp_path / Path(start.file).name
        apply_start(scorer, dataclasses.replace(start, file=str(path)), task_class(recipe.task))
        module, given = scorer.get_submodule("prior" if start.role == "vit_prior" else start.module), load_file(path)
        name, value = next((name, value) for name, value in module.state_dict().items() if value.ndim > 1)
        assert torch.equal(value, given[start.prefix + name])
