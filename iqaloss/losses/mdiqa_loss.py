"""MDIQA as a loss: a weight for each perceptual dimension."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from iqaloss._errors import check_choice
from iqaloss.losses.functional import normalized_weights, nr_loss
from iqaloss.losses.iqa_loss import IQALoss
from iqaloss.losses.micro_batches import WHOLE
from iqaloss.losses.options import known_options
from iqaloss.losses.schedule import Schedule, Weight
from iqaloss.scorers.base import Request, ScoreOutput, Scorer

FORMS = ("weighted", "fused")
FR_WEIGHTINGS = ("linear", "published")


class MDIQALoss(IQALoss):
    """MDIQA as a loss, steered by a weight for each perceptual dimension.

    With dimension scores s_i, feature maps g_i (g' of the target), user weights r_i and the instance
    weights w_i = softmax(W(pred)):

    ==========  =====================================  ===================================================
    form        no-reference                           full-reference
    ==========  =====================================  ===================================================
    weighted    ``sum_i r_i (1 - s_i) / sum_i r_i``    ``k sum_i r_i mean|g_i - g_i'| / sum_i r_i``
    fused       ``1 - MLP(w r (s + local))``           ``mean_i r_i w_i mean|g_i - g_i'|``; with
                                                       ``fr_weighting="published"`` r_i enters twice
    ==========  =====================================  ===================================================

    Scorers that compare levels (``mdiqa-mobile``) have the distance of a dimension's channels in place of
    ``mean|g_i - g_i'|``: :class:`iqaloss.scorers.mdiqa.levels.LevelDistances`.

    The weighted form is linear in the normalised weights and looks at nothing but the dimensions; one with
    weight 0 is not computed. The fused form is the model's own fusion, with the weights multiplying its
    softmax without renormalisation, as published (arXiv 2508.16887). The fused no-reference form equals the
    published loss plus one, so that it falls to zero for a perfect score.

    Args:
        weights: Dimension name to weight, or a sequence of weights in the model's order. Names that are left
            out weigh 1. Weights are not negative, and not all zero. A weight may be a mapping from steps to weights,
            as ``loss_weight`` may.
        mode: ``"nr"``, ``"fr"`` or ``"both"``.
        scorer: A registered MDIQA scorer's name, or the scorer.
        form: ``"weighted"`` or ``"fused"``.
        fr_weighting: ``"linear"``, or ``"published"`` for the published square (form ``"fused"`` only).
        **options: The options of :class:`IQALoss`.

    Attributes:
        weights: Dimension name to weight; :meth:`set_weights` changes them.

    Raises:
        ValueError: For an unknown dimension (with the nearest valid name), a negative or non-finite weight,
            or weights that are all zero.

    Example:
        >>> loss_fn = MDIQALoss(weights={"sharpness": 2.0})
        >>> value, terms = loss_fn(torch.rand(2, 3, 64, 64), return_terms=True)
        >>> list(terms)
        ['brightness', 'colorfulness', 'contrast', 'noisiness', 'sharpness']
    """

    def __init__(
        self,
        weights: Mapping[str, Weight] | Sequence[Weight] | None = None,
        mode: str = "nr",
        scorer: str | Scorer = "mdiqa-mobile",
        *,
        form: str = "weighted",
        fr_weighting: str = "linear",
        **options: Any,
    ) -> None:
        super().__init__(scorer, mode, **known_options(type(self), options))
        if not self.scorer.dimension_names:
            raise ValueError(
                f"MDIQALoss needs a scorer with dimensions; {self.scorer.card.name} has one score: use IQALoss"
            )
        self.form = check_choice("form", form, FORMS)
        self.fr_weighting = check_choice("fr_weighting", fr_weighting, FR_WEIGHTINGS)
        if self.fr_weighting == "published" and self.form != "fused":
            raise ValueError('fr_weighting="published" is a variant of form="fused"; it was given with form="weighted"')
        if self.form == "fused" and "weights" not in self.scorer.extra_names:
            raise ValueError(f'form="fused" needs instance weights, which {self.scorer.card.name} has not')
        self.set_weights(weights)

    def set_weights(self, weights: Mapping[str, Weight] | Sequence[Weight] | None) -> None:
        """Changes the dimensions' weights; takes what the constructor takes."""
        self._schedules = check_weights(weights, self.scorer)
        self.weights = {name: schedule.at(self.step or 0) for name, schedule in self._schedules.items()}
        self.scheduled = not all(each.constant for each in (self._loss_weights, *self._schedules.values()))

    def set_step(self, step: int) -> None:
        """Says which step of training comes next: the loss's and the dimensions' weights follow their schedules."""
        super().set_step(step)
        self.weights = {name: schedule.at(step) for name, schedule in self._schedules.items()}

    @property
    def active(self) -> tuple[str, ...]:
        """The dimensions whose weight is not zero."""
        return tuple(name for name, weight in self.weights.items() if weight > 0)

    def nr_request(self) -> Request:
        """Asks for the active dimensions' scores, or for the fused score."""
        if self.form == "fused":
            return super().nr_request()
        return Request(dimensions=self.active)

    def fr_request(self) -> Request:
        """Asks for the active dimensions' feature maps and, in the fused form, the instance weights."""
        extras = ("weights",) if self.form == "fused" else ()
        return Request(features=self.compared_features(), extras=extras)

    def compared_features(self) -> tuple[str, ...]:
        """What the active dimensions' distances are taken between."""
        return self.scorer.compared(self.active)

    def nr_terms(self, output: ScoreOutput) -> dict[str, Tensor]:
        """The weighted dimensions, or the fused score."""
        worst, best = self.scorer.card.score_range
        if self.form == "fused":
            return {"score": nr_loss(output.score, best, worst, self.score_map)}
        shares = normalized_weights(self.weights)
        scores = torch.stack([output.dimensions[name] for name in self.active])
        losses = nr_loss(scores, best, worst, self.score_map)
        return {name: shares[name] * loss for name, loss in zip(self.active, losses.unbind())}

    def fr_terms(self, output: ScoreOutput, target: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weighted feature distances of the active dimensions."""
        distances = self.scorer.distances(output.features, target, self.active)
        if self.form == "weighted":
            scale, shares = self.scorer.card.fr_scale, normalized_weights(self.weights)
            return {name: scale * shares[name] * distance for name, distance in distances.items()}
        names = self.scorer.dimension_names
        instance = output.extras["weights"].detach().float()  # already times the ratio
        again = self.weights if self.fr_weighting == "published" else dict.fromkeys(names, 1.0)
        return {
            name: again[name] / len(names) * instance[:, names.index(name)] * distance
            for name, distance in distances.items()
        }

    def conditions(self, rows: slice = WHOLE) -> dict[str, Any]:
        """The ratio that multiplies the instance weights, in the fused form; they need no graph to weigh distances."""
        return {"ratio": self._ratio(), "fixed_weights": self.mode == "fr"} if self.form == "fused" else {}

    def _ratio(self) -> Tensor:
        """The weights ``[D]`` where and as the scorer's are; filled there, for a copy would make the host wait."""
        like = self.scorer.mean
        return torch.stack([like.new_full((), weight) for weight in self.weights.values()])


def check_weights(weights: Mapping[str, Weight] | Sequence[Weight] | None, scorer: Scorer) -> dict[str, Schedule]:
    """Returns a weight, or its schedule, for every dimension of a scorer, in its order, or says what is wrong."""
    names = scorer.dimension_names
    if weights is None:
        given: dict[str, Weight] = {}
    elif isinstance(weights, Mapping):
        given = dict(weights)
        for name in given:
            if name not in names:
                scorer.raise_unknown("dimension", name, names)
    elif isinstance(weights, Sequence) and not isinstance(weights, (str, bytes, bytearray)):
        if len(weights) != len(names):
            raise ValueError(
                f"weights has {len(weights)} values; {scorer.card.name} has {len(names)}: {', '.join(names)}"
            )
        given = dict(zip(names, weights))
    else:
        raise TypeError(f"weights must be a dict by dimension name or a sequence, got {type(weights).__name__}")
    checked = {name: Schedule.read(f"the weight of {name}", given.get(name, 1.0), negative=False) for name in names}
    for step in {step for schedule in checked.values() for step in schedule.steps}:
        if not any(schedule.at(step) for schedule in checked.values()):
            when = "" if all(schedule.constant for schedule in checked.values()) else f" at step {step}"
            raise ValueError(f"all weights are zero{when}: nothing is left to optimise; dimensions: {', '.join(names)}")
    return checked
