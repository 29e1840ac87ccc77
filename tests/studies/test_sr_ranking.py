"""The experiment on ranked methods, tiny: it goes on where it stopped, and a judge is silent where it is partial."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

pytest.importorskip("accelerate", reason="training needs the extra `train`")

from iqaloss.evaluation.panel import Panel
from studies.sr_ranking import __main__ as command
from studies.sr_ranking import calibrating, methods, truth

RULES = {"nearest": Image.Resampling.NEAREST, "box": Image.Resampling.BOX, "bilinear": Image.Resampling.BILINEAR}
RULES |= {"hamming": Image.Resampling.HAMMING, "bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}
RULES |= {"again": Image.Resampling.BILINEAR, "dists": Image.Resampling.BICUBIC}


class PlainVoices(Panel):
    """Distances that no network makes."""

    def measure(self, pred: Tensor, target: Tensor) -> dict[str, Tensor]:
        difference = (pred - target).abs()
        return {name: (difference ** (1 + k)).mean((1, 2, 3)) for k, name in enumerate(truth.VOTERS)}


def test_a_judge_has_no_vote_on_what_was_trained_with_one_of_its_family() -> None:
    kept = {f"{name}/000": dict.fromkeys(truth.VOTERS, value) for name, value in (("dists", 0.1), ("bicubic", 0.2))}
    votes = list(truth._votes(kept, ["dists", "bicubic"], 1))
    assert {vote[3] for vote in votes} == {"lpips_alex", "vit"}
    assert all(vote[:2] == ("dists", "bicubic") for vote in votes)


def test_the_command_writes_its_page_and_makes_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        methods, "METHODS", {name: methods.interpolated(rule, name == "again") for name, rule in RULES.items()}
    )
    monkeypatch.setattr(command, "METHODS", methods.METHODS)
    monkeypatch.setattr(command, "load_panel", lambda names, folder: PlainVoices((), {}, {}))
    rows, columns = np.mgrid[:70, :80]
    for number in range(4):
        waves = 128 + 60 * np.sin(rows / (2 + number)) + 50 * np.cos(columns / 3)
        image = np.repeat(waves[..., None], 3, 2).astype(np.uint8)
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / f"photos/{number}.png")
    given = [word for name in ("originals", "photos", "start", "ntire", "upscayl", "panel")
             for word in (f"--{name}", str(tmp_path / "photos"))]  # fmt: skip
    given += ["--work", str(tmp_path / "work"), "--out", str(tmp_path), "--pictures", "2", "--side", "64"]
    given += ["--seeds", "1", "--steps", "1", "--variants", "one"]
    threads = torch.get_num_threads()
    try:
        assert command.main(given) == 0
        page = (tmp_path / "sr_ranking.md").read_text(encoding="utf-8")
        monkeypatch.setattr(calibrating, "calibrate", None)
        assert command.main(given) == 0
    finally:
        torch.set_num_threads(threads)
    assert (tmp_path / "sr_ranking.md").read_text(encoding="utf-8") == page
    found = json.loads((tmp_path / "sr_ranking.json").read_text(encoding="utf-8"))
    assert sorted(name for fold in found["folds"] for name in fold) == sorted(RULES)
    assert found["rows"]["oracle"]["methods seen"] >= found["rows"]["uncalibrated"]["methods seen"]
    assert str(tmp_path) not in page
