"""Official SR-IQA checkpoints: which parts they hold, and how their keys become ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from iqaloss._errors import unknown_name
from iqaloss.scorers.cards import ScorerCard
from iqaloss.scorers.checkpoints import load_strict, rename_keys
from iqaloss.scorers.prefixes import load_prefixed
from iqaloss.scorers.sr_iqa.config import OFFICIAL, SRIQAConfig

if TYPE_CHECKING:
    from iqaloss.scorers.sr_iqa.model import SRIQA

StateDict = Mapping[str, Tensor]

_INSIDE = "rectifier:"
_RECTIFIER = [("mlp.0.", "hidden."), ("mlp.3.", "out.")]
_MANIQA = [
    ("tablock1.", "first.channels."),
    ("conv1.", "first.reduce."),
    ("swintransformer1.layers.", "first.swin."),
    ("tablock2.", "second.channels."),
    ("conv2.", "second.reduce."),
    ("swintransformer2.layers.", "second.swin."),
]
# The scoring heads, the ViT's classifier and a convolution of each Swin stage are in the file and reach no token;
# the masks and index tables follow from the architecture.
_UNUSED = [
    r"fc_(score|weight)\.",
    r"vit\.head\.",
    r"swintransformer\d\.downsample\.",
    r"swintransformer\d\..*\.(attn_mask|relative_position_index)$",
]


def open_checkpoint(loaded: Mapping[str, Any]) -> dict[str, Tensor]:
    """Returns the tensors of role ``clip`` out of what the published file holds.

    The file holds the CLIP as ``model_state_dict`` beside the optimiser's state; the last commit of the released
    code also writes ``rectifier_state_dict``, whose tensors are returned with the prefix ``rectifier:``.
    """
    rectifier = loaded.get("rectifier_state_dict", {})
    return {**loaded["model_state_dict"], **{f"{_INSIDE}{key}": value for key, value in rectifier.items()}}


def _split(parts: Mapping[str, StateDict]) -> dict[str, StateDict]:
    """Makes a rectifier that came inside the file of role ``clip`` a part of its own."""
    inside = {k.removeprefix(_INSIDE): v for k, v in parts["clip"].items() if k.startswith(_INSIDE)}
    own = {k: v for k, v in parts["clip"].items() if not k.startswith(_INSIDE)}
    return {**({"rectifier": inside} if inside else {}), **parts, "clip": own}


def convert(cls: type[SRIQA], card: ScorerCard, parts: Mapping[str, StateDict], **options: Any) -> SRIQA:
    """Builds the scorer from its official parts; every tensor is loaded, or known to have no effect.

    With a rectifier the variant is the released one if it was trained on MANIQA's tokens, which its width tells.

    Raises:
        ValueError: If an option is unknown, a part is missing that the rectifier needs, or a tensor does not fit.
    """
    fields = tuple(SRIQAConfig.__dataclass_fields__)
    for option in options:
        if option not in fields:
            raise ValueError(f"{card.name}: {unknown_name('option', option, fields)}")
    parts = _split(parts)
    config = _config(card, parts, options)
    scorer = cls(card, config)
    load_strict(scorer.clip, parts["clip"], source="role 'clip'")
    if scorer.rectifier is not None:
        load_prefixed(scorer.rectifier, parts["rectifier"], _RECTIFIER, source="role 'rectifier'")
    if scorer.maniqa is not None:
        late = [rf"vit\.blocks\.{index}\." for index in range(config.maniqa.blocks, 100)]
        state = rename_keys(parts["maniqa"], [], [*_UNUSED, *late])
        load_prefixed(scorer.maniqa, state, _MANIQA, source="role 'maniqa'")
    return scorer


def _config(card: ScorerCard, parts: Mapping[str, StateDict], options: Mapping[str, Any]) -> SRIQAConfig:
    """Returns the architecture that the parts fill."""
    config = replace(OFFICIAL, **{"rectified": "rectifier" in parts, **options})
    if not config.rectified:
        if "maniqa" in parts:
            raise ValueError(f"{card.name}: role 'maniqa' is read by the rectifier only; give role 'rectifier' as well")
        return config
    if "rectifier" not in parts:
        raise ValueError(f"{card.name}: rectified=True needs the weights of role 'rectifier'")
    reads_maniqa = "maniqa" in parts or _width(parts["rectifier"]) == config.maniqa.width // 2
    if "variant" not in options and reads_maniqa:
        config = replace(config, variant="released")
    if config.reads_maniqa and "maniqa" not in parts:
        raise ValueError(
            f"{card.name}: this rectifier reads MANIQA's tokens: give role 'maniqa' as well, "
            f"or leave the rectifier out with rectified=False.\n{card.how_to_get_weights()}"
        )
    return config


def _width(rectifier: StateDict) -> int | None:
    weight = rectifier.get("mlp.0.weight")
    return None if weight is None or weight.ndim != 2 else weight.shape[1]
