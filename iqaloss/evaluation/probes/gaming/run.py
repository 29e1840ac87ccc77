"""The gaming probe, from photographs to a report."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from iqaloss.evaluation.panel import Panel
from iqaloss.evaluation.probes.gaming.ascent import ascend
from iqaloss.evaluation.probes.gaming.measure import (
    Row,
    Ruler,
    Scale,
    gaming_rate,
    gaming_ratio,
    has_say,
    scale_of,
    stacked,
)
from iqaloss.evaluation.probes.gaming.networks import (
    SCALE,
    Training,
    enlarge,
    fit_each,
    patches,
    pixel_loss,
    restore,
    seeded,
    shrink,
    train,
    with_loss,
)
from iqaloss.evaluation.probes.gaming.report import GamingReport
from iqaloss.evaluation.probes.gaming.subject import Subject
from iqaloss.evaluation.probes.pictures import Report, center, silent


@dataclass(frozen=True)
class Sizes:
    """How much is done.

    Attributes:
        pictures: Photographs that are measured.
        training: Most further photographs that the restoration network learns from.
        side: Side of the centre squares that are measured, and of the patches that are learned from.
        ascent_steps: Steps of the ascents in pixel space.
        fitted: How many pictures get a network of their own.
        fit_steps: Its steps.
        train_steps: Steps of the restoration network with L1 alone, from which the others start.
        tune_steps: Steps of each of the others.
        multiples: Of the recommended weight, each with a network.
        network: Width and blocks of all networks.
    """

    pictures: int = 6
    training: int = 32
    side: int = 128
    ascent_steps: int = 16
    fitted: int = 3
    fit_steps: int = 50
    train_steps: int = 400
    tune_steps: int = 80
    multiples: tuple[float, ...] = (1.0, 3.0, 10.0)
    network: tuple[int, int] = (24, 4)

    @property
    def total(self) -> int:
        """Most photographs that are of use."""
        return self.pictures + self.training


QUICK = Sizes(pictures=3, ascent_steps=8, fitted=1, fit_steps=20, train_steps=150, tune_steps=30)
"""A first look."""


def probe_loss(
    subject: Subject,
    plain: Subject | None,
    photographs: Sequence[Tensor],
    panel: Panel,
    sizes: Sizes = Sizes(),
    report: Report = silent,
    *,
    seed: int = 0,
) -> GamingReport:
    """Probes how easily a loss is gamed.

    Args:
        subject: The loss.
        plain: The plain loss that its gaming ratio is relative to; None where that is the loss itself.
        photographs: ``[3, H, W]`` each, at least two, with sides of at least ``sizes.side``: some are measured and
            the others are learned from.
        panel: Who judges.
        sizes: How much is done.
        report: Is told how far it is.
        seed: Of patches, networks, and what the loss draws.

    Raises:
        ValueError: For fewer than two photographs, one that is too small, or a panel without a perceptual judge.
    """
    check_panel(panel, subject.taught_by)
    shown, learned = divide(photographs, sizes)
    with torch.random.fork_rng(range(torch.cuda.device_count())):  # a loss may draw its crops and versions
        torch.manual_seed(seed)
        return _probe(subject, plain, shown, learned, panel, sizes, report, seed)


def _probe(
    subject: Subject,
    plain: Subject | None,
    shown: Tensor,
    learned: Sequence[Tensor],
    panel: Panel,
    sizes: Sizes,
    report: Report,
    seed: int,
) -> GamingReport:
    ruler = Ruler(subject, panel, shown)
    upscales = enlarge(shrink(shown))
    started = {"photographs": ruler.measure(shown), "bicubic upscales": ruler.measure(upscales)}
    scale = scale_of(panel, started["photographs"], started["bicubic upscales"], subject.taught_by)
    pictures = {"photographs": shown, "bicubic upscales": upscales}
    whole = started["photographs"]
    references = [ruler.row(name, found, "photographs", whole, scale) for name, found in started.items()]
    rows: list[Row] = []

    def add(name: str, images: Tensor, start: str) -> None:
        found = started[name] = ruler.measure(images)
        rows.append(ruler.row(name, found, start, started[start], scale))
        pictures[name] = images
        report("measured", len(rows), 4 + len(sizes.multiples))

    for start in list(started):
        add(f"ascent from {start}", ascend(subject, pictures[start], shown, sizes.ascent_steps, report), start)
    most = max(sizes.multiples) * subject.weight
    fitted = fit_each(subject, most, shown[: sizes.fitted], Training(sizes.fit_steps), seed, sizes.network, report)
    add(f"network fitted to a picture, {most:g} x loss", fitted, "bicubic upscales")
    for name, images in restorations(subject, shown, learned, sizes, seed, report):
        add(name, images, "bicubic upscales" if name == L1 else L1)
    other = rows[0] if plain is None else plain_row(plain, ruler, shown, sizes, report)
    own = plain or subject
    return GamingReport(
        loss=subject.title,
        plain=own.title,
        weight=subject.weight,
        seed=seed,
        sizes=sizes,
        judges=[judge.name for judge in panel.judges],
        missing=dict(panel.missing),
        scale=scale,
        photographs=references[0],
        upscales=references[1],
        rows=rows,
        gradient_norm=subject.gradient_norm(shown, shown),
        plain_gradient_norm=own.gradient_norm(shown, shown),
        plain_row=other,
        rate=gaming_rate(rows[0]),
        plain_rate=gaming_rate(other),
        ratio=gaming_ratio(rows[0], other),
        pictures=pictures,
    )


L1 = "network, L1 alone"


def restorations(
    subject: Subject, shown: Tensor, learned: Sequence[Tensor], sizes: Sizes, seed: int, report: Report
) -> list[tuple[str, Tensor]]:
    """Trains the restoration networks: from the same start, on the same patches, with L1 and with L1 + w x loss."""
    first = Training(sizes.train_steps, side=sizes.side)
    base = seeded(seed, *sizes.network, subject.device)
    train(base, pixel_loss, patches(learned, first, seed), first, lambda *done: report("network, L1", *done))
    tuned = replace(first, steps=sizes.tune_steps, rate=first.rate / 2)
    found = []
    for multiple in (0.0, *sizes.multiples):
        objective = with_loss(subject, multiple * subject.weight) if multiple else pixel_loss
        name = f"network, L1 + {multiple * subject.weight:g} x loss" if multiple else L1
        network = train(
            copy.deepcopy(base), objective, patches(learned, tuned, seed + 1), tuned,
            lambda *done, name=name: report(name, *done),  # type: ignore[misc]
        )  # fmt: skip
        found.append((name, restore(network, shown)))
    return found


def plain_row(plain: Subject, ruler: Ruler, shown: Tensor, sizes: Sizes, report: Report) -> Row:
    """The plain loss's ascent from photographs, by its own score."""
    own = replace(ruler, subject=plain)
    before, upscales = own.measure(shown), own.measure(enlarge(shrink(shown)))
    found = own.measure(ascend(plain, shown, shown, sizes.ascent_steps, report))
    scale: Scale = scale_of(own.panel, before, upscales, plain.taught_by)
    return own.row(f"{plain.title}: ascent from photographs", found, "photographs", before, scale)


def divide(photographs: Sequence[Tensor], sizes: Sizes) -> tuple[Tensor, list[Tensor]]:
    """Returns those that are measured, as a batch of centre squares, and those that are learned from.

    At most half of them are measured, spread evenly.
    """
    if len(photographs) < 2:
        raise ValueError(
            f"the probe needs at least two photographs: some to learn from, some to measure; got {len(photographs)}"
        )
    if sizes.side % (8 * SCALE) or min(min(picture.shape[1:]) for picture in photographs) < sizes.side:
        raise ValueError(
            f"the side must be a multiple of {8 * SCALE} and no larger than the photographs, got {sizes.side}"
        )
    count = min(sizes.pictures, len(photographs) // 2)
    chosen = [index * len(photographs) // count for index in range(count)]
    learned = [picture for index, picture in enumerate(photographs) if index not in chosen]
    return stacked([center(photographs[index], sizes.side, sizes.side) for index in chosen]), learned[: sizes.training]


def check_panel(panel: Panel, taught_by: Sequence[str] = ()) -> None:
    """Raises ``ValueError`` unless there is a perceptual judge that has a say."""
    if not any(has_say(judge, taught_by) for judge in panel.judges):
        taught = [f"{judge.title} taught the scorer" for judge in panel.judges if judge.family in taught_by]
        absent = [f"{name}: {why}" for name, why in panel.missing.items()]
        reasons = "; ".join([*absent, *taught]) or "only PSNR was asked for"
        raise ValueError(f"no perceptual judge is at hand, and without one nothing can be called gamed ({reasons})")
