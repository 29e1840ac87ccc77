"""What a tuning did to photographs that it did not learn from, as figures and as a report."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from iqaloss._files import write_text
from iqaloss.data.images import to_image
from iqaloss.evaluation.panel.measures import psnr_y
from iqaloss.evaluation.probes.pictures import score_versions
from iqaloss.report.blocks import Block, Facts, Pictures, Table, Text
from iqaloss.report.charts import curves, radar
from iqaloss.report.page import Report, write_report
from iqaloss.report.provenance import file_digest, scorer_digest, versions
from iqaloss.scorers.factory import create_scorer
from iqaloss.tuning.balance import Balance, summary
from iqaloss.tuning.costs import StepCost
from iqaloss.tuning.networks import RestorationNetwork, load_network
from iqaloss.tuning.objective import PIXEL
from iqaloss.tuning.photos import Photo, whole_pair
from iqaloss.tuning.tuner import Tuner

SIDE = 384
"""Largest side of the middles of held-out photographs that are restored."""

INPUT, BEFORE, AFTER, TRUTH = "input", "before", "tuned", "truth"


@dataclass(frozen=True)
class Outcome:
    """Held-out photographs before and after.

    Attributes:
        scorer: Who scored them.
        names: The photographs.
        images: Title to each photograph's version ``[3, H, W]``.
        figures: Title to each photograph's measures by name.
    """

    scorer: str
    names: Sequence[str]
    images: dict[str, list[Tensor]]
    figures: dict[str, list[dict[str, float]]]

    def means(self) -> list[dict[str, Any]]:
        """Returns a row of means for each version; the truth has no PSNR."""
        return [
            {
                "version": title,
                "PSNR": None if title == TRUTH else 0.0,
                **{name: sum(row[name] for row in rows) / len(rows) for name in rows[0]},
            }
            for title, rows in self.figures.items()
        ]


@torch.no_grad()
def measure(tuner: Tuner, tuned: Path) -> Outcome:
    """Restores the held-out photographs with the given and with the tuned checkpoint, both as read from their files."""
    networks = {BEFORE: load_network(tuner.settings.model), AFTER: load_network(tuned)}
    losses = list(tuner.objective.losses.values())
    scorer = losses[0].scorer if losses else create_scorer("mdiqa-mobile").to(tuner.device)
    photos = tuner.photos.held_out
    images: dict[str, list[Tensor]] = {title: [] for title in (INPUT, BEFORE, AFTER, TRUTH)}
    figures: dict[str, list[dict[str, float]]] = {title: [] for title in (BEFORE, AFTER, TRUTH)}
    for number, photo in enumerate(photos):
        for title, image in restored(photo, networks, tuner, number).items():
            images[title].append(image)
        rows = [images[title][-1] for title in figures]
        overall, dimensions = score_versions(scorer, rows)
        for title, image, score, each in zip(figures, rows, overall.tolist(), dimensions.tolist()):
            against = {} if title == TRUTH else {"PSNR": float(psnr_y(image[None], images[TRUTH][-1][None]))}
            figures[title].append({**against, "score": score, **dict(zip(scorer.dimension_names, each))})
    return Outcome(scorer.card.name, [photo.truth.stem for photo in photos], images, figures)


def restored(photo: Photo, networks: dict[str, RestorationNetwork], tuner: Tuner, number: int) -> dict[str, Tensor]:
    """Returns the versions of a photograph, of one size."""
    scale = tuner.network.scale
    small, truth = whole_pair(photo, tuner.degradation, scale, SIDE, tuner.settings.seed + number)
    found = {INPUT: F.interpolate(small[None], scale_factor=scale, mode="nearest")[0]}
    for title, network in networks.items():
        module = network.module.eval().to(tuner.device)
        found[title] = network(small[None].to(tuner.device))[0].float().clamp(0.0, 1.0).cpu()
        module.cpu()
    return {**found, TRUTH: truth}


def write_outcome(
    tuner: Tuner, tuned: Path, cost: StepCost, balances: list[Balance], outcome: Outcome | None = None
) -> Path:
    """Writes ``settings.json``, ``curves.csv`` and ``report.html`` beside the tuned checkpoint; returns the last."""
    outcome = outcome or measure(tuner, tuned)
    settings = dataclasses.asdict(tuner.settings)
    digests = {"model": file_digest(tuner.settings.model), "tuned": file_digest(tuned)}
    losses = {name: loss.scorer.card.name for name, loss in tuner.objective.losses.items()}
    digests |= {f"scorer {name}": scorer_digest(name) for name in sorted(set(losses.values()))}
    made_with = versions(("accelerate", "spandrel", "peft"))
    told = {
        "settings": settings,
        "network": {"architecture": tuner.network.title, "scale": tuner.network.scale},
        "versions": made_with,
        "sha256": digests,
        "cost": {"flops": dict(cost.flops), "seconds": cost.seconds},
        "balance": summary(balances),
        "held out": {"photographs": list(outcome.names), "scored by": outcome.scorer, "means": outcome.means()},
    }
    write_text(tuner.out / "settings.json", json.dumps(told, indent=1) + "\n")
    write_text(tuner.out / "curves.csv", curves_csv(tuner.curves))
    blocks = _blocks(tuner, outcome, cost, balances, {**settings, **_flat("sha256", digests)}, made_with)
    title = f"{Path(tuner.settings.model).name} tuned with {', '.join(tuner.settings.losses) or 'L1'}"
    report = Report(title, f"{tuner.step} steps on {len(tuner.photos.learned)} photographs.", blocks)
    return write_report(report, tuner.out / "report.html")


def _flat(group: str, values: dict[str, str]) -> dict[str, str]:
    return {f"{group} of {name}": value for name, value in values.items()}


def _blocks(
    tuner: Tuner, outcome: Outcome, cost: StepCost, balances: list[Balance], settings: dict[str, Any],
    made_with: dict[str, str],
) -> list[Block]:  # fmt: skip
    pictures = {
        name: {title: to_image(images[index]) for title, images in outcome.images.items()}
        for index, name in enumerate(outcome.names)
    }
    captions = {
        name: {
            title: f"PSNR {rows[index]['PSNR']:.2f} dB, score {rows[index]['score']:.3f}"
            for title, rows in outcome.figures.items()
            if title != TRUTH
        }
        for index, name in enumerate(outcome.names)
    }
    note = (
        f"Means over {len(outcome.names)} held-out photographs; PSNR of the luminance in dB, scores by "
        f"{outcome.scorer}, higher is better. A loss raises its own score: let other "
        "measures, and your eyes, say whether that is good."
    )
    lines = [*cost.lines(tuner.settings.steps), *map(str, balances)]
    lines += [f"Warning: {one.warning}" for one in balances if one.warning]
    return [
        Pictures("Pictures", pictures, captions, (BEFORE, AFTER)),
        Table("Figures", outcome.means(), note),
        *_charts(tuner, outcome),
        Text("Cost and gradients", lines),
        Facts("Settings", settings),
        Facts("Versions", made_with),
    ]


def _charts(tuner: Tuner, outcome: Outcome) -> list[Block]:
    """The charts; where matplotlib is not installed a line that says so."""
    try:
        found: list[Block] = []
        rows = {row["version"]: row for row in outcome.means()}
        dimensions = [name for name in rows[TRUTH] if name not in ("version", "PSNR", "score")]
        if len(dimensions) >= 3:
            shown = {title: {name: rows[title][name] for name in dimensions} for title in rows}
            low, high = (pick(value for each in shown.values() for value in each.values()) for pick in (min, max))
            found.append(radar("Dimensions", shown, max(0.0, low - 0.1), min(1.0, high + 0.05)))
        found.append(curves("Training", series(tuner.curves)))
        return found
    except ImportError as error:
        return [Text("Charts", [str(error)])]


def curves_csv(points: Sequence[dict[str, float]]) -> str:
    """Returns the curves as a table.

    Example:
        >>> curves_csv([{"step": 1.0, "L1": 0.5}])
        'step,L1\\n1,0.5\\n'
    """
    names = list(points[0]) if points else ["step"]
    lines = [",".join(names)] + [",".join(f"{point[name]:.8g}" for name in names) for point in points]
    return "\n".join(lines) + "\n"


def series(curves: list[dict[str, float]]) -> dict[str, tuple[list[float], list[float]]]:
    """Returns curves by name, each as steps and values; the pixel loss comes first.

    Example:
        >>> series([{"step": 1.0, "L1": 0.5}, {"step": 2.0, "L1": 0.25}])
        {'L1': ([1.0, 2.0], [0.5, 0.25])}
    """
    names = sorted({name for point in curves for name in point} - {"step"}, key=lambda name: (name != PIXEL, name))
    return {
        name: ([point["step"] for point in curves if name in point], [point[name] for point in curves if name in point])
        for name in names
    }
