"""The memory benchmark runs, on a few images."""

from __future__ import annotations

import json

import pytest

from benchmarks import scale

pytest.importorskip("pyarrow")


@pytest.mark.parametrize("source", ["folder", "shards"])
def test_the_memory_benchmark_reports_a_slope(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    scale.main(["--images", "12", "--rows", "3", "--batch-size", "3", "--source", source])
    report = json.loads(capsys.readouterr().out)
    assert (report["images"], report["source"]) == (12, source)
    assert isinstance(report["slope_mb_per_1000_images"], float)
