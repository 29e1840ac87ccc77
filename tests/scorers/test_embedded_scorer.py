"""The shipped scorer: its file is the one its card describes, and its dimensions mean what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from iqaloss.data.images import load_image
from iqaloss.evaluation.probes import degradations, distortions, gradients, responses, upscales
from iqaloss.evaluation.probes.pictures import center, read_pictures
from iqaloss.scorers import weights
from iqaloss.scorers.base import Scorer
from iqaloss.scorers.factory import create_scorer
from iqaloss.scorers.registry import entry
from iqaloss.scorers.state_dicts import sha256_of
from scorer_recipes.mdiqa_mobile import publish
from testing.costs import total_flops

FOLDER = Path(weights.__file__).parent
FILE = FOLDER / "mdiqa-mobile.safetensors"
CARD = json.loads((FOLDER / "mdiqa-mobile.json").read_text(encoding="utf-8"))

FALL = 0.3
"""A lost property lowers its dimension by at least this, on the mean."""
EACH = ("colorfulness", "contrast", "noisiness", "sharpness")
"""Dimensions that fall for each picture; brightness does not for one that is dark already (see the model card)."""


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return create_scorer("mdiqa-mobile")


@pytest.fixture(scope="module")
def pictures() -> list[torch.Tensor]:
    """Centres, 192x192, of sharp colour photographs that scikit-image carries."""
    found = []
    for name in ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png"):
        found.append(center(load_image(publish.picture_folder() / name), 192, 192))
    return found


def test_file_has_the_digest_and_size_of_its_card() -> None:
    assert sha256_of(FILE) == CARD["sha256"] == entry("mdiqa-mobile").card.embedded.sha256  # type: ignore[union-attr]
    assert FILE.stat().st_size == CARD["bytes"] <= 16 * 2**20


def test_scorer_keeps_its_size_limits(scorer: Scorer) -> None:
    assert sum(p.numel() for p in scorer.parameters()) == CARD["figures"]["parameters"] <= 8_000_000
    with torch.no_grad():
        flops, _ = total_flops(scorer, torch.rand(1, 3, 256, 256))
    assert flops / 2 <= 1.5e9


def test_stored_scores_come_back(scorer: Scorer) -> None:
    found = publish.picture_scores(scorer)
    assert len(found) == 12
    for name, scores in CARD["pictures"].items():
        assert found[name] == pytest.approx(scores, abs=1e-3), name


def test_card_reports_the_required_agreement() -> None:
    validation = CARD["figures"]["validation"]
    assert validation["images"] == 1000
    assert validation["srcc"] >= 0.84
    assert validation["srcc_95"][0] <= validation["srcc"] <= validation["srcc_95"][1]


@pytest.mark.parametrize("dimension", degradations.PROPERTIES)
def test_dimension_falls_most_when_its_property_is_lost(
    dimension: str, scorer: Scorer, pictures: list[torch.Tensor]
) -> None:
    falls = []
    for name in responses.LOSSES[dimension]:
        apply = degradations.by_name(name)
        for picture in pictures:
            generator = torch.Generator().manual_seed(3)
            worse = [apply(picture, strength, generator) for strength in (0.5, 1.0)]
            with torch.no_grad():
                out = scorer(torch.stack([picture, *worse]))
            own = out.dimensions[dimension]
            falls.append({key: float(value[0] - value[-1]) for key, value in out.dimensions.items()})
            if dimension in EACH:
                assert float(own[2]) < float(own[0]), name
    mean = {key: sum(fall[key] for fall in falls) / len(falls) for key in degradations.PROPERTIES}
    others = max(abs(value) for key, value in mean.items() if key != dimension)
    assert mean[dimension] > FALL, mean
    assert mean[dimension] > 3.0 * others, mean


def test_sharpness_falls_with_every_step_of_blur(scorer: Scorer, pictures: list[torch.Tensor]) -> None:
    for picture in pictures:
        blurred = [picture, *(distortions.gaussian_blur(picture, sigma) for sigma in (0.7, 1.2, 2.0, 3.2))]
        with torch.no_grad():
            sharpness = scorer(torch.stack(blurred)).dimensions["sharpness"]
        assert bool((sharpness.diff() < 0).all()), sharpness


def test_noisiness_falls_with_every_step_of_noise(scorer: Scorer, pictures: list[torch.Tensor]) -> None:
    for picture in pictures:
        noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
        noisy = [(picture + sigma * noise).clamp(0, 1) for sigma in (0.0, 0.03, 0.06, 0.1, 0.15)]
        with torch.no_grad():
            noisiness = scorer(torch.stack(noisy)).dimensions["noisiness"]
        assert bool((noisiness.diff() < 0).all()), noisiness


def test_original_scores_above_its_bicubic_upscales(scorer: Scorer, pictures: list[torch.Tensor]) -> None:
    order = upscales.upscale_order(scorer, pictures)
    assert order.original_best == order.sharpness_original_best == 1.0
    assert order.sharpness_in_order == 1.0


@pytest.fixture(scope="module")
def berkeley(shared: Path) -> list[torch.Tensor]:
    """Centres, 192x192, of photographs that were never trained on."""
    return read_pictures(shared / "data" / "bsds300" / "val", 5, side=192)


def test_dimensions_move_alone_and_in_order_on_photographs_never_seen(
    scorer: Scorer, berkeley: list[torch.Tensor]
) -> None:
    found = responses.responses(scorer, berkeley, only=responses.PLAIN)
    assert min(found.selectivity.values()) >= 3.0, found.selectivity
    assert min(found.tau.values()) >= 0.9, found.tau  # the hundred of the card have .96 and more
    assert all(item.overall_fall > 0 for item in found.degradations.values())


def test_upscales_are_in_order_on_photographs_never_seen(scorer: Scorer, berkeley: list[torch.Tensor]) -> None:
    order = upscales.upscale_order(scorer, berkeley)
    assert order.original_best == order.in_order == 1.0


def test_input_gradient_has_no_stride_pattern(scorer: Scorer, pictures: list[torch.Tensor]) -> None:
    found = gradients.gradient_figures(scorer, pictures)
    assert found.stride_share < 0.005
    assert 0.01 < found.norm < 10.0


def test_stride_pattern_in_a_gradient_is_found() -> None:
    noise = torch.randn(3, 192, 192, generator=torch.Generator().manual_seed(0))
    assert max(gradients.stride_peaks(gradients.power_spectrum(noise)).values()) < 3.0
    noise[:, ::8, ::8] += 2.0
    power = gradients.power_spectrum(noise)
    assert gradients.stride_peaks(power)[8] > 10.0
    assert gradients.stride_share(power) > 0.02


def test_aesthetic_dimension_is_an_error_that_says_who_has_it(scorer: Scorer) -> None:
    from iqaloss.scorers.base import Request

    with pytest.raises(ValueError, match="mdiqa"):
        scorer(torch.rand(1, 3, 64, 64), Request(dimensions=("composition",)))
