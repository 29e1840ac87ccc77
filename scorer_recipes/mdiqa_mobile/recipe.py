"""The recipe as data: everything that a run depends on, stored with its checkpoints."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Settings of one training run.

    Attributes:
        seed: Every random choice is a function of this seed and the step.
        backbone_steps: Optimiser steps of the backbone before anything reads it; 0 keeps its ImageNet weights.
        backbone_batch: Scored photographs in such a step.
        backbone_ema: Decay of the backbone's averaged weights, which are kept.
        trunk_rate: Learning rate of the backbone.
        frozen_blocks: Backbone blocks, from the input on, that keep their ImageNet weights.
        steps: Optimiser steps of the heads after the warm start; 0 ends with the warm start.
        head_steps: The first of these steps train the heads alone, on degraded photographs.
        batch: Scored photographs in a step.
        groups: Clean photographs in a step, each shown with ``versions`` versions.
        versions: Versions of a clean photograph: itself and increasing strengths of one degradation.
        sizes: Sides of scored inputs; one is drawn for each step.
        crop_sizes: Sides of the crops that are degraded; one is drawn for each step.
        native: Share of the steps whose scored inputs are crops at the photographs' own resolution.
        base_share: Share of the groups that start from an already degraded photograph.
        learning_rate: For the heads.
        fusion_rate: For what the warm start has trained.
        warmup: Steps of linear warm-up; a cosine to zero follows.
        weight_decay: AdamW's.
        clip: Largest norm of the gradient.
        ema: Decay of the averaged weights that are evaluated and exported.
        warm_epochs: Passes over stored statistics before the network is trained; 0 for no warm start.
        warm_groups: Degraded photographs, in five versions each, whose statistics the warm start sees.
        readers: Readers of the statistics that are fitted apart and averaged; one alone depends on its random numbers.
        head_share: Share of the trained heads in every dimension; the statistics block has the rest.
        overall_epochs: Passes of each fit of the overall score.
        local_strength: Factor by which local scores are made stronger, and the fusion weaker, before that fit.
        warm_order: In the warm start's fit, how far the overall score shall fall, as a share of the matching
            dimension's fall, and the weight of that.
        refit_order: The same in the last fit.
        clean_score: Photographs with a higher human score are what degradations start from.
        clean_target: What a clean photograph's dimensions are pulled to.
        human_share: How much of the human scores' gradient reaches the dimensions through the overall score.
        quiet: Weight of the squared gradient norm of scores by pixels, estimated with faint noise; 0 for none.
        refit: Whether heads and statistics block are weighed, and the overall score fitted once more, at the end.
        bf16: Whether the forward pass runs in bfloat16 autocast.
    """

    seed: int = 1
    backbone_steps: int = 3000
    backbone_batch: int = 24
    backbone_ema: float = 0.998
    trunk_rate: float = 1e-4
    frozen_blocks: int = 2
    steps: int = 750
    head_steps: int = 600
    batch: int = 12
    groups: int = 5
    versions: int = 4
    sizes: tuple[int, ...] = (224, 256, 288)
    crop_sizes: tuple[int, ...] = (64, 96, 128, 160, 192)
    native: float = 0.3
    base_share: float = 0.3
    learning_rate: float = 1e-3
    fusion_rate: float = 2e-4
    warmup: int = 60
    weight_decay: float = 0.02
    clip: float = 1.0
    ema: float = 0.995
    warm_epochs: int = 90
    warm_groups: int = 4096
    readers: int = 4
    head_share: float = 0.25
    overall_epochs: int = 40
    local_strength: float = 8.0
    warm_order: tuple[float, float] = (0.1, 1.0)
    refit_order: tuple[float, float] = (0.5, 1.0)
    clean_score: float = 0.75
    clean_target: float = 0.85
    human_share: float = 0.2
    quiet: float = 0.0005
    refit: bool = True
    bf16: bool = True
