"""A ranking of methods becomes a scorer that agrees with it, whichever scorer it was."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from iqaloss import create_scorer
from iqaloss.cli import main
from iqaloss.losses.iqa_loss import IQALoss
from iqaloss.ranking.calibration import calibration_recipe, ranking_of, write_ranking
from iqaloss.scorers import checkpoints
from iqaloss.scorers.calibration import Calibration, reads_of
from iqaloss.scorers.factory import create_tiny
from iqaloss.scorers.registry import _entries
from iqaloss.scorers.request import Request
from iqaloss.training.engine.building import build_task
from iqaloss.training.engine.data import read_ranking
from iqaloss.training.engine.trainer import Trainer

pytest.importorskip("accelerate", reason="accelerate is not installed (extra train)")
SCORERS = ("mdiqa-mobile", "pmt-iqa", "lar-iqa", "moe-agiqa", "sr-iqa")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outputs of three methods, the last one clean, and votes of which it wins most: grain is disliked."""
    root, generator = tmp_path_factory.mktemp("calibration"), np.random.default_rng(0)
    for number, method in enumerate(("rough", "grainy", "clean")):
        (root / "outputs" / method).mkdir(parents=True)
        for k in range(6):
            x, y = np.meshgrid(np.arange(72), np.arange(64))
            pixels = 128 + 90 * np.sin((x + k * y) / 5)[..., None] * [1.0, 0.7, 0.4]
            pixels = pixels + generator.normal(0, 1 + 30 * (2 - number), pixels.shape)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / "outputs" / method / f"{k}.png")
    rows = ["clean,grainy", "grainy,rough", "clean,rough"] * 5 + ["grainy,clean", "rough,grainy"]
    (root / "votes.csv").write_text(
        "\n".join(["winner,loser,image", *(f"{row},{k % 6}" for k, row in enumerate(rows))])
    )
    return root


def tiny(name: str, folder: Path) -> str:
    torch.manual_seed(0)
    return str(checkpoints.save(create_tiny(name), folder / f"{name}.safetensors"))


def words(folder: Path, out: Path, *more: str) -> list[str]:
    given = ["rank", "calibrate", str(folder / "votes.csv"), "--images", str(folder / "outputs"), "--out", str(out)]
    return [*given, "--crop", "64", "--device", "cpu", "--quiet", *more]


def means(scorer: torch.nn.Module, folder: Path) -> dict[str, float]:
    from iqaloss.data.images import load_image

    found = {}
    for method in sorted((folder / "outputs").iterdir()):
        images = torch.stack([load_image(path)[:, :64, :64] for path in sorted(method.iterdir())])
        with torch.no_grad():
            found[method.name] = float(scorer(images, Request(score=True)).score.mean())
    return found


# --- what a scorer carries ---


@pytest.mark.parametrize("name", SCORERS)
def test_an_untrained_calibration_changes_no_score(name: str, tmp_path: Path) -> None:
    scorer, images = create_tiny(name), torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    before = scorer(images)
    scorer.calibration = Calibration(reads_of(scorer)).eval()
    after = scorer(images)
    torch.testing.assert_close(after.score, before.score, rtol=1e-5, atol=1e-5)
    assert after.features.keys() == before.features.keys()
    only = scorer(images, Request(score=True))
    assert not only.features
    assert not only.dimensions


def test_a_calibrated_scorer_is_saved_loaded_folded_and_serves_as_a_loss(tmp_path: Path) -> None:
    torch.manual_seed(0)
    scorer = create_tiny("mdiqa-mobile")
    scorer.calibration = Calibration(reads_of(scorer))
    nn.init.normal_(scorer.calibration.rectifier.out.weight, std=0.3)
    path = checkpoints.save(scorer.freeze(), tmp_path / "calibrated.safetensors")
    again, images = create_scorer("mdiqa-mobile", weights=path), torch.rand(2, 3, 64, 64)
    want = scorer(images).score
    assert not torch.allclose(want, create_tiny("mdiqa-mobile")(images).score)
    torch.testing.assert_close(again(images).score, want)
    torch.testing.assert_close(again.copy().fold()(images).score, want, rtol=1e-4, atol=1e-5)
    pred = images.clone().requires_grad_()
    IQALoss(again, "nr")(pred).backward()
    assert pred.grad is not None
    assert pred.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in again.parameters())


# --- votes in, scorer out ---


def test_votes_and_rankings_are_both_read(folder: Path, tmp_path: Path) -> None:
    ranking = ranking_of(folder / "votes.csv")
    assert list(ranking) == ["clean", "grainy", "rough"]
    write_ranking(tmp_path / "ranking.csv", ranking)
    assert ranking_of(tmp_path / "ranking.csv") == pytest.approx(ranking)
    write_ranking(tmp_path / "even.csv", {"A": 1e-14, "B": 0.0})
    assert len(set(read_ranking(tmp_path / "even.csv").values())) == 1  # equal but for rounding: 0.5 in Eq. 3


@pytest.mark.parametrize("name", SCORERS)
def test_the_command_makes_the_means_obey_the_votes(
    name: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tiny(name, tmp_path)
    more = ("--scorer", name, "--weights", weights, "--steps", "40", "--batch-size", "3", "--lr", "1e-2", "--json")
    assert main(words(folder, tmp_path / "run", *more)) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["scorer"], told["steps"], told["seed"]) == (name, 40, 123)
    assert list(told["methods"]) == ["clean", "grainy", "rough"]
    before, after = (means(create_scorer(name, weights=file), folder) for file in (weights, told["checkpoint"]))
    assert after["clean"] > after["rough"], after
    assert after["clean"] - after["rough"] > before["clean"] - before["rough"]
    image = str(folder / "outputs" / "clean" / "0.png")
    assert main(["score", image, "--scorer", name, "--weights", told["checkpoint"]]) == 0


def test_the_scorer_below_a_rectifier_stays_and_learns_where_asked(folder: Path, tmp_path: Path) -> None:
    weights = tiny("mdiqa-mobile", tmp_path)
    before = create_scorer("mdiqa-mobile", weights=weights).state_dict()
    for learns, moved in (("rectifier", False), ("everything", True)):
        more = ("--weights", weights, "--steps", "2", "--batch-size", "1", "--learns", learns)
        assert main(words(folder, tmp_path / learns, *more)) == 0
        after = create_scorer("mdiqa-mobile", weights=tmp_path / learns / "last.safetensors")
        assert (after.calibration is None) is moved
        assert any(not torch.equal(value, after.state_dict()[key]) for key, value in before.items()) is moved


def test_a_calibration_resumes_bit_for_bit(folder: Path, tmp_path: Path) -> None:
    weights = tiny("mdiqa-mobile", tmp_path)
    more = ("--weights", weights, "--batch-size", "2", "--steps", "6", "--set", "run.save_every=3")
    assert main(words(folder, tmp_path / "whole", *more)) == 0
    write_ranking(tmp_path / "half" / "ranking.csv", ranking_of(folder / "votes.csv"))
    half = tmp_path / "half"
    recipe = calibration_recipe(
        "mdiqa-mobile", folder / "outputs", half / "ranking.csv", weights=weights, batch_size=2, steps=6, crop=64,
        changes=["run.save_every=3"],
    )  # fmt: skip
    trainer = Trainer(recipe, half, bar=False, cpu=True)
    advance, left = trainer.advance, iter(range(4))

    def stop_after_four(chosen: dict[int, int]) -> dict[str, float]:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return advance(chosen)

    trainer.advance = stop_after_four  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    assert main(words(folder, half, *more)) == 2  # it holds a training already
    (tmp_path / "other.csv").write_text("method,score\nclean,0\ngrainy,1\nrough,2\n")
    other = [str(tmp_path / "other.csv") if word.endswith("votes.csv") else word for word in words(folder, half, *more)]
    assert main([*other, "--resume"]) == 2  # the votes are others now
    assert main(words(folder, half, *more, "--resume")) == 0
    whole, resumed = (create_scorer("mdiqa-mobile", weights=tmp_path / run / "last.safetensors").state_dict()
                      for run in ("whole", "half"))  # fmt: skip
    assert all(torch.equal(value, resumed[key]) for key, value in whole.items())


def test_rated_images_teach_beside_the_ranking_and_choose_the_best(folder: Path, tmp_path: Path) -> None:
    rows = [f"{method}/{k}.png,{score + k / 10}" for score, method in enumerate(("rough", "clean")) for k in range(6)]
    (tmp_path / "scores.csv").write_text("\n".join(["image,mos", *rows]))
    more = ("--weights", tiny("mdiqa-mobile", tmp_path), "--steps", "2", "--batch-size", "2")
    more += ("--rated", str(tmp_path / "scores.csv"), "--rated-images", str(folder / "outputs"))
    assert main(words(folder, tmp_path / "run", *more)) == 0
    assert (tmp_path / "run" / "best.safetensors").is_file()


def test_sr_iqa_learns_with_its_own_rectifier_as_published(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    base = create_tiny("sr-iqa")
    write_ranking(tmp_path / "ranking.csv", ranking_of(folder / "votes.csv"))
    config = base.config
    from dataclasses import replace

    from iqaloss.scorers.registry import entry
    from iqaloss.scorers.sr_iqa.model import SRIQA

    stage1 = SRIQA(entry("sr-iqa").card, replace(config, rectified=False))
    path = checkpoints.save(stage1, tmp_path / "stage1.safetensors")
    task = build_task(calibration_recipe("sr-iqa", folder / "outputs", tmp_path / "ranking.csv", weights=path, crop=64))
    assert type(task).__module__.endswith("sr_iqa")
    assert task.scorer.calibration is None
    torch.testing.assert_close(task.scorer.clip.state_dict(), stage1.clip.state_dict())


# --- metrics of pyiqa ---


class Grain(nn.Module):
    """A made-up metric: how much neighbouring pixels differ, which it takes for sharpness."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor([1.0]))

    def forward(self, images: Tensor) -> Tensor:
        return self.slope * images.diff(dim=-1).abs().mean((1, 2, 3))


@pytest.fixture
def pyiqa(monkeypatch: pytest.MonkeyPatch) -> None:
    def create_metric(name: str, device: str) -> SimpleNamespace:
        if name not in ("grain", "pairs"):
            raise ValueError(f"unknown metric {name}")
        mode = "FR" if name == "pairs" else "NR"
        facts = {"metric_mode": mode, "lower_better": False, "score_range": "0, 1", "device": torch.device("cpu")}
        return SimpleNamespace(net=Grain().eval(), metric_name=name, **facts)

    monkeypatch.setitem(sys.modules, "pyiqa", SimpleNamespace(create_metric=create_metric))
    # A metric is registered for the rest of the process: the tests that follow know nothing of this one.
    monkeypatch.setattr("iqaloss.scorers.registry._ENTRIES", dict(_entries()))


@pytest.mark.parametrize("learns", ["rectifier", "everything"])
def test_a_metric_of_pyiqa_is_calibrated_by_its_name(
    learns: str, pyiqa: None, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--scorer", "pyiqa:grain", "--steps", "60", "--batch-size", "2", "--lr", "0.1", "--learns", learns)
    assert main(words(folder, tmp_path / "run", *more)) == 0
    path = tmp_path / "run" / "last.safetensors"
    before, after = create_scorer("pyiqa:grain", None, frozen=True), create_scorer("pyiqa:grain", weights=path)
    assert means(before, folder)["rough"] > means(before, folder)["clean"]
    assert means(after, folder)["clean"] > means(after, folder)["rough"]
    capsys.readouterr()
    image = str(folder / "outputs" / "clean" / "0.png")
    assert main(["score", image, "--scorer", "pyiqa:grain", "--weights", str(path), "--json"]) == 0
    assert main(["score", image, "--scorer", "pyiqa:grain"]) == 0
    capsys.readouterr()
    assert main(["models", "pyiqa:grain", "--size", "64x96", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["million parameters"] > 0


def test_a_metric_that_compares_is_refused(
    pyiqa: None, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(folder, tmp_path / "run", "--scorer", "pyiqa:pairs")) == 2
    assert "has no score of one image" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--learns", "rectifer"), "did you mean 'rectifier'"),
        (("--scorer", "mdiqa-mobil"), "did you mean 'mdiqa-mobile'"),
        (("--steps", "0"), "steps must be at least 1"),
        (("--images", "nowhere"), "nowhere"),
    ],
)
def test_a_mistake_is_told(
    more: tuple[str, ...], told: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(folder, tmp_path / "run", *more)) == 2
    assert told in capsys.readouterr().err
