"""Full-reference mode with targets encoded once: the same loss, without the target's share of the work."""

from __future__ import annotations

import time

import torch
from skimage import data

from iqaloss import MDIQALoss


def main(repeats: int = 5) -> tuple[float, float]:
    photo = torch.from_numpy(data.coffee()).permute(2, 0, 1).float() / 255
    target = photo[None, :, :256, :256]
    pred = (target + 0.05 * torch.randn_like(target)).clamp(0, 1).requires_grad_()
    loss_fn = MDIQALoss(mode="fr")
    encoded = loss_fn.encode(target)  # once for each training image, kept beside it

    values = []
    for name, reference in (("target image", target), ("encoded target", encoded)):
        start = time.perf_counter()
        for _ in range(repeats):
            value = loss_fn(pred, reference)
            value.backward()
        seconds = (time.perf_counter() - start) / repeats
        print(f"{name:<15} loss {value.item():.5f}  {1000 * seconds:6.1f} ms a step")
        values.append(value.item())
    return values[0], values[1]


if __name__ == "__main__":
    main()
