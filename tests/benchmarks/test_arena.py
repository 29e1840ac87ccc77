"""The arena: contestants learn from the same patches, stop and go on, and are compared at the same price."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from benchmarks.arena import report, sweep
from benchmarks.arena.__main__ import main
from benchmarks.arena.baselines import variation_gap
from benchmarks.arena.contestants import FOLDER, Contestant, contestants
from benchmarks.arena.curves import Sweep, at_price, draws, gain_at_price
from benchmarks.arena.networks import NETWORKS, load_network
from benchmarks.arena.photos import pairs_in, patches, read_originals
from benchmarks.arena.physical import OF_DIMENSION, PHYSICAL
from benchmarks.arena.running import Budget, Setting, train
from benchmarks.arena.steering import WEIGHTS, Cell, contestant, page
from benchmarks.arena.tasks import TASKS
from iqaloss.evaluation.panel import JUDGES
from iqaloss.evaluation.patterns import total_variation
from iqaloss.losses.registry import LossSpec


def picture(side: int, seed: int = 0) -> Tensor:
    """Smooth shapes with edges ``[3, side, side]`` in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 6, 6, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1)[0]
    smooth[:, side // 4 : side // 2, side // 4 :] = torch.rand(3, 1, 1, generator=generator)
    return smooth


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(3):
        pixels = (picture(72, seed) * 255).byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(folder / f"{seed}.png")
    return folder


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("start") / "rlfn.pth"
    torch.save({"params": NETWORKS["rlfn"].build().state_dict()}, file)
    return file


# --- networks, tasks, photographs ---

OF_BASICSR = ("msrresnet", "rrdbnet", "swinir")


@pytest.mark.parametrize("task", TASKS)
def test_every_network_of_a_task_returns_the_originals_size(task: str) -> None:
    originals = torch.rand(1, 6 if TASKS[task].paired else 3, 64, 64).mul(255).round() / 255
    inputs = TASKS[task].degrade(originals, torch.Generator().manual_seed(0))
    assert ((inputs * 255).round() / 255 - inputs).abs().max() < 1e-6
    for name in TASKS[task].networks:
        if name in OF_BASICSR and find_spec("basicsr") is None:
            continue
        assert NETWORKS[name].scale == TASKS[task].scale
        assert load_network(name)(inputs).shape == originals[:, :3].shape


def test_an_unknown_network_and_a_file_that_does_not_fit_are_named(tmp_path: Path, start: Path) -> None:
    with pytest.raises(ValueError, match="rlfn"):
        load_network("rlfm")
    with pytest.raises(ValueError, match=r"rlfn\.pth holds no weights of rlfn_same_size"):
        load_network("rlfn_same_size", start)


def test_pairs_are_split_by_scene(tmp_path: Path) -> None:
    for name in ("a_1", "a_2", "b_1", "c_1", "d_7", "d_8"):
        for kind, value in (("mean", 200), ("real", 100)):
            Image.new("RGB", (16, 16), (value,) * 3).save(tmp_path / f"{name}_{kind}.png")
    compare, learn = ([pair[0].stem[:3] for pair in pairs_in(tmp_path, which)] for which in (True, False))
    assert (compare, learn) == (["a_1", "a_2", "d_7", "d_8"], ["b_1", "c_1"])
    photos = read_originals(tmp_path, True, 16)
    assert [photo.shape for photo in photos] == [(6, 16, 16)] * 4
    assert [int(value) for value in photos[0][:, 0, 0]] == [200] * 3 + [100] * 3


def test_the_same_seed_gives_the_same_patches() -> None:
    photos = [(picture(40, seed) * 255).byte() for seed in range(2)]
    first, second, other = (patches(photos, 2, 16, seed) for seed in (1, 1, 2))
    for a, b, c in itertools.islice(zip(first, second, other), 3):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


# --- what is measured without a network ---


def noisy(images: Tensor) -> Tensor:
    return images + 0.05 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))


def soft(images: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(images, 5, 1, 2, count_include_pad=False)


MADE_WORSE = {
    "brightness": lambda images: 0.7 * images,
    "colorfulness": lambda images: 0.5 * images + 0.5 * images.mean(1, keepdim=True),
    "contrast": lambda images: 0.6 * (images - 0.5) + 0.5,
    "noisiness": noisy,
    "sharpness": soft,
}


def test_no_two_measures_of_a_picture_have_one_name() -> None:
    assert not {*PHYSICAL} & {*JUDGES, *OF_DIMENSION, "score", "pattern"}


@pytest.mark.parametrize("dimension", OF_DIMENSION)
def test_a_dimensions_measure_falls_with_its_degradation(dimension: str) -> None:
    images = torch.stack([picture(64, seed) for seed in range(2)])
    name, sign = OF_DIMENSION[dimension]
    before, after = (sign * PHYSICAL[name](some, images) for some in (images, MADE_WORSE[dimension](images)))
    assert (after < before).all()


def test_total_variation_rises_with_noise_and_its_gap_is_zero_for_the_target() -> None:
    images = picture(32)[None]
    assert total_variation(noisy(images)) > total_variation(images)
    assert variation_gap(images, images) == 0


# --- contestants ---


def test_every_contestant_can_be_read_and_ours_are_losses_that_recipes_can_say() -> None:
    for each in contestants().values():
        assert each.weights == tuple(sorted(each.weights))
        if each.loss["kind"] == "iqaloss":
            LossSpec.read({key: value for key, value in each.loss.items() if key != "kind"}).check()
        if each.loss["kind"] == "judge":
            assert JUDGES[each.loss["judge"]].family == each.family


def test_a_contestant_with_an_unknown_kind_or_key_is_refused(tmp_path: Path) -> None:
    text = (FOLDER / "l1.yml").read_text()
    file = tmp_path / "mine.yml"
    file.write_text(text.replace("kind: none", "kind: nonn"))
    with pytest.raises(ValueError, match=r"mine\.yml.*none"):
        Contestant.read(file)
    file.write_text(text.replace("family:", "familly:"))
    with pytest.raises(ValueError, match=r"mine\.yml"):
        Contestant.read(file)


# --- curves ---


def made(psnr: list[float], judge: list[float]) -> Sweep:
    generator = np.random.default_rng(0)
    noise = generator.normal(0, 0.01, (1, 2, 5))
    values = {name: np.array(each)[:, None, None] + noise for name, each in (("psnr_y", psnr), ("dists", judge))}
    return Sweep(tuple(float(index) for index in range(len(psnr))), values)


def test_a_value_is_read_where_the_curve_first_falls_to_the_price() -> None:
    price, judge = np.array([30.0, 29.8, 29.0, 29.5]), np.array([0.4, 0.3, 0.1, 0.9])
    assert at_price(price, judge, 29.4) == pytest.approx(0.2)
    assert np.isnan(at_price(price, judge, 28.0))


def test_a_gain_is_the_difference_at_the_same_price_and_its_interval_is_paired() -> None:
    alone, better = made([30.0], [0.4]), made([30.0, 29.0], [0.4, 0.2])
    found = gain_at_price(better, alone, "dists", 0.5, draws(2, 5, 50))
    assert found.value == pytest.approx(-0.1)
    assert found.low == pytest.approx(-0.1) == found.high  # the pictures' scatter is in both and cancels
    assert found.sure
    assert gain_at_price(better, better, "dists", 0.5, draws(2, 5, 50)).value == 0
    assert not gain_at_price(better, alone, "dists", 2.0, draws(2, 5, 50)).sure


def test_a_judge_of_the_losss_family_and_one_that_taught_its_scorer_stand_in_brackets() -> None:
    who = contestants()
    assert not report.independent(who["lpips_vgg"], "dists")
    assert report.independent(who["lpips_vgg"], "lpips_alex")
    taught = {judge for judge in JUDGES if not report.independent(who["mdiqa_nr"], judge)}
    assert taught == {"lpips_vgg", "dists"}
    other = dataclasses.replace(who["mdiqa_nr"], loss={**who["mdiqa_nr"].loss, "scorer": {"name": "sr-iqa"}})
    assert all(report.independent(other, judge) for judge in JUDGES)


# --- a run ---


def run_arena(monkeypatch: pytest.MonkeyPatch, photos: Path, start: Path, out: Path, *more: str) -> str:
    given = ["--start", str(start), "--photos", str(photos), "--originals", str(photos), "--out", str(out)]
    sizes = ["--steps", "2", "--batch", "1", "--patch", "64", "--crops", "2", "--side", "64"]
    monkeypatch.setattr(sys, "argv", ["arena", *given, *sizes, "--only", "mdiqa_nr", "variation", *more])
    monkeypatch.setenv("IQALOSS_PANEL", "")
    main()
    return (out / "x4" / "arena.md").read_text()


def test_a_run_leaves_a_page_and_goes_on_without_training_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, photos: Path, start: Path
) -> None:
    from iqaloss.evaluation import panel

    load = panel.load_panel
    monkeypatch.setattr("benchmarks.arena.__main__.load_panel", lambda folder, device: load(["psnr_y"], folder, device))
    text = run_arena(monkeypatch, photos, start, tmp_path, "--seeds", "1", "2")
    assert "| MDIQALoss, NR | 0.03 |" in text
    assert "2 seeds" in text
    assert (tmp_path / "x4" / "arena.png").stat().st_size > 0
    with Image.open(tmp_path / "x4" / "arena.jpg") as sheet:
        assert sheet.height > 4 * 200  # original, L1 and two contestants
    assert len(list((tmp_path / "x4" / "runs").rglob("*.json"))) == 2 * (1 + 3 + 3)

    def never(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(sweep, "train", never)
    assert run_arena(monkeypatch, photos, start, tmp_path, "--seeds", "1", "2").split("##")[1:] == text.split("##")[1:]
    with pytest.raises(AssertionError, match="trained again"):
        run_arena(monkeypatch, photos, start, tmp_path, "--seeds", "1", "2", "--rate", "0.5")


def test_contestants_differ_by_their_loss_alone(photos: Path, start: Path) -> None:
    images = [(picture(72, seed) * 255).byte() for seed in range(2)]
    budget = Budget(steps=2, batch=1, patch=64)
    setting = Setting("x4", "rlfn", start, budget, images, torch.stack([picture(64)]))
    distance = lambda pred, target: 0 * pred.mean()  # noqa: E731
    networks = [train(setting, each, 1.0, 3)[0] for each in (None, distance)]
    for one, other in zip(*(network.state_dict().values() for network in networks)):
        assert torch.equal(one, other)


# --- steering ---


def test_a_dimension_steers_when_every_step_of_every_seed_goes_the_wanted_way() -> None:
    originals = {name: np.full(4, 0.5) for name in PHYSICAL}
    rising = np.linspace(0.1, 0.4, len(WEIGHTS))[:, None, None] + np.zeros((1, 3, 4))
    values = {name: rising for name in (*PHYSICAL, *OF_DIMENSION, "psnr_y", "pattern")}
    cells = [Cell(values, originals, dimension, mode) for mode in ("nr", "fr") for dimension in OF_DIMENSION]
    steers = {(cell.mode, cell.dimension): cell.steers() for cell in cells}
    assert steers["nr", "sharpness"]
    assert not steers["nr", "noisiness"]  # more noise is not less
    assert steers["fr", "noisiness"]  # towards the original's
    text = page("command", ["note"], cells)
    assert "| sharpness | Crete sharpness | 0.10000 |" in text


def test_weight_one_is_the_same_training_for_all_dimensions() -> None:
    assert len({contestant("nr", dimension, 1.0).name for dimension in OF_DIMENSION}) == 1
    json.dumps(dict(contestant("fr", "contrast", 2.0).loss))
