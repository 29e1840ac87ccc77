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
from scorer_recipes.mdiqa_mobile.data import names_of, read_rated, some_of
from scorer_recipes.mdiqa_mobile.looks import Looks, measures_of
from scorer_recipes.mdiqa_mobile.opponents import Opponent, Opponents
from scorer_recipes.mdiqa_mobile.opposed import OpposedTrainer
from scorer_recipes.mdiqa_mobile.opposition import Opposition, along, parameter_groups, root, wanted_falls
from scorer_recipes.mdiqa_mobile.recipe import Recipe
from scorer_recipes.mdiqa_mobile.report import shipped
from scorer_recipes.mdiqa_mobile.stepping import ahead

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


def test_what_is_exported_is_the_average_and_the_training_keeps_its_own(photographs: Path, tmp_path: Path) -> None:
    trainer = _trainer(photographs, tmp_path)
    trainer.train_step()
    trainer.train_step()
    current = {name: value.clone() for name, value in trainer.scorer.named_parameters()}
    averaged = trainer.averaged()
    for name, value in averaged.named_parameters():
        assert torch.equal(value, trainer.average.kept[name]), name
        assert torch.equal(dict(trainer.scorer.named_parameters())[name], current[name]), name


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

    drawn = [float(opponents.draw(originals, brightness, _unasked, generator)[0].mean()) for _ in range(7)]
    assert drawn[:6] == sorted(drawn[:6])
    assert drawn[5] > drawn[0]
    assert drawn[6] == drawn[0]
    assert opponents.ages == [1]


def test_one_that_pleases_the_judges_comes_nearer_to_the_originals() -> None:
    generator = torch.Generator().manual_seed(0)
    opponents = Opponents([seeded(1, 4, 1)], 1, generator, [Opponent(0, 0.0, 100, 1e-3, looks=5.0)])
    opponents.ages = [0]
    originals = torch.rand(2, 3, 32, 32, generator=generator)

    def far(versions: torch.Tensor) -> torch.Tensor:  # as if the judges looked for the mirrored originals
        return (versions - originals.flip(3)).square().mean(dim=(2, 3, 4))

    drawn = [
        opponents.draw(originals, lambda images: images.new_zeros(len(images), 1), far, generator)[0] for _ in range(20)
    ]
    distances = [float(far(one[None]).mean()) for one in drawn]
    assert distances[19] < distances[10] < distances[0]


def _unasked(versions: torch.Tensor) -> torch.Tensor:
    raise AssertionError(f"nobody here pleases the judges, and they were shown {len(versions)} versions")


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
    seen.clear()
    far = torch.stack([originals + 0.1 * number for number in (1, 2, 3, 4)])
    wanted = torch.tensor([[1.0], [(2 + 4) / 2], [(3 + 9) / 2], [(4 + 16) / 2]]).expand(4, 3)
    assert torch.allclose(looks(far, originals), wanted, atol=1e-4)
    assert seen == [1, 1, 1]
    seen.clear()
    assert torch.allclose(looks(far[:1], originals), wanted[:1], atol=1e-4)
    assert seen == [3]


def test_a_judge_that_cannot_be_had_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BUILDERS, "dists", lambda folder, device: (_ for _ in ()).throw(OSError("no network")))
    monkeypatch.setitem(BUILDERS, "lpips_vgg", lambda folder, device: _absolute)
    with pytest.raises(ValueError, match=r"dists is not on the panel: .*no network"):
        measures_of(tmp_path, "cpu")


@pytest.mark.parametrize("steps", [1, 4])
def test_a_way_along_a_gradient_is_half_a_level_to_eight_long(steps: int) -> None:
    images, way = torch.full((64, 3, 8, 8), 0.5), torch.randn(64, 3, 8, 8)
    moved = along(images, lambda shown: (shown * way).sum(), torch.Generator().manual_seed(0), steps)
    levels = 255 * (moved - images).square().mean(dim=(1, 2, 3)).sqrt()
    assert 0.5 - 1e-3 < levels.min() < 1.0
    assert 7.0 < levels.max() < 8.0 + 1e-3
    assert ((moved - images) * way).sum() > 0


def test_blank_pictures_whose_distance_rounds_below_nothing_have_a_finite_root() -> None:
    distance = torch.tensor([-0.02, 0.0], requires_grad=True)
    root(distance).sum().backward()
    assert torch.isfinite(root(distance)).all()
    assert torch.isfinite(distance.grad).all()  # type: ignore[arg-type]


def test_what_a_step_sees_does_not_depend_on_who_makes_it(photographs: Path, tmp_path: Path) -> None:
    pictures = _trainer(photographs, tmp_path).pictures
    alone, together = (list(ahead(pictures, range(1, 4), workers)) for workers in (0, 2))
    assert len(alone) == 3
    for mine, other in zip(alone, together):
        assert all(torch.equal(a, b) for a, b in zip(mine, other))
    assert not torch.equal(alone[0].plain, alone[1].plain)


def test_some_photographs_are_chosen_by_their_names(photographs: Path) -> None:
    rated = read_rated(photographs)
    rows = list(range(12))
    some, more = (names_of(some_of(rated, rows, count)) for count in (8, 10))
    assert len(some) == 8
    assert set(some) < set(more)
    assert some == [name for name in names_of(rated) if name in set(some)]
    with pytest.raises(ValueError, match="13 photographs were asked for; from 8 to 12 can be had"):
        some_of(rated, rows, 13)


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
    elsewhere = [str(tmp_path / "averaged.safetensors"), "--data", str(photographs), "--out", str(tmp_path / "settled")]
    assert main(["settle", *elsewhere]) == 0
    settled = create_scorer("mdiqa-mobile", tmp_path / "settled" / "mdiqa-mobile.safetensors")
    for name, value in scorer.state_dict().items():
        assert torch.equal(value, settled.state_dict()[name]), name
