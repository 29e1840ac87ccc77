"""Options that make a loss harder to please without a better picture; each also stands alone."""

from __future__ import annotations

import torch
from skimage import data

from iqaloss import IQALoss, MDIQALoss
from iqaloss.losses import IQALossSum


def main() -> None:
    """Fits pixels, in place of a network's weights, with a careful loss that starts late."""
    torch.manual_seed(0)  # the random versions follow it
    look = MDIQALoss(
        weights={"sharpness": 2.0},
        loss_weight={0: 0.0, 4: 0.0, 8: 0.03},  # the pixel loss goes first
        relative_to="target",  # as good as the original, no better
        augment=["flip", "shift", "resize"],  # no exact grid of pixels can be learned by heart
        prefilter=0.8,  # a pattern of two pixels earns nothing
        max_gradient_norm=1.0,  # never a harder pull than an L1 loss's
        gradient_smoothing=0.5,
    )
    worst = IQALoss(look.scorer, mode="fr", loss_weight=0.1, tile=64)  # the worst quarter of the tiles counts
    loss_fn = IQALossSum({"look": look, "worst": worst})

    photo = torch.from_numpy(data.chelsea()).permute(2, 0, 1).float() / 255
    target = photo[None, :, 60:188, 120:248]
    restored = (target + 0.1 * torch.randn_like(target)).requires_grad_()
    optimizer = torch.optim.Adam([restored], lr=0.01)
    for step in range(10):
        loss_fn.set_step(step)
        quality, terms = loss_fn(restored, target, return_terms=True)
        optimizer.zero_grad()
        ((restored - target).abs().mean() + quality).backward()
        optimizer.step()
        largest = max(terms, key=lambda name: terms[name].item())
        print(f"step {step}: quality loss {quality.item():.4f}, most of it {largest}")


if __name__ == "__main__":
    main()
