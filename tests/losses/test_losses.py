"""Options of the losses: what they do, and what a wrong one is told."""

from __future__ import annotations

import copy
import pickle
import warnings

import pytest
import torch
from torch import Tensor

from iqaloss import IQALoss, MDIQALoss
from iqaloss.losses.checks import NonFiniteLossError
from iqaloss.scorers.factory import create_tiny
from testing.cases import random_pair, tiny


@pytest.fixture
def images() -> tuple[Tensor, Tensor]:
    return random_pair(IQALoss(tiny("mdiqa-mobile")))


def mobile(**options: object) -> MDIQALoss:
    return MDIQALoss(scorer=tiny("mdiqa-mobile"), **options)  # type: ignore[arg-type]


def test_no_reference_loss_is_one_minus_the_score_times_the_loss_weight(images: tuple[Tensor, Tensor]) -> None:
    scorer = tiny("mdiqa-mobile")
    want = 3 * (1 - scorer(images[0]).score).mean()
    torch.testing.assert_close(IQALoss(scorer, loss_weight=3)(images[0]), want)


def test_reductions_agree(images: tuple[Tensor, Tensor]) -> None:
    values = {how: mobile(reduction=how)(images[0]) for how in ("mean", "sum", "none")}
    assert values["none"].shape == (2,)
    torch.testing.assert_close(values["none"].sum(), values["sum"])
    torch.testing.assert_close(values["none"].mean(), values["mean"])


def test_weights_by_sequence_equal_weights_by_name(images: tuple[Tensor, Tensor]) -> None:
    by_name = mobile(weights={"sharpness": 3, "contrast": 0.5})
    torch.testing.assert_close(mobile(weights=[1, 1, 0.5, 1, 3])(images[0]), by_name(images[0]))


def test_the_weighted_loss_is_linear_in_the_weights(images: tuple[Tensor, Tensor]) -> None:
    first, second = [1.0, 0.0, 2.0, 0.5, 0.0], [0.0, 3.0, 1.0, 0.0, 4.0]
    both = [a + b for a, b in zip(first, second)]
    for mode in ("nr", "fr"):
        sums = [sum(w) * mobile(weights=w, mode=mode)(*images).detach() for w in (first, second, both)]
        torch.testing.assert_close(sums[0] + sums[1], sums[2])


def test_a_larger_weight_turns_the_gradient_towards_its_dimension(images: tuple[Tensor, Tensor]) -> None:
    def gradient(weights: dict[str, float]) -> Tensor:
        return torch.autograd.grad(mobile(weights=weights)(images[0]), images[0])[0].flatten()

    others = dict.fromkeys(("brightness", "colorfulness", "contrast", "noisiness"), 0.0)
    alone = gradient(others)
    cosines = [
        torch.cosine_similarity(gradient({"sharpness": weight}), alone, dim=0).item()
        for weight in (0.0, 1.0, 4.0, 50.0)
    ]
    assert cosines == sorted(cosines)
    assert cosines[-1] > 0.99


def test_set_weights_changes_the_loss_in_place(images: tuple[Tensor, Tensor]) -> None:
    loss = mobile()
    loss.set_weights({"sharpness": 4})
    torch.testing.assert_close(loss(images[0]), mobile(weights={"sharpness": 4})(images[0]))


@pytest.mark.parametrize("form", ["weighted", "fused"])
def test_weights_are_held_once_and_follow_copies_and_moves(images: tuple[Tensor, Tensor], form: str) -> None:
    loss = mobile(weights={"sharpness": 4}, form=form)
    want = loss(images[0])
    for other in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert other.weights == loss.weights
        torch.testing.assert_close(other(images[0]), want)
        other.set_weights({"noisiness": 3})
        assert loss.weights["noisiness"] == 1
    torch.testing.assert_close(loss(images[0]), want)
    assert not list(loss.buffers())
    assert not loss.state_dict()
    assert loss.to(torch.float64).weights["sharpness"] == 4
    assert loss(images[0].double()).dtype == torch.float32
    moved = loss.to("meta")
    moved.set_weights({"sharpness": 2})
    assert moved(images[0].detach().to("meta")).is_meta


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 255.0)])
def test_input_range_is_mapped_to_zero_one(images: tuple[Tensor, Tensor], low: float, high: float) -> None:
    pred, target = (low + (high - low) * image.detach() for image in images)
    got = mobile(mode="both", input_range=(low, high))(pred, target)
    torch.testing.assert_close(got, mobile(mode="both")(*images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("clamp", "as_if_clipped", "has_gradient"), [("ste", True, True), ("clip", True, False), (None, False, True)]
)
def test_clamp_says_what_overshoot_is_worth(
    images: tuple[Tensor, Tensor], clamp: str | None, as_if_clipped: bool, has_gradient: bool
) -> None:
    pred = (images[0].detach() * 2 - 0.5).requires_grad_()
    outside = (pred < 0) | (pred > 1)
    loss = mobile(clamp=clamp)
    value = loss(pred)
    value.backward()
    same = torch.allclose(value, loss(pred.detach().clamp(0, 1)))
    assert same == as_if_clipped
    assert bool((pred.grad[outside] != 0).any()) == has_gradient


def test_half_precision_images_give_a_float32_loss(images: tuple[Tensor, Tensor]) -> None:
    pred = images[0].detach().to(torch.bfloat16).requires_grad_()
    value = mobile()(pred)
    value.backward()
    assert value.dtype == torch.float32
    assert pred.grad.dtype == torch.bfloat16


def test_precision_fp32_is_untouched_by_autocast(images: tuple[Tensor, Tensor]) -> None:
    want = mobile()(images[0])
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(mobile(precision="fp32")(images[0]), want)
    assert not torch.equal(mobile(precision="bf16")(images[0]), want)


def poison(loss: IQALoss, dimension: str) -> None:
    head = loss.scorer.branches["technical"].heads[dimension]  # type: ignore[index, union-attr]
    with torch.no_grad():
        head.regress[-1].bias.fill_(float("nan"))


def test_a_nan_is_raised_with_its_dimension_and_the_input(images: tuple[Tensor, Tensor]) -> None:
    loss = mobile()
    poison(loss, "noisiness")
    with pytest.raises(NonFiniteLossError, match=r"not finite in noisiness;.*shape \[2, 3, 64, 64\], min 0.*max"):
        loss(images[0])


def test_a_nan_step_may_be_skipped_with_a_warning(images: tuple[Tensor, Tensor]) -> None:
    loss = mobile(nonfinite="skip")
    poison(loss, "noisiness")
    with pytest.warns(RuntimeWarning, match="noisiness"):
        value = loss(images[0])
    value.backward()
    assert value.item() == 0
    assert images[0].grad is None


def test_a_nan_in_the_input_is_raised(images: tuple[Tensor, Tensor]) -> None:
    pred = images[0].detach().clone()
    pred[0, 0, 0, 0] = float("nan")
    with pytest.raises(NonFiniteLossError, match="1 of 24576 values not finite"):
        mobile()(pred)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"weights": {"sharpnes": 1}}, ValueError, "did you mean 'sharpness'"),
        ({"weights": {"composition": 1}}, ValueError, "official checkpoint of 'mdiqa' has it"),
        ({"weights": {"sharpness": -1}}, ValueError, "sharpness must be finite and not negative, got -1"),
        ({"weights": {"sharpness": float("nan")}}, ValueError, "sharpness must be finite"),
        ({"weights": {"sharpness": "2"}}, TypeError, "sharpness must be a number"),
        ({"weights": [1, 2]}, ValueError, "weights has 2 values; mdiqa-mobile has 5: brightness"),
        ({"weights": [0] * 5}, ValueError, "all weights are zero"),
        ({"weights": 3.0}, TypeError, "a dict by dimension name or a sequence"),
        ({"mode": "nrr"}, ValueError, "did you mean 'nr'"),
        ({"form": "fuse"}, ValueError, "did you mean 'fused'"),
        ({"fr_weighting": "published"}, ValueError, 'a variant of form="fused"'),
        ({"reduction": "men"}, ValueError, "did you mean 'mean'"),
        ({"clamp": "st"}, ValueError, "did you mean 'ste'"),
        ({"nonfinite": "skp"}, ValueError, "did you mean 'skip'"),
        ({"precision": "bf61"}, ValueError, "did you mean 'bf16'"),
        ({"input_range": (1, 0)}, ValueError, "low < high"),
        ({"input_range": 255}, ValueError, r"two finite numbers \(low, high\)"),
        ({"loss_weight": float("inf")}, ValueError, "loss_weight must be finite"),
    ],
)
def test_a_wrong_option_is_told(options: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        mobile(**options)


RANDOM = torch.rand(1, 3, 64, 64)


@pytest.mark.parametrize(
    ("pred", "error", "message"),
    [
        (RANDOM[0], ValueError, r"pred must have shape \[B, 3, H, W\], got \[3, 64, 64\]; add a batch dimension"),
        (RANDOM.permute(0, 2, 3, 1), ValueError, "the channels come second"),
        (RANDOM[:, :1], ValueError, r"3 channels \(RGB\), got 1"),
        (RANDOM[:0], ValueError, "empty batch"),
        (RANDOM[..., :16], ValueError, "at least 32 pixels, got 64x16"),
        (RANDOM.mul(255).to(torch.uint8), TypeError, "divide a uint8 image by 255"),
        (RANDOM.numpy(), TypeError, "got ndarray"),
        (RANDOM * 255, ValueError, r"pred spans \[.*input_range=\(0, 1\)"),
    ],
)
def test_a_wrong_image_is_told(pred: Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        mobile()(pred)


def test_a_wrong_target_is_told() -> None:
    loss = mobile(mode="fr")
    with pytest.raises(ValueError, match=r'mode="fr".*target'):
        loss(RANDOM)
    with pytest.raises(ValueError, match=r"pred \[1, 3, 64, 64\], target \[1, 3, 32, 32\]"):
        loss(RANDOM, torch.rand(1, 3, 32, 32))
    with pytest.raises(TypeError, match=r"loss_fn\.encode\(target\), got str"):
        loss(RANDOM, "target")
    with pytest.raises(ValueError, match="target spans"):
        loss(RANDOM, RANDOM * 255)
    official = create_tiny("mdiqa")
    encoded = MDIQALoss({"sharpness": 0}, "fr", official).encode(RANDOM)
    with pytest.raises(ValueError, match="the encoded target lacks sharpness"):
        MDIQALoss(mode="fr", scorer=official)(RANDOM, encoded)


def test_a_scorer_of_another_kind_is_told() -> None:
    with pytest.raises(TypeError, match="a registered name or a Scorer, got Linear"):
        IQALoss(torch.nn.Linear(1, 1))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="did you mean 'mdiqa-mobile'"):
        IQALoss("mdiqa-mobil")


def test_no_warning_is_given_on_ordinary_use(images: tuple[Tensor, Tensor]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mobile(mode="both")(*images).backward()
