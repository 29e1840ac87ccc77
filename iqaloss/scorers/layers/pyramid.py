"""A timm backbone whose levels are gated, pooled to one grid and reduced to one width."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from iqaloss._errors import shown
from iqaloss.scorers.layers.precision import exact


def create_trunk(name: str, *, levels: tuple[int, ...] | None = None) -> nn.Module:
    """Builds a timm feature backbone with random weights; nothing is downloaded.

    Args:
        name: A timm model name.
        levels: Which feature levels to return; all of them by default.
    """
    options: dict[str, Any] = {} if levels is None else {"out_indices": levels}
    return create_network(name, features_only=True, **options)


def create_network(name: str, **options: Any) -> Any:
    """Builds a network that timm knows, with random weights.

    timm also takes addresses, such as ``hf-hub:org/model`` and ``local-dir:folder``, from which it reads or downloads;
    a name may come from a checkpoint, so these are refused.

    Args:
        name: A timm model name.
        **options: What ``timm.create_model`` takes beside it.

    Raises:
        ValueError: If timm knows no such network, with the nearest name.

    Example:
        >>> create_network("hf-hub:org/model")
        Traceback (most recent call last):
        ValueError: 'hf-hub:org/model' is an address; a backbone is a name out of timm.list_models()
    """
    import timm

    if not isinstance(name, str) or ":" in name or "/" in name or "\\" in name:
        raise ValueError(f"{shown(name)} is an address; a backbone is a name out of timm.list_models()")
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"timm {timm.__version__} knows no backbone {shown(name)}{hint}")
    return timm.create_model(name, pretrained=False, **options)


class GatedConv(nn.Module):
    """``GELU(x1) * gate(x2)`` with ``(x1, x2)`` the halves of a 1x1 convolution of x.

    With ``patch`` > 1 that convolution reads patches of x, side by side, and the result is that much
    smaller: a fine level costs a fraction, and what a patch looks like inside is still seen.

    Args:
        channels: Channels of the input and of the output.
        hidden: Channels inside the gate.
        patch: Side of the patches.
    """

    def __init__(self, channels: int, hidden: int = 64, patch: int = 1) -> None:
        super().__init__()
        self.patch = patch
        self.split = nn.Conv2d(channels, 2 * channels, patch, stride=patch)
        self.gate = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.GELU(),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(hidden, 1, 3, padding=1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Returns the gated map, of the input's shape divided by ``patch``, rounded up."""
        x = whole_patches(x, self.patch)
        value, gate = self.split(x).chunk(2, dim=1)
        return F.gelu(value) * self.gate(gate)


def whole_patches(x: Tensor, patch: int) -> Tensor:
    """Repeats the last row and column of ``[B, C, H, W]`` until patches of that side fill it."""
    height, width = x.shape[2:]
    below, right = -height % patch, -width % patch
    return F.pad(x, (0, right, 0, below), mode="replicate") if below or right else x


class FrozenStatistics:
    """Mixin: batch norms always use their stored statistics, also in training.

    MDIQA's trunks were trained this way (the published fusion network forgot to, and its statistics drifted).
    """

    def train(self, mode: bool = True) -> Any:
        """Sets training mode, but for the batch norms."""
        super().train(mode)  # type: ignore[misc]
        for module in self.modules():  # type: ignore[attr-defined]
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self


class GatedPyramid(FrozenStatistics, nn.Module):
    """Backbone levels on the grid of the last one, each ``[B, width, h, w]``.

    Every level is gated at its own resolution (or patch by patch), averaged down to the grid of the last level and
    reduced to ``width`` channels.

    Args:
        trunk: timm name of the backbone.
        width: Channels of every returned map.
        gate_width: Channels inside the gates.
        patches: Number of each level that is read, finest first, and the side of the patches that its gate reads;
            all levels, position by position, without it.
    """

    def __init__(
        self, trunk: str, width: int, gate_width: int = 64, patches: Sequence[tuple[int, int]] | None = None
    ) -> None:
        super().__init__()
        self.trunk = create_trunk(trunk)
        every: list[int] = self.trunk.feature_info.channels()  # type: ignore[union-attr, operator]
        self.patches = tuple((level, 1) for level in range(len(every))) if patches is None else tuple(patches)
        channels = [every[level] for level, _ in self.patches]
        self.gates = nn.ModuleList(GatedConv(every[level], gate_width, side) for level, side in self.patches)
        self.reduce = nn.ModuleList(nn.Sequential(nn.Conv2d(c, width, 1), nn.GELU()) for c in channels)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Returns the maps, finest level first, for normalised images."""
        return self.gather(exact(self.trunk, images))

    def gather(self, levels: list[Tensor]) -> list[Tensor]:
        """Returns the maps for the levels of the backbone."""
        grid = tuple(levels[-1].shape[2:])
        read = [levels[level] for level, _ in self.patches]
        return [reduce(pool_to(gate(level), grid)) for level, gate, reduce in zip(read, self.gates, self.reduce)]


def pool_to(x: Tensor, grid: tuple[int, ...]) -> Tensor:
    """Averages ``[B, C, H, W]`` down (or repeats it up) to a grid; a map that has it already is returned as it is."""
    return x if tuple(x.shape[2:]) == tuple(grid) else F.adaptive_avg_pool2d(x, (grid[0], grid[1]))
