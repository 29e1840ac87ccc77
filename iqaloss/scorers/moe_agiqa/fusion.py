"""What MoE-AGIQA trains for quality: the visual map, the prior, cross-attention with the text, the experts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from iqaloss.scorers.layers.frozen_cache import FrozenCache
from iqaloss.scorers.layers.precision import exact, full_precision
from iqaloss.scorers.moe_agiqa.config import MoEAGIQAConfig


def embedding_projection(before: int, after: int) -> nn.Parameter:
    """A random matrix ``[before, after]`` that keeps the norm of tokens it multiplies from the right."""
    return nn.Parameter(before**-0.5 * torch.randn(before, after))


class GatedPrior(nn.Module):
    """The prior of natural degradations as released: ``f = a M + b (M * g)``, g a gate made of the prior.

    a and b are learned for each position and channel. The published code starts both at zero, where the
    score does not depend on the image and no gradient reaches it; here a starts at one, so that version 2
    starts as version 1.

    Args:
        config: The architecture.
    """

    def __init__(self, config: MoEAGIQAConfig) -> None:
        super().__init__()
        width, side = config.fusion.width, config.visual.grid
        self.project = embedding_projection(config.visual.width, width)
        self.gate = nn.Sequential(
            nn.Linear(width, config.fusion.gate_width), nn.GELU(), nn.Linear(config.fusion.gate_width, width)
        )
        self.plain = nn.Parameter(torch.ones(1, width, side, side))
        self.gated = nn.Parameter(torch.zeros(1, width, side, side))

    def forward(self, visual: Tensor, prior: Tensor) -> Tensor:
        """Returns the map with the prior ``[B, C, h, w]``.

        Args:
            visual: M, ``[B, C, h, w]``.
            prior: ``[B, D]``.
        """
        gate = self.gate(prior @ self.project).sigmoid()[:, :, None, None]
        return visual * self.plain + visual * gate * self.gated


class AddedPrior(nn.Module):
    """The prior of natural degradations as in Eq. 2, an MLP; the paper leaves open how it joins the map: it is added.

    Args:
        config: The architecture.
    """

    def __init__(self, config: MoEAGIQAConfig) -> None:
        super().__init__()
        width = config.fusion.width
        self.mlp = nn.Sequential(nn.Linear(config.visual.width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, visual: Tensor, prior: Tensor) -> Tensor:
        """Returns the map with the prior ``[B, C, h, w]``."""
        return visual + self.mlp(prior)[:, :, None, None]


class CrossAttention(nn.Module):
    """``Softmax(s Q K^T) V`` (Eq. 9), Q of the visual tokens, K and V of the text's.

    Args:
        width: Channels of both.
        heads: Attention heads.
        head_width: Channels of a head.
        scaled: Whether s is ``head_width ** -0.5`` or one.
        project: Whether a linear layer follows.
    """

    def __init__(self, width: int, heads: int, head_width: int, *, scaled: bool, project: bool) -> None:
        super().__init__()
        self.heads = heads
        self.scale = head_width**-0.5 if scaled else 1.0
        inner = heads * head_width
        self.query = nn.Linear(width, inner, bias=False)
        self.key = nn.Linear(width, inner, bias=False)
        self.value = nn.Linear(width, inner, bias=False)
        self.project = nn.Linear(inner, width) if project else nn.Identity()

    def forward(self, tokens: Tensor, memory: Tensor) -> Tensor:
        """Returns ``[B, N, C]`` for queries ``[B, N, C]`` and a memory ``[B, L, C]``."""
        query, key, value = (
            rearrange(layer(source), "b n (h d) -> b h n d", h=self.heads)
            for layer, source in ((self.query, tokens), (self.key, memory), (self.value, memory))
        )
        attended = F.scaled_dot_product_attention(query, key, value, scale=self.scale)
        return self.project(rearrange(attended, "b h n d -> b n (h d)"))


@dataclass
class ExpertScores:
    """What the experts say.

    Attributes:
        score: ``[B]``.
        gate: Softmax weights of all experts, ``[B, n]``.
        experts: Each expert's score, ``[B, n]``.
    """

    score: Tensor
    gate: Tensor
    experts: Tensor


class TopExperts(nn.Module):
    """The k experts with the largest weights; their weights are not renormalised (Eq. 11 and 12).

    All n experts run at once: they are small, and one batched product is faster than a choice for each image.
    They run in float32 also under autocast, as the choice jumps where two weights are nearly equal.

    Args:
        width: Channels of the input and inside an expert.
        experts: Number n of experts.
        best: Number k of those that count.
    """

    def __init__(self, width: int, experts: int, best: int) -> None:
        super().__init__()
        self.best = best
        self.select = nn.Linear(width, experts)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1)) for _ in range(experts)
        )
        self.cache = FrozenCache()

    def forward(self, pooled: Tensor) -> ExpertScores:
        """Scores pooled features ``[B, C]``."""
        with full_precision(pooled.device):
            pooled = pooled.float()
            gate = F.linear(pooled, self.select.weight.float(), self.select.bias.float()).softmax(dim=1)
            hidden = F.gelu(torch.einsum("bc,ndc->bnd", pooled, self._stack(0, "weight")) + self._stack(0, "bias"))
            scores = (hidden * self._stack(2, "weight")[:, 0]).sum(2) + self._stack(2, "bias")[:, 0]
            chosen = torch.zeros_like(gate).scatter(1, gate.topk(self.best, dim=1).indices, 1.0)
            return ExpertScores((gate * chosen * scores).sum(1), gate, scores)

    def _stack(self, layer: int, name: str) -> Tensor:
        each = [getattr(expert[layer], name) for expert in self.experts]  # type: ignore[index]
        return self.cache((layer, name), each, lambda: torch.stack(each).float())


class QualityFusion(nn.Module):
    """From the transformers' outputs to a score.

    Args:
        config: The architecture.
    """

    def __init__(self, config: MoEAGIQAConfig) -> None:
        super().__init__()
        fusion, paper = config.fusion, config.variant == "paper"
        if paper:
            fusion = replace(fusion, heads=1, head_width=fusion.width)
        self.reduce = nn.Conv2d(len(config.blocks) * config.visual.width, fusion.reduced, 1)
        self.local = nn.Conv2d(fusion.reduced, fusion.width, 3, padding=1)
        prior = AddedPrior if paper else GatedPrior
        self.prior = prior(config) if config.prior else None
        self.text = embedding_projection(config.text.width, fusion.width)
        self.norm_visual = nn.LayerNorm(fusion.width)
        self.norm_text = nn.LayerNorm(fusion.width)
        self.attention = CrossAttention(
            fusion.width, fusion.heads, fusion.head_width, scaled=not paper, project=not paper
        )
        self.top = TopExperts(fusion.width, fusion.experts, fusion.best)

    def degradation(self, blocks: Tensor) -> Tensor:
        """The visual degradation-aware map M (Eq. 5) ``[B, C, h, w]`` of the blocks' outputs."""
        return F.relu(exact(self.local, exact(self.reduce, blocks)))

    def pool(self, visual: Tensor, text: Tensor, prior: Tensor | None) -> Tensor:
        """The quality-aware features (Eq. 2, 6 to 10), averaged over positions, ``[B, C]``.

        Args:
            visual: M, ``[B, C, h, w]``.
            text: The text's tokens, ``[B, L, D]``.
            prior: ``[B, E]``, for version 2.
        """
        if self.prior is not None:
            visual = self.prior(visual, prior)
        tokens = self.norm_visual(rearrange(visual, "b c y x -> b (y x) c"))
        return (tokens + self.attention(tokens, self.norm_text(text @ self.text))).mean(dim=1)

    def forward(self, pooled: Tensor) -> ExpertScores:
        """Scores the pooled features."""
        return self.top(pooled)
