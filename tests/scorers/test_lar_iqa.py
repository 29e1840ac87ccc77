"""LAR-IQA computes what the published networks compute, and its preprocessing what Pillow and OpenCV do."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional

from iqaloss import IQALoss, create_scorer, load_official
from iqaloss.losses.lar_iqa_loss import LARIQALoss
from iqaloss.scorers import checkpoints, registry
from iqaloss.scorers import official as official_files
from iqaloss.scorers.base import Request
from iqaloss.scorers.factory import create_tiny
from iqaloss.scorers.lar_iqa import LARIQA, official
from iqaloss.scorers.lar_iqa.config import SPACES
from iqaloss.scorers.lar_iqa.pillow import resize_levels
from iqaloss.scorers.lar_iqa.preprocess import center_crop, squeeze_to_square
from iqaloss.scorers.layers.kan import spline_knots
from iqaloss.scorers.registry import entry
from iqaloss.scorers.state_dicts import sha256_of
from testing.costs import total_flops
from testing.golden import Golden, assert_close, assert_gradient_close

HEADS = ("kan", "mlp")
SMALL = {"trunk": "mobilenetv3_small_050", "logits": 32, "hidden": 24, "embedding": 16, "stages": (0, 1, 3, 4)}


def tiny(**options: object) -> LARIQA:
    """A small random scorer; the same weights for the same options."""
    torch.manual_seed(0)
    item = entry("lar-iqa")
    scorer = create_scorer("lar-iqa", weights=None, frozen=True, **{**SMALL, "resize": 64, "crop": 96, **options})
    assert isinstance(scorer, LARIQA)
    assert type(item.tiny) is type(scorer.config)
    return scorer


def photo(height: int, width: int, batch: int = 1, seed: int = 0) -> Tensor:
    """Structured images on the 8-bit grid."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, 3, height // 8 + 2, width // 8 + 2, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    noisy = smooth + 0.05 * torch.randn(batch, 3, height, width, generator=generator)
    return (noisy.clamp(0, 1) * 255).round() / 255


def official_state(scorer: LARIQA) -> dict[str, Tensor]:
    """A scorer's weights under their published names."""
    state = {}
    for key, value in scorer.state_dict().items():
        for theirs, ours in (*official._TRUNKS, *official._HEADS[scorer.config.head]):
            if key.startswith(ours):
                state[key.replace(ours, theirs, 1)] = value
                break
    if scorer.config.head == "kan":
        for prefix, _ in official._HEADS["kan"]:
            state[f"{prefix}grid"] = spline_knots().repeat(state[f"{prefix}base_weight"].shape[1], 1)
    return state


# --- parity --------------------------------------------------------------------------------------


def golden_weights(golden: Golden, head: str) -> dict[str, Tensor]:
    state = golden.weights(f"lar_iqa_{head}")
    knots = {key: spline_knots().repeat(len(value), 1) for key, value in state.items() if key.endswith(".grid")}
    return {**state, **knots}


@pytest.fixture(scope="module", params=HEADS)
def head(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def published(golden: Golden, head: str) -> LARIQA:
    state = golden_weights(golden, head)
    want = golden.load(f"lar_iqa_{head}")["weights_checksum"]
    np.testing.assert_allclose(golden.fill.checksum(state), want, rtol=1e-6, atol=1e-3)
    scorer = load_official("lar-iqa", {"model": state})
    assert isinstance(scorer, LARIQA)
    assert scorer.config.head == head
    return scorer


def test_branches_and_gradients_equal_the_published_ones(golden: Golden, published: LARIQA, head: str) -> None:
    want = golden.load(f"lar_iqa_{head}")
    inputs, embeddings = {}, []
    for name in ("authentic", "synthetic"):
        image = golden.image(f"lar:a_{name}", want[f"a_{name}_image_shape"])
        np.testing.assert_allclose(image[..., ::32, ::32], want[f"a_{name}_image_sub"], atol=1e-7)
        inputs[name] = image.requires_grad_()
        out = published.branches[name](published.normalize(image), (), logits=True, embedding=True)
        assert_close(out.logits, want[f"a_{name}_logits"])
        assert_close(out.embedding, want[f"a_{name}_dw"])
        embeddings.append(out.embedding)
    score = published.join(torch.cat(embeddings, dim=1))
    assert_close(score, want["a_overall"])
    grads = torch.autograd.grad(score.sum(), list(inputs.values()))
    for name, grad in zip(inputs, grads):
        assert_gradient_close(grad, want[f"a_grad_{name}_sub"], want[f"a_grad_{name}_l2"])


def eight_bit_image(golden: Golden, want: dict[str, np.ndarray]) -> Tensor:
    levels = (golden.image("lar:p", want["p_image_shape_chw"]) * 255).round()
    np.testing.assert_array_equal(levels.permute(1, 2, 0)[::64, ::64], want["p_image_u8_sub"])
    return levels[None] / 255


def test_score_of_a_whole_image_equals_the_published_one(golden: Golden, published: LARIQA, head: str) -> None:
    want = golden.load(f"lar_iqa_{head}")
    image = eight_bit_image(golden, want)
    with torch.no_grad():
        out = published(image, Request(score=True))
    assert_close(out.score, want["p_RGB_overall"])


@pytest.mark.parametrize("space", SPACES)
def test_preprocessing_equals_the_published_one(golden: Golden, space: str) -> None:
    want = golden.load("lar_iqa_kan")
    scorer = tiny(resize=384, crop=1280, variant="released", color_space=space)
    image = eight_bit_image(golden, want)
    for name, step in (("authentic", 16), ("synthetic", 64)):
        view = scorer.inputs(scorer.convert(image, (space,)), name, pad=True)
        level = 1 / 255 / scorer.std
        off = (view[..., ::step, ::step] - torch.from_numpy(want[f"p_{space}_pre_{name}_sub"])).abs() / level
        assert off.max() < 1.01  # another release of OpenCV may differ by one level on a few colours
        assert (off > 0.01).float().mean() < 0.002
        np.testing.assert_allclose(view.double().mean(), want[f"p_{space}_pre_{name}_mean"].item(), atol=1e-5)
    assert list(view.shape) == want[f"p_{space}_pre_synthetic_shape"].tolist()


# --- preprocessing -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(70, 90), (33, 200), (64, 51), (64, 64)])
def test_resize_is_pillows(size: tuple[int, int]) -> None:
    levels = (photo(*size)[0, 0] * 255).round().to(torch.uint8)
    want = torch.from_numpy(np.array(Image.fromarray(levels.numpy()).resize((64, 64), Image.Resampling.BILINEAR)))
    torch.testing.assert_close(resize_levels(levels, (64, 64)).to(torch.uint8), want, rtol=0, atol=0)
    real = squeeze_to_square(levels[None, None] / 255, 64)[0, 0] * 255
    assert (real - want).abs().max() < 1.01
    exact = squeeze_to_square(levels[None, None] / 255, 64, eight_bits=True)[0, 0] * 255
    torch.testing.assert_close(exact, want.float(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [(50, 70), (51, 96), (96, 96), (97, 130), (201, 40), (131, 260)])
def test_center_crop_is_torchvisions(size: tuple[int, int]) -> None:
    images = photo(*size, batch=2)
    torch.testing.assert_close(center_crop(images, 96, pad=True), functional.center_crop(images, [96, 96]))
    bare = center_crop(images, 96, pad=False)
    assert list(bare.shape[2:]) == [min(96, size[0]), min(96, size[1])]
    assert center_crop(images, None, pad=True) is images


def test_rounding_lets_the_gradient_of_the_exact_resize_pass() -> None:
    images = photo(70, 90).requires_grad_()
    weights = torch.randn(1, 3, 64, 64)
    (want,) = torch.autograd.grad((squeeze_to_square(images, 64) * weights).sum(), images)
    (got,) = torch.autograd.grad((squeeze_to_square(images, 64, eight_bits=True) * weights).sum(), images)
    torch.testing.assert_close(got, want)


# --- colour spaces -------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_score_over_several_spaces_is_their_mean_from_one_pass(variant: str) -> None:
    scorer = tiny(variant=variant)
    images = photo(70, 80, batch=2)
    single = [scorer(images, color_space=space) for space in SPACES]
    batches: list[int] = []
    hooks = [branch.register_forward_pre_hook(lambda _, x: batches.append(len(x[0]))) for branch in
             scorer.branches.values()]  # fmt: skip
    both = scorer(images, color_space=SPACES)
    for hook in hooks:
        hook.remove()
    assert batches == [8, 8]
    torch.testing.assert_close(both.score, torch.stack([out.score for out in single]).mean(0))
    for name in scorer.feature_names:
        torch.testing.assert_close(both.features[name], torch.cat([out.features[name] for out in single], dim=1))
    for name in scorer.extra_names:
        torch.testing.assert_close(both.extras[name], torch.cat([out.extras[name] for out in single], dim=1))
    assert len({round(out.score[0].item(), 5) for out in single}) == 4


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("mode", ["nr", "fr"])
def test_gradient_is_finite_and_not_zero_in_every_space(space: str, mode: str) -> None:
    loss = LARIQALoss(tiny(), mode, color_space=space)
    target = photo(64, 64, seed=1)
    flat = torch.ones_like(target)
    for images in (photo(64, 64), 0 * flat, flat, 0.5 * flat):
        images = images.clone().requires_grad_()
        (grad,) = torch.autograd.grad(loss(images, target), images)
        assert torch.isfinite(grad).all()
        assert grad.abs().max() > 0


def test_unknown_color_space_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'HSV'"):
        LARIQALoss(tiny(), color_space="hsb")
    with pytest.raises(ValueError, match="did you mean 'YUV'"):
        tiny(color_space=("RGB", "yuv"))
    with pytest.raises(ValueError, match="each once"):
        tiny(color_space=("RGB", "RGB"))


# --- what is computed ----------------------------------------------------------------------------


def flops(scorer: LARIQA, images: Tensor, request: Request, **conditions: object) -> int:
    with torch.no_grad():
        return total_flops(lambda: scorer(images, request, **conditions))[0]


def test_a_branch_stops_behind_its_last_compared_stage() -> None:
    scorer, images = tiny(), photo(96, 96)
    whole = flops(scorer, images, Request(score=True))
    costs = [flops(scorer, images, Request(features=(name,))) for name in scorer.feature_names[4:]]
    assert costs == sorted(costs)
    assert costs[0] < 0.2 * whole
    both = flops(scorer, images, Request(features=scorer.feature_names))
    one = flops(scorer, images, Request(features=("authentic_stage4",)))
    assert both == one + costs[-1] < whole
    logits = flops(scorer, images, Request(extras=("synthetic_logits",)))
    assert logits < flops(scorer, images, Request(extras=("synthetic_embedding",))) < whole


def test_loss_does_not_fill_small_images_up() -> None:
    scorer, images = tiny(crop=320), photo(64, 80)
    seen: list[list[int]] = []
    scorer.branches["synthetic"].register_forward_pre_hook(lambda _, x: seen.append(list(x[0].shape[2:])))
    LARIQALoss(scorer)(images)
    LARIQALoss(scorer, pad=True)(images)
    IQALoss(scorer)(images)
    LARIQALoss(scorer)(photo(400, 90))
    assert seen == [[64, 80], [320, 320], [320, 320], [320, 90]]


def test_images_of_the_crops_size_score_alike_with_and_without_a_border() -> None:
    scorer, images = tiny(), photo(100, 120, batch=2)
    torch.testing.assert_close(LARIQALoss(scorer)(images), LARIQALoss(scorer, pad=True)(images))


def test_a_border_does_not_dilute_the_full_reference_loss() -> None:
    scorer = tiny(crop=320)
    pred, target = photo(64, 64), photo(64, 64, seed=1)
    bordered, bare = (LARIQALoss(scorer, "fr", pad=pad)(pred, target).item() for pad in (True, False))
    assert 0.5 * bare < bordered < 2 * bare
    sizes = {name: tuple(value.shape[2:]) for name, value in scorer(pred).features.items() if "synthetic" in name}
    assert sizes == {f"synthetic_stage{k}": (64 // s, 64 // s) for k, s in ((0, 4), (1, 8), (3, 16), (4, 32))}


def test_features_have_unit_size_at_every_position() -> None:
    for features in tiny()(photo(96, 96)).features.values():
        rms = features.square().mean(1).sqrt()
        assert (rms <= 1 + 1e-5).all()
        assert rms.mean() > 0.9


@pytest.mark.parametrize("head", HEADS)
def test_backward_of_the_full_model_costs_no_more_than_its_forward(head: str) -> None:
    loss = LARIQALoss(create_scorer("lar-iqa", weights=None, head=head))
    images = photo(128, 128).requires_grad_()
    forward, value = total_flops(loss, images)
    backward, _ = total_flops(value.backward)
    assert 0 < backward <= 1.05 * forward


def test_loss_needs_a_lar_iqa_scorer() -> None:
    with pytest.raises(ValueError, match="LARIQALoss needs a LAR-IQA scorer, got 'mdiqa-mobile'"):
        LARIQALoss(create_tiny("mdiqa-mobile"))


# --- checkpoints ---------------------------------------------------------------------------------


@pytest.mark.parametrize("head", HEADS)
def test_official_state_dict_gives_the_same_scores_back(head: str) -> None:
    scorer = tiny(head=head, kan_scaler=head == "kan")
    state = official_state(scorer)
    images = photo(64, 64)
    again = load_official("lar-iqa", {"model": state}, **SMALL, resize=64, crop=96, variant="paper")
    torch.testing.assert_close(again(images).score, scorer(images).score)
    kept = load_official("lar-iqa", {"model": state}, **SMALL, kan_scaler=True, resize=64, crop=96, variant="paper")
    torch.testing.assert_close(kept(images).score, scorer(images).score)


TENSORS = {
    "kan": (
        "authentic.conv_stem.weight",
        "syntetic.classifier.bias",
        "syntetic.blocks.1.0.bn1.running_mean",
        "aut_dw.layers.0.base_weight",
        "syn_dw.layers.0.spline_weight",
        "syn_dw.layers.0.spline_scaler",
        "head.layers.0.grid",
    ),
    "mlp": ("authentic.conv_head.weight", "aut_up.weight", "syn_dw.bias", "head.weight"),
}


@pytest.mark.parametrize(("head", "name"), [(head, name) for head in HEADS for name in TENSORS[head]])
def test_a_missing_extra_or_misshapen_tensor_is_refused_by_name(head: str, name: str) -> None:
    whole = official_state(tiny(head=head, kan_scaler=head == "kan"))

    def load(state: dict[str, Tensor]) -> None:
        load_official("lar-iqa", {"model": state}, **SMALL)

    load(whole)
    with pytest.raises(ValueError, match=rf"missing: .*{name}"):
        load({key: value for key, value in whole.items() if key != name})
    with pytest.raises(ValueError, match=rf"unexpected: .*{name}_more"):
        load({**whole, f"{name}_more": whole[name]})
    with pytest.raises(ValueError, match=rf"misshapen: .*{name}"):
        load({**whole, name: whole[name][..., :-1, None] if whole[name].ndim > 1 else whole[name][:-1]})


def test_moved_knots_and_foreign_files_are_refused() -> None:
    state = official_state(tiny(kan_scaler=True))
    moved = {**state, "aut_dw.layers.0.grid": 2 * state["aut_dw.layers.0.grid"]}
    with pytest.raises(ValueError, match=r"moved knots in aut_dw\.layers\.0\.grid"):
        load_official("lar-iqa", {"model": moved}, **SMALL)
    with pytest.raises(ValueError, match="one pretrained branch"):
        load_official("lar-iqa", {"model": {"conv_stem.weight": torch.zeros(1)}})
    with pytest.raises(ValueError, match=r"not a LAR-IQA checkpoint.*conv1\.weight"):
        load_official("lar-iqa", {"model": {"conv1.weight": torch.zeros(1)}})
    with pytest.raises(ValueError, match="head='mlp' was asked for, but the checkpoint has a kan head"):
        load_official("lar-iqa", {"model": state}, **SMALL, head="mlp")
    with pytest.raises(ValueError, match="did you mean 'crop'"):
        load_official("lar-iqa", {"model": state}, **SMALL, crops=5)


@pytest.mark.parametrize("part", ["lar_iqa_branch", "lar_iqa_single_kan"])
def test_published_single_branches_are_told_apart(golden: Golden, part: str) -> None:
    state = {key: torch.zeros(1).expand(shape or [1]) for key, shape in golden.shapes(part).items()}
    with pytest.raises(ValueError, match="one pretrained branch"):
        load_official("lar-iqa", {"model": state})


def test_our_own_file_keeps_head_and_color_spaces(tmp_path: Path) -> None:
    scorer = tiny(head="mlp", color_space=("LAB", "RGB"), pad=False)
    path = checkpoints.save(scorer, tmp_path / "mine.safetensors")
    again = create_scorer("lar-iqa", weights=path)
    assert again.config == scorer.config
    images = photo(64, 64)
    torch.testing.assert_close(again(images).score, scorer(images).score)


def test_a_folder_with_an_official_file_is_enough(tmp_path: Path) -> None:
    options = {**SMALL, "resize": 64, "crop": 96, "variant": "paper"}
    scorer = tiny(kan_scaler=True)
    torch.save(official_state(scorer), tmp_path / "AIM_Training_2branche_KAN-Head.pt")
    images = photo(64, 64)
    again = create_scorer("lar-iqa", weights=tmp_path, **options)
    torch.testing.assert_close(again(images).score, scorer(images).score)
    torch.save(official_state(tiny(head="mlp")), tmp_path / "AIM_Training_2branche_MLP-Head.pt")
    with pytest.raises(ValueError, match="several files"):
        create_scorer("lar-iqa", weights=tmp_path, **options)
    again = create_scorer("lar-iqa", weights=tmp_path / "AIM_Training_2branche_MLP-Head.pt", **options)
    assert again.config.head == "mlp"


def test_a_file_that_is_none_of_the_published_ones_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(official_files, "_TOLD", set())
    options = {**SMALL, "resize": 64, "crop": 96}
    path = tmp_path / "AIM_Training_2branche_MLP-Head.pt"
    torch.save(official_state(tiny(head="mlp")), path)
    with pytest.warns(UserWarning, match=r"MLP-Head\.pt is none of the 3 published files .*Google Drive"):
        load_official("lar-iqa", {"model": path}, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_official("lar-iqa", {"model": path}, **options)
        create_scorer("lar-iqa", weights=tmp_path, **options)
        load_official("lar-iqa", {"model": official_state(tiny(head="mlp"))}, **options)


def test_a_published_file_is_known_by_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "AIM_Training_2branche_MLP-Head.pt"
    torch.save(official_state(tiny(head="mlp", embedding=8)), path)
    item = entry("lar-iqa")
    assert all(len(digest) == 64 for digest in item.card.files[0].sha256)
    file = dataclasses.replace(item.card.files[0], sha256=(*item.card.files[0].sha256, sha256_of(path)))
    known = dataclasses.replace(item, card=dataclasses.replace(item.card, files=(file,)))
    monkeypatch.setitem(registry._ENTRIES, "lar-iqa", known)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_official("lar-iqa", {"model": path}, **{**SMALL, "embedding": 8})


def test_missing_weights_are_explained() -> None:
    with pytest.raises(ValueError, match=r"(?s)AIM_Training_2branche.*LAR-IQA.*load_official"):
        create_scorer("lar-iqa")
