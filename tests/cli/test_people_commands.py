"""Commands for people: compare, explain, models, bench, cite, doctor; and what every command owes."""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from iqaloss.cli import main
from iqaloss.scorers import checkpoints
from testing.cases import tiny
from tests.contracts.surface import commands

pytest.importorskip("typer", reason="typer is not installed (extra cli)")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    checkpoints.save(tiny("mdiqa-mobile"), path)
    return str(path)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """A true picture, one that is near it and one that is far, five times."""
    generator = np.random.default_rng(0)
    for number in range(5):
        x, y = np.meshgrid(np.arange(48), np.arange(40))
        clean = 128 + 80 * np.sin((x + number * y) / 4)[..., None] * [1.0, 0.6, 0.3]
        for name, sigma in {"truth": 0, "near": 5, "far": 40}.items():
            (tmp_path / name).mkdir(exist_ok=True)
            noisy = clean + generator.normal(0, sigma, clean.shape)
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(tmp_path / name / f"{number}.png")
    return tmp_path


def every_command() -> list[list[str]]:
    return [name.split()[1:] for name in commands()]


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_help_shows_an_example_of_the_command_itself(words: list[str]) -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main([*words, "--help"]) == 0
    text = " ".join(out.getvalue().split())
    said = "models" if words == ["scorers"] else " ".join(words)
    assert re.search(rf"iqaloss {re.escape(said)}\b", text), text


def test_help_waits_for_nothing_heavy() -> None:
    code = (
        "import sys\nfrom iqaloss.cli import main\n"
        f"for words in {every_command()!r}: main([*words, '--help'])\n"
        "heavy = 'torch numpy PIL matplotlib pyarrow starlette pydantic'.split()\n"
        "heavy = [module for module in heavy if module in sys.modules]\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_help_is_that_of_the_command_which_is_named() -> None:
    from iqaloss.cli.app import help_of

    assert "Usage: iqaloss rank fit" in (help_of(["rank", "fit", "votes.csv", "--help"]) or "")
    assert "Usage: iqaloss rank " in (help_of(["rank", "--help"]) or "")
    assert "Usage: iqaloss " in (help_of(["--help"]) or "")
    assert help_of(["tunes", "--help"]) is None
    assert help_of(["tune", "4x.pth"]) is None


def test_options_have_one_spelling() -> None:
    taken = {name: accepted for name, accepted in commands().items()}
    meanings: dict[str, set[str]] = {}
    for accepted in taken.values():
        for label, kind in accepted.items():
            for flag in label.split():
                if flag.startswith("--"):
                    meanings.setdefault(flag, set()).add(kind.split(",")[0].replace(" | None", ""))
    assert not {flag for flag in meanings if "_" in flag}
    for flag in ("--device", "--weights", "--seed", "--batch-size", "--json", "--resume", "--quiet", "--out"):
        kinds = {re.sub(r"typing\.|pathlib\.|list\[|\]", "", kind) for kind in meanings[flag]}
        assert len(kinds) == 1, f"{flag} takes {kinds}"


def test_compare_finds_the_better_folder_with_an_interval(
    folders: Path, weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", str(folders / "far"), str(folders / "near"), "--reference", str(folders / "truth")]
    assert main([*words, "--weights", weights, "--json", "--out", str(folders / "out")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["against"] == "far"
    psnr = told["differences"]["near"]["psnr_y"]
    assert psnr["wins"] == 1.0
    assert 0 < psnr["low"] <= psnr["mean"] <= psnr["high"]
    assert json.loads((folders / "out" / "comparison.json").read_text())["pictures"] == 5
    page = (folders / "out" / "report.html").read_text()
    assert "<title>far against near</title>" in page


def test_compare_says_what_does_not_match(folders: Path, weights: str, capsys: pytest.CaptureFixture[str]) -> None:
    (folders / "near" / "4.png").unlink()
    assert main(["compare", str(folders / "far"), str(folders / "near"), "--weights", weights]) == 0
    told = capsys.readouterr()
    assert "1 pictures are not in all folders" in told.err
    assert "4 pictures; against far" in told.out
    Image.new("RGB", (50, 50)).save(folders / "near" / "0.png")
    assert main(["compare", str(folders / "far"), str(folders / "near"), "--weights", weights]) == 2
    assert "0 has different sizes: 40x48, 50x50" in capsys.readouterr().err
    assert main(["compare", str(folders / "far")]) == 2
    assert "at least two folders" in capsys.readouterr().err


def test_folders_of_one_name_are_told_apart() -> None:
    from iqaloss.cli.compare import named

    assert list(named([Path("a/val"), Path("b/val"), Path("c")])) == ["a/val", "b/val", f"{Path.cwd().name}/c"]


def test_explain_makes_a_map_for_each_dimension(folders: Path, weights: str) -> None:
    out = folders / "page.html"
    assert main(["explain", str(folders / "truth" / "0.png"), "--weights", weights, "--out", str(out)]) == 0
    told = re.search(r'<script type="application/json">(.*?)</script>', out.read_text(), re.DOTALL)
    assert told is not None
    (picture,) = json.loads(told[1])
    assert [version["title"] for version in picture["versions"]] == [
        "image",
        "score",
        *tiny("mdiqa-mobile").dimension_names,
    ]


def test_a_map_is_bright_where_the_score_looks() -> None:
    from iqaloss.evaluation.explaining import heat

    gradient = torch.zeros(3, 40, 40)
    gradient[:, 10:14, 20:24] = 1.0
    found = heat(gradient)
    row, column = divmod(int(found.argmax()), 40)
    assert 8 <= row <= 15
    assert 18 <= column <= 25
    assert float(found.max()) == 1.0


def test_models_and_scorers_say_the_same_and_costs_are_the_counted_ones(capsys: pytest.CaptureFixture[str]) -> None:
    from iqaloss import list_scorers
    from iqaloss.scorers.costs import COSTS

    assert main(["models", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert main(["scorers", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == rows
    assert [row["name"] for row in rows] == list_scorers()
    counted = json.loads((ROOT / "benchmarks" / "results" / "scorer_costs.json").read_text())["scorers"]
    assert set(COSTS) == set(counted)
    for name, (parameters, macs) in COSTS.items():
        assert parameters == pytest.approx(counted[name]["parameters"] / 1e6, abs=0.06)
        assert macs == pytest.approx(counted[name]["macs"] / 1e9, abs=0.006)


def test_models_counts_a_scorer_at_any_size(capsys: pytest.CaptureFixture[str]) -> None:
    from iqaloss.scorers.costs import COSTS

    def macs(size: str) -> float:
        assert main(["models", "mdiqa-mobile", "--size", size, "--json"]) == 0
        (row,) = json.loads(capsys.readouterr().out)
        assert row["million parameters"] == pytest.approx(COSTS["mdiqa-mobile"][0], abs=0.05)
        return float(row["GMACs"])

    assert macs("256x256") == pytest.approx(COSTS["mdiqa-mobile"][1], abs=0.006)
    assert macs("128x128") < 0.4 * COSTS["mdiqa-mobile"][1]
    assert main(["models", "mdiqa-mobile", "--size", "256"]) == 2
    assert "HEIGHTxWIDTH, such as 384x512; got '256'" in capsys.readouterr().err


def test_cite_names_paper_digest_and_version(capsys: pytest.CaptureFixture[str], weights: str) -> None:
    from iqaloss import __version__
    from iqaloss.scorers.registry import entry
    from iqaloss.scorers.state_dicts import sha256_of

    assert main(["cite"]) == 0
    told = capsys.readouterr().out
    file = entry("mdiqa-mobile").card.embedded
    assert file is not None
    assert all(word in told for word in (file.sha256, "2508.16887", __version__))
    assert main(["cite", "mdiqa-mobile", "--weights", weights]) == 0
    assert sha256_of(weights) in capsys.readouterr().out


def test_doctor_knows_every_extra_and_says_how_to_mend(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from iqaloss.cli import doctor

    setup = (ROOT / "setup.py").read_text()
    extras = set(re.findall(r'^    "(\w+)": \[', setup, re.M))
    assert extras - {"dev", "docs"} <= set(doctor.EXTRAS)
    monkeypatch.setattr(doctor, "EXTRAS", {"cli": ("typer",), "nothing": ("no_such_module",)})

    def broken() -> str:
        raise OSError("the weights are gone")

    monkeypatch.setattr(doctor, "CHECKS", (("weights", broken, "install it again"),))
    assert main(["doctor"]) == 1
    told = capsys.readouterr().out
    assert "good    extra cli: typer" in told
    assert "absent  extra nothing: without no_such_module\n        -> pip install 'iqaloss[nothing]'" in told
    assert "broken  weights: OSError: the weights are gone\n        -> install it again" in told


def test_bench_counts_and_times(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", "MDIQALoss", "--side", "64", "--batch-size", "1", "--repeats", "1", "--device", "cpu", "--json"]
    assert main(words) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["GFLOP"] > 0
    assert row["milliseconds"] > 0
