"""What may not pass: wrong ranges, NaN and infinite values; found without making the host wait for the device."""

from __future__ import annotations

import math
import warnings
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from iqaloss._errors import check_choice
from iqaloss.losses.checks import (
    NONFINITE,
    check_extremes,
    check_range,
    describe,
    nonfinite_message,
    raise_or_warn,
    range_doubt,
)

FAR_OUT = 0.1
"""From this share of the range beyond its ends on, a value counts as outside; a network overshoots by less."""


def answers_at_once(device: torch.device) -> bool:
    """Whether reading a value on a device waits for nothing."""
    return device.type == "cpu"


def has_values(device: torch.device) -> bool:
    """Whether values can be looked at: not while a graph is compiled, exported or captured, nor on meta."""
    if torch.compiler.is_compiling() or device.type == "meta":
        return False
    return not (device.type == "cuda" and torch.cuda.is_current_stream_capturing())


@dataclass
class Watch:
    """What is known of one call.

    Attributes:
        images: Name and shape of the images that were looked at.
        found: For each of them, while they wait to be read: least, most, and the share of values outside.
        bad: Names of images that are not finite.
        good: Whether value and images are finite, on the device; None until that is known.
        skips: Whether nothing of a step that is not finite may reach the network.
    """

    images: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    found: list[Tensor] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    good: Tensor | None = None
    skips: bool = False


@dataclass
class _Finding:
    """What a call found, on its way to the host.

    Attributes:
        names: Names of the loss's terms.
        images: Name and shape of the images that were looked at.
        values: One number for each term (is it finite?) and three for each entry of ``images``.
        arrived: Tells when ``values`` can be read; None where reading waits by itself.
    """

    names: tuple[str, ...]
    images: tuple[tuple[str, tuple[int, ...]], ...]
    values: Tensor
    arrived: Any = None


class FiniteGuard:
    """Finds NaN, infinite values and wrong ranges.

    On a CPU every value is looked at as soon as it is there. Elsewhere the first call is, so that a wrong range is
    told at once; from then on a call leaves its findings on the device and starts their copy to the host, and the
    next call reads them, when they have long arrived. Where a value is not finite the images' gradient is zero, or,
    with ``"skip"``, there is none. The gradient of a finite value is never touched: one that overflows in half
    precision is for a gradient scaler to see.

    Args:
        action: ``"raise"``, ``"skip"`` or ``"ignore"``, which also leaves out the range.
        input_range: The range of the images.
    """

    def __init__(self, action: str, input_range: tuple[float, float]) -> None:
        self.action = check_choice("nonfinite", action, NONFINITE)
        self.input_range = check_range(input_range)
        self._trusted = False
        self._doubted = False
        # Threads may share a loss: appending to a deque and taking from it are one operation each.
        self._pending: deque[_Finding] = deque()
        self._encoded: deque[tuple[tuple[str, tuple[int, ...]], Tensor]] = deque(maxlen=64)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy starts afresh: what is on its way to the host belongs to the original."""
        return type(self), (self.action, self.input_range)

    def active(self, device: torch.device) -> bool:
        """Whether there is anything to look at."""
        return self.action != "ignore" and has_values(device)

    def waits(self, device: torch.device) -> bool:
        """Whether the findings of this call are left for the next one."""
        return self.active(device) and self._trusted and not answers_at_once(device)

    def admit(self, images: Tensor, name: str, watch: Watch) -> Tensor:
        """Looks for values that are not finite or far outside the input range.

        Returns:
            The images; where findings wait, with no gradient of a value that turns out not to be finite.
        """
        if not self.active(images.device):
            return images
        low, high = self.input_range
        seen, slack = images.detach(), FAR_OUT * (high - low)
        least, most = torch.aminmax(seen)
        outside = ((seen < low - slack) | (seen > high + slack)).float().mean()
        found = torch.stack([least.float(), most.float(), outside])
        watch.images.append((name, tuple(images.shape)))
        if not self.waits(images.device):
            watch.bad += self._judge(name, *map(float, found))
            return images
        watch.found.append(found)
        if not (images.requires_grad and torch.is_grad_enabled()):
            return images
        watch.skips = self.action == "skip"
        guarded: Tensor = _Guarded.apply(images, watch)
        return guarded

    def finite(self, terms: Mapping[str, Tensor], values: Tensor, images: Tensor, watch: Watch) -> Tensor:
        """Looks for NaN and infinite values.

        Args:
            terms: The per-image terms by name, to name the culprit.
            values: Their sum, ``[B]``.
            images: The prediction as the caller gave it, for the message.
            watch: What is known of this call.

        Returns:
            The values; where the step is skipped, zeros that lead nowhere.

        Raises:
            NonFiniteLossError: If a value is NaN or infinite and the action is ``"raise"``.
        """
        if not self.active(values.device):
            return values
        if self.waits(values.device):
            finite = torch.stack([torch.isfinite(term.detach()).all() for term in terms.values()])
            watch.good = torch.stack([finite.all(), *(torch.isfinite(found).all() for found in watch.found)]).all()
            self._send(watch, tuple(terms), finite)
            return torch.where(watch.good, values, 0.0) if self.action == "skip" else values
        if watch.bad or not bool(torch.isfinite(values).all()):
            culprits = [name for name, term in terms.items() if not bool(torch.isfinite(term).all())]
            raise_or_warn(nonfinite_message(culprits, watch.bad, describe(images)), self.action)
            # Zero times NaN is NaN: not even a zero may go back through a network whose output is not finite.
            values = torch.zeros_like(values, requires_grad=values.requires_grad)
        self._trusted = True
        return values

    def settle(self) -> None:
        """Reads what the last calls found; waits for it where it has not arrived yet.

        Raises:
            NonFiniteLossError: If a value was not finite and the action is ``"raise"``.
            ValueError: If images were far outside the input range.
        """
        while not torch.compiler.is_compiling() and self._pending:
            try:
                finding = self._pending.popleft()
            except IndexError:  # another thread was faster
                return
            if finding.arrived is not None:
                finding.arrived.synchronize()
            self._read(finding)

    def _read(self, finding: _Finding) -> None:
        found, bad, said = finding.values.tolist(), [], []
        finite, seen = found[: len(finding.names)], found[len(finding.names) :]
        for (name, shape), least, most, outside in zip(finding.images, seen[::3], seen[1::3], seen[2::3]):
            bad += self._judge(f"in the call before this one, {name}", least, most, outside)
            said.append(f"{name} of shape {list(shape)}, min {least:.4g}, max {most:.4g}")
        culprits = [name for name, good in zip(finding.names, finite) if not good]
        if culprits or bad:
            message = nonfinite_message(culprits, bad, " and ".join(said))
            raise_or_warn(message if bad else f"in the call before this one, {message}", self.action)

    def _judge(self, name: str, least: float, most: float, outside: float) -> list[str]:
        """Says what is wrong with the range of some images; returns their name if they are not finite."""
        if not (math.isfinite(least) and math.isfinite(most)):
            return [name]
        check_extremes(least, most, self.input_range, name)
        doubt = None if self._doubted else range_doubt(least, most, outside, self.input_range, name)
        if doubt is not None:
            self._doubted = True
            warnings.warn(doubt, UserWarning, stacklevel=5)
        return []

    def keep(self, watch: Watch) -> None:
        """Keeps what was found in a target that is encoded, for the next call."""
        if watch.bad:
            raise_or_warn(f"{watch.bad[0]} is not finite", self.action, "what is compared with it will not be either")
        self._encoded.extend(zip(watch.images, watch.found))

    def _send(self, watch: Watch, names: tuple[str, ...], finite: Tensor) -> None:
        images, found_all = list(watch.images), [finite.float(), *watch.found]
        while self._encoded:
            image, found = self._encoded.popleft()
            images.append(image)
            found_all.append(found)
        values, arrived = torch.cat(found_all), None
        if values.is_cuda:
            host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            host.copy_(values, non_blocking=True)
            arrived = torch.cuda.Event()
            arrived.record(torch.cuda.current_stream(values.device))
            values = host
        self._pending.append(_Finding(names, tuple(images), values, arrived))


class _Guarded(torch.autograd.Function):
    """The images as they are, whose gradient depends on whether the value that it belongs to is finite."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, watch: Watch) -> Tensor:
        ctx.watch = watch
        return images.view_as(images)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None]:
        watch: Watch = ctx.watch
        if watch.good is None:
            return gradient, None
        if watch.skips:  # the one place that waits: no gradient at all must reach the network, as zeros would
            return gradient if bool(watch.good) else None, None
        return torch.where(watch.good, gradient, 0.0), None
