"""MDIQALoss in a plain PyTorch training loop: a small network learns to upscale x2."""

from __future__ import annotations

import torch
from skimage import data
from torch import nn
from torch.nn import functional as F

from iqaloss import MDIQALoss


def main(steps: int = 20) -> list[float]:
    torch.manual_seed(0)
    photo = torch.from_numpy(data.astronaut()).permute(2, 0, 1).float() / 255
    net = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 12, 3, padding=1), nn.PixelShuffle(2))
    perceptual = MDIQALoss(weights={"sharpness": 2.0}, prefilter=1.2, loss_weight=0.2)  # more sharpness
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    history = []
    for step in range(steps):
        top, left = torch.randint(0, 512 - 96, (2,)).tolist()
        target = photo[None, :, top : top + 96, left : left + 96]
        small = F.interpolate(target, scale_factor=0.5, mode="bicubic", antialias=True)
        pred = net(small) + F.interpolate(small, scale_factor=2, mode="bicubic")
        iqa, terms = perceptual(pred, return_terms=True)
        loss = F.l1_loss(pred, target) + iqa
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
        if step % 5 == 0:
            print(f"step {step:3d}  loss {loss.item():.4f}  sharpness term {terms['sharpness']:.4f}")
    return history


if __name__ == "__main__":
    main()
