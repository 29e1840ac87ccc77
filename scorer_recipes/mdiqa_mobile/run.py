"""What every stage of a training run works with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from iqaloss.data.manifest import Manifest
from iqaloss.evaluation.probes.pictures import Report
from scorer_recipes.mdiqa_mobile.data import DecodedImages, clean_rows
from scorer_recipes.mdiqa_mobile.inputs import Source
from scorer_recipes.mdiqa_mobile.lessons import LESSONS
from scorer_recipes.mdiqa_mobile.recipe import Recipe
from scorer_recipes.mdiqa_mobile.upscaler import network_upscaling, train_upscaler


@dataclass(frozen=True)
class Run:
    """What every stage works with.

    Attributes:
        images: Decoded photographs.
        rated: Their names and scores.
        training: Indices of the rows to train on.
        recipe: The settings.
        out: Folder in which what was computed is kept.
        progress: Is told how far a stage is, and in a few words how it goes.
        device: Where the networks are; photographs are read and degraded on the CPU.
    """

    images: DecodedImages
    rated: Manifest
    training: list[int]
    recipe: Recipe
    out: Path
    progress: Report
    device: str = "cpu"

    @cached_property
    def source(self) -> Source:
        """Clean photographs and what is done to them; trains the small super-resolution network first."""
        clean = clean_rows(self.rated, self.training, self.recipe.clean_score)
        network = train_upscaler(self.images, clean, self.recipe.seed, self.out / "upscaler.pt", self.progress)
        return Source(self.images, clean, (*LESSONS, network_upscaling(network)))

    @property
    def scores(self) -> Tensor:
        """Human scores of all rows, on the device."""
        return torch.tensor(self.rated.target(), dtype=torch.float32, device=self.device)
