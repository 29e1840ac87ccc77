"""One door: the same answer for every form of a table, nothing that is given is dropped, nothing is read twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from iqaloss.data import Library, Scale, SequentialSet, open_images, open_rated
from iqaloss.data import library as library_module
from iqaloss.data import sources as sources_module
from iqaloss.data import tables as tables_module
from iqaloss.data.open import open_rows
from iqaloss.data.text_tables import sniff_separator
from testing.published_copies import koniq

SCORES = (0.25, 0.5, 0.75, 1.0, 0.0, 0.625)
NAMES = tuple(f"{number}.png" for number in range(len(SCORES)))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    random = np.random.default_rng(0)
    for name in NAMES:
        Image.fromarray(random.integers(0, 256, (72, 80, 3), dtype=np.uint8)).save(folder / name)
    return folder


def write_comma(folder: Path) -> Path:
    lines = [f"{name},{score}" for name, score in zip(NAMES, SCORES)]
    (folder / "comma.csv").write_text("\n".join(["img_name,mos", *lines]) + "\n")
    return folder / "comma.csv"


def write_semicolon(folder: Path) -> Path:
    lines = [f"{name};{score}".replace(".", ",").replace(",png", ".png") for name, score in zip(NAMES, SCORES)]
    (folder / "semicolon.csv").write_text("\ufeff" + "\n".join(["filename;MOS", *lines]) + "\n", encoding="utf-8")
    return folder / "semicolon.csv"


def write_quoted(folder: Path) -> Path:
    lines = [f'"{name}","{str(score).replace(".", ",")}"' for name, score in zip(NAMES, SCORES)]
    (folder / "quoted.csv").write_text("\n".join(['"Image Name","MOS"', *lines]) + "\n")
    return folder / "quoted.csv"


def write_bars(folder: Path) -> Path:
    lines = [f"{name} | {score}" for name, score in zip(NAMES, SCORES)]
    (folder / "bars.txt").write_text("\n".join(["img | mean_opinion_score", *lines]) + "\n")
    return folder / "bars.txt"


def write_excel(folder: Path) -> Path:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in [("File Name", "MOS"), *zip(NAMES, SCORES)]:
        book.active.append(row)
    book.save(folder / "book.xlsx")
    return folder / "book.xlsx"


def write_parquet(folder: Path) -> Path:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"img_name": NAMES, "mos": SCORES}), folder / "names.parquet")
    return folder / "names.parquet"


FORMS = [write_comma, write_semicolon, write_quoted, write_bars, write_excel, write_parquet]
each_form = pytest.mark.parametrize("write", FORMS, ids=lambda write: write.__name__.removeprefix("write_"))
Write = Callable[[Path], Path]


# --- every form, through every door ---


@each_form
def test_python_reads_every_form_alike(write: Write, photos: Path) -> None:
    rated = open_rows(write(photos))
    assert rated.images == tuple(photos / name for name in NAMES)
    assert rated.target().tolist() == list(SCORES)
    assert [item.target for item in open_images(write(photos))] == list(SCORES)


@each_form
def test_score_and_evaluate_read_every_form_alike(
    write: Write, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("typer")
    from iqaloss.cli import main

    def call(*words: str) -> Any:
        assert main([*words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    want = call("score", *(str(photos / name) for name in NAMES), "--no-dimensions")
    found = call("score", str(write(photos)), "--no-dimensions")
    assert [row["image"] for row in found] == list(NAMES)
    assert [row["score"] for row in found] == pytest.approx([row["score"] for row in want], abs=2e-4)
    measured = call("evaluate", "mdiqa-mobile", "--data", str(write(photos)), "--bootstrap", "0")
    same = call("evaluate", "mdiqa-mobile", "--data", str(write_comma(photos)), "--bootstrap", "0")
    assert measured == same


@each_form
def test_finetune_learns_from_every_form_alike(write: Write, photos: Path) -> None:
    pytest.importorskip("yaml")
    from iqaloss.training.engine.data import load_manifest
    from iqaloss.training.recipes import finetune_recipe

    recipe = finetune_recipe("mdiqa-mobile", write(photos), validation=0.34)
    rows: dict[Path, float] = {}
    for spec in (*recipe.data.train, *recipe.data.validation):
        rated = load_manifest(spec)
        rows |= dict(zip(rated.images, rated.target().tolist()))
    assert rows == {photos / name: score for name, score in zip(NAMES, SCORES)}


def test_a_degradation_score_is_turned_round_at_every_door(photos: Path) -> None:
    table = photos / "dmos.csv"
    table.write_text("image,dmos\n0.png,10\n1.png,30\n")
    assert open_rows(table).target().tolist() == [1.0, 0.0]
    first, second = (item.target for item in open_images(table))
    assert first is not None
    assert second is not None
    assert first > second


@pytest.mark.parametrize(
    ("lines", "separator"),
    [
        (["image,score", "a b.png,1"], ","),
        (["image;score", "a,b.png;0,5", "c;1,5"], ";"),
        (["image\tscore", "a;b.png\t1"], "\t"),
        (['image,prompt,score', '"a",' + '"x; y",1'], ","),
        (["image", "a b.png"], None),
    ],
)  # fmt: skip
def test_the_separator_is_the_one_that_fits_the_lines(lines: list[str], separator: str | None) -> None:
    assert sniff_separator(lines) == separator


def test_names_with_spaces_in_a_single_column_stay_whole(photos: Path) -> None:
    (photos / "0.png").rename(photos / "a photo (1).png")
    for name, text in (("one.csv", "image\na photo (1).png\n1.png\n"), ("one.txt", "a photo (1).png\n1.png\n")):
        (photos / name).write_text(text)
        assert [item.key for item in open_images(photos / name)] == ["a photo (1).png", "1.png"]


# --- folders ---


def test_a_folder_of_yours_with_data_csv_is_no_published_set(photos: Path) -> None:
    write_comma(photos).rename(photos / "data.csv")
    rated = open_rows(photos)
    assert rated.name == "data"
    assert rated.target().tolist() == list(SCORES)
    (photos / "data.csv").write_text("picture,beauty\n0.png,1\n")
    with pytest.raises(ValueError, match="neither the score tables of a known layout nor a table with an image"):
        open_rows(photos)


def test_several_tables_in_a_folder_are_named(photos: Path) -> None:
    write_comma(photos)
    write_semicolon(photos)
    with pytest.raises(ValueError, match=r"several tables \(comma\.csv, semicolon\.csv\); name one"):
        open_rows(photos)


@pytest.mark.parametrize("name", ["mos_with_names.txt", "csiq_label.txt", "train_label1.txt", "PARA-GiaaTrain.csv"])
def test_a_table_of_yours_under_a_published_name_is_yours(name: str, photos: Path) -> None:
    write_comma(photos).rename(photos / name)
    assert open_rows(photos).target().tolist() == list(SCORES)


def test_a_parquet_table_beside_its_images_is_a_table(photos: Path) -> None:
    write_parquet(photos)
    assert open_rows(photos).target().tolist() == list(SCORES)


# --- nothing is dropped ---


def test_a_folder_of_images_for_what_holds_no_names_is_an_error(photos: Path) -> None:
    for spec in (photos, photos / NAMES[0]):
        with pytest.raises(ValueError, match="holds no names of images"):
            open_images(spec, "elsewhere")


def test_a_scale_says_the_direction_alone(photos: Path) -> None:
    with pytest.raises(ValueError, match="which says the direction"):
        open_rated(write_comma(photos), scale=Scale(0, 1), lower_is_better=True)
    with pytest.raises(ValueError, match="did you mean 'header'"):
        open_rated(f"{photos}/*.png", check="heder")


def test_a_row_that_is_longer_than_its_header_is_an_error(photos: Path) -> None:
    (photos / "table.csv").write_text("image,score\n0.png,3,5\n1.png,4,5\n")
    for door in (lambda path: list(open_images(path)), open_rated):
        with pytest.raises(ValueError, match=r"line 2: 3 cells under 2 columns .*decimal comma"):
            door(photos / "table.csv")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": "elsewhere"}, "images='elsewhere' has no effect on .* published layout koniq10k"),
        ({"lower_is_better": True}, "lower_is_better=True has no effect"),
        ({"dimensions": ["x"]}, "has no effect"),
        ({"splits": ["tset"]}, "did you mean 'test'"),
        ({"layout": "koniq"}, "did you mean 'koniq10k'"),
    ],
)
def test_what_a_published_set_fixes_cannot_be_given(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    koniq(tmp_path)
    with pytest.raises(ValueError, match=message):
        open_rated(tmp_path, **options)


def test_what_has_no_meaning_for_a_table_or_a_sequence_cannot_be_given(photos: Path) -> None:
    table = write_comma(photos)
    with pytest.raises(ValueError, match=r"layout='koniq10k' has no effect on .* a layout is that of a folder"):
        open_rated(table, layout="koniq10k")
    with pytest.raises(ValueError, match="has no official split, so 'test' cannot be taken"):
        open_rated(table, splits=["test"])
    assert isinstance(open_rated(f"{photos}/*.png"), SequentialSet)
    for options in ({"splits": ["test"]}, {"scale": Scale()}, {"lower_is_better": True}, {"dimensions": ["x"]}):
        with pytest.raises(ValueError, match=r"has no effect on .*read in sequence"):
            open_rated(f"{photos}/*.png", **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="training needs a table"):
        open_rows(f"{photos}/*.png")


def test_a_published_set_without_an_official_split_refuses_one(tmp_path: Path) -> None:
    from testing.published_copies import kadid

    kadid(tmp_path)
    with pytest.raises(ValueError, match="kadid10k has no official split"):
        open_rated(tmp_path, splits=["test"])


# --- nothing is read twice ---


def test_ten_data_sets_over_one_table_read_it_once(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, read, looked = write_comma(photos), list[Path](), list[Path]()
    whole_read, whole_look = tables_module.text_rows, library_module.problem_of
    monkeypatch.setattr(tables_module, "text_rows", lambda path: read.append(path) or whole_read(path))
    monkeypatch.setattr(library_module, "problem_of", lambda path, how: looked.append(path) or whole_look(path, how))
    library = Library()
    for _ in range(10):
        open_rated(table, library=library)
    assert read == [table]
    assert sorted(looked) == [photos / name for name in NAMES]


def test_a_workbook_that_is_gone_through_twice_is_read_once(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    monkeypatch.setattr(sources_module, "read_table", lambda path: read.append(path) or tables_module.read_table(path))
    source = open_images(write_excel(photos))
    assert [item.key for item in source] == [item.key for item in source] == list(NAMES)
    assert len(read) == 1


def test_a_training_reads_its_table_and_looks_at_its_images_once(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("accelerate")
    import torch

    from iqaloss.training.engine.datasets import DataSets
    from iqaloss.training.engine.sampling import Shards
    from iqaloss.training.recipes import finetune_recipe

    table, read, looked = write_comma(photos), list[Path](), list[Path]()
    whole_read, whole_look = tables_module.text_rows, library_module.problem_of
    monkeypatch.setattr(tables_module, "text_rows", lambda path: read.append(path) or whole_read(path))
    monkeypatch.setattr(library_module, "problem_of", lambda path, how: looked.append(path) or whole_look(path, how))
    recipe = finetune_recipe("mdiqa-mobile", table, validation=0.34)
    DataSets(recipe, Shards(0, 1, 1), torch.device("cpu"))
    assert read == [table]
    assert sorted(looked) == [photos / name for name in NAMES]
