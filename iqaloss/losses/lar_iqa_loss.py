"""LAR-IQA as a loss: colour spaces, and a crop that fits training patches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from iqaloss.losses.checks import check_model, check_switch
from iqaloss.losses.iqa_loss import IQALoss
from iqaloss.losses.micro_batches import WHOLE
from iqaloss.losses.options import known_options
from iqaloss.scorers.base import Scorer
from iqaloss.scorers.lar_iqa.config import check_spaces
from iqaloss.scorers.lar_iqa.model import LARIQA


class LARIQALoss(IQALoss):
    """LAR-IQA as a loss, in one or several colour spaces.

    No-reference: ``1 - s`` with s the mean score over the colour spaces. Full-reference: the mean over both branches
    and four stages of ``k mean|g - g'|``, with g the stages' maps at unit root mean square.

    Unlike the scorer by itself, the loss does not fill small images up to the synthetic branch's crop: the published
    zero border turns a 128 x 128 patch into 1280 x 1280 pixels, a hundred times the work and mostly black. With
    ``pad=False`` the synthetic branch sees ``min(H, crop) x min(W, crop)`` pixels of an H x W image, ``crop`` being the
    scorer's (1280, or what it was built with), so images of at least the crop's size are judged as published. The
    authentic branch always sees the whole image in the scorer's square (384 x 384). Scores of small images differ
    between ``pad=True`` and ``pad=False``.

    Args:
        scorer: A LAR-IQA scorer, such as ``load_official("lar-iqa", {"model": path})``, or a registered name.
        mode: ``"nr"``, ``"fr"`` or ``"both"``.
        color_space: A colour space out of RGB, HSV, LAB and YUV, or several; by default the scorer's own.
        pad: Whether the synthetic branch's crop is filled up with zeros, as published.
        **options: The options of :class:`IQALoss`.

    Raises:
        ValueError: For an unknown colour space, with the nearest valid name, or for another model's scorer.

    Example:
        >>> import torch
        >>> from iqaloss import create_scorer
        >>> scorer = create_scorer("lar-iqa", weights=None, trunk="mobilenetv3_small_050", stages=(0, 1), resize=64)
        >>> loss_fn = LARIQALoss(scorer, color_space=["RGB", "LAB"])
        >>> loss_fn(torch.rand(1, 3, 64, 64)).shape
        torch.Size([])
    """

    def __init__(
        self,
        scorer: str | Scorer = "lar-iqa",
        mode: str = "nr",
        *,
        color_space: str | Sequence[str] | None = None,
        pad: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(scorer, mode, **known_options(type(self), options))
        model = check_model("LARIQALoss", self.scorer, LARIQA, "a LAR-IQA")
        self.color_space = check_spaces(model.config.color_space if color_space is None else color_space)
        self.pad = check_switch("pad", pad)

    def conditions(self, rows: slice = WHOLE) -> dict[str, Any]:
        """The colour spaces, and whether the crop is filled up."""
        return {"color_space": self.color_space, "pad": self.pad}

    def extra_repr(self) -> str:
        """Describes the loss in ``repr``."""
        return f"{super().extra_repr()}, color_space={self.color_space}, pad={self.pad}"
