"""Which photographs the recipe learns from: rows, splits, decoding, and the inputs that are made of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from recipe_runs import make_run, save_photographs

from iqaloss.evaluation.probes.degradations import DEGRADATIONS, PROPERTIES
from iqaloss.evaluation.probes.distortions import resample
from scorer_recipes.mdiqa_mobile import data, inputs, upscaler
from scorer_recipes.mdiqa_mobile.lessons import LESSONS
from scorer_recipes.mdiqa_mobile.recipe import Recipe


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_photographs(tmp_path_factory.mktemp("photographs"))


def test_published_split_is_a_thousand_training_names_chosen_by_hash() -> None:
    names = data.published_validation_names()
    assert len(names) == 1000
    assert all(name.startswith(("ss01 (", "ss02 (", "ss03 (")) for name in names)
    assert data.choose_validation(sorted(names), 1000) == sorted(names)


@pytest.mark.parametrize("split", ["train", "test"])
def test_rows_of_biq2021_are_read_in_the_order_of_its_table(split: str, photographs: Path, tmp_path: Path) -> None:
    (tmp_path / "Images").mkdir()
    names = [f"ss02 ({index}).jpg" for index in (7, 3, 9, 1, 8, 2, 6, 4, 5)]
    for name in (*names, data.NEVER_SEEN):
        (tmp_path / "Images" / name).write_bytes((photographs / "ss03 (0).png").read_bytes())
    rows = [*names[:4], data.NEVER_SEEN.replace("JPG", "jpg"), "absent.jpg", *names[4:]]
    table = tmp_path / f"{split.title()} (Images and MOS).csv"
    table.write_text("Image Name,MOS,,\n" + "".join(f"{name},0.{i + 10},,\n" for i, name in enumerate(rows)))
    rated = data.read_rated(tmp_path, split)
    assert data.names_of(rated) == names
    assert rated.target().tolist() == [0.10, 0.11, 0.12, 0.13, 0.16, 0.17, 0.18, 0.19, 0.20]
    with pytest.raises(FileNotFoundError, match="Train" if split == "test" else "Test"):
        data.read_rated(tmp_path, "train" if split == "test" else "test")


def test_split_holds_out_published_names_and_never_overlaps(photographs: Path) -> None:
    rated = data.read_rated(photographs)
    training, held = data.split_rows(rated, ["ss03 (3).png"])
    assert [data.names_of(rated)[i] for i in held] == ["ss03 (3).png"]
    assert sorted(training + held) == list(range(12))
    training, held = data.split_rows(rated)  # other data than BIQ2021
    assert len(held) == 4
    assert not set(training) & set(held)


def test_rows_without_a_table_or_with_bad_scores_are_refused(tmp_path: Path, photographs: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"scores\.csv"):
        data.read_rated(tmp_path)
    for index in range(12):
        (tmp_path / f"{index}.png").write_bytes((photographs / f"ss03 ({index}).png").read_bytes())
    (tmp_path / "scores.csv").write_text("image,mos\n" + "".join(f"{i}.png,{i}.0\n" for i in range(12)))
    with pytest.raises(ValueError, match=r"2\.png.*\[0, 1\]"):
        data.read_rated(tmp_path)


def test_cache_is_remade_when_the_rows_change(photographs: Path, tmp_path: Path) -> None:
    rated = data.read_rated(photographs)
    first = data.DecodedImages(rated, tmp_path / "cache.npy", side=96)
    assert first.full(5).shape == (3, 96, 96)
    assert torch.equal(first.full(5), data.decode(rated.images[5]) / 255.0)
    assert torch.equal(first.crop(5, 10, 20, 32), first.full(5)[:, 10:42, 20:52])
    assert len(data.DecodedImages(rated.subset(range(9)), tmp_path / "cache.npy", side=96)) == 9


def test_photographs_decode_as_they_are_stored_and_turn_as_their_camera_says(photographs: Path, tmp_path: Path) -> None:
    from PIL import Image

    stored = Image.open(photographs / "ss03 (0).png").convert("RGB").resize((96, 64))
    stored.save(tmp_path / "plain.jpg", quality=95)
    with Image.open(tmp_path / "plain.jpg") as image:
        pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)
    assert torch.equal(data.decode(tmp_path / "plain.jpg"), pixels)
    turned = Image.Exif()
    turned[0x0112] = 6
    stored.save(tmp_path / "turned.jpg", quality=95, exif=turned)
    assert torch.equal(data.decode(tmp_path / "turned.jpg"), pixels.rot90(-1, (1, 2)))


def test_every_degradation_is_taught_and_its_target_falls_from_its_onset_on() -> None:
    assert [lesson.degradation for lesson in LESSONS] == list(DEGRADATIONS)
    for lesson in LESSONS:
        assert lesson.target_fall(1.0) == pytest.approx(lesson.fall)
        assert lesson.target_fall(lesson.onset) == 0.0


def test_group_targets_fall_in_the_matching_dimension_only() -> None:
    recipe = dataclasses.replace(Recipe(), base_share=0.0)
    picture = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    for lesson in LESSONS:
        group = inputs.degraded_group(picture, lesson, recipe, torch.Generator().manual_seed(1))
        own = PROPERTIES.index(lesson.dimension)
        falls = group.targets[0] - group.targets
        assert float(falls[:, [i for i in range(5) if i != own]].abs().max()) == 0.0
        assert bool((falls[:, own].diff() >= 0).all())
        assert float(falls[-1, own]) > 0.1
        assert group.known[own] == 1
        assert group.matching.tolist().index(1.0) == own


def test_every_pass_visits_every_row_once() -> None:
    rows = list(range(100, 112))
    seen = [row for step in range(3) for row in inputs.epoch_rows(rows, 4, seed=1, step=step)]
    assert sorted(seen) == rows
    assert seen != [row for step in range(3, 6) for row in inputs.epoch_rows(rows, 4, seed=1, step=step)]


def test_small_network_learns_to_repair_upscaled_photographs(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upscaler, "STEPS", 40)
    run = make_run(photographs, tmp_path)
    (tmp_path / "upscaler.pt").unlink()
    item = run.source.lessons[-1]
    generator = torch.Generator().manual_seed(0)
    before, after = 0.0, 0.0
    for index in range(6):
        sharp = run.images.full(index)
        blurred = resample(sharp, upscaler.shrinkage(0.8))
        before += float((blurred - sharp).abs().mean())
        after += float((item.degradation(sharp, 0.8, generator) - sharp).abs().mean())
    assert item.dimension == "sharpness"
    assert after < before
    again = make_run(photographs, tmp_path).source.lessons[-1]  # read from the file
    assert torch.equal(again.degradation(sharp, 0.5, generator), item.degradation(sharp, 0.5, generator))
