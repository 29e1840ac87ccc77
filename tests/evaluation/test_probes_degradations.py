"""Laws of the known degradations."""

from __future__ import annotations

import pytest
import torch

from iqaloss.evaluation.probes.degradations import DEGRADATIONS, PROPERTIES, Degradation, by_name, versions

each_degradation = pytest.mark.parametrize("item", DEGRADATIONS, ids=lambda item: item.name)


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    """A photograph that scikit-image carries, 160x160."""
    skimage = pytest.importorskip("skimage.data")
    image = torch.from_numpy(skimage.astronaut()).permute(2, 0, 1)[:, :320, 100:420] / 255.0
    return torch.nn.functional.avg_pool2d(image[None], 2)[0]


@each_degradation
def test_degradation_keeps_shape_and_range_and_grows_with_strength(item: Degradation, picture: torch.Tensor) -> None:
    distances = []
    for worse in versions(item, picture, (0.1, 0.4, 0.7, 1.0)):
        assert worse.shape == picture.shape
        assert float(worse.min()) >= 0
        assert float(worse.max()) <= 1
        distances.append(float((worse - picture).abs().mean()))
    assert distances == sorted(distances)
    assert distances[0] < 0.6 * distances[-1]


@each_degradation
def test_degradation_of_strength_0_changes_nothing(item: Degradation, picture: torch.Tensor) -> None:
    assert torch.equal(item(picture, 0.0, torch.Generator()), picture)
    if item.name not in ("jpeg", "motion-blur"):  # the mildest of these two is documented
        assert float((item(picture, 1e-4, torch.Generator()) - picture).abs().mean()) < 1e-3


@each_degradation
def test_degradation_is_a_function_of_image_strength_and_seed(item: Degradation, picture: torch.Tensor) -> None:
    before = picture.clone()
    first, again = (item(picture, 0.6, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(picture, before)


@each_degradation
@pytest.mark.parametrize("size", [(37, 61), (16, 90)])
def test_degradation_takes_any_size(item: Degradation, size: tuple[int, int]) -> None:
    image = torch.rand(3, *size, generator=torch.Generator().manual_seed(0))
    assert item(image, 1.0, torch.Generator().manual_seed(0)).shape == image.shape


def test_every_property_is_taken_away_and_unknown_names_are_explained() -> None:
    assert {item.dimension for item in DEGRADATIONS} == set(PROPERTIES)
    with pytest.raises(ValueError, match="defocus"):
        by_name("defocs")


def test_bad_input_is_explained() -> None:
    with pytest.raises(ValueError, match=r"\[3, H, W\]"):
        by_name("jpeg")(torch.rand(1, 3, 8, 8), 0.5, torch.Generator())
    with pytest.raises(ValueError, match=r"\[0, 1\], got 1.5"):
        by_name("jpeg")(torch.rand(3, 8, 8), 1.5, torch.Generator())
