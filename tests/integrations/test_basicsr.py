"""What BasicSR makes of the losses, the metric, the models and the recipes."""

# ruff: noqa: E402
from __future__ import annotations

import copy
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

if importlib.util.find_spec("basicsr") is None:
    pytest.skip("BasicSR is not installed (extra basicsr; not on Python 3.13)", allow_module_level=True)

from iqaloss.integrations.basicsr import register, train
from iqaloss.integrations.basicsr.__main__ import main
from iqaloss.integrations.basicsr.compat import cpu_in_place_of_cuda, load_training_state
from iqaloss.integrations.basicsr.metrics import calculate_iqa
from iqaloss.integrations.basicsr.recipe import RecipeError, parse_yaml, read_recipe
from iqaloss.losses.registry import LossSpec, list_losses

register()

from basicsr.archs import build_network
from basicsr.losses import build_loss
from basicsr.metrics import calculate_metric
from basicsr.models import build_model
from basicsr.utils.registry import LOSS_REGISTRY, METRIC_REGISTRY, MODEL_REGISTRY


def tensorboard_tags(folder: Path) -> set[str]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return set(events.Tags()["scalars"])


# --- registries ---


def test_register_twice_changes_nothing() -> None:
    before = {name: LOSS_REGISTRY.get(name) for name in list_losses()}
    register()
    assert {name: LOSS_REGISTRY.get(name) for name in list_losses()} == before
    assert "calculate_iqa" in METRIC_REGISTRY
    assert "IQASRModel" in MODEL_REGISTRY


def test_every_loss_class_is_registered() -> None:
    assert {"IQALoss", "MDIQALoss"} <= set(list_losses())
    assert set(list_losses()) <= set(LOSS_REGISTRY.keys())


def test_stock_perceptual_slot_gets_the_value_of_the_loss(scorer: dict[str, str]) -> None:
    pair = build_loss({"type": "MDIQALoss", "weights": {"sharpness": 3.0}, "mode": "both", "scorer": scorer})
    direct = LossSpec.read(
        {"type": "MDIQALoss", "weights": {"sharpness": 3.0}, "mode": "both", "scorer": scorer}
    ).build()
    pred, target = torch.rand(2, 2, 3, 64, 64)
    pred.requires_grad_()
    value, style = pair(pred, target)
    assert style is None
    assert value == direct(pred, target)
    value.backward()
    assert pred.grad is not None
    assert pred.grad.abs().sum() > 0


@pytest.mark.parametrize("stock", ["SRModel", "SRGANModel"])
def test_stock_models_train_with_the_loss(stock: str, recipe: dict[str, Any], scorer: dict[str, str]) -> None:
    recipe = built_options(recipe, stock)
    del recipe["train"]["iqa_opt"]
    recipe["train"]["perceptual_opt"] = {"type": "MDIQALoss", "scorer": scorer}
    model = build_model(recipe)
    model.feed_data({"lq": torch.rand(2, 3, 32, 32), "gt": torch.rand(2, 3, 128, 128)})
    model.optimize_parameters(1)
    key = "l_percep" if stock == "SRModel" else "l_g_percep"
    assert np.isfinite(model.get_current_log()[key])


def built_options(recipe: dict[str, Any], model: str) -> dict[str, Any]:
    """Adds to a recipe what a model needs when it is built without the training loop."""
    from iqaloss.integrations.basicsr.recipe import complete

    options = complete({**copy.deepcopy(recipe), "model_type": model}, Path("nowhere"), 0, 1)
    if "GAN" in model:
        options["network_d"] = {"type": "VGGStyleDiscriminator", "num_in_ch": 3, "num_feat": 4}
        options["train"]["optim_d"] = {"type": "Adam", "lr": 1e-3}
        options["train"]["gan_opt"] = {"type": "GANLoss", "gan_type": "vanilla", "loss_weight": 0.1}
    return options


# --- the models ---


def test_named_losses_add_up_and_are_logged_by_term(recipe: dict[str, Any]) -> None:
    model = build_model(built_options(recipe, "IQASRModel"))
    lq, gt = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 64, 64)
    model.feed_data({"lq": lq, "gt": gt})
    with torch.no_grad():
        total = model.cri_perceptual(model.net_g(lq), gt)[0].item()
    model.optimize_parameters(1)
    log = model.get_current_log()
    assert list(log)[:2] == ["l_pix", "l_sharp"]
    assert log["l_sharp"] + log["l_near"] == pytest.approx(total, rel=1e-4)
    for name in ("sharp", "near"):
        terms = [value for key, value in log.items() if key.startswith(f"l_{name}_")]
        assert len(terms) == 5
        assert sum(terms) == pytest.approx(log[f"l_{name}"], rel=1e-4)
    assert "l_percep" not in log


def test_losses_that_name_one_scorer_share_it(recipe: dict[str, Any]) -> None:
    group = build_model(built_options(recipe, "IQASRModel")).cri_perceptual
    assert group.losses[0].scorer is group.losses[1].scorer


def test_named_losses_reach_the_gan_models(recipe: dict[str, Any]) -> None:
    model = build_model(built_options(recipe, "IQASRGANModel"))
    model.feed_data({"lq": torch.rand(2, 3, 32, 32), "gt": torch.rand(2, 3, 128, 128)})
    model.optimize_parameters(1)
    assert {"l_g_pix", "l_sharp", "l_sharp_sharpness", "l_g_gan", "l_d_real"} <= set(model.get_current_log())


def test_iqa_losses_change_the_step(recipe: dict[str, Any]) -> None:
    """The gradient of the named losses reaches the network."""
    data = {"lq": torch.rand(2, 3, 16, 16), "gt": torch.rand(2, 3, 64, 64)}
    weights = []
    for model_type in ("IQASRModel", "SRModel"):
        torch.manual_seed(0)
        options = built_options(recipe, model_type)
        options["train"]["optim_g"]["lr"] = 1e-2
        model = build_model(options)
        model.feed_data(data)
        for step in (1, 2):
            model.optimize_parameters(step)
        weights.append(model.net_g.conv_last.weight.detach().clone())
    assert not torch.equal(*weights)


def test_scheduled_weights_follow_the_iteration_wherever_training_begins(recipe: dict[str, Any]) -> None:
    options = built_options(recipe, "IQASRModel")
    options["train"]["iqa_opt"]["sharp"]["loss_weight"] = {0: 0, 100: 1.0}
    model = build_model(options)
    model.feed_data({"lq": torch.rand(2, 3, 16, 16), "gt": torch.rand(2, 3, 64, 64)})
    for iteration, weight in ((50, 0.5), (51, 0.51), (400, 1.0)):
        model.optimize_parameters(iteration)
        assert model.cri_perceptual.losses[0].loss_weight == pytest.approx(weight)
        assert model.cri_perceptual.losses[1].loss_weight == 1.0


def test_the_training_command_tells_a_stock_models_losses_the_iteration(
    recipe: dict[str, Any], scorer: dict[str, str], tmp_path: Path
) -> None:
    late = {"type": "MDIQALoss", "scorer": scorer, "loss_weight": {0: 0, 4: 0.1}, "augment": ["flip"]}
    near = {"type": "IQALoss", "mode": "fr", "scorer": scorer, "prefilter": 0.8}
    recipe = {**recipe, "model_type": "SRModel", "val": None}
    recipe["train"] = {**recipe["train"], "total_iter": 2, "iqa_opt": None}
    recipe["train"]["perceptual_opt"] = {"type": "IQALossSum", "losses": {"late": late, "near": near}}
    assert (train(recipe, root=tmp_path, progress=False) / "models" / "net_g_latest.pth").is_file()


# --- the metric ---


def test_metric_agrees_with_the_scorer(scorer: dict[str, str]) -> None:
    from iqaloss import create_scorer

    picture = np.random.default_rng(1).integers(0, 256, (48, 40, 3), dtype=np.uint8)
    inner = picture[4:-4, 4:-4, ::-1]
    want = create_scorer(**scorer)(torch.from_numpy(inner.copy()).permute(2, 0, 1)[None] / 255)
    data = {"img": picture, "img2": picture}
    options = {"type": "calculate_iqa", "scorer": scorer, "crop_border": 4, "better": "higher"}
    assert calculate_metric(data, options) == pytest.approx(want.score.item(), abs=1e-5)
    for name, value in want.dimensions.items():
        assert calculate_metric(data, {**options, "dimension": name}) == pytest.approx(value.item(), abs=1e-5)


def test_metric_runs_the_scorer_once_for_a_picture(scorer: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    from iqaloss.integrations.basicsr import metrics

    runs = []
    model = metrics._scorer(json.dumps(scorer)).scorer
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda *args, **options: runs.append(1) or forward(*args, **options))
    for seed in (2, 3):
        picture = np.random.default_rng(seed).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        for dimension in ("score", "sharpness", "noisiness"):
            calculate_iqa(picture, scorer=scorer, dimension=dimension)
    assert len(runs) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dimension": "sharpnes"}, "did you mean 'sharpness'"),
        ({"dimenson": "score"}, "did you mean 'dimension'"),
        ({"input_order": "WHC"}, "HWC"),
    ],
)
def test_metric_names_what_is_wrong(options: dict[str, str], message: str, scorer: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=message):
        calculate_iqa(np.zeros((40, 40, 3), np.uint8), scorer=scorer, **options)


# --- the training ---


def test_training_leaves_what_it_promises(recipe: dict[str, Any], tmp_path: Path) -> None:
    folder = train(recipe, root=tmp_path, progress=False)
    checkpoint = folder / "models" / "net_g_latest.pth"
    saved = torch.load(checkpoint, weights_only=True)
    assert set(saved) == {"params", "params_ema"}
    build_network(recipe["network_g"]).load_state_dict(saved["params_ema"], strict=True)
    assert not list(folder.rglob("*.partial"))
    assert "l_sharp_sharpness" in next(folder.glob("*.log")).read_text()
    tags = tensorboard_tags(tmp_path / "tb_logger" / "tiny")
    assert {"losses/l_sharp", "losses/l_near_contrast", "losses/l_pix", "metrics/val/sharpness"} <= tags


def test_resume_on_a_cpu_goes_on_where_it_stopped(recipe: dict[str, Any], tmp_path: Path) -> None:
    whole = train(recipe, root=tmp_path / "whole", progress=False)
    half = read_recipe(recipe, ["train:total_iter=2"])
    folder = train(half, root=tmp_path / "halves", progress=False)
    assert load_training_state(folder / "training_states" / "2.state")["iter"] == 2
    again = train(recipe, root=tmp_path / "halves", auto_resume=True, progress=False)
    assert again == folder
    states = [load_training_state(run / "training_states" / "4.state") for run in (whole, folder)]
    steps = [[group["step"].item() for group in state["optimizers"][0]["state"].values()] for state in states]
    assert steps[0] == steps[1]
    assert set(steps[0]) == {4.0}
    assert "Going on from epoch" in "".join(log.read_text() for log in folder.glob("*.log"))
    assert not list((tmp_path / "halves" / "experiments").glob("*archived*"))


def test_real_esrgan_model_trains_without_cuda(recipe: dict[str, Any], photos: Path, tmp_path: Path) -> None:
    (tmp_path / "meta.txt").write_text("".join(f"{path.name}\n" for path in sorted((photos / "gt").iterdir())))
    source = Path(__file__).parents[2] / "restoration_recipes" / "realesrgan_2_mdiqa_nr.yml"
    options = read_recipe(source)
    published = options["train"]["iqa_opt"]
    options.update(name="tiny", num_gpu=0, gt_size=128, queue_size=2, path={}, val=None)
    options["datasets"]["train"].update(
        dataroot_gt=str(photos / "gt"),
        meta_info=str(tmp_path / "meta.txt"),
        batch_size_per_gpu=2,
        num_worker_per_gpu=0,
    )
    options["network_g"].update(num_feat=8, num_block=1, num_grow_ch=4)
    options["network_d"].update(num_feat=4)
    options["train"].update(total_iter=2, perceptual_opt=None, iqa_opt=small_scorers(published, recipe))
    options["logger"].update(print_freq=1)
    folder = train(options, root=tmp_path, progress=False)
    assert (folder / "models" / "net_d_latest.pth").is_file()
    assert "losses/l_mdiqa" in tensorboard_tags(tmp_path / "tb_logger" / "tiny")


def small_scorers(losses: dict[str, Any], recipe: dict[str, Any]) -> dict[str, Any]:
    """The same losses on the small embedded kind of scorer."""
    small = recipe["train"]["iqa_opt"]["sharp"]["scorer"]
    known = ("brightness", "colorfulness", "contrast", "noisiness", "sharpness")
    changed = {}
    for name, loss in losses.items():
        weights = {key: value for key, value in (loss.get("weights") or {}).items() if key in known}
        changed[name] = {**loss, "scorer": small, "weights": weights}
    return changed


def test_cuda_calls_are_real_again_afterwards() -> None:
    before = torch.Tensor.cuda, torch.nn.Module.cuda
    with cpu_in_place_of_cuda(True):
        assert torch.ones(1).cuda().device.type == "cpu"
    assert (torch.Tensor.cuda, torch.nn.Module.cuda) == before


# --- what is refused ---


def wrong(recipe: dict[str, Any], change: str) -> str:
    with pytest.raises(RecipeError) as caught:
        train(read_recipe(recipe, [change]), root="nowhere", progress=False)
    assert not Path("nowhere").exists()
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            "train:iqa_opt:sharp:loss_wieght=2",
            "train.iqa_opt.sharp: MDIQALoss: unknown option 'loss_wieght'; did you mean 'loss_w",
        ),
        ("train:iqa_opt:sharp:chunk=2", "train.iqa_opt.sharp: MDIQALoss: the option 'chunk' is called 'micro_batch'"),
        ("train:iqa_opt:sharp:scorer={name: mdiqa-mobile, weigths: a}", "did you mean 'weights'"),
        ("train:iqa_opt:sharp:mode=nf", "train.iqa_opt.sharp: unknown mode 'nf'; did you mean"),
        ("train:iqa_opt:sharp:weights={sharpnes: 2}", "did you mean 'sharpness'"),
        ("train:iqa_opt:sharp:weights={sharpness: -2}", "must be finite and not negative"),
        ("train:iqa_opt:sharp:weights={sharpness: 2, beauty: 1}", "'beauty'"),
        ("train:iqa_opt:sharp:type=MDIQLoss", "did you mean 'MDIQALoss'"),
        ("train:iqa_opt:sharp:scorer=mdiqa-mobil", "did you mean 'mdiqa-mobile'"),
        ("train:iqa_opt:sharp:scorer=mdiqa", "technical (needed)"),
        ("train:iqa_opt:sharp:scorer={name: mdiqa-mobile, weights: none.pth}", "no weights at none.pth"),
        ("train:iqa_opt:sharp:scorer={name: mdiqa-mobile, weights: ~}", "random weights are no judge"),
        ("train:iqa_opt=MDIQALoss", "must map names of your choice to losses"),
        ("model_type=SRModel", "train.iqa_opt is read by IQASRModel"),
        ("model_type=IQASModel", "did you mean 'IQASRModel'"),
        ("network_g:type=MSRResnet", "did you mean 'MSRResNet'"),
        ("network_g:num_feats=8", "did you mean 'num_feat'"),
        (
            "datasets:train:dataroot_gt=/no/such/folder",
            "datasets.train.dataroot_gt: there is nothing at /no/such/folder",
        ),
        ("datasets:train:io_backend=~", "datasets.train.io_backend is missing"),
        ("datasets:val:type=PairedDataset", "did you mean"),
        ("train:pixel_opt:type=L1Los", "did you mean 'L1Loss'"),
        ("train:pixel_opt:wheight=1", "unknown option 'wheight'"),
        ("train:optim_g:type=Adm", "did you mean 'Adam'"),
        ("train:scheduler:type=MultiStep", "did you mean 'MultiStepLR'"),
        ("train:total_iters=7", "did you mean"),
        ("train:total_iter=~", "train.total_iter is missing"),
        ("num_gpu=99", "num_gpu is 99"),
        ("path:pretrain_network_g=none.pth", "path.pretrain_network_g: there is no file none.pth"),
        ("val:metrics:sharpness:dimension=sharp", "did you mean 'sharpness'"),
        ("val:metrics:sharpness:dimensions=sharp", "did you mean 'dimension'"),
        ("val:metrics:psnr:type=calculate_psn", "did you mean 'calculate_psnr'"),
    ],
)
def test_a_slip_is_named_before_anything_is_built(change: str, words: str, recipe: dict[str, Any]) -> None:
    if "total_iters" in change:
        del recipe["train"]["total_iter"]
        words = "is 'total_iters' meant for it?"
    assert words in wrong(recipe, change)


def test_every_problem_is_listed_at_once(recipe: dict[str, Any]) -> None:
    recipe["network_g"]["type"] = "Nothing"
    text = wrong(recipe, "train:iqa_opt:near:mode=fx")
    assert "has 2 problem(s)" in text


@pytest.mark.parametrize("change", ["train", "a:b=1", "name:b:c=1"])
def test_an_impossible_change_is_refused(change: str, recipe: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=change):
        read_recipe(recipe, [change])


def test_a_batch_that_cannot_be_filled_is_named(recipe: dict[str, Any], tmp_path: Path) -> None:
    recipe["datasets"]["train"]["batch_size_per_gpu"] = 99
    with pytest.raises(RecipeError, match="too few for one batch of 99"):
        train(recipe, root=tmp_path, progress=False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a machine without CUDA is meant")
def test_torchrun_without_cuda_is_named(
    recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.setenv(name, "0")
    with pytest.raises(RecipeError, match="no CUDA device"):
        train(recipe, root=tmp_path, progress=False)
    with pytest.raises(ValueError, match="did you mean 'pytorch'"):
        train(recipe, root=tmp_path, launcher="pytorh", progress=False)


def test_a_learning_rate_may_be_written_without_a_point() -> None:
    assert parse_yaml("[1e-4, -2E+3, 1, 1.5]", "text") == [1e-4, -2000.0, 1, 1.5]


def test_a_recipe_for_basicsr_has_no_key_twice_and_no_aliases_without_end() -> None:
    with pytest.raises(RecipeError, match="the key 'lr' is there twice"):
        parse_yaml("{lr: 1, lr: 2}", "recipe.yml")
    bomb = "a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdef", "bcdefg")
    )
    with pytest.raises(RecipeError, match="aliases of aliases"):
        parse_yaml(bomb, "recipe.yml")


def test_command_says_what_is_wrong_without_a_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-opt", str(tmp_path / "none.yml")]) == 2
    assert "no recipe at" in capsys.readouterr().err


def test_command_trains(recipe: dict[str, Any], tmp_path: Path) -> None:
    import yaml

    path = tmp_path / "recipe.yml"
    path.write_text(yaml.safe_dump(recipe))
    arguments = ["-opt", str(path), "--root", str(tmp_path), "--force_yml", "train:total_iter=1", "val=~"]
    assert main(arguments) == 0
    assert (tmp_path / "experiments" / "tiny" / "models" / "net_g_latest.pth").is_file()


def test_importing_the_integration_imports_no_basicsr() -> None:
    code = "import sys, iqaloss.integrations.basicsr.engine; sys.exit('basicsr' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
