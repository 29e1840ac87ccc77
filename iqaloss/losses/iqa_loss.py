"""A frozen scorer as a loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn

from iqaloss._errors import check_choice
from iqaloss.losses.checks import NONFINITE, check_range_option, check_size
from iqaloss.losses.encoded import EncodedTarget, check_encoded, check_target
from iqaloss.losses.functional import feature_distance, nr_loss, reduce_batch, stack_terms, straight_through_clamp
from iqaloss.losses.guard import FiniteGuard
from iqaloss.losses.inputs import crop_places, shrink, take
from iqaloss.losses.micro_batches import pieces, score_in_micro_batches
from iqaloss.losses.runner import channels_last_option, is_convolutional, run_scorer, wants_channels_last
from iqaloss.scorers.base import Request, ScoreOutput, Scorer, check_images
from iqaloss.scorers.factory import create_scorer

MODES = ("nr", "fr", "both")
WHOLE = slice(None)
"""All images of a batch."""


class IQALoss(nn.Module):
    """A frozen image quality scorer as a loss.

    No-reference (``mode="nr"``): ``loss_weight * (best - s) / (best - worst)``, which is ``1 - s`` for a
    scorer trained to [0, 1]. Full-reference (``"fr"``): ``loss_weight * k * mean_i mean|g_i - g_i'|`` over
    the scorer's feature maps g of the prediction and the target, with k the scale on the scorer's card
    that brings it to the order of an L1 loss. ``"both"`` adds the two.

    The scorer is frozen in place. It is no submodule: a module that holds the loss neither saves nor
    trains it, ``train()`` does not reach it, yet ``to()`` moves it.

    Args:
        scorer: A registered name, whose scorer is built and folded, or a :class:`~iqaloss.scorers.base.Scorer`, which
            is taken as it is: ``scorer.fold()`` makes a frozen one faster.
        mode: ``"nr"``, ``"fr"`` or ``"both"``.
        loss_weight: Factor of the loss.
        reduction: ``"mean"`` or ``"sum"`` over the batch, or ``"none"`` for ``[B]``.
        input_range: The range of prediction and target: ``(0, 1)``, ``(-1, 1)`` or ``(0, 255)``, say.
        clamp: What happens to values outside the range: ``"ste"`` clips them and lets their gradient pass
            unchanged, ``"clip"`` clips them and stops their gradient, None leaves them.
        nonfinite: A NaN or infinite value ``"raise"``s, lets the step be ``"skip"``ped with a warning, or is
            ``"ignore"``d (with the range check). No forward pass waits for a GPU, but for the first one: later calls
            leave their findings to the next call, or to :meth:`check`, and give a zero gradient where it is not
            finite. Compiled and captured graphs are not checked.
        precision: ``None`` follows the caller's autocast, ``"fp32"`` turns it off and ``"bf16"`` on inside
            the scorer. The result is float32 in any case.
        checkpoint: Keeps only the inputs of the scorer's blocks and computes the blocks again on the way back: less
            memory, one more forward pass, the same gradient. ``torch.compile`` chooses on its own what to keep.
        channels_last: The memory format inside the scorer: ``"auto"``, True or False. ``"auto"`` takes channels last
            in a convolutional scorer on a CPU, and on a GPU in half precision, where tensor cores want it.
        max_side: Shrinks larger images until their longer side is this long (bilinear, antialiased).
        crop: Cuts this many pixels square out of larger images, at a random place for each image and the same for
            prediction and target; drawn at every call from torch's generator, after shrinking.
        chunk: Judges this many images at a time and keeps their gradient instead of their graph, so that memory does
            not grow with the batch. The gradient is the same; second derivatives are an error.

    Shapes:
        pred, target: ``[B, 3, H, W]``, RGB. Output: a scalar, or ``[B]`` with ``reduction="none"``.

    Raises:
        ValueError: For an unknown option, with the nearest valid one.

    Example:
        >>> loss_fn = IQALoss("mdiqa-mobile", mode="both")
        >>> pred = torch.rand(1, 3, 64, 64, requires_grad=True)
        >>> value, parts = loss_fn(pred, torch.rand(1, 3, 64, 64), return_terms=True)
        >>> value.backward()

        A large output, with little memory:

        >>> loss_fn = IQALoss("mdiqa-mobile", crop=64, chunk=1, checkpoint=True)
        >>> loss_fn(torch.rand(2, 3, 96, 128, requires_grad=True)).backward()
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
        checkpoint: bool = False,
        channels_last: bool | str = "auto",
        max_side: int | None = None,
        crop: int | None = None,
        chunk: int | None = None,
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
        built = create_scorer(scorer).fold() if isinstance(scorer, str) else scorer
        if not isinstance(checkpoint, bool):
            raise TypeError(f"checkpoint must be True or False, got {checkpoint!r}")
        self.checkpoint = checkpoint
        self.channels_last = channels_last_option(channels_last)
        least, reason = built.card.min_side, f", the side that {built.card.name} needs"
        self.max_side = check_size("max_side", max_side, least, reason)
        self.crop = check_size("crop", crop, least, reason)
        self.chunk = check_size("chunk", chunk, 1, "")
        self._guard = FiniteGuard(self.nonfinite, self.input_range)
        # In a tuple, so that nn.Module does not register it: not in state_dict(), parameters() or train().
        self._held = (built.freeze(),)
        self._convolutional = is_convolutional(built)

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
        return Request(score=True)

    def fr_request(self) -> Request:
        """What the full-reference loss needs of the scorer for the prediction."""
        return Request(features=self.compared_features())

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

    def conditions(self, part: slice = WHOLE) -> dict[str, Any]:
        """What the scorer takes beside the images; where that is something for each image, for a part of the batch."""
        return {}

    # --- what a user calls ---

    def encode(self, target: Tensor) -> EncodedTarget:
        """Computes a target's features once, without a graph, to be passed in place of the target.

        Args:
            target: ``[B, 3, H, W]`` in the input range.
        """
        check_images(target, self.scorer.card.min_side, "target")
        if self.crop is not None:
            raise ValueError(
                f"a target cannot be encoded with crop={self.crop}: every call cuts at another place; pass the images"
            )
        with torch.no_grad():
            images = self._shrunk(self._prepare(target, "target"), "target")
            parts = pieces(len(images), self.chunk or len(images))
            found = [self._features(images[part], part) for part in parts]
        features = {name: torch.cat([each[name] for each in found]) for name in found[0]} if found[1:] else found[0]
        return EncodedTarget(features, tuple(target.shape), self.max_side)

    def check(self) -> None:
        """Reads what the last call found, and waits for it; what the next call would do, and nothing on a CPU.

        Raises:
            NonFiniteLossError: If the last call's value was NaN or infinite, with ``nonfinite="raise"``.
            ValueError: If its images were far outside the input range.
        """
        self._guard.settle()

    @overload
    def forward(
        self, pred: Tensor, target: Tensor | EncodedTarget | None = None, *, return_terms: Literal[False] = False
    ) -> Tensor: ...

    @overload
    def forward(
        self, pred: Tensor, target: Tensor | EncodedTarget | None = None, *, return_terms: Literal[True]
    ) -> tuple[Tensor, dict[str, Tensor]]: ...

    def forward(
        self, pred: Tensor, target: Tensor | EncodedTarget | None = None, *, return_terms: bool = False
    ) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """Computes the loss.

        Args:
            pred: The restored images, ``[B, 3, H, W]``.
            target: The true images of the same shape, or what :meth:`encode` made of them; needed for
                ``"fr"`` and ``"both"``, and ignored for ``"nr"``.
            return_terms: Whether to return the named terms as well.

        Returns:
            The loss; with ``return_terms`` also a dict from name to detached scalar. The parts add up to
            the loss (to its mean over the batch with ``reduction="none"``). Their names are the scorer's
            dimensions or features, or ``score``; in mode ``"both"`` with the prefix ``nr_`` or ``fr_``.
        """
        check_images(pred, self.scorer.card.min_side, "pred")
        self.check()
        terms, values = self._judge(pred, None if self.mode == "nr" else self._checked(pred, target))
        values = self._guard.finite(terms, values, pred)
        loss = self.loss_weight * reduce_batch(values, self.reduction)
        if not return_terms:
            return loss
        how = "sum" if self.reduction == "sum" else "mean"
        return loss, {name: self.loss_weight * reduce_batch(term.detach(), how) for name, term in terms.items()}

    def _judge(self, pred: Tensor, target: Tensor | EncodedTarget | None) -> tuple[dict[str, Tensor], Tensor]:
        """Returns the terms ``[B]`` by name, and their sum with the gradient."""
        images = self._guard.guard(self._shrunk(self._prepare(pred, "pred"), "pred"))
        with torch.no_grad():
            if isinstance(target, Tensor):
                target = self._shrunk(self._prepare(target, "target"), "target").detach()
            places = None if self.crop is None else crop_places(images, self.crop)
            if places is not None and isinstance(target, Tensor):
                target = take(target, *places)
        images = images if places is None else take(images, *places)
        if self.chunk is None:
            terms = self._terms(images, target, WHOLE)
            return terms, stack_terms(terms).sum(0)
        return score_in_micro_batches(
            lambda piece, part: self._terms(piece, None if target is None else target[part], part), images, self.chunk
        )

    def _terms(self, images: Tensor, target: Tensor | EncodedTarget | None, part: slice) -> dict[str, Tensor]:
        reference: Mapping[str, Tensor] = {}
        if isinstance(target, Tensor):
            with torch.no_grad():
                reference = self._features(target, part)
        elif target is not None:
            reference = target.features
        request = Request() if self.mode == "fr" else self.nr_request()
        if self.mode != "nr":
            request = request | self.fr_request()
        output = self._run(images, request, part)
        nr = {} if self.mode == "fr" else self.nr_terms(output)
        fr = {} if self.mode == "nr" else self.fr_terms(output, reference)
        if self.mode != "both":
            return nr or fr
        return {f"{kind}_{name}": term for kind, terms in (("nr", nr), ("fr", fr)) for name, term in terms.items()}

    def _checked(self, pred: Tensor, target: object) -> Tensor | EncodedTarget:
        checked = check_target(pred, target, self.mode, self.scorer.card.min_side)
        if isinstance(checked, EncodedTarget):
            check_encoded(checked, self.compared_features(), self.max_side, self.crop)
        return checked

    def _prepare(self, images: Tensor, name: str) -> Tensor:
        """Maps the input range to [0, 1] and deals with what lies outside."""
        self._guard.range(images, name)
        low, high = self.input_range
        images = images.to(self.scorer.mean.dtype)
        if (low, high) != (0.0, 1.0):
            images = (images - low) / (high - low)
        if self.clamp == "ste":
            return straight_through_clamp(images)
        return images.clamp(0, 1) if self.clamp == "clip" else images

    def _shrunk(self, images: Tensor, name: str) -> Tensor:
        return images if self.max_side is None else shrink(images, self.max_side, self.scorer.card.min_side, name)

    def _features(self, images: Tensor, part: slice) -> dict[str, Tensor]:
        request = Request(features=self.compared_features())
        return self._run(images, request, part).features

    def _run(self, images: Tensor, request: Request, part: slice) -> ScoreOutput:
        return run_scorer(
            self.scorer,
            images,
            request,
            self.conditions(part),
            precision=self.precision,
            checkpoint=self.checkpoint,
            channels_last=wants_channels_last(self.channels_last, self._convolutional, images, self.precision),
        )
