"""The training loop of the heads: resumable at any step, with averaged weights."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Generator, Tensor, nn

from iqaloss.scorers.base import Request
from iqaloss.scorers.mdiqa.model import MDIQA
from iqaloss.training.engine.ema import WeightAverage
from scorer_recipes.mdiqa_mobile.descent import Half, descend, gradients, load_state, save_state
from scorer_recipes.mdiqa_mobile.inputs import degraded_groups, epoch_rows, scored_inputs, stack_groups, step_generator
from scorer_recipes.mdiqa_mobile.objectives import degradation_loss, head_loss, human_loss, quiet_loss
from scorer_recipes.mdiqa_mobile.readers import noisy_read
from scorer_recipes.mdiqa_mobile.recipe import Recipe
from scorer_recipes.mdiqa_mobile.run import Run
from scorer_recipes.mdiqa_mobile.speed import Autocast, fast_bfloat16
from scorer_recipes.mdiqa_mobile.warmstart import trunk_of

Report = Callable[[int, dict[str, float]], None]
STATE = "state.pt"
FAINT = 2.0 / 255.0
"""Standard deviation of the noise that probes the gradient's norm."""


def parameter_groups(scorer: MDIQA, recipe: Recipe) -> list[dict[str, Any]]:
    """Chooses what is trained and how fast: heads, and what the warm start has trained.

    The backbone was trained before (see :mod:`backbone`) and is read as it is; so is what the warm start taught the
    statistics block of the dimensions, for the heads are weighed against it in the end.
    """
    trunk_of(scorer).requires_grad_(False)
    if scorer.statistics is not None:
        scorer.statistics.dimension.requires_grad_(False)
    rates = {"fusion": recipe.fusion_rate, "heads": recipe.learning_rate}
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in scorer.named_parameters():
        if parameter.requires_grad:
            kind = "fusion" if name.startswith(("statistics", "fuse")) else "heads"
            groups.setdefault((kind, parameter.ndim > 1), []).append(parameter)
    return [
        {"params": found, "lr": rates[kind], "peak": rates[kind], "weight_decay": recipe.weight_decay * decayed}
        for (kind, decayed), found in groups.items()
    ]


def rate_factor(step: int, recipe: Recipe) -> float:
    """Returns the learning rate's factor: linear warm-up, then a cosine to zero."""
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    return 0.5 + 0.5 * math.cos(math.pi * (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup))


class HeadTrainer:
    """Trains a scorer's heads; every step depends on its number, the seed and the state alone, so runs resume exactly.

    Args:
        scorer: The scorer, not frozen, with its starting weights, on the run's device.
        run: Photographs, scores, settings, and the folder of the checkpoint.
    """

    def __init__(self, scorer: MDIQA, run: Run) -> None:
        self.scorer = scorer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.given, self.recipe, self.out = run, run.recipe, run.out
        self.scores = run.scores
        each = max(1, torch.get_num_threads() // 2)
        self.pool = ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(each,))
        self.optimizer = torch.optim.AdamW(parameter_groups(scorer, run.recipe), betas=(0.9, 0.99))
        self.average = WeightAverage(scorer, run.recipe.ema)
        self.seen = threading.local()
        if scorer.statistics is not None:
            self.hook = scorer.statistics.dimension.register_forward_hook(self._see)
        self.step = 0

    def _see(self, reader: nn.Module, given: tuple[Tensor], added: Tensor) -> None:
        """Keeps the standardised statistics and what is read from them, for the thread that runs the scorer."""
        self.seen.standard, self.seen.added = given[0], added.float()

    def run(self, until: int, report: Report, save_every: int = 100) -> None:
        """Trains up to a step; saves on the way and at the end."""
        while self.step < until:
            report(self.step, self.train_step())
            if self.step % save_every == 0:
                self.save()
        self.save()

    def train_step(self) -> dict[str, float]:
        """Does one step and returns the terms of its loss."""
        recipe, step = self.recipe, self.step
        self.scorer.eval()  # stored batch statistics, and no dropout in the heads: the training is short
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * rate_factor(step, recipe)
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        with fast_bfloat16(self.scorer, recipe) as autocast:
            if step < recipe.head_steps:
                results = [self.degraded_half(step, trained, autocast)]
            else:
                # The halves share nothing but the weights: two threads keep two cores busy without waiting inside.
                both = (self.human_half, self.degraded_half)
                results = [half.result() for half in [self.pool.submit(h, step, trained, autocast) for h in both]]
        terms = descend(self.optimizer, trained, results, recipe.clip, f"step {step}")
        self.average.update(self.scorer)
        self.step += 1
        return terms

    def human_half(self, step: int, trained: list[nn.Parameter], autocast: Autocast) -> Half:
        """Returns loss terms and gradients of the scored photographs."""
        recipe = self.recipe
        chosen = epoch_rows(self.given.training, recipe.batch, recipe.seed, step)
        generator = step_generator(recipe.seed, step, 2)
        inputs = scored_inputs(self.given.images, chosen, recipe, generator)
        overall, dimensions = self.predict(inputs, autocast, recipe.human_share, generator)
        return gradients(human_loss(overall, dimensions, self.scores[chosen]), trained)

    def degraded_half(self, step: int, trained: list[nn.Parameter], autocast: Autocast) -> Half:
        """Returns loss terms and gradients of the degraded photographs."""
        recipe = self.recipe
        generator = step_generator(recipe.seed, step, 3)
        groups = degraded_groups(self.given.source, recipe, generator)
        inputs = torch.cat([group.images for group in groups])
        total = len(inputs)
        if recipe.quiet:
            first = inputs[:: recipe.versions]
            faint = FAINT * torch.randn(first.shape, generator=generator)
            inputs = torch.cat([inputs, first + faint, first - faint])
        overall, dimensions = self.predict(inputs, autocast)
        described = [kind.to(overall.device) for kind in stack_groups(groups)]
        # First the heads alone: what the sum of heads and statistics should be tells the heads little and late.
        alone = step < recipe.head_steps
        terms = {} if alone else degradation_loss(overall[:total], dimensions[:total], *described)
        if self.scorer.statistics is not None:
            terms |= head_loss(dimensions[:total] - self.seen.added[:total], *described)
        if recipe.quiet:
            scores = torch.cat([overall[:, None], dimensions], dim=1)
            above, below = scores[total:].chunk(2)
            terms["quiet"] = recipe.quiet * quiet_loss(above, below, FAINT)
        return gradients(terms, trained)

    def predict(
        self, inputs: Tensor, autocast: Autocast, share: float = 1.0, noise: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Returns overall scores ``[B]`` and dimension scores ``[B, D]`` in float32.

        Args:
            inputs: ``[B, 3, H, W]``.
            autocast: Enters autocast.
            share: How much of the overall score's gradient reaches the dimensions: dimensions that all follow
                one score cannot tell properties apart.
            noise: Generator of the noise and dropout with which the local scores are read from statistics.
        """
        inputs = inputs.to(self.given.device).contiguous(memory_format=torch.channels_last)
        block = self.scorer.statistics
        with autocast():
            out = self.scorer(inputs, Request(dimensions=None, extras=None))
            dimensions = torch.stack(list(out.dimensions.values()), dim=1).float()
            scores = torch.lerp(dimensions.detach(), dimensions, share)
            if "local_scores" in out.extras:
                scores = scores + out.extras["local_scores"].float()
            if noise is not None and block is not None:
                standard = self.seen.standard
                scores = scores + (noisy_read(block.local, standard, noise) - block.local(standard)).float()
        return self.scorer.fuse(scores * out.extras["weights"].float()).squeeze(1), dimensions

    @property
    def state(self) -> dict[str, Any]:
        """What a checkpoint holds beside the step and the recipe."""
        return {"scorer": self.scorer, "average": self.average, "optimizer": self.optimizer}

    def finish(self) -> MDIQA:
        """Gives the scorer its averaged weights, and returns it; there is no step after this."""
        if self.scorer.statistics is not None:
            self.hook.remove()
        self.average.swap(self.scorer)
        return self.scorer

    def save(self) -> None:
        """Stores the whole state in the output folder."""
        save_state(self.out / STATE, self.recipe, self.step, self.state)

    def resume(self) -> None:
        """Continues from the checkpoint in the output folder (see :func:`load_state`)."""
        self.step = load_state(self.out / STATE, self.recipe, self.state)
