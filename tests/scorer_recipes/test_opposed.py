"""Training against opponents: what it asks of the scores, what its networks do, and that a stopped run goes on."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from functools import partial
from pathlib import Path

import pytest
import torch
from recipe_runs import make_run, save_photographs
from torch import nn

from iqaloss.evaluation.panel.measures import BUILDERS
from iqaloss.evaluation.probes.gaming.networks import seeded
from iqaloss.scorers.checkpoints import read_metadata
from iqaloss.scorers.factory import create_scorer, create_tiny
from iqaloss.scorers.mdiqa import MDIQA
from scorer_recipes.mdiqa_mobile import oppose, upscaler
from scorer_recipes.mdiqa_mobile.commands import main
from scorer_recipes.mdiqa_mobile.looks import Looks, measures_of
from scorer_recipes.mdiqa_mobile.opponents import Opponent, Opponents
from scorer_recipes.mdiqa_mobile.opposed import OpposedTrainer
from scorer_recipes.mdiqa_mobile.opposition import Opposition, along, parameter_groups, wanted_falls
from scorer_recipes.mdiqa_mobile.recipe import Recipe
from scorer_recipes.mdiqa_mobile.report import shipped

PLAN = Opposition(steps=4, batch=2, sizes=(64,), wholes=2, whole_sides=(48,), crop_sizes=(48,), warmup=1)
NAMES = ("brightness", "noisiness", "sharpness")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_photographs(tmp_path_factory.mktemp("photographs"))


def _trainer(photographs: Path, out: Path) -> OpposedTrainer:
    torch.manual_seed(0)
    teacher = create_tiny("mdiqa-mobile", frozen=False)
    assert isinstance(teacher, MDIQA)
    networks = [seeded(seed, 4, 1).requires_grad_(False) for seed in (1, 2)]
    run = make_run(photographs, out)
    return OpposedTrainer(teacher.copy(), teacher.freeze(), run, PLAN, networks, [_absolute, _squared])


def _absolute(versions: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
    return (versions - original).abs().mean(dim=(1, 2, 3))


def _squared(versions: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
    return (versions - original).square().mean(dim=(1, 2, 3))


def test_a_stopped_training_against_opponents_goes_on_bit_for_bit(photographs: Path, tmp_path: Path) -> None:
    whole = _trainer(photographs, tmp_path / "whole")
    losses = [whole.train_step() for _ in range(2)]

    first = _trainer(photographs, tmp_path / "halved")
    first.train_step()
    first.save()
    second = _trainer(photographs, tmp_path / "halved")
    second.resume()

    assert second.train_step() == losses[1]
    for mine, other in zip(whole.scorer.state_dict().values(), second.scorer.state_dict().values()):
        assert torch.equal(mine, other)
    for mine, other in zip(whole.opponents.networks, second.opponents.networks):
        assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), other.parameters()))


def test_what_is_exported_lies_between_the_average_and_the_start(photographs: Path, tmp_path: Path) -> None:
    trainer = _trainer(photographs, tmp_path)
    start = trainer.scorer.copy()
    assert isinstance(start, MDIQA)
    trainer.train_step()
    kept = {name: value.clone() for name, value in trainer.average.kept.items()}
    before = dict(start.named_parameters())
    for name, value in trainer.finish(start, 0.75).named_parameters():
        wanted = 0.75 * kept[name] + 0.25 * before[name]
        assert torch.allclose(value, wanted, atol=1e-6), name


def test_other_settings_do_not_continue_a_training(photographs: Path, tmp_path: Path) -> None:
    trainer = _trainer(photographs, tmp_path)
    trainer.save()
    trainer.plan = dataclasses.replace(PLAN, slope=1.0)
    with pytest.raises(ValueError, match=r"was made with the recipe .*slope"):
        trainer.resume()


def test_a_step_teaches_backbone_and_heads_and_leaves_teacher_and_starts(photographs: Path, tmp_path: Path) -> None:
    trainer = _trainer(photographs, tmp_path)
    held = [*trainer.teacher.state_dict().values()]
    held += [value for network in trainer.opponents.starts for value in network.state_dict().values()]
    before, mine = [value.clone() for value in held], {k: v.clone() for k, v in trainer.scorer.state_dict().items()}
    trainer.train_step()
    assert all(torch.equal(a, b) for a, b in zip(before, held))
    moved = {name for name, value in trainer.scorer.state_dict().items() if not torch.equal(value, mine[name])}
    assert any(".trunk." in name for name in moved)
    assert any(".heads." in name for name in moved)
    assert not any("running_" in name for name in moved)


def test_every_weight_but_a_batch_norms_is_trained_once() -> None:
    scorer = create_tiny("mdiqa-mobile", frozen=False)
    groups = parameter_groups(scorer, PLAN)  # type: ignore[arg-type]
    found = [id(parameter) for group in groups for parameter in group["params"]]
    norms = {
        id(parameter)
        for module in scorer.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        for parameter in module.parameters()
    }
    assert len(found) == len(set(found))
    assert set(found) == {id(parameter) for parameter in scorer.parameters()} - norms


def test_an_opponent_pleases_the_scorer_more_with_each_step_and_dies() -> None:
    generator = torch.Generator().manual_seed(0)
    start = seeded(1, 4, 1)
    opponents = Opponents([start], 1, generator, [Opponent(0, 3.0, 6, 1e-3)])
    opponents.ages = [0]
    originals = torch.rand(2, 3, 32, 32, generator=generator)

    def brightness(images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(1, 2, 3))[:, None]

    drawn = [float(opponents.draw(originals, brightness, generator)[0].mean()) for _ in range(7)]
    assert drawn[:6] == sorted(drawn[:6])
    assert drawn[5] > drawn[0]
    assert drawn[6] == drawn[0]
    assert opponents.ages == [1]


def test_sharpness_falls_by_distance_and_pattern_and_the_others_by_what_was_known() -> None:
    far, pattern = torch.tensor([[1.0], [0.2]]), torch.tensor([[0.0], [0.1]])
    seen = torch.tensor([[[0.9, 0.8, 0.7]], [[0.1, 0.6, 0.9]], [[0.1, 0.9, 0.9]]])
    low = torch.tensor([[[0.5, 0.5, 0.5]], [[0.4, 0.0, 0.0]], [[0.5, 0.0, 0.0]]])
    falls = wanted_falls(PLAN, NAMES, far, pattern, seen, low)
    expected = [[0.1, 0.5 * 0.2 + 0.1 * 0.4, 0.4], [0.0, 0.1 * 0.2, 0.4 * 0.3]]
    assert torch.allclose(falls[:, 0], torch.tensor(expected), atol=1e-6)


def test_what_l1_restores_is_at_one_for_each_judge_and_each_original_is_looked_at_once() -> None:
    originals = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    seen: list[int] = []

    def measure(versions: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
        seen.append(len(original))
        return _absolute(versions, original)

    looks = Looks([measure, _squared], originals + 0.1, originals)
    far = torch.stack([originals + 0.1, originals + 0.2])
    assert torch.allclose(looks(far, originals, 4), torch.tensor([[1.0], [2.0]]).expand(2, 3), atol=1e-5)
    assert torch.allclose(looks(far, originals, 1), torch.tensor([[1.0], [4.0]]).expand(2, 3), atol=1e-5)
    assert set(seen) == {1}


def test_a_judge_that_cannot_be_had_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BUILDERS, "dists", lambda folder, device: (_ for _ in ()).throw(OSError("no network")))
    monkeypatch.setitem(BUILDERS, "lpips_vgg", lambda folder, device: _absolute)
    with pytest.raises(ValueError, match=r"dists is not on the panel: .*no network"):
        measures_of(tmp_path, "cpu")


def test_a_way_along_a_gradient_is_half_a_level_to_six_long() -> None:
    images = torch.full((64, 3, 8, 8), 0.5)
    moved = along(images, torch.randn(64, 3, 8, 8), torch.Generator().manual_seed(0))
    levels = 255 * (moved - images).square().mean(dim=(1, 2, 3)).sqrt()
    assert 0.5 - 1e-3 < levels.min() < 1.0
    assert 5.0 < levels.max() < 6.0 + 1e-3


def test_a_pattern_costs_more_from_a_step_on() -> None:
    prices = [Opposition().price(step) for step in (0, 100, 150, 200, 300)]
    assert prices == pytest.approx([0.01, 0.01, 0.015, 0.02, 0.02])


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("basicsr") is None, reason="the demo's network is BasicSR's")
def test_the_command_goes_on_and_writes_a_scorer(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(oppose, "SMALL", dataclasses.replace(oppose.SMALL, steps=1, batch=1))
    monkeypatch.setattr(oppose, "Recipe", partial(Recipe, warm_groups=32, overall_epochs=1))
    monkeypatch.setattr(upscaler, "STEPS", 2)
    monkeypatch.setattr(oppose, "measures_of", lambda folder, device: [_absolute])
    words = ["oppose", str(shipped()), "--data", str(photographs), "--out", str(tmp_path)]
    words += ["--steps", "2", "--batch", "1"]
    seen = tmp_path / "observed.pt"
    seen.write_bytes(b"what another scorer saw")
    assert main([*words, "--stop", "1"]) == 0
    assert main(words) == 2
    assert "pass --resume to continue" in capsys.readouterr().err
    assert main([*words, "--resume"]) == 0
    assert seen.read_bytes() == b"what another scorer saw"
    written = tmp_path / "mdiqa-mobile.safetensors"
    scorer = create_scorer("mdiqa-mobile", written)
    assert json.loads(read_metadata(written)["opposition"])["step"] == 2
    assert 0.0 < scorer(torch.rand(1, 3, 64, 64)).score.item() < 1.0
