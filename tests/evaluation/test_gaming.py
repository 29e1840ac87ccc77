"""The gaming probe: what it measures, that a gamed loss is told from an honest one, and what it refuses."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from iqaloss.evaluation.panel import JUDGES, Panel
from iqaloss.evaluation.panel.measures import psnr_y
from iqaloss.evaluation.probes.gaming import networks, run, spec
from iqaloss.evaluation.probes.gaming.ascent import ascend
from iqaloss.evaluation.probes.gaming.measure import Row, as_saved, gaming_rate, gaming_ratio
from iqaloss.evaluation.probes.gaming.report import GamingReport
from iqaloss.evaluation.probes.gaming.sheet import draw_sheet
from iqaloss.evaluation.probes.gaming.subject import Subject, subject_of
from iqaloss.evaluation.probes.pictures import read_pictures
from iqaloss.losses.mdiqa_loss import MDIQALoss
from iqaloss.losses.registry import LossSpec
from iqaloss.scorers.factory import create_tiny

SIDE = 64
TINY = run.Sizes(
    pictures=2, training=2, side=SIDE, ascent_steps=4, fitted=1, fit_steps=2, train_steps=2, tune_steps=2,
    multiples=(1.0, 10.0), network=(8, 1),
)  # fmt: skip


def edges(images: Tensor) -> Tensor:
    """Mean absolute difference of neighbours: detail."""
    across, down = images.diff(dim=-1).abs(), images.diff(dim=-2).abs()
    return across.mean(dim=(1, 2, 3)) + down.mean(dim=(1, 2, 3))


def coarse(pred: Tensor, target: Tensor) -> Tensor:
    """A distance of blurred pictures, in place of a network's."""
    return (torch.nn.functional.avg_pool2d(pred - target, 3, stride=1)).abs().mean(dim=(1, 2, 3))


def fine(pred: Tensor, target: Tensor) -> Tensor:
    """A distance of details."""
    return (pred - target).diff(dim=-1).abs().mean(dim=(1, 2, 3))


@pytest.fixture
def panel() -> Panel:
    """Judges without weights under the names of three of the panel's."""
    measures = {"psnr_y": psnr_y, "dists": coarse, "vit": fine}
    return Panel(tuple(JUDGES[name] for name in measures), {"lpips_vgg": "no weights here"}, measures)


@pytest.fixture(scope="module")
def photographs() -> list[Tensor]:
    """Coarse colour with fine grain, which bicubic upscales lose."""
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(4, 3, 10, 12, generator=generator)
    smooth = torch.nn.functional.interpolate(low, (SIDE, SIDE + 16), mode="bicubic").clamp(0.1, 0.9)
    return list(as_saved(smooth + 0.06 * torch.randn(smooth.shape, generator=generator)))


def checkerboard(side: int = SIDE) -> Tensor:
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return 1.0 - 2.0 * ((x + y) % 2).float()


def rewards_checkerboards(pred: Tensor, target: Tensor) -> Tensor:
    """Falls with detail as an honest loss does, and much more with a pattern that no photograph has."""
    board = (pred.mean(dim=1) * checkerboard(pred.shape[-1])).mean(dim=(1, 2))
    return 1.0 - edges(pred) - 5.0 * board


def rewards_detail(pred: Tensor, target: Tensor) -> Tensor:
    return 1.0 - edges(pred)


def subject(loss: Callable[[Tensor, Tensor], Tensor], weight: float = 0.1) -> Subject:
    return Subject(loss.__name__, weight, loss)


# --- the whole probe ---


@pytest.fixture(scope="module")
def tiny_report(photographs: list[Tensor]) -> GamingReport:
    measures = {"psnr_y": psnr_y, "dists": coarse, "vit": fine}
    panel = Panel(tuple(JUDGES[name] for name in measures), {"lpips_vgg": "no weights here"}, measures)
    scorer = create_tiny("mdiqa-mobile").freeze()
    own = subject_of(LossSpec.read({"type": "MDIQALoss", "mode": "both"}), "both", scorer=scorer)
    plain = subject_of(LossSpec.read({"type": "MDIQALoss"}), "plain", scorer=scorer)
    return run.probe_loss(own, plain, photographs, panel, TINY, seed=3)


def test_every_probe_has_a_row_with_every_judge(tiny_report: GamingReport) -> None:
    assert [row.name for row in tiny_report.rows] == [
        "ascent from photographs",
        "ascent from bicubic upscales",
        "network fitted to a picture, 0.3 x loss",
        "network, L1 alone",
        "network, L1 + 0.03 x loss",
        "network, L1 + 0.3 x loss",
    ]
    for row in tiny_report.rows:
        assert set(row.panel) == set(row.added) == {"psnr_y", "dists", "vit"}
        assert all(map(math.isfinite, (row.score, row.gained, row.distance_added, row.pattern, row.variation)))
    assert [row.pictures for row in tiny_report.rows] == [2, 2, 1, 2, 2, 2]
    assert tiny_report.gradient_norm > 0


def test_the_report_is_json_and_a_page(tiny_report: GamingReport) -> None:
    again = json.loads(json.dumps(tiny_report.to_dict(), allow_nan=False))
    assert set(again) == set(vars(tiny_report)) - {"pictures"}
    assert again["sizes"]["multiples"] == [1.0, 10.0]
    page = tiny_report.to_text()
    assert "Gaming ratio:" in page
    assert "Not on the panel: LPIPS-VGG (no weights here)." in page
    lines = [line for line in page.splitlines() if line.startswith("|")]
    assert len(lines) == 4 + len(tiny_report.rows)
    assert len({line.count("|") for line in lines}) == 1


def test_the_contact_sheet_has_a_column_for_each_version(tiny_report: GamingReport, tmp_path: Path) -> None:
    from PIL import Image

    assert set(tiny_report.pictures) == {"photographs", "bicubic upscales", *(row.name for row in tiny_report.rows)}
    with Image.open(draw_sheet(tiny_report.pictures, tmp_path / "new" / "sheet.png")) as sheet:
        assert sheet.width > 190 * len(tiny_report.pictures)
        assert np.asarray(sheet).std() > 5


def test_the_same_seed_gives_the_same_report_and_another_one_does_not(panel: Panel, photographs: list[Tensor]) -> None:
    def shifts(pred: Tensor, target: Tensor) -> Tensor:
        return rewards_detail(pred, target) * (1 + torch.rand(()))  # as a loss with random versions draws

    def probed(seed: int) -> str:
        return run.probe_loss(subject(shifts), None, photographs, panel, TINY, seed=seed).to_text()

    assert probed(1) == probed(1)
    assert probed(1) != probed(2)


# --- the ratio ---


def test_a_loss_that_rewards_checkerboards_is_easier_to_game(panel: Panel, photographs: list[Tensor]) -> None:
    found = run.probe_loss(
        subject(rewards_checkerboards), subject(rewards_detail), photographs, panel, replace(TINY, ascent_steps=8)
    )
    assert found.ratio is not None
    assert found.ratio > 1.5
    assert found.rows[0].gained > 0
    assert found.rows[0].pattern > 10


def test_a_loss_beside_itself_has_a_ratio_of_one_whatever_its_size(panel: Panel, photographs: list[Tensor]) -> None:
    def smaller(pred: Tensor, target: Tensor) -> Tensor:
        return 0.1 * rewards_detail(pred, target)

    assert run.probe_loss(subject(rewards_detail), None, photographs, panel, TINY).ratio == 1.0
    found = run.probe_loss(subject(smaller), subject(rewards_detail), photographs, panel, TINY)
    assert found.ratio == pytest.approx(1.0, rel=1e-2)


def test_a_distance_from_the_photograph_has_nothing_to_gain_there(panel: Panel, photographs: list[Tensor]) -> None:
    found = run.probe_loss(subject(coarse), subject(rewards_detail), photographs, panel, TINY)
    assert found.ratio == 0.0
    assert found.rows[0].panel["psnr_y"] == pytest.approx(100.0)


def test_a_loss_that_prefers_upscales_is_infinitely_easy_to_game(panel: Panel, photographs: list[Tensor]) -> None:
    def rewards_blur(pred: Tensor, target: Tensor) -> Tensor:
        return edges(pred)

    found = run.probe_loss(subject(rewards_blur), subject(rewards_detail), photographs, panel, TINY)
    assert found.ratio == math.inf
    assert "the loss prefers upscales" in found.to_text()
    assert found.to_dict()["ratio"] is None


def test_the_rate_is_share_over_distance() -> None:
    row = Row("a", "b", 1, 0.9, 0.2, 0.6, {}, {}, 0.3, None, 0.0, 0.0)
    assert gaming_rate(row) == pytest.approx(2.0)
    assert gaming_rate(replace(row, gained=-0.1)) == 0.0
    assert gaming_rate(replace(row, distance_added=0.0)) == math.inf
    assert gaming_ratio(row, replace(row, gained=0.0)) is None


# --- its pieces ---


def test_a_step_is_equally_long_for_every_image_and_loss() -> None:
    start = torch.full((2, 3, 8, 8), 0.5)
    scale = torch.tensor([1.0, 100.0])

    def loss(pred: Tensor, target: Tensor) -> Tensor:
        return scale * (pred * torch.linspace(-1, 1, 8)).mean(dim=(1, 2, 3))

    moved = ascend(Subject("s", 1.0, loss), start, start, steps=3, step=0.01) - start
    torch.testing.assert_close(moved[0], moved[1])
    assert moved.square().mean().sqrt().item() == pytest.approx(0.03, rel=1e-4)


def test_random_losses_are_drawn_the_same_way_each_time() -> None:
    def noisy(pred: Tensor, target: Tensor) -> Tensor:
        return pred.mean(dim=(1, 2, 3)) + torch.rand(len(pred))

    state = torch.get_rng_state()
    images = torch.zeros(2, 3, 8, 8)
    first, second = (Subject("s", 1.0, noisy).score(images, images) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(state, torch.get_rng_state())


def test_a_network_begins_as_bicubic_and_learns() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(2, 3, 64, 64, generator=generator)
    network = networks.seeded(0, 8, 1)
    torch.testing.assert_close(networks.restore(network, target), networks.enlarge(networks.shrink(target)))
    plan = networks.Training(20, rate=1e-2, batch=2, side=64)
    before = networks.pixel_loss(networks.restore(network, target), target, target)
    networks.train(network, networks.pixel_loss, networks.patches(list(target), plan, 0), plan)
    assert networks.pixel_loss(networks.restore(network, target), target, target) < before


def test_measured_photographs_are_not_learned_from() -> None:
    pictures = [torch.full((3, SIDE, SIDE), index / 255) for index in range(7)]
    shown, learned = run.divide(pictures, TINY)
    assert len(shown) == 2
    assert len(learned) == TINY.training
    assert not {float(image.mean()) for image in shown} & {float(as_saved(image).mean()) for image in learned}


# --- what a person types ---


@pytest.mark.parametrize(
    ("text", "loss", "scorer", "options"),
    [
        ("mdiqa-mobile", "MDIQALoss", "mdiqa-mobile", {}),
        ("IQALoss", "IQALoss", "mdiqa-mobile", {}),
        ("MDIQALoss()", "MDIQALoss", "mdiqa-mobile", {}),
        (" MDIQALoss( mode = fr ) ", "MDIQALoss", "mdiqa-mobile", {"mode": "fr"}),
        ("MDIQALoss(mode='fr', crop=None)", "MDIQALoss", "mdiqa-mobile", {"mode": "fr", "crop": None}),
        (
            "MDIQALoss(weights={sharpness: 2, noisiness: 0.5}, clamp=clip)", "MDIQALoss", "mdiqa-mobile",
            {"weights": {"sharpness": 2, "noisiness": 0.5}, "clamp": "clip"},
        ),
        ("IQALoss(scorer=lar-iqa, crop=64)", "IQALoss", "lar-iqa", {"crop": 64}),
    ],
)  # fmt: skip
def test_a_loss_is_read_as_it_is_typed(text: str, loss: str, scorer: str, options: dict[str, object]) -> None:
    found = spec.read_loss(text)
    assert (found.loss.__name__, found.scorer.name, dict(found.options)) == (loss, scorer, options)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("MDIQALos", "did you mean 'MDIQALoss'"),
        ("MDIQALos(mode=fr)", "did you mean 'MDIQALoss'"),
        ("mdiqa-mobil", "did you mean 'mdiqa-mobile'"),
        ("MDIQALoss(mod=fr)", "did you mean 'mode'"),
        ("MDIQALoss(fr)", "options are written as name=value, got 'fr'"),
        ("MDIQALoss(mode=fr", "An expression looks like"),
        ("MDIQALoss(weights={sharpness: 2)", "is no YAML"),
        ("MDIQALoss(weights={sharpness: 2, sharpness: 3})", "the key 'sharpness' is there twice"),
        ("MDIQALoss(mode=fr, mode=nr)", "'mode' is given twice"),
        ("", "An expression looks like"),
    ],
)
def test_what_is_no_loss_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        spec.read_loss(text)


def test_a_recipes_loss_is_read(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yml"
    recipe.write_text("train: {pixel_opt: {type: L1Loss}, steer: {type: MDIQALoss, mode: fr, loss_weight: 0.5}}")
    found = spec.read_loss(str(recipe))
    assert found.loss is MDIQALoss
    assert spec.recommended_weight(found) == 0.5
    recipe.write_text("train: {pixel_opt: {type: L1Loss}}")
    with pytest.raises(ValueError, match="; it has: none"):
        spec.read_loss(str(recipe))
    with pytest.raises(FileNotFoundError, match="no such recipe"):
        spec.read_loss(str(tmp_path / "none.yml"))


RECIPES = sorted(path for path in Path("restoration_recipes").glob("*.yml") if "plain" not in path.stem)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_the_shipped_recipes_can_be_probed(recipe: Path) -> None:
    assert spec.recommended_weight(spec.read_loss(str(recipe))) > 0


def test_recommended_weights_are_those_of_the_recipes() -> None:
    for mode, weight in spec.RECOMMENDED.items():
        found = spec.read_loss(f"restoration_recipes/msrresnet_x4_{mode}.yml")
        assert (spec.mode_of(found), spec.recommended_weight(found)) == (mode, weight)


def test_weights_that_follow_a_schedule_are_those_of_its_end() -> None:
    found = spec.read_loss("MDIQALoss(loss_weight={0: 0, 100: 0.2}, weights={sharpness: {0: 0, 100: 4}})")
    assert spec.recommended_weight(found) == 0.2
    scorer, images = create_tiny("mdiqa-mobile").freeze(), torch.rand(2, 3, SIDE, SIDE)
    expected = subject_of(spec.read_loss("MDIQALoss(weights={sharpness: 4})"), "end", scorer=scorer)
    got = subject_of(found, "schedule", scorer=scorer)
    torch.testing.assert_close(got.score(images, images), expected.score(images, images))


def test_the_plain_loss_keeps_class_and_scorer() -> None:
    plain = spec.plain(spec.read_loss("IQALoss(scorer=lar-iqa, mode=fr, crop=64)"))
    assert (plain.loss.__name__, plain.scorer.name, plain.options) == ("IQALoss", "lar-iqa", {"mode": "nr"})
    assert spec.is_plain(plain)
    assert not spec.is_plain(spec.read_loss("MDIQALoss(crop=64)"))


# --- what is wrong is said ---


def test_too_little_is_refused(panel: Panel, photographs: list[Tensor]) -> None:
    one = subject(rewards_detail)
    with pytest.raises(ValueError, match="at least two photographs"):
        run.probe_loss(one, None, photographs[:1], panel, TINY)
    with pytest.raises(ValueError, match="multiple of 32 and no larger than the photographs, got 96"):
        run.probe_loss(one, None, photographs, panel, replace(TINY, side=96))
    with pytest.raises(ValueError, match="no detail to restore"):
        run.probe_loss(one, None, [torch.full((3, SIDE, SIDE), 0.5)] * 2, panel, TINY)
    blind = Panel((JUDGES["psnr_y"],), {"dists": "no weights"}, {"psnr_y": psnr_y})
    with pytest.raises(ValueError, match=r"nothing can be called gamed \(dists: no weights"):
        run.probe_loss(one, None, photographs, blind, TINY)


def test_judges_that_taught_the_scorer_have_no_say(photographs: list[Tensor]) -> None:
    measures = {"dists": coarse, "vit": fine}
    panel = Panel(tuple(JUDGES[name] for name in measures), {}, measures)
    taught = replace(subject(rewards_detail), taught_by=("vgg",))
    found = run.probe_loss(taught, None, photographs, panel, TINY)
    assert [*found.scale.distances] == ["vit"]
    assert "No say, for they taught the scorer or see no distance here: DISTS." in found.to_text()
    alone = Panel((JUDGES["dists"],), {}, {"dists": coarse})
    with pytest.raises(ValueError, match=r"nothing can be called gamed \(DISTS taught the scorer\)"):
        run.probe_loss(taught, None, photographs, alone, TINY)


def test_large_photographs_are_cut_to_their_middle(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (90, 40)).save(tmp_path / "wide.png")
    Image.new("RGB", (90, 20)).save(tmp_path / "flat.png")
    assert [tuple(image.shape) for image in read_pictures(tmp_path, side=32, most=64)] == [(3, 40, 64)]
