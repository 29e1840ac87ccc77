"""MoE-AGIQA: visual degradation and text-image agreement of generated images, judged by a mixture of experts.

Paper: "MoE-AGIQA: Mixture-of-Experts Boosted Visual Perception-Driven and Semantic-Aware Quality Assessment
for AI-Generated Images", CVPR Workshops 2024.
"""

from __future__ import annotations

from iqaloss.scorers.cards import CLIP_MEAN, CLIP_STD, ScorerCard, WeightFile
from iqaloss.scorers.moe_agiqa.config import OFFICIAL, TINY, VISUAL_TAG, ExpertConfig, MoEAGIQAConfig
from iqaloss.scorers.moe_agiqa.model import MoEAGIQA
from iqaloss.scorers.moe_agiqa.official import convert, load_role, open_file
from iqaloss.scorers.moe_agiqa.semantic import PromptTokens
from iqaloss.scorers.registry import register_scorer

__all__ = ["ExpertConfig", "MoEAGIQA", "MoEAGIQAConfig", "PromptTokens", "load_role"]

_CODE = "https://github.com/37s/MoE-AGIQA"
_MADE_BY = f"no address: its authors publish none; the training scripts of {_CODE} write it"

register_scorer(
    ScorerCard(
        name="moe-agiqa",
        title="MoE-AGIQA: generated images and their prompts, ViT-B/16 and ImageReward's BLIP, judged by experts",
        paper='"MoE-AGIQA", CVPR Workshops 2024',
        code_license="none stated",
        mean=CLIP_MEAN,  # of BLIP's input; the visual transformers take [0, 1] as published
        std=CLIP_STD,
        min_side=32,
        input_rule="224x224 crops in [0, 1] (smaller images padded with zeros) and, for BLIP, the centre square at 224",
        fr_scale=3.8,  # with random weights: the published ones were not at hand
        fr_reason=(
            "the visual degradation-aware map (Eq. 5): local, made of the image alone, and what the experts read; "
            "past it the features hold the prompt's content, which prediction and target share"
        ),
        files=(
            WeightFile("reward", ("reward.*",), f"{_MADE_BY} (into best.pth)", "none stated"),
            WeightFile("regressor", ("regressor.*",), f"{_MADE_BY} (into best.pth)", "none stated"),
            WeightFile(
                "vit",
                ("vit.*",),
                f"https://huggingface.co/timm/{VISUAL_TAG}; timm.create_model(name, pretrained=True) fetches it",
                "Apache-2.0",
                optional=True,
            ),
            WeightFile(
                "vit_prior",
                ("vit_prior.*",),
                f"{_MADE_BY} ('vit_model_state_dict' of the prior's best.pth)",
                "none stated",
                optional=True,
            ),
        ),
    ),
    MoEAGIQA,
    config=OFFICIAL,
    tiny=TINY,
    convert=convert,
    open_file=open_file,
)
