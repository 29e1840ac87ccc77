"""MDIQA: nine perceptual dimensions, each with a score of its own, fused to one quality score.

Paper: "MDIQA: Unified Image Quality Assessment for Multi-dimensional Evaluation and Restoration",
arXiv 2508.16887.
"""

from __future__ import annotations

from iqaloss.scorers.cards import EmbeddedFile, ScorerCard, WeightFile
from iqaloss.scorers.mdiqa.config import (
    AESTHETIC,
    FUSIONS,
    MOBILE,
    OFFICIAL,
    TECHNICAL,
    TINY,
    TINY_MOBILE,
    BranchConfig,
    FusionConfig,
    MDIQAConfig,
)
from iqaloss.scorers.mdiqa.model import MDIQA
from iqaloss.scorers.mdiqa.official import convert
from iqaloss.scorers.registry import register_scorer

__all__ = ["FUSIONS", "MDIQA", "BranchConfig", "FusionConfig", "MDIQAConfig"]

_PAPER = "arXiv 2508.16887"
_LICENSE = "CC BY-NC-SA 4.0 and S-Lab License 1.0 (non-commercial)"
_PUBLISHED = "https://github.com/YaoShunyu19/MDIQA (Google Drive folder 1-RajAoPc-0v-WWQ9BnYTi-HxbpJNLZcl)"
_FR_REASON = (
    "each head's last cross-scale query map: what the dimension's score is read from, and what the paper compares"
)

register_scorer(
    ScorerCard(
        name="mdiqa",
        title="MDIQA: five technical and four aesthetic dimensions, two ResNet-50 branches",
        paper=_PAPER,
        code_license=_LICENSE,
        dimensions=TECHNICAL + AESTHETIC,
        fr_scale=0.41,  # with random weights: the published ones were not at hand
        fr_reason=_FR_REASON,
        files=(
            WeightFile(
                "technical",
                ("net_freeze_backbone.pth", *(f"net_best_koniq10k_val_head{i}_head{i}.pth" for i in range(5))),
                _PUBLISHED,
                _LICENSE,
            ),
            WeightFile("aesthetic", ("net_best_PARA_val_color.pth",), _PUBLISHED, _LICENSE),
            WeightFile("fusion", ("mdiqa_shared_5t_4a_*.pth",), _PUBLISHED, _LICENSE),
        ),
    ),
    MDIQA,
    config=OFFICIAL,
    tiny=TINY,
    convert=convert,
)

register_scorer(
    ScorerCard(
        name="mdiqa-mobile",
        title="the embedded default: MDIQA's architecture, small, five technical dimensions, offline",
        paper=_PAPER,
        code_license="Apache-2.0",
        dimensions=TECHNICAL,
        mean=(127 / 255,) * 3,
        std=(128 / 255,) * 3,
        fr_scale=0.056,
        fr_reason="the backbone's levels, strides 2 to 32, which say where pictures differ: the form of LPIPS, "
        "on a backbone that learnt from people's scores",
        dimensions_elsewhere={
            name: "the embedded model judges technical quality only; the official checkpoint of 'mdiqa' has it"
            for name in AESTHETIC
        },
        embedded=EmbeddedFile(
            "mdiqa-mobile.safetensors",
            "47a619c131b418e1d2859ef7d02befaec93375d1c7b65563c5fbf4b95b6db7b3",
            "see mdiqa-mobile.md",
            version=3,
            taught_by=("vgg",),
        ),
    ),
    MDIQA,
    config=MOBILE,
    tiny=TINY_MOBILE,
)
