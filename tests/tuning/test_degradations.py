"""Degradations are functions of the picture and the generator; patches are functions of the seed and the step."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Generator

from iqaloss.data.images import to_image
from iqaloss.tuning.degradations import DEGRADATIONS, read_degradation
from iqaloss.tuning.photos import Patches, batches, find_photos, whole_pair


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = Generator().manual_seed(0)
    (tmp_path / "truth").mkdir()
    for number in range(9):
        coarse = torch.rand(1, 3, 8, 10, generator=generator)
        smooth = torch.nn.functional.interpolate(coarse, (80, 100), mode="bicubic")[0].clamp(0, 1)
        to_image(smooth).save(tmp_path / "truth" / f"{number}.png")
    return tmp_path / "truth"


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("name", list(DEGRADATIONS))
def test_a_degradation_gives_levels_of_a_file_and_depends_on_its_generator_alone(name: str, scale: int) -> None:
    if scale == 1 and name == "bicubic":
        with pytest.raises(ValueError, match="does nothing for a network that keeps the size"):
            read_degradation(name, scale)
        return
    degrade = read_degradation(name, scale)
    image = torch.rand(3, 64, 48)
    found = [degrade(image, scale, Generator().manual_seed(seed)) for seed in (1, 1)]
    assert found[0].shape == (3, 64 // scale, 48 // scale)
    assert torch.equal(found[0], found[1])
    levels = found[0] * 255.0
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
    assert 0 <= float(found[0].min()) <= float(found[0].max()) <= 1
    assert scale > 1 or not torch.equal(found[0], image)


@pytest.mark.parametrize(
    ("text", "message"),
    [("bicubc", "did you mean 'bicubic'"), ("noise:-1", "positive number"), ("noise:x", "positive number")],
)
def test_a_wrong_degradation_is_told(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_degradation(text, 4)


def test_a_batch_depends_on_the_seed_and_the_step_alone(folder: Path) -> None:
    photos = find_photos(folder)
    patches = Patches(photos.learned, read_degradation("realistic", 2), 2, 32, seed=3)
    straight = list(batches(patches, 0, 4, 2))
    resumed = list(batches(patches, 2, 4, 2))
    for one, other in zip(straight[2:], resumed, strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])
    assert not torch.equal(straight[0][1], straight[1][1])
    shares = [next(batches(patches, 0, 4, 2, rank=rank, ranks=2)) for rank in range(2)]
    assert torch.equal(torch.cat([share[1] for share in shares]), straight[0][1])


def test_some_photographs_are_held_out(folder: Path) -> None:
    photos = find_photos(folder)
    assert (len(photos.learned), len(photos.held_out)) == (8, 1)
    assert not set(photos.learned) & set(photos.held_out)


def test_pairs_are_found_by_name_and_fit_pixel_by_pixel(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "low").mkdir()
    for path in folder.iterdir():
        from PIL import Image

        Image.open(path).resize((50, 40), Image.Resampling.BOX).save(tmp_path / "low" / f"{path.stem}.bmp")
    photos = find_photos(folder, tmp_path / "low")
    patches = Patches(photos.learned, read_degradation("bicubic", 2), 2, 32, seed=0)
    small, truth = next(batches(patches, 0, 1, 4))
    torch.testing.assert_close(small, torch.nn.functional.avg_pool2d(truth, 2), atol=0.004, rtol=0)
    with pytest.raises(ValueError, match="the network enlarges 4 times"):
        whole_pair(photos.learned[0], read_degradation("bicubic", 4), 4, 64, 0)
    (tmp_path / "low" / "3.bmp").unlink()
    with pytest.raises(ValueError, match="no low-quality version of 3"):
        find_photos(folder, tmp_path / "low")
