"""Scores and dimensions as BasicSR validation metrics."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from einops import rearrange

from iqaloss._errors import check_choice, unknown_name
from iqaloss.losses.scorer_spec import ScorerSpec
from iqaloss.scorers.base import Request

OVERALL = "score"
"""The ``dimension`` that stands for the overall score."""

_KNOWN = ("img", "img2", "crop_border", "scorer", "dimension", "input_order", "better")


class LastPicture:
    """A scorer that remembers its last picture: validation asks for one picture's dimensions one by one.

    Args:
        spec: A registered name, or a mapping with ``name`` and options.
    """

    def __init__(self, spec: str | Mapping[str, Any]) -> None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.scorer = ScorerSpec.read(spec).build().to(device)
        self._last: tuple[str, dict[str, float]] = ("", {})

    def __call__(self, image: np.ndarray) -> dict[str, float]:
        """Returns the overall score and every dimension of a uint8 RGB image ``[H, W, 3]``."""
        image = np.array(image)  # contiguous, and writable as torch wants it
        digest = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()
        if digest != self._last[0]:
            pixels = rearrange(torch.from_numpy(image), "h w c -> 1 c h w").to(self.scorer.mean) / 255
            with torch.no_grad():
                output = self.scorer(pixels, Request(score=True, dimensions=None))
            scores = {OVERALL: output.score, **output.dimensions}
            self._last = (digest, {name: float(value) for name, value in scores.items()})
        return self._last[1]


@lru_cache(maxsize=4)
def _scorer(key: str) -> LastPicture:
    return LastPicture(json.loads(key))


def calculate_iqa(
    img: np.ndarray,
    img2: np.ndarray | None = None,
    crop_border: int = 0,
    scorer: str | Mapping[str, Any] = "mdiqa-mobile",
    dimension: str = OVERALL,
    input_order: str = "HWC",
    **options: Any,
) -> float:
    """Scores a restored image, no-reference; a BasicSR metric.

    Args:
        img: uint8 BGR, ``[H, W, 3]`` (or ``[3, H, W]`` with ``input_order="CHW"``), as BasicSR passes it.
        img2: The true image, which BasicSR passes as well; not looked at.
        crop_border: Pixels to leave out at each edge.
        scorer: A registered name, or a mapping with ``name`` and ``weights``. It is built once and kept.
        dimension: ``"score"`` or the name of a dimension.
        input_order: ``"HWC"`` or ``"CHW"``.
        **options: ``better``, which BasicSR reads and passes on.

    Returns:
        The score, higher is better.

    Raises:
        ValueError: For an unknown dimension or option, with the nearest valid name, or another kind of image.
    """
    for name in options:
        if name not in _KNOWN:
            raise ValueError(f"calculate_iqa: {unknown_name('option', name, _KNOWN[2:])}")
    check_choice("input_order", input_order, ("HWC", "CHW"))
    picture = img if input_order == "HWC" else rearrange(img, "c h w -> h w c")
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise ValueError(f"calculate_iqa needs a uint8 BGR image [H, W, 3], got {img.dtype} {list(img.shape)}")
    if crop_border:
        picture = picture[crop_border:-crop_border, crop_border:-crop_border]
    scores = _scorer(json.dumps(scorer, default=str))(picture[:, :, ::-1])
    if dimension not in scores:
        raise ValueError(unknown_name("dimension", dimension, scores))
    return scores[dimension]


def register() -> None:
    """Puts ``calculate_iqa`` into BasicSR's metric registry, once."""
    from basicsr.utils.registry import METRIC_REGISTRY

    if calculate_iqa.__name__ not in METRIC_REGISTRY:
        METRIC_REGISTRY.register(calculate_iqa)
