"""A tuning whose network learns to follow sliders: each step draws weights of dimensions, for it and for the loss."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from iqaloss._files import write_text
from iqaloss.data.images import to_image
from iqaloss.evaluation.panel.measures import psnr_y
from iqaloss.evaluation.patterns import total_variation
from iqaloss.evaluation.probes.pictures import score_versions
from iqaloss.losses.mdiqa_loss import MDIQALoss
from iqaloss.report.blocks import Block, Facts, Pictures, Table
from iqaloss.report.page import Report, write_report
from iqaloss.training.engine.sampling import mixed_seed
from iqaloss.tuning.conditional import ConditionalMSRResNet, conditional, is_conditional
from iqaloss.tuning.msrresnet import MSRResNet
from iqaloss.tuning.networks import RestorationNetwork, load_network
from iqaloss.tuning.outcome import SIDE
from iqaloss.tuning.photos import Pair, whole_pair
from iqaloss.tuning.tuner import Tuner

POSITIONS = 5
"""Of each slider in the report, from end to end."""


@dataclass(frozen=True)
class Slider:
    """A dimension whose weight the network follows.

    Attributes:
        dimension: Its name.
        low: The smallest weight that is drawn.
        high: The largest one.
    """

    dimension: str
    low: float
    high: float

    @classmethod
    def read(cls, text: str) -> Slider:
        """Reads ``DIMENSION=LOW:HIGH``.

        Raises:
            ValueError: If it is something else, or the weights are negative.

        Example:
            >>> Slider.read("sharpness=1:4")
            Slider(dimension='sharpness', low=1.0, high=4.0)
        """
        name, _, ends = text.partition("=")
        try:
            low, high = (float(each) for each in ends.split(":"))
        except ValueError:
            low, high = 0.0, 0.0
        if not name.isidentifier() or not 0.0 <= low < high < float("inf"):
            raise ValueError(f"--condition takes DIMENSION=LOW:HIGH, such as sharpness=1:4; got {text!r}")
        return cls(name, low, high)

    def positions(self) -> list[float]:
        """Returns the weights that the report shows."""
        return torch.linspace(self.low, self.high, POSITIONS).tolist()


class SteeredTuner(Tuner):
    """A :class:`~iqaloss.tuning.tuner.Tuner` of a network with sliders; ``settings.condition`` says which.

    Raises:
        ValueError: If the network is no MSRResNet, or the loss weighs no such dimensions.
    """

    def open_network(self) -> RestorationNetwork:
        """Gives the network sliders; one that has as many already goes on."""
        self.sliders = [Slider.read(each) for each in self.settings.condition]
        if self.settings.lora is not None:
            raise ValueError("a network with sliders learns with all its weights: leave --lora out")
        network = load_network(self.settings.model)
        if not isinstance(network.module, MSRResNet):
            raise ValueError(f"sliders are built into MSRResNet, the demo's network, not into {network.title}")
        if not is_conditional(network.module.state_dict()):
            network.module = conditional(network.module, len(self.sliders))
        network.names = {name: name for name in network.module.state_dict()}
        return network

    def advance(self, pair: Pair) -> dict[str, float]:
        """Takes a step with weights drawn for it; a function of the seed and the step alone."""
        generator = torch.Generator().manual_seed(mixed_seed(self.settings.seed, self.step))
        drawn = torch.rand(len(self.sliders), generator=generator).tolist()
        self.steer([one.low + (one.high - one.low) * share for one, share in zip(self.sliders, drawn)])
        return super().advance(pair)

    def steer(self, position: Sequence[float]) -> None:
        """Moves the sliders of the network and the weights of the loss."""
        losses = [loss for loss in self.objective.losses.values() if isinstance(loss, MDIQALoss)]
        if not losses:
            raise ValueError("sliders are weights of dimensions: take MDIQALoss")
        move(self.network.module, position)
        for loss in losses:
            loss.set_weights({**loss.weights, **{one.dimension: at for one, at in zip(self.sliders, position)}})


def move(module: Any, position: Sequence[float]) -> None:
    """Moves the sliders of a network.

    Raises:
        ValueError: If it has not as many.
    """
    if not isinstance(module, ConditionalMSRResNet) or len(module.ratio) != len(position):
        raise ValueError(f"{type(module).__name__} has not {len(position)} sliders")
    module.ratio.copy_(torch.as_tensor(position))


@torch.no_grad()
def steering(tuner: SteeredTuner, tuned: Path) -> tuple[list[dict[str, Any]], dict[str, dict[str, Tensor]]]:
    """Moves one slider after the other, the rest in the middle, over the held-out photographs.

    Returns:
        A row of means for each position, and name of a photograph to title to its version.
    """
    network = load_network(tuned)
    network.module.eval().to(tuner.device)
    scorer = next(loss for loss in tuner.objective.losses.values() if isinstance(loss, MDIQALoss)).scorer
    middle = [(one.low + one.high) / 2 for one in tuner.sliders]
    rows: list[dict[str, Any]] = []
    shown: dict[str, dict[str, Tensor]] = {photo.truth.stem: {} for photo in tuner.photos.held_out}
    for index, one in enumerate(tuner.sliders):
        for at in one.positions():
            move(network.module, [at if each == index else value for each, value in enumerate(middle)])
            title, found = f"{one.dimension} {at:g}", []
            for number, photo in enumerate(tuner.photos.held_out):
                seed = tuner.settings.seed + number
                small, truth = whole_pair(photo, tuner.degradation, network.scale, SIDE, seed)
                image = network(small[None].to(tuner.device))[0].float().clamp(0.0, 1.0).cpu()
                shown[photo.truth.stem] |= {title: image}
                _, dimensions = score_versions(scorer, [image])
                scores = dict(zip(scorer.dimension_names, dimensions[0].tolist()))
                psnr, variation = psnr_y(image[None], truth[None]), total_variation(image[None])
                found.append({"PSNR": float(psnr), "variation": float(variation), **scores})
            means = {name: sum(row[name] for row in found) / len(found) for name in found[0]}
            rows.append({"slider": title, **means})
    return rows, shown


def write_steering(tuner: SteeredTuner, tuned: Path) -> Path:
    """Writes ``steering.json`` and ``steering.html``: what each slider does to held-out photographs."""
    rows, shown = steering(tuner, tuned)
    sliders: Mapping[str, Any] = {one.dimension: [one.low, one.high] for one in tuner.sliders}
    write_text(tuner.out / "steering.json", json.dumps({"sliders": sliders, "rows": rows}, indent=1) + "\n")
    pictures = {name: {title: to_image(image) for title, image in each.items()} for name, each in shown.items()}
    first = [f"{tuner.sliders[0].dimension} {at:g}" for at in tuner.sliders[0].positions()]
    note = "PSNR of the luminance in dB; variation is measured without a network. The other sliders are in the middle."
    blocks: list[Block] = [
        Pictures("Pictures", pictures, slider=(first[0], first[-1])),
        Table("What each slider moves", rows, note),
        Facts("Sliders", {name: f"{low:g} to {high:g}" for name, (low, high) in sliders.items()}, folded=False),
    ]
    report = Report(f"{tuned.name} under its sliders", "One network, weights of dimensions as an input.", blocks)
    return write_report(report, tuner.out / "steering.html")
