"""The semantic side: ImageReward's BLIP, a text that has looked at the image (arXiv 2304.05977, 2201.12086)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from iqaloss._errors import shown
from iqaloss.scorers.layers.bert import ImageGroundedTextEncoder, TextConfig
from iqaloss.scorers.layers.vit import create_vit
from iqaloss.scorers.layers.wordpiece import WordPiece
from iqaloss.scorers.moe_agiqa.config import MoEAGIQAConfig

REWARD_MEAN, REWARD_STD = 0.16717362830052426, 1.0333394966054072
"""What ImageReward's raw reward is standardised with."""


@dataclass(frozen=True)
class PromptTokens:
    """Tokenised prompts: one for all images, or one for each.

    Attributes:
        ids: Token ids, long ``[N, L]``.
        mask: Which of them are text and not padding, bool ``[N, L]``.
    """

    ids: Tensor
    mask: Tensor

    def to(self, device: torch.device) -> PromptTokens:
        """Returns them on a device."""
        return PromptTokens(self.ids.to(device), self.mask.to(device))

    def expand(self, batch: int) -> PromptTokens:
        """Returns one prompt for each of ``batch`` images; raises ``ValueError`` where they do not fit."""
        if self.ids.shape[0] not in (1, batch):
            raise ValueError(f"{self.ids.shape[0]} prompts for {batch} images: give one for all, or one for each")
        return PromptTokens(self.ids.expand(batch, -1), self.mask.expand(batch, -1))


Prompts = str | Sequence[str] | Tensor | PromptTokens | None
"""Texts, token ids ``[L]`` or ``[N, L]``, what became of them, or None for the empty text."""


def prepare_prompts(prompts: Prompts, config: TextConfig, length: int, tokenizer: WordPiece | None) -> PromptTokens:
    """Returns prompts as checked token ids.

    Args:
        prompts: Texts, token ids padded with the padding id, or None for the empty text.
        config: The text encoder.
        length: Texts are cut and padded to this many tokens; ids may be fewer, down to one.
        tokenizer: What splits texts; ids and None need none.

    Raises:
        TypeError: If the prompts are of another kind.
        ValueError: If texts are given without a tokenizer, or ids do not fit the encoder.
    """
    if isinstance(prompts, PromptTokens):
        return prompts
    if prompts is None:
        ids = empty_prompt(config, length)
    elif isinstance(prompts, Tensor):
        ids = _check_ids(prompts, config, length)
    else:
        ids = _check_ids(torch.tensor(_split(prompts, config, length, tokenizer)), config, length)
    return PromptTokens(ids, ids != config.pad)


def empty_prompt(config: TextConfig, length: int) -> Tensor:
    """Returns the token ids ``[1, length]`` of the empty text."""
    return torch.tensor([[config.start, config.end] + [config.pad] * (length - 2)])


def _split(
    prompts: str | Sequence[str], config: TextConfig, length: int, tokenizer: WordPiece | None
) -> list[list[int]]:
    texts = [prompts] if isinstance(prompts, str) else prompts
    if not isinstance(texts, Sequence) or not texts or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"prompts must be a text, texts, or a tensor of token ids, got {shown(prompts)}")
    if tokenizer is None:
        raise ValueError(
            "prompts given as text need a tokenizer: pass tokenizer=<BERT vocab.txt or its folder>, or "
            '"hf:google-bert/bert-base-uncased" to download one; or pass token ids'
        )
    special = {"[PAD]": config.pad, "[CLS]": config.start, "[SEP]": config.end}
    for piece, index in special.items():
        if tokenizer.ids[piece] != index:
            raise ValueError(
                f"not the text encoder's vocabulary: {piece} has id {tokenizer.ids[piece]}, expected {index}"
            )
    return [tokenizer.encode(text, length) for text in texts]


def _check_ids(ids: Tensor, config: TextConfig, length: int) -> Tensor:
    if ids.is_floating_point() or ids.dtype == torch.bool:
        raise TypeError(f"token ids must be integers, got dtype {ids.dtype}")
    if ids.ndim not in (1, 2) or not ids.numel() or ids.shape[-1] > length:
        raise ValueError(f"token ids must have shape [L] or [N, L] with L at most {length}, got {list(ids.shape)}")
    ids = ids.reshape(-1, ids.shape[-1]).long()
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= config.vocabulary:
        raise ValueError(f"token ids must lie in [0, {config.vocabulary - 1}], got [{low}, {high}]")
    if bool((ids == config.pad).all(1).any()):
        raise ValueError(f"a prompt holds nothing but padding (id {config.pad}); the empty text is start and end")
    return ids


class SemanticNetwork(nn.Module):
    """BLIP's image transformer, its text encoder over the image's tokens, and ImageReward's head.

    Args:
        config: The architecture.
    """

    def __init__(self, config: MoEAGIQAConfig) -> None:
        super().__init__()
        width = config.text.width
        self.vision = create_vit(config.vision)
        self.text = ImageGroundedTextEncoder(config.text, config.vision.width)
        self.reward = nn.Sequential(
            nn.Linear(width, 1024),
            nn.Dropout(0.2),
            nn.Linear(1024, 128),
            nn.Dropout(0.2),
            nn.Linear(128, 64),
            nn.Dropout(0.1),
            nn.Linear(64, 16),
            nn.Linear(16, 1),
        )

    def forward(self, images: Tensor, prompts: PromptTokens) -> Tensor:
        """Returns the text's tokens ``[B, L, D]``, padding included.

        Args:
            images: Normalised squares of the transformer's side, ``[B, 3, S, S]``.
            prompts: One prompt for each image.
        """
        return self.text(prompts.ids, prompts.mask, self.vision.forward_features(images))

    def reward_of(self, tokens: Tensor) -> Tensor:
        """ImageReward's own score ``[B]`` of the text's tokens: how well image and text agree."""
        return (self.reward(tokens[:, 0]).squeeze(1).float() - REWARD_MEAN) / REWARD_STD
