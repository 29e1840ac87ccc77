"""Training against opponents: how far a score falls from an original to what fools it is how much worse that looks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from iqaloss.evaluation.patterns import pattern_rise
from iqaloss.scorers.layers.blur import gaussian_blur
from iqaloss.scorers.mdiqa.model import MDIQA
from iqaloss.training.engine.ema import WeightAverage
from scorer_recipes.mdiqa_mobile.descent import Half, descend, gradients, load_state, save_state
from scorer_recipes.mdiqa_mobile.inputs import step_generator
from scorer_recipes.mdiqa_mobile.looks import Looks, Measure
from scorer_recipes.mdiqa_mobile.opponents import Opponents, dimension_mixes
from scorer_recipes.mdiqa_mobile.opposition import (
    Levels,
    Opposition,
    along,
    apart,
    parameter_groups,
    root,
    scores_of,
    seen_by,
    tie,
    wanted_falls,
)
from scorer_recipes.mdiqa_mobile.run import Run
from scorer_recipes.mdiqa_mobile.speed import fast_format
from scorer_recipes.mdiqa_mobile.stepping import Shown, StepPictures

OPPOSED = "opposed.pt"
WIDE = 2.5
"""Standard deviation in pixels of the Gaussian that leaves what a picture is at large."""


class OpposedTrainer:
    """Trains a scorer against networks that learn beside it; every step depends on its number, the seed and the state.

    Args:
        scorer: The scorer, not frozen, with its starting weights.
        teacher: The same, frozen: what it says of photographs shall stay.
        run: Photographs, scores and the folder of the checkpoint.
        plan: The settings.
        starts: Trained x4 networks that the opponents start from.
        measures: How the judges measure.
    """

    def __init__(
        self,
        scorer: MDIQA,
        teacher: MDIQA,
        run: Run,
        plan: Opposition,
        starts: Sequence[nn.Module],
        measures: Sequence[Measure],
    ) -> None:
        self.scorer = scorer.to(memory_format=fast_format(scorer.mean.device)).eval()  # type: ignore[call-overload]
        self.teacher, self.given, self.plan = teacher, run, plan
        self.names, self.scores, self.step = scorer.dimension_names, run.scores, 0
        self.optimizer = torch.optim.AdamW(parameter_groups(scorer, plan), betas=(0.9, 0.99))
        self.trained = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        self.average = WeightAverage(scorer, plan.ema)
        self.pictures = StepPictures(run.source, run.training, plan)
        first = step_generator(plan.seed, 0, 12)
        self.opponents = Opponents(starts, len(self.names), first)
        originals = self.pictures.originals(32, plan.sizes[-1], first).to(run.device)
        restored = self.opponents.plain(originals)[0]
        self.far = Looks(measures, restored, originals)
        with torch.no_grad():
            self.unit = float(apart(*(seen_by(teacher, images)[2] for images in (restored, originals))).mean())

    def _said(self, images: Tensor) -> Tensor:
        return scores_of(self.scorer, images)[0]

    @torch.no_grad()
    def _taught(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return scores_of(self.teacher, images)

    def train_step(self, shown: Shown | None = None) -> dict[str, float]:
        """Does one step and returns the terms of its loss.

        Args:
            shown: What :attr:`pictures` has for it, where that was made ahead.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * self.plan.rate_factor(self.step)
        generator = step_generator(self.plan.seed, self.step, 13)
        shown = (self.pictures[self.step] if shown is None else shown).to(self.given.device)
        halves = [self.opposed_half(shown, generator), self.photograph_half(shown)]
        terms = descend(self.optimizer, self.trained, halves, self.plan.clip, f"step {self.step}")
        self.average.update(self.scorer)
        self.step += 1
        return terms

    def versions(self, originals: Tensor, generator: Generator) -> Tensor:
        """Returns what is made of originals ``[B, 3, H, W]``, ``[V, B, 3, H, W]``.

        Restorations of L1, of the opponents, what lies up the scorer's gradient from two of these and from the
        original, and what lies down the distance's from another: a way up the gradient is worth what it is worth.

        Args:
            originals: What the distance is taken from.
            generator: Draws what is moved, how far, and the mix of dimensions.
        """
        batch = len(originals)
        base = self.opponents.plain(originals)
        base += self.opponents.draw(originals, self._said, partial(self.far, originals=originals), generator)
        pool = torch.stack(base)

        def some(times: int) -> Tensor:
            chosen = torch.randint(len(base), (times, batch), generator=generator)
            return torch.cat([pool[row, torch.arange(batch)] for row in chosen])

        rising = torch.cat([some(2), originals])
        mixes = dimension_mixes(len(rising), len(self.names), generator).to(rising)
        up = along(rising, lambda images: (self._said(images) * mixes).sum(), generator, self.plan.climbs)
        down = along(some(1), lambda images: -self.far(images[None], originals).sum(), generator)
        return torch.cat([pool, torch.cat([up, down]).unflatten(0, (-1, batch))])

    def _distance(self, levels: Levels, others: Levels) -> Tensor:
        """Returns the full-reference distance as the judges' is given, L1's restorations at one."""
        return apart(levels, others) / self.unit

    def opposed_half(self, pictures: Shown, generator: Generator) -> Half:
        """Returns loss terms and gradients of originals and their versions."""
        plan, originals = self.plan, pictures.originals
        versions = self.versions(originals, generator)
        count = len(versions)
        shown = torch.cat([originals[None], versions]).flatten(0, 1)
        with torch.no_grad():
            far = self.far(versions, originals)
            rise = torch.stack([pattern_rise(some, originals) for some in versions]).to(far)
            rise = (rise - plan.free_pattern).clamp_min(0.0)
            pattern = plan.pattern_price * rise
            seen, said = (kind.unflatten(0, (count + 1, -1)) for kind in self._taught(shown))
            coarse = F.avg_pool2d(gaussian_blur(shown, WIDE), 2)
            low = self._taught(coarse)[0].unflatten(0, (count + 1, -1))
        wanted = wanted_falls(plan, self.names, far, pattern, seen, low)
        found, overall, levels = seen_by(self.scorer, shown)
        dimensions, score = (kind.unflatten(0, (count + 1, -1)) for kind in (found, overall))
        levels = [level.unflatten(0, (count + 1, -1)) for level in levels]
        distance = self._distance([level[1:] for level in levels], [level[:1] for level in levels])
        terms = {
            "falls": 20.0 * tie(dimensions[:1] - dimensions[1:], wanted),
            "overall": 5.0 * tie(score[:1] - score[1:], 0.7 * plan.slope * (far + pattern)),
            "originals": 10.0 * ((dimensions[0] - seen[0]).square().mean() + (score[0] - said[0]).square().mean()),
            "distances": plan.distances * tie(root(distance), root(far + pattern)),
        }
        values, grads = gradients(terms, self.trained)
        drawn = slice(len(self.opponents.starts), len(self.opponents.starts) + len(self.opponents.plan))
        return {**values, "drawn": float(far[drawn].mean()), "pattern": float(rise[drawn].mean())}, grads

    def photograph_half(self, shown: Shown) -> Half:
        """Returns loss terms and gradients of photographs: what was learnt before shall stay, and crops shall gain."""
        plan, spoilt, plain = self.plan, shown.spoilt, shown.plain
        clean = plain[len(plain) - len(spoilt) :]
        (seen, said), seen_spoilt = self._taught(shown.wholes), self._taught(spoilt)[0]
        with torch.no_grad():
            far = self.far(spoilt[None], clean)[0]
        dimensions, score = scores_of(self.scorer, shown.wholes)
        cropped, overall, levels = seen_by(self.scorer, torch.cat([spoilt, plain]))
        distance = self._distance([level[: len(far)] for level in levels], [level[-len(far) :] for level in levels])
        terms = {
            "whole": 20.0 * ((dimensions - seen).square().mean() + (score - said).square().mean()),
            "degraded": 10.0 * (cropped[: len(spoilt)] - seen_spoilt).square().mean(),
            "crops": 2.0 * (overall[len(spoilt) :] - self.scores[shown.numbers]).square().mean(),
            "distortions": plan.distances * (root(distance) - root(far)).square().mean(),
        }
        return gradients(terms, self.trained)

    @property
    def state(self) -> dict[str, Any]:
        """What a checkpoint holds beside the step and the settings."""
        return {
            "scorer": self.scorer,
            "average": self.average,
            "optimizer": self.optimizer,
            "opponents": self.opponents,
        }

    def save(self) -> None:
        """Stores the whole state in the output folder."""
        save_state(self.given.out / OPPOSED, self.plan, self.step, self.state)

    def resume(self) -> None:
        """Continues from the checkpoint in the output folder (see :func:`load_state`)."""
        self.step = load_state(self.given.out / OPPOSED, self.plan, self.state)

    def averaged(self) -> MDIQA:
        """Returns a scorer with the averaged weights."""
        found = self.scorer.copy()
        found.load_state_dict({**found.state_dict(), **self.average.kept})
        return found  # type: ignore[return-value]
