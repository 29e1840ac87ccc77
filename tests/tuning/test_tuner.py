"""A tuning learns, says beforehand what it will cost, goes on where it was stopped, and leaves a report."""

from __future__ import annotations

import dataclasses
import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Generator

from iqaloss._files import locked
from iqaloss.cli import main
from iqaloss.data.images import to_image
from iqaloss.scorers import checkpoints
from iqaloss.training.engine.checkpointing import STATE, read_state
from iqaloss.tuning.balance import Balance
from iqaloss.tuning.msrresnet import MSRResNet
from iqaloss.tuning.networks import load_network
from iqaloss.tuning.settings import TuneSettings
from iqaloss.tuning.tuner import Tuner
from testing.cases import tiny

pytest.importorskip("accelerate", reason="accelerate is not installed (extra train)")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A small network, a small scorer and photographs."""
    root = tmp_path_factory.mktemp("tuning")
    torch.manual_seed(0)
    save_file(MSRResNet(4, 1, 2).state_dict(), root / "net.safetensors")
    checkpoints.save(tiny("mdiqa-mobile"), root / "tiny.safetensors")
    (root / "photos").mkdir()
    generator = Generator().manual_seed(0)
    for number in range(5):
        coarse = torch.rand(1, 3, 9, 8, generator=generator)
        smooth = torch.nn.functional.interpolate(coarse, (72, 64), mode="bicubic")[0].clamp(0, 1)
        to_image(smooth).save(root / "photos" / f"{number}.png")
    loss = f"MDIQALoss(sharpness=2, scorer={{name: mdiqa-mobile, weights: {root / 'tiny.safetensors'}}})"
    settings = TuneSettings(
        str(root / "net.safetensors"),
        str(root / "photos"),
        losses=(loss,),
        steps=4,
        batch_size=2,
        patch=32,
        save_every=2,
    )
    return {"settings": settings, "loss": loss, "root": root}


def tuned(settings: TuneSettings, out: Path, **options: Any) -> dict[str, torch.Tensor]:
    tuner = Tuner(settings, out, cpu=True, **options)
    return load_network(tuner.fit(bar=False)).module.state_dict()


def test_a_tuning_that_was_stopped_goes_on_as_if_it_had_not(made: dict[str, Any], tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(step: int, terms: Any) -> None:
        if step == 3:
            raise Stop

    straight = tuned(made["settings"], tmp_path / "a")
    with pytest.raises(Stop):
        Tuner(made["settings"], tmp_path / "b", cpu=True).fit(bar=False, say=stop)
    with pytest.raises(FileExistsError, match="holds a tuning already"):
        Tuner(made["settings"], tmp_path / "b", cpu=True)
    with pytest.raises(ValueError, match="seed was 0, is 1"):
        Tuner(dataclasses.replace(made["settings"], seed=1), tmp_path / "b", cpu=True, resume=True)
    resumed = Tuner(made["settings"], tmp_path / "b", cpu=True, resume=True)
    assert resumed.step == 2
    again = load_network(resumed.fit(bar=False)).module.state_dict()
    assert all(torch.equal(straight[name], again[name]) for name in straight)


def test_foreseeing_changes_nothing_and_names_the_balance(made: dict[str, Any], tmp_path: Path) -> None:
    tuner = Tuner(made["settings"], tmp_path, cpu=True)
    before = {name: value.clone() for name, value in tuner.network.module.state_dict().items()}
    state = torch.get_rng_state()
    cost, (balance,) = tuner.foresee()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in tuner.network.module.state_dict().items())
    assert all(weight.grad is None for weight in tuner.network.module.parameters())
    assert set(cost.flops) == {"network", "MDIQALoss"}
    assert min(cost.flops.values()) > 0
    assert balance.balanced == pytest.approx(balance.weight / balance.ratio)


def test_the_balanced_weight_balances(made: dict[str, Any], tmp_path: Path) -> None:
    _, (first,) = Tuner(made["settings"], tmp_path, cpu=True).foresee()
    loss = f"{made['loss'][:-1]}, loss_weight={first.balanced})"
    _, (second,) = Tuner(dataclasses.replace(made["settings"], losses=(loss,)), tmp_path, cpu=True).foresee()
    assert second.ratio == pytest.approx(1.0, rel=1e-3)
    assert second.warning is None


@pytest.mark.parametrize(
    ("ratio", "said"), [(100.0, "very large"), (0.001, "very small"), (1.0, None), (0.0, "no gradient")]
)
def test_a_gradient_that_is_far_off_is_told_with_the_weight_that_mends_it(ratio: float, said: str | None) -> None:
    warning = Balance("x", 0.5, ratio, 0.5 / ratio if ratio else None).warning
    assert (warning is None) == (said is None)
    if said:
        assert said in str(warning)
    if ratio == 100.0:
        assert "loss_weight=0.005" in str(warning)


def test_what_the_network_cannot_take_is_told_with_what_it_can(made: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="take 48"):
        Tuner(dataclasses.replace(made["settings"], patch=47), tmp_path, cpu=True)


def test_the_command_leaves_a_checkpoint_settings_curves_and_a_report(
    made: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("typer", reason="typer is not installed (extra cli)")
    words = ["tune", made["settings"].model, "--images", made["settings"].images, "--loss", made["loss"]]
    words += ["--out", str(tmp_path), "--steps", "2", "--patch", "32", "--batch-size", "2", "--device", "cpu"]
    assert main([*words, "--dry-run"]) == 0
    assert not list(tmp_path.iterdir())
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "gradient of MDIQALoss at weight 0.03" in told
    assert "GFLOP, network" in told
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings["settings"]["losses"] == [made["loss"]]
    assert len(settings["sha256"]["tuned"]) == 64
    assert {row["version"] for row in settings["held out"]["means"]} == {"before", "tuned", "truth"}
    assert (tmp_path / "curves.csv").read_text().startswith("step,L1,MDIQALoss brightness")
    assert "<title>net.safetensors tuned with MDIQALoss" in (tmp_path / "report.html").read_text()
    assert load_network(tmp_path / "net_tuned.safetensors").scale == 2


# --- what cannot be written, and what may not be ---


def test_a_full_disk_ends_a_tuning_with_the_path_and_costs_nothing_that_was_saved(
    made: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = tuned(made["settings"], tmp_path / "straight")
    whole, out = torch.save, tmp_path / "out"

    def full(state: Any, path: Any) -> None:
        if state.get("step") == 4:
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(state, path)

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", full)
        with pytest.raises(OSError, match=r"cannot write .*out.*: No space left on device; what was there before"):
            tuned(made["settings"], out)
    assert not list(out.glob("*.tmp*"))
    assert not list(out.glob("*tuned*"))
    resumed = Tuner(made["settings"], out, cpu=True, resume=True)
    assert resumed.step == 2
    again = load_network(resumed.fit(bar=False)).module.state_dict()
    assert all(torch.equal(straight[name], again[name]) for name in straight)


def test_a_folder_that_cannot_be_written_is_named_before_the_first_step(made: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "out").write_text("no folder")
    steps: list[int] = []
    with pytest.raises(OSError, match=r"cannot write into .*out"):
        Tuner(made["settings"], tmp_path / "out", cpu=True).fit(bar=False, say=lambda step, terms: steps.append(step))
    assert not steps


def test_two_tunings_do_not_share_a_folder(made: dict[str, Any], tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(ValueError, match="another run is writing into"):
        Tuner(made["settings"], tmp_path, cpu=True).fit(bar=False)
    assert not list(tmp_path.glob("*.pt"))


def test_weights_that_are_not_finite_are_never_saved(made: dict[str, Any], tmp_path: Path) -> None:
    tuner = Tuner(made["settings"], tmp_path, cpu=True)

    def spoil(step: int, terms: Any) -> None:
        if step == 4:
            with torch.no_grad():
                next(tuner.network.module.parameters()).fill_(float("nan"))

    with pytest.raises(ValueError, match=r"after step 4 1 of \d+ tensors are not finite"):
        tuner.fit(bar=False, say=spoil)
    assert read_state(tmp_path / STATE)["step"] == 2
    assert not list(tmp_path.glob("*tuned*"))
