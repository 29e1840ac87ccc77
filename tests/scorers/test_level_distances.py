"""The distance that full-reference mode takes between the levels of the backbone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from iqaloss import IQALoss, MDIQALoss, create_scorer
from iqaloss.evaluation.probes.degradations import PROPERTIES, by_name
from iqaloss.scorers.factory import create_tiny
from iqaloss.scorers.mdiqa.model import MDIQA
from iqaloss.scorers.request import Request
from testing.costs import total_flops


@pytest.fixture(scope="module")
def photograph() -> Tensor:
    """Edges, a slope and texture."""
    draw = torch.Generator().manual_seed(3)
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 128), torch.linspace(0, 1, 128), indexing="ij")
    drawn = 0.3 + 0.3 * rows + 0.2 * ((columns * 6).floor() % 2) + 0.05 * torch.randn(128, 128, generator=draw)
    return torch.stack([drawn, 0.8 * drawn, 1 - drawn]).clamp(0, 1)


def test_the_levels_are_compared_and_no_head_is_run() -> None:
    scorer = create_tiny("mdiqa-mobile")
    assert isinstance(scorer, MDIQA)
    assert scorer.feature_names == tuple(f"stride {stride}" for stride in (2, 4, 8, 16, 32))
    heads = MDIQA(scorer.card, replace(scorer.config, compare_levels=False)).freeze()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        costs = [total_flops(each, image, Request(features=None))[0] for each in (scorer, heads)]
    assert costs[0] < costs[1]


def test_equal_weights_are_the_distance_of_all_channels_alike() -> None:
    scorer = create_scorer("mdiqa-mobile")
    assert isinstance(scorer, MDIQA)
    assert scorer.comparison is not None
    together = scorer.comparison.weights.mean(dim=0)
    torch.testing.assert_close(together, torch.full_like(together, 0.2), rtol=2e-3, atol=1e-4)
    assert (scorer.comparison.weights >= 0).all()


def test_the_loss_is_the_mean_of_the_dimensions_distances(photograph: Tensor) -> None:
    worse = by_name("defocus")(photograph, 0.5, torch.Generator().manual_seed(0))
    loss = MDIQALoss(mode="fr")
    value, terms = loss(worse[None], photograph[None], return_terms=True)
    assert list(terms) == list(PROPERTIES)
    torch.testing.assert_close(value, torch.stack(list(terms.values())).sum())
    torch.testing.assert_close(IQALoss("mdiqa-mobile", "fr")(worse[None], photograph[None]), value)
    assert float(loss(photograph[None], photograph[None])) == 0.0


@pytest.mark.parametrize("name", ["under-exposure", "desaturation", "gaussian-noise", "defocus"])
def test_a_dimension_answers_most_to_what_it_is_named_for(name: str, photograph: Tensor) -> None:
    """Its share of the whole distance is larger for its own degradation than for any other's."""
    degraded = {
        each: by_name(each)(photograph, 0.7, torch.Generator().manual_seed(0))
        for each in ("under-exposure", "desaturation", "gaussian-noise", "defocus")
    }
    loss, own = MDIQALoss(mode="fr"), by_name(name).dimension
    found = {each: loss(image[None], photograph[None], return_terms=True) for each, image in degraded.items()}
    parts = {each: float(terms[own] / value) for each, (value, terms) in found.items()}
    assert max(parts, key=lambda each: parts[each]) == name


def test_a_distance_grows_with_the_fault(photograph: Tensor) -> None:
    loss = MDIQALoss(mode="fr")
    for name in ("defocus", "gaussian-noise", "jpeg"):
        found = [
            float(loss(by_name(name)(photograph, strength, torch.Generator().manual_seed(0))[None], photograph[None]))
            for strength in (0.2, 0.5, 0.8)
        ]
        assert found == sorted(found)
        assert found[0] > 0


def test_one_encoded_target_serves_any_weights(photograph: Tensor) -> None:
    worse = by_name("defocus")(photograph, 0.5, torch.Generator().manual_seed(0))[None]
    encoded = MDIQALoss({"sharpness": 0.0}, "fr").encode(photograph[None])
    sharp = MDIQALoss({"sharpness": 3.0}, "fr")
    torch.testing.assert_close(sharp(worse, encoded), sharp(worse, photograph[None]))


def test_the_gradient_is_steady(photograph: Tensor) -> None:
    """Noise of half a grey level hardly turns it."""
    loss, draw = MDIQALoss(mode="fr", prefilter=0.8), torch.Generator().manual_seed(1)
    worse = by_name("upscaling")(photograph, 0.7, draw)[None]

    def gradient(image: Tensor) -> Tensor:
        image = image.clone().requires_grad_()
        return torch.autograd.grad(loss(image, photograph[None]), image)[0].flatten()

    noisy = worse + torch.randn(worse.shape, generator=draw) / 510
    assert float(torch.cosine_similarity(gradient(worse), gradient(noisy), dim=0)) > 0.75
