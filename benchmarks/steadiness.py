"""How much of a loss's gradient is chance: python -m benchmarks.steadiness --originals FOLDER [--panel WEIGHTS].

x4 bicubic upscales of crops, and the same with noise of half a grey level that no eye sees: the cosine between the two
gradients by the pixels, mean over the crops; and, of ours, between the gradient and its bfloat16 autocast.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.arena.photos import centers, read_originals
from iqaloss import MDIQALoss
from iqaloss.evaluation.panel import load_panel
from iqaloss.evaluation.probes.gaming.networks import enlarge, shrink

Loss = Callable[[Tensor, Tensor], Tensor]


def gradient(loss: Loss, pred: Tensor, target: Tensor) -> Tensor:
    """Returns the gradient of a loss, a scalar or a value for each image, by its first argument."""
    pixels = pred.clone().requires_grad_()
    return torch.autograd.grad(loss(pixels, target).sum(), pixels)[0].float()


def cosine(one: Tensor, other: Tensor) -> float:
    """Returns the mean over the images of the cosine between two gradients.

    Example:
        >>> cosine(torch.ones(2, 3, 4, 4), -torch.ones(2, 3, 4, 4))
        -1.0
    """
    return round(float(F.cosine_similarity(one.flatten(1).double(), other.flatten(1).double()).mean()), 6)


def under_noise(loss: Loss, pred: Tensor, target: Tensor, seed: int = 0) -> float:
    """Returns the cosine of the gradient with that under noise of half a grey level."""
    noise = torch.randn(pred.shape, generator=torch.Generator().manual_seed(seed)) / 510
    return cosine(gradient(loss, pred, target), gradient(loss, pred + noise, target))


def rounded(loss: Loss, pred: Tensor, target: Tensor) -> float:
    """Returns the cosine of the gradient with that in bfloat16 autocast."""
    with torch.autocast(pred.device.type, torch.bfloat16):
        found = gradient(loss, pred, target)
    return cosine(gradient(loss, pred, target), found)


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--originals", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--panel", type=Path, help="folder of weights of LPIPS, to hold ours against")
    parser.add_argument("--crops", type=int, default=12, help="centre crops of 128 x 128 (default: %(default)s)")
    options = parser.parse_args()
    originals = centers(read_originals(options.originals, False, 128, options.crops), 128)
    upscales = enlarge(shrink(originals))
    ours: dict[str, Loss] = {
        f"`MDIQALoss`, {mode}{f', prefilter {sigma}' if sigma else ''}": MDIQALoss(mode=mode, prefilter=sigma)
        for mode in ("nr", "fr")
        for sigma in (None, 0.8, 1.2)
    }
    print("| loss | under noise of half a grey level | in bfloat16 |\n|---|---:|---:|")
    for name, loss in ours.items():
        print(f"| {name} | {under_noise(loss, upscales, originals):.2f} | {rounded(loss, upscales, originals):.2f} |")
    if options.panel is not None:
        panel = load_panel(["lpips_vgg", "lpips_alex"], options.panel)
        for judge in panel.judges:
            print(f"| {judge.title} | {under_noise(partial(panel.distance, judge.name), upscales, originals):.2f} |  |")


if __name__ == "__main__":
    main()
