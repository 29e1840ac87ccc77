"""CLIP's two towers: windows and prompts become embeddings in one space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from iqaloss._errors import optional
from iqaloss.scorers.sr_iqa.config import ClipConfig


def _open_clip() -> Any:
    return optional("open_clip", "open_clip_torch", "clip", "the scorer sr-iqa")


def build_clip(config: ClipConfig) -> nn.Module:
    """Builds open_clip's CLIP with random weights and the key names of OpenAI's checkpoints."""
    visual = {
        "image_size": config.side,
        "patch_size": config.patch,
        "width": config.width,
        "layers": config.layers,
        "head_width": config.width // config.heads,
    }
    text = {"width": config.text_width, "heads": config.text_heads, "layers": config.text_layers}
    module = _open_clip()
    return module.CLIP(
        config.embedding,
        module.CLIPVisionCfg(**visual),
        module.CLIPTextCfg(**text),
        quick_gelu=True,  # as OpenAI's weights were trained
    )


def tokenize(prompts: Sequence[str]) -> Tensor:
    """Returns the token ids ``[P, 77]`` of prompts."""
    return _open_clip().tokenize(list(prompts))


def text_parameters(clip: Any) -> list[nn.Parameter]:
    """Returns the parameters of the text tower."""
    towers = (clip.transformer, clip.token_embedding, clip.ln_final)
    return [clip.positional_embedding, clip.text_projection, *(p for tower in towers for p in tower.parameters())]


def embed_windows(visual: Any, windows: Tensor, depths: Sequence[int], pooled: bool) -> tuple[Tensor, list[Tensor]]:
    """Runs the visual tower as far as it is needed.

    Args:
        visual: open_clip's vision transformer.
        windows: Normalised windows ``[N, 3, side, side]``.
        depths: Numbers of the blocks, from 1, after which the patch tokens are wanted; rising.
        pooled: Whether the image embedding is wanted.

    Returns:
        The embeddings ``[N, D]`` (empty unless wanted), and the patch tokens ``[N, T, C]`` of each depth.
    """
    if not pooled and not depths:
        return windows.new_empty(0), []
    patches = rearrange(visual.conv1(windows), "n c y x -> n (y x) c")
    first = visual.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
    x = visual.ln_pre(torch.cat([first, patches], dim=1) + visual.positional_embedding)
    # Older releases of open_clip put the tokens before the batch.
    batch_first = getattr(visual.transformer, "batch_first", False)
    blocks = visual.transformer.resblocks
    # Of what the last block gives, the embedding needs the class token alone.
    deepest = max(depths, default=0)
    needed = max(deepest, len(blocks) - 1) if pooled else deepest
    taken = []
    for depth, block in enumerate(blocks[:needed], start=1):
        x = block(x) if batch_first else block(x.transpose(0, 1)).transpose(0, 1)
        if depth in depths:
            taken.append(x[:, 1:])
    if not pooled:
        return x.new_empty(0), taken
    first = x[:, :1] if needed == len(blocks) else _first_token(blocks[-1], x, batch_first)
    return visual.ln_post(first[:, 0]) @ visual.proj, taken


def _first_token(block: Any, tokens: Tensor, batch_first: bool) -> Tensor:
    """Returns the first token ``[N, 1, C]`` of what a block gives for tokens ``[N, T, C]``."""
    memory = block.ln_1(tokens)
    query = memory[:, :1]
    if not batch_first:
        query, memory = query.transpose(0, 1), memory.transpose(0, 1)
    attended = block.attn(query, memory, memory, need_weights=False)[0]
    attended = attended if batch_first else attended.transpose(0, 1)
    first = tokens[:, :1] + block.ls_1(attended)
    return first + block.ls_2(block.mlp(block.ln_2(first)))
