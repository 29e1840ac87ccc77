"""(b) and (c): small x4 networks that learn to please the loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from iqaloss.evaluation.probes.gaming.subject import Subject
from iqaloss.evaluation.probes.pictures import Report, silent

SCALE = 4


def shrink(images: Tensor) -> Tensor:
    """Returns images at a quarter of the size: bicubic, with antialiasing.

    Example:
        >>> shrink(torch.rand(1, 3, 64, 32)).shape
        torch.Size([1, 3, 16, 8])
    """
    size = [side // SCALE for side in images.shape[-2:]]
    return F.interpolate(images, size, mode="bicubic", antialias=True).clamp(0.0, 1.0)


def enlarge(images: Tensor) -> Tensor:
    """Returns images at four times the size: bicubic."""
    return F.interpolate(images, scale_factor=SCALE, mode="bicubic").clamp(0.0, 1.0)


class Upscaler(nn.Module):
    """A residual network before a pixel shuffle; it begins as bicubic interpolation.

    Args:
        width: Channels.
        blocks: Residual blocks of two convolutions each.

    Example:
        >>> small = torch.rand(1, 3, 8, 8)
        >>> torch.equal(Upscaler(8, 1)(small), enlarge(small))
        True
    """

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))
            for _ in range(blocks)
        )
        self.tail = nn.Conv2d(width, 3 * SCALE**2, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        """Returns images four times as large; not clipped."""
        found = self.head(images)
        for block in self.blocks:
            found = found + block(found)
        return enlarge(images) + F.pixel_shuffle(self.tail(found), SCALE)


@dataclass(frozen=True)
class Training:
    """How a network is trained: Adam, with a rate that falls to a tenth by a cosine.

    Attributes:
        steps: How many steps.
        rate: Learning rate at the start.
        batch: Patches in a step.
        side: Side of the true patches.
    """

    steps: int
    rate: float = 1e-3
    batch: int = 4
    side: int = 128


def seeded(seed: int, width: int, blocks: int, device: str = "cpu") -> Upscaler:
    """Builds a network whose start the seed alone decides."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Upscaler(width, blocks).to(device)


def patches(pictures: Sequence[Tensor], plan: Training, seed: int) -> Iterator[Tensor]:
    """Yields endless batches ``[B, 3, side, side]`` of random places in photographs, flipped half of the time.

    Example:
        >>> next(patches([torch.rand(3, 40, 50)], Training(1, batch=2, side=32), seed=0)).shape
        torch.Size([2, 3, 32, 32])
    """
    generator = Generator().manual_seed(seed)

    def draw(below: int) -> int:
        return int(torch.randint(below, (), generator=generator))

    while True:
        batch = []
        for _ in range(plan.batch):
            picture = pictures[draw(len(pictures))]
            top, left = (draw(extent - plan.side + 1) for extent in picture.shape[1:])
            patch = picture[:, top : top + plan.side, left : left + plan.side]
            batch.append(patch.flip(2) if draw(2) else patch)
        yield torch.stack(batch)


def train(
    network: Upscaler,
    objective: Callable[[Tensor, Tensor, Tensor], Tensor],
    batches: Iterator[Tensor],
    plan: Training,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Upscaler:
    """Trains a network in place.

    Args:
        network: The network.
        objective: ``(restored, small, target) -> scalar``.
        batches: True patches.
        plan: For how long.
        report: Is told how many steps are done.
    """
    device = next(network.parameters()).device
    optimizer = torch.optim.Adam(network.parameters(), lr=plan.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, plan.steps, eta_min=plan.rate / 10)
    for number in range(plan.steps):
        target = next(batches).to(device)
        small = shrink(target)
        optimizer.zero_grad(set_to_none=True)
        objective(network(small), small, target).backward()
        optimizer.step()
        schedule.step()
        report(number + 1, plan.steps)
    return network


def pixel_loss(restored: Tensor, small: Tensor, target: Tensor) -> Tensor:
    """L1 against the original."""
    return (restored - target).abs().mean()


def with_loss(subject: Subject, weight: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Returns the objective L1 + weight x loss."""

    def objective(restored: Tensor, small: Tensor, target: Tensor) -> Tensor:
        return pixel_loss(restored, small, target) + weight * subject.loss(restored, target).mean()

    return objective


def fit_each(
    subject: Subject,
    weight: float,
    targets: Tensor,
    plan: Training,
    seed: int,
    size: tuple[int, int],
    report: Report = silent,
) -> Tensor:
    """Fits a network to each image alone: it sees the small image, must shrink back to it, and pleases the loss.

    Args:
        subject: The loss.
        weight: How much it counts beside the L1 distance of the small images.
        targets: The originals ``[B, 3, H, W]``; the loss sees them where its mode does.
        plan: For how long.
        seed: Of the networks' start.
        size: Their width and blocks.
        report: Is told how far it is.

    Returns:
        The restored images ``[B, 3, H, W]``.
    """

    def objective(restored: Tensor, small: Tensor, target: Tensor) -> Tensor:
        return (shrink(restored) - small).abs().mean() + weight * subject.loss(restored, target).mean()

    found = []
    for index, target in enumerate(targets):
        network = seeded(seed, *size, subject.device)

        def tell(done: int, total: int, index: int = index) -> None:
            report("networks fitted to one picture", index * total + done, len(targets) * total)

        def same(target: Tensor = target[None]) -> Iterator[Tensor]:
            while True:
                yield target

        train(network, objective, same(), plan, tell)
        found.append(restore(network, target[None]))
    return torch.cat(found)


@torch.no_grad()
def restore(network: Upscaler, targets: Tensor) -> Tensor:
    """Returns what a network makes of the shrunk originals, clipped, on the CPU."""
    device = next(network.parameters()).device
    return network(shrink(targets.to(device))).clamp(0.0, 1.0).cpu()
