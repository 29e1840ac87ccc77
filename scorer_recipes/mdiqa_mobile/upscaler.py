"""A small super-resolution network, trained on the spot: what such networks give belongs among the degradations."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from iqaloss._files import replacing
from iqaloss.evaluation.probes.degradations import Degradation
from iqaloss.evaluation.probes.distortions import resample
from iqaloss.evaluation.probes.pictures import Report
from scorer_recipes.mdiqa_mobile.data import DecodedImages
from scorer_recipes.mdiqa_mobile.inputs import clean_crop, step_generator
from scorer_recipes.mdiqa_mobile.lessons import Lesson

STEPS, BATCH, SIDE = 400, 12, 64


class Upscaler(nn.Module):
    """Repairs what bicubic upscaling from any factor has lost, in the manner of SRCNN (arXiv 1501.00092).

    Args:
        width: Channels inside.
    """

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 5, padding=2, padding_mode="replicate"),
            nn.GELU(),
            nn.Conv2d(width, width, 3, padding=1, padding_mode="replicate"),
            nn.GELU(),
            nn.Conv2d(width, width, 3, padding=1, padding_mode="replicate"),
            nn.GELU(),
            nn.Conv2d(width, 3, 3, padding=1, padding_mode="replicate"),
        )
        nn.init.zeros_(self.layers[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.layers[-1].bias)  # type: ignore[arg-type]

    def forward(self, blurred: Tensor) -> Tensor:
        """Returns the repaired images ``[B, 3, H, W]``, not clamped."""
        repaired: Tensor = blurred + self.layers(blurred)
        return repaired


def shrinkage(strength: float) -> float:
    """Returns the factor of a strength in (0, 1]: up to 4.5."""
    return 1.0 + 3.5 * strength


@torch.enable_grad()  # whoever asks for what is done to photographs may be in the middle of measuring
def train_upscaler(images: DecodedImages, clean: list[int], seed: int, cache: Path, progress: Report) -> Upscaler:
    """Trains the network with L1 on crops of clean photographs, or reads it from a file that an earlier run wrote.

    Args:
        images: Decoded photographs.
        clean: Numbers of those to learn from.
        seed: Every random choice is a function of this seed and the step.
        cache: Where the weights go.
        progress: Is told how far it is.
    """
    torch.manual_seed(seed)
    network = Upscaler()
    if cache.is_file():
        network.load_state_dict(torch.load(cache, weights_only=True))
        return network.eval().requires_grad_(False)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=STEPS)
    for step in range(STEPS):
        generator = step_generator(seed + 60, step)
        chosen = torch.randint(len(clean), (BATCH,), generator=generator).tolist()
        sharp = torch.stack([clean_crop(images, clean[i], SIDE, generator) for i in chosen])
        factors = shrinkage(0.1) + (shrinkage(1.0) - shrinkage(0.1)) * torch.rand(BATCH, generator=generator)
        blurred = torch.stack([resample(image, factor) for image, factor in zip(sharp, factors.tolist())])
        optimizer.zero_grad()
        F.l1_loss(network(blurred), sharp).backward()
        optimizer.step()
        schedule.step()
        progress("small super-resolution network", step + 1, STEPS)
    with replacing(cache) as temporary:
        torch.save(network.state_dict(), temporary)
    return network.eval().requires_grad_(False)


def network_upscaling(network: Upscaler) -> Lesson:
    """Returns the lesson of one more degradation: shrunk by a factor of up to 4.5 and restored by the network."""

    def apply(image: Tensor, strength: float, generator: Generator) -> Tensor:
        with torch.no_grad():
            repaired: Tensor = network(resample(image, shrinkage(strength))[None])[0]
        return repaired

    return Lesson(Degradation("network-upscaling", "sharpness", apply), fall=0.6, upscales=True)
