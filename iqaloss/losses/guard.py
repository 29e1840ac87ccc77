"""What may not pass: wrong ranges, NaN and infinite values; found without making the host wait for the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from iqaloss._errors import check_choice
from iqaloss.losses.checks import NONFINITE, check_extremes, check_range, describe, nonfinite_message, raise_or_warn


def answers_at_once(device: torch.device) -> bool:
    """Whether reading a value on a device waits for nothing."""
    return device.type == "cpu"


def has_values(device: torch.device) -> bool:
    """Whether values can be looked at: not while a graph is compiled, exported or captured, nor on meta."""
    if torch.compiler.is_compiling() or device.type == "meta":
        return False
    return not (device.type == "cuda" and torch.cuda.is_current_stream_capturing())


@dataclass
class _Finding:
    """What a call found, on its way to the host.

    Attributes:
        names: Names of the loss's terms.
        images: Name and shape of the images whose extremes were taken.
        values: One number for each term (is it finite?) and two for each entry of ``images``.
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
    next call reads them, when they have long arrived. The gradient of a step whose value was not finite is zero, so
    that no weight is spoilt in the meantime.

    Args:
        action: ``"raise"``, ``"skip"`` or ``"ignore"``, which also leaves out the range.
        input_range: The range of the images.
    """

    def __init__(self, action: str, input_range: tuple[float, float]) -> None:
        self.action = check_choice("nonfinite", action, NONFINITE)
        self.input_range = check_range(input_range)
        self._trusted = False
        self._extremes: dict[str, tuple[tuple[int, ...], Tensor]] = {}
        self._pending: _Finding | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy starts afresh: what is on its way to the host belongs to the original."""
        return type(self), (self.action, self.input_range)

    def active(self, device: torch.device) -> bool:
        """Whether there is anything to look at."""
        return self.action != "ignore" and has_values(device)

    def waits(self, device: torch.device) -> bool:
        """Whether the findings of this call are left for the next one."""
        return self.active(device) and self._trusted and not answers_at_once(device)

    def admit(self, images: Tensor, name: str) -> Tensor:
        """Looks for values far outside the input range.

        Returns:
            The images; where findings wait, a gradient that is not finite becomes zero on its way back.
        """
        if not self.active(images.device):
            return images
        extremes = torch.aminmax(images.detach())
        if not self.waits(images.device):
            check_extremes(float(extremes.min), float(extremes.max), self.input_range, name)
            return images
        self._note(name, tuple(images.shape), torch.stack(extremes).float())
        if not (images.requires_grad and torch.is_grad_enabled()):
            return images
        guarded = images.view_as(images)  # so that the hook goes when this step's graph goes
        guarded.register_hook(_finite_or_zero)
        return guarded

    def finite(self, terms: Mapping[str, Tensor], values: Tensor, images: Tensor) -> Tensor:
        """Looks for NaN and infinite values.

        Args:
            terms: The per-image terms by name, to name the culprit.
            values: Their sum, ``[B]``.
            images: The prediction as the caller gave it, for the message.

        Returns:
            The values; where the step is skipped, zeros that have a zero gradient.

        Raises:
            NonFiniteLossError: If a value is NaN or infinite and the action is ``"raise"``.
        """
        if not self.active(values.device):
            return values
        if self.waits(values.device):
            finite = torch.stack([torch.isfinite(term.detach()).all() for term in terms.values()])
            self._send(tuple(terms), finite)
            return torch.where(finite.all(), values, 0.0) if self.action == "skip" else values
        if not bool(torch.isfinite(values).all()):
            culprits = [name for name, term in terms.items() if not bool(torch.isfinite(term).all())]
            raise_or_warn(nonfinite_message(culprits, describe(images)), self.action)
            values = torch.nan_to_num(images, 0.0, 0.0, 0.0).float().flatten(1).sum(1) * 0.0
        self._trusted = True
        return values

    def settle(self) -> None:
        """Reads what the last call found; waits for it where it has not arrived yet.

        Raises:
            NonFiniteLossError: If the last call's value was not finite and the action is ``"raise"``.
            ValueError: If its images were far outside the input range.
        """
        if torch.compiler.is_compiling() or self._pending is None:
            return
        finding, self._pending = self._pending, None
        if finding.arrived is not None:
            finding.arrived.synchronize()
        found = finding.values.tolist()
        finite, extremes = found[: len(finding.names)], found[len(finding.names) :]
        said = []
        for (name, shape), least, most in zip(finding.images, extremes[::2], extremes[1::2]):
            check_extremes(least, most, self.input_range, f"in the call before this one, {name}")
            said.append(f"{name} of shape {list(shape)}, min {least:.4g}, max {most:.4g}")
        culprits = [name for name, good in zip(finding.names, finite) if not good]
        if culprits:
            message = nonfinite_message(culprits, " and ".join(said))
            raise_or_warn(f"in the call before this one, {message}", self.action)

    def _note(self, name: str, shape: tuple[int, ...], found: Tensor) -> None:
        if name in self._extremes:  # several targets may be encoded before a call
            earlier = self._extremes[name][1]
            found = torch.stack([torch.minimum(found[0], earlier[0]), torch.maximum(found[1], earlier[1])])
        self._extremes[name] = (shape, found)

    def _send(self, names: tuple[str, ...], finite: Tensor) -> None:
        extremes, self._extremes = self._extremes, {}
        values = torch.cat([finite.float(), *(pair for _, pair in extremes.values())])
        images = tuple((name, shape) for name, (shape, _) in extremes.items())
        if values.is_cuda:
            host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            host.copy_(values, non_blocking=True)
            arrived = torch.cuda.Event()
            arrived.record(torch.cuda.current_stream(values.device))
            self._pending = _Finding(names, images, host, arrived)
        else:
            self._pending = _Finding(names, images, values)


def _finite_or_zero(gradient: Tensor) -> Tensor:
    return torch.where(torch.isfinite(gradient).all(), gradient, 0.0)
