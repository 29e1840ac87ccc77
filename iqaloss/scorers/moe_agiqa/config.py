"""MoE-AGIQA's architecture as data: versions 1 and 2, the paper's form, and a small one."""

from __future__ import annotations

from dataclasses import dataclass

from iqaloss._errors import check_choice, shown
from iqaloss.scorers.layers.bert import TextConfig
from iqaloss.scorers.layers.crops import PLACEMENTS
from iqaloss.scorers.layers.vit import VitConfig

VARIANTS = ("released", "paper")
DTYPES = ("fp32", "bf16")
BYTES = {"fp32": 4, "bf16": 2}

VIT_B = VitConfig()
VIT_L = VitConfig(width=1024, depth=24, heads=16, drop_path=0.1)
BERT = TextConfig()

VISUAL_TAG = "vit_base_patch16_224.augreg_in21k_ft_in1k"
"""The timm weights that the published checkpoints were trained on; they do not hold the visual transformer.

timm 0.6.13 called them ``vit_base_patch16_224``; today that name means other weights (``augreg2``).
"""


@dataclass(frozen=True)
class ExpertConfig:
    """The part that is trained for quality: fusion of the two sides, and the experts.

    Attributes:
        reduced: Channels to which the visual transformer's blocks are reduced.
        width: Channels C of the fused tokens.
        gate_width: Channels inside the prior's gate.
        heads: Heads of the cross-attention (the paper's form has one).
        head_width: Channels of a head.
        experts: Number n of experts.
        best: Number k of experts that are used for an image.
    """

    reduced: int = 768
    width: int = 512
    gate_width: int = 128
    heads: int = 8
    head_width: int = 64
    experts: int = 4
    best: int = 3


@dataclass(frozen=True)
class MoEAGIQAConfig:
    """The whole scorer.

    Attributes:
        visual: The frozen visual transformer; the prior's is the same.
        blocks: Indices of the visual transformer's blocks whose outputs are used.
        visual_tag: The timm weights that the visual transformer starts from, stored with checkpoints.
        vision: The image half of BLIP.
        text: The text half of BLIP.
        fusion: The part that is trained for quality.
        prior: Whether there is a prior of natural degradations (version 2) or not (version 1).
        variant: ``"released"``, what the published code computes and its checkpoints need, or ``"paper"``:
            cross-attention as in Eq. 9 (one head, no scale, no output projection) and the prior as in Eq. 2
            (an MLP, added to the map).
        prompt_length: Prompts are cut and padded to this many tokens.
        crops: Crops of the visual side for images larger than its input (at most, for the grid).
        placement: Where they are, outside training: ``"grid"``, ``"seeded"`` or ``"random"``. In training they
            are random.
        crop_seed: The seed of ``"seeded"``.
        dtype: How the three transformers' weights are held, ``"fp32"`` or ``"bf16"``; the rest stays float32.
    """

    visual: VitConfig = VIT_B
    blocks: tuple[int, ...] = (4, 5, 6, 7)
    visual_tag: str = VISUAL_TAG
    vision: VitConfig = VIT_L
    text: TextConfig = BERT
    fusion: ExpertConfig = ExpertConfig()
    prior: bool = True
    variant: str = "released"
    prompt_length: int = 35
    crops: int = 4
    placement: str = "grid"
    crop_seed: int = 0
    dtype: str = "fp32"

    def __post_init__(self) -> None:
        check_choice("variant", self.variant, VARIANTS)
        check_choice("placement", self.placement, PLACEMENTS)
        check_choice("dtype", self.dtype, DTYPES)
        if self.crops < 1:
            raise ValueError(f"crops must be at least 1, got {self.crops}")
        if not 1 <= self.fusion.best <= self.fusion.experts:
            raise ValueError(
                f"best must be between 1 and the {self.fusion.experts} experts, got {shown(self.fusion.best)}"
            )
        if not 3 <= self.prompt_length <= self.text.positions:
            raise ValueError(
                f"prompt_length must be between 3 and {self.text.positions}, got {shown(self.prompt_length)}"
            )

    @property
    def visual_depth(self) -> int:
        """Number of blocks of the visual transformer that are run."""
        return max(self.blocks) + 1

    @property
    def transformer_parameters(self) -> int:
        """Parameters of the transformers: nearly all of the model."""
        count = self.visual.count_parameters(depth=self.visual_depth, norm=False)
        count += self.visual.count_parameters() if self.prior else 0
        return count + self.vision.count_parameters() + self.text.count_parameters(self.vision.width)

    @property
    def gigabytes(self) -> float:
        """Size of the transformers' weights in memory, in GB (10^9 bytes)."""
        return self.transformer_parameters * BYTES[self.dtype] / 1e9


OFFICIAL = MoEAGIQAConfig()

_SMALL = VitConfig(width=48, depth=2, heads=2, patch=16, side=32)

TINY = MoEAGIQAConfig(
    visual=_SMALL,
    blocks=(0, 1),
    visual_tag="",
    vision=_SMALL,
    text=TextConfig(48, 2, 2, 96, vocabulary=32, positions=8, dropout=0.1, start=1, end=2),
    fusion=ExpertConfig(reduced=48, width=32, gate_width=8, heads=2, head_width=16),
    prompt_length=6,
    crops=2,
)
