"""Results of the ablations: what differs beyond chance, and the Markdown page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iqaloss.evaluation.agreement.bootstrap import resamples
from iqaloss.evaluation.agreement.correlations import plcc, row_srcc, srcc
from studies.ablations.protocols import Study

REPEATS = 1000


@dataclass(frozen=True)
class Result:
    """One training: which, from which seed, and what it predicts for the validation images."""

    study: str
    variant: str
    seed: int
    predicted: NDArray[np.float64] = field(repr=False)
    human: NDArray[np.float64] = field(repr=False)

    @property
    def srcc(self) -> float:
        """Rank correlation with the human scores."""
        return srcc(self.predicted, self.human)

    @property
    def plcc(self) -> float:
        """Linear correlation of the raw predictions with the human scores."""
        return plcc(self.predicted, self.human)


@dataclass(frozen=True)
class Difference:
    """SRCC of a first variant less that of a second.

    Attributes:
        by_seed: The difference for each seed; a seed gives both the same start and order.
        low: Lower end of the 95 percent interval of the mean over the seeds, for other validation images.
        high: Upper end.
    """

    by_seed: tuple[float, ...]
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Says which is better if the interval and every seed say so."""
        if self.low > 0 and min(self.by_seed) > 0:
            return "better"
        if self.high < 0 and max(self.by_seed) < 0:
            return "worse"
        return "no difference beyond chance"


def of(results: Sequence[Result], study: str, variant: str) -> list[Result]:
    """Returns a variant's results in the order of the seeds."""
    runs = [run for run in results if (run.study, run.variant) == (study, variant)]
    return sorted(runs, key=lambda run: run.seed)


def difference(first: Sequence[Result], second: Sequence[Result], repeats: int = REPEATS) -> Difference:
    """Compares two variants: seed by seed, and by a bootstrap over the validation images that both saw."""
    by_seed = tuple(a.srcc - b.srcc for a, b in zip(first, second, strict=True))
    human = first[0].human
    drawn = np.concatenate(
        [
            np.mean(
                [
                    row_srcc(a.predicted[rows], human[rows]) - row_srcc(b.predicted[rows], human[rows])
                    for a, b in zip(first, second, strict=True)
                ],
                axis=0,
            )
            for rows in resamples(len(human), repeats, 0)
        ]
    )
    low, high = (float(value) for value in np.percentile(drawn, [2.5, 97.5]))
    return Difference(by_seed, low, high)


def _spread(values: Sequence[float]) -> str:
    return f"{mean(values):.4f} ± {stdev(values) if len(values) > 1 else 0.0:.4f}"


def _study(study: Study, results: Sequence[Result], protocol: Mapping[str, Any]) -> list[str]:
    labels = {variant.name: variant.label for variant in study.variants}
    seeds = [run.seed for run in of(results, study.name, study.variants[0].name)]
    lines = [
        f"## {study.title}",
        "",
        "| variant | SRCC | PLCC | " + " | ".join(f"SRCC, seed {s}" for s in seeds) + " |",
    ]
    lines.append("|---|" + "---|" * (2 + len(seeds)))
    for name, label in labels.items():
        runs = of(results, study.name, name)
        cells = [label, _spread([run.srcc for run in runs]), _spread([run.plcc for run in runs])]
        lines.append("| " + " | ".join((*cells, *(f"{run.srcc:.4f}" for run in runs))) + " |")
    lines += [
        "",
        "| first | against | SRCC of the first less the second's | 95 % interval | each seed | the first is |",
    ]
    lines.append("|---|---|---|---|---|---|")
    for first, second in study.comparisons:
        found = difference(of(results, study.name, first), of(results, study.name, second))
        each = ", ".join(f"{value:+.4f}" for value in found.by_seed)
        lines.append(
            f"| {labels[first]} | {labels[second]} | {mean(found.by_seed):+.4f} | "
            f"{found.low:+.4f} to {found.high:+.4f} | {each} | {found.verdict} |"
        )
    lines += [
        "",
        f"Losses, their weights, optimiser and weight decay of the recipe `{study.recipe}`; {study.epochs} epochs of "
        f"batches of {study.batch}, learning rate {protocol['rate']:g} falling to 0 in half a cosine.",
        "",
    ]
    if protocol["rates"]:
        lines += [
            "The choice of the rate: mean SRCC on the held-out training images, seeds "
            f"{', '.join(map(str, protocol['choice_seeds']))}.",
            "",
            "| rate | " + " | ".join(labels.values()) + " | mean |",
            "|---|" + "---|" * (len(labels) + 1),
        ]
        for rate, tried in protocol["rates"].items():
            values = [tried[name] for name in labels]
            lines.append(f"| {rate} | " + " | ".join(f"{value:.4f}" for value in (*values, mean(values))) + " |")
    else:
        lines.append("The rate was given, not chosen.")
    lines.append("")
    return lines


def markdown(studies: Sequence[Study], results: Sequence[Result], protocol: Mapping[str, Any], finding: str) -> str:
    """Returns the page: finding, protocol, tables.

    Args:
        studies: The studies, in order.
        results: All trainings.
        protocol: Command, numbers of images, side, and each study's protocol by name.
        finding: What a reader makes of it, in words.
    """
    lines = [
        "# Ablations on real human scores",
        "",
        *([finding.strip(), ""] if finding.strip() else []),
        "## Protocol",
        "",
        f"    {protocol['command']}",
        "",
        f"- Data: BIQ2021. {protocol['training']} images of its training table to learn from, drawn with seed "
        f"{protocol['split_seed']} from the rows outside the published validation split "
        f"(`ablations_split.txt` names them), and the {protocol['validation']} images of that split to judge by. The "
        "official test table is never opened.",
        "- Backbones are frozen with ImageNet weights, the same for all variants, and see "
        f"{protocol['side']}x{protocol['side']} pixels: ResNet-50 for PMT-IQA (the whole image, resized), "
        "MobileNetV2 in both branches of LAR-IQA (authentic: the whole image, resized; synthetic: the centre in its "
        "own resolution). Only what stands behind them is trained: the published architectures in the code of this "
        "package, LAR-IQA's heads shrunk to an embedding of 128 (KAN and MLP with 2.3 million parameters each). The "
        "papers train the backbones as well.",
        "- PMT-IQA's scales are `GAP(Conv1x1(f))`, which equals `Conv1x1(GAP(f))`: training on stored means is exact.",
        "- Inputs are brought to mean 0 and a common deviation on the training images. A study has one learning rate: "
        "unless it is given, the one with the best mean SRCC of its variants on a fifth of the training images. The "
        "final trainings use all of them. The last epoch counts; no epoch is chosen.",
        "- ± is the standard deviation over seeds (weights, order, dropout), with the training images fixed. The "
        f'interval is a bootstrap over the validation images ({REPEATS} draws, pairs kept). "Better" and "worse" '
        "need an interval without 0 and every seed on the same side.",
        "- Raw results: `ablations.csv`, `ablations.json`.",
        "",
    ]
    for study in studies:
        lines += _study(study, results, protocol["studies"][study.name])
    return "\n".join(lines).rstrip() + "\n"
