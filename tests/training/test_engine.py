"""Laws of the training engine: it forgets nothing, repeats itself exactly, and divides work without changing it."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from iqaloss import IQALoss, create_scorer
from iqaloss.training.engine.checkpointing import read_state, write_state
from iqaloss.training.engine.collective import gather_with_gradient
from iqaloss.training.engine.datasets import DataSets
from iqaloss.training.engine.ema import WeightAverage
from iqaloss.training.engine.learning_rate import cosine, factor
from iqaloss.training.engine.sampling import DataPlan, Shards, steps_per_epoch, turns
from iqaloss.training.engine.trainer import Trainer
from iqaloss.training.engine.validation import correlations
from iqaloss.training.recipes.files import recipe_from
from iqaloss.training.specs.run import ScheduleSpec
from testing.tiny_data import small_recipe, write_rated_images

for package in ("accelerate", "tensorboard", "scipy", "yaml"):
    pytest.importorskip(package)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rated_images(tmp_path_factory.mktemp("rated"))


def train(values: dict[str, Any], out: Path, *, stop: int | None = None, resume: bool = False) -> Trainer:
    """Trains to the end, or to a step at which the process would have been stopped."""
    trainer = Trainer(recipe_from(values), out, resume=resume, bar=False, cpu=True)
    if stop is not None:
        trainer.state = dataclasses.replace(trainer.state, total=stop)
        # An end is validated, a stop is not: one that happens to score best would be kept as the best.
        whole, every = trainer.validate, trainer.recipe.run.validate_every or 1
        trainer.validate = lambda: whole() if trainer.state.step % every == 0 else {}  # type: ignore[method-assign]
    trainer.fit()
    return trainer


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


@pytest.fixture(scope="module")
def straight(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of an uninterrupted training with averaged weights."""
    out = tmp_path_factory.mktemp("straight")
    train(small_recipe(table, ema=0.9), out)
    return out


# --- sampling ---


@pytest.mark.parametrize(("count", "batch", "drop_last"), [(10, 4, True), (10, 4, False), (3, 4, False), (8, 4, True)])
def test_an_epoch_shows_every_image_once_and_full_batches(count: int, batch: int, drop_last: bool) -> None:
    plan = DataPlan("s", 0, count, batch, seed=1, drop_last=drop_last)
    picks = [plan.picks(turn) for turn in range(plan.steps_per_epoch)]
    assert {len(batch_picks) for batch_picks in picks} == {batch}
    shown = [pick.index for batch_picks in picks for pick in batch_picks]
    if drop_last:
        assert len(set(shown)) == len(shown)
    else:
        assert set(shown) == set(range(count))


def test_the_order_changes_from_epoch_to_epoch_and_every_draw_has_its_own_seed() -> None:
    plan = DataPlan("s", 0, 16, 16, seed=1)
    first, second = plan.picks(0), plan.picks(1)
    assert [pick.index for pick in first] != [pick.index for pick in second]
    assert len({pick.seed for pick in first + second}) == 32


@pytest.mark.parametrize("shards", [(1, 1), (2, 1), (1, 4), (2, 2), (4, 2)])
def test_the_shares_of_all_processes_and_passes_make_up_the_batch(shards: tuple[int, int]) -> None:
    ranks, passes = shards
    plan = DataPlan("s", 0, 11, 8, seed=3)
    joined = [
        pick
        for number in range(passes)
        for rank in range(ranks)
        for pick in plan.shard(5, Shards(rank, ranks, passes), number)
    ]
    assert joined == plan.picks(5)


def test_a_batch_that_does_not_divide_is_an_error_that_says_so() -> None:
    with pytest.raises(ValueError, match=r"batch_size 6 of koniq .* multiple of 4 processes"):
        Shards(0, 4, 1).size(6, "koniq")


def test_one_data_set_a_step_visits_every_set_as_often_as_it_has_batches() -> None:
    plans = [DataPlan("a", 0, 8, 4, seed=1), DataPlan("b", 1, 12, 4, seed=1)]
    length = steps_per_epoch(plans, "one")
    chosen = [next(iter(turn.items())) for turn in islice(turns(plans, "one", 1), 2 * length)]
    for epoch in (chosen[:length], chosen[length:]):
        assert sorted(number for number, _ in epoch) == [0, 0, 1, 1, 1]
    for number in (0, 1):
        own = [turn for which, turn in chosen if which == number]
        assert own == list(range(len(own)))


# --- schedules, averages, files ---


def test_the_cosine_that_skips_its_zero_gives_the_published_rates() -> None:
    rates = [round(5 * cosine(t, 5, skip_zero=True), 2) for t in range(10)]
    assert rates == [5, 4.52, 3.27, 1.73, 0.48, 0.48, 1.73, 3.27, 4.52, 5]


def test_the_warm_up_ends_where_the_released_training_ends() -> None:
    schedule = ScheduleSpec("warmup_cosine", unit="epoch", period=20, warmup=5)
    assert factor(schedule, 0, 10) == 0
    assert factor(schedule, 50, 10) == 1
    assert factor(schedule, 99, 10) == pytest.approx(0.751, abs=0.01)


def test_an_epoch_schedule_moves_once_an_epoch() -> None:
    schedule = ScheduleSpec("cosine", unit="epoch", period=50)
    assert factor(schedule, 0, 10) == factor(schedule, 9, 10) == 1
    assert factor(schedule, 10, 10) < 1
    assert factor(schedule, 500, 10) == 0


def test_the_average_follows_the_weights_and_a_double_swap_changes_nothing() -> None:
    layer = nn.Linear(2, 1)
    average = WeightAverage(layer, 0.9)
    start = layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight += 1.0
    average.update(layer)
    kept = average.kept["weight"].clone()
    assert torch.all((kept > start) & (kept < layer.weight))
    average.swap(layer)
    assert torch.equal(layer.weight, kept)
    average.swap(layer)
    assert torch.equal(average.kept["weight"], kept)
    with pytest.raises(ValueError, match=r"inside \(0, 1\), got 1.0"):
        WeightAverage(layer, 1.0)


def test_one_process_gathers_what_it_has() -> None:
    values = torch.ones(3, requires_grad=True)
    assert gather_with_gradient(values) is values


def test_a_state_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing to resume: .*last\.pt"):
        read_state(tmp_path / "last.pt")
    (tmp_path / "last.pt").write_bytes(b"half a file")
    with pytest.raises(ValueError, match=r"cannot read the training state .*last\.pt"):
        read_state(tmp_path / "last.pt")
    torch.save({"format": 99}, tmp_path / "last.pt")
    with pytest.raises(ValueError, match="no training state of format 1"):
        read_state(tmp_path / "last.pt")


def test_correlations_of_a_constant_prediction_are_not_a_number() -> None:
    import numpy as np

    found = correlations(np.ones(4), np.arange(4.0))
    assert found["srcc"] != found["srcc"]


# --- whole trainings ---


def test_the_result_scores_and_serves_as_a_loss(straight: Path) -> None:
    for name in ("best.safetensors", "last.safetensors"):
        scorer = create_scorer("mdiqa-mobile", weights=straight / name)
        images = torch.rand(2, 3, 64, 64, requires_grad=True)
        IQALoss(scorer, mode="both")(images, torch.rand(2, 3, 64, 64)).backward()
        assert images.grad is not None
        assert float(images.grad.abs().max()) > 0
    assert list((straight / "tensorboard").glob("events*"))


def test_a_resumed_training_ends_with_the_same_bits(straight: Path, table: Path, tmp_path: Path) -> None:
    values = small_recipe(table, ema=0.9)
    # Stops between two validations, in the middle of an epoch's images, with dropout in the model.
    train(values, tmp_path, stop=4)
    torch.rand(7)
    trainer = train(values, tmp_path, resume=True)
    for name in ("best.safetensors", "last.safetensors"):
        assert_same(load_file(straight / name), load_file(tmp_path / name))
    want, got = read_state(straight / "last.pt"), read_state(tmp_path / "last.pt")
    assert_same(want["task"], got["task"])
    for key, state in want["optimizer"]["state"].items():
        assert_same(state, got["optimizer"]["state"][key])
    assert torch.equal(want["random"][0]["torch"], got["random"][0]["torch"])
    assert got["best"] == want["best"]
    assert list(trainer.state.history) == list(want["history"])


KILLED = """
import os, signal, sys
import torch
from iqaloss.training.engine.trainer import Trainer
from iqaloss.training.recipes.files import recipe_from
import json

whole = torch.save
count = 0

def half(state, file):
    global count
    count += 1
    if count < 2:
        return whole(state, file)
    import io
    buffer = io.BytesIO()
    whole(state, buffer)
    with open(file, "wb") as opened:
        opened.write(buffer.getvalue()[: buffer.tell() // 2])
    os.kill(os.getpid(), signal.SIGKILL)

torch.save = half
torch.set_num_threads(1)
Trainer(recipe_from(json.loads(sys.argv[1])), sys.argv[2], bar=False, cpu=True).fit()
"""


def test_a_training_killed_in_the_middle_of_a_save_resumes_without_loss(
    straight: Path, table: Path, tmp_path: Path
) -> None:
    import json

    values = small_recipe(table, ema=0.9, save_every=2)
    done = subprocess.run([sys.executable, "-c", KILLED, json.dumps(values), str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert list(tmp_path.glob(".last.*.tmp.pt")), "the process died while it wrote"
    assert read_state(tmp_path / "last.pt")["step"] == 2
    train(values, tmp_path, resume=True)
    assert_same(load_file(straight / "last.safetensors"), load_file(tmp_path / "last.safetensors"))
    assert_same(load_file(straight / "best.safetensors"), load_file(tmp_path / "best.safetensors"))
    assert not list(tmp_path.glob(".last.*.tmp.pt")), "what it left is cleared away"


def test_a_failed_write_leaves_the_old_state(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    write_state({"step": 1}, path)
    with pytest.raises(AttributeError):
        write_state({"step": lambda: 2}, path)
    assert read_state(path)["step"] == 1


@pytest.mark.parametrize("draw", ["all", "one"])
def test_data_sets_opened_at_a_step_go_on_with_its_batches(table: Path, draw: str) -> None:
    values = small_recipe(table)
    first = values["data"]["train"][0]
    values["data"].update(draw=draw, train=[first, {**first, "name": "again", "batch_size": 3}])
    recipe = recipe_from(values)
    datasets = DataSets(recipe, Shards(), torch.device("cpu"))

    def batches(start: int, stop: int) -> list[tuple[str, list[int]]]:
        datasets.open(start)
        steps = list(islice(turns(datasets.plans, draw, recipe.run.seed), start, stop))
        names = [name for chosen in steps for passes in datasets.passes(chosen) for name in passes]
        return [(name, datasets.next(name)["draw"].tolist()) for name in names]

    whole = batches(0, 12)
    assert batches(5, 12) == whole[-len(batches(5, 12)) :]
    assert {name for name, _ in whole} == {"rated", "again"}


def test_bfloat16_trains_after_a_training_in_float32(table: Path, tmp_path: Path) -> None:
    values = small_recipe(table, steps=2, validate_every=2)
    train(values, tmp_path / "fp32")
    values["run"]["precision"] = "bf16"
    trainer = train(values, tmp_path / "bf16")
    assert trainer.accelerator.mixed_precision == "bf16"
    one, two = load_file(tmp_path / "fp32" / "last.safetensors"), load_file(tmp_path / "bf16" / "last.safetensors")
    assert all(value.dtype == torch.float32 for value in two.values() if value.is_floating_point())
    assert any(not torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("change", [{"accumulate": 2}, {}])
def test_passes_that_add_up_give_the_gradient_of_one(table: Path, tmp_path: Path, change: dict[str, int]) -> None:
    # A loss that is a mean over images, so that its parts add up; dropout would draw differently.
    common = {"steps": 2, "dropout": 0.0, "validate_every": 2}
    values = small_recipe(table, **common)
    values["losses"] = {"l1": 1.0}
    values["optimizer"] = {"name": "sgd", "lr": 0.1}
    values["data"]["train"].append({**values["data"]["train"][0], "name": "again", "target": "contrast"})
    whole = train({**values, "data": {**values["data"], "sequential": False}}, tmp_path / "whole")
    values["run"].update(change)
    parts = train(values, tmp_path / "parts")
    for (name, one), other in zip(whole.task.named_parameters(), parts.task.parameters()):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5, msg=name)


def test_a_folder_with_a_training_is_not_overwritten(straight: Path, table: Path) -> None:
    with pytest.raises(FileExistsError, match="holds a training already"):
        Trainer(recipe_from(small_recipe(table)), straight, bar=False, cpu=True)


def test_another_recipe_does_not_resume(straight: Path, table: Path) -> None:
    values = small_recipe(table, ema=0.9)
    values["optimizer"]["lr"] = 0.5
    with pytest.raises(ValueError, match=r"another recipe: optimizer\.lr was 0\.001, is 0\.5"):
        Trainer(recipe_from(values), straight, resume=True, bar=False, cpu=True)
