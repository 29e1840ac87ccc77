"""Official SR-IQA checkpoints: what they hold, and how their keys become ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from iqaloss._configs import changed
from iqaloss._errors import check_choice
from iqaloss.scorers.cards import ScorerCard
from iqaloss.scorers.sr_iqa.config import OFFICIAL, SRIQAConfig
from iqaloss.scorers.sr_iqa.model import SRIQA
from iqaloss.scorers.state_dicts import StateDict, load_prefixed, rename_keys

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


def open_file(role: str, loaded: Any) -> Any:
    """Returns the tensors of role ``clip`` out of what the published file holds; anything else stays as it is.

    The file holds the CLIP as ``model_state_dict`` beside the optimiser's state; the last commit of the released
    code also writes ``rectifier_state_dict``, whose tensors are returned with the prefix ``rectifier:``.
    """
    if role != "clip" or not isinstance(loaded, Mapping) or "model_state_dict" not in loaded:
        return loaded
    rectifier = loaded.get("rectifier_state_dict", {})
    return {**loaded["model_state_dict"], **{f"{_INSIDE}{key}": value for key, value in rectifier.items()}}


def _split(files: Mapping[str, StateDict]) -> dict[str, StateDict]:
    """Gives a rectifier that came inside the file of role ``clip`` its own role."""
    inside = {k.removeprefix(_INSIDE): v for k, v in files["clip"].items() if k.startswith(_INSIDE)}
    own = {k: v for k, v in files["clip"].items() if not k.startswith(_INSIDE)}
    return {**({"rectifier": inside} if inside else {}), **files, "clip": own}


def convert(scorer_class: type[SRIQA], card: ScorerCard, files: Mapping[str, StateDict], **options: Any) -> SRIQA:
    """Builds the scorer from the official CLIP and, if there is one, the rectifier with MANIQA.

    Every tensor is loaded, or known to have no effect. With a rectifier the variant is the released one if it was
    trained on MANIQA's tokens, which its width tells.

    Args:
        scorer_class: The scorer's class.
        card: Its card.
        files: The state dicts of role ``clip`` and, if given, ``rectifier`` and ``maniqa``.
        **options: Fields of the config.

    Raises:
        ValueError: If an option is unknown, a role is missing that the rectifier needs, or a tensor does not fit.
    """
    files = _split(files)
    config = _config(card, files, options)
    scorer = scorer_class(card, config)
    for role, state in files.items():
        if role != "rectifier" or scorer.rectifier is not None:
            load_role(scorer, role, state)
    return scorer


def load_role(scorer: SRIQA, role: str, state: StateDict) -> None:
    """Loads one official state dict into a scorer, strictly; a training so starts where the published one did.

    Args:
        scorer: The scorer.
        role: ``"clip"``, ``"rectifier"`` or ``"maniqa"``.
        state: The state dict, with the official names.

    Raises:
        ValueError: If the scorer has no such part, or with the official names of tensors that do not fit.
    """
    parts: dict[str, tuple[Any, list[tuple[str, str]]]] = {
        "clip": (scorer.clip, []),
        "rectifier": (scorer.rectifier, _RECTIFIER),
        "maniqa": (scorer.maniqa, _MANIQA),
    }
    check_choice("role", role, parts)
    module, table = parts[role]
    if module is None:
        raise ValueError(f"role {role!r} is read by a scorer with rectified=True and, for MANIQA, variant='released'")
    if role == "maniqa":
        late = [rf"vit\.blocks\.{index}\." for index in range(scorer.config.maniqa.blocks, 100)]
        state = rename_keys(state, [], [*_UNUSED, *late])
    load_prefixed(module, state, table, source=f"role {role!r}")


def _config(card: ScorerCard, files: Mapping[str, StateDict], options: Mapping[str, Any]) -> SRIQAConfig:
    """Returns the architecture that the files fill."""
    config = changed(OFFICIAL, {"rectified": "rectifier" in files, **options}, card.name)
    if not config.rectified:
        if "maniqa" in files:
            raise ValueError(
                f"{card.name}: role 'maniqa' is read by the rectifier only; give role 'rectifier' as well, or "
                "rectified=True for a rectifier that has not learnt yet"
            )
        return config
    if "rectifier" not in files and "maniqa" in files:  # the released form before its training
        return replace(config, variant="released")
    if "rectifier" not in files:
        raise ValueError(f"{card.name}: rectified=True needs the weights of role 'rectifier'")
    reads_maniqa = "maniqa" in files or _width(files["rectifier"]) == config.maniqa.width // 2
    if "variant" not in options and reads_maniqa:
        config = replace(config, variant="released")
    if config.reads_maniqa and "maniqa" not in files:
        raise ValueError(
            f"{card.name}: this rectifier reads MANIQA's tokens: give role 'maniqa' as well, "
            f"or leave the rectifier out with rectified=False.\n{card.how_to_get_weights()}"
        )
    return config


def _width(rectifier: StateDict) -> int | None:
    weight = rectifier.get("mlp.0.weight")
    return None if weight is None or weight.ndim != 2 else weight.shape[1]
