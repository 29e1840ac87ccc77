"""The training loop."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from iqaloss._errors import missing_package
from iqaloss._files import locked
from iqaloss.scorers import checkpoints
from iqaloss.training.engine.building import build_optimizer, build_task
from iqaloss.training.engine.checkpointing import BEST, LAST, STATE, check_finite, seed_everything
from iqaloss.training.engine.collective import gather_with_gradient
from iqaloss.training.engine.data import to_device
from iqaloss.training.engine.datasets import DataSets
from iqaloss.training.engine.ema import WeightAverage
from iqaloss.training.engine.learning_rate import factor
from iqaloss.training.engine.reporting import Reporter
from iqaloss.training.engine.resuming import Stateful, restore, training_state, write_last
from iqaloss.training.engine.sampling import Shards, turns
from iqaloss.training.engine.validation import bettered, correlations, mean_of, predict_sharded
from iqaloss.training.specs.recipe import Recipe
from iqaloss.training.state import TrainState
from iqaloss.training.tasks import checked
from iqaloss.training.tasks.base import Task


class Trainer:
    """Runs a recipe: on one process, or on many under ``torchrun`` or ``accelerate launch``.

    A batch of the recipe is what one optimiser step sees over all processes and accumulated passes, so that the
    number of processes changes the speed and not the training. What a step sees depends on the seed and the
    step alone; with the stored random states a resumed run continues bit for bit.

    Into the output folder go ``last.pt`` (all that is needed to resume), ``best.safetensors`` and, at the end,
    ``last.safetensors`` (scorers for ``create_scorer(name, weights=path)``), and the TensorBoard curves.

    Args:
        recipe: What to train and how.
        out: Output folder.
        resume: Whether to continue from ``last.pt``; an error if there is none.
        bar: Whether to show a progress bar.
        cpu: Whether to stay off accelerators.

    Raises:
        ValueError: If the recipe does not fit the data, the scorer or the number of processes.
        FileExistsError: If the folder holds a training already and ``resume`` is off.

    Example:
        >>> Trainer(read_recipe("mdiqa_fusion_koniq"), "runs/fusion").fit()  # doctest: +SKIP
    """

    def __init__(
        self, recipe: Recipe, out: str | Path, *, resume: bool = False, bar: bool = True, cpu: bool = False
    ) -> None:
        try:
            from accelerate import Accelerator, DistributedDataParallelKwargs
            from accelerate.state import AcceleratorState
        except ImportError as error:
            raise missing_package("accelerate", "train", "training") from error
        recipe = checked(recipe)
        self.recipe, self.out = recipe, Path(out)
        if not resume and (self.out / STATE).is_file():
            raise FileExistsError(f"{self.out} holds a training already: resume it, or choose another folder")
        AcceleratorState._reset_state()  # an earlier training of this process may have had another precision
        self.accelerator = Accelerator(
            mixed_precision=recipe.run.precision,
            cpu=cpu,
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
        rank, ranks = self.accelerator.process_index, self.accelerator.num_processes
        shards = Shards(rank, ranks, recipe.run.accumulate)
        self.datasets = DataSets(recipe, shards, self.accelerator.device)
        epoch_steps = recipe.run.epoch_steps or self.datasets.epoch_steps
        self.state = TrainState(
            total=recipe.run.steps or (recipe.run.epochs or 1) * epoch_steps, epoch_steps=epoch_steps
        )

        seed_everything(recipe.run.seed)
        self.task: Task = build_task(recipe, self.datasets.dimensions())
        self.task.configure(0)
        self.average = None if recipe.run.ema is None else WeightAverage(self.task, recipe.run.ema)
        optimizer = build_optimizer(self.task, recipe.optimizer)
        if ranks > 1 and self.accelerator.device.type == "cuda":
            # Statistics of the whole batch, as one process would have them.
            self.task = nn.SyncBatchNorm.convert_sync_batchnorm(self.task)
        self.model, self.optimizer = self.accelerator.prepare(self.task, optimizer)
        if self.average is not None:
            self.average.to(self.accelerator.device)
        seed_everything(recipe.run.seed, rank + 1)
        if resume:
            self.state = restore(self.out / STATE, recipe, self.state, self.holders, self.datasets.digests())
            self.task.configure(self.state.step)
        self.reporter = Reporter(
            self.out, total=self.state.total, title=recipe.scorer.name, bar=bar, active=self.accelerator.is_main_process
        )

    # --- the loop ---

    def fit(self) -> Path:
        """Trains to the end and returns the file to use: the best scorer, or the last where nothing validates."""
        run = self.recipe.run
        validate_every = run.validate_every or self.state.epoch_steps
        save_every = run.save_every or validate_every
        main = self.accelerator.is_main_process
        with (
            locked(self.out, main),
            self.reporter.start(self.state.step),
            contextlib.closing(self.datasets.open(self.state.step)),
        ):
            plan = islice(turns(self.datasets.plans, self.recipe.data.draw, run.seed), self.state.step, None)
            while not self.state.ended:
                values = self.advance(next(plan))
                step, ends = self.state.step, self.state.ended
                self.reporter.step(step, values)
                saves = ends or step % save_every == 0
                if saves or step % validate_every == 0:
                    check_finite(self.task, step, self.out)
                if self.recipe.data.validation and (ends or step % validate_every == 0):
                    self.validate()
                if ends:
                    self.save_scorer(LAST)
                if saves:
                    write_last(self.snapshot(), self.out / STATE, self.accelerator)
        return self.out / (BEST if self.recipe.data.validation else LAST)

    @property
    def holders(self) -> dict[str, Stateful]:
        """What changes while the training goes on, by the name under which it is written."""
        found = {
            "task": self.task,
            "average": self.average,
            "optimizer": self.optimizer,
            "scaler": self.accelerator.scaler,
        }
        return {name: holder for name, holder in found.items() if holder is not None}

    def snapshot(self) -> dict[str, Any]:
        """Returns all that is needed to go on from here; called by all processes."""
        return training_state(self.recipe, self.state, self.holders, self.datasets.digests())

    def advance(self, chosen: dict[int, int]) -> dict[str, float]:
        """Takes one optimiser step on the data sets whose turn it is; returns the loss terms."""
        recipe, step = self.recipe, self.state.step
        self.task.configure(step)
        if step and self.task.starts_afresh(self.state, self.state.at(step - 1)):
            self.optimizer.state.clear()
            self.state = self.state.restarted()
        counted = step - self.state.fresh_at if self.task.restarts_schedule else step
        rate = recipe.optimizer.lr * factor(recipe.schedule, counted, self.state.epoch_steps, self.state.total)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.model.train()
        values: dict[str, float] = {}
        passes = self.datasets.passes(chosen)
        for number, names in enumerate(passes):
            last = number == len(passes) - 1
            with contextlib.nullcontext() if last else self.accelerator.no_sync(self.model):
                for name, value in self._backward(names).items():
                    values[name] = values.get(name, 0.0) + value
        if recipe.optimizer.clip is not None:
            self.accelerator.clip_grad_norm_(self.task.parameters(), recipe.optimizer.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.task)
        self.state = self.state.at(step + 1)
        return {**values, "loss": sum(values.values()), "lr": rate}

    def _backward(self, names: tuple[str, ...]) -> dict[str, float]:
        """Runs one pass over one batch of each named data set; the gradients add up."""
        batches = {name: to_device(self.datasets.next(name), self.accelerator.device) for name in names}
        predicted = self.model(batches)
        terms: dict[str, Tensor] = {}
        for name, batch in batches.items():
            joined = {key: gather_with_gradient(value) for key, value in predicted[name].items()}
            targets = {key: gather_with_gradient(value) for key, value in self.task.targets(name, batch).items()}
            for term, value in self.task.losses(name, joined, targets, self.state).items():
                terms[f"{name}/{term}"] = value / self.recipe.run.accumulate
        loss = torch.stack([value.float() for value in terms.values()]).sum()
        found = {name: float(value.detach()) for name, value in terms.items()}
        if not torch.isfinite(loss):
            raise ValueError(f"the loss of step {self.state.step} is not finite: {found}")
        if loss.requires_grad:
            self.accelerator.backward(loss)
        return found

    # --- validation and results ---

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Puts the averaged weights, if there are any, in the place of the current ones for a while."""
        if self.average is None:
            yield
            return
        self.average.swap(self.task)
        try:
            yield
        finally:
            self.average.swap(self.task)

    def predictions(self, name: str) -> Any:
        """Returns the current predictions of a validation set, in the order of its images."""
        spec, data = self.datasets.validation[name]

        def score(batch: Any) -> Tensor:
            with self.accelerator.autocast():
                return self.task.final_score(name, batch)

        self.task.eval()
        return predict_sharded(
            score,
            data,
            batch_size=spec.batch_size,
            device=self.accelerator.device,
            seed=self.recipe.run.seed,
            workers=self.recipe.data.workers,
        )

    def validate(self) -> dict[str, dict[str, float]]:
        """Measures SRCC and PLCC on every validation set and keeps the scorer when it is the best so far."""
        with self.averaged():
            results = {
                name: correlations(self.predictions(name), data.targets.double().numpy())
                for name, (_, data) in self.datasets.validation.items()
            }
            key, means = self.recipe.run.key, {key: mean_of(results, key) for key in ("srcc", "plcc")}
            each = {name: mean_of({name: result}, key) for name, result in results.items()}
            for name in bettered(self.state, means[key], each, self.recipe.run.keep_each):
                self._write_scorer(name)
        self.state = self.state.validated(means, means[key], each)
        self.reporter.validation(self.state.step, results, {"srcc": means["srcc"], "best": self.state.best})
        return results

    def save_scorer(self, name: str) -> None:
        """Writes the scorer, with averaged weights if there are any, as a safetensors file."""
        with self.averaged():
            self._write_scorer(name)

    def _write_scorer(self, name: str) -> None:
        if self.accelerator.is_main_process:
            notes: dict[str, Any] = {**self.task.notes(self.state.step)}
            checkpoints.save(self.task.trained_scorer(), self.out / name, **notes)
        self.accelerator.wait_for_everyone()
