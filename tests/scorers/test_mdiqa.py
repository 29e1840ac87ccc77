"""MDIQA computes what the published networks compute."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from iqaloss import MDIQALoss, create_scorer, load_official
from iqaloss.scorers.base import Request
from iqaloss.scorers.cards import ScorerCard
from iqaloss.scorers.factory import create_tiny
from iqaloss.scorers.layers.transformer import attend
from iqaloss.scorers.mdiqa import FUSIONS, MDIQA
from iqaloss.scorers.mdiqa.config import AESTHETIC, TECHNICAL
from iqaloss.scorers.mdiqa.official import fusion_of
from testing.costs import total_flops
from testing.golden import Golden, assert_close, assert_gradient_close

FEATURES = Request(dimensions=None, features=None, extras=None)


@pytest.fixture(scope="module", params=["C", "A"])
def variant(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def parts(golden: Golden) -> dict[str, dict[str, Tensor]]:
    return {"technical": golden.weights("mdiqa_tech"), "aesthetic": golden.weights("mdiqa_aes")}


@pytest.fixture(scope="module")
def fusion_b(golden: Golden) -> dict[str, Tensor]:
    return golden.weights("mdiqa_fusion_B")


@pytest.fixture(scope="module")
def scorer(golden: Golden, variant: str, parts: dict[str, dict[str, Tensor]]) -> MDIQA:
    return load_official("mdiqa", {**parts, "fusion": golden.weights(f"mdiqa_fusion_{variant}")})


@pytest.mark.parametrize("key", ["a", "b"])
def test_scores_weights_and_gradients_equal_the_published_ones(
    golden: Golden, scorer: MDIQA, variant: str, key: str
) -> None:
    want = golden.load(f"mdiqa_fusion_{variant}")
    image = golden.image(f"mdiqa:{key}", want[f"{key}_image_shape"]).requires_grad_()
    for suffix, conditions in (("", {}), ("_ratio", {"ratio": torch.from_numpy(want["ratio"]).float()})):
        out = scorer(image, **conditions)
        assert_close(torch.stack(list(out.dimensions.values()), 1), want[f"{key}_scores"])
        assert_close(out.extras["weights"], want[f"{key}_weights{suffix}"])
        assert_close(out.score, want[f"{key}_overall{suffix}"])
        if "local_scores" in out.extras:
            assert_close(out.extras["local_scores"], want[f"{key}_local_scores"])
        (grad,) = torch.autograd.grad(out.score.sum(), image)
        assert_gradient_close(grad, want[f"{key}_grad_overall{suffix}_sub"], want[f"{key}_grad_overall{suffix}_l2"])


@pytest.mark.parametrize(("part", "names"), [("tech", TECHNICAL), ("aes", AESTHETIC)])
@pytest.mark.parametrize("key", ["a", "b"])
def test_dimensions_and_features_equal_the_published_ones(
    golden: Golden, scorer: MDIQA, part: str, names: tuple[str, ...], key: str
) -> None:
    want = golden.load(f"mdiqa_{part}")
    image = golden.image(f"mdiqa:{key}", want[f"{key}_image_shape"]).requires_grad_()
    out = scorer(image, Request(dimensions=names, features=names))
    scores = torch.stack([out.dimensions[name] for name in names], 1)
    assert_close(scores, want[f"{key}_scores"])
    for index, name in enumerate(names):
        features = out.features[name]
        assert_close(features[:, ::4], want[f"{key}_query_feat_sub"][index])
        assert_close(features.double().mean(), want[f"{key}_query_feat_mean"][index])
        assert_close(features.double().std(), want[f"{key}_query_feat_std"][index])
    (grad,) = torch.autograd.grad(scores.sum(), image)
    assert_gradient_close(grad, want[f"{key}_grad_sum_scores_sub"], want[f"{key}_grad_sum_scores_l2"])


@pytest.mark.parametrize("key", ["a", "b"])
@pytest.mark.parametrize("ratio", ["ones", "sharp2"])
def test_published_forms_give_the_published_restoration_losses(
    golden: Golden, scorer: MDIQA, variant: str, key: str, ratio: str
) -> None:
    want = golden.load("mdiqa_restoration_losses")
    target = golden.image(f"mdiqa_loss:{key}:gt", want[f"{key}_shape"])
    other = golden.image(f"mdiqa_loss:{key}:other", want[f"{key}_shape"])
    pred = (0.75 * target + 0.25 * other).requires_grad_()
    weights = {"sharpness": 2.0} if ratio == "sharp2" else None
    prefix = f"{key}_{variant}_{ratio}"

    nr = MDIQALoss(weights, "nr", scorer, form="fused")(pred)
    assert_close(nr - 1, want[f"{prefix}_NR"])
    (grad,) = torch.autograd.grad(nr, pred)
    assert_gradient_close(grad, want[f"{prefix}_grad_NR_sub"], want[f"{prefix}_grad_NR_l2"])

    fr = MDIQALoss(weights, "fr", scorer, form="fused", fr_weighting="published")(pred, target)
    assert_close(fr, want[f"{prefix}_FR"])
    (grad,) = torch.autograd.grad(fr, pred)
    assert_gradient_close(grad, want[f"{prefix}_grad_FR_sub"], want[f"{prefix}_grad_FR_l2"])


def test_fusion_b_equals_the_published_one(
    golden: Golden, parts: dict[str, dict[str, Tensor]], fusion_b: dict[str, Tensor]
) -> None:
    want = golden.load("mdiqa_fusion_B")
    scorer = load_official("mdiqa", {**parts, "fusion": fusion_b})
    image = golden.image("mdiqa:b", want["b_image_shape"])
    with torch.no_grad():
        out = scorer(image)
    assert_close(out.score, want["b_overall"])
    assert_close(out.extras["weights"], want["b_weights"])


def test_an_unknown_option_of_official_files_gets_the_nearest_name(
    parts: dict[str, dict[str, Tensor]], fusion_b: dict[str, Tensor]
) -> None:
    files = {**parts, "fusion": fusion_b}
    with pytest.raises(ValueError, match=r"mdiqa: unknown option 'heads'.*Valid: branches, fusion"):
        load_official("mdiqa", files, heads=3)
    with pytest.raises(ValueError, match="mdiqa: unknown option 'branch'; did you mean 'branches'"):
        load_official("mdiqa", files, branch=3)


@pytest.mark.parametrize("variant_name", ["A", "B", "C", "D"])
def test_fusion_variant_is_told_by_its_keys(golden: Golden, variant_name: str) -> None:
    state = {key: torch.empty(0) for key in golden.shapes(f"mdiqa_fusion_{variant_name}")}
    assert fusion_of(state) == FUSIONS[variant_name]


def test_fusion_d_loads_every_official_tensor(golden: Golden, parts: dict[str, dict[str, Tensor]]) -> None:
    state = {
        key: torch.full(shape, 0.01, dtype=torch.long if key.endswith("tracked") else torch.float32)
        for key, shape in golden.shapes("mdiqa_fusion_D").items()
    }
    scorer = load_official("mdiqa", {**parts, "fusion": state})
    with torch.no_grad():
        weights = scorer(torch.rand(1, 3, 64, 64), Request(extras=("weights",))).extras["weights"]
    torch.testing.assert_close(weights.sum(1), torch.ones(1))


def test_a_folder_with_the_official_files_loads(
    parts: dict[str, dict[str, Tensor]], tmp_path: Path, fusion_b: dict[str, Tensor]
) -> None:
    technical = parts["technical"]
    names = ["net_freeze_backbone.pth", *(f"net_best_koniq10k_val_head{i}_head{i}.pth" for i in range(5))]
    prefixes = ["cfanet_backbone.", *(f"cfanet_heads.{i}." for i in range(5))]
    for name, prefix in zip(names, prefixes):
        part = {k.removeprefix(prefix): v for k, v in technical.items() if k.startswith(prefix)}
        torch.save({"params": part}, tmp_path / name)
    torch.save({"params": parts["aesthetic"]}, tmp_path / "net_best_PARA_val_color.pth")
    fusion = fusion_b
    torch.save({"params": fusion}, tmp_path / "mdiqa_shared_5t_4a_mbv3_koniq_seed1.pth")
    whole = load_official("mdiqa", {**parts, "fusion": fusion}).state_dict()
    for key, value in create_scorer("mdiqa", weights=tmp_path).state_dict().items():
        assert torch.equal(value, whole[key]), key


@pytest.mark.parametrize("damage", ["missing", "unexpected", "misshapen"])
@pytest.mark.parametrize(
    ("role", "official", "ours"),
    [
        ("aesthetic", "cfanet_heads.1.h_emb", "heads.composition.position.rows"),
        ("fusion", "net.0.weight", "fuse.0.weight"),
    ],
)
def test_a_damaged_official_file_is_refused_by_the_tensors_name(
    parts: dict[str, dict[str, Tensor]], role: str, official: str, ours: str, damage: str, fusion_b: dict[str, Tensor]
) -> None:
    given = {**parts, "fusion": fusion_b}
    broken = dict(given[role])
    if damage == "missing":
        del broken[official]
    elif damage == "unexpected":
        broken[f"{official}.more"] = torch.zeros(1)
    else:
        broken[official] = broken[official][:, :1]
    with pytest.raises(ValueError, match=rf"role '{role}'.*{damage}.*{ours.replace('.', r'[.]')}"):
        load_official("mdiqa", {**given, role: broken})


@pytest.mark.parametrize("mode", ["nr", "fr"])
def test_the_embedded_architecture_goes_back_for_the_price_of_going_forward(mode: str) -> None:
    loss = MDIQALoss(None, mode, create_scorer("mdiqa-mobile", weights=None))
    pred, target = torch.rand(2, 1, 3, 256, 256)
    encoded = loss.encode(target) if mode == "fr" else None
    forward, value = total_flops(loss, pred.requires_grad_(), encoded)
    backward, _ = total_flops(value.backward)
    assert 0 < backward <= 1.05 * forward


@pytest.mark.parametrize("training", [False, True])
def test_attention_equals_torchs_own(training: bool) -> None:
    torch.manual_seed(0)
    layer = torch.nn.MultiheadAttention(8, 2).train(training)
    for keys in (5, 300):  # both ways of computing it
        query, memory = torch.randn(7, 2, 8), torch.randn(keys, 2, 8)
        torch.testing.assert_close(attend(layer, query, memory), layer(query, memory, memory)[0])
        torch.testing.assert_close(attend(layer, memory, memory), layer(memory, memory, memory)[0])


def test_a_zero_weight_saves_its_head(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = create_tiny("mdiqa-mobile")
    run: list[str] = []
    for name, head in scorer.branches["technical"].heads.items():
        head.register_forward_pre_hook(lambda *_: None)
        original = head.features
        monkeypatch.setattr(head, "features", lambda maps, n=name, f=original: run.append(n) or f(maps))
    image = torch.rand(1, 3, 64, 64)
    MDIQALoss({"brightness": 0, "contrast": 0, "colorfulness": 0}, "nr", scorer)(image)
    assert run == ["noisiness", "sharpness"]


def test_the_weighted_form_is_the_weighted_mean_of_the_dimensions() -> None:
    scorer = create_tiny("mdiqa")
    image = torch.rand(2, 3, 64, 64)
    scores = torch.stack(list(scorer(image).dimensions.values()), 1)
    weights = torch.arange(9.0)
    want = 1 - (scores * weights).sum(1) / weights.sum()
    got = MDIQALoss(weights.tolist(), "nr", scorer, reduction="none")(image)
    torch.testing.assert_close(got, want)


def test_a_backbone_that_no_weight_branch_was_given_is_refused() -> None:
    from dataclasses import replace

    from iqaloss.scorers.mdiqa.config import TINY_MOBILE

    config = replace(TINY_MOBILE, fusion=replace(TINY_MOBILE.fusion, pooled_logits=True))
    with pytest.raises(ValueError, match="weight_trunk is None"):
        MDIQA(ScorerCard("x", "x", "x", "x"), config)


def test_patches_of_a_gate_reach_the_border_of_any_map() -> None:
    from iqaloss.scorers.layers.pyramid import GatedConv

    torch.manual_seed(0)
    gated = GatedConv(3, hidden=4, patch=4)
    x = torch.randn(1, 3, 9, 14, requires_grad=True)
    out = gated(x)
    assert out.shape == (1, 3, 3, 4)
    out.sum().backward()
    assert x.grad is not None
    assert bool((x.grad.abs().sum(dim=1) > 0).all())
