"""SR-IQA's architecture as data: the paper's, the released code's, and a small one."""

from __future__ import annotations

from dataclasses import dataclass, field

from iqaloss._errors import check_choice

LEVELS = ("bad", "poor", "fair", "good", "perfect")
"""The five quality levels, worth 1 to 5."""

PROMPTS = {"with": "a photo with {} quality", "of": "a photo of {} quality"}
"""Wordings of the prompt: the paper's and the released training code's, and that of the released demo."""

LINKS = ("affine", "positive")
"""How scale a and shift b rectify q: ``a q + b`` (paper), or ``(|a| + 1) q + b`` (released)."""

VARIANTS = {"paper": "affine", "released": "positive"}
"""The variants, and the link of each."""


@dataclass(frozen=True)
class ClipConfig:
    """A CLIP with a vision transformer; by default ViT-B/32.

    Attributes:
        side: Side of the windows that it sees, in pixels.
        patch: Side of a patch.
        width: Channels of the visual tokens.
        layers: Visual blocks.
        heads: Visual attention heads.
        embedding: Channels of the common embedding.
        text_width: Channels of the text tokens.
        text_layers: Text blocks.
        text_heads: Text attention heads.
    """

    side: int = 224
    patch: int = 32
    width: int = 768
    layers: int = 12
    heads: int = 12
    embedding: int = 512
    text_width: int = 512
    text_layers: int = 12
    text_heads: int = 8


@dataclass(frozen=True)
class ManiqaConfig:
    """The feature part of MANIQA, without its scoring heads.

    Attributes:
        patch: Side of a patch of its vision transformer.
        width: Channels of the transformer's tokens; the returned tokens have half of them.
        blocks: Blocks that are run; the last four are read.
        heads: Attention heads of the transformer.
        window: Side of the Swin windows, in tokens.
        swin_heads: Attention heads inside them.
        swin_hidden: Width inside the Swin feed-forward layers.
    """

    patch: int = 8
    width: int = 768
    blocks: int = 10
    heads: int = 12
    window: int = 4
    swin_heads: int = 4
    swin_hidden: int = 768


@dataclass(frozen=True)
class SRIQAConfig:
    """The whole scorer.

    Attributes:
        variant: ``"paper"``: the rectifier reads CLIP's image embedding; ``"released"``: it reads MANIQA's tokens.
        rectified: Whether there is a rectifier; without one the score is CLIP's, as in the paper's first stage.
        link: ``"affine"`` or ``"positive"``: how the rectifier acts on the score; None for the variant's own.
        prompt: ``"with"`` or ``"of"``: the prompt's wording.
        windows: How many windows the published test looks at.
        normalized: Whether CLIP sees its usual normalisation; the last commit of the released demo forgets it.
        maniqa_gradient: Whether a gradient passes through MANIQA's tokens to the image.
        clip: The CLIP.
        maniqa: The token network of the released variant.
    """

    variant: str = "paper"
    rectified: bool = True
    link: str | None = None
    prompt: str = "with"
    windows: int = 15
    normalized: bool = True
    maniqa_gradient: bool = False
    clip: ClipConfig = field(default_factory=ClipConfig)
    maniqa: ManiqaConfig = field(default_factory=ManiqaConfig)

    def __post_init__(self) -> None:
        check_choice("variant", self.variant, VARIANTS)
        check_choice("prompt", self.prompt, PROMPTS)
        if self.link is not None:
            check_choice("link", self.link, LINKS)
        if self.windows < 1:
            raise ValueError(f"windows must be at least 1, got {self.windows}")

    @property
    def reads_maniqa(self) -> bool:
        """Whether the rectifier reads MANIQA's tokens."""
        return self.rectified and self.variant == "released"

    @property
    def rectifier_link(self) -> str:
        """The link in force."""
        return self.link or VARIANTS[self.variant]

    @property
    def prompts(self) -> tuple[str, ...]:
        """The five prompts, worst first."""
        return tuple(PROMPTS[self.prompt].format(level) for level in LEVELS)


OFFICIAL = SRIQAConfig()

TINY = SRIQAConfig(
    clip=ClipConfig(
        side=64, patch=32, width=64, layers=4, heads=2, embedding=32, text_width=32, text_layers=1, text_heads=2
    ),
    maniqa=ManiqaConfig(patch=16, width=32, blocks=5, heads=2, window=2, swin_heads=2, swin_hidden=32),
)
