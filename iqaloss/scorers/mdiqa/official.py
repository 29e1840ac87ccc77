"""Official MDIQA checkpoints: which fusion variant they hold, and how their keys become ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from iqaloss._configs import changed
from iqaloss.scorers.cards import ScorerCard
from iqaloss.scorers.mdiqa.config import FUSIONS, OFFICIAL, FusionConfig
from iqaloss.scorers.mdiqa.model import MDIQA
from iqaloss.scorers.state_dicts import StateDict, load_strict, rename_keys

# The published technical network comes as six files: "0:" marks the backbone's keys, "1:" to "5:" the heads'.
_JOIN = [(r"0:", "cfanet_backbone."), *((rf"{i + 1}:", f"cfanet_heads.{i}.") for i in range(5))]

_BRANCH = [
    (r"cfanet_backbone\.semantic_model\.", "backbone.trunk."),
    (r"cfanet_backbone\.dim_reduce\.", "backbone.reduce."),
    (r"cfanet_backbone\.weight_pool\.(\d+)\.splitconv\.", r"backbone.gates.\1.split."),
    (r"cfanet_backbone\.weight_pool\.(\d+)\.weight_blk\.", r"backbone.gates.\1.gate."),
    (r"cfanet_heads\.(\d+)\.h_emb", r"heads.\1.position.rows"),
    (r"cfanet_heads\.(\d+)\.w_emb", r"heads.\1.position.columns"),
    (r"cfanet_heads\.(\d+)\.sa_attn_blks\.(\d+)\.layers\.0\.", r"heads.\1.self_attention.\2."),
    (r"cfanet_heads\.(\d+)\.attn_blks\.(\d+)\.layers\.0\.", r"heads.\1.cross_attention.\2."),
    (r"cfanet_heads\.(\d+)\.attn_pool\.", r"heads.\1.pool."),
    (r"cfanet_heads\.(\d+)\.score_linear\.", r"heads.\1.regress."),
]
_FUSION = [
    (r"local_score_module\.fusion_before_attn\.(\d+)\.in_ln\.", r"local.\1.mix.0."),
    (r"local_score_module\.fusion_before_attn\.(\d+)\.out_ln\.", r"local.\1.mix.3."),
    (r"local_score_module\.attn_pools\.", "local."),
    (r"local_score_module\.score_linears\.(\d+)\.", r"local.\1.regress."),
    (r"(local_score_module\.)?net\.", "fuse."),
    (r"instance_specific_weighted_branch\.semantic_model\.", "weighting.trunk."),
    (r"instance_specific_weighted_branch\.dim_reduce\.", "weighting.reduce."),
    (r"instance_specific_weighted_branch\.score_linear\.", "weighting.logits."),
    (r"semantic_model\.visual\.", "clip.visual."),
    (r"semantic_feat_conv\.", "clip.project."),
]
_SELF_ATTENTION = [
    (r"(.*)\.self_attn\.", r"\1.attention."),
    (r"(.*)\.linear1\.", r"\1.feed.expand."),
    (r"(.*)\.linear2\.", r"\1.feed.contract."),
    (r"(.*)\.norm1\.", r"\1.norm_attention."),
    (r"(.*)\.norm2\.", r"\1.norm_feed."),
]
_CROSS_ATTENTION = [
    (r"(.*)\.multihead_attn\.", r"\1.attention."),
    (r"(.*)\.linear1\.", r"\1.feed.expand."),
    (r"(.*)\.linear2\.", r"\1.feed.contract."),
    (r"(.*)\.norm1\.", r"\1.norm_query."),
    (r"(.*)\.norm2\.", r"\1.norm_memory."),
    (r"(.*)\.norm3\.", r"\1.norm_feed."),
]
# The decoder layers' self attention is in the files and never used; the text half of CLIP neither, and the
# weights for single data sets only where the instance weights are off.
_UNUSED = [
    r"cfanet_heads\.\d+\.attn_blks\.\d+\.layers\.0\.self_attn\.",
    r"semantic_model\.(transformer|token_embedding|positional_embedding|text_projection|ln_final|logit_scale|attn_mask)",
    r"dataset_specific_weights\.",
]


def fusion_of(state: StateDict) -> FusionConfig:
    """Tells the fusion variant by the keys of its state dict.

    Raises:
        ValueError: If the keys fit none of the published variants.
    """
    branch = "instance_specific_weighted_branch.semantic_model."
    local = any(key.startswith("local_score_module.") for key in state)
    mobile = f"{branch}conv_stem.weight" in state
    pooled = f"{branch}fc.weight" in state
    resnet = f"{branch}conv1.weight" in state
    clip = any(key.startswith("semantic_model.visual.") for key in state)
    if not mobile and not resnet:
        raise ValueError(f"fusion: not a published fusion network: no weight branch, {branch}* is missing")
    base = FUSIONS["A"] if mobile else FUSIONS["D"] if pooled else FUSIONS["C"]
    return replace(base, local=local, clip=clip)


def convert(scorer_class: type[MDIQA], card: ScorerCard, files: Mapping[str, StateDict], **options: Any) -> MDIQA:
    """Builds the scorer from the official networks; every tensor is loaded, or known to have no effect.

    Args:
        scorer_class: The scorer's class.
        card: Its card.
        files: The state dicts of roles ``technical``, ``aesthetic`` and ``fusion``. The fusion variant is told by its
            keys. The technical network has the prefixes ``cfanet_backbone.`` and ``cfanet_heads.``, or comes as its
            backbone and its five heads, in order.
        **options: Fields of the config.
    """
    config = changed(OFFICIAL, options, card.name)
    if "fusion" not in options:
        config = replace(config, fusion=fusion_of(files["fusion"]))
    scorer = scorer_class(card, config)
    for branch in config.branches:
        state = rename_keys(files[branch.name], _JOIN)
        load_strict(scorer.branches[branch.name], _branch(state, branch.dimensions), source=f"role {branch.name!r}")
    heads = {name: index for index, name in enumerate(config.dimensions)}
    fusion = rename_keys(files["fusion"], _FUSION, _UNUSED)
    fusion = rename_keys(fusion, [(rf"local\.{i}\.(?=mix|regress)", f"local.{n}.") for n, i in heads.items()])
    fusion = rename_keys(fusion, [(rf"local\.{i}\.", f"local.{n}.pool.") for n, i in heads.items()])
    _load_fusion(scorer, _layers(fusion, r"local."))
    return scorer


def _branch(state: StateDict, dimensions: tuple[str, ...]) -> dict[str, Tensor]:
    """Converts the keys of a technical or aesthetic network; a head's number becomes its dimension's name."""
    renamed = rename_keys(state, _BRANCH, _UNUSED)
    renamed = rename_keys(renamed, [(rf"heads\.{i}\.", f"heads.{name}.") for i, name in enumerate(dimensions)])
    return _layers(renamed, "heads.")


def _layers(state: StateDict, prefix: str) -> dict[str, Tensor]:
    """Converts the names inside the transformer layers below a prefix."""
    cross = {key: value for key, value in state.items() if key.startswith(prefix) and ".cross_attention." in key}
    other = {key: value for key, value in state.items() if key.startswith(prefix) and key not in cross}
    rest = {key: value for key, value in state.items() if not key.startswith(prefix)}
    return {**rest, **rename_keys(cross, _CROSS_ATTENTION), **rename_keys(other, _SELF_ATTENTION)}


def _load_fusion(scorer: MDIQA, state: StateDict) -> None:
    """Loads the fusion network; it is everything beside the branches."""
    branches = {key: value for key, value in scorer.state_dict().items() if key.startswith("branches.")}
    load_strict(scorer, {**branches, **state}, source="role 'fusion'")
