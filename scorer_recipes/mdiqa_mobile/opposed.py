"""Training against opponents: how far a score falls from an original to what fools it is how much worse that looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from iqaloss.evaluation.patterns import pattern_rise
from iqaloss.scorers.layers.blur import gaussian_blur
from iqaloss.scorers.mdiqa.model import MDIQA
from iqaloss.training.engine.ema import WeightAverage
from scorer_recipes.mdiqa_mobile.descent import Half, descend, gradients, load_state, save_state
from scorer_recipes.mdiqa_mobile.inputs import chance, clean_crop, pick, resize, step_generator
from scorer_recipes.mdiqa_mobile.looks import Looks, Measure
from scorer_recipes.mdiqa_mobile.opponents import Opponents, dimension_mixes
from scorer_recipes.mdiqa_mobile.opposition import Opposition, along, parameter_groups, scores_of, tie, wanted_falls
from scorer_recipes.mdiqa_mobile.run import Run

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
        self.scorer = scorer.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.teacher, self.given, self.plan = teacher, run, plan
        self.names, self.scores, self.step = scorer.dimension_names, run.scores, 0
        self.optimizer = torch.optim.AdamW(parameter_groups(scorer, plan), betas=(0.9, 0.99))
        self.trained = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        self.average = WeightAverage(scorer, plan.ema)
        first = step_generator(plan.seed, 0, 12)
        self.opponents = Opponents(starts, len(self.names), first)
        originals = self._originals(32, plan.sizes[-1], first)
        self.far = Looks(measures, self.opponents.plain(originals)[0], originals)

    def _originals(self, count: int, size: int, generator: Generator) -> Tensor:
        source = self.given.source
        chosen = torch.randint(len(source.clean), (count,), generator=generator).tolist()
        crops = [clean_crop(source.images, source.clean[number], size, generator) for number in chosen]
        return torch.stack(crops).to(self.given.device)

    def _said(self, images: Tensor) -> Tensor:
        return scores_of(self.scorer, images)[0]

    @torch.no_grad()
    def _taught(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return scores_of(self.teacher, images)

    def train_step(self) -> dict[str, float]:
        """Does one step and returns the terms of its loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * self.plan.rate_factor(self.step)
        generator = step_generator(self.plan.seed, self.step, 13)
        halves = [self.opposed_half(generator), self.photograph_half(generator)]
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
        base += self.opponents.draw(originals, self._said, generator)
        pool = torch.stack(base)

        def some(times: int) -> Tensor:
            chosen = torch.randint(len(base), (times, batch), generator=generator)
            return torch.cat([pool[row, torch.arange(batch)] for row in chosen])

        rising = torch.cat([some(2), originals]).requires_grad_()
        mixes = dimension_mixes(len(rising), len(self.names), generator).to(rising)
        (up,) = torch.autograd.grad((self._said(rising) * mixes).sum(), rising)
        falling = some(1).requires_grad_()
        (down,) = torch.autograd.grad(self.far(falling[None], originals, self.step).sum(), falling)
        moved = torch.cat([along(rising.detach(), up, generator), along(falling.detach(), -down, generator)])
        return torch.cat([pool, moved.unflatten(0, (-1, batch))])

    def opposed_half(self, generator: Generator) -> Half:
        """Returns loss terms and gradients of originals and their versions."""
        plan = self.plan
        size = plan.sizes[pick(generator, len(plan.sizes))]
        originals = self._originals(plan.batch, size, generator)
        versions = self.versions(originals, generator)
        count = len(versions)
        shown = torch.cat([originals[None], versions]).flatten(0, 1)
        with torch.no_grad():
            far = self.far(versions, originals, self.step)
            rise = torch.stack([pattern_rise(some, originals) for some in versions]).to(far)
            rise = (rise - plan.free_pattern).clamp_min(0.0)
            pattern = plan.price(self.step) * rise
            seen, said = (kind.unflatten(0, (count + 1, -1)) for kind in self._taught(shown))
            coarse = F.avg_pool2d(gaussian_blur(shown, WIDE), 2)
            low = self._taught(coarse)[0].unflatten(0, (count + 1, -1))
        wanted = wanted_falls(plan, self.names, far, pattern, seen, low)
        dimensions, score = (kind.unflatten(0, (count + 1, -1)) for kind in scores_of(self.scorer, shown))
        terms = {
            "falls": 20.0 * tie(dimensions[:1] - dimensions[1:], wanted),
            "overall": 5.0 * tie(score[:1] - score[1:], 0.7 * plan.slope * (far + pattern)),
            "originals": 10.0 * ((dimensions[0] - seen[0]).square().mean() + (score[0] - said[0]).square().mean()),
        }
        values, grads = gradients(terms, self.trained)
        drawn = slice(len(self.opponents.starts), len(self.opponents.starts) + len(self.opponents.plan))
        return {**values, "drawn": float(far[drawn].mean()), "pattern": float(rise[drawn].mean())}, grads

    def photograph_half(self, generator: Generator) -> Half:
        """Returns loss terms and gradients of photographs: what was learnt before shall stay, and crops shall gain."""
        plan, images = self.plan, self.given.images
        training = self.given.training
        rows = [training[pick(generator, len(training))] for _ in range(plan.wholes)]
        side = plan.whole_sides[pick(generator, len(plan.whole_sides))]
        whole = [resize(images.full(row), side, side) for row in rows]
        half = plan.wholes // 2
        whole = whole[:half] + [self._degraded(image, generator) for image in whole[half:]]
        pictures = torch.stack(whole).to(self.given.device)

        extent = int(images.array.shape[1])
        size = min(extent, plan.crop_sizes[pick(generator, len(plan.crop_sizes))])
        numbers = [training[pick(generator, len(training))] for _ in range(2 * plan.wholes)]
        most = extent - size + 1
        cuts = [images.crop(row, pick(generator, most), pick(generator, most), size) for row in numbers]
        spoilt = torch.stack([self._degraded(cut, generator) for cut in cuts[half:]]).to(self.given.device)
        plain = torch.stack(cuts).to(self.given.device)

        (seen, said), seen_spoilt = self._taught(pictures), self._taught(spoilt)[0]
        dimensions, score = scores_of(self.scorer, pictures)
        cropped, overall = scores_of(self.scorer, torch.cat([spoilt, plain]))
        terms = {
            "whole": 20.0 * ((dimensions - seen).square().mean() + (score - said).square().mean()),
            "degraded": 10.0 * (cropped[: len(spoilt)] - seen_spoilt).square().mean(),
            "crops": 2.0 * (overall[len(spoilt) :] - self.scores[numbers]).square().mean(),
        }
        return gradients(terms, self.trained)

    def _degraded(self, image: Tensor, generator: Generator) -> Tensor:
        lessons = self.given.source.lessons
        lesson = lessons[pick(generator, len(lessons))]
        return lesson.degradation(image, 0.1 + 0.9 * chance(generator), generator)

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

    @torch.no_grad()
    def finish(self, start: MDIQA, share: float) -> MDIQA:
        """Gives the scorer its averaged weights, moved towards those that it had; there is no step after this.

        Args:
            start: The scorer as it was.
            share: Of the averaged weights.
        """
        self.average.swap(self.scorer)
        before = dict(start.named_parameters())
        for name, value in self.scorer.named_parameters():
            value.lerp_(before[name].to(value), 1.0 - share)
        return self.scorer
