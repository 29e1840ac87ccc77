"""SR-IQA computes what the published networks compute, and looks at images as published."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from iqaloss import create_scorer, load_official
from iqaloss.losses.sr_iqa_loss import SRIQALoss
from iqaloss.scorers import checkpoints
from iqaloss.scorers.base import Request
from iqaloss.scorers.factory import build, create_tiny
from iqaloss.scorers.layers.crops import cut
from iqaloss.scorers.layers.rectifier import Rectifier, rectify
from iqaloss.scorers.registry import entry
from iqaloss.scorers.sr_iqa import SRIQA, SRIQAConfig
from iqaloss.scorers.sr_iqa.clip import embed_windows
from iqaloss.scorers.sr_iqa.config import OFFICIAL, TINY
from iqaloss.scorers.sr_iqa.maniqa import ManiqaTokens
from iqaloss.scorers.sr_iqa.windows import fit_size, published_starts, spread_starts
from iqaloss.scorers.state_dicts import load_strict
from testing.costs import total_flops
from testing.golden import Golden, assert_close, assert_gradient_close
from testing.skeletons import without_numbers

SCORE = Request(score=True)
SIDE = 224


def tiny(**options: object) -> SRIQA:
    """A small scorer with every weight random, also where a fresh one starts from zero."""
    torch.manual_seed(0)
    scorer = build(entry("sr-iqa"), TINY, options)
    assert isinstance(scorer, SRIQA)
    if scorer.rectifier is not None:
        torch.nn.init.normal_(scorer.rectifier.out.weight, std=0.1)
    return scorer.freeze()


# --- parity with the published networks ---


@pytest.fixture(scope="module")
def official(golden: Golden) -> dict[str, SRIQA]:
    """The official CLIP under both wordings of the prompt; they share its weights."""
    scorer = load_official("sr-iqa", {"clip": golden.weights("sr_iqa_clip")})
    assert isinstance(scorer, SRIQA)
    clip, scorer.clip = scorer.clip, None
    other = copy.deepcopy(scorer)
    other.config = dataclasses.replace(scorer.config, prompt="of")
    other.prompts = tiny(prompt="of").prompts
    for one in (scorer, other):
        one.clip = clip
        one.freeze()
    return {"with": scorer, "of": other}


@pytest.mark.parametrize("prompt", ["with", "of"])
def test_clip_scores_and_gradients_equal_the_published_ones(
    golden: Golden, official: dict[str, SRIQA], prompt: str
) -> None:
    want, scorer = golden.load("sr_iqa_clip"), official[prompt]
    windows = golden.image("sr:a", (6, 3, SIDE, SIDE)).view(*want["a_patches_shape"]).requires_grad_()
    out = scorer.score_windows(windows, Request(score=True, extras=("probabilities",)))
    assert_close(out.extras["probabilities"], want[f"a_probs_{prompt}"])
    assert_close(out.score, want[f"a_overall_{prompt}"])
    (grad,) = torch.autograd.grad(out.score.sum(), windows)
    assert_gradient_close(grad, want[f"a_grad_overall_{prompt}_sub"], want[f"a_grad_overall_{prompt}_l2"])


def test_clip_embeddings_equal_the_published_ones(golden: Golden, official: dict[str, SRIQA]) -> None:
    want, scorer = golden.load("sr_iqa_clip"), official["with"]
    windows = golden.image("sr:a", (6, 3, SIDE, SIDE))
    with torch.no_grad():
        embedding, _ = embed_windows(scorer.clip.visual, scorer.normalize(windows), [], True)
        assert_close(embedding, want["a_image_features"])
        for prompt, other in official.items():
            assert_close(other.text_embeddings(), want[f"a_text_features_{prompt}"])
        scale = scorer.clip.logit_scale.exp()
        assert_close(scale, want["logit_scale_exp"])
        text = F.normalize(scorer.text_embeddings(), dim=1)
        assert_close(scale * F.normalize(embedding, dim=1) @ text.t(), want["a_logits_with"])


@pytest.mark.parametrize("prompt", ["with", "of"])
def test_prompts_are_the_published_tokens(golden: Golden, prompt: str) -> None:
    np.testing.assert_array_equal(
        tiny(prompt=prompt).prompts.numpy(), golden.load("sr_iqa_clip")[f"prompt_tokens_{prompt}"]
    )


@pytest.mark.parametrize("key", ["p", "q", "r"])
def test_whole_pictures_are_cut_and_scored_as_published(golden: Golden, official: dict[str, SRIQA], key: str) -> None:
    want = golden.load("sr_iqa_clip")
    image = (golden.image(f"sr:{key}", (3, *want[f"{key}_image_hw"])) * 255).round()[None] / 255
    fitted = fit_size(image, SIDE)
    starts = published_starts(fitted.shape[2], fitted.shape[3], SIDE, 15)
    windows = official["with"].normalize(cut(fitted, starts, SIDE)[0])
    if len(windows) == 1:  # the published test repeats the only window that it sees
        windows = windows.expand(15, -1, -1, -1)
    # Resized pictures differ by Pillow's rounding to whole 8-bit values, at most twice.
    resized = fitted.shape != image.shape
    step = 2 / 255 / 0.26 if resized else 1e-5
    assert np.abs(windows[:, :, ::56, ::56].numpy() - want[f"{key}_patches_sub"]).max() <= step
    np.testing.assert_allclose(windows.mean(dim=(1, 2, 3)), want[f"{key}_patches_mean"], atol=2e-3 if resized else 1e-5)
    with torch.no_grad():
        for prompt, scorer in official.items():
            score = scorer(image, SCORE).score if prompt == "with" or len(starts) == 1 else None
            if score is not None and not resized:
                assert_close(score, want[f"{key}_overall_{prompt}"])
            elif score is not None:
                np.testing.assert_allclose(score, want[f"{key}_overall_{prompt}"], atol=1e-2)


def test_rectifier_equals_the_published_one(golden: Golden) -> None:
    want = golden.load("sr_iqa_rectifier")
    rectifier = Rectifier(384, "positive").eval()
    state = golden.weights("sr_iqa_rectifier")
    names = {"mlp.0.": "hidden.", "mlp.3.": "out."}
    load_strict(rectifier, {names[k[:6]] + k[6:]: v for k, v in state.items()}, source="golden")
    tokens = golden.fill.normal("public:sr:tokens", want["r_tokens_shape"])
    tokens = tokens * torch.tensor([0.5, 1, 2])[:, None, None] + torch.tensor([0, 0.25, -0.5])[:, None, None]
    scale, shift = rectifier(tokens.requires_grad_())
    assert_close(scale, want["r_scale"])
    assert_close(shift, want["r_shift"])
    (grad,) = torch.autograd.grad(scale.sum() + 2 * shift.sum(), tokens)
    np.testing.assert_allclose(
        grad[:, ::98, ::48], want["r_grad_sub"], rtol=0, atol=5e-3 * float(np.abs(want["r_grad_sub"]).max())
    )
    np.testing.assert_allclose(grad.double().norm().item(), want["r_grad_l2"].item(), rtol=2e-3)


@pytest.fixture(scope="module")
def released(golden: Golden) -> SRIQA:
    parts = {part: golden.weights(f"sr_iqa_{part}") for part in ("clip", "rectifier", "maniqa")}
    scorer = load_official("sr-iqa", parts)
    assert isinstance(scorer, SRIQA)
    return scorer


def test_released_score_over_maniqa_tokens_equals_the_published_one(golden: Golden, released: SRIQA) -> None:
    want = golden.load("sr_iqa_rectifier")
    assert released.config.variant == "released"
    assert released.maniqa is not None
    windows = golden.image("sr:m", (4, 3, SIDE, SIDE))
    with torch.no_grad():
        tokens = released.maniqa(windows)
        assert_close(tokens[:, ::14, ::8], want["m_tokens_sub"])
        assert_close(tokens.double().mean(dim=(1, 2)), want["m_tokens_mean"])
        assert_close(tokens.double().flatten(1).std(dim=1), want["m_tokens_std"])
        released.maniqa.forward = lambda _: tokens  # type: ignore[method-assign]  # once is enough at this size
        out = released.score_windows(windows.view(*want["m_patches_shape"]))
    assert_close(out.extras["quality"], want["m_quality"])
    assert_close(out.extras["rectifier"][:, 0], want["m_scale"])
    assert_close(out.extras["rectifier"][:, 1], want["m_shift"])
    assert_close(out.score, want["m_overall"])


# --- official files ---


def empty(golden: Golden, part: str) -> dict[str, Tensor]:
    """Tensors with the official names and shapes and no memory."""
    return {key: torch.empty(shape, device="meta") for key, shape in golden.shapes(f"sr_iqa_{part}").items()}


def test_every_official_tensor_is_known(golden: Golden) -> None:
    parts = {part: empty(golden, part) for part in ("clip", "rectifier", "maniqa")}
    with without_numbers():
        assert load_official("sr-iqa", parts).config == dataclasses.replace(OFFICIAL, variant="released")
        assert load_official("sr-iqa", {"clip": parts["clip"]}).config == dataclasses.replace(OFFICIAL, rectified=False)


@pytest.mark.parametrize("damage", ["missing", "unexpected", "misshapen"])
@pytest.mark.parametrize(
    ("role", "key"),
    [
        ("clip", "visual.transformer.resblocks.3.attn.in_proj_weight"),
        ("rectifier", "mlp.3.bias"),
        ("maniqa", "swintransformer2.layers.1.blocks.0.attn.qkv.weight"),
    ],
)
def test_a_damaged_official_file_is_refused_by_the_tensors_name(
    golden: Golden, role: str, key: str, damage: str
) -> None:
    parts = {part: empty(golden, part) for part in ("clip", "rectifier", "maniqa")}
    if damage == "missing":
        del parts[role][key]
    elif damage == "unexpected":
        key = f"{key}.more"
        parts[role][key] = torch.empty(1, device="meta")
    else:
        parts[role][key] = torch.empty(5, 5, 5, device="meta")
    with without_numbers(), pytest.raises(ValueError, match=f"role '{role}'.*{damage}: {key}"):
        load_official("sr-iqa", parts)


def test_half_precision_tensors_are_cast() -> None:
    state = {key: value.half() for key, value in tiny().clip.state_dict().items()}
    scorer = load_official("sr-iqa", {"clip": state}, clip=TINY.clip)
    assert {parameter.dtype for parameter in scorer.parameters()} == {torch.float32}
    torch.testing.assert_close(scorer(torch.rand(1, 3, 64, 64)).extras["probabilities"].sum(), torch.ones(()))


def test_the_published_file_is_read_with_the_rectifier_inside(tmp_path: Path) -> None:
    scorer = tiny()
    assert scorer.rectifier is not None
    names = {"hidden": "mlp.0", "out": "mlp.3"}
    rectifier = {f"{names[k.split('.')[0]]}.{k.split('.')[1]}": v for k, v in scorer.rectifier.state_dict().items()}
    file = {
        "epoch": 3,
        "model_state_dict": scorer.clip.state_dict(),
        "rectifier_state_dict": rectifier,
        "optimizer_state_dict": {"state": {}, "param_groups": [{"lr": 5e-6}]},
        "all_results": {"srcc": {"koniq": [np.float64(0.9), np.float64(0.8)]}},
    }
    path = tmp_path / "LIQE-SR_0.01.pt"
    torch.save(file, path)
    images = torch.rand(2, 3, 70, 64)
    for loaded in (
        load_official("sr-iqa", {"clip": path}, clip=TINY.clip),
        load_official("sr-iqa", {"clip": file}, clip=TINY.clip),
        create_scorer("sr-iqa", weights=path, clip=TINY.clip),
        create_scorer("sr-iqa", weights=tmp_path, clip=TINY.clip),
    ):
        torch.testing.assert_close(loaded(images).score, scorer(images).score)


def test_parts_that_do_not_belong_together_are_refused() -> None:
    clip = tiny().clip.state_dict()
    rectifier = {"mlp.0.weight": torch.zeros(384, 384)}
    with pytest.raises(ValueError, match="reads MANIQA's tokens: give role 'maniqa'"):
        load_official("sr-iqa", {"clip": clip, "rectifier": rectifier}, clip=TINY.clip)
    with pytest.raises(ValueError, match="'maniqa' is read by the rectifier only"):
        load_official("sr-iqa", {"clip": clip, "maniqa": {}}, clip=TINY.clip)
    with pytest.raises(ValueError, match="needs the weights of role 'rectifier'"):
        load_official("sr-iqa", {"clip": clip}, clip=TINY.clip, rectified=True)
    with pytest.raises(ValueError, match="unknown option 'promt'; did you mean 'prompt'"):
        load_official("sr-iqa", {"clip": clip}, promt="of")


def test_own_checkpoint_returns_the_same_scorer(tmp_path: Path) -> None:
    scorer = tiny(prompt="of", windows=3)
    path = checkpoints.save(scorer, tmp_path / "own.safetensors")
    again = create_scorer("sr-iqa", weights=path)
    assert again.config == scorer.config
    images = torch.rand(1, 3, 130, 140)
    torch.testing.assert_close(again(images).score, scorer(images).score, rtol=0, atol=0)


def test_building_with_random_weights_is_offline_and_silent(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a connection was opened"))
    with without_numbers():
        scorer = create_scorer("sr-iqa", weights=None)
    assert not scorer.frozen
    assert not caplog.records
    with pytest.raises(ValueError, match=r"LIQE-SR_[*]\.pt(.|\n)*published at"):
        create_scorer("sr-iqa")


# --- what it computes ---


def test_logits_are_averaged_before_the_softmax() -> None:
    scorer = tiny(rectified=False)
    windows = torch.rand(2, 3, 3, 64, 64)
    each = scorer.score_windows(windows.flatten(0, 1)[:, None]).extras["probabilities"].unflatten(0, (2, 3))
    want = each.log().mean(dim=1).softmax(dim=1)
    out = scorer.score_windows(windows)
    torch.testing.assert_close(out.extras["probabilities"], want)
    torch.testing.assert_close(out.score, want @ torch.arange(1.0, 6.0))
    assert not torch.allclose(want, each.mean(dim=1), atol=1e-6)


def test_prompts_are_embedded_once_and_again_when_weights_change(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer, images, calls = tiny(), torch.rand(1, 3, 64, 64), []
    encode = scorer.clip.encode_text
    monkeypatch.setattr(scorer.clip, "encode_text", lambda tokens: calls.append(1) or encode(tokens))
    first = scorer(images).score
    torch.testing.assert_close(scorer(images).score, first)
    assert not calls
    state = {key: value + 0.05 * torch.randn_like(value) for key, value in scorer.state_dict().items()}
    scorer.load_state_dict(state)
    with torch.inference_mode():
        changed = scorer(images).score
    assert len(calls) == 1
    fresh = tiny()
    fresh.load_state_dict(state)
    torch.testing.assert_close(changed, fresh.freeze()(images).score)
    scorer(images.requires_grad_()).score.sum().backward()
    assert images.grad is not None
    assert len(calls) == 1


def test_training_differentiates_the_text_tower_and_freezing_ends_it() -> None:
    scorer, images = tiny().unfreeze(), torch.rand(1, 3, 64, 64)
    scorer(images).score.sum().backward()
    assert scorer.clip.token_embedding.weight.grad.abs().max() > 0
    assert scorer.clip.visual.proj.grad.abs().max() > 0
    with torch.no_grad():
        scorer.clip.token_embedding.weight += 0.5
        trained = scorer(images).score
    torch.testing.assert_close(scorer.freeze()(images).score, trained)


def test_rectified_score_follows_its_link() -> None:
    images = torch.rand(2, 3, 64, 64)
    for variant, link in (("paper", "affine"), ("released", "positive"), ("paper", "positive")):
        scorer = tiny(variant=variant, link=link)
        out = scorer(images)
        scale, shift = out.extras["rectifier"].unbind(1)
        want = (scale if link == "affine" else scale.abs() + 1) * out.extras["quality"] + shift
        torch.testing.assert_close(out.score, want)
        assert not torch.allclose(out.score, out.extras["quality"], atol=1e-3)
    one = torch.ones(1)
    assert rectify(3 * one, -2 * one, 0.5 * one, "affine").item() == -5.5


def test_a_fresh_paper_rectifier_changes_nothing() -> None:
    out = create_tiny("sr-iqa")(torch.rand(2, 3, 64, 64))
    torch.testing.assert_close(out.score, out.extras["quality"])


@pytest.mark.parametrize("passes", [False, True])
def test_a_gradient_passes_through_maniqa_only_on_request(passes: bool) -> None:
    scorer = tiny(variant="released", maniqa_gradient=passes)
    images = torch.rand(1, 3, 64, 64, requires_grad=True)
    shift = scorer(images).extras["rectifier"]
    assert shift.requires_grad is passes
    loss = SRIQALoss(scorer)(images)
    (grad,) = torch.autograd.grad(loss, images)
    assert torch.isfinite(grad).all()
    assert grad.abs().max() > 0


def test_maniqa_is_never_trained() -> None:
    scorer = tiny(variant="released").unfreeze().train()
    assert scorer.training
    assert isinstance(scorer.maniqa, ManiqaTokens)
    assert not any(module.training for module in scorer.maniqa.modules())
    assert not any(parameter.requires_grad for parameter in scorer.maniqa.parameters())
    images = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(scorer.maniqa(images), scorer.maniqa(images))


def test_demo_option_leaves_the_normalization_out() -> None:
    images = torch.rand(1, 3, 64, 64)
    scorer, bare = tiny(), tiny(normalized=False)
    torch.testing.assert_close(bare(scorer.normalize(images)).score, scorer(images).score)


@pytest.mark.parametrize("option", [{"variant": "papr"}, {"prompt": "off"}, {"link": "linear"}, {"windows": 0}])
def test_wrong_options_are_refused(option: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        SRIQAConfig(**option)  # type: ignore[arg-type]


# --- windows ---


def test_spread_windows_reach_every_border_and_are_no_more_than_needed() -> None:
    for height, width, count in itertools.product((224, 256, 300, 500), (224, 320, 447, 448, 768), (2, 4, 6, 9)):
        starts = spread_starts(height, width, SIDE, count)
        assert 1 <= len(starts) <= count
        assert len(set(starts)) == len(starts)
        tops, lefts = {top for top, _ in starts}, {left for _, left in starts}
        for places, room in ((tops, height - SIDE), (lefts, width - SIDE)):
            assert places == {room // 2} or {0, room} <= places
            assert len(places) <= -(-room // SIDE) + 1


def test_published_windows_are_on_their_grid() -> None:
    assert published_starts(768, 1024, SIDE, 15)[1] == (0, 13 * 48)  # 12 x 17 windows, every 13th
    starts = published_starts(512, 512, SIDE, 15)
    assert len(starts) == 15
    assert starts[1] == (0, 6 * 32)  # 100 windows, every 6th


def test_sizes_are_brought_to_a_fitting_one() -> None:
    for given, fitted in (
        ((180, 260), (224, 324)),
        ((260, 180), (324, 224)),
        ((300, 2000), (300, 2000)),
        ((768, 900), (768, 900)),
        ((800, 1040), (768, 998)),
    ):
        assert tuple(fit_size(torch.zeros(1, 3, *given), SIDE).shape[2:]) == fitted


def test_resizing_is_differentiable() -> None:
    from iqaloss.scorers.sr_iqa.windows import resize

    image = torch.rand(1, 1, 6, 7, dtype=torch.float64, requires_grad=True)
    for size, mode in (((9, 11), "bicubic"), ((4, 5), "bilinear")):
        assert torch.autograd.gradcheck(lambda x, size=size, mode=mode: resize(x, size, mode), image)


# --- the loss ---


def test_the_loss_reaches_every_pixel_where_the_published_test_sees_one_window() -> None:
    scorer = tiny()
    image = torch.rand(1, 3, 80, 90, requires_grad=True)
    (grad,) = torch.autograd.grad(SRIQALoss(scorer)(image), image)
    assert (grad.abs().sum(dim=1) > 0).all()
    (grad,) = torch.autograd.grad(SRIQALoss(scorer, windows=None)(image), image)
    assert (grad[..., 64:, :] == 0).all()


def test_the_loss_falls_from_bad_to_perfect() -> None:
    scorer, image = tiny(rectified=False), torch.rand(2, 3, 64, 64)
    out = scorer(image)
    torch.testing.assert_close(SRIQALoss(scorer, reduction="none")(image), (5 - out.score) / 4)
    torch.testing.assert_close(SRIQALoss(scorer, windows=None)(image), ((5 - out.score) / 4).mean())


@pytest.mark.parametrize("mode", ["nr", "fr", "both"])
def test_few_windows_cost_less(mode: str) -> None:
    scorer, image = tiny(), torch.rand(1, 3, 128, 128, requires_grad=True)
    costs = []
    for windows in (1, 4):
        loss = SRIQALoss(scorer, mode, windows=windows)
        encoded = loss.encode(image.detach())
        costs.append(total_flops(loss, image, encoded)[0])
    assert 3.9 < costs[1] / costs[0] < 4.1


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_backward_costs_no_more_than_forward_at_full_size(variant: str) -> None:
    with without_numbers():  # shapes only: counting needs no numbers
        scorer = create_scorer("sr-iqa", weights=None, frozen=True, variant=variant)
        windows = torch.empty(1, 1, 3, SIDE, SIDE, requires_grad=True)
        forward, out = total_flops(scorer.score_windows, windows, SCORE)
        backward, _ = total_flops(torch.autograd.grad, out.score.sum(), windows)
    assert 0 < backward <= 1.05 * forward


def test_wrong_loss_options_are_refused() -> None:
    with pytest.raises(ValueError, match="windows must be at least 1, got 0"):
        SRIQALoss(tiny(), windows=0)
    with pytest.raises(TypeError, match=r"whole number or None, got 1\.5"):
        SRIQALoss(tiny(), windows=1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs an SR-IQA scorer, got 'mdiqa'"):
        SRIQALoss(create_tiny("mdiqa"))


def test_a_released_scorer_keeps_its_values_through_copy_and_pickle() -> None:
    scorer, image = tiny(variant="released"), torch.rand(1, 3, 64, 64)
    for other in (copy.deepcopy(scorer), pickle.loads(pickle.dumps(scorer))):
        torch.testing.assert_close(other(image).score, scorer(image).score)
