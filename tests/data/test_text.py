"""Tables as people save them, and recipes as they should not: the file, the line and the encoding are named."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from iqaloss._yaml import parse_yaml, read_yaml
from iqaloss.data import open_images
from iqaloss.data.open import open_rows
from iqaloss.data.tables import read_table


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png"):
        (tmp_path / "day 1").mkdir(exist_ok=True)
        Image.new("RGB", (40, 40)).save(tmp_path / "day 1" / name)
        Image.new("RGB", (40, 40)).save(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    "text",
    [
        "img_name;MOS\na.png;2,5\nb.png;3\n",
        "img_name;MOS;score, mean\na.png;2,5;1,0\nb.png;3;2,0\n",
        "img_name;MOS, overall;mos\na.png;x;2,5\nb.png;y;3\n",
        "Image Name;note;MOS\na.png;a, b;2,5\nb.png;c, d;3\n",
        "img_name\tMOS\na.png\t2,5\nb.png\t3\n",
        'img_name,MOS\na.png,"2,5"\nb.png,3\n',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_score_and_evaluate_read_a_table_as_offices_save_it(text: str, encoding: str, photos: Path) -> None:
    table = photos / "table.csv"
    table.write_bytes(text.encode(encoding))
    assert [(item.key, item.target) for item in open_images(table)] == [("a.png", 2.5), ("b.png", 3.0)]
    assert open_rows(table).scores.tolist() == [2.5, 3.0]


def test_windows_slashes_are_slashes(photos: Path) -> None:
    table = photos / "table.csv"
    table.write_text("image,mos\nday 1\\a.png,1\nday 1\\b.png,2\n")
    assert [path.name for path in open_rows(table).images] == ["a.png", "b.png"]
    assert [Path(item.read()).name for item in open_images(table)] == ["a.png", "b.png"]  # type: ignore[arg-type]
    (photos / "list.txt").write_text("day 1\\a.png\n")
    assert [item.origin for item in open_images(photos / "list.txt")] == [photos / "day 1" / "a.png"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image,mos\ncafé.png,1\n".encode("latin-1"), r"table\.csv is no UTF-8 text .* may be Latin-1"),
        ("image,mos\ncafé.png,1\n".encode("utf-16-le"), r"table\.csv is no UTF-8 text .* may be UTF-16 without"),
        (b"image,mos\na.png,1\n" + b"x" * 200_000 + b",1\n", r"table\.csv after line 2: field larger"),
    ],
)
def test_a_table_that_is_no_text_is_named_with_what_it_may_be(content: bytes, message: str, photos: Path) -> None:
    (photos / "table.csv").write_bytes(content)
    for door in (read_table, open_rows, lambda path: list(open_images(path))):
        with pytest.raises(ValueError, match=message):
            door(photos / "table.csv")


@pytest.mark.parametrize("name", ["table.xlsx", "table.parquet"])
def test_a_damaged_table_is_named(name: str, photos: Path) -> None:
    pytest.importorskip("openpyxl")
    pytest.importorskip("pyarrow")
    (photos / name).write_bytes(b"PK\x03\x04 PAR1 and nothing else")
    with pytest.raises(ValueError, match=rf"{name}"):
        read_table(photos / name)


# --- recipes ---

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run: {steps: 1}\nrun: {steps: 2}\n", "line 2: the key 'run' is there twice"),
        ("run:\n  steps: 1\n  seed: 1\n  steps: 2\n", "line 4: the key 'steps' is there twice"),
        ("[" * 3_000, "nested too deeply"),
        ("x: " + "{a: " * 3_000, "nested too deeply"),
        (BOMB, "stands for more than"),
        ("a: &a [*a]\n", "stands for what holds it"),
        ("a: !!python/object/apply:os.system [ls]\n", "not valid YAML"),
        ("a: [1\n", "not valid YAML"),
    ],
)
def test_yaml_that_hides_something_is_refused_with_its_line(text: str, message: str) -> None:
    pytest.importorskip("yaml")
    with pytest.raises(ValueError, match=message) as caught:
        parse_yaml(text, "recipe.yaml")
    assert "recipe.yaml" in str(caught.value)


def test_yaml_is_read_as_it_always_was(tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    text = "base: &base {lr: 1e-4, steps: 10}\nrun: {<<: *base, steps: 20}\nlist: [1, 2.5, null, yes]\nempty: {}\n"
    assert parse_yaml(text, "x") == yaml.safe_load(text)
    assert parse_yaml("", "x") is None
    (tmp_path / "latin.yaml").write_bytes("title: café".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin\.yaml is no UTF-8 text"):
        read_yaml(tmp_path / "latin.yaml")
