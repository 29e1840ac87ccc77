"""Judging the judges on tiny data: distortions reach their level, nothing is measured twice, chance has no say."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from studies.judges import __main__ as command
from studies.judges import laboratory, measures, tid
from studies.judges.distortions import DISTORTIONS, LEVELS, NEAR, Distortion, Picture, contrast, psnr, rebuild
from studies.judges.items import Item, measure_items
from studies.judges.measures import plain
from studies.judges.verdicts import against_scores, of_scores


def picture(height: int = 64, width: int = 96) -> Picture:
    """Waves in three colours with some grain."""
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(rows / 5 + shift) + np.cos(columns / 7 - 2 * shift) for shift in range(3)]
    grain = np.random.default_rng(0).normal(size=(height, width, 1))
    return np.clip(np.round(128 + 35 * np.stack(waves, -1) + 12 * grain), 0, 255)


@pytest.mark.parametrize("distortion", DISTORTIONS.values(), ids=lambda item: item.name)
def test_a_rebuilt_distortion_has_the_psnr_of_its_level_and_repeats_to_the_bit(distortion: Distortion) -> None:
    clean = picture()
    found = rebuild(clean, distortion, 4)
    assert found is not None
    assert abs(psnr(found, clean) - LEVELS[4]) <= NEAR
    assert np.array_equal(found, rebuild(clean, distortion, 4))


def test_what_comes_near_no_level_is_left_out() -> None:
    assert rebuild(np.full((32, 32, 3), 128.0), Distortion(0, "nothing", contrast), 5) is None


def test_contrast_falls_at_odd_levels_and_rises_at_even_ones() -> None:
    clean = picture()
    low, high = (rebuild(clean, DISTORTIONS[17], level) for level in (3, 4))
    assert low is not None
    assert high is not None
    assert low.std() < clean.std() < high.std()


def pairs(count: int) -> list[Item]:
    def make(row: int) -> Item:
        target = torch.full((3, 16, 16), 0.5)
        pred = target + 0.01 * row * torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(row))
        return Item(f"p{row}", lambda: (pred.clamp(0, 1), target), score=-row, groups={"kind": f"k{row % 2}"})

    return [make(row) for row in range(count)]


def test_nothing_is_measured_twice(tmp_path: Path) -> None:
    seen: list[int] = []

    def build() -> measures.Values:
        def measure(pred: Tensor, target: Tensor) -> Mapping[str, Tensor]:
            seen.append(len(pred))
            return plain(pred, target)

        return measure

    gone = Item("gone", lambda: None)
    first = measure_items(pairs(9), build, tmp_path / "kept.json")
    again = measure_items([*pairs(11), gone], build, tmp_path / "kept.json")
    assert seen == [8, 1, 2]
    assert again["gone"] == {}
    assert {key: again[key] for key in first} == first


def test_networks_see_one_target_once_and_say_the_same() -> None:
    runs: list[int] = []

    class Network:
        def forward(self, images: Tensor) -> list[Tensor]:
            runs.append(len(images))
            return [images.mean(dim=(2, 3)), images]

    once = measures._once(Network.forward)
    same, other = torch.rand(1, 3, 4, 4).expand(5, 3, 4, 4), torch.rand(5, 3, 4, 4)
    for images in (same, other):
        for got, wanted in zip(once(Network(), images), Network().forward(images), strict=True):
            torch.testing.assert_close(got, wanted)
    assert runs == [1, 5, 5, 5]


def test_chance_has_no_say_and_less_than_chance_is_against_people() -> None:
    human = np.linspace(0, 1, 60)
    noise = np.random.default_rng(1).normal(size=60)
    assert of_scores(human + 0.2 * noise, human, 200, 0).word == "a say"
    assert of_scores(noise, human, 200, 0).word == "no say"
    assert of_scores(-human, human, 200, 0).word == "against"
    assert of_scores(human, human, 0, 0).word == "no say", "no interval, no say"


def test_higher_is_better_for_every_candidate_without_a_network(tmp_path: Path) -> None:
    items = pairs(12)
    kept = measure_items(items, lambda: plain, tmp_path / "kept.json")
    verdicts = against_scores(items, kept, 0, 0)
    assert all(verdicts[name].values["srcc"] > 0.9 for name in ("ssim", "tv_distance", "tv"))


def save(path: Path, content: Picture) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(content.astype(np.uint8)).save(path)


def table(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def rated(root: Path) -> None:
    """Writes every set, as it is published, at a tiny size."""
    cv2 = pytest.importorskip("cv2", reason="sources are video files")
    for number, (row, column) in tid.PLACES.items():
        clean = picture(row + tid.HEIGHT, column + tid.WIDTH)
        save(root / f"kodak/{number:02d}.png", clean)
        for name in ("ref", "dist"):
            save(root / f"pairs/{name}/I{number:02d}.bmp", clean[:64, :64] if name == "ref" else clean[:64, :64] // 2)
    rows = [(number, kind, level) for number in tid.PLACES for kind in range(1, 25) for level in LEVELS]
    table(
        root / "TID2013.txt",
        [{"dis_img_path": f"TID2013/i{n:02d}_{k:02d}_{v}.bmp", "score": 6 - v + k / 30} for n, k, v in rows],
    )
    for number in range(6):
        for name, loss in (("orig", 1), ("kriz_mse_fc", 2), ("kriz_ssim_fc", 1)):
            save(root / f"votes/data/iclr_images/{number}_{name}.png", picture()[:32, :32] // loss)
    names = [(f"{n}_kriz_ssim_fc.png", f"{n}_kriz_mse_fc.png", int(v < 9)) for n in range(6) for v in range(10)]
    table(
        root / "votes/data/human_data.csv",
        [{"left_file": a, "right_file": b, "response_left": won} for a, b, won in names],
    )
    for at in range(8):
        save(root / f"lab/test_1/images/scene_crf_{at:02d}_height_0064.png", picture(64, 64) // (1 + at))
    heights = [f"scene_crf_{at:02d}_height_0064" for at in range(8)]
    table(root / "lab/test_1/mos_ci.csv", [{"image_name": name, "mos": 5 - at / 2} for at, name in enumerate(heights)])
    published = [{"image": name, **dict.fromkeys(laboratory.PUBLISHED, at)} for at, name in enumerate(heights)]
    table(root / "lab/test_1/objective_metrics.csv", published)
    (root / "lab/images/src_cropped").mkdir(parents=True)
    writer = cv2.VideoWriter(
        str(root / "lab/images/src_cropped/scene.mkv"), cv2.VideoWriter_fourcc(*"MJPG"), 1, (64, 64)
    )
    writer.write(picture(64, 64).astype(np.uint8))
    writer.release()


def test_the_command_writes_its_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "load_candidates", lambda folder: plain)
    monkeypatch.setattr(command, "load_without_target", lambda: plain)
    monkeypatch.setattr(laboratory, "FRAME", 64)
    rated(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/judges_finding.md").write_text("Found.\n", encoding="utf-8")
    folders = {"kodak": "kodak", "scores": "TID2013.txt", "pairs": "pairs", "votes": "votes", "laboratory": "lab"}
    given = [word for name, place in folders.items() for word in (f"--{name}", str(tmp_path / place))]
    given += ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out"), "--repeats", "10"]
    assert command.main([*given, "--references", "1", "--levels", "3"]) == 0
    page = (tmp_path / "out/judges.md").read_text(encoding="utf-8")
    found = json.loads((tmp_path / "out/judges.json").read_text(encoding="utf-8"))
    assert set(found["sets"]) == {"tid", "laboratory", "laboratory_all", "votes", "pairs"}
    assert found["sets"]["votes"]["oracle"]["two_afc"] == 0.9
    assert "Found." in page
    assert str(tmp_path) not in page
    assert "| SSIM | " in page
