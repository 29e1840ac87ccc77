"""A moving average of the weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from iqaloss._errors import shown


class WeightAverage:
    """Exponential moving average of a module's trained parameters.

    ``kept <- d * kept + (1 - d) * current`` with ``d = min(decay, (1 + t) / (10 + t))`` at update t, so that the
    random start is forgotten at once. Parameters that no gradient reaches and buffers are not averaged.

    Args:
        module: The module that is trained.
        decay: Share of the average that stays at each update, in (0, 1).

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> average = WeightAverage(layer, decay=0.999)
        >>> average.update(layer)
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        if not 0.0 < decay < 1.0:
            raise ValueError(f"the decay of the weight average must be inside (0, 1), got {shown(decay)}")
        self.decay = decay
        self.updates = 0
        self.kept = {name: value.detach().clone() for name, value in module.named_parameters()}

    def to(self, device: torch.device) -> WeightAverage:
        """Moves the average to a device."""
        self.kept = {name: value.to(device) for name, value in self.kept.items()}
        return self

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Moves the average towards the module's weights."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for name, value in module.named_parameters():
            if value.requires_grad:
                self.kept[name].lerp_(value.detach(), 1.0 - decay)

    @torch.no_grad()
    def swap(self, module: nn.Module) -> None:
        """Exchanges the module's weights and the average; a second call exchanges them back."""
        for name, value in module.named_parameters():
            current = value.detach().clone()
            value.copy_(self.kept[name])
            self.kept[name].copy_(current)

    def state_dict(self) -> dict[str, Tensor | int]:
        """Returns the average and its number of updates."""
        return {"updates": self.updates, **{f"kept.{name}": value for name, value in self.kept.items()}}

    def load_state_dict(self, state: dict[str, Tensor | int]) -> None:
        """Takes up the average that :meth:`state_dict` returned."""
        self.updates = int(state["updates"])
        for name, value in self.kept.items():
            value.copy_(torch.as_tensor(state[f"kept.{name}"]))
