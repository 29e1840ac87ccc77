"""Images scored tile by tile."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from iqaloss import MDIQALoss
from iqaloss.losses import MoEAGIQALoss
from iqaloss.losses.registry import LossSpec
from iqaloss.losses.tiles import POOLS, cut
from testing.cases import tiny


def loss_with(**options: Any) -> MDIQALoss:
    return MDIQALoss(None, options.pop("mode", "both"), tiny("mdiqa-mobile"), **options)


def images(seed: int = 0, height: int = 64, width: int = 96) -> Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("size", "count"), [((96, 64), 6), ((32, 32), 1), ((40, 32), 2), ((70, 70), 9)])
def test_as_few_tiles_as_cover_the_image_reach_every_pixel(size: tuple[int, int], count: int) -> None:
    pixels = torch.rand(2, 3, *size, requires_grad=True)
    tiles = cut(pixels, 32)
    assert tiles.shape == (2 * count, 3, 32, 32)
    tiles.sum().backward()
    assert (pixels.grad > 0).all()
    assert torch.equal(tiles[0], pixels[0, :, :32, :32])
    assert torch.equal(tiles[count], pixels[1, :, :32, :32])


@pytest.mark.parametrize("mode", ["nr", "fr", "both"])
def test_the_mean_over_tiles_is_the_mean_of_their_losses(mode: str) -> None:
    plain, tiled = loss_with(mode=mode), loss_with(mode=mode, tile=32, tile_pool="mean")
    pred, target = images(), images(1)
    torch.testing.assert_close(tiled(pred, target), plain(cut(pred, 32), cut(target, 32)))


@pytest.mark.parametrize("micro_batch", [None, 4])
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("mode", ["nr", "both"])
def test_terms_add_up_and_an_encoded_target_is_the_same(mode: str, pool: str, micro_batch: int | None) -> None:
    options = {"mode": mode, "tile": 32, "tile_pool": pool, "reduction": "none", "relative_to": "target_signed"}
    loss = loss_with(micro_batch=micro_batch, **options)
    pred, target = images().requires_grad_(), images(1)
    value, terms = loss(pred, target, return_terms=True)
    assert value.shape == (2,)
    torch.testing.assert_close(torch.stack(list(terms.values())).sum(), value.detach().mean())
    encoded = loss.encode(target)
    torch.testing.assert_close(loss(pred, encoded), value)
    torch.testing.assert_close(loss(pred[1:], encoded[1:]), value[1:])
    plain = loss_with(**options)(pred, target)
    torch.testing.assert_close(value, plain)
    gradients = [torch.autograd.grad(each.sum(), pred)[0] for each in (value, plain)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-5 * gradients[1].abs().max().item())


def test_the_worst_place_counts() -> None:
    loss = loss_with(mode="fr", tile=32)
    pred, target = images(), images()
    pred[:, :, :32, 64:] = 0.5
    pred.requires_grad_()
    loss(pred, target).backward()
    inside = torch.zeros(64, 96, dtype=torch.bool)
    inside[:32, 64:] = True
    touched = (pred.grad != 0).any(1).any(0)
    assert touched[inside].any()
    every = loss_with(mode="fr", tile=32, reduction="none")(pred, target)
    alone = loss_with(mode="fr", reduction="none")(pred[:, :, :32, 64:], target[:, :, :32, 64:])
    torch.testing.assert_close(every, alone / 2)  # two of six tiles count: the worst, and one that is as it should be


def test_what_does_not_go_with_tiles_is_told() -> None:
    with pytest.raises(ValueError, match="tile must be at least 32, the side that mdiqa-mobile needs, got 8"):
        loss_with(tile=8)
    with pytest.raises(ValueError, match="did you mean 'softmax'"):
        loss_with(tile=32, tile_pool="sotfmax")
    with pytest.raises(ValueError, match="prompts for each image do not know"):
        MoEAGIQALoss(torch.tensor([[1, 7, 2], [1, 5, 2]]), scorer=tiny("moe-agiqa"), tile=64)
    with pytest.raises(ValueError, match=r"encoded with.*tile=None, and this loss has.*tile=32"):
        loss_with(tile=32)(images(), loss_with().encode(images(1)))


def test_recipes_take_them() -> None:
    loss = LossSpec.read({"type": "IQALoss", "tile": 64, "tile_pool": "softmax"}).build(tiny("mdiqa-mobile"))
    assert (loss.inputs.tile, loss.tile_pool) == (64, "softmax")
