"""What a person sees of a training: TensorBoard curves and a progress bar with the current SRCC."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from iqaloss._errors import optional
from iqaloss._progress import Advance, progress


class Reporter:
    """Writes TensorBoard curves and shows a progress bar; silent on all processes but the first.

    Args:
        folder: Where the curves go.
        total: Steps of the whole training.
        title: Text beside the bar.
        bar: Whether to show the bar.
        active: Whether this process reports at all.
    """

    def __init__(self, folder: Path, *, total: int, title: str, bar: bool = True, active: bool = True) -> None:
        self.folder, self.total, self.title = folder, total, title
        self.bar, self.active = bar and active, active
        self._writer: Any = None
        self._shown = contextlib.ExitStack()
        self._advance: Advance | None = None
        self._status: dict[str, str] = {}

    def start(self, step: int) -> Reporter:
        """Opens the curves, forgetting points beyond ``step`` of an earlier run, and shows the bar."""
        if self.active:
            tensorboard = optional("torch.utils.tensorboard", "tensorboard", "train", "training")
            self._writer = tensorboard.SummaryWriter(str(self.folder / "tensorboard"), purge_step=step + 1)
        self._advance = self._shown.enter_context(progress(self.title, self.total, start=step, shown=self.bar))
        return self

    def __enter__(self) -> Reporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()
        self._shown.close()

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """Notes the losses and the learning rate of a step."""
        self._write("train", step, values)
        self._show(step, {"loss": f"{values['loss']:.4f}"})

    def validation(self, step: int, results: Mapping[str, Mapping[str, float]], mean: Mapping[str, float]) -> None:
        """Notes the correlations on each validation set and their mean."""
        for name, values in results.items():
            self._write(f"validation/{name}", step, values)
        self._show(step, {"SRCC": f"{mean['srcc']:.4f}", "best": f"{mean['best']:.4f}"})

    def _write(self, group: str, step: int, values: Mapping[str, float]) -> None:
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, step)

    def _show(self, step: int, status: Mapping[str, str]) -> None:
        self._status.update(status)
        if self._advance is not None:
            self._advance(step, note="  ".join(f"{name} {value}" for name, value in self._status.items()))
