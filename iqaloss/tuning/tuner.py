"""The training loop of a tuning."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from iqaloss._errors import missing_package
from iqaloss._files import locked
from iqaloss._progress import progress
from iqaloss.training.engine.checkpointing import (
    STATE,
    check_finite,
    random_state,
    read_state,
    restore_random_state,
    seed_everything,
    write_state,
)
from iqaloss.training.engine.ema import WeightAverage
from iqaloss.training.engine.resuming import differences
from iqaloss.training.schedules import warmup_cosine
from iqaloss.tuning.balance import Balance, measure_balance
from iqaloss.tuning.costs import StepCost, measure_step
from iqaloss.tuning.degradations import read_degradation
from iqaloss.tuning.lora import add_lora, merged_state
from iqaloss.tuning.networks import RestorationNetwork, load_network, restore, trainable
from iqaloss.tuning.objective import build_objective, read_losses
from iqaloss.tuning.photos import Pair, Patches, Photos, batches, find_photos
from iqaloss.tuning.settings import TuneSettings

POINTS = 400
"""Most points of a training's curves."""

MAY_CHANGE = ("steps", "save_every")
"""Settings that a resumed tuning may have otherwise."""


class Tuner:
    """Tunes a network: on one process, or on many under ``torchrun`` or ``accelerate launch``.

    What a step sees depends on the seed and the step alone, so that a tuning that was stopped goes on as if it had not.

    Args:
        settings: What is tuned, on what and how.
        out: Folder for the result.
        resume: Whether to go on from the state in that folder, where there is one.
        cpu: Whether to stay off accelerators.
        workers: Processes that read photographs; 0 for none of their own.

    Raises:
        FileExistsError: If the folder holds a tuning already and ``resume`` is off.
        ValueError: If the settings do not fit the network or the photographs.

    Example:
        >>> Tuner(TuneSettings("4x.pth", "photos"), "tuned").fit()  # doctest: +SKIP
    """

    def __init__(
        self, settings: TuneSettings, out: str | Path, *, resume: bool = False, cpu: bool = False, workers: int = 0
    ) -> None:
        try:
            from accelerate import Accelerator
            from accelerate.state import AcceleratorState
        except ImportError as error:
            raise missing_package("accelerate", "train", "tuning") from error
        self.settings, self.out, self.workers = settings, Path(out), workers
        if not resume and (self.out / STATE).is_file():
            raise FileExistsError(f"{self.out} holds a tuning already: resume it, or choose another folder")
        specs = read_losses(settings.losses)
        self.photos: Photos = find_photos(settings.images, settings.inputs)
        self.network = self.open_network()
        scale = self.network.scale
        # A folder of inputs takes no degradation; the name is read all the same, for its mistakes.
        name = settings.degradation if settings.inputs is None or scale > 1 else "noise"
        self.degradation = read_degradation(name, scale)
        self._check_patch()
        AcceleratorState._reset_state()
        self.accelerator = Accelerator(mixed_precision=settings.precision, cpu=cpu)
        self.device = self.accelerator.device
        seed_everything(settings.seed)
        module = trainable(self.network.module)
        if settings.lora is not None:
            add_lora(module, settings.lora)
        self.objective = build_objective(specs, settings.pixel_weight, str(self.device))
        self.average = None if settings.ema is None else WeightAverage(module, settings.ema).to(self.device)
        learned = [weight for weight in module.parameters() if weight.requires_grad]
        self.model, self.optimizer = self.accelerator.prepare(module, torch.optim.Adam(learned, lr=settings.lr))
        self.step = 0
        self.curves: list[dict[str, float]] = []
        seed_everything(settings.seed, self.accelerator.process_index + 1)
        if resume and (self.out / STATE).is_file():
            self._take_up(read_state(self.out / STATE))

    def open_network(self) -> RestorationNetwork:
        """Loads what is tuned."""
        return load_network(self.settings.model)

    def _check_patch(self) -> None:
        scale, patch = self.network.scale, self.settings.patch
        unit = scale * self.network.multiple
        least = max(scale * self.network.least, 32)
        if patch % unit or patch < least:
            near = max(-(-least // unit), round(patch / unit)) * unit
            raise ValueError(
                f"{self.network.title} needs patches of a multiple of {unit} pixels and at least {least}, got {patch}; "
                f"take {near}"
            )

    def patches(self) -> Patches:
        """What is learned from."""
        return Patches(
            self.photos.learned, self.degradation, self.network.scale, self.settings.patch, self.settings.seed
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Restores a batch, outside of what joins the processes: without a backward pass of its own it would wait."""
        return self._restored(self.network.module, inputs)

    def _restored(self, module: Any, inputs: Tensor) -> Tensor:
        with self.accelerator.autocast():
            return restore(module, inputs, self.network.scale, self.network.multiple, self.network.least)

    def foresee(self) -> tuple[StepCost, list[Balance]]:
        """Measures, on the first batch, what a step costs and how large each loss's gradient is; changes nothing."""
        share = self.settings.batch_size // self.accelerator.num_processes
        inputs, target = (each.to(self.device) for each in next(batches(self.patches(), 0, 1, max(1, share))))
        self.objective.set_step(self.settings.steps)
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            pred = self.forward(inputs).detach()
            balances = measure_balance(self.objective, pred, target)
        return measure_step(self.forward, self.network.module, self.objective, inputs, target), balances

    def fit(self, *, bar: bool = True, say: Callable[[int, Mapping[str, float]], None] | None = None) -> Path:
        """Tunes to the end and returns the tuned checkpoint.

        Args:
            bar: Whether to show a progress bar, or a line now and then where there is no terminal.
            say: Is told every step and its terms.

        Raises:
            ValueError: If another process tunes into the folder, or weights or a loss are no longer finite.
            OSError: If a file cannot be written; what was saved before is whole.
        """
        settings, main = self.settings, self.accelerator.is_main_process
        every = max(1, settings.steps // POINTS)
        data = batches(
            self.patches(), self.step, settings.steps, settings.batch_size,
            rank=self.accelerator.process_index, ranks=self.accelerator.num_processes, workers=self.workers,
        )  # fmt: skip
        title = f"tuning {self.network.title}"
        shown = progress(title, settings.steps, start=self.step, shown=bar and main)
        with locked(self.out, main), shown as advance:
            for pair in data:
                terms = self.advance(pair)
                if self.step % every == 0 or self.step == settings.steps:
                    self.curves.append({"step": float(self.step), **terms})
                advance(self.step, note="  ".join(f"{name} {value:.4f}" for name, value in terms.items()))
                if say is not None:
                    say(self.step, terms)
                if self.step % settings.save_every == 0 or self.step == settings.steps:
                    self._write_state()
            return self.save()

    def advance(self, pair: Pair) -> dict[str, float]:
        """Takes a step; returns the terms of the loss by name."""
        settings = self.settings
        warmup = min(settings.steps // 20, settings.steps - 1)
        rate = settings.lr * warmup_cosine(self.step + (warmup > 0), warmup=warmup, horizon=settings.steps + 1)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.objective.set_step(self.step)
        inputs, target = (each.to(self.device, non_blocking=True) for each in pair)
        total, terms = self.objective(self._restored(self.model, inputs), target)
        values = {name: float(value) for name, value in terms.items()}
        if not torch.isfinite(total):
            raise ValueError(f"the loss of step {self.step} is not finite: {values}; a smaller --lr may help")
        self.accelerator.backward(total)
        if settings.clip is not None:
            self.accelerator.clip_grad_norm_(self.model.parameters(), settings.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.network.module)
        self.step += 1
        return values

    # --- what is written ---

    def tuned_state(self) -> dict[str, Tensor]:
        """Returns the tuned network's tensors: averaged where there is an average, adapters merged."""
        if self.average is None:
            return merged_state(self.network.module)
        self.average.swap(self.network.module)
        try:
            return merged_state(self.network.module)
        finally:
            self.average.swap(self.network.module)

    def save(self) -> Path:
        """Writes the tuned checkpoint, of the given one's kind, and returns its path."""
        given = Path(self.settings.model)
        path = self.out / f"{given.stem}_tuned{given.suffix}"
        if self.accelerator.is_main_process and not self.network.save(self.tuned_state(), path):
            self.accelerator.print(f"{path.name} has the tensor names of spandrel, which reads it")
        self.accelerator.wait_for_everyone()
        return path

    def _write_state(self) -> None:
        if self.accelerator.is_main_process:
            check_finite(self.network.module, self.step, self.out)
            held = {name: holder.state_dict() for name, holder in self._holders().items()}
            state = {"step": self.step, "curves": self.curves, "random": random_state(), **held}
            write_state({**state, "settings": json.dumps(dataclasses.asdict(self.settings))}, self.out / STATE)
        self.accelerator.wait_for_everyone()

    def _holders(self) -> dict[str, Any]:
        found = {
            "network": self.network.module,
            "optimizer": self.optimizer,
            "average": self.average,
            "scaler": self.accelerator.scaler,
        }
        return {name: holder for name, holder in found.items() if holder is not None}

    def _take_up(self, state: dict[str, Any]) -> None:
        """Goes on from a state."""
        old, new = json.loads(state["settings"]), json.loads(json.dumps(dataclasses.asdict(self.settings)))
        for name in MAY_CHANGE:
            old.pop(name, None), new.pop(name, None)
        if found := differences(old, new):
            raise ValueError(f"{self.out} was tuned with other settings: {'; '.join(found)}")
        for name, holder in self._holders().items():
            holder.load_state_dict(state[name])
        self.step, self.curves = int(state["step"]), list(state["curves"])
        if self.accelerator.num_processes == 1:
            restore_random_state(state["random"])
