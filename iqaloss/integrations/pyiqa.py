"""Any metric of pyiqa as a correct loss: sign, range, freezing, precision and the target's graph put right.

>>> import pyiqa  # doctest: +SKIP
>>> loss_fn = wrap(pyiqa.create_metric("topiq_nr"))  # doctest: +SKIP
>>> loss_fn(pred).backward()  # doctest: +SKIP
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from iqaloss.integrations.target_pass import TargetCall, find_target_calls, record, replayed
from iqaloss.losses.checks import NonFiniteLossError, describe
from iqaloss.losses.functional import nr_loss
from iqaloss.losses.iqa_loss import EncodedTarget, IQALoss
from iqaloss.losses.runner import PRECISIONS
from iqaloss.scorers.base import Request, ScoreOutput, Scorer
from iqaloss.scorers.cards import ScorerCard

_IMAGE = "image"
_NUMBER = r"\s*~?\s*([-+]?\d+(?:\.\d+)?)\s*"


def wrap(
    metric: Any, *, score_range: tuple[float, float] | None = None, fold: bool = False, **options: Any
) -> PyiqaLoss:
    """Makes a loss of a pyiqa metric.

    A no-reference metric becomes ``(best - s) / (best - worst)`` of the prediction, a full-reference metric the same
    of the prediction and its target; it falls as quality rises, whichever way the metric counts. It is not clipped:
    an identical pair has a PSNR beyond the usual range, and a negative loss.

    The metric's network is frozen in place and called directly, so that the caller's ``no_grad`` and cuDNN settings
    hold, which the metric's own ``forward`` overrides. What a network draws at random, such as the crops of some
    metrics, it draws anew at each call.

    Args:
        metric: What ``pyiqa.create_metric(name)`` returns.
        score_range: Smallest and largest value of the metric; needed where pyiqa states none, and to scale the loss.
        fold: Whether the network's batch norms are folded into its convolutions: faster, with less memory, and for
            good: the metric scores as before, but its weights can be neither trained nor saved under their names.
        **options: The options of :class:`~iqaloss.losses.iqa_loss.IQALoss` but for the mode, which the metric has.
            ``precision`` is ``"fp32"`` here unless given: several metrics are NaN in bfloat16.

    Returns:
        The loss; ``loss_fn(pred)`` for a no-reference metric, ``loss_fn(pred, target)`` for a full-reference one.

    Raises:
        TypeError: If ``metric`` is no pyiqa metric.
        ValueError: If pyiqa states no usable range and none is given.

    Example:
        >>> import pyiqa  # doctest: +SKIP
        >>> loss_fn = wrap(pyiqa.create_metric("ssim"), loss_weight=0.1)  # doctest: +SKIP
        >>> value = loss_fn(pred, target)  # doctest: +SKIP
    """
    for attribute in ("net", "metric_mode", "metric_name", "lower_better"):
        if not hasattr(metric, attribute):
            hint = f'; create it first: pyiqa.create_metric("{metric}")' if isinstance(metric, str) else ""
            raise TypeError(f"wrap takes a metric made by pyiqa.create_metric, got {type(metric).__name__}{hint}")
    scorer = PyiqaScorer(metric, score_range)
    return PyiqaLoss(scorer.freeze().fold() if fold else scorer, **options)


class PyiqaScorer(Scorer):
    """A pyiqa metric as a scorer; its score is the metric, negated where lower is better.

    A full-reference metric has no score of one image. Its one feature is the image itself, which :meth:`compare`
    takes, for pyiqa's networks do not tell the features that they compare. What the network computes of a target alone
    is found by watching it (see :meth:`known_of`).

    Args:
        metric: What ``pyiqa.create_metric(name)`` returns.
        score_range: Smallest and largest value of the metric; pyiqa's own where None.
    """

    config_class = type(None)

    def __init__(self, metric: Any, score_range: tuple[float, float] | None = None) -> None:
        name = str(metric.metric_name)
        low, high = stated_range(name, metric.score_range) if score_range is None else score_range
        if not low < high:
            raise ValueError(f"score_range must be (smallest, largest), got {score_range!r}")
        sign = -1.0 if metric.lower_better else 1.0
        card = ScorerCard(
            name=f"pyiqa:{name}",
            title=f"{name} of pyiqa",
            paper="see pyiqa",
            code_license="that of pyiqa and of the metric",
            score_range=(-high, 0.0 - low) if metric.lower_better else (low, high),
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            min_side=1,
            input_rule="the metric's own",
            fr_reason="the metric itself compares prediction and target",
        )
        super().__init__(card, None)
        self.sign = sign
        self.compares = metric.metric_mode == "FR"
        self.net: nn.Module = metric.net
        self._target_calls: tuple[TargetCall, ...] | None = None
        self.to(next((tensor.device for tensor in (*self.net.parameters(), *self.net.buffers())), metric.device))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The image itself, for a full-reference metric."""
        return (_IMAGE,) if self.compares else ()

    def compute(self, images: Tensor, request: Request, **_: Any) -> ScoreOutput:
        """Runs a no-reference metric, or hands a full-reference metric's image through."""
        output = ScoreOutput()
        if _IMAGE in (request.features or ()):
            output.features[_IMAGE] = images if torch.is_grad_enabled() else images.detach()
        if request.score:
            if self.compares:
                raise ValueError(f"{self.card.name} compares with a target and has no score of one image; see compare")
            output.overall = self._run(images)
        return output

    def compare(self, images: Tensor, target: Tensor, known: Mapping[str, Tensor] | None = None) -> Tensor:
        """Returns the full-reference score ``[B]``, higher is better; no gradient flows into the target.

        Args:
            images: The prediction.
            target: The target.
            known: What :meth:`known_of` gave for the target, if it was called.
        """
        if not known:
            return self._run(images, target.detach())
        with replayed(self.net, self._target_calls or (), known):
            return self._run(images, target.detach())

    def known_of(self, target: Tensor) -> dict[str, Tensor]:
        """Returns what the network computes of a target alone, by name; nothing where it mixes the two at once."""
        if self._target_calls is None:
            some = target[:2] if len(target) > 1 else torch.cat([target, target.flip(-1)])
            self._target_calls = find_target_calls(self.net, some)
        known = record(self.net, self._target_calls, target) if self._target_calls else {}
        drop_graphs(self.net)
        return known

    def run_example(self) -> Any:
        """Runs the network once, on a small grey image."""
        images = self.mean.new_full((1, 3, 224, 224), 0.5)
        return self.net(images, images) if self.compares else self.net(images)

    def _run(self, images: Tensor, *target: Tensor) -> Tensor:
        value = self.net(images, *target)
        drop_graphs(self.net)
        value = value[0] if isinstance(value, (tuple, list)) else value
        if not isinstance(value, Tensor) or value.numel() != len(images):
            shape = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"{self.card.name} must give one score for each of {len(images)} images, got {shape}")
        if torch.is_grad_enabled() and images.requires_grad and not value.requires_grad:
            raise ValueError(f"{self.card.name} passes no gradient to the image: it cannot be a loss")
        return self.sign * value.reshape(-1)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PyiqaScorer:
        super()._apply(fn, recurse)
        for module in hidden_modules(self.net):
            module._apply(fn)
        return self

    def freeze(self) -> PyiqaScorer:
        """Makes the metric a fixed function, with the networks that it hides in lists."""
        for module in hidden_modules(self.net):
            module.requires_grad_(False).eval()
        return super().freeze()


class PyiqaLoss(IQALoss):
    """A pyiqa metric as a loss; made by :func:`wrap`.

    Args:
        scorer: The metric as a scorer.
        precision: As in :class:`~iqaloss.losses.iqa_loss.IQALoss`, but float32 by default.
        **options: The other options of :class:`~iqaloss.losses.iqa_loss.IQALoss`; with ``nonfinite="raise"`` (or
            ``"skip"``) a gradient that is NaN or infinite raises (or is replaced by zeros, with a warning) as a value
            does: several classical metrics have such gradients on flat or identical images.
    """

    def __init__(self, scorer: PyiqaScorer, *, precision: str | None = "fp32", **options: Any) -> None:
        if "mode" in options:
            raise ValueError(
                f"{scorer.card.name} is {'full' if scorer.compares else 'no'}-reference: mode is not an option"
            )
        super().__init__(scorer, "fr" if scorer.compares else "nr", precision=precision, **options)

    @property
    def scorer(self) -> PyiqaScorer:
        """The frozen metric."""
        return cast(PyiqaScorer, super().scorer)

    def encode(self, target: Tensor) -> EncodedTarget:
        """Computes once what the metric's network makes of the target alone; no more for a metric that mixes at once.

        Args:
            target: ``[B, 3, H, W]`` in the input range.
        """
        encoded = super().encode(target)
        if self.scorer.compares:
            images = encoded.features[_IMAGE]
            with torch.no_grad(), _precision(self.precision, images.device):
                encoded.features.update(self.scorer.known_of(images))
        return encoded

    def fr_terms(self, output: ScoreOutput, target: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The metric of prediction and target."""
        worst, best = self.scorer.card.score_range
        known = {name: value for name, value in target.items() if name != _IMAGE}
        with _precision(self.precision, output.features[_IMAGE].device):
            score = self.scorer.compare(output.features[_IMAGE], target[_IMAGE], known)
        return {"score": nr_loss(score, best, worst)}

    def _prepare(self, images: Tensor, name: str) -> Tensor:
        prepared = super()._prepare(images, name)
        if self.nonfinite == "ignore" or not (prepared.requires_grad and torch.is_grad_enabled()):
            return prepared
        guarded = prepared.view_as(prepared)  # so that the hook goes when this step's graph goes
        guarded.register_hook(lambda gradient: self._check_gradient(gradient, images))
        return guarded

    def _check_gradient(self, gradient: Tensor, images: Tensor) -> Tensor:
        finite = torch.isfinite(gradient)
        if bool(finite.all()):
            return gradient
        bad = f"{int((~finite).sum())} of {gradient.numel()} values of the gradient of {self.scorer.card.name}"
        message = f"{bad} are not finite; the input has {describe(images)}"
        if self.nonfinite == "raise":
            raise NonFiniteLossError(message)
        warnings.warn(f"{message}; this step's gradient is zero", RuntimeWarning, stacklevel=2)
        return torch.zeros_like(gradient)


def stated_range(name: str, stated: object) -> tuple[float, float]:
    """Reads pyiqa's range, such as ``"~0, ~100"``.

    Raises:
        ValueError: If an end is open.

    Example:
        >>> stated_range("musiq", "~0, ~100")
        (0.0, 100.0)
    """
    found = re.fullmatch(f"{_NUMBER},{_NUMBER}", str(stated))
    if found is None:
        raise ValueError(
            f"pyiqa states no usable range of {name} ({stated!r}): say what the loss is scaled by, "
            "as in wrap(metric, score_range=(0, 100))"
        )
    return float(found[1]), float(found[2])


def hidden_modules(net: nn.Module) -> Iterator[nn.Module]:
    """Finds networks that a module keeps in plain lists or dicts, where ``to()`` and ``eval()`` miss them."""
    seen = {id(module) for module in net.modules()}
    for module in net.modules():
        for value in list(vars(module).values()):
            held = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
            for inner in held:
                if isinstance(inner, nn.Module) and id(inner) not in seen:
                    seen.add(id(inner))
                    yield inner


def drop_graphs(net: nn.Module) -> None:
    """Detaches what a network keeps of its last pass, such as attention maps: it would hold that step's graph."""
    for module in net.modules():
        kept = [key for key, value in vars(module).items() if isinstance(value, Tensor) and value.grad_fn is not None]
        for key in kept:
            setattr(module, key, getattr(module, key).detach())


def _precision(precision: str | None, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    dtype = PRECISIONS[precision]
    if dtype is None:
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype is torch.bfloat16)
