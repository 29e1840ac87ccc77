"""Looking at a loss's values without making the host wait for the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from iqaloss.losses.checks import (
    check_extremes,
    check_finite,
    check_range,
    has_values,
    nonfinite_message,
    raise_or_warn,
)


def answers_at_once(device: torch.device) -> bool:
    """Whether reading a value on a device waits for nothing."""
    return device.type == "cpu"


@dataclass
class _Verdict:
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
        action: ``"raise"``, ``"skip"`` or ``"ignore"``.
        input_range: The range of the images.
    """

    def __init__(self, action: str, input_range: tuple[float, float]) -> None:
        self.action = action
        self.input_range = input_range
        self._trusted = False
        self._extremes: dict[str, tuple[tuple[int, ...], Tensor]] = {}
        self._pending: _Verdict | None = None

    def __reduce__(self) -> tuple[type[FiniteGuard], tuple[str, tuple[float, float]]]:
        """A copy starts afresh: what is on its way to the host belongs to the original."""
        return FiniteGuard, (self.action, self.input_range)

    def waits(self, images: Tensor) -> bool:
        """Whether the findings of this call are left for the next one."""
        return self.active(images) and self._trusted and not answers_at_once(images.device)

    def active(self, images: Tensor) -> bool:
        """Whether there is anything to look at."""
        return self.action != "ignore" and has_values(images)

    def range(self, images: Tensor, name: str) -> None:
        """Looks for values far outside the input range."""
        if self.waits(images):
            found = torch.stack(torch.aminmax(images.detach())).float()
            if name in self._extremes:  # several targets may be encoded before a call
                earlier = self._extremes[name][1]
                found = torch.stack([torch.minimum(found[0], earlier[0]), torch.maximum(found[1], earlier[1])])
            self._extremes[name] = (tuple(images.shape), found)
        elif self.active(images):
            check_range(images, self.input_range, name)

    def finite(self, terms: Mapping[str, Tensor], values: Tensor, images: Tensor) -> Tensor:
        """Looks for NaN and infinite values.

        Args:
            terms: The per-image terms by name.
            values: Their sum, ``[B]``.
            images: The prediction as the caller gave it.

        Returns:
            The values; zeros where the step is skipped.
        """
        if not self.waits(images):
            checked = check_finite(terms, values, images, self.action)
            if self.active(images):
                self._trusted = True
            return checked
        finite = torch.stack([torch.isfinite(term.detach()).all() for term in terms.values()])
        self._send(tuple(terms), finite)
        return torch.where(finite.all(), values, 0.0) if self.action == "skip" else values

    def guard(self, images: Tensor) -> Tensor:
        """Returns the images; where findings wait, a gradient that is not finite becomes zero on its way back."""
        if not (self.waits(images) and images.requires_grad and torch.is_grad_enabled()):
            return images
        guarded = images.view_as(images)  # so that the hook goes when this step's graph goes
        guarded.register_hook(_finite_or_zero)
        return guarded

    def settle(self) -> None:
        """Reads what the last call found; waits for it where it has not arrived yet.

        Raises:
            NonFiniteLossError: If the last call's value was not finite and the action is ``"raise"``.
            ValueError: If its images were far outside the input range.
        """
        if torch.compiler.is_compiling() or self._pending is None:
            return
        verdict, self._pending = self._pending, None
        if verdict.arrived is not None:
            verdict.arrived.synchronize()
        found = verdict.values.tolist()
        finite, extremes = found[: len(verdict.names)], found[len(verdict.names) :]
        said = []
        for (name, shape), least, most in zip(verdict.images, extremes[::2], extremes[1::2]):
            check_extremes(least, most, self.input_range, f"in the call before this one, {name}")
            said.append(f"{name} of shape {list(shape)}, min {least:.4g}, max {most:.4g}")
        culprits = [name for name, good in zip(verdict.names, finite) if not good]
        if culprits:
            message = nonfinite_message(culprits, " and ".join(said))
            raise_or_warn(f"in the call before this one, {message}", self.action)

    def _send(self, names: tuple[str, ...], finite: Tensor) -> None:
        extremes, self._extremes = self._extremes, {}
        values = torch.cat([finite.float(), *(pair for _, pair in extremes.values())])
        images = tuple((name, shape) for name, (shape, _) in extremes.items())
        if values.is_cuda:
            host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            host.copy_(values, non_blocking=True)
            arrived = torch.cuda.Event()
            arrived.record(torch.cuda.current_stream(values.device))
            self._pending = _Verdict(names, images, host, arrived)
        else:
            self._pending = _Verdict(names, images, values)


def _finite_or_zero(gradient: Tensor) -> Tensor:
    return torch.where(torch.isfinite(gradient).all(), gradient, 0.0)
