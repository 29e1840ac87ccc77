"""Official MoE-AGIQA checkpoints: how they are read, which version they hold, and how their keys become ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor, nn

from iqaloss._configs import changed, check_options
from iqaloss.scorers.cards import ScorerCard
from iqaloss.scorers.moe_agiqa.config import OFFICIAL, VISUAL_TAG, MoEAGIQAConfig
from iqaloss.scorers.moe_agiqa.model import MoEAGIQA
from iqaloss.scorers.state_dicts import StateDict, load_strict, rename_keys

# From our names to the official ones, so that a tensor that does not fit is reported by its official name.
_LAYER = r"text\.layers\.(\d+)\."
_BERT = r"blip.text_encoder.encoder.layer.\1."
_SEMANTIC = [
    (r"vision\.", "blip.visual_encoder."),
    (r"text\.words\.", "blip.text_encoder.embeddings.word_embeddings."),
    (r"text\.positions\.", "blip.text_encoder.embeddings.position_embeddings."),
    (r"text\.norm\.", "blip.text_encoder.embeddings.LayerNorm."),
    *(
        pair
        for ours, theirs in (("self_attention", "attention"), ("cross_attention", "crossattention"))
        for pair in (
            (rf"{_LAYER}{ours}\.(query|key|value)\.", rf"{_BERT}{theirs}.self.\2."),
            (rf"{_LAYER}{ours}\.project\.", f"{_BERT}{theirs}.output.dense."),
            (rf"{_LAYER}{ours}\.norm\.", f"{_BERT}{theirs}.output.LayerNorm."),
        )
    ),
    (rf"{_LAYER}expand\.", f"{_BERT}intermediate.dense."),
    (rf"{_LAYER}contract\.", f"{_BERT}output.dense."),
    (rf"{_LAYER}norm\.", f"{_BERT}output.LayerNorm."),
    (r"reward\.", "mlp.layers."),
]
_FUSION = [
    (r"reduce\.", "down_channel."),
    (r"local\.", "conv.0."),
    (r"prior\.project$", "proj_prior"),
    (r"prior\.gate\.", "fc."),
    (r"prior\.plain$", "weight1"),
    (r"prior\.gated$", "weight2"),
    (r"text$", "proj"),
    (r"norm_visual\.", "norm1."),
    (r"norm_text\.", "norm2."),
    (r"attention\.project\.", "cross_attention.to_out.0."),
    (r"attention\.query\.", "cross_attention.to_q."),
    (r"attention\.key\.", "cross_attention.to_k."),
    (r"attention\.value\.", "cross_attention.to_v."),
    (r"top\.select\.", "gating_network.0."),
    (r"top\.experts\.(\d+)\.", r"proj_experts.\1.project."),
]
# BLIP's contrastive projections and the transformers' classifiers take no part in a score; the table of
# positions 0, 1, 2, … is in some files and not in others.
_UNUSED_SEMANTIC = [r"blip\.(vision|text)_proj\.", r"blip\.text_encoder\.embeddings\.position_ids$"]
_UNUSED_VIT = [r"head\."]


class OfficialLayout:
    """A network whose state dict wears the official names."""

    def __init__(self, network: nn.Module, table: list[tuple[str, str]]) -> None:
        self.network = network
        self.table = table

    def state_dict(self) -> dict[str, Tensor]:
        """The network's tensors under their official names."""
        return rename_keys(self.network.state_dict(), self.table)

    def load_state_dict(self, state: StateDict, strict: bool = True) -> None:
        """Loads tensors under their official names."""
        names = dict(zip(self.state_dict(), self.network.state_dict()))
        self.network.load_state_dict({names[name]: value for name, value in state.items()}, strict=strict)


def load_role(scorer: MoEAGIQA, role: str, state: StateDict) -> None:
    """Loads one official state dict into a scorer, strictly.

    It also lets a training start where the published one did: role ``reward`` takes ImageReward's own
    ``ImageReward.pt`` and role ``vit`` the timm weights that the config names.

    Args:
        scorer: The scorer; for role ``regressor`` its form must be the released one.
        role: ``"reward"``, ``"regressor"``, ``"vit"`` or ``"vit_prior"``.
        state: The state dict, with the official names.

    Raises:
        ValueError: With the official names of the missing, unexpected and misshapen tensors.
    """
    if role == "regressor" and scorer.config.variant != "released":
        raise ValueError(f'official regressors fit variant="released", not {scorer.config.variant!r}')
    later = [rf"blocks\.{index}\." for index in range(scorer.config.visual_depth, scorer.config.visual.depth)]
    places: dict[str, tuple[nn.Module | None, list[tuple[str, str]], list[str]]] = {
        "reward": (scorer.semantic, _SEMANTIC, _UNUSED_SEMANTIC),
        "regressor": (scorer.fusion, _FUSION, []),
        "vit": (scorer.visual, [], [*_UNUSED_VIT, r"norm\.", *later]),
        "vit_prior": (scorer.prior, [], _UNUSED_VIT),
    }
    network, table, unused = places[role]
    if network is None:
        raise ValueError("role 'vit_prior' belongs to version 2; the regressor is one of version 1 (no 'proj_prior')")
    layout = cast(nn.Module, OfficialLayout(network, table))
    load_strict(layout, rename_keys(state, (), unused), source=f"role {role!r}")


def convert(
    scorer_class: type[MoEAGIQA],
    card: ScorerCard,
    files: Mapping[str, StateDict],
    *,
    download_vit: str | None = None,
    **options: Any,
) -> MoEAGIQA:
    """Builds the scorer from official state dicts; every tensor is loaded, or known to have no effect.

    Versions 1 and 2 are told apart by the regressor's keys; version 2 needs the role ``vit_prior``. The published
    checkpoints do not hold the visual transformer: give it as role ``vit``, or ask for its download.

    Args:
        scorer_class: The scorer's class.
        card: Its card.
        files: The state dicts of roles ``reward``, ``regressor`` and, if given, ``vit`` and ``vit_prior``.
        download_vit: The timm name of the visual transformer to download, in place of role ``vit``:
            ``"vit_base_patch16_224.augreg_in21k_ft_in1k"``.
        **options: Fields of the config.
    """
    check_options(options, (*MoEAGIQAConfig.__dataclass_fields__, "download_vit"), card.name)
    prior = "proj_prior" in files["regressor"]
    if prior and "vit_prior" not in files:
        raise ValueError("the regressor is one of version 2 ('proj_prior'): role 'vit_prior' is needed too")
    if "vit" in files and download_vit is not None:
        raise ValueError(f"role 'vit' is given: leave out download_vit={download_vit!r}")
    if "vit" not in files and download_vit is None:
        raise ValueError(
            f"MoE-AGIQA's checkpoints do not hold the visual transformer: give role 'vit' (timm's {VISUAL_TAG}), "
            f"or ask for its download: download_vit={VISUAL_TAG!r}"
        )
    told = {"prior": prior} if download_vit is None else {"prior": prior, "visual_tag": download_vit}
    scorer = scorer_class(card, changed(OFFICIAL, {**told, **options}, card.name))
    for role, state in files.items():
        load_role(scorer, role, state)
    if download_vit is not None:
        import timm

        load_role(scorer, "vit", timm.create_model(download_vit, pretrained=True).state_dict())
    return scorer


_INSIDE = {
    "reward": "reward_model_state_dict",
    "regressor": "regressor_model_state_dict",
    "vit_prior": "vit_model_state_dict",
}


def open_file(role: str, loaded: Any) -> Any:
    """Takes a role's state dict out of what the published training scripts write; anything else stays as it is."""
    inside = loaded.get(_INSIDE.get(role)) if isinstance(loaded, Mapping) else None
    return loaded if inside is None else inside
