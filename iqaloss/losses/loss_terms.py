"""What a loss asks of its scorer, and the terms that it makes of the answer; what a subclass changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from iqaloss._errors import check_choice
from iqaloss.losses.functional import SCORE_MAPS, nr_loss
from iqaloss.losses.micro_batches import WHOLE
from iqaloss.losses.relative import RELATIVE, relative_terms
from iqaloss.losses.runner import Runner
from iqaloss.scorers.base import Request, ScoreOutput, Scorer

MODES = ("nr", "fr", "both")


class LossTerms(nn.Module):
    """The terms of a loss in each mode, of what a scorer says; :class:`~iqaloss.losses.iqa_loss.IQALoss` is one.

    Args:
        runner: The frozen scorer and how it runs.
        mode: ``"nr"``, ``"fr"`` or ``"both"``.
        relative_to: None, ``"target"`` or ``"target_signed"``; see :mod:`iqaloss.losses.relative`.
        score_map: None or what bounds a no-reference loss; see :data:`iqaloss.losses.functional.SCORE_MAPS`.
    """

    def __init__(self, runner: Runner, mode: str, relative_to: str | None, score_map: str | None) -> None:
        super().__init__()
        # The runner holds the scorer, so that nn.Module registers none: not in state_dict(), parameters() or train().
        self.runner = runner
        self.mode = check_choice("mode", mode, MODES)
        self.relative_to = None if relative_to is None else check_choice("relative_to", relative_to, RELATIVE)
        self.score_map = None if score_map is None else check_choice("score_map", score_map, SCORE_MAPS)
        for name, value in (("relative_to", relative_to), ("score_map", score_map)):
            if self.mode == "fr" and value is not None:
                raise ValueError(f'{name}="{value}" is about no-reference terms, which mode="fr" has not')

    def _replicate_for_data_parallel(self) -> nn.Module:
        # The replica would keep the first device's scorer, which is no submodule.
        raise RuntimeError(
            "nn.DataParallel cannot copy a loss to other devices: call the loss on what the wrapped network returns, "
            "or use DistributedDataParallel"
        )

    @property
    def scorer(self) -> Scorer:
        """The frozen scorer."""
        return self.runner.scorer

    @property
    def compares(self) -> bool:
        """Whether the loss needs a target."""
        return self.mode != "nr" or self.relative_to is not None

    @property
    def _compared(self) -> str:
        """Which option compares with the target, for messages."""
        return f'mode="{self.mode}"' if self.mode != "nr" else f'relative_to="{self.relative_to}"'

    # --- what a subclass changes ---

    def nr_request(self) -> Request:
        """What the no-reference loss needs of the scorer."""
        return Request(score=True)

    def fr_request(self) -> Request:
        """What the full-reference loss needs of the scorer for the prediction."""
        return Request(features=self.compared_features())

    def compared_features(self) -> tuple[str, ...]:
        """Names of the feature maps that the full-reference loss compares."""
        return self.scorer.compared(self.scorer.distance_names)

    def nr_terms(self, output: ScoreOutput) -> dict[str, Tensor]:
        """Returns the no-reference terms ``[B]`` by name; they add up to the loss."""
        worst, best = self.scorer.card.score_range
        return {"score": nr_loss(output.score, best, worst, self.score_map)}

    def fr_terms(self, output: ScoreOutput, target: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the full-reference terms ``[B]`` by name; they add up to the loss."""
        names = self.scorer.distance_names
        factor = self.scorer.card.fr_scale / len(names)
        found = self.scorer.distances(output.features, target, names)
        return {name: factor * distance for name, distance in found.items()}

    def conditions(self, rows: slice = WHOLE) -> dict[str, Any]:
        """What the scorer takes beside the images; where that is something for each image, for some of the batch."""
        return {}

    # --- what the runner asks ---

    def request(self) -> Request:
        """What the mode needs of the scorer for the prediction."""
        if self.mode == "nr":
            return self.nr_request()
        return self.fr_request() if self.mode == "fr" else self.nr_request() | self.fr_request()

    def target_request(self) -> Request:
        """What the mode needs of the scorer for the target."""
        features = Request() if self.mode == "nr" else Request(features=self.compared_features())
        return features if self.relative_to is None else self.nr_request() | features

    def terms(self, output: ScoreOutput, reference: ScoreOutput) -> dict[str, Tensor]:
        """Returns the mode's terms ``[B]`` by name, of what the scorer says of prediction and target."""
        nr = {} if self.mode == "fr" else self.nr_terms(output)
        if self.relative_to is not None:
            nr = relative_terms(nr, self.nr_terms(reference), self.relative_to)
        if self.mode == "nr":
            return nr
        fr = self.fr_terms(output, reference.features)
        if self.mode == "fr":
            return fr
        return {f"{kind}_{name}": term for kind, terms in (("nr", nr), ("fr", fr)) for name, term in terms.items()}
