"""SR-IQA as a loss: fewer windows than its test, spread over the whole image."""

from __future__ import annotations

from typing import Any

from iqaloss.losses.checks import check_count, check_model
from iqaloss.losses.iqa_loss import IQALoss
from iqaloss.losses.micro_batches import WHOLE
from iqaloss.losses.options import known_options
from iqaloss.scorers.base import Scorer
from iqaloss.scorers.sr_iqa.model import SRIQA


class SRIQALoss(IQALoss):
    """SR-IQA as a loss.

    The published test looks at 15 windows of 224 pixels on a grid of 32, which costs fifteen passes and, on a
    picture with fewer than 15 windows, sees the top left one only. The loss spreads a few windows from border to
    border instead, no more than cover the picture: 1 for pictures up to 224 pixels (which are enlarged),
    4 for the usual 256-pixel crop.

    No-reference: ``(5 - Q) / 4``, for Q lies in [1, 5]. Full-reference: distance of CLIP's tokens, see the card.

    Args:
        scorer: An SR-IQA scorer, such as ``load_official("sr-iqa", {"clip": path})``, or a registered name.
        mode: ``"nr"``, ``"fr"`` or ``"both"``.
        windows: At most so many windows of an image; None takes those of the published test.
        **options: The options of :class:`IQALoss`.

    Raises:
        ValueError: If ``windows`` is less than 1, an option is unknown, or the scorer is another model's.

    Example:
        >>> from iqaloss import load_official
        >>> scorer = load_official("sr-iqa", {"clip": "LIQE-SR_0.01.pt"})  # doctest: +SKIP
        >>> loss_fn = SRIQALoss(scorer, windows=2)  # doctest: +SKIP
    """

    def __init__(
        self, scorer: str | Scorer = "sr-iqa", mode: str = "nr", *, windows: int | None = 4, **options: Any
    ) -> None:
        super().__init__(scorer, mode, **known_options(type(self), options))
        check_model("SRIQALoss", self.scorer, SRIQA, "an SR-IQA")
        self.windows = check_count("windows", windows)

    def conditions(self, rows: slice = WHOLE) -> dict[str, Any]:
        """The number of windows."""
        return {"windows": self.windows}
