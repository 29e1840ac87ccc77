"""A frozen scorer as a loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, overload

import torch
from torch import Tensor

from iqaloss._errors import check_choice
from iqaloss.losses.augment import Augment
from iqaloss.losses.checks import check_count, check_transforms
from iqaloss.losses.encoded import EncodedTarget, check_target
from iqaloss.losses.functional import REDUCTIONS
from iqaloss.losses.gradient_limits import GradientLimits
from iqaloss.losses.guard import FiniteGuard, Watch
from iqaloss.losses.inputs import Draw, Inputs
from iqaloss.losses.loss_terms import LossTerms
from iqaloss.losses.runner import Runner, moved
from iqaloss.losses.schedule import Schedule, Weight
from iqaloss.losses.tiles import POOLS, pooled
from iqaloss.scorers.base import Scorer
from iqaloss.scorers.factory import create_scorer
from iqaloss.scorers.image_checks import check_images


class IQALoss(LossTerms):
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
        loss_weight: Factor of the loss; a mapping such as ``{0: 0, 1000: 0.03}`` gives it for some steps of training,
            with straight lines between them, and :meth:`set_step` says which step it is.
        reduction: ``"mean"`` or ``"sum"`` over the batch, or ``"none"`` for ``[B]``.
        input_range: The range of prediction and target: ``(0, 1)``, ``(-1, 1)`` or ``(0, 255)``, say.
        clamp: What happens to values outside the range: ``"ste"`` clips them and lets their gradient pass
            unchanged, ``"clip"`` clips them and stops their gradient, None leaves them.
        nonfinite: A NaN or infinite value ``"raise"``s, lets the step be ``"skip"``ped with a warning, or is
            ``"ignore"``d (with the range check). A skipped step's loss is a zero that leads nowhere; what else the step
            holds is the training loop's to leave out. No forward pass waits for a GPU, but for the first one: later
            calls leave their findings to the next call, or to :meth:`check`, and give a zero gradient (none at all
            with ``"skip"``) where the value is not finite. Compiled and captured graphs are not checked.
        precision: None follows the caller's autocast, ``"fp32"`` turns it off and ``"bf16"`` on inside the scorer.
            The result is float32 in any case, and so are networks of convolutions and maps that are compared, for in
            bfloat16 half of their gradient would be noise: it stays within a tenth of the gradient in float32.
        checkpoint: Keeps only the inputs of the scorer's blocks and computes the blocks again on the way back: less
            memory, one more forward pass, the same gradient. ``torch.compile`` chooses on its own what to keep.
        channels_last: The memory format inside the scorer: ``"auto"``, True or False. ``"auto"`` takes channels last
            in a convolutional scorer on a CPU, and on a GPU in half precision, where tensor cores want it.
        max_side: Shrinks larger images until their longer side is this long (bilinear, antialiased).
        crop: Cuts this many pixels square out of larger images, at a random place for each image and the same for
            prediction and target; drawn at every call from torch's generator, after shrinking.
        micro_batch: Scores this many images at a time and keeps their gradient instead of their graph, so that memory
            does not grow with the batch. The gradient is the same; second derivatives are an error.
        prefilter: Smooths prediction and target with a Gaussian of this many pixels (0.8, say) before scoring, so
            that a pattern of two to four pixels earns nothing.
        augment: Scores a random version of each image at every call, the same for prediction and target: names out of
            ``"flip"``, ``"shift"`` and ``"resize"``, or an :class:`~iqaloss.losses.augment.Augment` with their ranges.
        relative_to: No-reference terms seen from the target's: ``"target"`` asks for as good as the target and no
            better, ``"target_signed"`` is the published difference (arXiv 2405.20392). They need a target in mode
            ``"nr"`` too.
        score_map: Bounds the no-reference loss: ``"sigmoid"``, as RankSRGAN does.
        max_gradient_norm: The most that an image's gradient may measure, before ``loss_weight``: 1 is the length of
            the gradient of an L1 loss. Longer ones are shortened; the value stays.
        gradient_smoothing: The share, 0 to 1, of the gradient's finest pattern that is taken away.
        tile: Scores square tiles of this many pixels, as few as cover the image, in place of the image.
        tile_pool: What becomes of an image's tiles: the mean of the ``"worst"`` quarter, ``"softmax"`` (the worse, the
            more it counts), or ``"mean"``.

    Attributes:
        inputs: What the scorer gets to see: range, clamp, size.
        runner: The scorer and how it runs: precision, memory.
        guard: What may not pass: wrong ranges, values that are not finite.
        limits: What of the gradient reaches the prediction.

    First derivatives exist with every option, second ones where the scorer's operations have them (not with
    ``micro_batch``). ``torch.func.grad`` follows a loss without options that have a backward pass of their own, and
    ``vmap`` none: a loss takes a batch.

    Shapes:
        pred, target: ``[B, 3, H, W]``, RGB. Output: a scalar, or ``[B]`` with ``reduction="none"``.

    Raises:
        ValueError: For an unknown option, with the nearest valid one.

    Example:
        >>> loss_fn = IQALoss("mdiqa-mobile", mode="both")
        >>> pred = torch.rand(1, 3, 64, 64, requires_grad=True)
        >>> value, terms = loss_fn(pred, torch.rand(1, 3, 64, 64), return_terms=True)
        >>> value.backward()

        A large output, with little memory:

        >>> loss_fn = IQALoss("mdiqa-mobile", crop=64, micro_batch=1, checkpoint=True)
        >>> loss_fn(torch.rand(2, 3, 96, 128, requires_grad=True)).backward()
    """

    def __init__(
        self,
        scorer: str | Scorer = "mdiqa-mobile",
        mode: str = "nr",
        *,
        loss_weight: Weight = 1.0,
        reduction: str = "mean",
        input_range: tuple[float, float] = (0.0, 1.0),
        clamp: str | None = "ste",
        nonfinite: str = "raise",
        precision: str | None = None,
        checkpoint: bool = False,
        channels_last: bool | str = "auto",
        max_side: int | None = None,
        crop: int | None = None,
        micro_batch: int | None = None,
        prefilter: float | None = None,
        augment: Augment | str | Sequence[str] | Mapping[str, Any] | None = None,
        relative_to: str | None = None,
        score_map: str | None = None,
        max_gradient_norm: float | None = None,
        gradient_smoothing: float = 0.0,
        tile: int | None = None,
        tile_pool: str = "worst",
    ) -> None:
        if not isinstance(scorer, (str, Scorer)):
            raise TypeError(f"scorer must be a registered name or a Scorer, got {type(scorer).__name__}")
        built = create_scorer(scorer).fold() if isinstance(scorer, str) else scorer
        runner = Runner(built.freeze(), precision, checkpoint, channels_last, micro_batch)
        super().__init__(runner, mode, relative_to, score_map)
        self.reduction = check_choice("reduction", reduction, REDUCTIONS)
        self._loss_weights = Schedule.read("loss_weight", loss_weight)
        self.loss_weight = self._loss_weights.at(0)
        self.scheduled = not self._loss_weights.constant
        self.step: int | None = None
        card = built.card
        self.inputs = Inputs(
            input_range, clamp, max_side, crop, Augment.read(augment), prefilter, tile, card.min_side, card.name
        )
        self.guard = FiniteGuard(nonfinite, input_range)
        low, high = self.inputs.input_range
        self.limits = GradientLimits(max_gradient_norm, gradient_smoothing, high - low)
        self.tile_pool = check_choice("tile_pool", tile_pool, POOLS)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> IQALoss:
        """Lets ``to()``, ``cuda()`` and their like reach the scorer, which ``half()`` does not make less exact."""
        super()._apply(fn, recurse)
        self.scorer._apply(partial(moved, fn), recurse)
        return self

    def extra_repr(self) -> str:
        """Describes the loss in ``repr``."""
        return f"scorer={self.scorer.card.name!r}, mode={self.mode!r}, loss_weight={self.loss_weight:g}"

    def set_step(self, step: int) -> None:
        """Says which step of training comes next, from 0 on or from where it is resumed: weights follow their schedule.

        Args:
            step: The number of steps, of the optimizer say.
        """
        check_count("step", step, 0)
        self.step = step
        if not self._loss_weights.constant:
            self.loss_weight = self._loss_weights.at(step)

    def encode(self, target: Tensor) -> EncodedTarget:
        """Computes what is compared of a target once, without a graph, to be passed in place of the target.

        Args:
            target: ``[B, 3, H, W]`` in the input range.
        """
        check_images(target, self.scorer.card.min_side, "target", self.scorer.mean.device, not self.scorer.one_graph)
        self.inputs.check_fixed()
        watch = Watch()
        output = self.runner.encode(self, self._prepared(target, watch))
        self.guard.keep(watch)
        return EncodedTarget(output, tuple(target.shape), self.inputs.fixed)

    def check(self) -> None:
        """Reads what the last call found, and waits for it; raises what the next call would, and nothing on a CPU."""
        self.guard.settle()

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
            target: The true images, or what :meth:`encode` made of them; ignored where nothing compares.
            return_terms: Whether to return the named terms as well.

        Returns:
            The loss; with ``return_terms`` also a dict from name to detached scalar. The terms add up to the loss (its
            mean with ``reduction="none"``). They are called ``score``, or as the scorer's dimensions or features, in
            mode ``"both"`` with the prefix ``nr_`` or ``fr_``.
        """
        check_transforms([*self.runner.one_way, *self.limits.one_way])
        check_images(pred, self.scorer.card.min_side, "pred", self.scorer.mean.device, not self.scorer.one_graph)
        self.guard.settle()
        if self.step is None and self.scheduled:
            raise RuntimeError("a weight of this loss follows a schedule: call loss_fn.set_step(step) before each step")
        reference = None
        if self.compares:
            reference = check_target(
                target, pred.shape, pred.device, self._compared, self.target_request(), self.inputs
            )
        draw, watch = self.inputs.draw(pred.shape, pred.device), Watch()
        images = self.guard.admit(pred.to(self.scorer.mean.dtype), "pred", watch)
        asked = None
        if self.limits.active:
            images, asked = self.limits.watch(images)
        images = self.inputs.prepare(images, "pred", draw)
        if isinstance(reference, Tensor):
            reference = self._prepared(reference, watch, draw)
        terms, values = self.runner.terms_of(self, images, reference)
        if self.inputs.tile is not None:
            terms, values = pooled(terms, values, pred.shape[0], self.tile_pool)
        if asked is not None:
            values = values + asked
        values = self.guard.finite(terms, values, pred, watch)
        loss = self.loss_weight * REDUCTIONS[self.reduction](values)
        if not return_terms:
            return loss
        reduce = REDUCTIONS["sum" if self.reduction == "sum" else "mean"]
        return loss, {name: self.loss_weight * reduce(term.detach()) for name, term in terms.items()}

    def _prepared(self, target: Tensor, watch: Watch, draw: Draw | None = None) -> Tensor:
        with torch.no_grad():
            images = self.guard.admit(target.to(self.scorer.mean.dtype), "target", watch)
            return self.inputs.prepare(images, "target", draw)
