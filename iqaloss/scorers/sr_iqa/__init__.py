"""SR-IQA: a CLIP with quality prompts, calibrated by the rankings of super-resolution methods.

Paper: "Learning from Model Rankings Improves Blind Super-Resolution Image Quality Assessment", IEEE SMC 2025.
"""

from __future__ import annotations

from iqaloss.scorers.cards import CLIP_MEAN, CLIP_STD, ScorerCard, WeightFile
from iqaloss.scorers.registry import register_scorer
from iqaloss.scorers.sr_iqa.config import OFFICIAL, TINY, ClipConfig, ManiqaConfig, SRIQAConfig
from iqaloss.scorers.sr_iqa.model import SRIQA
from iqaloss.scorers.sr_iqa.official import convert, open_file

__all__ = ["SRIQA", "ClipConfig", "ManiqaConfig", "SRIQAConfig"]

_PUBLISHED = "https://github.com/cschenjunlin/SR-IQA-SMC25 (Google Drive file 1eMHNUOrn60HmrPs83QubYGmO-pctrOvc)"
_MANIQA = "https://github.com/chaofengc/IQA-PyTorch/releases/download/v0.1-weights/MANIQA_PIPAL-ae6d356b.pth"
_NONE_STATED = "none stated by its authors"

register_scorer(
    ScorerCard(
        name="sr-iqa",
        title="SR-IQA: CLIP ViT-B/32 with five quality prompts, for super-resolved images",
        paper="Learning from Model Rankings Improves Blind Super-Resolution Image Quality Assessment, IEEE SMC 2025",
        code_license=_NONE_STATED,
        score_range=(1.0, 5.0),
        mean=CLIP_MEAN,
        std=CLIP_STD,
        input_rule=(
            "shorter side brought to 224 if smaller, to 768 if both sides are larger; 15 windows of 224 for scores, "
            "fewer spread from border to border in SRIQALoss"
        ),
        fr_scale=0.25,  # with random weights: the published ones were not at hand
        fr_reason=(
            "patch tokens after a third and two thirds of CLIP's blocks and before the last one, which keep texture "
            "and place, and the image embedding, which is what the prompts are compared with; each token is "
            "brought to unit size, for the residual stream grows with depth"
        ),
        files=(
            WeightFile("clip", ("LIQE-SR_*.pt",), _PUBLISHED, _NONE_STATED),
            WeightFile(
                "rectifier",
                (),
                "the same file, as rectifier_state_dict, if its authors put one in",
                _NONE_STATED,
                optional=True,
            ),
            WeightFile(
                "maniqa",
                ("MANIQA_PIPAL-ae6d356b.pth",),
                _MANIQA,
                "that of IQA-PyTorch: PolyForm Noncommercial 1.0.0 and S-Lab License",
                optional=True,
                url=_MANIQA,
            ),
        ),
        needs={"open_clip": "clip"},
    ),
    SRIQA,
    config=OFFICIAL,
    tiny=TINY,
    convert=convert,
    open_file=open_file,
)
