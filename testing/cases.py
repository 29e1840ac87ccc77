"""Every loss that the laws are stated for: each registered scorer, small, in each mode and form."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from iqaloss import IQALoss, MDIQALoss, list_scorers
from iqaloss.losses import LARIQALoss, MoEAGIQALoss, PMTIQALoss, SRIQALoss
from iqaloss.losses.loss_terms import MODES
from iqaloss.losses.mdiqa_loss import FORMS
from iqaloss.scorers.base import Scorer
from iqaloss.scorers.factory import create_tiny

TRACED = pytest.mark.skipif(
    torch.__version__.startswith("2.4."),
    reason="torch.compile of torch 2.4 breaks graphs at Python's sets and iterators, its torch.export loses modules",
)
"""Tests of whole graphs."""


@dataclass(frozen=True)
class Case:
    """A loss to build: a scorer's name and how the scorer becomes a loss."""

    scorer: str
    label: str
    build: Callable[[Scorer], IQALoss]

    def loss(self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> IQALoss:
        """The loss, its scorer in a number type on a device."""
        return self.build(tiny(self.scorer).to(device, dtype))

    @property
    def compares(self) -> bool:
        return not self.label.endswith("nr")

    def __str__(self) -> str:
        return f"{self.scorer}-{self.label}"


def tiny(name: str) -> Scorer:
    """A small scorer with the same random weights at each call."""
    try:
        return _tiny(name).copy()
    except ImportError as error:
        pytest.skip(str(error))


@functools.cache
def _tiny(name: str) -> Scorer:
    torch.manual_seed(0)
    return create_tiny(name)


SPACES = ["RGB", "LAB"]
WEIGHTS = {"sharpness": 2.0, "noisiness": 0.0}


def _cases() -> list[Case]:
    cases = [
        Case(name, mode, lambda scorer, mode=mode: IQALoss(scorer, mode)) for name in list_scorers() for mode in MODES
    ]
    cases += [
        Case(name, f"{form}-{mode}", lambda scorer, form=form, mode=mode: MDIQALoss(WEIGHTS, mode, scorer, form=form))
        for name in ("mdiqa", "mdiqa-mobile")
        for form in FORMS
        for mode in MODES
    ]
    cases += [
        Case(
            "lar-iqa", f"spaces-{mode}", lambda scorer, mode=mode: LARIQALoss(scorer, mode, color_space=["RGB", "LAB"])
        )
        for mode in ("nr", "fr")
    ]
    cases += [
        Case("pmt-iqa", "level-nr", lambda scorer: PMTIQALoss(scorer, use="level")),
        Case("moe-agiqa", "prompt-nr", lambda scorer: MoEAGIQALoss(torch.tensor([1, 7, 9, 2]), scorer=scorer)),
        Case("sr-iqa", "windows-nr", lambda scorer: SRIQALoss(scorer, windows=2)),
    ]
    return cases


CASES = _cases()


def random_pair(
    loss: IQALoss,
    batch: int = 2,
    seed: int = 0,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> tuple[Tensor, Tensor]:
    """Two batches of structured images, the first asking for a gradient; by default where and as the scorer is."""
    side = max(64, loss.scorer.card.min_side)
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(2 * batch, 3, side // 8, side // 8, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0.05, 0.95)
    images = (smooth + 0.03 * torch.randn(smooth.shape, generator=generator)).clamp(0, 1)
    images = images.to(device or loss.scorer.mean.device, dtype or loss.scorer.mean.dtype)
    return images[:batch].clone().requires_grad_(), images[batch:].clone()
