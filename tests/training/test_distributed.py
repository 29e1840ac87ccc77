"""Training on two processes is the training on one, only shared out."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from iqaloss.training.engine.checkpointing import read_state
from iqaloss.training.engine.trainer import Trainer
from iqaloss.training.recipes.files import recipe_from
from testing.tiny_data import small_recipe, write_rated_images

PATIENCE = 1200
"""Seconds after which two processes count as waiting for each other for ever; a busy machine takes minutes."""
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
for package in ("accelerate", "tensorboard", "typer", "rich", "yaml"):
    pytest.importorskip(package)


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def command(values: dict[str, Any], out: Path, *flags: str) -> list[str]:
    """What a person types after the launcher."""
    out.mkdir(parents=True, exist_ok=True)
    recipe = out / "recipe.yaml"
    recipe.write_text(json.dumps(values))  # JSON is YAML
    return ["-m", "iqaloss.cli", "train", str(recipe), "--out", str(out), "--device", "cpu", "--quiet", *flags]


def torchrun(values: dict[str, Any], out: Path, *flags: str) -> None:
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", free_port()]
    subprocess.run([*launch, *command(values, out, *flags)], check=True, timeout=PATIENCE, env=ONE_THREAD)


def accelerate_launch(values: dict[str, Any], out: Path, *flags: str) -> None:
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    port = ["--num_machines", "1", "--mixed_precision", "no", "--main_process_port", free_port()]
    subprocess.run([*launch, *port, *command(values, out, *flags)], check=True, timeout=PATIENCE, env=ONE_THREAD)


def one_process(values: dict[str, Any], out: Path) -> None:
    Trainer(recipe_from(values), out, bar=False, cpu=True).fit()


def saved_start(values: dict[str, Any], out: Path) -> Path:
    """Saves the scorer that a training starts from."""
    trainer = Trainer(recipe_from(values), out, bar=False, cpu=True)
    trainer.save_scorer("start.safetensors")
    return out / "start.safetensors"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rated_images(tmp_path_factory.mktemp("rated"))


def recipe(table: Path, **run: Any) -> dict[str, Any]:
    """Batch-coupled losses and plain descent, in which a weight's change is its gradient."""
    values = small_recipe(table, **{"dropout": 0.0, **run})
    values["losses"] = {"nin": 1.0, "plcc": 0.5, "fidelity": 0.5, "mse": 1.0}
    # A small rate: a large one lets the last bits of the sums grow in ten steps, on one process or two.
    values["optimizer"] = {"name": "sgd", "lr": 1e-4}
    return values


def assert_close(first: Path, second: Path, tolerance: float) -> None:
    one, two = load_file(first), load_file(second)
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, two[name], rtol=0, atol=tolerance, msg=name)


def test_the_gradients_of_two_processes_are_those_of_the_joined_batch(table: Path, tmp_path: Path) -> None:
    values = recipe(table, steps=1)
    values["optimizer"]["lr"] = 0.1
    values["data"]["validation"] = []
    one_process(values, tmp_path / "one")
    accelerate_launch(values, tmp_path / "two")
    # With one step of plain descent the weights differ from the start by 0.1 times the gradient.
    assert_close(tmp_path / "one" / "last.safetensors", tmp_path / "two" / "last.safetensors", 1e-5)
    step = read_state(tmp_path / "one" / "last.pt")["optimizer"]["state"]
    assert max(float(state["momentum_buffer"].abs().max()) for state in step.values()) > 1e-2


def test_ten_steps_on_two_processes_are_ten_steps_on_one(table: Path, tmp_path: Path) -> None:
    # Two data sets, one after the other, the second for another head: some weights get no gradient in the last pass.
    values = recipe(table, steps=10, validate_every=10)
    values["data"]["train"].append({**values["data"]["train"][0], "name": "sharp", "target": "sharpness"})
    values["options"] = {"dimensions": {"sharp": "sharpness"}}
    one_process(values, tmp_path / "one")
    torchrun(values, tmp_path / "two")
    assert_close(tmp_path / "one" / "last.safetensors", tmp_path / "two" / "last.safetensors", 5e-6)
    start = load_file(saved_start(values, tmp_path / "start"))
    moved = load_file(tmp_path / "two" / "last.safetensors")
    assert max(float((moved[name] - start[name]).abs().max()) for name in start) > 1e-2
    one, two = (read_state(tmp_path / which / "last.pt") for which in ("one", "two"))
    # Validation is shared out too: seven images over two processes.
    assert two["history"][-1]["plcc"] == pytest.approx(one["history"][-1]["plcc"], abs=1e-4)
    assert len(two["random"]) == 2


@pytest.mark.slow
def test_two_processes_resume_bit_for_bit(table: Path, tmp_path: Path) -> None:
    values = {**recipe(table, steps=4, validate_every=2, ema=0.9, dropout=None)}
    torchrun(values, tmp_path / "straight")
    state = tmp_path / "halved"
    state.mkdir()
    shorter = json.loads(json.dumps(values))
    shorter["run"]["steps"] = 2
    torchrun(shorter, state)
    torchrun(values, state, "--resume")
    one, two = load_file(tmp_path / "straight" / "last.safetensors"), load_file(state / "last.safetensors")
    assert [name for name in one if not torch.equal(one[name], two[name])] == []
