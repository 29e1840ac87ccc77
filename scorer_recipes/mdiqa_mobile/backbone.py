"""Training of the backbone itself on human scores, before anything is fitted to what it sees."""

from __future__ import annotations

import copy
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

from iqaloss.scorers.mdiqa.model import MDIQA
from iqaloss.training.engine.ema import WeightAverage
from scorer_recipes.mdiqa_mobile.descent import Half, descend, gradients, load_state, save_state
from scorer_recipes.mdiqa_mobile.inputs import epoch_rows, scored_inputs, step_generator
from scorer_recipes.mdiqa_mobile.objectives import score_loss
from scorer_recipes.mdiqa_mobile.readers import noisy_read
from scorer_recipes.mdiqa_mobile.run import Run
from scorer_recipes.mdiqa_mobile.speed import Autocast, fast_bfloat16
from scorer_recipes.mdiqa_mobile.statistics import batches, input_statistics, stored, trunk_statistics, whole_inputs
from scorer_recipes.mdiqa_mobile.warmstart import trunk_of

BACKBONE = "backbone.pt"


class Taught(nn.Module):
    """The backbone and a reader of its statistics, which is left behind when the backbone has been trained.

    Args:
        scorer: The scorer whose backbone is trained, in place.
    """

    center: Tensor
    spread: Tensor

    def __init__(self, scorer: MDIQA) -> None:
        super().__init__()
        block = scorer.statistics
        if block is None:
            raise ValueError("training the backbone needs a configuration with statistics > 0")
        self.normalize, self.trunk = scorer.normalize, trunk_of(scorer)
        self.reader = copy.deepcopy(block.local)
        last: Any = self.reader[-1]
        nn.init.kaiming_uniform_(last.weight, a=math.sqrt(5))  # from zero, its first layer would hardly be trained
        self.register_buffer("center", block.center.clone())
        self.register_buffer("spread", block.spread.clone())

    def standard(self, inputs: Tensor, autocast: Autocast) -> Tensor:
        """Returns standardised statistics ``[B, K]`` of inputs ``[B, 3, H, W]``, with a graph."""
        return (trunk_statistics(self.normalize, self.trunk, inputs, autocast) - self.center) / self.spread

    def overall(self, standard: Tensor, noise: torch.Generator | None = None) -> Tensor:
        """Returns the score that people would give, ``[B]``; with noise and dropout where a generator is given."""
        read = self.reader(standard) if noise is None else noisy_read(self.reader, standard, noise)
        return 0.5 + 0.125 * read.mean(dim=1)  # an eighth keeps a random start near plausible scores


class BackboneTrainer:
    """Trains a scorer's backbone; every step depends on its number, the seed and the state alone.

    Two threads share each step: each has half of the photographs.

    Args:
        scorer: The scorer with ImageNet weights in its backbone, on the run's device.
        run: Photographs, scores, settings, and the folder of the checkpoint.
    """

    def __init__(self, scorer: MDIQA, run: Run) -> None:
        self.run, self.scorer, self.recipe = run, scorer, run.recipe
        self.net = Taught(scorer).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.scores, self.step = run.scores, 0
        trunk: Any = self.net.trunk
        held = [trunk.conv_stem, *list(trunk.blocks)[: self.recipe.frozen_blocks]]
        held += [module for module in trunk.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        for module in held:
            module.requires_grad_(False)
        rates = {trunk: self.recipe.trunk_rate, self.net.reader: self.recipe.fusion_rate}
        groups: list[dict[str, Any]] = [
            {"params": [p for p in module.parameters() if p.requires_grad], "lr": rate, "peak": rate}
            for module, rate in rates.items()
        ]
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.99), weight_decay=self.recipe.weight_decay)
        self.average = WeightAverage(self.net, self.recipe.backbone_ema)
        self.trained = [parameter for group in groups for parameter in group["params"]]
        each = max(1, torch.get_num_threads() // 2)
        self.pool = ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(each,))

    def start(self) -> None:
        """Fits the reader of people's scores to the backbone as it is: a random one would teach it nonsense."""
        rows, net = self.run.training, self.net

        def compute() -> list[tuple[Tensor, ...]]:
            found: list[tuple[Tensor, ...]] = []
            for first, chosen in batches(rows):
                inputs = whole_inputs(self.run.images, chosen)
                found.append((input_statistics(self.scorer, inputs, self.recipe.bf16),))
                self.run.progress("statistics before the backbone", first + len(chosen), len(rows))
            return found

        (statistics,) = stored(self.run.out / "before.pt", self.run.device, compute)
        net.center.copy_(statistics.mean(dim=0))
        net.spread.copy_(statistics.std(dim=0).clamp_min(1e-3))
        standard, scores = (statistics - net.center) / net.spread, self.scores[rows]
        optimizer = torch.optim.AdamW(net.reader.parameters(), weight_decay=0.5)
        total = max(2, self.recipe.overall_epochs * len(rows) // 256)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=total)
        noise = step_generator(self.recipe.seed, 0, 4)
        for _ in range(total):
            chosen = torch.randint(len(rows), (256,), generator=noise)
            overall = net.overall(standard[chosen], noise)
            optimizer.zero_grad()
            torch.stack(list(score_loss(overall, scores[chosen]).values())).sum().backward()
            optimizer.step()
            schedule.step()
        self.average = WeightAverage(net, self.recipe.backbone_ema)

    def train(self, save_every: int = 200) -> None:
        """Trains to the end and leaves the averaged weights in the scorer, as trainable as they came."""
        total = self.recipe.backbone_steps
        while self.step < total:
            terms = self.train_step()
            said = " ".join(f"{name} {value:.3f}" for name, value in terms.items())
            self.run.progress("backbone", self.step, total, said)
            if self.step % save_every == 0 or self.step == total:
                self.save()
        self.average.swap(self.net)
        trunk_of(self.scorer).requires_grad_(True)

    def train_step(self) -> dict[str, float]:
        """Does one step and returns the terms of its loss."""
        recipe, step = self.recipe, self.step
        start = min(1.0, (step + 1) / recipe.warmup)
        factor = start * (0.5 + 0.5 * math.cos(math.pi * step / recipe.backbone_steps))
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        rows = epoch_rows(self.run.training, recipe.backbone_batch, recipe.seed, step)
        with fast_bfloat16(self.net, recipe) as autocast:
            waiting = [self.pool.submit(self.half, step, k, rows[k::2], autocast) for k in range(2)]
            halves = [half.result() for half in waiting]
        terms = descend(self.optimizer, self.trained, halves, recipe.clip, f"backbone step {step}")
        self.average.update(self.net)
        self.step += 1
        return terms

    def half(self, step: int, number: int, rows: list[int], autocast: Autocast) -> Half:
        """Returns loss terms and gradients of half a step; each half has half of the weight."""
        recipe, net = self.recipe, self.net
        noise = step_generator(recipe.seed, step, 5 + number)
        inputs = scored_inputs(self.run.images, rows, recipe, noise).to(self.run.device)
        overall = net.overall(net.standard(inputs, autocast), noise)
        terms = score_loss(overall, self.scores[rows])
        return gradients({name: 0.5 * value for name, value in terms.items()}, self.trained)

    @property
    def state(self) -> dict[str, Any]:
        """What a checkpoint holds beside the step and the recipe."""
        return {"net": self.net, "average": self.average, "optimizer": self.optimizer}

    def save(self) -> None:
        """Stores the whole state in the output folder."""
        save_state(self.run.out / BACKBONE, self.recipe, self.step, self.state)

    def resume(self) -> None:
        """Continues from the checkpoint in the output folder (see :func:`load_state`)."""
        self.step = load_state(self.run.out / BACKBONE, self.recipe, self.state)


def train_backbone(scorer: MDIQA, run: Run) -> None:
    """Trains the scorer's backbone in place, or continues where a run was cut off (:data:`BACKBONE` in its folder)."""
    trainer = BackboneTrainer(scorer, run)
    if (run.out / BACKBONE).is_file():
        trainer.resume()
    else:
        trainer.start()
        trainer.save()
    trainer.train()
