"""The MoE-AGIQA scorer."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from einops import rearrange, reduce, repeat
from torch import Tensor, nn

from iqaloss._errors import unknown_name
from iqaloss.scorers.base import Request, ScoreOutput, Scorer
from iqaloss.scorers.cards import ScorerCard
from iqaloss.scorers.image_checks import check_images
from iqaloss.scorers.layers.crops import take_crops
from iqaloss.scorers.layers.square import center_square
from iqaloss.scorers.layers.vit import class_token, create_vit
from iqaloss.scorers.layers.wordpiece import WordPiece
from iqaloss.scorers.moe_agiqa.config import MoEAGIQAConfig
from iqaloss.scorers.moe_agiqa.fusion import QualityFusion
from iqaloss.scorers.moe_agiqa.semantic import Prompts, PromptTokens, SemanticNetwork, empty_prompt, prepare_prompts

_LOG = logging.getLogger("iqaloss")
_LARGE = 0.5
"""Models of more GB than this say their size before they are built."""
_CONDITIONS = ("prompts", "prompt_images", "crops", "seed", "crops_given")
_BY_EXPERTS = ("gate", "experts", "pooled")


class MoEAGIQA(Scorer):
    """Visual degradation, text-image agreement and a prior of natural degradations, judged by experts.

    ``score = mean over crops of sum over the k best experts of w_j E_j(F)`` (Eq. 12), F the quality-aware
    features of a crop and the prompt. The crops go to the visual transformers in ``[0, 1]``, as published;
    BLIP sees the centre square of the whole image, once.

    The one feature map, ``degradation`` ``[B, C, K h, w]``, is M of Eq. 5 for the K crops, one below the other;
    it needs neither text nor experts. The extra outputs, averaged over crops: ``gate`` and ``experts``
    ``[B, n]``, ``pooled`` ``[B, C]``, ``reward`` ``[B]`` (ImageReward's own score of image and prompt) and, in
    version 2, ``prior`` ``[B, D]``.

    Args:
        card: What is known of the model.
        config: The architecture.
    """

    config_class = MoEAGIQAConfig
    config: MoEAGIQAConfig

    def __init__(self, card: ScorerCard, config: MoEAGIQAConfig) -> None:
        super().__init__(card, config)
        if config.gigabytes > _LARGE:
            _LOG.warning(
                "%s: building transformers of %.0f M parameters, %.2f GB in %s%s",
                card.name,
                config.transformer_parameters / 1e6,
                config.gigabytes,
                config.dtype,
                '; the option dtype="bf16" halves that, IQALoss(precision="bf16") computes in bf16'
                if config.dtype == "fp32"
                else "",
            )
        dtype = torch.bfloat16 if config.dtype == "bf16" else torch.float32
        # Each is cast as soon as it is built, so that no more than one is held in float32.
        self.visual = create_vit(config.visual, depth=config.visual_depth, norm=False).to(dtype)
        self.prior: Any = create_vit(config.visual).to(dtype) if config.prior else None
        self.semantic = SemanticNetwork(config).to(dtype)
        self.fusion = QualityFusion(config)
        self.tokenizer: WordPiece | None = None
        self.register_buffer("empty_prompt", empty_prompt(config.text, config.prompt_length), persistent=False)

    empty_prompt: Tensor

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The visual degradation-aware map."""
        return ("degradation",)

    @property
    def extra_names(self) -> tuple[str, ...]:
        """What the experts say, ImageReward's score and, in version 2, the prior."""
        return (*_BY_EXPERTS, "reward", "prior") if self.config.prior else (*_BY_EXPERTS, "reward")

    def use_tokenizer(self, source: str | Path | WordPiece) -> MoEAGIQA:
        """Lets prompts be texts.

        Args:
            source: A BERT ``vocab.txt``, its folder, or ``"hf:google-bert/bert-base-uncased"`` to download one.
        """
        self.tokenizer = WordPiece.of(source)
        return self

    def tokenize(self, prompts: Prompts, tokenizer: WordPiece | None = None) -> PromptTokens:
        """Turns prompts into token ids; done once, they may be passed instead of the texts ever after.

        Args:
            prompts: Texts, token ids, or None for the empty text.
            tokenizer: What splits texts, instead of the scorer's own.
        """
        splitter = self.tokenizer if tokenizer is None else tokenizer
        if prompts is None:
            return PromptTokens(self.empty_prompt, self.empty_prompt != self.config.text.pad)
        tokens = prepare_prompts(prompts, self.config.text, self.config.prompt_length, splitter)
        return tokens.to(self.mean.device)

    def compute(
        self,
        images: Tensor,
        request: Request,
        *,
        prompts: Prompts = None,
        prompt_images: Tensor | None = None,
        crops: int | None = None,
        seed: int | None = None,
        crops_given: int = 1,
        **unknown: Any,
    ) -> ScoreOutput:
        """Runs what the request needs and nothing else.

        Args:
            images: Float RGB in ``[0, 1]``, ``[B, 3, H, W]``.
            request: What to compute.
            prompts: What the images should show: a text or token ids for all images, or one for each image; by
                default the empty text.
            prompt_images: The images that the text is compared with, ``[B, 3, h, w]``, when ``images`` are crops
                of them; ``images`` themselves by default.
            crops: Number of crops, instead of the config's.
            seed: Takes crops at the places of this seed, instead of what the config says.
            crops_given: ``images`` are this many crops of each picture, one after the other: what is returned is the
                pictures', and so are prompts and prompt images.

        Raises:
            ValueError: For an unknown condition, or prompts, prompt images or crops that do not fit.
        """
        for name in unknown:
            raise ValueError(f"{self.card.name}: {unknown_name('condition', name, _CONDITIONS)}")
        extras = request.extras or ()
        scored = request.score or any(name in extras for name in _BY_EXPERTS)
        mapped = scored or bool(request.features)
        output = ScoreOutput()
        batch, left = divmod(images.shape[0], max(1, crops_given))
        if left or crops_given < 1:
            raise ValueError(f"crops_given={crops_given} does not divide {images.shape[0]} images")
        if mapped or "prior" in extras:
            stack = self._crops(images, crops, seed)
            count = crops_given * stack.shape[1]
            stack = rearrange(stack, "b k c y x -> (b k) c y x")
        if mapped:
            visual = self.fusion.degradation(self._visual_blocks(stack))
            if request.features:
                output.features["degradation"] = rearrange(visual, "(b k) c y x -> b c (k y) x", k=count)
        prior = self._prior(stack) if self.config.prior and (scored or "prior" in extras) else None
        each_crop = {} if prior is None else {"prior": prior}
        if scored or "reward" in extras:
            text = self._text(images if prompt_images is None else prompt_images, batch, prompts)
            if "reward" in extras:
                output.extras["reward"] = self.semantic.reward_of(text)
        if scored:
            text = repeat(text.to(self.mean.dtype), "b l d -> (b k) l d", k=count)
            pooled = self.fusion.pool(visual, text, prior)
            found = self.fusion(pooled)
            each_crop |= {"gate": found.gate, "experts": found.experts, "pooled": pooled}
            if request.score:
                output.overall = _over_crops(found.score, batch)
        output.extras |= {name: _over_crops(each_crop[name], batch) for name in extras if name in each_crop}
        return output

    def _crops(self, images: Tensor, crops: int | None, seed: int | None) -> Tensor:
        """Crops ``[B, K, 3, S, S]``: random in training, repeatable otherwise."""
        config = self.config
        placement = "random" if self.training else config.placement if seed is None else "seeded"
        count = config.crops if crops is None else crops
        if count < 1:
            raise ValueError(f"crops must be at least 1, got {count}")
        return take_crops(images, config.visual.side, count, placement, config.crop_seed if seed is None else seed)

    def _visual_blocks(self, crops: Tensor) -> Tensor:
        """The outputs of the chosen blocks (Eq. 3), without class token, ``[B, 4 D, h, w]``."""
        maps = self.visual.forward_intermediates(
            crops.to(_dtype_of(self.visual)), indices=list(self.config.blocks), norm=False, intermediates_only=True
        )
        return torch.cat(maps, dim=1).to(self.mean.dtype)

    def _prior(self, crops: Tensor) -> Tensor:
        """The prior of natural degradations (Eq. 1): the normed class token, ``[B, D]``."""
        return class_token(self.prior, crops.to(_dtype_of(self.prior))).to(self.mean.dtype)

    def _text(self, images: Tensor, batch: int, prompts: Prompts) -> Tensor:
        """The text's tokens after they have looked at the centre square (Eq. 4), ``[B, L, D]``."""
        check_images(images, 1, "prompt_images")
        if images.shape[0] != batch:
            raise ValueError(f"prompt_images holds {images.shape[0]} images, images {batch}")
        square = self.normalize(center_square(images.float(), self.config.vision.side))
        return self.semantic(square.to(_dtype_of(self.semantic)), self.tokenize(prompts).expand(batch))


def _dtype_of(module: nn.Module) -> torch.dtype:
    return next(module.parameters()).dtype


def _over_crops(values: Tensor, batch: int) -> Tensor:
    """Averages ``[B K, ...]`` over the K crops of each image, in float32."""
    return reduce(values.float(), "(b k) ... -> b ...", "mean", b=batch)
