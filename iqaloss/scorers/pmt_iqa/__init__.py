"""PMT-IQA: quality score and quality level from four scales of a ResNet-50, learned from easy to hard.

Paper: "PMT-IQA: Progressive Multi-Task Learning for Blind Image Quality Assessment", arXiv 2301.01182.
"""

from __future__ import annotations

from iqaloss.scorers.cards import ScorerCard, WeightFile
from iqaloss.scorers.pmt_iqa.config import PAPER, TINY, PMTIQAConfig
from iqaloss.scorers.pmt_iqa.model import PMTIQA
from iqaloss.scorers.pmt_iqa.official import convert
from iqaloss.scorers.registry import register_scorer

__all__ = ["PMTIQA", "PMTIQAConfig"]

register_scorer(
    ScorerCard(
        name="pmt-iqa",
        title="PMT-IQA: score and quality level from four scales of a ResNet-50",
        paper="arXiv 2301.01182",
        code_license="none stated",
        input_rule=(
            'any size, no resize (variant="paper"); 224x224, or the mean over windows of it (variant="released")'
        ),
        fr_scale=0.28,  # with random weights: the published ones were not at hand
        fr_reason=(
            "the four scales' maps behind the learned 1x1 convolution and before pooling: all that the heads read, "
            "from local texture to content, with its place still in it"
        ),
        files=(
            WeightFile(
                "model",
                ("*pmt*iqa*.pt*",),
                "nowhere: its authors publish code without weights (https://github.com/pqy000/PMT-IQA); "
                "a state dict that this code trained will do",
                "none stated",
            ),
        ),
    ),
    PMTIQA,
    config=PAPER,
    tiny=TINY,
    convert=convert,
)
