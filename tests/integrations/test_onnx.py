"""An exported scorer says the same as the scorer, and what it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from iqaloss.cli import main
from iqaloss.integrations.onnx import export_scorer
from testing.cases import tiny


@pytest.mark.slow
def test_onnx_scores_any_batch_as_the_scorer_does_and_says_what_it_is(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra export)")
    scorer = tiny("mdiqa-mobile")
    found = export_scorer(scorer, tmp_path / "tiny.onnx", "d" * 64, 64, 96)
    assert found.difference < 1e-4
    session = runtime.InferenceSession(str(found.path))
    for batch in (1, 2, 5):
        images = torch.rand(batch, 3, 64, 96)
        score, *dimensions = session.run(None, {"images": images.numpy()})
        want = scorer(images)
        np.testing.assert_allclose(score, want.score.numpy(), atol=1e-4)
        np.testing.assert_allclose(dimensions[-1], want.dimensions["sharpness"].numpy(), atol=1e-4)
    told = session.get_modelmeta().custom_metadata_map
    assert told["iqaloss.scorer"] == "mdiqa-mobile"
    assert told["iqaloss.sha256"] == "d" * 64
    assert json.loads(told["iqaloss.dimensions"]) == list(scorer.dimension_names)
    assert "normalizes" in told["iqaloss.input"]


@pytest.mark.slow
def test_a_program_of_torch_scores_as_the_scorer_does(tmp_path: Path) -> None:
    assert export_scorer(tiny("mdiqa-mobile"), tmp_path / "tiny.pt2", "d" * 64, 64, 64).difference < 1e-4


def test_another_suffix_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("typer", reason="typer is not installed (extra cli)")
    assert main(["export", "mdiqa-mobile", str(tmp_path / "scorer.bin")]) == 2
    assert "must end with .onnx or .pt2" in capsys.readouterr().err
