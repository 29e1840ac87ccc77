"""Finds networks, patches and validation pictures that a scorer in the recipe cannot see, before a validation does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from iqaloss._errors import shown
from iqaloss.integrations.basicsr.metrics import calculate_iqa
from iqaloss.losses.options import loss_options
from iqaloss.losses.registry import SUM, list_losses, loss_class
from iqaloss.losses.scorer_spec import ScorerSpec
from iqaloss.scorers import registry


def check_pictures(options: Mapping[str, Any]) -> Iterable[str]:
    """Yields what a loss or the metric of this package would refuse of a recipe's pictures."""
    losses, metrics = dict(_losses(options.get("train"))), dict(_metrics(options.get("val")))
    if not (losses or metrics):
        return
    network = options.get("network_g")
    channels = network.get("num_out_ch", 3) if isinstance(network, Mapping) else 3
    if channels != 3:
        scoring = next(iter({**losses, **metrics}))
        yield f"network_g.num_out_ch is {shown(channels)}, and {scoring} scores RGB: it must be 3"
    datasets = options.get("datasets")
    for phase, data in datasets.items() if isinstance(datasets, Mapping) else ():
        if not isinstance(data, Mapping):
            continue
        if data.get("color") == "y":
            yield f"datasets.{phase}.color: y makes grey pictures, and {next(iter({**losses, **metrics}))} scores RGB"
        if phase == "train":
            for place, side in losses.items():
                if isinstance(data.get("gt_size"), int) and data["gt_size"] < side:
                    yield f"datasets.train.gt_size is {data['gt_size']}, and {place} needs {side} pixels"
        elif str(phase).startswith("val"):
            yield from _small(f"datasets.{phase}.dataroot_gt", data.get("dataroot_gt"), metrics)


def _small(key: str, root: Any, metrics: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    if not isinstance(root, str) or not metrics:
        return
    try:
        files = sorted(Path(root).expanduser().iterdir())
    except (OSError, ValueError):  # told where sources are checked
        return
    for file in files:
        try:
            with Image.open(file) as picture:
                shorter = min(picture.size)
        except OSError:  # no picture: for BasicSR to say
            continue
        for place, (side, border) in metrics.items():
            if shorter - 2 * border < side:
                yield f"{key}: {file.name} has a side of {shorter} pixels; {place} needs {side} inside its crop_border"
                return


def _least(loss: Any, default: Any) -> int | None:
    try:
        return registry.entry(ScorerSpec.read(loss.get("scorer", default)).name).card.min_side
    except (ValueError, TypeError, ImportError):  # told where losses are checked
        return None


def _losses(train: Any) -> Iterator[tuple[str, int]]:
    """Places of this package's losses, and the shortest side that each needs."""
    if not isinstance(train, Mapping):
        return
    given = {f"train.{slot}": train.get(slot) for slot in ("pixel_opt", "perceptual_opt")}
    named = train.get("iqa_opt")
    given |= {f"train.iqa_opt.{name}": loss for name, loss in named.items()} if isinstance(named, Mapping) else {}
    for place, loss in given.items():
        if not isinstance(loss, Mapping):
            continue
        if loss.get("type") == SUM and isinstance(loss.get("losses"), Mapping):
            inside = [each for each in loss["losses"].values() if isinstance(each, Mapping)]
        else:
            inside = [loss]
        for each in inside:
            if each.get("type") in list_losses():
                side = _least(each, loss_options(loss_class(each["type"]))["scorer"])
                if side is not None:
                    yield place, side


def _metrics(val: Any) -> Iterator[tuple[str, tuple[int, int]]]:
    """Places of ``calculate_iqa``, the shortest side that each needs, and the border that it leaves out."""
    metrics = val.get("metrics") if isinstance(val, Mapping) else None
    for name, metric in metrics.items() if isinstance(metrics, Mapping) else ():
        if isinstance(metric, Mapping) and metric.get("type") == calculate_iqa.__name__:
            side, border = _least(metric, "mdiqa-mobile"), metric.get("crop_border", 0)
            if side is not None and isinstance(border, int):
                yield f"val.metrics.{name}", (side, border)
