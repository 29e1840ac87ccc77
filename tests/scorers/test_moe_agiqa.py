"""MoE-AGIQA: parity with the published model, its checkpoints, prompts, crops and experts."""

from __future__ import annotations

import gc
import logging
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from iqaloss import create_scorer, load_official
from iqaloss.losses.iqa_loss import IQALoss
from iqaloss.losses.moe_agiqa_loss import MoEAGIQALoss
from iqaloss.scorers.base import Request
from iqaloss.scorers.checkpoints import save
from iqaloss.scorers.factory import build, create_tiny
from iqaloss.scorers.layers.crops import grid_places, pad_to_side, take_crops
from iqaloss.scorers.layers.wordpiece import WordPiece
from iqaloss.scorers.moe_agiqa import MoEAGIQA, MoEAGIQAConfig, load_role
from iqaloss.scorers.moe_agiqa.config import TINY
from iqaloss.scorers.moe_agiqa.fusion import CrossAttention, QualityFusion, TopExperts
from iqaloss.scorers.moe_agiqa.official import _FUSION, _SEMANTIC, OfficialLayout
from iqaloss.scorers.registry import entry
from testing.costs import total_flops
from testing.golden import Golden, assert_close, assert_gradient_close
from testing.skeletons import without_numbers

ROLES = {
    "reward": "moe_agiqa_reward",
    "regressor": "moe_agiqa_regressor_v2",
    "vit": "moe_agiqa_vit",
    "vit_prior": "moe_agiqa_vit",
}
VOCABULARY = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "a", "cat", "##s", "blue", "house", ",", "!", "un", "##e"]


def tiny(seed: int = 0, **options: object) -> MoEAGIQA:
    torch.manual_seed(seed)
    item = entry("moe-agiqa")
    scorer = build(item, item.tiny, options)
    assert isinstance(scorer, MoEAGIQA)
    return scorer.freeze()


def tiny_options(**changes: object) -> dict[str, object]:
    config = replace(TINY, **changes)
    return {name: getattr(config, name) for name in config.__dataclass_fields__ if name != "prior"}


def official_states(scorer: MoEAGIQA) -> dict[str, dict[str, Tensor]]:
    """A scorer's weights as the published training would have written them."""
    states = {
        "reward": OfficialLayout(scorer.semantic, _SEMANTIC).state_dict(),
        "regressor": OfficialLayout(scorer.fusion, _FUSION).state_dict(),
        "vit": scorer.visual.state_dict(),
    }
    if scorer.prior is not None:
        states["vit_prior"] = scorer.prior.state_dict()
    return states


def on_meta(**options: object) -> MoEAGIQA:
    """The full architecture without memory for its weights."""
    item = entry("moe-agiqa")
    with without_numbers():
        scorer = build(item, item.config, options)
    assert isinstance(scorer, MoEAGIQA)
    return scorer.freeze()


@pytest.fixture(scope="module")
def images() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(2, 3, 10, 8, generator=generator)
    return torch.nn.functional.interpolate(coarse, (80, 64), mode="bilinear")


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    # The tiny text encoder's start, end and padding are ids 1, 2 and 0.
    return path


# --- parity --------------------------------------------------------------------------------------


def lean_weights(golden: Golden, part: str, keys: str) -> dict[str, Tensor]:
    """The deterministic weights of a part, without a second copy of it in memory while they are made."""
    empty = {key: torch.zeros(()).expand(shape) for key, shape in golden.shapes(keys).items()}
    return golden.fill.fill_state_dict(empty, f"public:{part}")


@pytest.fixture(scope="module")
def full(golden: Golden) -> tuple[MoEAGIQA, dict[str, np.ndarray]]:
    """The full scorer, version 2, under the deterministic weights, and their checksums; 2.4 GB."""
    item = entry("moe-agiqa")
    scorer = build(item, item.config, {})
    assert isinstance(scorer, MoEAGIQA)
    sums = {}
    for role, keys in ROLES.items():
        part = "moe_agiqa_vit_prior" if role == "vit_prior" else keys
        state = lean_weights(golden, part, keys)
        sums[f"{part}_checksum"] = golden.fill.checksum(state)
        load_role(scorer, role, state)
        del state
        gc.collect()
    return scorer.freeze(), sums


def moments(name: str, values: Tensor) -> dict[str, Tensor]:
    return {f"{name}_mean": values.double().mean(), f"{name}_std": values.double().std()}


@pytest.mark.parametrize("version", [2, 1])
def test_parity_with_the_published_model(
    golden: Golden, full: tuple[MoEAGIQA, dict[str, np.ndarray]], version: int
) -> None:
    scorer, sums = full
    want = golden.load(f"moe_agiqa_v{version}")
    sums = {name: value for name, value in sums.items() if version == 2 or ("prior" not in name and "v2" not in name)}
    if version == 1:  # the same transformers, less the prior's, under another regressor
        state = lean_weights(golden, "moe_agiqa_regressor_v1", "moe_agiqa_regressor_v1")
        sums["moe_agiqa_regressor_v1_checksum"] = golden.fill.checksum(state)
        scorer.config = replace(scorer.config, prior=False)
        scorer.prior, scorer.fusion = None, QualityFusion(scorer.config)
        load_role(scorer, "regressor", state)
        scorer.freeze()
    ids, mask = torch.from_numpy(want["prompt_ids"]), torch.from_numpy(want["prompt_mask"])
    crop = golden.image("moe:crop", want["crop_image_shape"]).requires_grad_()
    prompt = golden.image("moe:prompt", want["prompt_image_shape"])
    np.testing.assert_array_equal((ids != 0).numpy(), mask.bool().numpy())

    out = scorer(crop, prompts=ids, prompt_images=prompt)
    out.score.sum().backward()
    with torch.no_grad():
        embeds = scorer.semantic.vision.forward_features(scorer.normalize(prompt))
        text = scorer._text(prompt, 2, ids)
        blocks = scorer._visual_blocks(crop)
    got = {
        "crop_image_sub": crop[..., ::16, ::16],
        "prompt_image_sub": prompt[..., ::16, ::16],
        "image_embeds_sub": embeds[:, ::7, ::16],
        **moments("image_embeds", embeds),
        "text_features_sub": text[:, :, ::8],
        **moments("text_features", text),
        "imagereward": out.extras["reward"],
        "vit_features_sub": blocks[:, ::48, ::3, ::3],
        **moments("vit_features", blocks),
        **{name: out.extras[name] for name in ("gate", "pooled", "experts", "prior") if name in out.extras},
        "overall": out.score,
        "overall_f64": out.score,
        **sums,
    }
    inputs = {"prompt_ids", "prompt_mask", "crop_image_shape", "prompt_image_shape"}
    assert set(got) | inputs | {"grad_overall_sub", "grad_overall_l2"} == set(want)
    for name, value in got.items():
        assert_close(value, want[name])
    assert crop.grad is not None
    assert_gradient_close(crop.grad, want["grad_overall_sub"], want["grad_overall_l2"])


# --- official checkpoints ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shapes(golden: Golden) -> dict[str, dict[str, list[int]]]:
    parts = {**ROLES, "regressor_v1": "moe_agiqa_regressor_v1"}
    return {role: golden.shapes(part) for role, part in parts.items()}


def meta_state(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


@pytest.fixture(scope="module")
def hollow() -> MoEAGIQA:
    return on_meta()


@pytest.mark.parametrize("role", ROLES)
def test_official_key_lists_load_strictly(hollow: MoEAGIQA, shapes: dict[str, dict[str, list[int]]], role: str) -> None:
    load_role(hollow, role, meta_state(shapes[role]))


def test_version_1_loads_strictly_and_is_told_by_its_keys(shapes: dict[str, dict[str, list[int]]]) -> None:
    roles = {role: shapes[role] for role in ("reward", "vit")}
    parts = {"regressor": shapes["regressor_v1"], **roles}
    with without_numbers():
        scorer = load_official("moe-agiqa", {role: meta_state(part) for role, part in parts.items()})
    assert scorer.config.prior is False
    assert "prior" not in scorer.extra_names


@pytest.mark.parametrize(
    ("role", "key"),
    [
        ("reward", "blip.text_encoder.encoder.layer.3.crossattention.self.key.weight"),
        ("reward", "blip.visual_encoder.cls_token"),
        ("regressor", "proj_experts.2.project.0.weight"),
        ("regressor", "weight1"),
        ("vit", "blocks.7.mlp.fc2.bias"),
        ("vit_prior", "norm.weight"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_the_tensors_official_name(
    hollow: MoEAGIQA, shapes: dict[str, dict[str, list[int]]], role: str, key: str
) -> None:
    state = meta_state(shapes[role])
    missing = {name: value for name, value in state.items() if name != key}
    with pytest.raises(ValueError, match=rf"{role}.*missing: {key}"):
        load_role(hollow, role, missing)
    with pytest.raises(ValueError, match=rf"{role}.*unexpected: {key}_more"):
        load_role(hollow, role, {**state, f"{key}_more": state[key]})
    misshapen = {**state, key: torch.empty(*state[key].shape, 2, device="meta")}
    with pytest.raises(ValueError, match=rf"{role}.*misshapen: {key} has shape"):
        load_role(hollow, role, misshapen)


@pytest.mark.parametrize("prior", [True, False])
def test_official_states_give_the_same_model(images: Tensor, prior: bool) -> None:
    scorer = tiny(prior=prior)
    loaded = load_official("moe-agiqa", official_states(scorer), **tiny_options())
    assert loaded.config == scorer.config
    torch.testing.assert_close(loaded(images).score, scorer(images).score)


def test_roles_that_do_not_fit_together_are_refused() -> None:
    second, first = official_states(tiny()), official_states(tiny(prior=False))
    without = {role: state for role, state in second.items() if role != "vit_prior"}
    with pytest.raises(ValueError, match="vit_prior"):
        load_official("moe-agiqa", without, **tiny_options())
    with pytest.raises(ValueError, match="belongs to version 2"):
        load_official("moe-agiqa", {**first, "vit_prior": second["vit_prior"]}, **tiny_options())
    without = {role: state for role, state in first.items() if role != "vit"}
    with pytest.raises(ValueError, match=r"download_vit='vit_base_patch16_224\.augreg_in21k_ft_in1k'"):
        load_official("moe-agiqa", without, **tiny_options())
    with pytest.raises(ValueError, match="leave out download_vit"):
        load_official("moe-agiqa", first, download_vit="vit", **tiny_options())
    with pytest.raises(ValueError, match="did you mean 'crops'"):
        load_official("moe-agiqa", first, crop=2)
    with pytest.raises(ValueError, match='variant="released"'):
        load_official("moe-agiqa", first, **tiny_options(variant="paper"))


def test_the_visual_transformer_is_downloaded_when_asked_for_by_name(
    images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    import timm

    scorer = tiny(prior=False)
    parts = official_states(scorer)
    asked = []

    def create_model(name: str, **options: object) -> torch.nn.Module:
        asked.append((name, options))
        return scorer.visual

    monkeypatch.setattr(timm, "create_model", create_model)
    del parts["vit"]
    loaded = load_official("moe-agiqa", parts, download_vit="some_vit.tag", **tiny_options())
    assert asked == [("some_vit.tag", {"pretrained": True})]
    torch.testing.assert_close(loaded(images).score, scorer(images).score)
    options = {name: value for name, value in tiny_options().items() if name != "visual_tag"}
    assert load_official("moe-agiqa", parts, download_vit="some_vit.tag", **options).config.visual_tag == "some_vit.tag"


@pytest.mark.skipif(torch.__version__ < "2.6", reason="needs torch 2.6")
def test_the_training_scripts_file_is_read_without_running_code_in_it(tmp_path: Path, images: Tensor) -> None:
    states = official_states(tiny())
    content = {
        "epoch": 3,
        "reward_model_state_dict": states["reward"],
        "regressor_model_state_dict": states["regressor"],
        "loss": np.float64(0.25),
    }
    torch.save(content, tmp_path / "best.pth")
    torch.save({"vit_model_state_dict": states["vit_prior"], "loss": np.float32(1)}, tmp_path / "prior.pth")
    best, prior = tmp_path / "best.pth", tmp_path / "prior.pth"
    parts = {"reward": best, "regressor": best, "vit_prior": prior, "vit": states["vit"]}
    loaded = load_official("moe-agiqa", parts, **tiny_options())
    torch.testing.assert_close(loaded(images).score, tiny()(images).score)
    torch.save({"loss": Path("x")}, tmp_path / "code.pth")
    with pytest.raises(ValueError, match="cannot read"):
        load_official("moe-agiqa", {**parts, "reward": tmp_path / "code.pth"}, **tiny_options())


@pytest.mark.parametrize("options", [{}, {"prior": False}, {"variant": "paper"}, {"dtype": "bf16"}])
def test_our_own_file_brings_the_model_back(tmp_path: Path, images: Tensor, options: dict[str, object]) -> None:
    scorer = tiny(**options)
    loaded = create_scorer("moe-agiqa", save(scorer, tmp_path / "mine.safetensors"))
    assert loaded.config == scorer.config
    torch.testing.assert_close(loaded(images).score, scorer(images).score)


def test_without_weights_the_error_says_what_is_needed() -> None:
    with pytest.raises(ValueError, match=r"(?s)reward \(needed\).*vit_prior \(optional\)"):
        create_scorer("moe-agiqa")


# --- size and precision --------------------------------------------------------------------------


def test_the_full_model_says_its_size_before_it_is_built(
    hollow: MoEAGIQA, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = sum(parameter.numel() for parameter in hollow.parameters())
    head = sum(p.numel() for part in (hollow.fusion, hollow.semantic.reward) for p in part.parameters())
    assert hollow.config.transformer_parameters == count - head
    assert MoEAGIQAConfig(dtype="bf16").gigabytes == pytest.approx(hollow.config.gigabytes / 2)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("built")

    with caplog.at_level(logging.WARNING, "iqaloss"):
        create_tiny("moe-agiqa")
        assert not caplog.records
        monkeypatch.setattr("iqaloss.scorers.moe_agiqa.model.create_vit", refuse)
        with pytest.raises(AssertionError, match="built"):
            create_scorer("moe-agiqa", weights=None)
    assert "589 M parameters, 2.35 GB in fp32" in caplog.text
    assert 'dtype="bf16"' in caplog.text


def test_backward_of_the_full_model_costs_no_more_than_its_forward(hollow: MoEAGIQA) -> None:
    images = torch.empty(1, 3, 224, 224, device="meta", requires_grad=True)
    forward, out = total_flops(hollow, images, Request(score=True))
    backward, _ = total_flops(torch.autograd.grad, out.score.sum(), images)
    assert forward / 2e9 == pytest.approx(98.28, abs=0.01)  # GMACs
    assert 0 < backward <= 1.05 * forward


def test_transformers_held_in_bf16_give_a_float32_loss(images: Tensor) -> None:
    half, whole = tiny(dtype="bf16"), tiny()
    for network in (half.visual, half.prior, half.semantic):
        assert {parameter.dtype for parameter in network.parameters()} == {torch.bfloat16}
    assert {parameter.dtype for parameter in half.fusion.parameters()} == {torch.float32}
    for scorer in (half, tiny().to(torch.bfloat16)):
        for mode in ("nr", "fr"):
            pred = images.clone().requires_grad_()
            value = IQALoss(scorer, mode)(pred, images.flip(0))
            value.backward()
            assert value.dtype == torch.float32
            assert pred.grad is not None
            assert torch.isfinite(pred.grad).all()
            assert pred.grad.abs().max() > 0
            want = IQALoss(whole, mode)(images, images.flip(0))
            torch.testing.assert_close(value.detach(), want, rtol=0.05, atol=0.02)


# --- what is computed ----------------------------------------------------------------------------


def test_full_reference_runs_neither_text_nor_prior_nor_experts(
    images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = tiny()
    loss = IQALoss(scorer, "fr")
    want = loss(images, images.flip(0))

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("not needed")

    for network in (scorer.semantic, scorer.fusion.top):
        monkeypatch.setattr(network, "forward", refuse)
    monkeypatch.setattr(scorer.prior, "forward_features", refuse)
    torch.testing.assert_close(loss(images, images.flip(0)), want)
    with pytest.raises(AssertionError, match="not needed"):
        IQALoss(scorer, "nr")(images)


def test_each_extra_output_alone_is_that_of_the_whole(images: Tensor) -> None:
    scorer = tiny()
    whole = scorer(images)
    assert tuple(whole.extras) == scorer.extra_names == ("gate", "experts", "pooled", "reward", "prior")
    for name in scorer.extra_names:
        part = scorer(images, Request(features=(), extras=(name,)))
        assert list(part.extras) == [name]
        torch.testing.assert_close(part.extras[name], whole.extras[name])


def test_the_best_experts_count_without_renormalization() -> None:
    torch.manual_seed(0)
    top = TopExperts(8, experts=4, best=3)
    pooled = torch.randn(5, 8)
    judged = top(pooled)
    for row in range(5):
        weights = top.select(pooled[row]).softmax(0)
        kept = weights.argsort(descending=True)[:3]
        want = sum(weights[index] * top.experts[index](pooled[row]).squeeze() for index in kept.tolist())
        torch.testing.assert_close(judged.score[row], want)
        assert weights[kept].sum() < 1
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(top(pooled).score, judged.score)


def test_the_papers_attention_is_equation_9(images: Tensor) -> None:
    torch.manual_seed(0)
    attention = CrossAttention(8, 1, 8, scaled=False, project=False)
    tokens, memory = torch.randn(2, 5, 8), torch.randn(2, 3, 8)
    query, key, value = attention.query(tokens), attention.key(memory), attention.value(memory)
    torch.testing.assert_close(attention(tokens, memory), (query @ key.transpose(1, 2)).softmax(2) @ value)
    paper = tiny(variant="paper")
    assert paper.fusion.attention.scale == 1.0
    assert paper.fusion.attention.heads == 1
    assert torch.isfinite(paper(images).score).all()


def test_version_2_starts_as_version_1_with_a_gradient(images: Tensor) -> None:
    scorer = tiny().unfreeze()
    pred = images.clone().requires_grad_()
    scorer(pred).score.sum().backward()
    assert pred.grad is not None
    assert pred.grad.abs().max() > 0
    assert scorer.fusion.prior.gated.grad.abs().max() > 0
    blocks, prior = torch.randn(2, 96, 2, 2), torch.randn(2, 48)
    visual = scorer.fusion.degradation(blocks)
    torch.testing.assert_close(scorer.fusion.prior(visual, prior), visual)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"variant": "papers"}, "did you mean 'paper'"),
        ({"dtype": "fp16"}, "unknown dtype 'fp16'"),
        ({"placement": "gird"}, "did you mean 'grid'"),
        ({"crops": 0}, "crops must be at least 1"),
        ({"prompt_length": 9}, "prompt_length must be between 3 and 8"),
    ],
)
def test_unknown_options_are_refused(option: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(**option)


# --- crops ---------------------------------------------------------------------------------------


def test_scores_repeat_in_evaluation_and_crops_vary_in_training(images: Tensor) -> None:
    for options in ({}, {"placement": "seeded", "crops": 3}):
        scorer = tiny(**options)
        assert torch.equal(scorer(images).score, scorer(images).score)
    first, second = scorer(images, seed=1).score, scorer(images, seed=2).score
    assert torch.equal(first, scorer(images, seed=1).score)
    assert not torch.equal(first, second)
    scorer.unfreeze().train()
    torch.manual_seed(0)
    views = scorer._crops(images, None, None)
    assert views.shape == (2, 3, 3, 32, 32)
    assert not torch.equal(views, scorer._crops(images, None, None))
    random = tiny(placement="random", crops=3)
    assert not torch.equal(random._crops(images, None, None), random._crops(images, None, None))


def test_crops_are_where_they_should_be() -> None:
    rows = torch.arange(7.0)[:, None].expand(7, 9)
    columns = torch.arange(9.0).expand(7, 9)
    coordinates = torch.stack([rows, columns])[None]
    corners = take_crops(coordinates, 4, 4)[0, :, :, 0, 0]
    assert corners.tolist() == [[0, 0], [0, 5], [3, 0], [3, 5]]
    assert take_crops(coordinates, 4, 1)[0, 0, :, 0, 0].tolist() == [1, 2]
    for placement in ("seeded", "random"):
        crops = take_crops(coordinates, 4, 50, placement)[0]
        corner = crops[:, :, 0, 0]
        assert corner.amin(0).tolist() == [0, 0]
        assert corner.amax(0).tolist() == [3, 5]
        offsets = coordinates[0, :, :4, :4] + corner[:, :, None, None]
        torch.testing.assert_close(crops, offsets)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9, 15])
def test_the_grid_has_at_most_the_crops_that_were_asked_for(count: int) -> None:
    for height, width in ((224, 224), (224, 900), (900, 224), (300, 301), (1080, 1920)):
        places = grid_places(height, width, 224, count)
        assert 1 <= len(places) <= count
        assert len(set(places)) == len(places)
        assert all(0 <= top <= height - 224 and 0 <= left <= width - 224 for top, left in places)


def test_small_images_are_padded_with_zeros_around() -> None:
    padded = pad_to_side(torch.ones(1, 1, 3, 6), 6)
    assert padded[0, 0].sum(1).tolist() == [0, 6, 6, 6, 0, 0]
    scorer = tiny(visual=replace(TINY.visual, side=64, patch=32))
    assert torch.isfinite(scorer(torch.rand(1, 3, 40, 50)).score).all()


def test_a_score_is_the_mean_over_crops(images: Tensor) -> None:
    scorer = tiny(crops=4)
    text = scorer(images, prompt_images=images).score
    single = [scorer(crop, prompt_images=images).score for crop in take_crops(images, 32, 4).unbind(1)]
    torch.testing.assert_close(text, torch.stack(single).mean(0))
    torch.testing.assert_close(
        scorer(images, crops=1).score, scorer(images[:, :, 24:56, 16:48], prompt_images=images).score
    )
    with pytest.raises(ValueError, match="prompt_images holds 1 images, images 2"):
        scorer(images, prompt_images=images[:1])
    with pytest.raises(ValueError, match="crops must be at least 1"):
        scorer(images, crops=0)
    with pytest.raises(ValueError, match="unknown condition 'prompt'; did you mean 'prompts'"):
        scorer(images, prompt=torch.tensor([1, 2]))


# --- prompts -------------------------------------------------------------------------------------


def test_prompts_change_the_score_and_carry_a_gradient(images: Tensor) -> None:
    scorer = tiny()
    cats, houses = torch.tensor([1, 4, 5, 6, 2, 0]), torch.tensor([1, 7, 8, 2])
    assert not torch.allclose(scorer(images, prompts=cats).score, scorer(images, prompts=houses).score)
    torch.testing.assert_close(scorer(images).score, scorer(images, prompts=torch.tensor([1, 2, 0, 0, 0, 0])).score)
    each = scorer(images, prompts=torch.stack([cats, torch.tensor([1, 7, 8, 2, 0, 0])])).score
    torch.testing.assert_close(each[0], scorer(images, prompts=cats).score[0])
    seen = images.clone().requires_grad_()
    scorer(images, prompts=cats, prompt_images=seen).score.sum().backward()
    assert seen.grad is not None
    assert seen.grad.abs().max() > 0


def test_a_text_is_tokenized_once(images: Tensor, vocabulary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    split = WordPiece._split
    monkeypatch.setattr(WordPiece, "_split", lambda self, text: calls.append(text) or split(self, text))
    loss = MoEAGIQALoss("A cats!", scorer=tiny(), tokenizer=vocabulary)
    assert loss.prompt_ids.tolist() == [[1, 4, 5, 6, 10, 2]]
    want = loss(images)
    for _ in range(3):
        torch.testing.assert_close(loss(images), want)
    assert calls == ["A cats!"]
    scorer = tiny().use_tokenizer(vocabulary.parent)
    torch.testing.assert_close(1 - scorer(images, prompts="A cats!").score.mean(), want)
    scorer(images, prompts=["A cats!", "A cats!"])
    assert calls == ["A cats!"] * 2


def test_the_loss_takes_one_prompt_for_all_images_or_one_for_each(images: Tensor) -> None:
    loss = MoEAGIQALoss(torch.tensor([[1, 4, 2], [1, 7, 2]]), scorer=tiny(), reduction="none")
    each = loss(images)
    loss.set_prompts(torch.tensor([1, 4, 2]))
    torch.testing.assert_close(loss(images)[0], each[0])
    assert loss.state_dict() == {}
    loss.set_prompts(torch.tensor([[1, 4, 2]] * 3))
    with pytest.raises(ValueError, match="3 prompts for 2 images"):
        loss(images)
    both = MoEAGIQALoss(mode="both", scorer=tiny(), crops=1, seed=3)
    _, parts = both(images, images.flip(0), return_terms=True)
    assert set(parts) == {"nr_score", "fr_degradation"}


@pytest.mark.parametrize(
    ("prompts", "error", "message"),
    [
        ("a cat", ValueError, "need a tokenizer"),
        (5, TypeError, "prompts must be"),
        ([], TypeError, "prompts must be"),
        (torch.tensor([1.0, 2.0]), TypeError, "integers"),
        (torch.zeros(1, 6, dtype=torch.long), ValueError, "nothing but padding"),
        (torch.tensor([1, 32]), ValueError, r"lie in \[0, 31\]"),
        (torch.ones(7, dtype=torch.long), ValueError, r"L at most 6, got \[7\]"),
    ],
)
def test_prompts_that_do_not_fit_are_refused(prompts: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        MoEAGIQALoss(prompts, scorer=tiny())


def test_the_loss_takes_no_other_scorer() -> None:
    with pytest.raises(ValueError, match=r"got .?mdiqa"):
        MoEAGIQALoss(scorer=create_tiny("mdiqa"))
    with pytest.raises(ValueError, match="crops must be at least 1"):
        MoEAGIQALoss(scorer=tiny(), crops=0)


def test_without_the_tokenizers_package_texts_say_what_to_install(
    vocabulary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    assert MoEAGIQALoss(torch.tensor([1, 4, 2]), scorer=tiny()).prompt_ids is not None
    with pytest.raises(ImportError, match=r"pip install 'iqaloss\[text\]'"):
        tiny().use_tokenizer(vocabulary)


def test_words_become_the_longest_known_pieces(vocabulary: Path) -> None:
    tokenizer = WordPiece.load(vocabulary)
    assert tokenizer.encode("Ã CÁTS, un\tcat-blue", 12) == [1, 4, 5, 6, 9, 11, 5, 3, 7, 2, 0, 0]
    assert tokenizer.encode("blue blue blue", 4) == [1, 7, 7, 2]
    assert tokenizer.encode("catx unknownword " + "a" * 101, 6) == [1, 3, 3, 3, 2, 0]
    assert tokenizer.encode("", 3) == [1, 2, 0]
    greek = WordPiece([*VOCABULARY, "σ", "##ς", "##σ"])
    assert greek.encode("ΣΣ ΣΣa", 9) == [1, 13, 14, 3, 2, 0, 0, 0, 0]
    assert pickle.loads(pickle.dumps(greek)).encode("Cats", 4) == [1, 5, 6, 2]
    with pytest.raises(FileNotFoundError, match="hf:google-bert/bert-base-uncased"):
        WordPiece.load("bert-base-uncased")
    vocabulary.write_text("a\nb\n")
    with pytest.raises(ValueError, match=r"lacks \[PAD\]"):
        WordPiece.load(vocabulary)
    vocabulary.write_text("[UNK]\n[CLS]\n[SEP]\n[PAD]\n")
    with pytest.raises(ValueError, match=r"\[PAD\] has id 3, expected 0"):
        MoEAGIQALoss("a", scorer=tiny(), tokenizer=vocabulary)
