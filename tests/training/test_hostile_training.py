"""A training that cannot go on says so before it begins; what it wrote is whole, and its own."""

from __future__ import annotations

import json
import resource
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from iqaloss._files import locked, replacing
from iqaloss.data.manifest import ManifestError
from iqaloss.training.engine.checkpointing import check_finite, read_state, write_state
from iqaloss.training.engine.data import load_manifest
from iqaloss.training.engine.datasets import DataSets
from iqaloss.training.engine.learning_rate import factor
from iqaloss.training.engine.sampling import Shards
from iqaloss.training.engine.trainer import Trainer
from iqaloss.training.recipes import finetune_recipe
from iqaloss.training.recipes.files import recipe_from
from testing.tiny_data import small_recipe, write_rated_images

for package in ("accelerate", "tensorboard", "scipy", "yaml"):
    pytest.importorskip(package)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_rated_images(tmp_path / "rated", 10)


def trainer(values: dict[str, Any], out: Path, resume: bool = False) -> Trainer:
    return Trainer(recipe_from(values), out, resume=resume, bar=False, cpu=True)


def datasets(table: Path, **options: Any) -> DataSets:
    return DataSets(finetune_recipe("mdiqa-mobile", table, **options), Shards(), torch.device("cpu"))


# --- bad rows, before the first step ---


def test_skip_bad_finds_a_truncated_picture_and_one_that_is_too_small_before_the_first_step(table: Path) -> None:
    cut = table.parent / "3.png"
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    for name in ("5.png", "6.png", "7.png", "8.png"):
        Image.new("RGB", (16, 90)).save(table.parent / name)
    opened = datasets(table, validation=0.5, skip_bad=True)
    left_out = {row.image: row.problem for rows in opened.manifests().values() for row in rows.skipped}
    assert "unreadable image" in left_out["3.png"]
    held = opened.manifests()["validation"]
    assert all(min(Image.open(path).size) >= 32 for path in held.images)
    assert any("90x16 pixels, sides of 32 are needed" in problem for problem in left_out.values())


def test_a_picture_that_is_too_small_is_named_with_its_line(table: Path) -> None:
    for number in range(10):
        Image.new("RGB", (16, 90)).save(table.parent / f"{number}.png")
    spec = finetune_recipe("mdiqa-mobile", table).data.validation[0]
    with pytest.raises(ManifestError, match=r"line \d+: \d\.png: 90x16 pixels, sides of 32 are needed"):
        load_manifest(spec, least=32)
    whole = small_recipe(table)
    whole["data"]["train"][0]["transform"] = {"crop": 200}
    with pytest.raises(ManifestError, match=r"line 2: 0\.png: an image of 90x16 pixels is smaller than the crop"):
        load_manifest(recipe_from(whole).data.train[0])


def test_the_camera_turns_a_picture_before_its_sides_are_measured(tmp_path: Path) -> None:
    from iqaloss.data.images import size_of

    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "x.jpg", exif=exif)
    assert size_of(tmp_path / "x.jpg") == (40, 20)


@pytest.mark.parametrize("count", [4, 5])
def test_too_few_pictures_to_choose_by_are_told_before_the_first_step(count: int, tmp_path: Path) -> None:
    table = write_rated_images(tmp_path / "few", count)
    with pytest.raises(ValueError, match=r"'validation' holds 1 image, of which no correlation .*--validation 0\.5"):
        datasets(table)
    assert len(datasets(table, validation=0.5).manifests()["validation"]) >= 2


def test_scores_that_are_all_equal_choose_nothing(table: Path) -> None:
    rows = table.read_text().splitlines()
    table.write_text("\n".join([rows[0], *(row.replace(row.split(",")[1], "0.5", 1) for row in rows[1:])]))
    with pytest.raises(ValueError, match="images of one score"):
        datasets(table)


# --- numbers that are none ---


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("optimizer.lr=.inf", r"fine-tuning\.optimizer\.lr must be a finite number"),
        ("optimizer.lr=-1", r"fine-tuning\.optimizer: lr must be at least 0"),
        ("optimizer.clip=.nan", r"optimizer\.clip must be a finite number"),
        ("optimizer.clip=-1", r"optimizer: clip must be above 0"),
        ("run.dropout=.nan", r"run\.dropout must be a finite number"),
        ("run.dropout=1.5", r"run: dropout must be"),
        ("run.seed=36893488147419103232", r"run: seed must be at least 0 and at most"),
        ("run.seed=-1", r"run: seed must be"),
        ("run.seed=x", r"run\.seed must be of type int"),
        ("run.ema=1", r"run: ema must be"),
        ("data.train.0.limit=0", r"data\.train\[0\]: limit of train must be"),
        ("data.train.0.batch_size=0", r"batch_size of train must be"),
        ("data.workers=-1", r"data: workers must be"),
        ("data=5", r"fine-tuning\.data must be a mapping"),
        ("schedule.period=0", r"schedule: period must be"),
        ("losses={}", r"fine-tuning\.losses names no loss with a weight"),
        ("losses={mse: 0}", r"fine-tuning\.losses names no loss with a weight"),
    ],
)
def test_a_value_that_cannot_train_is_refused_with_its_field(table: Path, change: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        finetune_recipe("mdiqa-mobile", table, changes=[change])


def test_weights_that_are_not_finite_never_replace_a_checkpoint(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    values = small_recipe(table, steps=3, validate_every=1)
    values["data"]["train"][0]["batch_size"] = values["data"]["validation"][0]["limit"] = 2
    ready = trainer(values, out)
    whole = ready.advance

    def spoilt(chosen: dict[int, int]) -> dict[str, float]:
        found = whole(chosen)
        if ready.state.step == 2:
            with torch.no_grad():
                next(ready.task.parameters()).fill_(float("nan"))
        return found

    ready.advance = spoilt  # type: ignore[method-assign]
    with pytest.raises(ValueError, match=r"after step 2 \d+ of \d+ tensors are not finite, .* none of it was saved"):
        ready.fit()
    assert read_state(out / "last.pt")["step"] == 1
    check_finite(trainer(values, out, resume=True).task, 1, out)


# --- resuming ---


def test_a_longer_training_resumes_and_a_moved_table_too(table: Path, tmp_path: Path) -> None:
    def recipe(place: Path, epochs: int) -> Any:
        small = ["scorer.size=tiny", "data.train.0.transform.crop=64"]
        return finetune_recipe(
            "mdiqa-mobile", place, weights=None, epochs=epochs, batch_size=8, validation=0.4, changes=small
        )

    out = tmp_path / "out"
    Trainer(recipe(table, 1), out, bar=False, cpu=True).fit()
    moved = tmp_path / "elsewhere" / "deep"
    shutil.copytree(table.parent, moved)
    shutil.rmtree(table.parent)
    longer = Trainer(recipe(moved / "scores.csv", 2), out, resume=True, bar=False, cpu=True)
    assert (longer.state.step, longer.state.total) == (1, 2)
    rows = (moved / "scores.csv").read_text().splitlines()
    for other in (rows[:-1], [*rows[:-1], rows[-1].replace(",1.0000,", ",0.9000,", 1)]):
        (moved / "scores.csv").write_text("\n".join(other) + "\n")
        with pytest.raises(ValueError, match=r"other rows of train, validation|other rows of (train|validation)"):
            Trainer(recipe(moved / "scores.csv", 2), out, resume=True, bar=False, cpu=True)


def test_a_schedule_without_a_period_falls_over_the_whole_training(table: Path) -> None:
    schedule = finetune_recipe("mdiqa-mobile", table).schedule
    assert [factor(schedule, step, 10, total=40) for step in (0, 20, 39)] == pytest.approx([1.0, 0.5, 0.146], abs=1e-3)


# --- files ---


def test_a_write_that_the_disk_refuses_names_the_file_and_leaves_the_old_one(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state, weights = tmp_path / "last.pt", tmp_path / "best.safetensors"
    write_state({"step": 1}, state)
    weights.write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    large = {"x": torch.zeros(200_000)}
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match=r"cannot write .*last\.pt: .*; what was there before is as it was"):
            write_state(large, state)
        with pytest.raises(OSError, match=r"cannot write .*best\.safetensors"), replacing(weights) as temporary:
            save_file(large, temporary)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (read_state(state)["step"], weights.read_text()) == (1, "old")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.safetensors", "last.pt"]


def test_what_killed_runs_left_goes_and_nothing_else(tmp_path: Path) -> None:
    for name in (".best.123-7fab.tmp.safetensors", ".last.9-0.tmp.pt", "mine.tmp.pt", ".mine.tmp"):
        (tmp_path / name).write_text("")
    write_state({}, tmp_path / "last.pt")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine.tmp", "last.pt", "mine.tmp.pt"]


def test_data_that_are_not_there_are_named_with_their_field(tmp_path: Path) -> None:
    spec = recipe_from(small_recipe(tmp_path / "none.csv")).data.train[0]
    with pytest.raises(FileNotFoundError, match=r"recipe\.data: no such table: .*none\.csv \(the data set 'rated'\)"):
        load_manifest(spec)


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write .*file.deep.last\.pt"):
        write_state({}, tmp_path / "file" / "deep" / "last.pt")
    with pytest.raises(OSError, match="cannot write into"), locked(tmp_path / "file"):
        pass


def test_a_checkpoint_is_readable_as_other_files_are(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with replacing(tmp_path / "x.safetensors") as temporary:
        save_file({"x": torch.zeros(1)}, temporary)
        temporary.chmod(0o600)
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "x.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_two_trainings_do_not_share_a_folder(table: Path, tmp_path: Path) -> None:
    ready = trainer(small_recipe(table), tmp_path / "out")
    with (
        locked(tmp_path / "out"),
        pytest.raises(ValueError, match=r"another run is writing into .*out: wait for its end, or choose"),
    ):
        ready.fit()
    with locked(tmp_path / "out"):  # free again, whatever happened
        pass
    assert not (tmp_path / "out" / "last.pt").exists()


def test_rows_have_one_digest_wherever_they_lie(table: Path, tmp_path: Path) -> None:
    spec = recipe_from(small_recipe(table)).data.train[0]
    first = load_manifest(spec)
    shutil.copytree(table.parent, tmp_path / "copy")
    second = load_manifest(recipe_from(small_recipe(tmp_path / "copy" / "scores.csv")).data.train[0])
    assert first.digest() == second.digest()
    assert first.digest() != first.subset(range(9)).digest()
    assert json.dumps(first.digest())
    assert np.isfinite(first.target()).all()
