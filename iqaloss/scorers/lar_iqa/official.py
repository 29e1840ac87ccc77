"""Official LAR-IQA checkpoints: which one a file is, which head it holds, and how its keys become ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from iqaloss._errors import unknown_name
from iqaloss.scorers.cards import ScorerCard
from iqaloss.scorers.checkpoints import sha256_of
from iqaloss.scorers.lar_iqa.config import PUBLISHED
from iqaloss.scorers.layers.kan import spline_knots
from iqaloss.scorers.prefixes import load_prefixed

if TYPE_CHECKING:
    from iqaloss.scorers.lar_iqa.model import LARIQA

StateDict = Mapping[str, Tensor]


@dataclass(frozen=True)
class KnownFile:
    """A published file.

    Attributes:
        sha256: Its digest.
        size: Its size in bytes.
        head: The head that it holds.
        note: When it was published, and under which name.
    """

    sha256: str
    size: int
    head: str
    note: str


KNOWN_FILES = (
    KnownFile(
        "70c243d7324c76df43df8ab6a44eb535ee9f4f3acb928e5dfe9deb2bb3b7b0ab",
        85_484_315,
        "kan",
        "AIM_Training_2branche_KAN-Head.pt, 2024-09-09 to 2024-11-04 and in the Drive folder",
    ),
    KnownFile(
        "9b4d43dddb29b40cb3afee908e0f5bdf760c3ca2e5efbee179e01f7cd286e11a",
        85_476_922,
        "kan",
        "AIM_Training_2branche_KAN-Head.pt, 2024-11-04 to 2025-01-29",
    ),
    KnownFile(
        "68116e2d548b6bec6d80982ce3bbd7fb1136b20e2db728669b3b307fb3e7a094",
        81_899_582,
        "mlp",
        "AIM_Training_2branche_MLP-Head.pt",
    ),
)
"""Two different KAN checkpoints were published under one name."""


def identify(path: str | Path) -> KnownFile | None:
    """Tells which published checkpoint a file is, by its size and then its digest; None if it is none of them.

    Example:
        >>> identify("AIM_Training_2branche_MLP-Head.pt").head  # doctest: +SKIP
        'mlp'
    """
    path = Path(path)
    size = path.stat().st_size
    digest = sha256_of(path) if any(file.size == size for file in KNOWN_FILES) else None
    return next((file for file in KNOWN_FILES if file.size == size and file.sha256 == digest), None)


# Official prefix to ours; "syntetic" is how the published keys spell it.
_TRUNKS = (("authentic.", "branches.authentic.trunk."), ("syntetic.", "branches.synthetic.trunk."))
_HEADS = {
    "kan": (
        ("aut_dw.layers.0.", "branches.authentic.embed."),
        ("syn_dw.layers.0.", "branches.synthetic.embed."),
        ("head.layers.0.", "join."),
    ),
    "mlp": (
        ("aut_up.", "branches.authentic.embed.1."),
        ("syn_up.", "branches.synthetic.embed.1."),
        ("aut_dw.", "branches.authentic.embed.3."),
        ("syn_dw.", "branches.synthetic.embed.3."),
        ("head.", "join.1."),
    ),
}
_SOURCE = "the official LAR-IQA checkpoint (role 'model')"


def head_of(state: StateDict) -> str:
    """Tells the head, ``"kan"`` or ``"mlp"``, by the keys of a state dict.

    Raises:
        ValueError: If the keys are those of a single branch, or of something else.
    """
    if any(key.startswith(("aut_dw.layers.", "syn_dw.layers.")) for key in state) and not any(
        key.startswith("base.") for key in state
    ):
        return "kan"
    if any(key.startswith(("aut_up.", "syn_up.")) for key in state):
        return "mlp"
    if "base.conv_stem.weight" in state or "conv_stem.weight" in state:
        raise ValueError(
            "this is one pretrained branch of LAR-IQA, not the scorer: the two-branch file has keys that begin with "
            "authentic., syntetic., aut_dw., syn_dw. and head."
        )
    raise ValueError(
        "not a LAR-IQA checkpoint: neither a KAN head (aut_dw.layers.0.*) nor an MLP head (aut_up.*) is in it; "
        f"it begins with {', '.join(list(state)[:3]) or 'nothing'}"
    )


def convert(cls: type[LARIQA], card: ScorerCard, state: StateDict, **options: Any) -> LARIQA:
    """Builds the scorer from an official state dict; every tensor is loaded, or checked and dropped.

    Args:
        cls: The scorer's class.
        card: Its card.
        state: The official state dict.
        **options: Fields of the config.
    """
    allowed = [item.name for item in fields(PUBLISHED)]
    for option in options:
        if option not in allowed:
            raise ValueError(f"{card.name}: {unknown_name('option', option, allowed)}")
    head = head_of(state)
    if options.get("head", head) != head:
        raise ValueError(f"{card.name}: head={options['head']!r} was asked for, but the checkpoint has a {head} head")
    # Scores of the released script depend on its 8-bit images in the third or fourth digit.
    config = replace(PUBLISHED, **{"variant": "released", **options, "head": head})
    if head == "kan":
        state = _without_knots(state)
        state = state if config.kan_scaler else _folded(state)
    scorer = cls(card, config)
    load_prefixed(scorer, state, (*_TRUNKS, *_HEADS[head]), source=_SOURCE)
    return scorer


def _without_knots(state: StateDict) -> dict[str, Tensor]:
    """Drops the stored knots, after making sure that they are the ones that the layers compute with."""
    knots = spline_knots()
    for prefix, _ in _HEADS["kan"]:
        grid, weight = state.get(f"{prefix}grid"), state.get(f"{prefix}base_weight")
        if grid is None:
            raise ValueError(f"{_SOURCE} is incomplete; missing: {prefix}grid")
        shape = [weight.shape[1] if weight is not None and weight.ndim == 2 else grid.shape[0], len(knots)]
        if list(grid.shape) != shape:
            raise ValueError(
                f"{_SOURCE} does not fit; misshapen: {prefix}grid has shape {list(grid.shape)}, expected {shape}"
            )
        if not torch.allclose(grid.float(), knots.expand_as(grid), atol=1e-4):
            raise ValueError(
                f"{_SOURCE} has moved knots in {prefix}grid; only even ones from {knots[0]:.1f} to {knots[-1]:.1f} "
                "are known"
            )
    return {key: value for key, value in state.items() if key not in {f"{prefix}grid" for prefix, _ in _HEADS["kan"]}}


def _folded(state: StateDict) -> dict[str, Tensor]:
    """Multiplies each spline's factor into its coefficients."""
    folded = dict(state)
    for prefix, _ in _HEADS["kan"]:
        names = f"{prefix}spline_weight", f"{prefix}spline_scaler"
        for name in names:
            if name not in state:
                raise ValueError(f"{_SOURCE} is incomplete; missing: {name}")
        weight, scaler = (state[name] for name in names)
        if weight.shape[:-1] != scaler.shape:
            raise ValueError(
                f"{_SOURCE} does not fit; misshapen: {names[1]} has shape {list(scaler.shape)}, "
                f"expected {list(weight.shape[:-1])} as {names[0]} has {list(weight.shape)}"
            )
        folded[names[0]] = weight * scaler[..., None]
        del folded[names[1]]
    return folded
