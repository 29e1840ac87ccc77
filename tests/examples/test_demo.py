"""The demo, with a small network, a small random scorer and a few steps."""

from __future__ import annotations

import csv
import importlib.util
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from examples.demo import Plan
from examples.demo.__main__ import main
from examples.demo.photos import HELD_OUT, LEAST, TRAINING, Photos, find_photos, prepare
from examples.demo.picture import finest_crop
from examples.demo.plan import RUNS, SCALE, START_FILE
from examples.demo.report import INDEPENDENT, PATTERN, rises
from examples.demo.trainings import checkpoint, recipe, start_checkpoint

needs_photos = pytest.mark.skipif(importlib.util.find_spec("skimage") is None, reason="scikit-image is not installed")
needs_basicsr = pytest.mark.skipif(importlib.util.find_spec("basicsr") is None, reason="BasicSR is not installed")


@pytest.fixture
def own_photos(tmp_path: Path) -> Path:
    """A user's folder: three photographs, one too small, one file that is none."""
    folder = tmp_path / "own"
    (folder / "deeper").mkdir(parents=True)
    random = np.random.default_rng(0)
    for name, size in (("a", (LEAST, 200)), ("b", (230, LEAST)), ("deeper/c", (LEAST, LEAST)), ("small", (50, 50))):
        pixels = random.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    (folder / "broken.png").write_text("not an image")
    return folder


# --- photographs ---


@needs_photos
def test_installed_photographs_are_split_by_photograph() -> None:
    training, held_out = find_photos(None)
    assert [path.stem for path in training] == list(TRAINING)
    assert [path.stem for path in held_out] == list(HELD_OUT)
    assert not {path.stem.split("_")[0] for path in training} & {path.stem.split("_")[0] for path in held_out}


def test_a_users_folder_is_split_and_paired(own_photos: Path, tmp_path: Path) -> None:
    training, held_out = find_photos(own_photos)
    assert len(training) == 2
    assert len(held_out) == 1
    photos = prepare(training, held_out, tmp_path / "data")
    for folder in (photos.train, photos.held_out):
        names = sorted(path.name for path in (folder / "gt").iterdir())
        assert names == sorted(path.name for path in (folder / "lq").iterdir())
        for name in names:
            with Image.open(folder / "gt" / name) as true, Image.open(folder / "lq" / name) as small:
                assert true.size == (small.width * SCALE, small.height * SCALE)
    assert prepare(training, held_out, tmp_path / "data") == photos
    assert prepare(held_out, training, tmp_path / "data").digest != photos.digest


@pytest.mark.parametrize("photos", [0, 1])
def test_too_few_photographs_are_refused(photos: int, own_photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "few"
    folder.mkdir()
    for path in list(own_photos.glob("a.png"))[:photos]:
        shutil.copy(path, folder)
    with pytest.raises(ValueError, match=f"holds {photos} photograph"):
        find_photos(folder)


# --- pieces ---


def test_crop_finds_the_detail() -> None:
    pixels = np.zeros((300, 400), np.uint8)
    pixels[150:200, 250:300] = np.random.default_rng(0).integers(0, 256, (50, 50))
    left, top, right, bottom = finest_crop(Image.fromarray(pixels))
    assert left <= 250
    assert right >= 300
    assert top <= 150
    assert bottom >= 200


def test_photographs_are_as_large_as_patches() -> None:
    assert Plan().patch <= LEAST


def test_rising_is_strict() -> None:
    table = {"a": {"x": 1.0}, "b": {"x": 2.0}, "c": {"x": 2.0}}
    assert rises(table, ["a", "b"], "x")
    assert not rises(table, ["a", "b", "c"], "x")


def test_compared_trainings_differ_in_the_quality_loss_alone(own_photos: Path, tmp_path: Path) -> None:
    photos = prepare(*find_photos(own_photos), tmp_path / "data")
    recipes = [recipe(run, Plan(), photos, Path("start.pth")) for run in RUNS]
    named = [options["train"].pop("iqa_opt", None) for options in recipes]
    assert len({options.pop("name") for options in recipes}) == len(RUNS)
    assert all(options == recipes[0] for options in recipes)
    assert named[0] is None
    losses = [each["iqa"] for each in named[1:]]
    assert [loss["weights"] for loss in losses] == [{}, {"sharpness": 4.0}, {}]
    assert losses[2]["loss_weight"] == pytest.approx(3 * losses[0]["loss_weight"])


@needs_basicsr
def test_the_network_that_ships_fits_the_plan_and_is_small(tmp_path: Path) -> None:
    from iqaloss.integrations.basicsr.compat import import_basicsr

    import_basicsr()
    from basicsr.archs import build_network

    assert START_FILE.stat().st_size < 2_000_000
    photos = Photos(tmp_path, tmp_path, "none")
    network = build_network(recipe(RUNS[0], Plan(), photos, None)["network_g"])
    network.load_state_dict(torch.load(start_checkpoint(START_FILE, tmp_path), weights_only=True)["params"])


@pytest.mark.parametrize("minutes", [0.0, -1.0, math.nan, math.inf])
def test_senseless_minutes_are_refused(minutes: float) -> None:
    with pytest.raises(ValueError, match="positive number"):
        Plan().lasting(minutes)


# --- all of it ---


@needs_photos
@needs_basicsr
def test_demo_leaves_what_it_promises_and_resumes(own_photos: Path, weights: Path, tmp_path: Path) -> None:
    from examples.demo import run_demo
    from iqaloss.integrations.basicsr.compat import import_basicsr
    from iqaloss.integrations.basicsr.recipe import complete

    import_basicsr()
    from basicsr.archs import build_network
    from basicsr.models import build_model

    plan = Plan(
        steps=2,
        batch=1,
        patch=64,
        features=8,
        blocks=1,
        start=None,
        scorer={"name": "mdiqa-mobile", "weights": str(weights)},
    )
    out = tmp_path / "out"
    said: list[str] = []
    table = run_demo(plan, out, own_photos, say=said.append, progress=False)
    assert list(table) == ["bicubic", *(run.title for run in RUNS), "ground truth"]
    assert {"PSNR (Y)", "SSIM (Y)", "score", "sharpness", INDEPENDENT, PATTERN} <= set(table["bicubic"])
    assert table["ground truth"]["SSIM (Y)"] == pytest.approx(1.0)
    assert table["bicubic"][INDEPENDENT] < table["ground truth"][INDEPENDENT]
    assert table["ground truth"][PATTERN] == 0
    assert any("with its weight" in line for line in said)
    assert any("judges that are not ours" in line for line in said)

    with Image.open(out / "comparison.png") as picture:
        assert picture.width > 6 * 96
    assert "ground truth" in (out / "table.md").read_text()
    with (out / "table.csv").open() as file:
        assert sum(row["picture"] == "mean" for row in csv.DictReader(file)) == 6
    assert len(list((out / "restored").rglob("*.png"))) == 6
    for run in RUNS:
        assert list((out / "tb_logger" / run.name).glob("events*"))

    # BasicSR loads the checkpoint, as a network and through one of its own models.
    photos = prepare(*find_photos(own_photos), out / "data")
    options = recipe(RUNS[2], plan, photos, checkpoint(RUNS[2], out))
    saved = torch.load(checkpoint(RUNS[2], out), weights_only=True)["params"]
    build_network(options["network_g"]).load_state_dict(saved, strict=True)
    del options["train"]["iqa_opt"]
    model = build_model(complete({**options, "model_type": "SRModel"}, tmp_path, rank=0, world_size=1))
    assert all(torch.equal(value, saved[key]) for key, value in model.net_g.state_dict().items())

    # A second run trains nothing again, and one that lost its last network goes on.
    times = {run.name: checkpoint(run, out).stat().st_mtime_ns for run in RUNS}
    checkpoint(RUNS[2], out).unlink()
    assert run_demo(plan, out, own_photos, progress=False) == table
    after = {run.name: checkpoint(run, out).stat().st_mtime_ns for run in RUNS}
    assert {name for name in times if times[name] != after[name]} == {RUNS[2].name}
    assert not list((out / "experiments").glob("*archived*"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "nowhere"], "no folder at nowhere"),
        (["--minutes", "0"], "positive number"),
    ],
)
def test_command_says_what_is_wrong(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rich")
    assert main(words) == 2
    assert message in capsys.readouterr().err
