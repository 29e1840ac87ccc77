"""The benchmark that asks how much of a gradient is chance."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from benchmarks import steadiness
from iqaloss.data.images import to_image


def test_a_gradient_that_does_not_look_at_the_picture_is_steady_and_one_that_looks_at_noise_is_not() -> None:
    still, other = torch.full((2, 3, 16, 16), 0.5), torch.zeros(2, 3, 16, 16)
    assert steadiness.under_noise(lambda pred, target: pred.mean(), still, other) == 1.0
    assert steadiness.rounded(lambda pred, target: pred.mean(), still, other) == 1.0
    assert steadiness.under_noise(lambda pred, target: (pred - still).square().sum(), still, other) == 0.0


def test_the_table_has_a_row_for_each_mode_with_and_without_a_prefilter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waves = torch.linspace(0.0, 25.0, 128).sin()
    image = 0.5 + 0.2 * (waves[:, None] + waves[None]) * torch.tensor([1.0, 0.8, 0.6])[:, None, None]
    to_image(image.clamp(0.0, 1.0)).save(tmp_path / "one.png")
    monkeypatch.setattr(sys, "argv", ["steadiness", "--originals", str(tmp_path), "--crops", "1"])
    steadiness.main()
    rows = capsys.readouterr().out.splitlines()[2:]
    filters = ("", ", prefilter 0.8", ", prefilter 1.2")
    assert [row.split(" | ")[0] for row in rows] == [
        f"| `MDIQALoss`, {mode}{one}" for mode in ("nr", "fr") for one in filters
    ]
    assert all(0.0 < float(cell) <= 1.0 for row in rows for cell in row.strip("| ").split(" | ")[1:])
