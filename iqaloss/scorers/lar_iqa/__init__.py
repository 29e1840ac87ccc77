"""LAR-IQA: two MobileNetV3 branches, for authentic and for synthetic distortions, and a KAN or MLP head.

Paper: "LAR-IQA: A Lightweight, Accurate, and Robust No-Reference Image Quality Assessment Model",
arXiv 2408.17057.
"""

from __future__ import annotations

from iqaloss.scorers.cards import ScorerCard, WeightFile
from iqaloss.scorers.lar_iqa.config import PUBLISHED, TINY, LARIQAConfig
from iqaloss.scorers.lar_iqa.model import LARIQA
from iqaloss.scorers.lar_iqa.official import convert
from iqaloss.scorers.registry import register_scorer

__all__ = ["LARIQA", "LARIQAConfig"]

register_scorer(
    ScorerCard(
        name="lar-iqa",
        title="LAR-IQA: two MobileNetV3 branches with a KAN or MLP head, four colour spaces",
        paper="arXiv 2408.17057",
        code_license="MIT, according to its README",
        input_rule=(
            "any size; resized to 384x384 (authentic branch) and centre-cropped to 1280x1280 with a zero border "
            "(synthetic branch); options resize, crop, pad, color_space"
        ),
        fr_scale=0.16,  # with random weights: the published ones were not at hand
        fr_reason=(
            "maps behind four stages (strides 4 to 32) of both backbones: the synthetic branch sees the pixels as they "
            "are and keeps where a distortion sits, the authentic one the whole picture; class scores and embeddings "
            "have no place left and are not compared"
        ),
        files=(
            WeightFile(
                "model",
                ("AIM_Training_2branche_*-Head*.pt",),
                "https://github.com/nasimjamshidi/LAR-IQA (Google Drive folder 1HZY-eW6TxIEy6XtXC4Inn5sn3kkAO2UK)",
                "MIT, according to the README of its code; none is stated for the files",
                # Two different files were published as AIM_Training_2branche_KAN-Head.pt: the first from 2024-09-09 to
                # 2024-11-04 and in the Drive folder, the second from 2024-11-04 to 2025-01-29. The third is the MLP's.
                sha256=(
                    "70c243d7324c76df43df8ab6a44eb535ee9f4f3acb928e5dfe9deb2bb3b7b0ab",
                    "9b4d43dddb29b40cb3afee908e0f5bdf760c3ca2e5efbee179e01f7cd286e11a",
                    "68116e2d548b6bec6d80982ce3bbd7fb1136b20e2db728669b3b307fb3e7a094",
                ),
            ),
        ),
    ),
    LARIQA,
    config=PUBLISHED,
    tiny=TINY,
    convert=convert,
)
