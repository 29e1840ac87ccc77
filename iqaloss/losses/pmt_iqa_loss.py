"""PMT-IQA as a loss, on its score or on its expected quality level."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from iqaloss._errors import check_choice
from iqaloss.losses.checks import check_model
from iqaloss.losses.functional import nr_loss
from iqaloss.losses.iqa_loss import IQALoss
from iqaloss.losses.options import known_options
from iqaloss.scorers.base import Request, ScoreOutput, Scorer
from iqaloss.scorers.pmt_iqa.model import PMTIQA

USES = ("score", "level")


class PMTIQALoss(IQALoss):
    """PMT-IQA as a loss.

    No-reference with ``use="score"``: ``1 - s``. With ``use="level"``: ``1 - E / (K - 1)``, where E is the expectation
    of the K quality levels 0 to K - 1 under the level head. It lies in [0, 1] whatever the weights, and its slope fades
    where the head is sure of one level. Full-reference: the mean over the four scales of ``k mean|g - g'|``, with g
    their maps at unit root mean square; ``use`` does not change it.

    Args:
        scorer: A PMT-IQA scorer, such as one trained here, or a registered name.
        mode: ``"nr"``, ``"fr"`` or ``"both"``.
        use: ``"score"`` or ``"level"``: the head that the no-reference loss reads; the other is not computed.
        **options: The options of :class:`IQALoss`.

    Raises:
        ValueError: For an unknown ``use``, or another model's scorer.

    Example:
        >>> import torch
        >>> from iqaloss import create_scorer
        >>> loss_fn = PMTIQALoss(create_scorer("pmt-iqa", weights=None, trunk="resnet10t"), use="level")
        >>> value, terms = loss_fn(torch.rand(1, 3, 64, 64), return_terms=True)
        >>> list(terms)
        ['level']
    """

    def __init__(
        self, scorer: str | Scorer = "pmt-iqa", mode: str = "nr", *, use: str = "score", **options: Any
    ) -> None:
        super().__init__(scorer, mode, **known_options(type(self), options))
        model = check_model("PMTIQALoss", self.scorer, PMTIQA, "a PMT-IQA")
        self.use = check_choice("use", use, USES)
        self.best_level = float(model.config.levels - 1)

    def nr_request(self) -> Request:
        """Asks for the score or for the expected level."""
        if self.use == "score":
            return super().nr_request()
        return Request(extras=("expected_level",))

    def nr_terms(self, output: ScoreOutput) -> dict[str, Tensor]:
        """The score, or the expected level in units of the best one."""
        if self.use == "level":
            return {"level": nr_loss(output.extras["expected_level"], self.best_level, score_map=self.score_map)}
        worst, best = self.scorer.card.score_range
        return {"score": nr_loss(output.score, best, worst, self.score_map)}

    def extra_repr(self) -> str:
        """Describes the loss in ``repr``."""
        return f"{super().extra_repr()}, use={self.use!r}"
