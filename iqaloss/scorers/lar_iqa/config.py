"""LAR-IQA's architecture and preprocessing as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from iqaloss._errors import check_choice, shown

HEADS = ("kan", "mlp")
SPACES = ("RGB", "HSV", "LAB", "YUV")
VARIANTS = ("paper", "released")
BRANCHES = ("authentic", "synthetic")


@dataclass(frozen=True)
class LARIQAConfig:
    """The whole scorer.

    Attributes:
        head: ``"kan"`` or ``"mlp"``: what stands on the backbones.
        trunk: timm name of the two backbones, a MobileNetV3 with its classifier.
        logits: Width of the classifiers.
        hidden: Width of the hidden layer of the MLP head; unused by the KAN head.
        embedding: Width of a branch's embedding.
        kan_scaler: Whether the KAN layers keep the released layer's factor for each spline as a parameter of its
            own; otherwise it is multiplied into the coefficients, which is the same function, and faster.
        stages: Stages of the backbones whose maps full-reference mode compares, counted from 0.
        resize: Side of the square that the authentic branch sees the whole image in (published: 384); None leaves
            the image as it is.
        crop: Side of the centre crop that the synthetic branch sees (published: 1280, the choice for UHD images; the
            authors advise to adjust it to the data); None takes the whole image. The released inference script
            resized to 1280 x 1280 instead until 2024-11-04, against its own training; that is not offered.
        pad: Whether an image smaller than the crop gets a zero (black) border, as published. False crops at most the
            image's own sides: for an image of H x W the synthetic branch sees min(H, crop) x min(W, crop) pixels.
        color_space: The colour space that both branches see, or several; the score is then the mean over them.
        variant: ``"paper"`` computes with real numbers throughout. ``"released"`` rounds to 8 bits wherever the
            released script handles 8-bit images: the image itself, and both passes of Pillow's resize. Rounding
            lets the gradient pass straight through.
    """

    head: str = "kan"
    trunk: str = "mobilenetv3_large_100"
    logits: int = 1000
    hidden: int = 3100
    embedding: int = 512
    kan_scaler: bool = False
    stages: tuple[int, ...] = (1, 2, 4, 5)
    resize: int | None = 384
    crop: int | None = 1280
    pad: bool = True
    color_space: str | tuple[str, ...] = "RGB"
    variant: str = "paper"

    def __post_init__(self) -> None:
        check_choice("head", self.head, HEADS)
        check_choice("variant", self.variant, VARIANTS)
        check_spaces(self.color_space)
        for name in ("resize", "crop"):
            side = getattr(self, name)
            if side is not None and (isinstance(side, bool) or not isinstance(side, int) or side < 32):
                raise ValueError(f"{name} must be an integer of at least 32 (pixels) or None, got {shown(side)}")


def check_spaces(spaces: str | Sequence[str]) -> tuple[str, ...]:
    """Returns colour space names as a tuple; raises ``ValueError`` for an unknown, repeated or missing one."""
    if not isinstance(spaces, Sequence):
        raise TypeError(f"color_space must be the name of a space, or a list of them, got {shown(spaces)}")
    names = (spaces,) if isinstance(spaces, str) else tuple(spaces)
    for name in names:
        check_choice("colour space", name, SPACES)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"color_space must name at least one space, each once, got {shown(spaces)}; valid: {SPACES}")
    return names


PUBLISHED = LARIQAConfig()

TINY = LARIQAConfig(
    trunk="mobilenetv3_small_050", logits=32, hidden=24, embedding=16, stages=(0, 1, 3, 4), resize=64, crop=96
)
