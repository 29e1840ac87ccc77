"""What the recipe's commands say and write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from recipe_runs import save_photographs

from iqaloss.evaluation.probes.pictures import read_pictures
from iqaloss.scorers import weights
from scorer_recipes import mdiqa_mobile
from scorer_recipes.mdiqa_mobile import commands, oppose, report
from scorer_recipes.mdiqa_mobile.card import model_card
from scorer_recipes.mdiqa_mobile.commands import main


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_photographs(tmp_path_factory.mktemp("photographs"))


def test_command_explains_a_missing_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--data", str(tmp_path), "--weights", "none.safetensors", "--out", str(tmp_path / "run")])
    assert code == 2
    assert "scores.csv" in capsys.readouterr().err


def test_command_explains_a_device_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    places = ["--data", "none", "--weights", "none.safetensors", "--out", "none"]
    assert main([*places, "--device", "cdua"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: device 'cdua' cannot be used")
    assert "Usable here: cpu" in said


@pytest.mark.parametrize("file", ["backbone.pt", "state.pt"])
def test_command_does_not_overwrite_a_run(
    file: str, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / file).write_bytes(b"")
    code = main(["--data", str(photographs), "--weights", "none.safetensors", "--out", str(tmp_path)])
    assert code == 2
    assert "--resume" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [file]


@pytest.mark.parametrize(("step", "words"), [(750, 16), (749, 0)])
def test_a_whole_training_with_a_panel_goes_on_against_opponents(
    step: int, words: int, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str] = []
    monkeypatch.setattr(commands, "open_run", lambda *_: None)
    monkeypatch.setattr(commands, "_all_stages", lambda *_: (None, step))
    monkeypatch.setattr(commands, "export", lambda scorer, path, recipe, step: path)
    monkeypatch.setattr(commands, "oppose", lambda found: given.extend(found) or 0)
    options = ["--weights", "none.safetensors", "--panel", "weights", "--threads", "1", "--seed", "3"]
    assert main(["--data", str(photographs), "--out", str(tmp_path), *options]) == 0
    assert len(given) == words
    if words:
        assert given[:2] == [str(tmp_path / "mdiqa-mobile.safetensors"), "--resume"]
        read = oppose.build_parser().parse_args(given)
        assert (read.out, read.seed, read.threads) == (tmp_path / "opposed", 3, 1)
        assert (read.panel, read.cache) == (Path("weights"), tmp_path / "photographs.npy")


def test_figures_of_two_files_are_not_published_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for seed, path in enumerate(files):
        path.write_text(json.dumps({"parameters": 1, "gmacs": 0.5, "seed": seed}), encoding="utf-8")
    code = main(["publish", "none.safetensors", "--figures", *map(str, files), "--to", str(tmp_path)])
    assert code == 2
    assert "b.json is of another file" in capsys.readouterr().err


def test_shipped_card_is_made_of_the_figures_beside_it() -> None:
    folder = Path(weights.__file__).parent
    own = Path(mdiqa_mobile.__file__).parent
    limits, loss = ((own / name).read_text(encoding="utf-8") for name in ("limits.md", "as_a_loss.md"))
    figures = json.loads((folder / "mdiqa-mobile.json").read_text(encoding="utf-8"))
    assert model_card(figures, limits, loss) == (folder / "mdiqa-mobile.md").read_text(encoding="utf-8")


def test_evaluate_gives_the_figures_of_the_probe_command(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("typer")
    from iqaloss.cli import main as iqaloss

    monkeypatch.setattr(report, "read_pictures", lambda folder, limit: read_pictures(folder, limit, side=64))
    words = ["--clean", str(photographs), "--clean-limit", "2", "--json", str(tmp_path / "figures.json")]
    assert main(["evaluate", *words]) == 0
    assert "selectivity" in capsys.readouterr().out
    words = ["--clean", str(photographs), "--images-limit", "2", "--side", "64", "--device", "cpu", "--json"]
    assert iqaloss(["probe", "mdiqa-mobile", *words]) == 0
    probed = json.loads(capsys.readouterr().out)
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert {name: figures[name] for name in probed} == probed
