"""How large can the gradient of a colour space get? kornia's own function against ours, at the worst colour.

Run: python examples/color_gradients.py
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import kornia.color
import torch
from torch import Tensor

from iqaloss.color import COLOR_SPACES, GRADIENT_BOUNDS

KORNIA: dict[str, Callable[[Tensor], Tensor]] = {
    "ycbcr": kornia.color.rgb_to_ycbcr,
    "yuv": kornia.color.rgb_to_yuv,
    "hsv": kornia.color.rgb_to_hsv,
    "lab": kornia.color.rgb_to_lab,
    "luminance": kornia.color.rgb_to_grayscale,
}


def colors() -> Tensor:
    """An even grid of RGB, a finer one of the dark colours, and colours a hair away from greys: [3, 1, N]."""
    grids = [itertools.product(torch.linspace(0, top, 33).tolist(), repeat=3) for top in (1.0, 0.1)]
    near_gray = [(v, v + 1e-4, v) for v in (0.0, 0.1, 0.5, 0.9)]
    return torch.tensor([*grids[0], *grids[1], *near_gray]).T[:, None]


def largest_gradients(function: Callable[[Tensor], Tensor], images: Tensor) -> list[float]:
    """max |d out_c / d in_c'| over all colours and input channels, for each output channel c."""
    leaf = images.clone().requires_grad_()
    rows = [torch.autograd.grad(channel.sum(), leaf, retain_graph=True)[0] for channel in function(leaf)]
    return [row.abs().max().item() for row in rows]


def main() -> None:
    images = colors()

    def show(values: list[float] | tuple[float, ...]) -> str:
        return " ".join(f"{value:9.4g}" for value in values)

    print(f"{images.shape[-1]} colours; max |gradient| of each output channel")
    print(f"{'space':<16}{'kornia':>29}   {'iqaloss':>29}   {'documented bound':>29}")
    for space, function in COLOR_SPACES.items():
        theirs = show(largest_gradients(KORNIA[space], images)) if space in KORNIA else "-"
        ours = largest_gradients(function, images)
        print(f"{space:<16}{theirs:>29}   {show(ours):>29}   {show(GRADIENT_BOUNDS[space]):>29}")
        if any(value > bound * (1 + 1e-5) for value, bound in zip(ours, GRADIENT_BOUNDS[space])):
            raise SystemExit(f"{space} exceeds its documented gradient bound")


if __name__ == "__main__":
    main()
