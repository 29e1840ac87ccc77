"""What a reader of the papers types: prompts, options that vary, the rows that a training held out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from iqaloss.cli import main
from iqaloss.scorers import checkpoints
from iqaloss.scorers.factory import create_scorer, create_tiny
from testing import published_copies
from testing.tiny_data import write_rated_images

for package in ("typer", "rich", "accelerate", "tokenizers", "yaml", "scipy", "matplotlib"):
    pytest.importorskip(package)
WORDS = [*("[PAD]", "[CLS]", "[SEP]", "[UNK]"), "statue", "of", "a", "man", *(f"w{i}" for i in range(24))]


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("words") / "vocab.txt"
    path.write_text("\n".join(WORDS) + "\n")
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rated_images(tmp_path_factory.mktemp("rated"), count=6)


def moe(path: Path, tokenizer: Path | None = None) -> Path:
    scorer = create_tiny("moe-agiqa")
    if tokenizer is not None:
        scorer.use_tokenizer(tokenizer)
    return checkpoints.save(scorer, path / "moe.safetensors")


def test_a_set_with_prompts_is_evaluated_with_a_tokenizer_and_the_checkpoint_remembers_it(
    vocabulary: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published_copies.agiqa3k(tmp_path / "AGIQA-3K")
    for path in (tmp_path / "AGIQA-3K").glob("*.jpg"):
        published_copies.Image.new("RGB", (40, 40), (len(path.name), 90, 9)).save(path)
    words = ["--data", str(tmp_path / "AGIQA-3K"), "--json", "--bootstrap", "0"]
    without, with_words = moe(tmp_path), str(vocabulary)
    assert main(["evaluate", "moe-agiqa", *words, "--weights", str(without)]) == 2
    assert "tokenizer" in capsys.readouterr().err
    assert main(["evaluate", "moe-agiqa", *words, "--weights", str(without), "--tokenizer", with_words]) == 0
    first = json.loads(capsys.readouterr().out)
    assert {"main_score", "rmse_raw"} <= set(first)
    (tmp_path / "kept").mkdir()
    kept = checkpoints.save(
        create_scorer("moe-agiqa", without).use_tokenizer(vocabulary), tmp_path / "kept" / "m.safetensors"
    )
    assert main(["evaluate", "moe-agiqa", *words, "--weights", str(kept)]) == 0
    assert json.loads(capsys.readouterr().out) == first
    assert main(["evaluate", "mdiqa-mobile", *words, "--tokenizer", with_words]) == 2
    assert "reads no prompts" in capsys.readouterr().err


def test_score_takes_a_prompt_for_all_or_a_table_of_them(
    vocabulary: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, kept = str(table.parent / "1.png"), str(moe(tmp_path, vocabulary))
    (tmp_path / "prompts.csv").write_text("image,prompt\n1.png,a man\n")
    found = []
    for prompts in ("a man", str(tmp_path / "prompts.csv"), "statue"):
        assert main(["score", image, "--scorer", "moe-agiqa", "--weights", kept, "--prompts", prompts, "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out)[0]["score"])
    assert found[0] == found[1]
    (tmp_path / "prompts.csv").write_text("image,prompt\n2.png,a man\n")
    assert (
        main(["score", image, "--scorer", "moe-agiqa", "--weights", kept, "--prompts", str(tmp_path / "prompts.csv")])
        == 2
    )
    assert "no prompt for" in capsys.readouterr().err


def test_a_fine_tuning_takes_prompts_and_keeps_the_visual_transformers(
    vocabulary: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prompts.csv").write_text("image,prompt\n" + "".join(f"{k}.png,w{k}\n" for k in range(6)))
    words = [
        "--data",
        str(table),
        "--prompts",
        str(tmp_path / "prompts.csv"),
        "--weights",
        str(moe(tmp_path, vocabulary)),
    ]
    words += ["--out", str(tmp_path / "run"), "--device", "cpu", "--quiet", "--validation", "0.34", "--crop", "40"]
    assert main(["finetune", "moe-agiqa", *words, "--epochs", "1", "--batch-size", "4"]) == 0
    assert "trains semantic (in part), fusion" in (said := capsys.readouterr().err)
    assert "frozen: visual, prior; from the score" in said
    assert create_scorer("moe-agiqa", tmp_path / "run" / "best.safetensors").tokenizer is not None


def test_a_cross_database_run_and_crops_of_an_evaluation_are_typed_as_the_page_says(
    vocabulary: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_rated_images(tmp_path / "other", count=5)
    small = ["scorer.size=tiny", "run.epochs=1", "data.train.0.transform.crop=64", "data.train.0.batch_size=4"]
    words = ["protocol", "mdiqa-mobile", "--data", str(table), "--weights", "none", "--test", str(other), "--runs", "1"]
    words += [word for change in small for word in ("--set", change)]
    assert main([*words, "--out", str(tmp_path / "out"), "--json", "--device", "cpu", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["runs"] == 1
    kept = moe(tmp_path, vocabulary)
    words = ["evaluate", "moe-agiqa", "--weights", str(kept), "--data", str(other), "--json", "--bootstrap", "0"]
    found = []
    for count in (1, 15):
        assert main([*words, "--prompts", "a man", "--option", f"crops={count}", "--option", "placement=seeded"]) == 0
        found.append(json.loads(capsys.readouterr().out)["rmse_raw"])
    assert found[0] != found[1]


def test_an_option_is_varied_with_a_row_for_each_value_and_a_figure(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lar = str(checkpoints.save(create_tiny("lar-iqa"), tmp_path / "lar.safetensors"))
    words = ["--weights", lar, "--data", str(table), "--bootstrap", "0", "--out", str(tmp_path / "out"), "--json"]
    assert main(["evaluate", "lar-iqa", *words, "--vary", "color_space=RGB,HSV"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["scorer"].split("=")[1] for row in rows] == ["RGB", "HSV"]
    assert rows[0]["rmse_raw"] != rows[1]["rmse_raw"]
    assert (tmp_path / "out" / "varied.png").is_file()
    assert main(["evaluate", "lar-iqa", *words, "--option", "color_space=HSV"]) == 0
    assert json.loads(capsys.readouterr().out)["rmse_raw"] == rows[1]["rmse_raw"]
    assert main(["evaluate", "lar-iqa", *words, "--vary", "color_space=RGB"]) == 2
    assert "at least two values" in capsys.readouterr().err


def test_the_rows_that_a_recipe_held_out_are_evaluated_by_its_run(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--set", "scorer.size=tiny", "--weights", "none", "--crop", "64", "--epochs", "1", "--batch-size", "4"]
    run = str(tmp_path / "run")
    words = ["--data", str(table), "--out", run, "--device", "cpu", "--quiet", "--validation", "0.34"]
    assert main(["finetune", "mdiqa-mobile", *words, *small]) == 0
    assert checkpoints.read_metadata(tmp_path / "run" / "best.safetensors")[checkpoints.TRAINED]
    capsys.readouterr()
    assert main(["evaluate", "mdiqa-mobile", "--run", run, "--json", "--bootstrap", "0"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 2
    assert main(["evaluate", "mdiqa-mobile", "--run", str(tmp_path)]) == 2
    assert "holds no training" in capsys.readouterr().err
    assert main(["evaluate", "mdiqa-mobile"]) == 2
    assert "--data TABLE, or --run" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["test", "nonsense"])
def test_a_split_where_a_set_has_no_official_one_is_an_error(
    name: str, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "mdiqa-mobile", "--data", str(table), "--split", name]) == 2
    assert "has no official split" in capsys.readouterr().err
