"""The training of the embedded scorer: degradations, splits, steps, and exact resumption."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from iqaloss.scorers.factory import create_tiny
from iqaloss.scorers.mdiqa import MDIQA
from scorer_recipes.mdiqa_mobile import data, degrade, evaluate, objectives, upscaler, views
from scorer_recipes.mdiqa_mobile.recipe import Recipe
from scorer_recipes.mdiqa_mobile.run import Run

TINY_RECIPE = Recipe(
    backbone_steps=4,
    backbone_batch=8,
    steps=4,
    head_steps=1,
    batch=4,
    groups=2,
    sizes=(48, 64),
    crop_sizes=(48, 64),
    warmup=1,
    frozen_blocks=1,
    warm_epochs=0,
    local_strength=2.0,
    bf16=False,
)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve synthetic 96x96 pictures with scores."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("photographs")
    generator = np.random.default_rng(0)
    lines = ["image,mos"]
    for index in range(12):
        low = generator.integers(0, 255, (6, 6, 3), dtype=np.uint8)
        picture = Image.fromarray(low).resize((96, 96), Image.Resampling.BICUBIC)
        picture.save(folder / f"ss03 ({index}).png")
        lines.append(f"ss03 ({index}).png,{0.3 + 0.05 * index:.2f}")
    (folder / "scores.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    """A photograph that scikit-image carries, 160x160."""
    skimage = pytest.importorskip("skimage.data")
    image = torch.from_numpy(skimage.astronaut()).permute(2, 0, 1)[:, :320, 100:420] / 255.0
    return torch.nn.functional.avg_pool2d(image[None], 2)[0]


@pytest.mark.parametrize("item", degrade.DEGRADATIONS, ids=lambda item: item.name)
def test_degradation_keeps_shape_and_range_and_grows_with_strength(
    item: degrade.Degradation, picture: torch.Tensor
) -> None:
    distances = []
    for strength in (0.1, 0.4, 0.7, 1.0):
        worse = item.apply(picture, strength, torch.Generator().manual_seed(0))
        assert worse.shape == picture.shape
        assert float(worse.min()) >= -1e-4
        assert float(worse.max()) <= 1 + 1e-4
        distances.append(float((worse - picture).abs().mean()))
    assert distances == sorted(distances)
    assert distances[0] < 0.6 * distances[-1]
    again = item.apply(picture, 1.0, torch.Generator().manual_seed(0))
    assert torch.equal(again, worse)
    assert item.target_fall(1.0) == pytest.approx(item.fall)
    assert item.target_fall(item.onset) == 0.0


def test_every_dimension_is_degraded_and_unknown_names_are_explained() -> None:
    assert {item.dimension for item in degrade.DEGRADATIONS} == set(degrade.DIMENSIONS)
    with pytest.raises(ValueError, match="defocus"):
        degrade.by_name("defocs")


def test_published_split_is_a_thousand_training_names_chosen_by_hash() -> None:
    names = data.published_validation_names()
    assert len(names) == 1000
    assert all(name.startswith(("ss01 (", "ss02 (", "ss03 (")) for name in names)
    assert data.choose_validation(sorted(names), 1000) == sorted(names)


def test_split_holds_out_published_names_and_never_overlaps(photographs: Path) -> None:
    rows = data.read_rows(photographs)
    training, held = data.split_rows(rows, ["ss03 (3).png"])
    assert [rows.names[i] for i in held] == ["ss03 (3).png"]
    assert sorted(training + held) == list(range(12))
    training, held = data.split_rows(rows)  # other data than BIQ2021
    assert len(held) == 4
    assert not set(training) & set(held)


def test_rows_without_a_table_or_with_bad_scores_are_refused(tmp_path: Path, photographs: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"scores\.csv"):
        data.read_rows(tmp_path)
    for index in range(12):
        (tmp_path / f"{index}.png").write_bytes((photographs / f"ss03 ({index}).png").read_bytes())
    (tmp_path / "scores.csv").write_text("image,mos\n" + "".join(f"{i}.png,{i}.0\n" for i in range(12)))
    with pytest.raises(ValueError, match=r"2\.png.*\[0, 1\]"):
        data.read_rows(tmp_path)


def test_cache_is_remade_when_the_rows_change(photographs: Path, tmp_path: Path) -> None:
    rows = data.read_rows(photographs)
    first = data.DecodedImages(rows, tmp_path / "cache.npy", side=96)
    assert first.full(5).shape == (3, 96, 96)
    assert torch.equal(first.full(5), data.decode(rows.paths[5]) / 255.0)
    assert torch.equal(first.crop(5, 10, 20, 32), first.full(5)[:, 10:42, 20:52])
    assert len(data.DecodedImages(rows.subset(range(9)), tmp_path / "cache.npy", side=96)) == 9


def test_group_targets_fall_in_the_matching_dimension_only(picture: torch.Tensor) -> None:
    recipe = dataclasses.replace(Recipe(), base_share=0.0)
    for item in degrade.DEGRADATIONS:
        group = views.degraded_group(picture, item, recipe, torch.Generator().manual_seed(1))
        own = degrade.DIMENSIONS.index(item.dimension)
        falls = group.targets[0] - group.targets
        assert float(falls[:, [i for i in range(5) if i != own]].abs().max()) == 0.0
        assert bool((falls[:, own].diff() >= 0).all())
        assert float(falls[-1, own]) > 0.1
        assert group.known[own] == 1
        assert group.matching.tolist().index(1.0) == own


def test_every_pass_visits_every_row_once() -> None:
    rows = list(range(100, 112))
    seen = [row for step in range(3) for row in views.epoch_rows(rows, 4, seed=1, step=step)]
    assert sorted(seen) == rows
    assert seen != [row for step in range(3, 6) for row in views.epoch_rows(rows, 4, seed=1, step=step)]


def test_objectives_are_zero_at_their_goal_and_positive_elsewhere() -> None:
    scores = torch.tensor([0.1, 0.4, 0.6, 0.9])
    assert float(objectives.plcc_loss(2 * scores + 1, scores)) == pytest.approx(0.0, abs=1e-6)
    assert float(objectives.plcc_loss(-scores, scores)) == pytest.approx(1.0, abs=1e-6)
    assert float(objectives.ranking_loss(scores, scores)) == 0.0
    assert float(objectives.ranking_loss(scores.flip(0), scores)) > 0.1
    assert float(objectives.ranking_loss(scores, torch.full((4,), 0.5))) == 0.0


def test_correlations_agree_with_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    generator = np.random.default_rng(0)
    a, b = generator.integers(0, 9, 50).astype(float), generator.normal(size=50)
    assert evaluate.srcc(a, b) == pytest.approx(stats.spearmanr(a, b)[0])
    assert evaluate.plcc(a, b) == pytest.approx(stats.pearsonr(a, b)[0])
    falling = np.array([5.0, 4.0, 4.5, 1.0])
    assert evaluate.kendall(falling) == pytest.approx(stats.kendalltau(-np.arange(4), falling)[0])


@pytest.fixture(autouse=True)
def short_upscaler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upscaler, "STEPS", 2)


def _run(photographs: Path, out: Path, recipe: Recipe) -> Run:
    out.mkdir(exist_ok=True)
    rows = data.read_rows(photographs)
    images = data.DecodedImages(rows, out / "cache.npy", side=96)
    return Run(images, rows, list(range(12)), recipe, out, lambda *_: None)


def _trainer(photographs: Path, out: Path, recipe: Recipe = TINY_RECIPE):  # type: ignore[no-untyped-def]
    from scorer_recipes.mdiqa_mobile.engine import Trainer
    from scorer_recipes.mdiqa_mobile.warmstart import initialize

    torch.manual_seed(0)
    scorer = create_tiny("mdiqa-mobile", frozen=False)
    initialize(scorer)  # type: ignore[arg-type]
    return Trainer(scorer, _run(photographs, out, recipe))  # type: ignore[arg-type]


def test_training_resumes_bit_for_bit(photographs: Path, tmp_path: Path) -> None:
    whole = _trainer(photographs, tmp_path / "whole")
    losses: list[dict[str, float]] = []
    whole.run(2, lambda step, parts: losses.append(parts))

    first = _trainer(photographs, tmp_path / "halved")
    first.run(1, lambda step, parts: None)
    second = _trainer(photographs, tmp_path / "halved")
    second.resume()
    resumed: list[dict[str, float]] = []
    second.run(2, lambda step, parts: resumed.append(parts))

    assert resumed == losses[1:]
    for mine, other in ((whole.scorer, second.scorer), (whole.averaged, second.averaged)):
        for (name, a), b in zip(mine.state_dict().items(), other.state_dict().values()):
            assert torch.equal(a, b), name


def test_training_moves_heads_and_keeps_frozen_parts(photographs: Path, tmp_path: Path) -> None:
    trainer = _trainer(photographs, tmp_path)
    before = {name: value.clone() for name, value in trainer.scorer.state_dict().items()}
    parts = trainer.train_step()
    assert set(parts) == {"heads", "quiet"}
    parts = trainer.train_step()
    assert {"plcc", "curve"} <= set(parts)
    moved = {name for name, value in trainer.scorer.state_dict().items() if not torch.equal(value, before[name])}
    assert any(".heads." in name for name in moved)
    assert not any(".trunk." in name for name in moved)


def _backbone_trainer(photographs: Path, out: Path, recipe: Recipe = TINY_RECIPE):  # type: ignore[no-untyped-def]
    from scorer_recipes.mdiqa_mobile.backbone import BACKBONE, BackboneTrainer

    torch.manual_seed(0)
    scorer = create_tiny("mdiqa-mobile", frozen=False)
    trainer = BackboneTrainer(scorer, _run(photographs, out, recipe))  # type: ignore[arg-type]
    if (out / BACKBONE).is_file():
        trainer.resume()
    else:
        trainer.start()
    return trainer


def test_backbone_training_resumes_bit_for_bit(photographs: Path, tmp_path: Path) -> None:
    whole = _backbone_trainer(photographs, tmp_path / "whole")
    whole.train()
    first = _backbone_trainer(photographs, tmp_path / "halved")
    for _ in range(2):
        first.train_step()
    first.save()
    second = _backbone_trainer(photographs, tmp_path / "halved")
    assert second.step == 2
    second.train()
    for name, value in whole.scorer.state_dict().items():
        assert torch.equal(value, second.scorer.state_dict()[name]), name
    with pytest.raises(ValueError, match="with the recipe"):
        _backbone_trainer(photographs, tmp_path / "halved", dataclasses.replace(TINY_RECIPE, seed=2))


def test_backbone_training_moves_its_later_blocks_only(photographs: Path, tmp_path: Path) -> None:
    trainer = _backbone_trainer(photographs, tmp_path)
    before = {name: value.clone() for name, value in trainer.scorer.state_dict().items()}
    trainer.train()
    moved = {name for name, value in trainer.scorer.state_dict().items() if not torch.equal(value, before[name])}
    assert moved
    assert all(".trunk.blocks." in name for name in moved)
    assert not any("running_" in name or ".bn" in name or ".blocks.0." in name for name in moved)


def test_backbone_training_brings_scores_closer_to_peoples(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scorer_recipes.mdiqa_mobile import backbone

    quiet = {"native": 0.0, "sizes": (96,), "backbone_ema": 0.9, "overall_epochs": 2000}
    recipe = dataclasses.replace(TINY_RECIPE, backbone_steps=40, trunk_rate=1e-3, fusion_rate=0.0, **quiet)
    trainer = _backbone_trainer(photographs, tmp_path, recipe)
    # Twelve pictures cannot average out the noise with which the reader reads.
    monkeypatch.setattr(backbone, "noisy_read", lambda reader, standard, noise: reader(standard))
    views = torch.stack([trainer.run.images.full(index) for index in range(12)])
    errors = []
    for stage in (lambda: None, trainer.train):
        stage()
        with torch.no_grad():
            overall = trainer.averaged.overall(trainer.averaged.standard(views, contextlib.nullcontext))
        errors.append(float((overall - trainer.scores[:12]).square().mean()))
    assert errors[1] < 0.5 * errors[0]


def test_resuming_with_another_recipe_or_from_nothing_is_refused(photographs: Path, tmp_path: Path) -> None:
    trainer = _trainer(photographs, tmp_path)
    with pytest.raises(FileNotFoundError, match="nothing to resume"):
        trainer.resume()
    trainer.save()
    other = _trainer(photographs, tmp_path, dataclasses.replace(TINY_RECIPE, seed=2))
    with pytest.raises(ValueError, match="with the recipe"):
        other.resume()


def test_command_explains_a_missing_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from scorer_recipes.mdiqa_mobile.commands import main

    code = main(["--data", str(tmp_path), "--weights", "none.safetensors", "--out", str(tmp_path / "run")])
    assert code == 2
    assert "scores.csv" in capsys.readouterr().err


def test_command_explains_a_device_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    from scorer_recipes.mdiqa_mobile.commands import main

    places = ["--data", "none", "--weights", "none.safetensors", "--out", "none"]
    assert main([*places, "--device", "cdua"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: device 'cdua' cannot be used")
    assert "Usable here: cpu" in said


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_every_stage_runs_on_a_gpu(photographs: Path, tmp_path: Path) -> None:
    from scorer_recipes.mdiqa_mobile.backbone import train_backbone
    from scorer_recipes.mdiqa_mobile.engine import Trainer
    from scorer_recipes.mdiqa_mobile.stages import refit, warm_start
    from scorer_recipes.mdiqa_mobile.warmstart import initialize, scale_pyramid

    recipe = dataclasses.replace(TINY_RECIPE, warm_epochs=2, warm_groups=16, overall_epochs=40)
    run = dataclasses.replace(_run(photographs, tmp_path, recipe), device="cuda")
    scorer = create_tiny("mdiqa-mobile", frozen=False)
    assert isinstance(scorer, MDIQA)
    initialize(scorer)
    scorer.to(run.device)
    train_backbone(scorer, run)
    scale_pyramid(scorer, torch.stack([run.images.full(index) for index in range(12)]))
    warm_start(scorer, run)
    trainer = Trainer(scorer, run)
    trainer.run(recipe.steps, lambda step, parts: None)
    refit(trainer.averaged, run)
    assert {value.device.type for value in trainer.averaged.state_dict().values()} == {"cuda"}


def test_figures_of_two_files_are_not_published_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from scorer_recipes.mdiqa_mobile.commands import main

    parts = [tmp_path / "a.json", tmp_path / "b.json"]
    for seed, path in enumerate(parts):
        path.write_text(json.dumps({"parameters": 1, "gmacs": 0.5, "seed": seed}), encoding="utf-8")
    code = main(["publish", "none.safetensors", "--figures", *map(str, parts), "--to", str(tmp_path)])
    assert code == 2
    assert "b.json is of another file" in capsys.readouterr().err


@pytest.mark.parametrize("file", ["backbone.pt", "state.pt"])
def test_command_does_not_overwrite_a_run(
    file: str, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from scorer_recipes.mdiqa_mobile.commands import main

    (tmp_path / file).write_bytes(b"")
    code = main(["--data", str(photographs), "--weights", "none.safetensors", "--out", str(tmp_path)])
    assert code == 2
    assert "--resume" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [file]


def test_warm_start_is_stored_and_repeatable(photographs: Path, tmp_path: Path) -> None:
    from scorer_recipes.mdiqa_mobile.stages import warm_start
    from scorer_recipes.mdiqa_mobile.warmstart import initialize

    recipe = dataclasses.replace(TINY_RECIPE, warm_epochs=6, warm_groups=8, overall_epochs=40)
    results = []
    for _ in range(2):  # the second time statistics are read, not computed
        torch.manual_seed(0)
        scorer = create_tiny("mdiqa-mobile", frozen=False)
        initialize(scorer)  # type: ignore[arg-type]
        run = _run(photographs, tmp_path, recipe)
        warm_start(scorer, run)  # type: ignore[arg-type]
        results.append(scorer.eval()(run.images.full(0)[None]).score)
    assert torch.equal(*results)
    assert (tmp_path / "scored.pt").is_file()


def _scorer_with_warm_statistics() -> MDIQA:
    from scorer_recipes.mdiqa_mobile.warmstart import initialize

    torch.manual_seed(0)
    scorer = create_tiny("mdiqa-mobile", frozen=False).eval()
    assert isinstance(scorer, MDIQA)
    assert scorer.statistics is not None
    initialize(scorer)
    torch.nn.init.normal_(scorer.statistics.dimension[-1].weight, std=0.05)
    return scorer


def test_weighing_heads_does_to_the_scorer_what_it_says(photographs: Path, tmp_path: Path) -> None:
    from scorer_recipes.mdiqa_mobile.fitting import weigh_heads
    from scorer_recipes.mdiqa_mobile.statistics import observe
    from scorer_recipes.mdiqa_mobile.warmstart import START

    scorer = _scorer_with_warm_statistics()
    run = _run(photographs, tmp_path, TINY_RECIPE)
    views = torch.stack([run.images.full(index) for index in range(8)])
    before = observe(scorer, views, bf16=False)
    known = scorer.statistics.dimension(before.standard)  # type: ignore[union-attr]
    updated = weigh_heads(scorer, before, 0.25)
    after = observe(scorer, views, bf16=False)
    torch.testing.assert_close(updated(before).dimensions, after.dimensions)
    # Doubled, both parts lie on the level of what the statistics knew.
    torch.testing.assert_close(after.dimensions.mean(dim=0), (START + 2 * known).mean(dim=0))
    moved = after.dimensions - after.dimensions.mean(dim=0)
    heads = before.dimensions - known
    wanted = 0.5 * (heads - heads.mean(dim=0)) + 1.5 * (known - known.mean(dim=0))
    torch.testing.assert_close(moved, wanted)


def test_refit_agrees_better_with_people(photographs: Path, tmp_path: Path) -> None:
    from scorer_recipes.mdiqa_mobile.stages import refit

    scorer = _scorer_with_warm_statistics()
    run = _run(photographs, tmp_path, dataclasses.replace(TINY_RECIPE, warm_groups=16, overall_epochs=2000))
    views = torch.stack([run.images.full(index) for index in range(12)])
    errors = []
    for stage in (lambda: None, lambda: refit(scorer, run)):
        stage()
        with torch.no_grad():
            errors.append(float((scorer(views).score - run.scores[:12]).square().mean()))
    assert errors[1] < 0.5 * errors[0]


def test_quiet_loss_estimates_the_squared_gradient_norm() -> None:
    torch.manual_seed(0)
    slope = torch.randn(300)
    images = torch.randn(20_000, 300)
    faint = 0.01 * torch.randn_like(images)
    above, below = (((images + e) @ slope)[:, None] for e in (faint, -faint))
    estimate = objectives.quiet_loss(above, below, 0.01)
    assert float(estimate) == pytest.approx(float(slope.square().sum()), rel=0.05)


def test_head_loss_is_zero_when_heads_see_half_of_every_fall() -> None:
    targets = torch.full((1, 3, 5), 0.8)
    targets[0, :, 2] = torch.tensor([0.8, 0.5, 0.1])
    known, matching = torch.ones(1, 5), torch.tensor([[0.0, 0.0, 1.0, 0.0, 0.0]])
    halved = 0.3 + 0.5 * targets.flatten(0, 1)
    assert float(objectives.head_loss(halved, targets, known, matching)["heads"]) == pytest.approx(0.0, abs=1e-6)
    assert float(objectives.head_loss(targets.flatten(0, 1), targets, known, matching)["heads"]) > 0.01


def test_readers_average_to_the_mlp_that_they_were_made_from(tmp_path: Path) -> None:
    from scorer_recipes.mdiqa_mobile.readers import Readers

    torch.manual_seed(0)
    nn = torch.nn
    wide = nn.Sequential(nn.Dropout(), nn.Linear(6, 8), nn.GELU(), nn.Dropout(), nn.Linear(8, 2)).eval()
    x = torch.randn(5, 6)
    readers = Readers(wide, 4)
    torch.testing.assert_close(readers(x).mean(dim=0), wide(x))
    for parameter in readers.parameters():
        parameter.data.normal_()
    readers.store(wide)
    torch.testing.assert_close(readers(x).mean(dim=0), wide(x))
    with pytest.raises(ValueError, match="8 hidden units cannot be shared out among 3"):
        Readers(wide, 3)


def test_small_network_learns_to_repair_upscaled_photographs(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upscaler, "STEPS", 40)
    run = _run(photographs, tmp_path, TINY_RECIPE)
    item = run.source.degradations[-1]
    generator = torch.Generator().manual_seed(0)
    before, after = 0.0, 0.0
    for index in range(6):
        sharp = run.images.full(index)
        blurred = degrade.resample(sharp, upscaler.shrinkage(0.8))
        before += float((blurred - sharp).abs().mean())
        after += float((item.apply(sharp, 0.8, generator) - sharp).abs().mean())
    assert item.dimension == "sharpness"
    assert after < before
    again = _run(photographs, tmp_path, TINY_RECIPE).source.degradations[-1]  # read from the file
    assert torch.equal(again.apply(sharp, 0.5, generator), item.apply(sharp, 0.5, generator))
