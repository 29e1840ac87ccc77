"""Who sits on the panel: facts of each judge.

The card of a scorer says which families taught it (``ScorerCard.taught_by``): those have no say over a loss that looks
with it.
"""

from __future__ import annotations

from dataclasses import dataclass

VGG = "vgg16_features.fp16.safetensors"
ALEX = "alexnet_features.fp16.safetensors"
VIT = "vit_small_patch14.safetensors"


@dataclass(frozen=True)
class Judge:
    """What is known of a judge: a measure of how far a picture is from its original.

    Attributes:
        name: What it is called in calls and files.
        title: What it is called in tables.
        family: What it looks with. A loss of the same family is no independent contestant before it.
        higher_is_better: Whether a high value means a good picture.
        license: License of its code and weights.
        source: Paper, and where the implementation comes from.
        files: Weights that it takes from a folder, where they are there.
        package: The package that implements it, beside torch; None for none.
        min_side: The smallest side of pictures that it takes.

    Example:
        >>> JUDGES["lpips_vgg"].family, JUDGES["psnr_y"].higher_is_better
        ('vgg', True)
    """

    name: str
    title: str
    family: str
    higher_is_better: bool
    license: str
    source: str
    files: tuple[str, ...] = ()
    package: str | None = None
    min_side: int = 1


_LPIPS = "Zhang et al., CVPR 2018, arXiv:1801.03924; PyPI lpips, version 0.1"

JUDGES: dict[str, Judge] = {
    judge.name: judge
    for judge in (
        Judge("psnr_y", "PSNR-Y", "pixels", True, "none needed", "luminance of ITU-R BT.601, as in MATLAB and BasicSR"),
        Judge("lpips_vgg", "LPIPS-VGG", "vgg", False, "BSD-2-Clause", _LPIPS, (VGG,), "lpips", 16),
        Judge("lpips_alex", "LPIPS-Alex", "alex", False, "BSD-2-Clause", _LPIPS, (ALEX,), "lpips", 32),
        Judge(
            "dists", "DISTS", "vgg", False, "MIT",
            "Ding et al., TPAMI 2022, arXiv:2004.07728; PyPI DISTS_pytorch", (VGG,), "DISTS_pytorch", 16,
        ),
        Judge(
            "vit", "ViT", "vit", False, "Apache-2.0",
            "1 - cosine of the patch tokens of a ViT-S/14 (Oquab et al., arXiv:2304.07193), mean of blocks 3 to 9",
            (VIT,), "timm", 14,
        ),
    )
}  # fmt: skip
"""Every judge by name, in the order of tables."""
