"""PMT-IQA: the released form computes what the published network computes; the paper's form takes any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from iqaloss import IQALoss, create_scorer, load_official
from iqaloss.losses.pmt_iqa_loss import PMTIQALoss
from iqaloss.scorers import checkpoints
from iqaloss.scorers.base import Request
from iqaloss.scorers.factory import create_tiny
from iqaloss.scorers.pmt_iqa import PMTIQA, official
from iqaloss.scorers.pmt_iqa.heads import expected_level
from testing.costs import total_flops
from testing.golden import Golden, assert_close, assert_gradient_close

VARIANTS = ("paper", "released")
SCORE = Request(score=True)


def tiny(variant: str = "paper", **options: object) -> PMTIQA:
    """A small random scorer; the same weights for the same options."""
    torch.manual_seed(0)
    scorer = create_scorer(
        "pmt-iqa", weights=None, frozen=True, **{"trunk": "resnet10t", "variant": variant, **options}
    )
    assert isinstance(scorer, PMTIQA)
    return scorer


def photo(height: int, width: int, batch: int = 1, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 3, height, width, generator=generator)


# --- parity --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published(golden: Golden) -> PMTIQA:
    state = golden.weights("pmt_iqa")
    np.testing.assert_allclose(
        golden.fill.checksum(state), golden.load("pmt_iqa")["weights_checksum"], rtol=1e-6, atol=1e-3
    )
    scorer = load_official("pmt-iqa", {"model": state})
    assert isinstance(scorer, PMTIQA)
    return scorer


@pytest.mark.parametrize("key", ["a", "b"])
def test_outputs_and_gradients_equal_the_published_ones(golden: Golden, published: PMTIQA, key: str) -> None:
    want = golden.load("pmt_iqa")
    image = golden.image(f"pmt:{key}", want[f"{key}_image_shape"])
    np.testing.assert_allclose(image[..., ::16, ::16], want[f"{key}_image_sub"], atol=1e-7)
    image.requires_grad_()
    seen: list[tuple[Tensor, Tensor]] = []
    hook = published.heads.shared.register_forward_hook(lambda _, x, y: seen.append((x[0], y)))
    out = published(image)
    hook.remove()
    assert_close(seen[0][0], want[f"{key}_scale_vector"])
    assert_close(seen[0][1], want[f"{key}_trunk"])
    assert_close(out.score, want[f"{key}_overall"])
    assert_close(out.score, want[f"{key}_overall_f64"])
    assert_close(out.extras["level_logits"], want[f"{key}_cls_logits"])
    assert_close(out.extras["level_logits"], want[f"{key}_cls_logits_f64"])
    for name, value in (("overall", out.score), ("cls_sum", out.extras["level_logits"])):
        (grad,) = torch.autograd.grad(value.sum(), image, retain_graph=True)
        assert_gradient_close(grad, want[f"{key}_grad_{name}_sub"], want[f"{key}_grad_{name}_l2"])


# --- the two forms -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(32, 32), (64, 100), (97, 33), (224, 224)])
def test_the_papers_form_takes_any_size(size: tuple[int, int]) -> None:
    out = tiny()(photo(*size, batch=2))
    assert out.score.shape == (2,)
    for index, features in enumerate(out.features.values()):
        stride = 4 << index
        assert features.shape[:2] == (2, 28)
        assert features.shape[2:] == tuple(-(-side // stride) for side in size)


def test_the_papers_heads_are_the_papers() -> None:
    """Four linear layers with three ReLU for the score (Eq. 4), three with two for the levels (Eq. 6)."""
    heads = tiny().heads
    for head, count in ((heads.regress, 4), (heads.classify, 3)):
        kinds = [type(layer).__name__ for layer in head if not isinstance(layer, torch.nn.Dropout)]
        assert kinds == ["Linear", "ReLU"] * (count - 1) + ["Linear"]
    assert heads.regress[0].in_features == heads.classify[0].in_features == 112
    assert heads.shared(heads) is heads


def test_scales_are_averages_of_their_features_in_the_papers_form() -> None:
    scorer, images = tiny(), photo(64, 96)
    seen: list[Tensor] = []
    scorer.heads.regress.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    scorer(images)
    levels = list(scorer.levels(scorer.normalize(images)))
    want = torch.cat([scale.reduce(level).mean((2, 3)) for scale, level in zip(scorer.scales, levels)], 1)
    torch.testing.assert_close(seen[0], want)


def test_the_released_form_averages_over_windows() -> None:
    scorer, images = tiny("released"), photo(230, 300, batch=2)
    whole = scorer(images)
    corners = [(top, left) for top in (0, 6) for left in (0, 76)]
    single = [scorer(images[:, :, top : top + 224, left : left + 224]) for top, left in corners]
    torch.testing.assert_close(whole.score, torch.stack([out.score for out in single]).mean(0))
    for name in ("level_logits", "expected_level"):
        torch.testing.assert_close(whole.extras[name], torch.stack([out.extras[name] for out in single]).mean(0))
    torch.testing.assert_close(whole.features["scale_2"], torch.cat([out.features["scale_2"] for out in single], dim=1))


@pytest.mark.parametrize("length", [224, 225, 448, 449, 500, 1000])
def test_windows_cover_an_image_evenly(length: int) -> None:
    windows, count = tiny("released")._windows(torch.arange(float(length)).expand(2, 3, 224, length))
    starts = [int(window[0, 0, 0]) for window in windows[:count]]
    assert starts[0] == 0
    assert starts[-1] == length - 224
    steps = np.diff(starts)
    assert (steps <= 224).all()
    assert np.ptp(steps) <= 1 if len(steps) else length == 224
    assert len(starts) == -(-length // 224)
    assert windows.shape == (2 * count, 3, 224, 224)


def test_the_released_form_says_which_sizes_it_takes() -> None:
    with pytest.raises(ValueError, match=r'sides of at least 224, got 200x300; variant="paper" takes any size'):
        tiny("released")(photo(200, 300))
    with pytest.raises(ValueError, match="exactly 224x224, got 256x256"):
        tiny("released", windows="single")(photo(256, 256))
    assert tiny("released", windows="single")(photo(224, 224)).score.shape == (1,)


def test_unknown_options_name_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'released'"):
        tiny("release")
    with pytest.raises(ValueError, match="did you mean 'level'"):
        PMTIQALoss(tiny(), use="levels")
    with pytest.raises(ValueError, match="label_range must be two different finite numbers"):
        tiny(label_range=(3.0, 3.0))
    with pytest.raises(ValueError, match="PMTIQALoss needs a PMT-IQA scorer, got 'mdiqa-mobile'"):
        PMTIQALoss(create_tiny("mdiqa-mobile"))


# --- score and levels ----------------------------------------------------------------------------


def test_expected_level_is_the_mean_of_the_distribution() -> None:
    logits = torch.randn(4, 7)
    want = sum(k * logits.softmax(1)[:, k] for k in range(7))
    torch.testing.assert_close(expected_level(logits), want)
    certain = torch.full((1, 7), -50.0)
    certain[0, 6] = 50.0
    torch.testing.assert_close(expected_level(certain), torch.tensor([6.0]))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(expected_level(logits), want, rtol=0, atol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_level_loss_reads_the_levels_and_only_them(variant: str) -> None:
    scorer, images = tiny(variant), photo(224, 224, batch=2).requires_grad_()
    out = scorer(images)
    want = 1 - expected_level(out.extras["level_logits"]) / 9
    regressed: list[int] = []
    classified: list[int] = []
    scorer.heads.regress.register_forward_hook(lambda *_: regressed.append(1))
    scorer.heads.classify.register_forward_hook(lambda *_: classified.append(1))
    level, parts = PMTIQALoss(scorer, use="level", reduction="none")(images, return_terms=True)
    torch.testing.assert_close(level, want)
    assert list(parts) == ["level"]
    assert (level > 0).all()
    assert (level < 1).all()
    assert (regressed, classified) == ([], [1])
    score = PMTIQALoss(scorer, reduction="none")(images)
    torch.testing.assert_close(score, 1 - out.score)
    assert (regressed, classified) == ([1], [1])
    (grad,) = torch.autograd.grad(level.sum(), images)
    assert torch.isfinite(grad).all()
    assert grad.abs().max() > 0


def test_both_mode_adds_the_level_to_the_distance() -> None:
    scorer, pred, target = tiny(), photo(64, 64), photo(64, 64, seed=1)
    nr, fr, both = (PMTIQALoss(scorer, mode, use="level")(pred, target) for mode in ("nr", "fr", "both"))
    torch.testing.assert_close(both, nr + fr)
    assert fr > 0
    torch.testing.assert_close(fr, IQALoss(scorer, "fr")(pred, target))


def test_labels_of_another_range_are_mapped_and_distortion_counts_down() -> None:
    images = photo(64, 64)
    raw = tiny()(images)
    mos = tiny(label_range=(0.0, 5.0))(images)
    dmos = tiny(label_range=(100.0, 0.0))(images)
    torch.testing.assert_close(mos.score, raw.score / 5)
    torch.testing.assert_close(mos.extras["level_logits"], raw.extras["level_logits"])
    torch.testing.assert_close(dmos.score, 1 - raw.score / 100)
    torch.testing.assert_close(dmos.extras["level_logits"], raw.extras["level_logits"].flip(1))
    torch.testing.assert_close(dmos.extras["expected_level"], 9 - raw.extras["expected_level"])


# --- what is computed ----------------------------------------------------------------------------


def flops(scorer: PMTIQA, images: Tensor, request: Request) -> int:
    with torch.no_grad():
        return total_flops(scorer, images, request)[0]


@pytest.mark.parametrize("variant", VARIANTS)
def test_features_stop_behind_the_last_compared_scale(variant: str) -> None:
    scorer, images = tiny(variant), photo(224, 224)
    costs = [flops(scorer, images, Request(features=(name,))) for name in scorer.feature_names]
    assert costs == sorted(costs)
    assert len(set(costs)) == 4
    assert costs[0] < 0.6 * costs[3] < flops(scorer, images, SCORE)


@pytest.mark.parametrize("use", ["score", "level"])
def test_backward_of_the_full_model_costs_no_more_than_its_forward(use: str) -> None:
    loss = PMTIQALoss(create_scorer("pmt-iqa", weights=None), use=use)
    images = photo(64, 64).requires_grad_()
    forward, value = total_flops(loss, images)
    backward, _ = total_flops(value.backward)
    assert 0 < backward <= 1.05 * forward


# --- checkpoints ---------------------------------------------------------------------------------

NAMES = (
    "res.conv1.weight",
    "res.layer3.0.bn1.running_var",
    "res.lda2_pool.0.weight",
    "res.lda4_fc.bias",
    "fcs.2.weight",
    "fc_mos.weight",
    "fc_cls.2.bias",
)


@pytest.fixture(scope="module")
def small() -> dict[str, Tensor]:
    """The weights of a small released form under their published names."""
    state = {}
    for key, value in tiny("released").state_dict().items():
        for theirs, ours in official._PREFIXES:
            if key.startswith(ours):
                state[key.replace(ours, theirs, 1)] = value
                break
    return state


def test_official_state_dict_gives_the_same_scores_back(small: dict[str, Tensor]) -> None:
    images = photo(224, 224)
    again = load_official("pmt-iqa", {"model": small}, trunk="resnet10t")
    torch.testing.assert_close(again(images).score, tiny("released")(images).score)


def test_published_keys_are_those_that_are_loaded(golden: Golden, small: dict[str, Tensor]) -> None:
    heads = {key for key in golden.shapes("pmt_iqa") if "lda" in key or not key.startswith("res.")}
    assert heads == {key for key in small if "lda" in key or not key.startswith("res.")}


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_extra_or_misshapen_tensor_is_refused_by_name(small: dict[str, Tensor], name: str) -> None:
    name = name.replace("res.conv1.", "res.conv1.0.")  # the small backbone's first convolution has parts

    def load(state: dict[str, Tensor]) -> None:
        load_official("pmt-iqa", {"model": state}, trunk="resnet10t")

    with pytest.raises(ValueError, match=rf"missing: {name}"):
        load({key: value for key, value in small.items() if key != name})
    with pytest.raises(ValueError, match=rf"unexpected: .*{name}_more"):
        load({**small, f"{name}_more": small[name]})
    with pytest.raises(ValueError, match=rf"misshapen: {name}"):
        load({**small, name: small[name][:-1]})


def test_the_number_of_levels_is_read_from_the_checkpoint() -> None:
    state = {f"fc_cls.2.{part}": value for part, value in (("weight", torch.zeros(6, 14)), ("bias", torch.zeros(6)))}
    with pytest.raises(ValueError, match="missing") as error:
        load_official("pmt-iqa", {"model": state}, trunk="resnet10t")
    assert "fc_cls.2" not in str(error.value)
    with pytest.raises(ValueError, match="fits variant='released' only"):
        load_official("pmt-iqa", {"model": state}, variant="paper")
    with pytest.raises(ValueError, match="did you mean 'levels'"):
        load_official("pmt-iqa", {"model": state}, level=3)


@pytest.mark.parametrize("variant", VARIANTS)
def test_our_own_file_keeps_the_form(tmp_path: Path, variant: str) -> None:
    scorer = tiny(variant, label_range=(1.0, 5.0), levels=5)
    again = create_scorer("pmt-iqa", weights=checkpoints.save(scorer, tmp_path / "mine.safetensors"))
    assert again.config == scorer.config
    images = photo(224, 224)
    torch.testing.assert_close(again(images).score, scorer(images).score)


def test_missing_weights_are_explained() -> None:
    with pytest.raises(ValueError, match=r"(?s)authors publish code without weights.*load_official"):
        create_scorer("pmt-iqa")
