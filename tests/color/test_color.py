"""Laws of the colour spaces: values of kornia and OpenCV, gradients finite and bounded everywhere."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import kornia.color
import numpy as np
import pytest
import torch
from torch import Tensor

from iqaloss.color import COLOR_SPACES, GRADIENT_BOUNDS, convert, rgb_to_luminance

if TYPE_CHECKING:
    from testing.golden import Golden

SPACES = list(COLOR_SPACES)
OPENCV = ["opencv_hsv", "opencv_lab", "opencv_yuv"]
KORNIA = {
    "ycbcr": "rgb_to_ycbcr",
    "yuv": "rgb_to_yuv",
    "hsv": "rgb_to_hsv",
    "lab": "rgb_to_lab",
    "luminance": "rgb_to_grayscale",
}

# uint8 RGB, then OpenCV 5.0.0's RGB2HSV, RGB2LAB and RGB2YUV of it.
OPENCV_TABLE = (
    ((0, 0, 0), (0, 0, 0), (0, 128, 128), (0, 128, 128)),
    ((255, 255, 255), (0, 0, 255), (255, 128, 128), (255, 128, 128)),
    ((128, 128, 128), (0, 0, 128), (137, 128, 128), (128, 128, 128)),
    ((1, 1, 1), (0, 0, 1), (1, 128, 128), (1, 128, 128)),
    ((255, 0, 0), (0, 255, 255), (136, 208, 195), (76, 91, 255)),
    ((0, 255, 0), (60, 255, 255), (224, 42, 211), (150, 54, 0)),
    ((0, 0, 255), (120, 255, 255), (82, 207, 20), (29, 239, 103)),
    ((255, 255, 0), (30, 255, 255), (248, 106, 223), (226, 17, 153)),
    ((0, 255, 255), (90, 255, 255), (233, 80, 114), (179, 165, 0)),
    ((255, 0, 255), (150, 255, 255), (154, 226, 67), (105, 202, 255)),
    ((255, 0, 1), (0, 255, 255), (136, 208, 195), (76, 91, 255)),
    ((255, 1, 0), (0, 255, 255), (136, 208, 195), (77, 90, 255)),
    ((1, 0, 0), (0, 255, 1), (0, 128, 128), (0, 128, 129)),
    ((0, 0, 1), (120, 255, 1), (0, 128, 127), (0, 128, 128)),
    ((128, 128, 127), (30, 2, 128), (137, 128, 128), (128, 128, 128)),
    ((10, 11, 11), (90, 23, 11), (8, 128, 128), (11, 128, 127)),
    ((200, 200, 40), (30, 204, 200), (200, 111, 200), (182, 58, 144)),
    ((90, 180, 180), (90, 128, 180), (174, 101, 120), (153, 141, 73)),
    ((175, 196, 25), (34, 222, 196), (192, 102, 200), (170, 57, 132)),
    ((246, 67, 211), (156, 186, 246), (154, 208, 92), (137, 164, 224)),
    ((151, 103, 92), (6, 100, 151), (123, 146, 142), (116, 116, 159)),
    ((185, 142, 23), (22, 223, 185), (157, 134, 190), (141, 70, 167)),
    ((72, 89, 110), (107, 88, 110), (95, 127, 114), (86, 140, 116)),
    ((42, 218, 136), (76, 206, 218), (198, 67, 157), (156, 118, 28)),
    ((172, 0, 75), (167, 255, 172), (93, 191, 136), (60, 135, 226)),
    ((55, 250, 6), (54, 249, 250), (221, 47, 210), (164, 50, 32)),
    ((191, 69, 56), (3, 180, 191), (119, 176, 162), (104, 104, 204)),
    ((112, 251, 189), (77, 141, 251), (229, 76, 147), (202, 122, 49)),
)


def as_image(colors: list[tuple[float, ...]], dtype: torch.dtype = torch.float32) -> Tensor:
    """N colours as a [3, 1, N] image."""
    return torch.tensor(colors, dtype=dtype).T[:, None].contiguous()


def grid(low: float, high: float, steps: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return as_image(list(itertools.product(torch.linspace(low, high, steps).tolist(), repeat=3)), dtype)


def singular(dtype: torch.dtype = torch.float32) -> Tensor:
    """Greys, black, white, primaries, ties, thresholds, and all of them a hair off, inside and outside [0, 1]."""
    corners = [tuple(map(float, c)) for c in itertools.product((0, 1), repeat=3)]
    grays = [(v, v, v) for v in (-0.05, 1e-30, 1e-8, 0.003, 0.04045, 0.2, 0.5, 1.05)]
    ties = [(0.5, 0.5, 0.2), (0.2, 0.5, 0.5), (0.5, 0.2, 0.5), (0.5, 0.2, 0.2), (0.2, 0.5, 0.2), (0.0, 0.04045, 0.0)]
    odd = [(-1e-8, -1e-8, -0.02), (-1e-8, -0.05, -0.05), (0.0, -0.1, 0.0), (1e-6, -0.1, -0.1), (-0.055, 0.0, 0.0)]
    colors = corners + grays + ties + odd
    near = [
        tuple(v + step * (i == c) for i, v in enumerate(color))
        for color in colors
        for step in (1e-38, 1e-30, 1e-12, 1e-7, -1e-7, 1e-4, -1e-4)
        for c in range(3)
    ]
    return as_image(colors + near, dtype)


def probes(dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.cat(
        [grid(0, 1, 26, dtype), grid(-0.1, 0.2, 16, dtype), grid(-0.1, 1.1, 13, dtype), singular(dtype)], -1
    )


def jacobian(images: Tensor, space: str) -> Tensor:
    """[out channel, in channel, 1, N]; pixels are independent, so that one backward a channel gives all."""
    leaf = images.clone().requires_grad_()
    out = convert(leaf, space)
    return torch.stack([torch.autograd.grad(channel.sum(), leaf, retain_graph=True)[0] for channel in out])


def test_every_space_documents_a_bound_for_each_channel():
    assert list(GRADIENT_BOUNDS) == SPACES
    for space in SPACES:
        assert len(GRADIENT_BOUNDS[space]) == convert(torch.rand(3, 2, 2), space).shape[-3]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("space", SPACES)
def test_gradient_is_finite_and_reaches_but_never_exceeds_its_bound(space: str, dtype: torch.dtype):
    gradient = jacobian(probes(dtype), space)
    assert torch.isfinite(gradient).all()
    reached = gradient.abs().amax(dim=(1, 2, 3)).double()
    bound = torch.tensor(GRADIENT_BOUNDS[space], dtype=torch.float64)
    assert (reached <= bound * (1 + 1e-5)).all(), (reached, bound)
    assert (reached >= bound * 0.99).all(), (reached, bound)


@pytest.mark.parametrize("space", SPACES)
def test_values_are_finite_and_kept_in_shape(space: str):
    images = singular().expand(2, 4, 3, 1, -1)
    out = convert(images, space)
    assert torch.isfinite(out).all()
    assert out.shape == (2, 4, len(GRADIENT_BOUNDS[space]), 1, images.shape[-1])


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("space", KORNIA)
def test_values_equal_kornia(space: str, dtype: torch.dtype, tolerance: float):
    images = torch.cat([grid(0, 1, 26, dtype), grid(-0.1, 1.1, 13, dtype), singular(dtype)], -1)
    if space == "hsv":  # kornia divides by a value near 0, of either sign, where no channel is above 0
        images = images[..., (images.amax(-3) > 1e-20)[0]]
    want = getattr(kornia.color, KORNIA[space])(images)
    scale = 100 if space == "lab" else 1
    torch.testing.assert_close(convert(images, space), want, rtol=tolerance, atol=tolerance * scale)


def test_lmn_of_white_and_primaries_are_the_published_matrix():
    out = convert(as_image([(1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1)]), "lmn")[:, 0].T
    want = torch.tensor([[0.96, -0.01, -0.09], [0.06, 0.30, 0.34], [0.63, 0.04, -0.60], [0.27, -0.35, 0.17]])
    torch.testing.assert_close(out, want)


def test_luminance_weighs_by_the_named_standard():
    primaries = as_image([(1, 0, 0), (0, 1, 0), (0, 0, 1)])
    assert rgb_to_luminance(primaries, "bt601").flatten().tolist() == pytest.approx([0.299, 0.587, 0.114])
    assert rgb_to_luminance(primaries, "bt709").flatten().tolist() == pytest.approx([0.2126, 0.7152, 0.0722])
    with pytest.raises(ValueError, match="bt709"):
        rgb_to_luminance(primaries, "bt708")


def test_opencv_spaces_equal_the_pinned_uint8_values():
    table = torch.tensor(OPENCV_TABLE)
    images = table[:, 0].T[:, None] / 255
    for column, space in enumerate(OPENCV, start=1):
        got = (convert(images, space)[:, 0].T * 255).round().long()
        assert torch.equal(got, table[:, column]), space


def test_opencv_spaces_agree_with_installed_opencv_within_one_level():
    cv2 = pytest.importorskip("cv2")
    pixels = np.random.RandomState(0).randint(0, 256, (512, 512, 3), dtype=np.uint8)
    images = torch.from_numpy(pixels).permute(2, 0, 1) / 255
    for space, code in zip(OPENCV, (cv2.COLOR_RGB2HSV, cv2.COLOR_RGB2LAB, cv2.COLOR_RGB2YUV)):
        want = torch.from_numpy(cv2.cvtColor(pixels, code)).permute(2, 0, 1) / 255
        difference = (convert(images, space) - want).abs()
        assert difference.max() < 1.01 / 255
        assert (difference > 1e-6).double().mean() < 1e-3


@pytest.mark.parametrize("space", OPENCV)
def test_opencv_spaces_return_levels_and_clip_what_overshoots(space: str):
    images = grid(-0.1, 1.1, 13)
    out = convert(images, space) * 255
    torch.testing.assert_close(out, out.round(), rtol=0, atol=1e-4)
    assert out.min() >= 0
    assert out.max() <= 255
    assert torch.equal(convert(images, space), convert(images.clamp(0, 1), space))


def test_opencv_space_gradient_is_that_of_the_scaled_space():
    images = (grid(0, 1, 9, torch.float64) * 255).round() / 255
    for space, scale in (("hsv", (90 / torch.pi / 255, 1, 1)), ("lab", (1 / 100, 1 / 255, 1 / 255))):
        want = jacobian(images, space) * torch.tensor(scale, dtype=torch.float64)[:, None, None, None]
        torch.testing.assert_close(jacobian(images, f"opencv_{space}"), want)


@pytest.mark.parametrize("space", [s for s in SPACES if s not in OPENCV])
def test_gradient_is_the_exact_one_away_from_singular_points(space: str):
    colors = as_image([(0.6, 0.3, 0.5), (0.35, 0.5, 0.65), (0.55, 0.7, 0.45), (0.9, 0.7, 0.8)], torch.float64)
    assert torch.autograd.gradcheck(lambda x: convert(x, space), (colors.requires_grad_(),))


def smooth_in(space: str, images: torch.Tensor) -> torch.Tensor:
    """Where a space has one derivative: HSV has not where two channels are the largest, and kornia's choice changed."""
    largest = images.topk(2, dim=0).values
    return (largest[0] > largest[1]) if space == "hsv" else torch.ones_like(largest[0], dtype=torch.bool)


def test_limited_gradient_keeps_the_direction_of_kornias():
    images = grid(0.01, 0.11, 9, torch.float64)
    for space in ("hsv", "lab"):
        leaf = images.clone().requires_grad_()
        out = getattr(kornia.color, KORNIA[space])(leaf)
        want = torch.stack([torch.autograd.grad(channel.sum(), leaf, retain_graph=True)[0] for channel in out])
        got = jacobian(images, space)
        lit = (want.abs().amax(1) > 1e-6) & smooth_in(space, images)
        lit[0] &= (images.amax(0) - images.amin(0)) > 1e-6 if space == "hsv" else True
        cosine = torch.nn.functional.cosine_similarity(got, want, dim=1)
        torch.testing.assert_close(cosine[lit], torch.ones_like(cosine[lit]), rtol=0, atol=1e-9)
        assert (got.abs().amax(1) < want.abs().amax(1) * 0.999)[lit].any()


def test_gradient_is_exact_for_the_documented_share_of_the_cube():
    images = grid(0, 1, 52, torch.float64)
    for space, shares in (("hsv", (0.97, 0.99, 1.0)), ("lab", (0.998, 0.88, 0.95))):
        leaf = images.clone().requires_grad_()
        out = getattr(kornia.color, KORNIA[space])(leaf)
        for channel, (got, share) in enumerate(zip(jacobian(images, space), shares)):
            (want,) = torch.autograd.grad(out[channel].sum(), leaf, retain_graph=True)
            same = torch.isclose(got, want, rtol=1e-6, atol=1e-9).all(0)
            exact = same[smooth_in(space, images)].double().mean().item()
            assert exact >= share, (space, channel, exact)


def test_hue_of_a_gray_and_saturation_of_black_have_zero_gradient():
    gradient = jacobian(as_image([(0.5, 0.5, 0.5), (0.0, 0.0, 0.0)]), "hsv")[..., 0, :]
    assert torch.count_nonzero(gradient[0]) == 0
    assert torch.count_nonzero(gradient[1, :, 1]) == 0
    torch.testing.assert_close(gradient[2].sum(0), torch.ones(2))


@pytest.mark.parametrize("space", SPACES)
def test_autocast_and_half_input_are_computed_in_float32(space: str):
    images = torch.rand(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = convert(images, space)
    assert got.dtype == torch.float32
    assert torch.equal(got, convert(images, space))
    half = images.bfloat16()
    assert torch.equal(convert(half, space), convert(half.float(), space))
    assert convert(images.double(), space).dtype == torch.float64


@pytest.mark.parametrize("space", SPACES)
def test_compiles_to_one_graph_with_the_same_values_and_gradient(space: str):
    images = singular().requires_grad_()
    torch._dynamo.reset()
    compiled = torch.compile(lambda x: convert(x, space), backend="aot_eager", fullgraph=True)
    got, want = compiled(images), convert(images, space)
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-5)
    pair = [torch.autograd.grad(out.sum(), images)[0] for out in (got, want)]
    torch.testing.assert_close(pair[0], pair[1], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("space", SPACES)
def test_second_derivative_is_finite(space: str):
    images = torch.cat([grid(0, 1, 6), as_image([(0.5, 0.5, 0.5), (0, 0, 0), (1, 1, 1), (1, 0, 0)])], -1)
    leaf = images.requires_grad_()
    (first,) = torch.autograd.grad(convert(leaf, space).square().sum(), leaf, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), leaf)
    assert torch.isfinite(second).all()
    assert second.abs().max() > 0


@pytest.mark.parametrize("space", SPACES)
def test_nan_is_passed_on_not_hidden(space: str):
    images = torch.full((3, 2, 2), 0.5)
    images[:, 0, 0] = float("nan")
    out = convert(images, space)
    assert torch.isnan(out[:, 0, 0]).all()
    assert torch.isfinite(out[:, 1, 1]).all()


def test_unknown_space_names_the_nearest():
    with pytest.raises(ValueError, match=r"'opencv_hvs'.*'opencv_hsv'"):
        convert(torch.rand(3, 2, 2), "opencv_hvs")


@pytest.mark.parametrize("space", SPACES)
def test_wrong_input_is_named(space: str):
    with pytest.raises(ValueError, match=r"\(1, 4, 2, 2\)"):
        convert(torch.rand(1, 4, 2, 2), space)
    with pytest.raises(ValueError, match=r"\(3, 2\)"):
        convert(torch.rand(3, 2), space)
    with pytest.raises(TypeError, match="uint8"):
        convert(torch.zeros(3, 2, 2, dtype=torch.uint8), space)
    with pytest.raises(TypeError, match="ndarray"):
        convert(np.zeros((3, 2, 2), dtype=np.float32), space)


@pytest.mark.parametrize("space", OPENCV)
def test_lar_iqa_network_input_matches_the_published_pipeline(space: str, golden: Golden):
    from PIL import Image

    arrays = golden.load("lar_iqa_kan")
    pixels = (golden.image("lar:p", arrays["p_image_shape_chw"]) * 255).round()
    assert np.array_equal(pixels.byte().permute(1, 2, 0).numpy()[::64, ::64], arrays["p_image_u8_sub"])

    converted = (convert(pixels / 255, space) * 255).round().byte()
    resized = Image.fromarray(converted.permute(1, 2, 0).numpy()).resize((384, 384), Image.Resampling.BILINEAR)
    height, width = converted.shape[-2:]
    top, left = (1280 - height) // 2, (1280 - width) // 2
    padded = torch.nn.functional.pad(converted, (left, 1280 - width - left, top, 1280 - height - top))
    name = space.removeprefix("opencv_").upper()
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    for branch, image, stride in (
        ("authentic", torch.from_numpy(np.array(resized)).permute(2, 0, 1), 16),
        ("synthetic", padded, 64),
    ):
        network_input = (image / 255 - mean) / std
        want = torch.from_numpy(arrays[f"p_{name}_pre_{branch}_sub"])[0]
        difference = (network_input[:, ::stride, ::stride] - want).abs() * std * 255
        assert difference.max() < 2.01
        assert (difference > 0.01).sum() <= 5
        assert network_input.double().mean().item() == pytest.approx(arrays[f"p_{name}_pre_{branch}_mean"][0], abs=1e-4)
