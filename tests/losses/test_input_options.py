"""What a scorer gets to see: smoothed and varied images, prediction and target alike."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from iqaloss import IQALoss, MDIQALoss
from iqaloss.losses.augment import Augment, warp
from iqaloss.losses.registry import LossSpec
from iqaloss.scorers.layers.blur import gaussian_blur
from testing.cases import TRACED, random_pair, tiny
from testing.costs import NoWaiting

ALL = ["flip", "shift", "resize"]


def loss_with(**options: Any) -> MDIQALoss:
    return MDIQALoss(None, options.pop("mode", "both"), tiny("mdiqa-mobile"), **options)


def smooth(seed: int = 0, batch: int = 3, height: int = 80, width: int = 96) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, 3, height // 8, width // 8, generator=generator)
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)


# --- prefilter ---


def test_a_prefilter_is_a_gaussian_of_prediction_and_target() -> None:
    plain, filtered = loss_with(), loss_with(prefilter=0.8)
    pred, target = random_pair(plain)
    want = plain(gaussian_blur(pred, 0.8), gaussian_blur(target, 0.8))
    torch.testing.assert_close(filtered(pred, target), want)
    torch.testing.assert_close(filtered(pred, filtered.encode(target)), want)


def test_a_prefilter_keeps_the_mean_of_a_mirrored_picture_and_takes_a_checkerboard_away() -> None:
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    board = ((rows + columns) % 2).float().expand(1, 3, 32, 32)
    found = gaussian_blur(board, 0.8)
    torch.testing.assert_close(found.mean(), board.mean())
    assert (found - 0.5).abs().max() < 0.01
    flat = torch.full((1, 3, 9, 9), 0.25)
    torch.testing.assert_close(gaussian_blur(flat, 2.0), flat)


def test_a_prefilter_is_not_rounded_by_autocast() -> None:
    images = smooth()
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(gaussian_blur(images, 0.8), gaussian_blur(images.clone(), 0.8))
        assert gaussian_blur(images, 0.8).dtype == torch.float32


def test_a_prefilter_that_is_wider_than_the_image_is_told() -> None:
    with pytest.raises(ValueError, match=r"a Gaussian of 30 pixels extends 90 pixels, too far for pred of 64x64"):
        loss_with(prefilter=30, mode="nr")(torch.rand(1, 3, 64, 64))


# --- augment ---


@pytest.mark.parametrize("name", ALL)
def test_each_variation_follows_the_seed_and_is_another_at_every_call(name: str) -> None:
    loss = loss_with(augment=name)
    pred, target = smooth().requires_grad_(), smooth(1)
    torch.manual_seed(5)
    first = loss(pred, target)
    second = loss(pred, target)
    torch.manual_seed(5)
    assert torch.equal(loss(pred, target), first)
    assert not torch.equal(first, second)
    second.backward()
    assert torch.isfinite(pred.grad).all()
    assert pred.grad.abs().max() > 0


def test_prediction_and_target_have_the_same_draw() -> None:
    loss = loss_with(mode="fr", augment=ALL)
    pred = smooth()
    assert loss(pred, pred.clone()).item() == pytest.approx(0, abs=1e-6)


def test_a_call_draws_what_augment_draws() -> None:
    plain, varied = loss_with(), loss_with(augment=ALL)
    pred, target = smooth(), smooth(1)
    torch.manual_seed(2)
    value = varied(pred, target)
    torch.manual_seed(2)
    drawn = varied.inputs.augment.draw(pred.shape, pred.device)
    torch.testing.assert_close(value, plain(warp(pred, *drawn), warp(target, *drawn)))


def test_images_are_drawn_one_by_one_and_micro_batches_change_nothing() -> None:
    images = smooth(batch=1).expand(16, -1, -1, -1)
    versions = warp(images, *Augment(flip=True).draw(images.shape, images.device))
    mirrored = [torch.equal(one, images[0].flip(-1)) for one in versions]
    assert [torch.equal(one, images[0]) for one in versions] == [not each for each in mirrored]
    assert 0 < sum(mirrored) < 16
    whole, split = loss_with(augment=ALL), loss_with(augment=ALL, micro_batch=2)
    values = []
    for loss in (whole, split):
        torch.manual_seed(4)
        values.append(loss(smooth(), smooth(1)))
    torch.testing.assert_close(*values)


def test_a_shift_moves_by_whole_pixels_and_mirrors_what_comes_in() -> None:
    image = torch.rand(1, 3, 16, 24)
    torch.manual_seed(0)
    rows, columns = Augment(shift=3).draw((64, 3, 16, 24), image.device)
    versions = warp(image.expand(64, -1, -1, -1), rows, columns)
    padded = torch.nn.functional.pad(image, (3, 3, 3, 3), mode="reflect")[0]
    places = {(y, x): padded[:, y : y + 16, x : x + 24] for y in range(7) for x in range(7)}
    found = {next(place for place, cut in places.items() if torch.equal(one, cut)) for one in versions}
    assert len(found) > 20


def test_resizing_keeps_the_range_the_mean_and_every_pixels_gradient() -> None:
    images = smooth().requires_grad_()
    for resize in ((0.75, 0.75), (1.25, 1.25), (0.5, 2.0)):
        torch.manual_seed(1)
        versions = warp(images, *Augment(resize=resize).draw(images.shape, images.device))
        assert versions.shape == images.shape
        assert images.min() - 1e-6 <= versions.min()
        assert versions.max() <= images.max() + 1e-6
    shrunk = warp(images, *Augment(resize=(0.75, 0.75)).draw(images.shape, images.device))
    (gradient,) = torch.autograd.grad(shrunk.sum(), images)
    assert (gradient > 0).all()  # no pixel is skipped


def test_resizing_changes_the_size_of_things() -> None:
    wave = torch.sin(torch.arange(96) * 2 * torch.pi / 8).expand(1, 3, 96, 96)
    (version,) = warp(wave, *Augment(resize=(1.25, 1.25)).draw(wave.shape, wave.device))
    spectrum = torch.fft.rfft(version[0, 48] * torch.hann_window(96)).abs()
    assert spectrum[1:].argmax().item() + 1 == round(96 / 10)  # a period of 8 pixels has become 10


def test_drawing_waits_for_nothing() -> None:
    loss = loss_with(augment=ALL, prefilter=0.8, nonfinite="ignore").to("meta")
    pred = torch.rand(2, 3, 64, 64, device="meta").requires_grad_()
    with NoWaiting():
        value = loss(pred, torch.rand(2, 3, 64, 64, device="meta"))
        value.backward()
    assert value.is_meta


def test_augment_goes_with_crop_max_side_and_checkpoint() -> None:
    loss = loss_with(augment=ALL, crop=48, max_side=88, checkpoint=True, micro_batch=1, prefilter=0.5)
    pred = smooth().requires_grad_()
    loss(pred, smooth(1)).backward()
    assert torch.isfinite(pred.grad).all()
    assert pred.grad.abs().max() > 0


@TRACED
def test_compiled_it_draws_from_the_same_generator() -> None:
    torch.compiler.reset()
    loss, pred, target = IQALoss(tiny("pmt-iqa"), "both", augment=ALL), smooth(), smooth(1)
    compiled = torch.compile(loss, fullgraph=True, backend="eager")
    torch.manual_seed(7)
    want = loss(pred, target)
    torch.manual_seed(7)
    torch.testing.assert_close(compiled(pred, target), want)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"prefilter": 0}, ValueError, "prefilter must be None or more than 0 pixels, got 0"),
        ({"prefilter": "much"}, TypeError, "prefilter must be a number, got 'much'"),
        ({"augment": "flp"}, ValueError, "augment.*'flp'.*did you mean 'flip'"),
        ({"augment": {"shfit": 3}}, ValueError, "did you mean 'shift'"),
        ({"augment": {"shift": -1}}, ValueError, "augment.shift must be at least 0, got -1"),
        ({"augment": {"resize": [1.2, 0.8]}}, ValueError, r"augment.resize must be \(smallest, largest\)"),
        ({"augment": 3}, TypeError, "names out of flip, shift, resize"),
    ],
)
def test_a_wrong_option_is_told(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        loss_with(**options)


def test_an_encoded_target_is_seen_as_the_prediction_is() -> None:
    pred, target = smooth(), smooth(1)
    with pytest.raises(ValueError, match=r"cannot be encoded with augment=Augment\(flip=True.*draws another version"):
        loss_with(augment="flip").encode(target)
    encoded = loss_with().encode(target)
    with pytest.raises(ValueError, match=r"augment=Augment.*pass the target's images"):
        loss_with(augment="flip")(pred, encoded)
    with pytest.raises(ValueError, match=r"encoded with.*prefilter=None.*this loss has.*prefilter=0.8"):
        loss_with(prefilter=0.8)(pred, encoded)


def test_recipes_take_them() -> None:
    read = {"type": "IQALoss", "prefilter": 0.8, "augment": {"flip": True, "resize": [0.75, 1.25]}}
    loss = LossSpec.read(read).build(tiny("mdiqa-mobile"))
    assert isinstance(loss, IQALoss)
    assert loss.inputs.prefilter == 0.8
    assert loss.inputs.augment == Augment(flip=True, resize=(0.75, 1.25))
    assert LossSpec.read({"type": "IQALoss", "augment": []}).build(tiny("mdiqa-mobile")).inputs.augment is None
