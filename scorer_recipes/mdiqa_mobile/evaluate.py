"""How well the trained scorer agrees with people, on whole photographs and on crops of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from iqaloss.data.manifest import Manifest
from iqaloss.evaluation.agreement.correlations import plcc, srcc
from iqaloss.evaluation.agreement.metrics import measure
from iqaloss.evaluation.probes.pictures import Report, center
from iqaloss.scorers.base import Request, Scorer
from scorer_recipes.mdiqa_mobile.data import SIDE, decode, names_of
from scorer_recipes.mdiqa_mobile.inputs import resize

CROPS = (64, 128, 192, 256, 384, SIDE)


@torch.no_grad()
def human_agreement(scorer: Scorer, rated: Manifest, report: Report, side: int = 256) -> dict[str, Any]:
    """Scores photographs squashed to ``side`` and returns SRCC and PLCC with intervals, overall and by subset.

    Args:
        scorer: The scorer.
        rated: Photographs with human scores, none of them trained on.
        report: Is told how far it is.
        side: Side of the squares; 512 scores BIQ2021's photographs at their own resolution.
    """
    scores: list[float] = []
    dimensions: list[list[float]] = []
    request = Request(score=True, dimensions=None)
    for start in range(0, len(rated), 16):
        inputs = [resize(decode(path, SIDE) / 255.0, side, side) for path in rated.images[start : start + 16]]
        out = scorer(torch.stack(inputs).contiguous(memory_format=torch.channels_last), request)
        scores += out.score.tolist()
        dimensions += torch.stack(list(out.dimensions.values()), dim=1).tolist()
        report(f"human scores at {side}", len(scores), len(rated))
    predicted, wanted, named = np.array(scores), rated.target(), np.array([name[:4] for name in names_of(rated)])
    agreement = measure(predicted, wanted)
    subsets = {name: named == name for name in sorted(set(named))}
    return {
        "images": len(rated),
        "side": side,
        "srcc": agreement.srcc,
        "srcc_95": list(agreement.ci["srcc"]),
        "plcc": agreement.plcc,
        "plcc_95": list(agreement.ci["plcc"]),
        "dimension_srcc": {
            name: srcc(np.array(dimensions)[:, i], wanted) for i, name in enumerate(scorer.dimension_names)
        },
        "subsets": {
            str(name): {
                "images": int(chosen.sum()),
                "srcc": srcc(predicted[chosen], wanted[chosen]),
                "plcc": plcc(predicted[chosen], wanted[chosen]),
            }
            for name, chosen in subsets.items()
            if chosen.sum() > 2
        },
    }


@torch.no_grad()
def crop_agreement(scorer: Scorer, rated: Manifest, report: Report) -> dict[str, dict[str, float]]:
    """Scores centre crops of several sides of 512x512 photographs; returns agreement with people and with the whole.

    Args:
        scorer: The scorer.
        rated: Photographs with human scores.
        report: Is told how far it is.
    """
    scores: dict[int, list[float]] = {side: [] for side in CROPS}
    for start in range(0, len(rated), 8):
        whole = [decode(path, SIDE) / 255.0 for path in rated.images[start : start + 8]]
        for side in CROPS:
            crop = torch.stack([center(image, side, side) for image in whole])
            out = scorer(crop.contiguous(memory_format=torch.channels_last), Request(score=True))
            scores[side] += out.score.tolist()
        report("crops", min(start + 8, len(rated)), len(rated))
    people, complete = rated.target(), np.array(scores[SIDE])
    return {
        str(side): {
            "srcc": srcc(found, people),
            "plcc": plcc(found, people),
            "mean": float(np.mean(found)),
            "srcc_with_whole": srcc(found, complete),
        }
        for side, found in scores.items()
    }
