"""MDIQA's architecture as data: the published one, its fusion variants, and the small ones."""

from __future__ import annotations

from dataclasses import dataclass

TECHNICAL = ("brightness", "colorfulness", "contrast", "noisiness", "sharpness")
"""The technical dimensions, as SPAQ defines them; a high noisiness score means little noise."""

AESTHETIC = ("color", "composition", "content", "light")
"""The aesthetic dimensions, as PARA defines them."""


@dataclass(frozen=True)
class BranchConfig:
    """A backbone and the heads that share it.

    Attributes:
        name: Name of the branch.
        dimensions: One head for each.
        trunk: timm name of the backbone.
        width: Channels of the tokens.
        heads: Attention heads.
        hidden: Width inside the feed-forward layers.
        gate_width: Channels inside the gated convolutions.
        patches: Number of each backbone level that the heads read, finest first, and the side of the patches that
            its gate reads; None for all levels, position by position.
        position_side: Side of the learned position tables.
    """

    name: str
    dimensions: tuple[str, ...]
    trunk: str = "resnet50"
    width: int = 256
    heads: int = 4
    hidden: int = 1024
    gate_width: int = 64
    patches: tuple[tuple[int, int], ...] | None = None
    position_side: int = 32


@dataclass(frozen=True)
class FusionConfig:
    """How the dimensions become one score.

    Attributes:
        weight_trunk: timm name of the weight branch's backbone; None shares the first branch's maps.
        weight_width: Channels to which each level of the weight branch is reduced.
        pooled_logits: Whether the weights are the logits of a whole classification network (variant D)
            instead of the spatial mean of a multi-level map.
        local: Whether each dimension gets a second, local score from its feature map.
        clip: Whether the local scores see CLIP's RN50 tokens.
        statistics: Hidden width of a part, not in the paper, that adds to the scores what the mean and
            standard deviation of the first backbone's levels tell; 0 leaves it out.
        appearance: Whether that part also sees mean and standard deviation of colours and luminance.
    """

    weight_trunk: str | None = "mobilenetv3_large_100"
    weight_width: int = 256
    pooled_logits: bool = False
    local: bool = True
    clip: bool = True
    statistics: int = 0
    appearance: bool = False


FUSIONS = {
    "A": FusionConfig(),
    "B": FusionConfig(local=False, clip=False),
    "C": FusionConfig(weight_trunk="resnet50", local=False, clip=False),
    "D": FusionConfig(weight_trunk="resnet50", pooled_logits=True),
}
"""The four published fusion networks. A is the one of the paper's figures, C that of its restoration code."""


@dataclass(frozen=True)
class MDIQAConfig:
    """The whole scorer.

    Attributes:
        branches: The branches, in the order of their dimensions.
        fusion: How the dimensions become one score.
        compare_levels: Whether full-reference mode compares the levels of the first branch's backbone, with weights for
            each dimension, instead of the dimensions' own maps, which see no finer than 32 pixels.
    """

    branches: tuple[BranchConfig, ...]
    fusion: FusionConfig
    compare_levels: bool = False

    @property
    def dimensions(self) -> tuple[str, ...]:
        """All dimension names, in order."""
        return tuple(name for branch in self.branches for name in branch.dimensions)


OFFICIAL = MDIQAConfig((BranchConfig("technical", TECHNICAL), BranchConfig("aesthetic", AESTHETIC)), FUSIONS["A"])

MOBILE = MDIQAConfig(
    (
        BranchConfig(
            "technical",
            TECHNICAL,
            "tf_efficientnet_lite0",
            width=64,
            hidden=64,
            gate_width=8,
            patches=((1, 2), (2, 1), (4, 1)),
        ),
    ),
    FusionConfig(weight_trunk=None, clip=False, statistics=1024, appearance=True),
    compare_levels=True,
)

_SMALL = {"trunk": "mobilenetv3_small_050", "width": 16, "heads": 2, "hidden": 32, "gate_width": 4}

TINY = MDIQAConfig(
    (BranchConfig("technical", TECHNICAL, **_SMALL), BranchConfig("aesthetic", AESTHETIC, **_SMALL)),  # type: ignore[arg-type]
    FusionConfig(weight_trunk="mobilenetv3_small_050", weight_width=16, clip=False),
)

TINY_MOBILE = MDIQAConfig(
    (BranchConfig("technical", TECHNICAL, **_SMALL, patches=((1, 2), (2, 1), (4, 1))),),  # type: ignore[arg-type]
    FusionConfig(weight_trunk=None, clip=False, statistics=8, appearance=True),
    compare_levels=True,
)
