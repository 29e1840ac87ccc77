"""The same restoration three times, steered by three weights of one dimension.

A blurred photograph is restored by gradient descent on its pixels: stay close to it, and look good to the
scorer. The more sharpness weighs, the sharper the result.
"""

from __future__ import annotations

import torch
from skimage import data
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.functional import gaussian_blur

from iqaloss import MDIQALoss


def restore(blurred: Tensor, sharpness: float, steps: int) -> Tensor:
    others = dict.fromkeys(("brightness", "colorfulness", "contrast", "noisiness"), 1.0)
    loss_fn = MDIQALoss(weights={**others, "sharpness": sharpness}, loss_weight=0.2)
    restored = blurred.clone().requires_grad_()
    optimizer = torch.optim.Adam([restored], lr=2e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        (F.mse_loss(restored, blurred) + loss_fn(restored)).backward()
        optimizer.step()
    return restored.detach().clamp(0, 1)


def gradient_energy(image: Tensor) -> float:
    """A sharpness measure that no scorer is involved in: the mean absolute difference of neighbours."""
    return (image.diff(dim=-1).abs().mean() + image.diff(dim=-2).abs().mean()).item()


def main(steps: int = 15) -> dict[float, float]:
    photo = torch.from_numpy(data.chelsea()).permute(2, 0, 1).float() / 255
    blurred = gaussian_blur(photo[None, :, 60:188, 120:248], [7, 7], [1.2, 1.2])
    print(f"blurred               gradient energy {gradient_energy(blurred):.4f}")
    energies = {}
    for sharpness in (0.0, 1.0, 8.0):
        energies[sharpness] = gradient_energy(restore(blurred, sharpness, steps))
        print(f"sharpness weight {sharpness:3.0f}  gradient energy {energies[sharpness]:.4f}")
    return energies


if __name__ == "__main__":
    main()
