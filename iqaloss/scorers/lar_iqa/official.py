"""Official LAR-IQA checkpoints: which head one holds, and how its keys become ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from iqaloss._configs import changed
from iqaloss.scorers.cards import ScorerCard
from iqaloss.scorers.lar_iqa.config import PUBLISHED
from iqaloss.scorers.lar_iqa.model import LARIQA
from iqaloss.scorers.layers.kan import spline_knots
from iqaloss.scorers.state_dicts import StateDict, load_prefixed

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


def convert(scorer_class: type[LARIQA], card: ScorerCard, files: Mapping[str, StateDict], **options: Any) -> LARIQA:
    """Builds the scorer from an official two-branch state dict; every tensor is loaded, or checked and dropped.

    The variant is ``"released"`` unless another is asked for: the published scores come from 8-bit images.

    Args:
        scorer_class: The scorer's class.
        card: Its card.
        files: The state dict of role ``model``; KAN and MLP heads are told by its keys.
        **options: Fields of the config.
    """
    # Scores of the released script depend on its 8-bit images in the third or fourth digit.
    config = changed(PUBLISHED, {"variant": "released", **options}, card.name)
    state = files["model"]
    head = head_of(state)
    if "head" in options and config.head != head:
        raise ValueError(f"{card.name}: head={config.head!r} was asked for, but the checkpoint has a {head} head")
    if head == "kan":
        state = _without_knots(state)
        state = state if config.kan_scaler else _folded(state)
    scorer = scorer_class(card, replace(config, head=head))
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
