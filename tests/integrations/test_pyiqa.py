"""A wrapped pyiqa metric keeps the laws of our losses; with metrics that need no download."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from iqaloss import IQALoss
from iqaloss.integrations.pyiqa import PyiqaLoss, wrap
from iqaloss.integrations.pyiqa.networks import hidden_modules
from iqaloss.integrations.pyiqa.scorer import stated_range
from iqaloss.losses.checks import NonFiniteLossError
from testing.cases import random_pair
from testing.costs import total_flops


class Metric:
    """What pyiqa's InferenceModel looks like from outside."""

    metric_name = "made-up"
    device = torch.device("cpu")

    def __init__(self, net: nn.Module, mode: str = "NR", lower_better: bool = False, score_range: str = "0, 1") -> None:
        self.net, self.metric_mode, self.lower_better, self.score_range = net, mode, lower_better, score_range


class Judge(nn.Module):
    """A small trainable metric, of one image or of two."""

    def __init__(self, shape: Callable[[Tensor], Any] = lambda value: value) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.hidden = [nn.Sequential(nn.Conv2d(4, 1, 3), nn.Dropout(0.5))]
        self.shape = shape
        self.kept: Tensor | None = None

    def forward(self, images: Tensor, target: Tensor | None = None) -> Any:
        self.kept = self.norm(self.conv(images))
        score = self.hidden[0](self.kept).flatten(1).mean(1)
        if target is not None:
            score = (score - self.hidden[0](self.norm(self.conv(target))).flatten(1).mean(1)).abs()
        return self.shape(score[:, None])


# --- without pyiqa: what the wrapping itself does ---


@pytest.mark.parametrize("lower_better", [False, True])
@pytest.mark.parametrize("mode", ["NR", "FR"])
def test_sign_and_range_are_put_right(mode: str, lower_better: bool) -> None:
    net = Judge().eval()
    loss = wrap(Metric(net, mode, lower_better, "~0, ~10"), reduction="none", loss_weight=2.0)
    pred, target = random_pair(loss)
    raw = net(*((pred, target) if mode == "FR" else (pred,)))[:, 0]
    want = raw / 10 if lower_better else (10 - raw) / 10
    torch.testing.assert_close(loss(pred, target), 2 * want)
    assert isinstance(loss, IQALoss)


@pytest.mark.parametrize("shape", [lambda v: v, lambda v: v[:, 0], lambda v: (v, "more"), lambda v: v[..., None]])
def test_scores_of_any_shape_are_read(shape: Callable[[Tensor], Any]) -> None:
    loss = wrap(Metric(Judge(shape)), reduction="none")
    pred, _ = random_pair(loss)
    assert loss(pred).shape == (2,)
    torch.testing.assert_close(loss(pred), wrap(Metric(Judge()), reduction="none")(pred))


@pytest.mark.parametrize("shape", [lambda v: v.mean(), lambda v: v.expand(-1, 5), lambda v: "good"])
def test_anything_but_one_score_an_image_is_refused(shape: Callable[[Tensor], Any]) -> None:
    loss = wrap(Metric(Judge(shape)))
    with pytest.raises(ValueError, match="made-up must give one score for each of 2 images"):
        loss(random_pair(loss)[0])


def test_networks_hidden_in_lists_are_frozen_and_moved() -> None:
    net = Judge()
    (hidden,) = hidden_modules(net)
    assert hidden.training
    loss = wrap(Metric(net))
    assert not hidden.training
    assert not any(parameter.requires_grad for parameter in (*net.parameters(), *hidden.parameters()))
    loss.to("meta")
    assert {parameter.device.type for parameter in (*net.parameters(), *hidden.parameters())} == {"meta"}


def test_what_a_network_keeps_of_a_pass_holds_no_graph() -> None:
    net = Judge()
    loss = wrap(Metric(net))
    loss(random_pair(loss)[0]).backward()
    assert net.kept is not None
    assert net.kept.grad_fn is None
    copy.deepcopy(loss)


def test_a_metric_without_gradient_is_refused_as_a_loss() -> None:
    loss = wrap(Metric(Judge(lambda value: value.detach())))
    pred, _ = random_pair(loss)
    with pytest.raises(ValueError, match="pyiqa:made-up passes no gradient"):
        loss(pred)
    assert torch.isfinite(loss(pred.detach()))


def test_a_gradient_that_is_not_finite_raises_or_is_skipped() -> None:
    class Root(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.mean(dim=1).square().sum(dim=(1, 2)).sqrt()

    black = torch.zeros(2, 3, 8, 8, requires_grad=True)
    with pytest.raises(NonFiniteLossError, match="384 of 384 values of the gradient of pyiqa:made-up"):
        wrap(Metric(Root()))(black).backward()
    with pytest.warns(RuntimeWarning, match="this step's gradient is zero"):
        wrap(Metric(Root()), nonfinite="skip")(black).backward()
    assert black.grad is not None
    assert not black.grad.any()
    (grad,) = torch.autograd.grad(wrap(Metric(Root()), nonfinite="ignore")(black), black)
    assert torch.isnan(grad).all()


@pytest.mark.parametrize("mode", ["NR", "FR"])
def test_folding_changes_neither_score_nor_gradient(mode: str) -> None:
    net = Judge()
    nn.init.normal_(net.norm.running_mean)
    nn.init.uniform_(net.norm.running_var, 0.5, 2.0)
    found = []
    for fold in (False, True):
        loss = wrap(Metric(copy.deepcopy(net).eval(), mode), fold=fold)
        pred, target = random_pair(loss)
        value = loss(pred.requires_grad_(), target)
        found.append((value, torch.autograd.grad(value, pred)[0]))
        folded = not any(isinstance(module, nn.BatchNorm2d) for module in loss.scorer.net.modules())
        assert folded == fold
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("stated", ["0, ~", "~, 2", "quality: 0, 1; rank: 0, 2", None])
def test_an_open_range_must_be_closed_by_the_user(stated: str | None) -> None:
    metric = Metric(Judge(), score_range=stated)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"no usable range of made-up .*score_range="):
        wrap(metric)
    assert wrap(metric, score_range=(0, 2)).scorer.card.score_range == (0, 2)
    with pytest.raises(ValueError, match="smallest, largest"):
        wrap(metric, score_range=(2, 0))


def test_pyiqas_ways_of_stating_a_range_are_read() -> None:
    assert stated_range("x", "~-1, ~0.1") == (-1.0, 0.1)
    assert stated_range("x", "0, 1") == (0.0, 1.0)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match=r"got str; create it first: pyiqa\.create_metric\(.ssim.\)"):
        wrap("ssim")
    with pytest.raises(TypeError, match="got Conv2d"):
        wrap(nn.Conv2d(1, 1, 1))
    with pytest.raises(ValueError, match="made-up is no-reference: mode is not an option"):
        wrap(Metric(Judge()), mode="fr")
    loss = wrap(Metric(Judge(), "FR"))
    with pytest.raises(ValueError, match="compares with a target: call"):
        loss(random_pair(loss)[0])
    with pytest.raises(ValueError, match="has no score of one image"):
        loss.scorer(torch.rand(1, 3, 16, 16))


# --- with pyiqa ---

OFFLINE: dict[str, dict[str, Any]] = {
    "psnr": {},
    "ssim": {},
    "ms_ssim": {},
    "gmsd": {},
    "fsim": {},
    "vsi": {},
    "vif": {},
    "nlpd": {},
    "topiq_nr": {"pretrained": False, "backbone_pretrain": False},
    "topiq_fr": {"pretrained": False, "backbone_pretrain": False},
    "musiq": {"pretrained": False},
    "wadiqam_nr": {"pretrained": False},
    "wadiqam_fr": {"pretrained": False},
}
"""Metrics that are built without a download, and how; the networks get random weights."""

# A finite gradient on flat images, and on an identical pair: what the metric's own mathematics does not have.
NO_GRADIENT_WHEN_FLAT = {"fsim"}
NO_GRADIENT_WHEN_IDENTICAL = {"nlpd"}
SIDE = 192  # ms_ssim needs five scales


@pytest.fixture(scope="module")
def metrics() -> dict[str, Any]:
    """Metrics built so far; each is built once."""
    return {}


@pytest.fixture(params=OFFLINE)
def metric(request: pytest.FixtureRequest, metrics: dict[str, Any]) -> Any:
    pyiqa = pytest.importorskip("pyiqa", reason="needs pyiqa, which pins other packages: use an environment of its own")
    name = request.param
    if name not in metrics:
        torch.manual_seed(0)
        metrics[name] = pyiqa.create_metric(name, device="cpu", **OFFLINE[name])
    return metrics[name]


@pytest.fixture
def loss(metric: Any) -> PyiqaLoss:
    return wrap(metric)


def pair(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(2, 3, SIDE // 8, SIDE // 8, generator=generator)
    target = nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bicubic").clamp(0.05, 0.95)
    pred = (target + 0.05 * torch.randn(target.shape, generator=generator)).clamp(0, 1)
    return pred.requires_grad_(), target


def test_the_loss_is_the_metric_with_its_sign_and_range_put_right(metric: Any, loss: PyiqaLoss) -> None:
    pred, target = pair()
    want = metric(pred, target) if metric.metric_mode == "FR" else metric(pred)
    low, high = stated_range(metric.metric_name, metric.score_range)
    want = (want - low) / (high - low) if metric.lower_better else (high - want) / (high - low)
    torch.testing.assert_close(loss(pred, target), want.mean().float())


def test_a_full_reference_loss_falls_towards_the_target(metric: Any, loss: PyiqaLoss) -> None:
    if metric.metric_mode == "NR" or OFFLINE[metric.metric_name]:
        pytest.skip("says nothing about random weights")
    pred, target = pair()
    pred = pred.detach()
    values = [loss(target + share * (pred - target), target).item() for share in (1.0, 0.5, 0.1)]
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1]


def test_no_gradient_reaches_weights_or_target(loss: PyiqaLoss) -> None:
    pred, target = pair()
    loss(pred, target.requires_grad_()).backward()
    assert pred.grad is not None
    assert torch.isfinite(pred.grad).all()
    assert pred.grad.abs().max() > 0
    assert target.grad is None
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in loss.scorer.parameters())


def test_a_parents_train_changes_nothing(loss: PyiqaLoss) -> None:
    pred, target = pair()
    with torch.no_grad():
        want = loss(pred, target)
        parent = nn.ModuleDict({"net": nn.Conv2d(3, 3, 1), "loss": loss, "scorer": loss.scorer}).train()
        assert not any(module.training for module in loss.scorer.modules())
        torch.testing.assert_close(parent["loss"](pred, target), want)
    assert set(nn.ModuleDict({"loss": loss}).state_dict()) == set()


def test_no_graph_under_no_grad(loss: PyiqaLoss) -> None:
    pred, target = pair()
    saved: list[int] = []
    for context in (torch.no_grad(), torch.inference_mode()):
        with context, torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(1) or t, lambda t: t):
            value = loss(pred, target)
        assert not value.requires_grad
        assert not saved


def test_float32_and_finite_under_autocast(loss: PyiqaLoss) -> None:
    pred, target = pair()
    want = loss(pred, target)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(pred, target)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, want)
    (grad,) = torch.autograd.grad(value, pred)
    assert torch.isfinite(grad).all()


def test_flat_and_identical_images_have_a_finite_gradient_or_say_so(metric: Any, loss: PyiqaLoss) -> None:
    target = pair()[1]
    name = metric.metric_name
    cases = {
        "black": (0 * target, name in NO_GRADIENT_WHEN_FLAT),
        "white": (0 * target + 1, name in NO_GRADIENT_WHEN_FLAT),
        "identical": (target, name in NO_GRADIENT_WHEN_IDENTICAL),
    }
    for images, fails in cases.values():
        pred = images.clone().requires_grad_()
        value = loss(pred, target)
        assert torch.isfinite(value)
        if fails:
            with pytest.raises(NonFiniteLossError, match=f"gradient of pyiqa:{name}"):
                value.backward()
        else:
            value.backward()
            assert torch.isfinite(pred.grad).all()


def test_values_outside_the_range_are_judged_as_the_picture_they_become(loss: PyiqaLoss) -> None:
    pred, target = pair()
    outside = ((pred.detach() - 0.5) * 1.5 + 0.5).requires_grad_()
    value = loss(outside, target)
    torch.testing.assert_close(value, loss(outside.detach().clamp(0, 1), target))
    (grad,) = torch.autograd.grad(value, outside)
    assert torch.isfinite(grad).all()


def test_encoded_target_gives_the_same_loss(metric: Any, loss: PyiqaLoss) -> None:
    if metric.metric_mode == "NR":
        pytest.skip("a no-reference metric has no target")
    pred, target = pair()
    encoded = loss.encode(target.requires_grad_())
    assert not any(value.requires_grad for value in encoded.features.values())
    (want,) = torch.autograd.grad(loss(pred, target), pred)
    (got,) = torch.autograd.grad(loss(pred, encoded), pred)
    torch.testing.assert_close(got, want)


def test_a_batch_is_its_images(metric: Any) -> None:
    loss = wrap(metric, reduction="none")
    pred, target = pair()
    with torch.no_grad():
        single = torch.cat([loss(pred[i : i + 1], target[i : i + 1]) for i in range(2)])
        # VIF inverts covariances in float32 and differs by 2e-4.
        torch.testing.assert_close(loss(pred, target), single, rtol=1e-3, atol=1e-4)


def test_copies_are_equal(loss: PyiqaLoss) -> None:
    pred, target = pair()
    want = loss(pred, target)
    for other in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        torch.testing.assert_close(other(pred, target), want)
        assert not any(parameter.requires_grad for parameter in other.scorer.parameters())


def test_a_network_metric_is_differentiated_on_the_predictions_side_only(metric: Any, loss: PyiqaLoss) -> None:
    if metric.metric_name not in ("topiq_nr", "topiq_fr", "wadiqam_nr", "wadiqam_fr"):
        pytest.skip("counts convolutional networks")
    pred, target = pair()
    forward, value = total_flops(loss, pred, target)
    backward, _ = total_flops(torch.autograd.grad, value, pred)
    share = backward / forward
    assert 0 < share <= (0.65 if metric.metric_mode == "FR" else 1.05)
