"""Who takes part: a YAML file each, and how its loss is built.

A file says ``title``, ``family`` (judges of the same family have no say over it, nor those that taught its scorer),
``weights`` (the sweep) and ``loss``, whose ``kind`` is one of :data:`KINDS`; the other keys are that kind's options.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from benchmarks.arena.baselines import FourierDistance, variation_gap
from iqaloss._configs import check_options
from iqaloss._errors import unknown_name
from iqaloss.evaluation.panel import Panel
from iqaloss.evaluation.patterns import total_variation
from iqaloss.losses.registry import LossSpec
from iqaloss.scorers.registry import entry

FOLDER = Path(__file__).parent / "contestants"
KEYS = ("title", "family", "weights", "loss")
Distance = Callable[[Tensor, Tensor], Tensor]
"""Takes prediction and target, returns a scalar."""


@dataclass(frozen=True)
class Material:
    """What losses are built from.

    Attributes:
        panel: The judges, which are losses too; losses are built on their device.
        folder: Where weights of others lie.
    """

    panel: Panel
    folder: Path | None


@dataclass(frozen=True)
class Contestant:
    """A loss that is added to L1.

    Attributes:
        name: Name of its file.
        title: What tables call it.
        family: What it is made of.
        weights: The factors that are tried.
        loss: Its kind and options.
    """

    name: str
    title: str
    family: str
    weights: tuple[float, ...]
    loss: Mapping[str, Any]

    @property
    def families(self) -> tuple[str, ...]:
        """What it is made of and, for a loss of ours, what taught its scorer."""
        if self.loss["kind"] != "iqaloss":
            return (self.family,)
        named = self.loss.get("scorer", "mdiqa-mobile")
        return (self.family, *entry(named if isinstance(named, str) else named["name"]).card.taught_by)

    @classmethod
    def read(cls, path: Path) -> Contestant:
        """Reads a contestant's file.

        Raises:
            ValueError: If something is missing or unknown.
        """
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or set(KEYS) - set(content):
            raise ValueError(f"{path}: a contestant has the keys {', '.join(KEYS)}, got {content!r}")
        check_options(content, KEYS, str(path))
        kind = content["loss"].get("kind")
        if kind not in KINDS:
            raise ValueError(f"{path}: {unknown_name('kind of loss', kind, list(KINDS))}")
        weights = tuple(float(weight) for weight in content["weights"])
        return cls(path.stem, content["title"], content["family"], weights, content["loss"])

    def build(self, panel: Panel, folder: Path | None) -> Distance | None:
        """Builds the loss; None for L1 alone.

        Args:
            panel: The judges, which are losses too.
            folder: Where weights of others lie.

        Raises:
            ImportError: If it needs a package that is not there.
            ValueError: If its weights are not there or its options are wrong.
        """
        options = {key: value for key, value in self.loss.items() if key != "kind"}
        return KINDS[self.loss["kind"]](options, Material(panel, folder))


def contestants(folders: tuple[Path, ...] = (FOLDER,)) -> dict[str, Contestant]:
    """Reads all contestants, in the order of their names."""
    files = [file for folder in folders for file in sorted(folder.glob("*.yml"))]
    return {file.stem: Contestant.read(file) for file in files}


def _nothing(options: Mapping[str, Any], material: Material) -> None:
    check_options(options, (), "none")


def _ours(options: Mapping[str, Any], material: Material) -> Distance:
    loss = LossSpec.read(options).build().to(material.panel.device)
    return lambda pred, target: loss(pred, target)


def _judge(options: Mapping[str, Any], material: Material) -> Distance:
    """A distance of the panel, as a loss."""
    name = options["judge"]
    if name in material.panel.missing:
        raise ValueError(material.panel.missing[name])
    return lambda pred, target: material.panel.distance(name, pred.clamp(0, 1), target).mean()


def _variation(options: Mapping[str, Any], material: Material) -> Distance:
    """More total variation is better; with ``to_target``, as much as the target has."""
    check_options(options, ("to_target",), "variation")
    if options.get("to_target", False):
        return lambda pred, target: variation_gap(pred, target).mean()
    return lambda pred, target: -total_variation(pred).mean()


def _fourier(options: Mapping[str, Any], material: Material) -> Distance:
    check_options(options, ("projections",), "fourier")
    return FourierDistance(material.folder, device=material.panel.device, **options)


def _pyiqa(options: Mapping[str, Any], material: Material) -> Distance:
    """A metric of pyiqa through ``wrap``, with weights in the file of that name."""
    import pyiqa

    from iqaloss.integrations.pyiqa import wrap

    check_options(options, ("metric", "file", "mode"), "pyiqa")
    file = (material.folder or Path()) / options["file"]
    if not file.is_file():
        raise ValueError(f"{options['metric']} needs its published weights at {file}")
    metric = pyiqa.create_metric(options["metric"], as_loss=True, pretrained_model_path=str(file))
    loss = wrap(metric, fold=True, mode=options["mode"]).to(material.panel.device)
    return lambda pred, target: loss(pred, target)


KINDS: Mapping[str, Callable[[Mapping[str, Any], Material], Distance | None]] = {
    "none": _nothing,
    "iqaloss": _ours,
    "judge": _judge,
    "variation": _variation,
    "fourier": _fourier,
    "pyiqa": _pyiqa,
}
