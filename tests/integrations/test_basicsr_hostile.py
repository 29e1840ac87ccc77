"""BasicSR with recipes that cannot be right, files of somebody else, and stops at any moment."""

from __future__ import annotations

import copy
import importlib.util
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

if importlib.util.find_spec("basicsr") is None:
    pytest.skip("BasicSR is not installed (extra basicsr; not on Python 3.13)", allow_module_level=True)

from iqaloss._files import locked
from iqaloss.integrations.basicsr import register, train
from iqaloss.integrations.basicsr.__main__ import main
from iqaloss.integrations.basicsr.checks import check_recipe
from iqaloss.integrations.basicsr.recipe import RecipeError, parse_yaml

register()


def changed(recipe: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    options = copy.deepcopy(recipe)
    place, words = options, key.split(".")
    for word in words[:-1]:
        place = place.setdefault(word, {})
    if value is None:
        place.pop(words[-1], None)
    else:
        place[words[-1]] = value
    return options


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("name", "../../precious", "name must be one plain name"),
        ("name", ".", "name must be one plain name"),
        ("name", "a/b", "name must be one plain name"),
        ("name", 3, "name must be one plain name"),
        ("val.val_freq", None, "val.val_freq is missing"),
        ("val.val_freq", 0, "val.val_freq must be at least 1, got 0"),
        ("train.total_iter", 0, "train.total_iter must be at least 1, got 0"),
        ("train.total_iter", float("inf"), "train.total_iter must be"),
        ("train.ema_decay", 2, "train.ema_decay must be a number between 0 and 1, got 2"),
        ("train.optim_g.lr", float("nan"), "train.optim_g.lr must be a number"),
        ("train.use_grad_clip", True, "train.use_grad_clip is not read by"),
        ("train.grad_clip", 1, "train.grad_clip is not read by"),
        ("train.accumulate", 2, "train.accumulate is not read by"),
        ("use_amp", True, "use_amp is not read by IQASRModel"),
        ("train.iqa_opt.pix", {"type": "IQALoss"}, "BasicSR's own loss as l_pix"),
        ("train.iqa_opt.near.reduction", "none", "reduction: none gives a loss of each image"),
        ("datasets.train.prefetch_mode", "cuda", "prefetch_mode: cuda needs a GPU"),
        ("datasets.train.batch_size_per_gpu", 0, "batch_size_per_gpu must be at least 1"),
        ("network_g.num_out_ch", 1, r"network_g.num_out_ch is 1, and train.iqa_opt.sharp scores RGB"),
        ("datasets.val.color", "y", "color: y makes grey pictures"),
        ("datasets.train.gt_size", 16, "gt_size is 16, and train.iqa_opt.sharp needs 32 pixels"),
        (
            "val.metrics.sharpness.crop_border",
            20,
            "0.png has a side of 64 pixels; val.metrics.sharpness needs 32 inside its",
        ),
        ("train", [1], "train must be a mapping"),
        ("path", 3, "path must be a mapping"),
    ],
)
def test_a_recipe_that_cannot_be_right_is_told_before_anything_is_built(
    key: str,
    value: Any,
    said: str,
    recipe: dict[str, Any],
) -> None:
    with pytest.raises(RecipeError, match=said):
        check_recipe(changed(recipe, key, value))


def test_what_a_model_reads_and_does_not_find_is_told(recipe: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r"gt_usm is missing: RealESRNetModel reads it"):
        check_recipe({**recipe, "model_type": "RealESRNetModel"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{lr: 1, lr: 2}", "the key 'lr' is there twice"),
        ("a: &a [1, 1]\nb: &b [*a, *a]\n" + "".join(f"c{i}: &c{i} [{', '.join([f'*{p}'] * 9)}]\n"
         for i, p in enumerate(["b", *(f"c{k}" for k in range(7))])), "stands for more than"),
        ("a: " + "[" * 10_000, "nested too deeply"),
        ("a: &a [*a]", "alias stands for what holds it"),
    ],
    ids=["twice", "bomb", "deep", "circle"],
)  # fmt: skip
def test_yaml_that_means_no_recipe_is_told(text: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        parse_yaml(text, "recipe.yml")


def test_a_pickle_in_a_checkpoint_is_not_run(recipe: dict[str, Any], tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    torch.save({"params": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(RecipeError, match=r"path.pretrain_network_g: cannot read the checkpoint .*evil\.pth"):
        train(changed(recipe, "path.pretrain_network_g", str(tmp_path / "evil.pth")), root=tmp_path, progress=False)
    assert not (tmp_path / "ran").exists()


def test_what_basicsr_loads_runs_no_code_on_any_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before torch 2.6 a load that does not say so runs what is in the file."""
    from iqaloss.integrations.basicsr.compat import safe_files

    told: list[dict[str, Any]] = []
    monkeypatch.setattr(torch, "load", lambda *_, **options: told.append(options))
    with safe_files():
        torch.load("net.pth", map_location="cpu")
        torch.load("own.pth", weights_only=False)
    assert [options["weights_only"] for options in told] == [True, False]


def weights_of(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "models" / "net_g_latest.pth", weights_only=True)


@pytest.mark.parametrize(("stop", "workers"), [(2, 0), (3, 0), (4, 1)])
def test_a_training_that_is_stopped_ends_bit_for_bit_where_it_would_have(
    stop: int,
    workers: int,
    recipe: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In an epoch and at its end, with pictures that are turned at random, validations, and others who draw numbers."""
    from basicsr.models.sr_model import SRModel

    recipe["train"]["total_iter"] = 5
    recipe["datasets"]["train"] |= {"dataset_enlarge_ratio": 1.5, "gt_size": 32}
    recipe["logger"] = {"save_checkpoint_freq": stop, "use_tb_logger": False}
    del recipe["train"]["iqa_opt"]["near"], recipe["val"]["metrics"]["sharpness"]
    whole = weights_of(train(recipe, root=tmp_path / "whole", progress=False))
    step = SRModel.optimize_parameters

    def interrupted(self: Any, iteration: int) -> None:
        if iteration == stop + 1:
            raise KeyboardInterrupt
        step(self, iteration)

    def disturbed(self: Any, iteration: int) -> None:
        step(self, iteration)
        random.random(), np.random.rand(), torch.rand(1)

    monkeypatch.setattr(SRModel, "optimize_parameters", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, root=tmp_path / "stopped", progress=False)
    monkeypatch.setattr(SRModel, "optimize_parameters", disturbed)
    recipe["datasets"]["train"]["num_worker_per_gpu"] = workers
    again = weights_of(train(recipe, root=tmp_path / "stopped", auto_resume=True, progress=False))
    for kind in ("params", "params_ema"):
        for name, value in whole[kind].items():
            assert torch.equal(value, again[kind][name]), f"{kind} {name}"


def test_a_damaged_state_is_gone_back_behind(recipe: dict[str, Any], tmp_path: Path) -> None:
    recipe["logger"]["use_tb_logger"] = False
    folder = train(recipe, root=tmp_path, progress=False)
    states = folder / "training_states"
    (states / "4.state").write_bytes((states / "4.state").read_bytes()[:100])
    (states / "old.state").write_bytes(b"")
    recipe["train"]["total_iter"] = 5
    with pytest.warns(UserWarning, match=r"4\.state cannot be gone on from.*going back to the state before"):
        assert train(recipe, root=tmp_path, auto_resume=True, progress=False) == folder
    for state in states.glob("*.state"):
        state.write_bytes(b"x")
    with pytest.raises(RecipeError, match="none of the"), pytest.warns(UserWarning, match="cannot be gone on from"):
        train(recipe, root=tmp_path, auto_resume=True, progress=False)


def test_two_trainings_do_not_write_into_one_folder(recipe: dict[str, Any], tmp_path: Path) -> None:
    with (
        locked(tmp_path / "experiments" / ".tiny"),
        pytest.raises(ValueError, match="another run is writing into"),
    ):
        train(recipe, root=tmp_path, progress=False)


def test_starts_within_one_second_move_what_is_there_to_names_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import basicsr.utils

    from iqaloss.integrations.basicsr import folders

    monkeypatch.setattr(basicsr.utils, "get_time_str", lambda: "20260101_000000")
    for run in range(3):
        (tmp_path / "tiny").mkdir()
        (tmp_path / "tiny" / "run").write_text(str(run))
        folders._move_aside(tmp_path / "tiny")
    assert sorted(path.read_text() for path in tmp_path.glob("tiny_archived_*/run")) == ["0", "1", "2"]


def test_a_full_disk_costs_no_checkpoint_that_was_saved_before(
    recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from basicsr.models import base_model

    recipe["logger"]["use_tb_logger"] = False
    del recipe["train"]["iqa_opt"]["near"], recipe["val"]
    monkeypatch.setattr(base_model.time, "sleep", lambda seconds: None)
    whole = torch.save

    def full(state: Any, path: Any, *rest: Any, **options: Any) -> None:
        if (tmp_path / "experiments" / "tiny" / "training_states" / "2.state").exists():
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        whole(state, path, *rest, **options)

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", full)
        with pytest.raises(OSError, match=r"cannot write .*net_g_4\.pth: No space left on device"):
            train(recipe, root=tmp_path, progress=False)
    folder = tmp_path / "experiments" / "tiny"
    assert not [path for path in folder.rglob("*") if "tmp" in path.name or "partial" in path.name]
    assert not (folder / "models" / "net_g_4.pth").exists()
    assert train(recipe, root=tmp_path, auto_resume=True, progress=False) == folder
    assert set(weights_of(folder)) == {"params", "params_ema"}


def test_a_state_that_cannot_be_written_ends_the_training_with_its_path(
    recipe: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from basicsr.models import base_model

    recipe["logger"]["use_tb_logger"] = False
    monkeypatch.setattr(base_model.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match=r"cannot write .*net_g_2\.pth"):
        train(recipe, root=tmp_path, progress=False)


def test_an_error_of_basicsrs_own_is_one_line(
    recipe: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import yaml
    from basicsr.models.sr_model import SRModel

    def fails(self: Any, data: Any) -> None:
        raise KeyError("lq")

    monkeypatch.setattr(SRModel, "feed_data", fails)
    (tmp_path / "recipe.yml").write_text(yaml.safe_dump(recipe))
    assert main(["-opt", str(tmp_path / "recipe.yml"), "--root", str(tmp_path), "--quiet"]) == 2
    assert "BasicSR cannot train the recipe 'tiny' (KeyError: 'lq')" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named(
    recipe: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import yaml

    (tmp_path / "recipe.yml").write_text(yaml.safe_dump(recipe))
    (tmp_path / "experiments").write_text("no folder")
    assert main(["-opt", str(tmp_path / "recipe.yml"), "--root", str(tmp_path), "--quiet"]) == 2
    assert f"cannot write into {tmp_path / 'experiments'}" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("swallowed", [False, True], ids=["in training", "in an import"])
def test_a_stop_is_a_line_and_the_way_to_go_on(
    number: signal.Signals, swallowed: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from iqaloss.integrations.basicsr import __main__ as module

    def stopped(*_: Any, **__: Any) -> None:
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            if swallowed:
                raise ImportError("a library's own word for it") from None
            raise

    monkeypatch.setattr(module, "train", stopped)
    assert threading.current_thread() is threading.main_thread()
    assert main(["-opt", "recipe.yml"]) == 128 + number
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert "the same command with --auto_resume goes on" in told[0]


@pytest.mark.slow
def test_a_killed_process_goes_on_bit_for_bit(recipe: dict[str, Any], tmp_path: Path) -> None:
    import yaml

    recipe["train"]["total_iter"] = 40
    recipe["datasets"]["train"]["num_worker_per_gpu"] = 2
    recipe["logger"] = {"print_freq": 10, "save_checkpoint_freq": 3, "use_tb_logger": False}
    (tmp_path / "recipe.yml").write_text(yaml.safe_dump(recipe))
    whole = weights_of(train(recipe, root=tmp_path / "whole", progress=False))
    command = [sys.executable, "-m", "iqaloss.integrations.basicsr", "-opt", str(tmp_path / "recipe.yml"), "--quiet"]
    command += ["--root", str(tmp_path / "killed"), "--auto_resume"]
    for seconds in (20, 25, 30):
        try:
            subprocess.run(command, timeout=seconds, check=True)
        except subprocess.TimeoutExpired:
            continue
    subprocess.run(command, check=True)
    again = weights_of(tmp_path / "killed" / "experiments" / "tiny")
    assert all(torch.equal(value, again["params"][name]) for name, value in whole["params"].items())
