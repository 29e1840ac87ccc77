"""The same restoration three times, steered by three weightings of the perceptual dimensions.

A blurred, noisy photograph is restored by gradient descent on its pixels: stay close to it, and look good to the
scorer. Each dimension comes out best where it weighs most. (Pixels are free to please the scorer, so its scores
pass 1 here; a network that is trained on many pictures is not as free.)
"""

from __future__ import annotations

import torch
from skimage import data
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.functional import gaussian_blur

from iqaloss import MDIQALoss, create_scorer

WEIGHTINGS = {"less noise": {"noisiness": 6.0}, "balanced": {}, "more sharpness": {"sharpness": 6.0}}


def degraded_photograph() -> Tensor:
    torch.manual_seed(0)
    photo = torch.from_numpy(data.chelsea()).permute(2, 0, 1).float() / 255
    blurred = gaussian_blur(photo[None, :, 60:188, 120:248], [7, 7], [1.0, 1.0])
    return (blurred + 0.02 * torch.randn_like(blurred)).clamp(0, 1)


def restore(image: Tensor, weights: dict[str, float], steps: int) -> Tensor:
    loss_fn = MDIQALoss(weights=weights, loss_weight=0.2)
    restored = image.clone().requires_grad_()
    optimizer = torch.optim.Adam([restored], lr=2e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        (F.mse_loss(restored, image) + loss_fn(restored)).backward()
        optimizer.step()
    return restored.detach().clamp(0, 1)


def gradient_energy(image: Tensor) -> float:
    """A measure that no scorer is involved in: the mean absolute difference of neighbours."""
    return (image.diff(dim=-1).abs().mean() + image.diff(dim=-2).abs().mean()).item()


def main(steps: int = 15) -> None:
    image, scorer = degraded_photograph(), create_scorer("mdiqa-mobile")
    runs = {"as given": image, **{name: restore(image, weights, steps) for name, weights in WEIGHTINGS.items()}}
    print(f"{'':<16}{'noisiness':>10}{'sharpness':>10}{'gradient energy':>17}")
    for name, result in runs.items():
        with torch.no_grad():
            scores = scorer(result).dimensions
        noisiness, sharpness = scores["noisiness"].item(), scores["sharpness"].item()
        print(f"{name:<16}{noisiness:>10.3f}{sharpness:>10.3f}{gradient_energy(result):>17.5f}")


if __name__ == "__main__":
    main()
