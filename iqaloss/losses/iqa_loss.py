"""A frozen scorer as a loss."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn

from iqaloss._errors import check_choice
from iqaloss.losses.checks import NONFINITE, check_finite, check_range, check_range_option
from iqaloss.losses.functional import feature_distance, nr_loss, reduce_batch, stack_terms, straight_through_clamp
from iqaloss.scorers.base import NOTHING, Request, ScoreOutput, Scorer, check_images
from iqaloss.scorers.registry import create_scorer

MODES = ("nr", "fr", "both")
PRECISIONS: dict[str | None, torch.dtype | None] = {None: None, "fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass
class EncodedTarget:
    """A target's features, computed once and reused; made by :meth:`IQALoss.encode`.

    Attributes:
        features: Name to feature map ``[B, C, h, w]``, without gradient.
        shape: Shape of the target images.
    """

    features: dict[str, Tensor] = field(default_factory=dict)
    shape: tuple[int, ...] = ()


class IQALoss(nn.Module):
    """A frozen image quality scorer as a loss.

    No-reference (``mode="nr"``): ``loss_weight * (best - s) / (best - worst)``, which is ``1 - s`` for a
    scorer trained to [0, 1]. Full-reference (``"fr"``): ``loss_weight * k * mean_i mean|g_i - g_i'|`` over
    the scorer's feature maps g of the prediction and the target, with k the scale on the scorer's card
    that brings it to the order of an L1 loss. ``"both"`` adds the two.

    The scorer is frozen in place. It is no submodule: a module that holds the loss neither saves nor
    trains it, ``train()`` does not reach it, yet ``to()`` moves it.

    Args:
        scorer: A registered name or a :class:`~iqaloss.scorers.base.Scorer`.
        mode: ``"nr"``, ``"fr"`` or ``"both"``.
        loss_weight: Factor of the loss.
        reduction: ``"mean"`` or ``"sum"`` over the batch, or ``"none"`` for ``[B]``.
        input_range: The range of prediction and target: ``(0, 1)``, ``(-1, 1)`` or ``(0, 255)``, say.
        clamp: What happens to values outside the range: ``"ste"`` clips them and lets their gradient pass
            unchanged, ``"clip"`` clips them and stops their gradient, None leaves them.
        nonfinite: A NaN or infinite value ``"raise"``s, lets the step be ``"skip"``ped with a warning, or is
            ``"ignore"``d (which also leaves out the range check and so every wait for the device).
        precision: ``None`` follows the caller's autocast, ``"fp32"`` turns it off and ``"bf16"`` on inside
            the scorer. The result is float32 in any case.

    Shapes:
        pred, target: ``[B, 3, H, W]``, RGB. Output: a scalar, or ``[B]`` with ``reduction="none"``.

    Raises:
        ValueError: For an unknown option, with the nearest valid one.

    Example:
        >>> loss_fn = IQALoss("mdiqa-mobile", mode="both")
        >>> pred = torch.rand(1, 3, 64, 64, requires_grad=True)
        >>> value, parts = loss_fn(pred, torch.rand(1, 3, 64, 64), return_parts=True)
        >>> value.backward()
    """

    def __init__(
        self,
        scorer: str | Scorer = "mdiqa-mobile",
        mode: str = "nr",
        *,
        loss_weight: float = 1.0,
        reduction: str = "mean",
        input_range: tuple[float, float] = (0.0, 1.0),
        clamp: str | None = "ste",
        nonfinite: str = "raise",
        precision: str | None = None,
    ) -> None:
        super().__init__()
        self.mode = check_choice("mode", mode, MODES)
        self.reduction = check_choice("reduction", reduction, ("mean", "sum", "none"))
        self.nonfinite = check_choice("nonfinite", nonfinite, NONFINITE)
        self.clamp = clamp if clamp is None else check_choice("clamp", clamp, ("ste", "clip"))
        self.precision = precision if precision is None else check_choice("precision", precision, ("fp32", "bf16"))
        self.input_range = check_range_option(input_range)
        self.loss_weight = float(loss_weight)
        if not torch.isfinite(torch.tensor(self.loss_weight)):
            raise ValueError(f"loss_weight must be finite, got {loss_weight!r}")
        if not isinstance(scorer, (str, Scorer)):
            raise TypeError(f"scorer must be a registered name or a Scorer, got {type(scorer).__name__}")
        built = create_scorer(scorer) if isinstance(scorer, str) else scorer
        # In a tuple, so that nn.Module does not register it: not in state_dict(), parameters() or train().
        self._held = (built.freeze(),)

    @property
    def scorer(self) -> Scorer:
        """The frozen scorer."""
        return self._held[0]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> IQALoss:
        """Lets ``to()``, ``cuda()`` and their like reach the scorer."""
        super()._apply(fn, recurse)
        self.scorer._apply(fn, recurse)
        return self

    def extra_repr(self) -> str:
        """Describes the loss in ``repr``."""
        return f"scorer={self.scorer.card.name!r}, mode={self.mode!r}, loss_weight={self.loss_weight:g}"

    # --- what a subclass changes ---

    def nr_request(self) -> Request:
        """What the no-reference loss needs of the scorer."""
        return Request(score=True, dimensions=(), features=(), extras=())

    def fr_request(self) -> Request:
        """What the full-reference loss needs of the scorer for the prediction."""
        return Request(score=False, dimensions=(), features=self.compared_features(), extras=())

    def compared_features(self) -> tuple[str, ...]:
        """Names of the feature maps that the full-reference loss compares."""
        return self.scorer.feature_names

    def nr_terms(self, output: ScoreOutput) -> dict[str, Tensor]:
        """Returns the no-reference terms ``[B]`` by name; they add up to the loss."""
        worst, best = self.scorer.card.score_range
        return {"score": nr_loss(output.score, best, worst)}

    def fr_terms(self, output: ScoreOutput, target: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the full-reference terms ``[B]`` by name; they add up to the loss."""
        names = self.compared_features()
        factor = self.scorer.card.fr_scale / len(names)
        return {name: factor * feature_distance(output.features[name], target[name]) for name in names}

    def conditions(self) -> dict[str, Any]:
        """What the scorer takes beside the images."""
        return {}

    # --- what a user calls ---

    def encode(self, target: Tensor) -> EncodedTarget:
        """Computes a target's features once, without a graph, to be passed in place of the target.

        Args:
            target: ``[B, 3, H, W]`` in the input range.
        """
        check_images(target, self.scorer.card.min_side, "target")
        with torch.no_grad():
            request = Request(score=False, dimensions=(), features=self.compared_features(), extras=())
            output = self._run(self._prepare(target, "target"), request)
        return EncodedTarget(output.features, tuple(target.shape))

    @overload
    def forward(
        self, pred: Tensor, target: Tensor | EncodedTarget | None = None, *, return_parts: Literal[False] = False
    ) -> Tensor: ...

    @overload
    def forward(
        self, pred: Tensor, target: Tensor | EncodedTarget | None = None, *, return_parts: Literal[True]
    ) -> tuple[Tensor, dict[str, Tensor]]: ...

    def forward(
        self, pred: Tensor, target: Tensor | EncodedTarget | None = None, *, return_parts: bool = False
    ) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """Computes the loss.

        Args:
            pred: The restored images, ``[B, 3, H, W]``.
            target: The true images of the same shape, or what :meth:`encode` made of them; needed for
                ``"fr"`` and ``"both"``, and ignored for ``"nr"``.
            return_parts: Whether to return the named terms as well.

        Returns:
            The loss; with ``return_parts`` also a dict from name to detached scalar. The parts add up to
            the loss (to its mean over the batch with ``reduction="none"``). Their names are the scorer's
            dimensions or features, or ``score``; in mode ``"both"`` with the prefix ``nr_`` or ``fr_``.
        """
        check_images(pred, self.scorer.card.min_side, "pred")
        terms = self._terms(pred, target)
        values = check_finite(terms, stack_terms(terms).sum(0), pred, self.nonfinite)
        loss = self.loss_weight * reduce_batch(values, self.reduction)
        if not return_parts:
            return loss
        how = "sum" if self.reduction == "sum" else "mean"
        return loss, {name: self.loss_weight * reduce_batch(term.detach(), how) for name, term in terms.items()}

    def _terms(self, pred: Tensor, target: Tensor | EncodedTarget | None) -> dict[str, Tensor]:
        encoded = self._encoded(pred, target) if self.mode != "nr" else EncodedTarget()
        request = NOTHING
        if self.mode != "fr":
            request = request | self.nr_request()
        if self.mode != "nr":
            request = request | self.fr_request()
        output = self._run(self._prepare(pred, "pred"), request)
        if self.mode == "nr":
            return self.nr_terms(output)
        fr = self.fr_terms(output, encoded.features)
        if self.mode == "fr":
            return fr
        nr = self.nr_terms(output)
        return {
            **{f"nr_{name}": term for name, term in nr.items()},
            **{f"fr_{name}": term for name, term in fr.items()},
        }

    def _encoded(self, pred: Tensor, target: Tensor | EncodedTarget | None) -> EncodedTarget:
        if target is None:
            raise ValueError(
                f'mode="{self.mode}" compares with a target: call loss_fn(pred, target); mode="nr" needs none'
            )
        encoded = target if isinstance(target, EncodedTarget) else None
        shape = encoded.shape if encoded else tuple(getattr(target, "shape", ()))
        if not isinstance(target, (Tensor, EncodedTarget)):
            raise TypeError(f"target must be a tensor or loss_fn.encode(target), got {type(target).__name__}")
        if shape != tuple(pred.shape):
            raise ValueError(f"pred and target differ in shape: pred {list(pred.shape)}, target {list(shape)}")
        if encoded is None:
            return self.encode(target)  # type: ignore[arg-type]
        missing = [name for name in self.compared_features() if name not in encoded.features]
        if missing:
            raise ValueError(f"the encoded target lacks {', '.join(missing)}; encode it again with this loss")
        return encoded

    def _prepare(self, images: Tensor, name: str) -> Tensor:
        """Maps the input range to [0, 1] and deals with what lies outside."""
        if self.nonfinite != "ignore":
            check_range(images, self.input_range, name)
        low, high = self.input_range
        images = images.to(self.scorer.mean.dtype)
        if (low, high) != (0.0, 1.0):
            images = (images - low) / (high - low)
        if self.clamp == "ste":
            return straight_through_clamp(images)
        return images.clamp(0, 1) if self.clamp == "clip" else images

    def _run(self, images: Tensor, request: Request) -> ScoreOutput:
        context: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
        dtype = PRECISIONS[self.precision]
        if dtype is not None:
            context = torch.autocast(images.device.type, torch.bfloat16, enabled=dtype is torch.bfloat16)
        with context:
            return self.scorer(images, request, **self.conditions())
