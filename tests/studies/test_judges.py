"""The ViT's tensors arrive in timm under their names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import timm
import torch
from torch import Tensor

from studies.judges.vit_weights import BLOCKS, LAYERS, timm_keys

WIDTH, HIDDEN = 384, 1536


def published() -> Iterator[tuple[str, Tensor]]:
    """Random tensors under the published names."""
    yield "embeddings.cls_token", torch.rand(1, 1, WIDTH)
    yield "embeddings.position_embeddings", torch.rand(1, 1 + 37 * 37, WIDTH)
    yield "embeddings.patch_embeddings.projection.weight", torch.rand(WIDTH, 3, 14, 14)
    shapes = {"mlp.fc1": (HIDDEN, WIDTH), "mlp.fc2": (WIDTH, HIDDEN), "norm1": (WIDTH,), "norm2": (WIDTH,)}
    for block in range(BLOCKS):
        start = f"encoder.layer.{block}."
        names = [f"attention.attention.{name}" for name in ("query", "key", "value")] + list(LAYERS)
        for name in names:
            shape = shapes.get(name, (WIDTH, WIDTH))
            yield f"{start}{name}.weight", torch.rand(shape)
            yield f"{start}{name}.bias", torch.rand(shape[0])
        yield f"{start}layer_scale1.lambda1", torch.rand(WIDTH)
        yield f"{start}layer_scale2.lambda1", torch.rand(WIDTH)
    for name in ("embeddings.patch_embeddings.projection.bias", "layernorm.weight", "layernorm.bias"):
        yield name, torch.rand(WIDTH)


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(published())


def test_timm_takes_all_of_them(tensors: dict[str, Tensor]) -> None:
    network = timm.create_model("vit_small_patch14_dinov2", num_classes=0)
    network.load_state_dict(timm_keys(tensors))


def test_queries_keys_and_values_keep_their_order(tensors: dict[str, Tensor]) -> None:
    packed = timm_keys(tensors)["blocks.7.attn.qkv.weight"].view(3, WIDTH, WIDTH)
    for part, name in zip(packed, ("query", "key", "value")):
        assert torch.equal(part, tensors[f"encoder.layer.7.attention.attention.{name}.weight"])
