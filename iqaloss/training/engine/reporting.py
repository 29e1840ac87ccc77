"""What a person sees of a training: TensorBoard curves and a progress bar with the current SRCC."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from iqaloss._errors import missing_package


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
        self._progress: Any = None
        self._status: dict[str, str] = {}

    def start(self, step: int) -> Reporter:
        """Opens the curves, forgetting points beyond ``step`` of an earlier run, and shows the bar."""
        if self.active:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise missing_package("tensorboard", "train", "training") from error
            self._writer = SummaryWriter(str(self.folder / "tensorboard"), purge_step=step + 1)
        if self.bar:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._progress = Progress(*columns, TextColumn("{task.fields[status]}"))
            self._progress.start()
            self._bar = self._progress.add_task(self.title, total=self.total, completed=step, status="")
        return self

    def __enter__(self) -> Reporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()
        if self._progress is not None:
            self._progress.stop()

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
        if self._progress is not None:
            text = "  ".join(f"{name} {value}" for name, value in self._status.items())
            self._progress.update(self._bar, completed=step, status=text)
