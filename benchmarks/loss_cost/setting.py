"""Where and how the contestants run, and what a built contestant is."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

DEVICES = ("cpu", "cuda")
PRECISIONS = ("fp32", "bf16")


def default_weights() -> Path:
    """Returns the folder of starting weights beside the repository, which need not exist."""
    shared = os.environ.get("IQALOSS_SHARED")
    return (Path(shared) if shared else Path(__file__).parents[3] / "shared") / "data" / "weights"


@dataclass(frozen=True)
class Setting:
    """Where and how the contestants run.

    Attributes:
        device: ``cpu`` or ``cuda``.
        precision: ``fp32`` or ``bf16`` (autocast).
        compiled: Whether the loss goes through ``torch.compile``.
        weights: Folder with VGG, AlexNet and DISTS weights; without it they are random, which costs the same.
    """

    device: str = "cpu"
    precision: str = "fp32"
    compiled: bool = False
    weights: Path | None = None

    @property
    def label(self) -> str:
        """Names the hardware."""
        if self.device == "cuda":
            return f"cuda: {torch.cuda.get_device_name()}"
        threads = torch.get_num_threads()
        return f"cpu: {_processor()}, {threads} thread{'s' if threads > 1 else ''}"

    def call(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Returns the function, or what ``torch.compile`` makes of it."""
        return torch.compile(function) if self.compiled else function

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Returns what stands around a peer's forward pass; ours take the precision as an option."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device, torch.bfloat16)


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def nothing() -> None:
    """Does nothing, as the end of a step that has no optimiser."""


@dataclass(frozen=True)
class Built:
    """A contestant with its weights in place.

    Attributes:
        modules: Its networks: their weights are no part of what a step saves.
        bind: Takes prediction and target and returns the forward pass, a function of nothing to a scalar.
        finish: What else belongs to the step after the backward pass.
    """

    modules: tuple[nn.Module, ...]
    bind: Callable[[Tensor, Tensor], Callable[[], Tensor]]
    finish: Callable[[], None] = nothing


@dataclass(frozen=True)
class Contestant:
    """Something whose cost is measured.

    Attributes:
        name: Package and network.
        mode: How it is used.
        build: Makes it.
        needs: Packages to import; where one is missing the contestant is left out, and named.
        min_side: Smallest side that it takes.
        sides: Sides at which alone it is measured; empty for all.
        most_pixels: Most pixels of a batch, for what would take hours; 0 for any.
        quick: Whether ``--quick`` measures it.
        rounds: Most rounds of a run that it takes part in, for what takes long; 0 for all.
    """

    name: str
    mode: str
    build: Callable[[Setting], Built]
    needs: tuple[str, ...] = ()
    min_side: int = 1
    sides: tuple[int, ...] = ()
    most_pixels: int = 0
    quick: bool = True
    rounds: int = 0

    @property
    def title(self) -> str:
        """Name and mode."""
        return f"{self.name} ({self.mode})"


def images(setting: Setting, side: int, batch: int) -> tuple[Tensor, Tensor]:
    """Returns the prediction, which asks for a gradient, and the target that every contestant is given."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(batch, 3, side // 8, side // 8, generator=generator)
    target = nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0.05, 0.95)
    pred = (target + 0.03 * torch.randn(target.shape, generator=generator)).clamp(0, 1)
    return pred.to(setting.device).requires_grad_(), target.to(setting.device)
