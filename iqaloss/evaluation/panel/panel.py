"""The panel: judges that are at hand, those that are not and why, and what they say of pictures."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from iqaloss._errors import check_choice, check_device, unknown_name
from iqaloss.evaluation.panel.judges import JUDGES, Judge
from iqaloss.evaluation.panel.measures import BUILDERS, Measure

FOLDER = "IQALOSS_PANEL"
"""Environment variable that names the folder of weights."""

PIXELS = 2**18
"""Most pixels that are measured at once, so that memory does not grow with the batch."""


@dataclass(frozen=True)
class Panel:
    """Judges of how far pictures are from their originals.

    Attributes:
        judges: Who is there.
        missing: Who was asked for and is not there, to the reason.
        measures: Judge to what measures.
        device: Where they measure.

    Example:
        >>> panel = load_panel(["psnr_y"])
        >>> target = torch.rand(2, 3, 32, 32)
        >>> panel.measure(target, target)["psnr_y"].tolist()
        [100.0, 100.0]
    """

    judges: tuple[Judge, ...]
    missing: Mapping[str, str]
    measures: Mapping[str, Measure] = field(repr=False)
    device: str = "cpu"

    @torch.no_grad()
    def measure(self, pred: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Returns what each judge says ``[B]``, on the CPU and without a graph.

        Args:
            pred, target: RGB in [0, 1], ``[B, 3, H, W]``.
        """
        _check(pred, target)
        at_once = max(1, PIXELS // pred[0, 0].numel())
        found: dict[str, list[Tensor]] = {judge.name: [] for judge in self.judges}
        for some, truth in zip(pred.split(at_once), target.split(at_once)):
            some, truth = some.to(self.device).float(), truth.to(self.device).float()
            for judge in self.judges:
                found[judge.name].append(self._call(judge, some, truth).float().cpu())
        return {name: torch.cat(values) for name, values in found.items()}

    def distance(self, name: str, pred: Tensor, target: Tensor) -> Tensor:
        """Returns one judge's distance ``[B]`` with its graph, lower is better: PSNR comes with a minus.

        Raises:
            ValueError: If the judge is not on the panel, with the reason.
        """
        _check(pred, target)
        if name in self.missing:
            raise ValueError(f"{name} is not on the panel: {self.missing[name]}")
        judge = JUDGES[check_choice("judge", name, [judge.name for judge in self.judges])]
        value = self._call(judge, pred, target)
        return -value if judge.higher_is_better else value

    def _call(self, judge: Judge, pred: Tensor, target: Tensor) -> Tensor:
        if min(pred.shape[-2:]) < judge.min_side:
            size = f"{pred.shape[-2]}x{pred.shape[-1]}"
            raise ValueError(f"{judge.title} takes pictures with sides of at least {judge.min_side} pixels, got {size}")
        return self.measures[judge.name](pred, target)


def _check(pred: Tensor, target: Tensor) -> None:
    if pred.ndim != 4 or pred.shape[1] != 3 or pred.shape != target.shape:
        raise ValueError(
            f"the panel needs two batches [B, 3, H, W] of one shape, got {list(pred.shape)} and {list(target.shape)}"
        )


def load_panel(names: Iterable[str] | None = None, folder: str | Path | None = None, device: str = "cpu") -> Panel:
    """Gathers the judges that can be had; the others are named in ``missing`` with the reason.

    Args:
        names: Which judges; all by default.
        folder: Where weights are, under the names that :data:`JUDGES` lists; by default what the environment variable
            ``IQALOSS_PANEL`` says. What it lacks, torchvision and timm download.
        device: Where they measure.

    Raises:
        ValueError: For an unknown judge or device.
        FileNotFoundError: If the folder is none.

    Example:
        >>> load_panel(["psnr_y"]).judges[0].title
        'PSNR-Y'
    """
    chosen = list(JUDGES) if names is None else list(names)
    for name in chosen:
        if name not in JUDGES:
            raise ValueError(unknown_name("judge", name, JUDGES))
    given = folder or os.environ.get(FOLDER)
    place = Path(given).expanduser() if given else None
    if place is not None and not place.is_dir():
        raise FileNotFoundError(f"no such folder of the panel's weights: {place}")
    check_device(device)
    measures: dict[str, Measure] = {}
    missing: dict[str, str] = {}
    for name in chosen:
        try:
            measures[name] = BUILDERS[name](place, device)
        except (ImportError, OSError, RuntimeError, KeyError, SafetensorError) as error:
            missing[name] = _reason(JUDGES[name], place, error)
    return Panel(tuple(JUDGES[name] for name in measures), missing, measures, device)


def _reason(judge: Judge, folder: Path | None, error: Exception) -> str:
    why = (str(error).splitlines() or [type(error).__name__])[0]
    if isinstance(error, ImportError):
        return why
    files = ", ".join(judge.files)
    if folder is not None and all((folder / name).is_file() for name in judge.files):
        return f"{folder / files}: {why}"
    where = f"{folder} lacks" if folder is not None else f"no folder is named ({FOLDER}) that has"
    return f"{where} {files}, and the download failed: {why}"
