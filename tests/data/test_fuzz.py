"""Whatever lies on the disk: a clear error or a finite right answer, and the file is named."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iqaloss.data import open_images
from iqaloss.data.images import load_image, open_image, readable_formats
from iqaloss.data.open import open_rows
from iqaloss.data.tables import read_table
from iqaloss.evaluation.agreement.metrics import NAMES, measure

pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

cheap = settings(
    max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
FORMATS = [name for name in ("PNG", "JPEG", "TIFF", "BMP", "GIF", "PPM", "WEBP", "TGA") if name in readable_formats()]


def encoded(kind: str, seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


@cheap
@given(
    kind=st.sampled_from(FORMATS),
    places=st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=6),
    keep=st.floats(0, 1),
)
def test_a_damaged_picture_is_an_error_with_its_name_or_a_picture(
    kind: str, places: list[tuple[int, int]], keep: float, tmp_path: Path
) -> None:
    content = bytearray(encoded(kind, 0))
    for place, value in places:
        content[place % len(content)] = value
    path = tmp_path / "damaged.png"
    path.write_bytes(bytes(content[: int(len(content) * keep)]))
    try:
        image = open_image(path)
    except ValueError as error:
        assert "damaged.png" in str(error)  # noqa: PT017
    else:
        assert image.mode == "RGB"


@cheap
@given(content=st.binary(max_size=300), name=st.sampled_from(["t.csv", "t.txt", "t.tsv", "t.xlsx", "t.parquet"]))
@example(content=b"image,mos\n\x00,\x00\n", name="t.csv")
@example(content=b"", name="t.parquet")
@example(content=b"\xff\xfe", name="t.csv")
def test_any_bytes_are_a_table_or_an_error_with_the_files_name(content: bytes, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for door in (read_table, lambda file: list(open_images(file)), open_rows):
        try:
            door(path)
        except (ValueError, OSError) as error:
            assert name in str(error)  # noqa: PT017


CELLS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True).map(repr),
    st.sampled_from(["", " ", "1,5", "1.234,5", "-", "n/a", "1e400", "１２", "0x10", "1_000", "True", "=1+1"]),
    st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r\n\0\"'"), max_size=8),
)


@cheap
@given(cells=st.lists(CELLS, min_size=2, max_size=5), separator=st.sampled_from([",", ";", "\t"]))
@example(cells=["9007199254740992.0", ""], separator=",")
@example(cells=["1e308", "-1e308"], separator=",")
def test_human_scores_are_finite_numbers_or_bad_rows(cells: list[str], separator: str, tmp_path: Path) -> None:
    lines = [f"image{separator}mos"]
    for index, cell in enumerate(cells):
        Image.new("L", (4, 4)).save(tmp_path / f"{index}.png") if not (tmp_path / f"{index}.png").exists() else None
        lines.append(f'{index}.png{separator}"{cell}"')
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    try:
        rated = open_rows(tmp_path / "t.csv", skip_bad=True)
    except ValueError as error:
        assert "t.csv" in str(error)  # noqa: PT017
        return
    assert len(rated) + len(rated.skipped) == len(cells)
    assert all(math.isfinite(value) for value in (*rated.scores, *rated.target()))


@cheap
@given(
    pairs=st.lists(
        st.tuples(st.floats(-1e6, 1e6, width=32), st.one_of(st.integers(0, 5), st.floats(0, 100, width=16))),
        max_size=12,
    )
)
def test_every_measure_lies_in_its_range_or_is_not_defined(pairs: list[tuple[float, float]]) -> None:
    found = measure([pred for pred, _ in pairs], [target for _, target in pairs], repeats=0)
    for name in NAMES:
        value = getattr(found, name)
        error = name.startswith(("rmse", "mae"))  # after the logistic and as they are
        lowest, highest = 0.0 if error or name == "two_afc" else -1.0, math.inf if error else 1.0
        assert math.isnan(value) or lowest - 1e-9 <= value <= highest + 1e-9, name


@cheap
@given(value=st.integers(0, 2**16 - 1), bits=st.sampled_from(["png", "tif"]))
def test_gray_is_the_same_gray_in_any_depth(value: int, bits: str, tmp_path: Path) -> None:
    path = tmp_path / f"gray.{bits}"
    Image.fromarray(np.full((2, 2), value, np.uint16)).save(path)
    assert load_image(path).unique().tolist() == pytest.approx([(value >> 8) / 255])
