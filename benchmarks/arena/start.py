"""Trains a network from nothing with the pixel loss, for others to start from.

    python -m benchmarks.arena.start --task x4 --network msrresnet --photos FOLDER --steps 10000 --out start.safetensors
    python -m benchmarks.arena.start ... --table scores.csv --least .8 --prefix ss03 --shrink 2
        photographs that people scored well, at half their size, which takes the traces of JPEG away

Adam, a cosine from --rate to a hundredth of it, L1. Goes on where it was stopped: its state lies beside --out.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from benchmarks.arena.networks import NETWORKS, load_network
from benchmarks.arena.photos import load_photos, pairs_in, patches, photos_in, well_scored
from benchmarks.arena.tasks import TASKS
from iqaloss._files import replacing
from iqaloss._progress import progress


def rate_at(step: int, steps: int, rate: float) -> float:
    """Returns the learning rate of a step: a cosine down to a hundredth.

    Example:
        >>> rate_at(0, 10, 1.0), round(rate_at(10, 10, 1.0), 6)
        (1.0, 0.01)
    """
    return rate * (0.01 + 0.99 * (1 + math.cos(math.pi * step / steps)) / 2)


def main() -> None:
    """Reads the command line and trains."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=TASKS, default="x4")
    parser.add_argument("--network", choices=NETWORKS, help="the task's first by default")
    parser.add_argument("--photos", type=Path, required=True, help="folder of originals")
    parser.add_argument("--table", type=Path, help="scores of the photographs; needs --least")
    parser.add_argument("--least", type=float, default=0.8, help="take photographs with a score above this")
    parser.add_argument("--prefix", default="", help="take photographs whose names begin so")
    parser.add_argument("--most", type=int, help="take at most so many photographs")
    parser.add_argument("--shrink", type=int, default=1, help="make photographs so many times smaller")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--patch", type=int, default=96, help="side of the original patches")
    parser.add_argument("--rate", type=float, default=6e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    train(arguments)


def train(arguments: argparse.Namespace) -> None:
    """Trains, or goes on."""
    from safetensors.torch import save_file

    task = TASKS[arguments.task]
    files: Any
    if arguments.table is not None:
        files = well_scored(arguments.table, arguments.photos, arguments.least, arguments.prefix)
    else:
        files = pairs_in(arguments.photos, compare=False) if task.paired else photos_in(arguments.photos)
    photos = load_photos(files, arguments.patch, arguments.most, arguments.shrink)
    print(f"{len(photos)} photographs")
    torch.manual_seed(arguments.seed)
    network = load_network(arguments.network or task.networks[0]).to(arguments.device)
    optimizer = torch.optim.Adam(network.parameters(), arguments.rate)
    state_file, first = arguments.out.with_suffix(".state.pt"), 0
    if state_file.is_file():
        state = torch.load(state_file, map_location=arguments.device, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    # A stopped training goes on with other patches than it would have seen: nothing compares two starts.
    data = patches(photos, arguments.batch, arguments.patch, arguments.seed + first)
    generator = torch.Generator().manual_seed(arguments.seed + first)
    mean = 0.0
    with progress("training", arguments.steps, start=first) as advance:
        for step in range(first, arguments.steps):
            some = next(data)
            for group in optimizer.param_groups:
                group["lr"] = rate_at(step, arguments.steps, arguments.rate)
            inputs, truth = (images.to(arguments.device) for images in (task.degrade(some, generator), some[:, :3]))
            loss = F.l1_loss(network(inputs), truth)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            mean = loss.item() if step == first else 0.99 * mean + 0.01 * loss.item()
            advance(step + 1, note=f"L1 {mean:.4f}")
            if (step + 1) % 500 == 0 or step + 1 == arguments.steps:
                state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
                with replacing(state_file) as temporary:
                    torch.save(state, temporary)
    about = {"command": " ".join(f"{key}={value}" for key, value in vars(arguments).items() if key != "photos")}
    with replacing(arguments.out) as temporary:
        save_file({key: value.cpu().contiguous() for key, value in network.state_dict().items()}, temporary, about)


if __name__ == "__main__":
    main()
