"""How good the embedded scorer is: agreement with people, dimensions that move alone, order of upscaling factors."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from iqaloss.scorers.base import Request, Scorer
from scorer_recipes.mdiqa_mobile.data import Rows, decode
from scorer_recipes.mdiqa_mobile.degrade import DEGRADATIONS, DIMENSIONS, LUMA, resample
from scorer_recipes.mdiqa_mobile.progress import Report
from scorer_recipes.mdiqa_mobile.views import resize, step_generator

RESPONSE = {
    "brightness": ("under-exposure",),
    "colorfulness": ("desaturation",),
    "contrast": ("low-contrast",),
    "noisiness": ("gaussian-noise", "shot-noise", "iso-noise"),
    "sharpness": ("defocus", "motion-blur", "upscaling"),
}
"""The degradations behind each row of the response matrix: the plain loss of one property.

Too much of one (over-exposure, over-saturation, over-contrast, over-sharpening) is a fault of its own, listed apart.
"""
EXPOSURES = ("under-exposure", "over-exposure")
STEPS = 8


def ranks(values: np.ndarray) -> np.ndarray:
    """Returns ranks from 0, ties averaged."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[inverse]


def plcc(a: np.ndarray, b: np.ndarray) -> float:
    """Returns the Pearson correlation."""
    return float(np.corrcoef(a, b)[0, 1])


def srcc(a: np.ndarray, b: np.ndarray) -> float:
    """Returns the Spearman rank correlation."""
    return plcc(ranks(a), ranks(b))


def bootstrap(a: np.ndarray, b: np.ndarray, measure: Callable[[np.ndarray, np.ndarray], float]) -> list[float]:
    """Returns the 95 % interval of a correlation over 1,000 resamples of the images."""
    generator = np.random.default_rng(0)
    draws = [generator.integers(0, len(a), len(a)) for _ in range(1000)]
    return [float(q) for q in np.quantile([measure(a[d], b[d]) for d in draws], [0.025, 0.975])]


def kendall(values: np.ndarray) -> float:
    """Returns Kendall's tau between falling values and their order; 1 when every step falls."""
    later = np.sign(values[:, None] - values[None])[np.triu_indices(len(values), 1)]
    return float(later.mean())


@torch.no_grad()
def human_agreement(scorer: Scorer, rows: Rows, progress: Report, side: int = 256) -> dict[str, Any]:
    """Scores photographs squashed to ``side`` and returns SRCC and PLCC with intervals, overall and by subset.

    Args:
        scorer: The scorer.
        rows: Photographs with human scores, none of them trained on.
        progress: Is told how far it is.
        side: Side of the squares; 512 scores BIQ2021's photographs at their own resolution.
    """
    scores: list[float] = []
    dimensions: list[list[float]] = []
    request = Request(score=True, dimensions=None)
    for start in range(0, len(rows), 16):
        views = [resize(decode(path, 512) / 255.0, side, side) for path in rows.paths[start : start + 16]]
        out = scorer(torch.stack(views).contiguous(memory_format=torch.channels_last), request)
        scores += out.score.tolist()
        dimensions += torch.stack(list(out.dimensions.values()), dim=1).tolist()
        progress(f"human scores at {side}", min(start + 16, len(rows)) - 1, len(rows))
    predicted, wanted, named = np.array(scores), np.array(rows.scores), np.array([name[:4] for name in rows.names])
    result: dict[str, Any] = {
        "images": len(rows),
        "side": side,
        "srcc": srcc(predicted, wanted),
        "srcc_95": bootstrap(predicted, wanted, srcc),
        "plcc": plcc(predicted, wanted),
        "plcc_95": bootstrap(predicted, wanted, plcc),
        "dimension_srcc": {
            name: srcc(np.array(dimensions)[:, i], wanted) for i, name in enumerate(scorer.dimension_names)
        },
        "subsets": {},
    }
    for subset in sorted(set(named)):
        chosen = named == subset
        if chosen.sum() > 2:
            result["subsets"][str(subset)] = {
                "images": int(chosen.sum()),
                "srcc": srcc(predicted[chosen], wanted[chosen]),
                "plcc": plcc(predicted[chosen], wanted[chosen]),
            }
    return result


def read_clean(folder: str | Path, limit: int, side: int = 256) -> list[Tensor]:
    """Reads clean photographs and returns their centre squares, float RGB ``[3, side, side]``.

    Raises:
        FileNotFoundError: If the folder holds no picture with sides of at least ``side``.
    """
    pictures: list[Tensor] = []
    for path in sorted(Path(folder).iterdir()):
        if path.suffix.lower() not in (".jpg", ".jpeg", ".png") or len(pictures) == limit:
            continue
        image = decode(path) / 255.0
        top, left = (image.shape[1] - side) // 2, (image.shape[2] - side) // 2
        if min(top, left) >= 0:
            pictures.append(image[:, top : top + side, left : left + side])
    if not pictures:
        raise FileNotFoundError(f"{folder} holds no JPEG or PNG with sides of at least {side} pixels")
    return pictures


@torch.no_grad()
def responses(
    scorer: Scorer, pictures: Sequence[Tensor], progress: Report, only: Collection[str] | None = None
) -> dict[str, Any]:
    """Degrades each picture in eight steps by every degradation; returns falls, Kendall taus and the 5 x 5 matrix.

    The matrix holds, for a property (row) and a dimension (column), the mean fall of the dimension's score from
    the clean picture to full strength, averaged over the property's degradations. ``selectivity`` is the
    diagonal over the largest absolute entry beside it in its row.

    Args:
        scorer: The scorer.
        pictures: Clean photographs, ``[3, S, S]`` each.
        progress: Is told how far it is.
        only: Names of degradations; all of them by default. Those of :data:`RESPONSE` must be among them.
    """
    chosen = [item for item in DEGRADATIONS if only is None or item.name in only]
    falls: dict[str, dict[str, Any]] = {}
    each: dict[str, list[float]] = {}
    for number, item in enumerate(chosen):
        moved, taus, overall = [], [], []
        for index, picture in enumerate(pictures):
            generator = step_generator(7, index)
            versions = [picture]
            for step in range(1, STEPS + 1):  # the same noise and direction at every strength
                generator.manual_seed(index)
                versions.append(item.apply(picture, step / STEPS, generator).clamp(0.0, 1.0))
            out = scorer(torch.stack(versions))
            table = torch.stack(list(out.dimensions.values()), dim=1).numpy()  # [9, D]
            moved.append(table[0] - table[-1])
            taus.append(kendall(table[:, DIMENSIONS.index(item.dimension)]))
            overall.append([float(out.score[0] - out.score[-1]), kendall(out.score.numpy())])
        progress("degradations", number, len(chosen))
        each[item.name] = taus
        falls[item.name] = {
            "dimension": item.dimension,
            "fall": dict(zip(DIMENSIONS, np.mean(moved, axis=0).tolist())),
            "tau": float(np.mean(taus)),
            "overall_fall": float(np.mean(overall, axis=0)[0]),
            "overall_tau": float(np.mean(overall, axis=0)[1]),
        }
    return {
        "pictures": len(pictures),
        **response_matrix(falls),
        "exposures": brightness_by_luminance(each, pictures),
        "degradations": falls,
    }


def response_matrix(degradations: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the 5 x 5 matrix, its selectivity and the mean taus from what each degradation does.

    Args:
        degradations: Name to ``fall`` (dimension to fall) and ``tau``.
    """
    matrix = np.array(
        [np.mean([list(degradations[name]["fall"].values()) for name in RESPONSE[row]], axis=0) for row in DIMENSIONS]
    )
    beside = np.abs(matrix - np.diag(np.diag(matrix))).max(axis=1)
    return {
        "matrix": matrix.tolist(),
        "selectivity": dict(zip(DIMENSIONS, (np.diag(matrix) / beside).tolist())),
        "tau": {row: float(np.mean([degradations[name]["tau"] for name in RESPONSE[row]])) for row in DIMENSIONS},
    }


BANDS = (0.0, 0.3, 0.4, 0.5, 0.6, 1.0)
"""Mean luminances between which pictures are told apart."""


def brightness_by_luminance(taus: Mapping[str, Sequence[float]], pictures: Sequence[Tensor]) -> list[dict[str, float]]:
    """Returns brightness's mean tau over under- and over-exposure, apart for dark and bright pictures.

    More light does a dark photograph good, and less a bright one: no score of one image can fall for both.

    Args:
        taus: Degradation to brightness's tau for each picture.
        pictures: The clean photographs, ``[3, S, S]`` each.
    """
    weights = torch.tensor(LUMA)[:, None, None]
    light = np.array([float((weights * picture).sum(dim=0).mean()) for picture in pictures])
    rows = []
    for low, high in itertools.pairwise(BANDS):
        inside = (light >= low) & (light < high)
        if inside.any():
            means = {name: float(np.array(taus[name])[inside].mean()) for name in EXPOSURES if name in taus}
            rows.append({"from": low, "to": high, "pictures": int(inside.sum()), **means})
    return rows


@torch.no_grad()
def upscale_order(scorer: Scorer, pictures: Sequence[Tensor], progress: Report) -> dict[str, Any]:
    """Returns for how many pictures the original beats its bicubic upscales, and x2 beats x3 beats x4."""
    kept = []
    for index, picture in enumerate(pictures):
        side = picture.shape[1] // 12 * 12
        picture = picture[:, :side, :side]
        out = scorer(torch.stack([picture, *(resample(picture, scale) for scale in (2, 3, 4))]))
        kept.append(torch.stack([out.score, out.dimensions["sharpness"]], dim=1).numpy())
        progress("upscales", index, len(pictures))
    table = np.array(kept)  # [N, 4, 2]
    steps = np.diff(table, axis=1) < 0
    return {
        "pictures": len(pictures),
        "original_best": float((table[:, :1, 0] > table[:, 1:, 0]).all(axis=1).mean()),
        "in_order": float(steps[:, :, 0].all(axis=1).mean()),
        "sharpness_original_best": float((table[:, :1, 1] > table[:, 1:, 1]).all(axis=1).mean()),
        "sharpness_in_order": float(steps[:, :, 1].all(axis=1).mean()),
        "mean_scores": dict(zip(("original", "x2", "x3", "x4"), table[:, :, 0].mean(axis=0).tolist())),
    }
