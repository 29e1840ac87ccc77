"""The SR-IQA scorer."""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange, reduce
from torch import Tensor
from torch.nn import functional as F

from iqaloss.scorers.base import Request, ScoreOutput, Scorer
from iqaloss.scorers.cards import ScorerCard
from iqaloss.scorers.layers.crops import cut
from iqaloss.scorers.layers.normalize import unit_rms
from iqaloss.scorers.layers.precision import full_precision, neutral
from iqaloss.scorers.layers.rectifier import Rectifier, rectify
from iqaloss.scorers.sr_iqa.clip import build_clip, embed_windows, text_parameters, tokenize
from iqaloss.scorers.sr_iqa.config import SRIQAConfig
from iqaloss.scorers.sr_iqa.maniqa import ManiqaTokens
from iqaloss.scorers.sr_iqa.windows import fit_size, published_starts, spread_starts


class SRIQA(Scorer):
    """CLIP compares windows of an image with five quality prompts; a rectifier calibrates the score.

    ``p = softmax_c mean_windows exp(t) cos(window, prompt_c)`` and ``q = sum_c c p_c`` in [1, 5]; the rectified
    score is ``a q + b`` with (a, b) = h(features of the image) ("Learning from Model Rankings Improves Blind
    Super-Resolution Image Quality Assessment", section II-B). In the released variant it is ``(|a| + 1) q + b``.

    The prompts' embeddings are computed once, when the scorer is frozen, and again only when the weights change;
    while the text tower is trained they are part of the graph.

    The extra outputs are ``quality`` ``[B]``, the score before the rectifier, ``probabilities`` ``[B, 5]`` of the
    levels from bad to perfect and, with a rectifier, ``rectifier`` ``[B, 2]``, its scale and shift.

    Args:
        card: What is known of the model.
        config: The architecture.
    """

    config_class = SRIQAConfig
    config: SRIQAConfig
    prompts: Tensor
    text: Tensor | None

    def __init__(self, card: ScorerCard, config: SRIQAConfig) -> None:
        super().__init__(card, config)
        size = config.clip
        self.clip: Any = build_clip(size)
        self.maniqa = ManiqaTokens(config.maniqa, size.side) if config.reads_maniqa else None
        width = config.maniqa.width // 2 if config.reads_maniqa else size.embedding
        self.rectifier = Rectifier(width, config.rectifier_link) if config.rectified else None
        # The last block's patch tokens reach nothing that was trained, so the deepest tap is the one before.
        self.depths = dict(zip(("early", "middle", "late"), (size.layers // 3, 2 * size.layers // 3, size.layers - 1)))
        self.register_buffer("prompts", tokenize(config.prompts), persistent=False)
        self.register_buffer("text", None, persistent=False)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Patch tokens at three depths, and the image embedding."""
        return (*self.depths, "embedding")

    @property
    def extra_names(self) -> tuple[str, ...]:
        """The score before the rectifier, the levels' probabilities and the rectifier's outputs."""
        return ("quality", "probabilities", "rectifier") if self.rectifier else ("quality", "probabilities")

    # --- the prompts' embeddings ---

    def freeze(self) -> SRIQA:
        """Makes the scorer a fixed function and computes the prompts' embeddings for good."""
        super().freeze()
        self.text = self._encode_prompts()
        return self

    def unfreeze(self) -> SRIQA:
        """Makes CLIP and the rectifier trainable again; MANIQA stays as it is, as published."""
        super().unfreeze()
        self.text = None
        if self.maniqa is not None:
            self.maniqa.requires_grad_(False)
        return self

    def _load_from_state_dict(self, *args: Any, **options: Any) -> None:
        self.text = None  # it belongs to the old weights
        super()._load_from_state_dict(*args, **options)

    def text_embeddings(self) -> Tensor:
        """Returns the prompts' embeddings ``[5, D]``, worst first, not normalised."""
        if any(parameter.requires_grad for parameter in text_parameters(self.clip)):
            self.text = None
            return self.clip.encode_text(self.prompts)
        if self.text is None:
            self.text = self._encode_prompts()
        return self.text

    def _encode_prompts(self) -> Tensor:
        # Neither inference mode nor autocast of the first caller may leave its mark on what is kept.
        with neutral(self.prompts.device):
            return self.clip.encode_text(self.prompts)

    # --- from an image to a score ---

    def compute(self, images: Tensor, request: Request, *, windows: int | None = None, **_: Any) -> ScoreOutput:
        """Cuts windows out of the images and scores them.

        Args:
            images: Float RGB in ``[0, 1]``, ``[B, 3, H, W]``.
            request: What to compute.
            windows: At most so many windows, spread from border to border; None takes those of the published test.
        """
        side, count = self.config.clip.side, self.config.windows if windows is None else windows
        if count < 1:
            raise ValueError(f"windows must be at least 1, got {windows}")
        images = fit_size(images, side)
        rule = published_starts if windows is None else spread_starts
        starts = rule(images.shape[2], images.shape[3], side, count)
        return self._compute_windows(cut(images, starts, side), request)

    def score_windows(self, windows: Tensor, request: Request | None = None) -> ScoreOutput:
        """Scores images of which the windows are given.

        Args:
            windows: Float RGB in ``[0, 1]``, ``[B, n, 3, side, side]``.
            request: What to compute; everything by default.
        """
        request = self.resolve(request or Request.everything())
        return self._compute_windows(windows, request).only(request)

    def _compute_windows(self, windows: Tensor, request: Request) -> ScoreOutput:
        features, extras = request.features or (), request.extras or ()
        scored = request.score or bool(extras)
        depths = {name: depth for name, depth in self.depths.items() if name in features}
        seen = rearrange(windows, "b n c h w -> (b n) c h w")
        embedding, tokens = embed_windows(
            self.clip.visual,
            self.normalize(seen) if self.config.normalized else seen,
            list(depths.values()),
            pooled=scored or "embedding" in features,
        )
        count = windows.shape[1]
        output = ScoreOutput(features={name: token_map(taken, count) for name, taken in zip(depths, tokens)})
        if "embedding" in features:
            output.features["embedding"] = token_map(embedding[:, None], count)
        if scored:
            rectified = self.rectifier is not None and (request.score or "rectifier" in extras)
            self._score(windows, rearrange(embedding, "(b n) d -> b n d", n=count), output, rectified)
        return output

    def _score(self, windows: Tensor, embedding: Tensor, output: ScoreOutput, rectified: bool) -> None:
        """Adds score and extra outputs, given the embeddings of the windows ``[B, n, D]``, rectified or not."""
        # exp(t) is about 100: bfloat16 would round the logits to quarters.
        with full_precision(embedding.device):
            embedding = embedding.to(self.mean.dtype)
            text = F.normalize(self.text_embeddings().to(embedding.dtype), dim=1)
            logits = self.clip.logit_scale.exp() * F.normalize(embedding, dim=2) @ text.t()
            probabilities = logits.mean(dim=1).softmax(dim=1)
            worth = torch.arange(1, probabilities.shape[1] + 1, dtype=embedding.dtype, device=embedding.device)
            quality = probabilities @ worth
        output.extras.update(quality=quality, probabilities=probabilities)
        output.overall = quality
        if rectified and self.rectifier is not None:
            scale, shift = self.rectifier(self._rectifier_tokens(windows, embedding))
            output.extras["rectifier"] = torch.stack([scale, shift], dim=1)
            output.overall = rectify(quality, scale, shift, self.rectifier.link)

    def _rectifier_tokens(self, windows: Tensor, embedding: Tensor) -> Tensor:
        """Returns what the rectifier reads, averaged over the windows: ``[B, T, C]``."""
        if self.maniqa is None:
            return embedding.mean(dim=1, keepdim=True)
        if self.config.maniqa_gradient:
            return self._maniqa_tokens(self.maniqa, windows)
        with torch.no_grad():
            return self._maniqa_tokens(self.maniqa, windows.detach())

    @staticmethod
    def _maniqa_tokens(maniqa: ManiqaTokens, windows: Tensor) -> Tensor:
        tokens = maniqa(rearrange(windows, "b n c h w -> (b n) c h w"))
        return reduce(tokens, "(b n) t c -> b t c", "mean", n=windows.shape[1])


def token_map(tokens: Tensor, count: int) -> Tensor:
    """Makes a map for full-reference mode: each token at unit size, the windows of an image below each other.

    Args:
        tokens: ``[B * n, T, C]``, with T a square number.
        count: Number n of windows of an image.

    Returns:
        ``[B, C, n * sqrt(T), sqrt(T)]``.
    """
    side = round(tokens.shape[1] ** 0.5)
    rows = rearrange(tokens, "(b n) t c -> b (n t) c", n=count)  # first, so that the channels stay together in memory
    return unit_rms(rearrange(rows, "b (y x) c -> b c y x", x=side))
