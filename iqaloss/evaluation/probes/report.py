"""Everything that is probed of a scorer, as facts, as JSON and as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from iqaloss.evaluation.probes.gradients import GradientFigures, gradient_figures
from iqaloss.evaluation.probes.pictures import Report, silent
from iqaloss.evaluation.probes.responses import Responses, responses
from iqaloss.evaluation.probes.upscales import UpscaleOrder, upscale_order
from iqaloss.scorers.base import Scorer


@dataclass(frozen=True)
class ProbeReport:
    """What the probes say of a scorer.

    Attributes:
        scorer: Its name.
        responses: Which score falls when which property is lost.
        upscaling: Whether photographs score above their upscales.
        gradients: Size and spectrum of the gradient by the pixels.
    """

    scorer: str
    responses: Responses
    upscaling: UpscaleOrder
    gradients: GradientFigures

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON: ``scorer``, ``responses``, ``upscaling`` and ``gradients``.

        The spectrum, a megabyte, is left out; what is not finite becomes None.
        """
        figures = _plain(asdict(self))
        del figures["gradients"]["spectrum"]
        return dict(figures)

    def to_text(self) -> str:
        """Returns the figures as tables."""
        lines = (gradient_lines(self.gradients), upscale_lines(self.upscaling), response_lines(self.responses))
        return "\n".join(line for each in lines for line in each)


def prepared(scorer: Scorer, device: str = "cpu") -> Scorer:
    """Makes a frozen scorer fast for measurements, for good: folded, and in the memory format of convolutions."""
    return scorer.fold().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def probe_scorer(scorer: Scorer, pictures: Sequence[Tensor], report: Report = silent, *, seed: int = 0) -> ProbeReport:
    """Probes a scorer on clean photographs.

    Args:
        scorer: Any scorer, in eval mode.
        pictures: Clean photographs, ``[3, H, W]`` each (:func:`iqaloss.evaluation.probes.pictures.read_pictures`).
        report: Is told how far it is.
        seed: Another seed, other noise.

    Example:
        >>> probe_scorer(create_scorer("mdiqa-mobile"), read_pictures("photos"))  # doctest: +SKIP
    """
    return ProbeReport(
        scorer=scorer.card.name,
        upscaling=upscale_order(scorer, pictures, report),
        responses=responses(scorer, pictures, report, seed=seed),
        gradients=gradient_figures(scorer, pictures, report),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def gradient_lines(found: GradientFigures) -> list[str]:
    """Lays the gradient's figures out."""
    peaks = ", ".join(f"{stride}: {peak:.2f}" for stride, peak in found.stride_peaks.items())
    return [
        f"gradient ({found.pictures} photographs): norm {found.norm:.3f} a photograph; "
        f"power at stride frequencies over neighbours {peaks}; "
        f"share of all power at multiples of 1/8 cycle {found.stride_share:.5f}"
    ]


def upscale_lines(found: UpscaleOrder) -> list[str]:
    """Lays the order of upscales out."""
    line = (
        f"upscaling ({found.pictures} photographs): original above every upscale {found.original_best:.1%}, "
        f"x2 > x3 > x4 as well {found.in_order:.1%}"
    )
    if found.sharpness_original_best is not None and found.sharpness_in_order is not None:
        line += f"; by sharpness {found.sharpness_original_best:.1%}, {found.sharpness_in_order:.1%}"
    return [line]


def response_lines(found: Responses) -> list[str]:
    """Lays the response matrix out, and below it what each degradation does."""
    head = [f"{name[:13]:>14}" for name in found.dimensions]
    lines = [
        f"fall of each score (columns) when a property (rows) is lost; {found.pictures} photographs",
        " " * 16 + "".join(head) + "   selectivity    tau",
    ]
    for name, row in zip(found.properties, found.matrix):
        selectivity = f"{found.selectivity[name]:.1f}" if name in found.selectivity else "-"
        lines.append(f"{name:16}" + "".join(f"{x:14.3f}" for x in row) + f"{selectivity:>14}{found.tau[name]:7.3f}")
    lines.append(f"{'degradation':16}" + "".join(head) + "       overall    tau")
    for name, each in found.degradations.items():
        cells = "".join(f"{x:14.3f}" for x in each.fall.values())
        lines.append(f"{name:16}{cells}{each.overall_fall:14.3f}{each.tau:7.3f}")
    for band in found.exposures:
        taus = ", ".join(f"{name} {band[name]:.3f}" for name in band if name not in ("from", "to", "pictures"))
        lines.append(
            f"mean luminance {band['from']:.1f} to {band['to']:.1f}, {band['pictures']:.0f} photographs: tau {taus}"
        )
    return lines
