"""The PMT-IQA scorer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from einops import rearrange, reduce
from torch import Tensor

from iqaloss.scorers.base import Request, ScoreOutput, Scorer
from iqaloss.scorers.cards import ScorerCard
from iqaloss.scorers.layers.crops import cut, spread
from iqaloss.scorers.layers.normalize import unit_rms
from iqaloss.scorers.layers.precision import exact
from iqaloss.scorers.layers.pyramid import create_network
from iqaloss.scorers.pmt_iqa.config import RELEASED_SIDE, PMTIQAConfig
from iqaloss.scorers.pmt_iqa.heads import PaperHeads, ReleasedHeads, build_scales, expected_level

_SCALES = ("scale_1", "scale_2", "scale_3", "scale_4")
_STRIDES = (4, 8, 16, 32)


class PMTIQA(Scorer):
    """A quality score and a quality level from four scales of a ResNet-50.

    ``score = g1(h)`` and ``levels = softmax(g2(h))`` with h the concatenated scales (Eq. 1 and 2) and g1, g2 the two
    heads (Eq. 4 to 6). The model is trained from the easy task to the hard one: the weight moves from the levels'
    cross-entropy to the score's L1 (Eq. 10; see the training package).

    Features are ``scale_1`` to ``scale_4``: the stages' maps behind the 1x1 convolution and before pooling, each
    position of unit root mean square. The extra outputs are ``level_logits`` ``[B, K]``, worst level first, and
    ``expected_level`` ``[B]`` in ``[0, K - 1]``.

    Args:
        card: What is known of the model.
        config: The architecture.
    """

    config_class = PMTIQAConfig
    one_graph = True
    config: PMTIQAConfig

    def __init__(self, card: ScorerCard, config: PMTIQAConfig) -> None:
        super().__init__(card, config)
        trunk: Any = create_network(config.trunk, num_classes=0)
        self.trunk = trunk
        stages = [info["num_chs"] for info in trunk.feature_info][-len(_SCALES) :]
        self.scales: Any = build_scales(config, stages, _STRIDES)
        inputs = len(_SCALES) * config.width
        self.heads: Any = PaperHeads(config, inputs) if config.variant == "paper" else ReleasedHeads(config, inputs)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The four scales."""
        return _SCALES

    @property
    def extra_names(self) -> tuple[str, ...]:
        """The quality levels."""
        return ("level_logits", "expected_level")

    def compute(self, images: Tensor, request: Request, **_: Any) -> ScoreOutput:
        """Runs what the request needs and nothing else; for features alone, no further than the last of them.

        Args:
            images: Float RGB in ``[0, 1]``, ``[B, 3, H, W]``.
            request: What to compute.

        Raises:
            ValueError: In the released form, if a side is shorter than 224, or longer with ``windows="single"``.
        """
        features, extras = request.features or (), request.extras or ()
        count = 1
        if self.config.variant == "released":
            images, count = self._windows(images)
        output = ScoreOutput()
        vectors = []
        headed = request.score or bool(extras)
        last = len(_SCALES) - 1 if headed else max((_SCALES.index(name) for name in features), default=-1)
        for name, scale, level in zip(_SCALES[: last + 1], self.scales, self.levels(self.normalize(images))):
            if name not in features and not headed:
                continue
            reduced = exact(scale.reduce, level)
            if name in features:
                output.features[name] = rearrange(unit_rms(reduced), "(b n) c h w -> b (n c) h w", n=count)
            if headed:
                vectors.append(scale.vector(reduced))
        if not headed:
            return output
        shared = self.heads.shared(torch.cat(vectors, dim=1))
        if request.score:
            worst, best = self.config.label_range
            scores = reduce(self.heads.regress(shared), "(b n) 1 -> b", "mean", n=count)
            output.overall = (scores - worst) / (best - worst)
        if extras:
            logits = self.heads.classify(shared)
            # A label that grows with distortion counts its levels from the best one.
            logits = logits.flip(-1) if self.config.label_range[0] > self.config.label_range[1] else logits
            if "level_logits" in extras:
                output.extras["level_logits"] = reduce(logits, "(b n) k -> b k", "mean", n=count)
            if "expected_level" in extras:
                output.extras["expected_level"] = reduce(expected_level(logits), "(b n) -> b", "mean", n=count)
        return output

    def levels(self, images: Tensor) -> Iterator[Tensor]:
        """Yields the backbone's stages for normalised images, each computed when it is asked for."""
        trunk: Any = self.trunk
        x = trunk.maxpool(trunk.act1(exact(trunk.bn1, exact(trunk.conv1, images))))
        for stage in (trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4):
            x = exact(stage, x)
            yield x

    def run_example(self) -> ScoreOutput:
        """Runs everything once; the released form takes its own size only."""
        side = RELEASED_SIDE if self.config.variant == "released" else max(64, self.card.min_side)
        return self(self.mean.new_full((1, 3, side, side), 0.5))

    def _windows(self, images: Tensor) -> tuple[Tensor, int]:
        """Returns the fewest evenly spread windows that cover the images, image by image, and their number."""
        height, width = images.shape[2:]
        single = self.config.windows == "single"
        if min(height, width) < RELEASED_SIDE or (single and max(height, width) > RELEASED_SIDE):
            allowed = "exactly 224x224" if single else "sides of at least 224"
            raise ValueError(
                f'pmt-iqa with variant="released" takes {allowed}, got {height}x{width}; variant="paper" takes any size'
            )
        rows, columns = (spread(length - RELEASED_SIDE, -(-length // RELEASED_SIDE)) for length in (height, width))
        windows = cut(images, [(top, left) for top in rows for left in columns], RELEASED_SIDE)
        return windows.flatten(0, 1), windows.shape[1]
