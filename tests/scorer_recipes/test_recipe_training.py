"""The steps of backbone and heads: what they move, and that a run that stopped goes on bit for bit."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

import pytest
import torch
from recipe_runs import TINY_RECIPE, make_run, save_photographs

from iqaloss.scorers.factory import create_tiny
from iqaloss.scorers.mdiqa import MDIQA
from scorer_recipes.mdiqa_mobile.recipe import Recipe


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_photographs(tmp_path_factory.mktemp("photographs"))


def _trainer(photographs: Path, out: Path, recipe: Recipe = TINY_RECIPE):  # type: ignore[no-untyped-def]
    from scorer_recipes.mdiqa_mobile.engine import HeadTrainer
    from scorer_recipes.mdiqa_mobile.warmstart import initialize

    torch.manual_seed(0)
    scorer = create_tiny("mdiqa-mobile", frozen=False)
    initialize(scorer)  # type: ignore[arg-type]
    return HeadTrainer(scorer, make_run(photographs, out, recipe))  # type: ignore[arg-type]


def test_training_resumes_bit_for_bit(photographs: Path, tmp_path: Path) -> None:
    whole = _trainer(photographs, tmp_path / "whole")
    losses: list[dict[str, float]] = []
    whole.run(2, lambda step, terms: losses.append(terms))

    first = _trainer(photographs, tmp_path / "halved")
    first.run(1, lambda step, terms: None)
    second = _trainer(photographs, tmp_path / "halved")
    second.resume()
    resumed: list[dict[str, float]] = []
    second.run(2, lambda step, terms: resumed.append(terms))

    assert resumed == losses[1:]
    for mine, other in ((whole.scorer, second.scorer), (whole.finish(), second.finish())):
        for (name, a), b in zip(mine.state_dict().items(), other.state_dict().values()):
            assert torch.equal(a, b), name


def test_a_finished_training_gives_the_averaged_weights(photographs: Path, tmp_path: Path) -> None:
    trainer = _trainer(photographs, tmp_path)
    trainer.run(2, lambda step, terms: None)
    kept = {name: value.clone() for name, value in trainer.average.kept.items()}
    trained = {name: value.clone() for name, value in trainer.scorer.named_parameters()}
    finished = dict(trainer.finish().named_parameters())
    assert all(torch.equal(value, kept[name]) for name, value in finished.items())
    assert any(not torch.equal(value, trained[name]) for name, value in finished.items())


def test_training_moves_heads_and_keeps_the_backbone(photographs: Path, tmp_path: Path) -> None:
    trainer = _trainer(photographs, tmp_path)
    before = {name: value.clone() for name, value in trainer.scorer.state_dict().items()}
    terms = trainer.train_step()
    assert set(terms) == {"heads", "quiet"}
    terms = trainer.train_step()
    assert {"plcc", "curve"} <= set(terms)
    moved = {name for name, value in trainer.scorer.state_dict().items() if not torch.equal(value, before[name])}
    assert any(".heads." in name for name in moved)
    assert not any(".trunk." in name for name in moved)


def _backbone_trainer(photographs: Path, out: Path, recipe: Recipe = TINY_RECIPE):  # type: ignore[no-untyped-def]
    from scorer_recipes.mdiqa_mobile.backbone import BACKBONE, BackboneTrainer

    torch.manual_seed(0)
    scorer = create_tiny("mdiqa-mobile", frozen=False)
    trainer = BackboneTrainer(scorer, make_run(photographs, out, recipe))  # type: ignore[arg-type]
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
    inputs = torch.stack([trainer.run.images.full(index) for index in range(12)])
    errors = []
    for stage in (lambda: None, trainer.train):
        stage()
        with torch.no_grad():
            overall = trainer.net.overall(trainer.net.standard(inputs, contextlib.nullcontext))
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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_every_stage_runs_on_a_gpu(photographs: Path, tmp_path: Path) -> None:
    from scorer_recipes.mdiqa_mobile.backbone import train_backbone
    from scorer_recipes.mdiqa_mobile.engine import HeadTrainer
    from scorer_recipes.mdiqa_mobile.stages import refit, warm_start
    from scorer_recipes.mdiqa_mobile.warmstart import initialize, scale_pyramid

    recipe = dataclasses.replace(TINY_RECIPE, warm_epochs=2, warm_groups=16, overall_epochs=40)
    run = dataclasses.replace(make_run(photographs, tmp_path, recipe), device="cuda")
    scorer = create_tiny("mdiqa-mobile", frozen=False)
    assert isinstance(scorer, MDIQA)
    initialize(scorer)
    scorer.to(run.device)
    train_backbone(scorer, run)
    scale_pyramid(scorer, torch.stack([run.images.full(index) for index in range(12)]))
    warm_start(scorer, run)
    trainer = HeadTrainer(scorer, run)
    trainer.run(recipe.steps, lambda step, terms: None)
    refit(trainer.finish(), run)
    assert {value.device.type for value in scorer.state_dict().values()} == {"cuda"}
