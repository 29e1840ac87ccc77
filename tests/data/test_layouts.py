"""Every published layout is read from a small synthetic copy of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from iqaloss.data.layouts.reading import fitting_layouts, get_layout, list_layouts, read_layout
from iqaloss.data.manifest import ManifestError
from iqaloss.data.open import open_rows
from iqaloss.data.splits import split_manifest
from testing.published_copies import (
    COPIES,
    Want,
    agiqa3k,
    aigciqa,
    aigiqa20k,
    biq,
    csiq,
    kadid,
    koniq,
    live,
    pipal,
    tid,
)

pytest.importorskip("scipy")


each_copy = pytest.mark.parametrize(("name", "write"), COPIES, ids=[write.__name__ for _, write in COPIES])


def test_every_layout_has_a_copy() -> None:
    assert {name for name, _ in COPIES} == set(list_layouts())


@each_copy
def test_a_copy_is_read(name: str, write: Callable[[Path], Want], tmp_path: Path) -> None:
    want = write(tmp_path)
    manifest = read_layout(name, tmp_path)
    assert len(manifest) == len(want.targets)
    assert all(path.is_file() for path in manifest.images)
    np.testing.assert_allclose(manifest.target(), want.targets, atol=1e-9)
    for dimension, values in want.dimensions.items():
        np.testing.assert_allclose(manifest.target(dimension), values, atol=1e-9)
    if want.groups is not None:
        assert list(manifest.groups or ()) == want.groups
    if want.references is not None:
        assert [path.name if path else None for path in manifest.references or ()] == want.references
        assert all(path is not None and path.is_file() for path in manifest.references or ())
    if want.splits is not None:
        assert list(manifest.splits or ()) == want.splits
    if want.prompts is not None:
        assert list(manifest.prompts or ()) == want.prompts
    if want.stds is not None:
        stds = manifest.target_stds()
        assert stds is not None
        np.testing.assert_allclose(stds, want.stds, atol=1e-9)


@each_copy
def test_a_copy_is_recognised(name: str, write: Callable[[Path], Want], tmp_path: Path) -> None:
    want = write(tmp_path)
    assert [layout.name for layout in fitting_layouts(tmp_path)] == [name]
    assert len(open_rows(tmp_path)) == len(want.targets)


@pytest.mark.parametrize("write", [kadid, tid, pipal, live, csiq, agiqa3k, aigciqa], ids=lambda write: write.__name__)
def test_no_content_leaks_through_a_split(write: Callable[[Path], Want], tmp_path: Path) -> None:
    write(tmp_path)
    manifest = open_rows(tmp_path)
    parts = split_manifest(manifest, {"train": 0.5, "test": 0.5})
    assert not set(parts["train"].groups or ()) & set(parts["test"].groups or ())
    assert len(parts["train"]) + len(parts["test"]) == len(manifest)


def test_official_splits_are_kept_apart(tmp_path: Path) -> None:
    koniq(tmp_path)
    assert read_layout("koniq10k", tmp_path, splits=["test"]).target().tolist() == [0.2]
    with pytest.raises(ValueError, match="did you mean 'training'"):
        read_layout("koniq10k", tmp_path, splits=["trainng"])


def test_the_test_table_of_biq2021_is_read_on_request_only(tmp_path: Path) -> None:
    biq(tmp_path)
    table = tmp_path / "Test (Images and MOS).csv"
    assert read_layout("biq2021", tmp_path, splits=["test"]).images[0].name == "ss02 (9).jpg"
    table.unlink()
    table.mkdir()  # whatever opened it now would fail
    assert len(read_layout("biq2021", tmp_path)) == 2
    with pytest.raises(ValueError, match="unknown split 'tset'"):
        read_layout("biq2021", tmp_path, splits=["tset"])


def test_scores_that_were_never_published_are_missed_by_their_column(tmp_path: Path) -> None:
    aigiqa20k(tmp_path)
    with pytest.raises(ValueError, match=r"info_val\.xlsx.*mos"):
        read_layout("aigiqa20k", tmp_path, splits=["val"])


def test_a_missing_image_is_listed_with_its_line(tmp_path: Path) -> None:
    kadid(tmp_path)
    (tmp_path / "images" / "I01_01_05.png").unlink()
    with pytest.raises(ManifestError, match=r"line 3: I01_01_05\.png: no such file: .*images"):
        read_layout("kadid10k", tmp_path)
    manifest = read_layout("kadid10k", tmp_path, skip_bad=True)
    assert len(manifest) == 2
    assert [row.line for row in manifest.skipped] == [3]


def test_tables_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    live(tmp_path)
    (tmp_path / "jpeg" / "img2.bmp").unlink()
    with pytest.raises(ValueError, match="differ in length"):
        read_layout("live", tmp_path)


def test_unknown_layouts_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="did you mean 'koniq10k'"):
        get_layout("koniq")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        read_layout("spaq", tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"MOS and Image attribute scores\.xlsx"):
        read_layout("spaq", tmp_path)
    with pytest.raises(ValueError, match="holds neither the score tables of a known layout nor a table"):
        open_rows(tmp_path)
    koniq(tmp_path)
    biq(tmp_path)
    with pytest.raises(ValueError, match=r"several layouts \(koniq10k, biq2021\)"):
        open_rows(tmp_path)
