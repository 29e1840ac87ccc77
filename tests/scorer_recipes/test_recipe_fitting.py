"""The fits on stored statistics, and the objectives of all stages."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from recipe_runs import TINY_RECIPE, make_run, save_photographs

from iqaloss.scorers.factory import create_tiny
from iqaloss.scorers.mdiqa import MDIQA
from scorer_recipes.mdiqa_mobile import objectives


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_photographs(tmp_path_factory.mktemp("photographs"))


def test_warm_start_is_stored_and_repeatable(photographs: Path, tmp_path: Path) -> None:
    from scorer_recipes.mdiqa_mobile.stages import warm_start
    from scorer_recipes.mdiqa_mobile.warmstart import initialize

    recipe = dataclasses.replace(TINY_RECIPE, warm_epochs=6, warm_groups=8, overall_epochs=40)
    results = []
    for _ in range(2):  # the second time statistics are read, not computed
        torch.manual_seed(0)
        scorer = create_tiny("mdiqa-mobile", frozen=False)
        initialize(scorer)  # type: ignore[arg-type]
        run = make_run(photographs, tmp_path, recipe)
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
    run = make_run(photographs, tmp_path)
    inputs = torch.stack([run.images.full(index) for index in range(8)])
    before = observe(scorer, inputs, bf16=False)
    known = scorer.statistics.dimension(before.standard)  # type: ignore[union-attr]
    updated = weigh_heads(scorer, before, 0.25)
    after = observe(scorer, inputs, bf16=False)
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
    run = make_run(photographs, tmp_path, dataclasses.replace(TINY_RECIPE, warm_groups=16, overall_epochs=2000))
    inputs = torch.stack([run.images.full(index) for index in range(12)])
    errors = []
    for stage in (lambda: None, lambda: refit(scorer, run)):
        stage()
        with torch.no_grad():
            errors.append(float((scorer(inputs).score - run.scores[:12]).square().mean()))
    assert errors[1] < 0.5 * errors[0]


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


def test_objectives_are_zero_at_their_goal_and_positive_elsewhere() -> None:
    scores = torch.tensor([0.1, 0.4, 0.6, 0.9])
    assert float(objectives.score_loss(2 * scores + 1, scores)["plcc"]) == pytest.approx(0.0, abs=1e-6)
    assert float(objectives.score_loss(-scores, scores)["plcc"]) == pytest.approx(1.0, abs=1e-6)
    assert float(objectives.ranking_loss(scores, scores)) == 0.0
    assert float(objectives.ranking_loss(scores.flip(0), scores)) > 0.1
    assert float(objectives.ranking_loss(scores, torch.full((4,), 0.5))) == 0.0


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
