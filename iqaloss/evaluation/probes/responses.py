"""Which score falls when which property is lost: the response matrix, its selectivity, and Kendall's tau."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from iqaloss.evaluation.agreement.correlations import krcc
from iqaloss.evaluation.probes.degradations import DEGRADATIONS, PROPERTIES, versions
from iqaloss.evaluation.probes.distortions import luminance
from iqaloss.evaluation.probes.pictures import Report, score_versions, silent
from iqaloss.scorers.base import Scorer

LOSSES = {
    "brightness": ("under-exposure",),
    "colorfulness": ("desaturation",),
    "contrast": ("low-contrast",),
    "noisiness": ("gaussian-noise", "shot-noise", "iso-noise"),
    "sharpness": ("defocus", "motion-blur", "upscaling"),
}
"""The degradations behind each row of the response matrix: the plain loss of one property.

Too much of one (over-exposure, over-saturation, over-contrast, over-sharpening) is a fault of its own, listed apart.
"""
PLAIN = frozenset(name for names in LOSSES.values() for name in names)
"""All of them: what the matrix needs."""

EXPOSURES = ("under-exposure", "over-exposure")
STEPS = 8
SCORE = "score"
"""Name of the only column of a scorer without dimensions: its overall score."""

BANDS = (0.0, 0.3, 0.4, 0.5, 0.6, 1.0)
"""Mean luminances between which pictures are told apart."""


@dataclass(frozen=True)
class Response:
    """What one degradation does, means over pictures.

    Attributes:
        dimension: The property that it takes away.
        fall: How far each dimension falls from the clean picture to full strength; of a scorer without dimensions,
            how far the overall score does.
        tau: Kendall's tau between strength and that dimension's fall, 1 when every step falls; of the overall score
            where the scorer has no such dimension.
        overall_fall: How far the overall score falls.
        overall_tau: Its tau.
    """

    dimension: str
    fall: dict[str, float]
    tau: float
    overall_fall: float
    overall_tau: float


@dataclass(frozen=True)
class ResponseMatrix:
    """Mean falls when a property is lost.

    Attributes:
        properties: What is lost: the rows.
        dimensions: What falls: the columns.
        matrix: The falls, averaged over the degradations of a row (:data:`LOSSES`).
        selectivity: The fall of a property's own dimension over the largest absolute one beside it; infinite where
            nothing else moves, left out where the scorer has no such dimension or no other.
        tau: Mean tau of each row.
    """

    properties: list[str]
    dimensions: list[str]
    matrix: list[list[float]]
    selectivity: dict[str, float]
    tau: dict[str, float]


@dataclass(frozen=True)
class Responses(ResponseMatrix):
    """All responses of a scorer.

    Attributes:
        pictures: How many photographs were degraded.
        exposures: Tau over under- and over-exposure, apart for dark and bright photographs.
        degradations: What each degradation does.
    """

    pictures: int
    exposures: list[dict[str, float]]
    degradations: dict[str, Response]


def falling_tau(values: ArrayLike) -> float:
    """Returns Kendall's tau between values and a falling order: 1 when every step falls, 0 when nothing moves.

    Example:
        >>> falling_tau([0.9, 0.5, 0.1]), falling_tau([0.1, 0.1])
        (1.0, 0.0)
    """
    given = np.asarray(values, np.float64)
    return 0.0 if np.ptp(given) == 0 else krcc(given, -np.arange(given.size))


def responses(
    scorer: Scorer,
    pictures: Sequence[Tensor],
    report: Report = silent,
    *,
    only: Collection[str] | None = None,
    seed: int = 0,
) -> Responses:
    """Degrades each picture in eight steps by every degradation and measures what falls.

    Args:
        scorer: Any scorer, in eval mode.
        pictures: Clean photographs, ``[3, H, W]`` each, of any sizes.
        report: Is told how far it is.
        only: Names of degradations; all of them by default.
        seed: Another seed, other noise.

    Example:
        >>> import torch
        >>> from iqaloss.scorers.factory import create_tiny
        >>> found = responses(create_tiny("lar-iqa"), [torch.rand(3, 64, 64)], only=["desaturation"])
        >>> found.properties, found.dimensions
        (['colorfulness'], ['score'])
    """
    chosen = [item for item in DEGRADATIONS if only is None or item.name in only]
    names = scorer.dimension_names
    found: dict[str, Response] = {}
    taus: dict[str, list[float]] = {}
    for number, item in enumerate(chosen):
        falls, overall_falls, overall_taus = [], [], []
        taus[item.name] = []
        for index, picture in enumerate(pictures):
            strengths = [step / STEPS for step in range(STEPS + 1)]
            shown = versions(item, picture, strengths, seed * 1_000_003 + index)
            overall, dimensions = (values.numpy() for values in score_versions(scorer, shown))
            overall_falls.append(overall[0] - overall[-1])
            overall_taus.append(falling_tau(overall))
            falls.append(dimensions[0] - dimensions[-1])
            own = dimensions[:, names.index(item.dimension)] if item.dimension in names else overall
            taus[item.name].append(falling_tau(own))
            report("degradations", number * len(pictures) + index + 1, len(chosen) * len(pictures))
        overall_fall = float(np.mean(overall_falls))
        fall = dict(zip(names, np.mean(falls, axis=0).tolist())) if names else {SCORE: overall_fall}
        tau, overall_tau = float(np.mean(taus[item.name])), float(np.mean(overall_taus))
        found[item.name] = Response(item.dimension, fall, tau, overall_fall, overall_tau)
    return Responses(
        **vars(response_matrix(found)),
        pictures=len(pictures),
        exposures=by_luminance(taus, pictures),
        degradations=found,
    )


def response_matrix(found: Mapping[str, Response]) -> ResponseMatrix:
    """Returns the matrix of what some degradations do; a row needs all of its degradations.

    Example:
        >>> darker = Response("brightness", {"brightness": 0.6, "contrast": -0.2}, 1.0, 0.3, 1.0)
        >>> round(response_matrix({"under-exposure": darker}).selectivity["brightness"], 3)
        3.0
    """
    rows = [row for row in PROPERTIES if all(name in found for name in LOSSES[row])]
    columns = list(next(iter(found.values())).fall) if found else []
    matrix, selectivity = [], {}
    for row in rows:
        falls = np.mean([list(found[name].fall.values()) for name in LOSSES[row]], axis=0)
        matrix.append(falls.tolist())
        if row in columns and len(columns) > 1:
            own = columns.index(row)
            beside = float(np.abs(np.delete(falls, own)).max())
            selectivity[row] = float(falls[own]) / beside if beside else float("inf")
    tau = {row: float(np.mean([found[name].tau for name in LOSSES[row]])) for row in rows}
    return ResponseMatrix(rows, columns, matrix, selectivity, tau)


def by_luminance(taus: Mapping[str, Sequence[float]], pictures: Sequence[Tensor]) -> list[dict[str, float]]:
    """Returns the mean tau over under- and over-exposure, apart for dark and bright pictures.

    More light does a dark photograph good, and less a bright one: no score of one image can fall for both.

    Args:
        taus: Degradation to the tau of each picture.
        pictures: The clean photographs.
    """
    light = np.array([float(luminance(picture).mean()) for picture in pictures])
    rows = []
    for low, high in itertools.pairwise(BANDS):
        inside = (light >= low) & ((light < high) | (high == BANDS[-1]))
        if inside.any():
            means = {name: float(np.array(taus[name])[inside].mean()) for name in EXPOSURES if name in taus}
            rows.append({"from": low, "to": high, "pictures": int(inside.sum()), **means})
    return rows
