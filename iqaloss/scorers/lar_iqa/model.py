"""The LAR-IQA scorer."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from einops import rearrange, reduce
from torch import Tensor, nn

from iqaloss.scorers.base import Request, ScoreOutput, Scorer
from iqaloss.scorers.cards import ScorerCard
from iqaloss.scorers.lar_iqa.config import BRANCHES, LARIQAConfig, check_spaces
from iqaloss.scorers.lar_iqa.preprocess import center_crop, squeeze_to_square, to_eight_bits, to_spaces, without_border
from iqaloss.scorers.layers.kan import KANLinear
from iqaloss.scorers.layers.normalize import unit_rms
from iqaloss.scorers.layers.precision import exact
from iqaloss.scorers.layers.pyramid import create_network


@dataclass
class BranchOutput:
    """Maps by stage, and class scores ``[B, K]`` and embedding ``[B, E]`` where they were asked for."""

    maps: dict[int, Tensor] = field(default_factory=dict)
    logits: Tensor | None = None
    embedding: Tensor | None = None


class Branch(nn.Module):
    """A MobileNetV3 with its classifier and the layers that embed the class scores."""

    def __init__(self, config: LARIQAConfig) -> None:
        super().__init__()
        self.trunk: Any = create_network(config.trunk, num_classes=config.logits)
        self.embed: nn.Module
        if config.head == "kan":
            self.embed = KANLinear(config.logits, config.embedding, scaler=config.kan_scaler)
        else:
            self.embed = nn.Sequential(
                nn.ReLU(),
                nn.Linear(config.logits, config.hidden),
                nn.ReLU(),
                nn.Linear(config.hidden, config.embedding),
            )

    def forward(self, inputs: Tensor, stages: Collection[int], *, logits: bool, embedding: bool) -> BranchOutput:
        """Runs the backbone as far as it is needed.

        Args:
            inputs: Normalised images.
            stages: Stages whose map is needed.
            logits: Whether the class scores are needed.
            embedding: Whether the embedding is needed.
        """
        out = BranchOutput()
        x = exact(self.trunk.bn1, exact(self.trunk.conv_stem, inputs))
        for index, stage in enumerate(self.trunk.blocks):
            x = exact(stage, x)
            if index in stages:
                out.maps[index] = x
            if not (logits or embedding) and index == max(stages):
                return out
        out.logits = self.trunk.forward_head(x)
        if embedding:
            out.embedding = self.embed(out.logits)
        return out


class LARIQA(Scorer):
    """Two small networks, one for authentic and one for synthetic distortions, joined by a KAN or an MLP.

    The authentic branch sees the whole image in a square of 384, the synthetic one the centre in its own
    resolution. ``score = KAN([KAN_a(f_a(resize(x))); KAN_s(f_s(crop(x)))])`` with f the class scores of two
    MobileNetV3 (arXiv 2408.17057); with the MLP head a ReLU stands before each of its linear layers.

    With several colour spaces the score is the mean of the spaces' scores, from one batched pass; features and
    extra outputs hold the spaces one after the other along dimension 1.

    Features are ``authentic_stageK`` and ``synthetic_stageK``, the maps behind stage K of a branch's backbone, each
    position of unit root mean square; what a zero border alone gave is cut off. The extra outputs are
    ``authentic_logits``, ``authentic_embedding`` and their ``synthetic_`` counterparts.

    Args:
        card: What is known of the model.
        config: The architecture and preprocessing.
    """

    config_class = LARIQAConfig
    config: LARIQAConfig

    def __init__(self, card: ScorerCard, config: LARIQAConfig) -> None:
        super().__init__(card, config)
        self.branches = nn.ModuleDict({name: Branch(config) for name in BRANCHES})
        joined = len(BRANCHES) * config.embedding
        self.join: nn.Module = (
            KANLinear(joined, 1, scaler=config.kan_scaler)
            if config.head == "kan"
            else nn.Sequential(nn.ReLU(), nn.Linear(joined, 1))
        )

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The compared stages of both branches."""
        return tuple(f"{branch}_stage{stage}" for branch in BRANCHES for stage in self.config.stages)

    @property
    def extra_names(self) -> tuple[str, ...]:
        """The class scores and the embedding of both branches."""
        return tuple(f"{branch}_{output}" for branch in BRANCHES for output in ("logits", "embedding"))

    def compute(
        self,
        images: Tensor,
        request: Request,
        *,
        color_space: str | Sequence[str] | None = None,
        pad: bool | None = None,
        **_: Any,
    ) -> ScoreOutput:
        """Runs what the request needs and nothing else; a branch runs up to its last needed stage.

        Args:
            images: Float RGB in ``[0, 1]``, ``[B, 3, H, W]``.
            request: What to compute.
            color_space: Takes the place of the config's colour space or spaces.
            pad: Takes the place of the config's ``pad``.
        """
        spaces = check_spaces(self.config.color_space if color_space is None else color_space)
        pad = self.config.pad if pad is None else pad
        features, extras = request.features or (), request.extras or ()
        converted = self.convert(images, spaces)
        output = ScoreOutput()
        embeddings = []
        for name in BRANCHES:
            stages = [stage for stage in self.config.stages if f"{name}_stage{stage}" in features]
            logits, embedding = f"{name}_logits" in extras, request.score or f"{name}_embedding" in extras
            if not (stages or logits or embedding):
                continue
            inputs = self.inputs(converted, name, pad=pad)
            found: BranchOutput = self.branches[name](inputs, stages, logits=logits, embedding=embedding)
            for stage, level in found.maps.items():
                if name == "synthetic":
                    level = without_border(level, images.shape[2:], self.config.crop, pad=pad)
                output.features[f"{name}_stage{stage}"] = _by_image(unit_rms(level), len(spaces))
            if found.logits is not None:
                output.extras[f"{name}_logits"] = _by_image(found.logits, len(spaces))
            if found.embedding is not None:
                output.extras[f"{name}_embedding"] = _by_image(found.embedding, len(spaces))
                embeddings.append(found.embedding)
        if request.score:
            scores = self.join(torch.cat(embeddings, dim=1))
            output.overall = reduce(scores, "(s b) 1 -> b", "mean", s=len(spaces))
        return output

    def convert(self, images: Tensor, spaces: Sequence[str]) -> Tensor:
        """Returns RGB images in the colour spaces, ``[S * B, 3, H, W]``, space by space, at least in float32."""
        wide = images if images.dtype == torch.float64 else images.float()
        return to_spaces(to_eight_bits(wide) if self.config.variant == "released" else wide, spaces)

    def inputs(self, converted: Tensor, branch: str, *, pad: bool) -> Tensor:
        """Returns what a branch's network sees of converted images: resized or cropped, and normalised.

        Args:
            converted: Images in their colour spaces, ``[S * B, 3, H, W]``.
            branch: ``"authentic"`` or ``"synthetic"``.
            pad: Whether a crop larger than the image is filled up with zeros.
        """
        if branch == "authentic":
            eight_bits = self.config.variant == "released"
            inputs = squeeze_to_square(converted, self.config.resize, eight_bits=eight_bits)
        else:
            inputs = center_crop(converted, self.config.crop, pad=pad)
        return self.normalize(inputs).to(self.mean.dtype)


def _by_image(values: Tensor, spaces: int) -> Tensor:
    """Turns ``[S * B, C, ...]``, space by space, into ``[B, S * C, ...]``."""
    return rearrange(values, "(s b) c ... -> b (s c) ...", s=spaces)
