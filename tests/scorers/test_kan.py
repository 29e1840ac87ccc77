"""Laws of the spline layer: the published values, and what a B-spline is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from iqaloss.scorers.layers.kan import KANLinear, spline_bases, spline_knots
from testing.golden import Golden, assert_close


def recursion(x: Tensor, knots: Tensor, order: int = 3) -> Tensor:
    """Cox and de Boor's recursion, as it is written in textbooks."""
    x = x.unsqueeze(-1)
    bases = ((x >= knots[:-1]) & (x < knots[1:])).to(x.dtype)
    for k in range(1, order + 1):
        left = (x - knots[: -k - 1]) / (knots[k:-1] - knots[: -k - 1])
        right = (knots[k + 1 :] - x) / (knots[k + 1 :] - knots[1:-k])
        bases = left * bases[..., :-1] + right * bases[..., 1:]
    return bases


@pytest.mark.parametrize(("name", "inputs", "outputs"), [("kan11x5", 11, 5), ("kan64x1", 64, 1)])
@pytest.mark.parametrize("scaler", [True, False])
def test_layer_equals_the_published_one(golden: Golden, name: str, inputs: int, outputs: int, scaler: bool) -> None:
    want = golden.load("loss_maths")
    layer = KANLinear(inputs, outputs, scaler=True)
    filled = golden.fill.fill_state_dict(layer, f"public:{name}")
    knots = torch.from_numpy(want[f"{name}_grid_row"])
    checksum = golden.fill.checksum({**filled, "grid": knots.expand(inputs, -1)})
    np.testing.assert_allclose(checksum, want[f"{name}_checksum"], rtol=1e-6)
    layer.load_state_dict(filled)
    if not scaler:
        folded = KANLinear(inputs, outputs)
        folded.load_state_dict({"base_weight": layer.base_weight, "spline_weight": layer.coefficients()})
        layer = folded
    x = torch.from_numpy(want[f"{name}_x"]).requires_grad_()
    y = layer(x)
    assert_close(y, want[f"{name}_y"])
    assert_close(spline_bases(x), want[f"{name}_bases"])
    assert_close(spline_knots(), want[f"{name}_grid_row"])
    (grad,) = torch.autograd.grad(y.sum(), x)
    off_knots = np.arange(len(x)) != 1  # row 1 sits on the knots; the fixture holds zeros for its gradient
    assert_close(grad[off_knots], want[f"{name}_grad_x"][off_knots])


@pytest.mark.parametrize("intervals", [1, 5, 8])
def test_bases_are_those_of_the_recursion(intervals: int) -> None:
    knots = spline_knots(intervals).double()
    x = torch.cat([torch.linspace(-4, 4, 997, dtype=torch.float64), knots])
    want = recursion(x, knots)
    torch.testing.assert_close(spline_bases(x, intervals), want, rtol=0, atol=1e-6)


def test_bases_add_up_to_one_inside_and_vanish_outside() -> None:
    inside = torch.linspace(-1, 1, 401)
    torch.testing.assert_close(spline_bases(inside).sum(-1), torch.ones(401), rtol=0, atol=1e-6)
    outside = torch.tensor([-50.0, -2.2001, 2.2001, 1e6])
    assert spline_bases(outside).abs().max() == 0
    assert (spline_bases(inside) >= -1e-7).all()


def test_gradient_is_that_of_finite_differences() -> None:
    torch.manual_seed(0)
    layer = KANLinear(4, 3, scaler=True).double()
    x = torch.linspace(-2.5, 2.5, 12, dtype=torch.float64).view(3, 4).requires_grad_()
    assert torch.autograd.gradcheck(layer, (x,))


def test_autocast_changes_nothing() -> None:
    torch.manual_seed(0)
    layer, x = KANLinear(16, 4), torch.randn(8, 16)
    with torch.autocast("cpu", torch.bfloat16):
        bases, y = spline_bases(x.bfloat16()), layer(x)
    assert bases.dtype == y.dtype == torch.float32
    torch.testing.assert_close(y, layer(x), rtol=0, atol=0)


def test_half_precision_weights_still_get_float32_bases() -> None:
    torch.manual_seed(0)
    layer, x = KANLinear(16, 4), torch.randn(8, 16)
    want = layer(x)
    y = layer.bfloat16()(x.bfloat16())
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), want, rtol=0.05, atol=0.05)


def test_the_layer_starts_as_small_noise_through_the_inner_knots() -> None:
    torch.manual_seed(0)
    layer = KANLinear(50, 40)
    curves = spline_bases(torch.linspace(-1, 1, 6)) @ layer.spline_weight.detach().flatten(0, 1).t()
    assert curves.abs().max() <= 0.5 * 0.1 / 5 + 1e-6
    assert curves.std() > 0.1 * 0.1 / 5
    assert layer.base_weight.abs().max() <= 50**-0.5


def test_a_scaler_is_another_way_to_write_the_same_function() -> None:
    torch.manual_seed(0)
    layer, folded = KANLinear(6, 3, scaler=True), KANLinear(6, 3)
    folded.load_state_dict({"base_weight": layer.base_weight, "spline_weight": layer.coefficients()})
    x = torch.randn(5, 6)
    torch.testing.assert_close(folded(x), layer(x))
    assert layer(x.view(5, 1, 6)).shape == (5, 1, 3)
