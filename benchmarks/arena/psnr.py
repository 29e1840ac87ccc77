"""What a network makes of test pictures: PSNR and the power of its patterns.

    python -m benchmarks.arena.psnr --network msrresnet --start examples/demo/start.safetensors --originals Set5

Whole pictures, a border of the scale left out; bicubic interpolation beside it where the network enlarges.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

from benchmarks.arena.networks import NETWORKS, load_network
from benchmarks.arena.tasks import TASKS, Task
from iqaloss.evaluation.panel.measures import psnr_y
from iqaloss.evaluation.patterns import pattern_rise
from iqaloss.evaluation.probes.gaming.measure import as_saved
from iqaloss.evaluation.probes.gaming.networks import enlarge
from iqaloss.evaluation.probes.pictures import read_pictures


@torch.no_grad()
def measured(restore: Callable[[Tensor], Tensor], pictures: list[Tensor], task: Task) -> tuple[float, float]:
    """Returns mean PSNR of the luminance and mean rise of patterns, both in dB."""
    generator, border, found = torch.Generator().manual_seed(0), max(task.scale, 1), []
    for picture in pictures:
        # Sides that the scale and every network's folding divide.
        height, width = (side // 4 * 4 for side in picture.shape[1:])
        truth = picture[None, :, :height, :width]
        restored = as_saved(restore(task.degrade(truth, generator)))
        inner = (slice(None), slice(None), slice(border, -border), slice(border, -border))
        found.append((psnr_y(restored[inner], truth[inner]).item(), pattern_rise(restored, truth).item()))
    psnr, pattern = zip(*found)
    return fmean(psnr), fmean(pattern)


def main() -> None:
    """Reads the command line and prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=TASKS, default="x4")
    parser.add_argument("--network", choices=NETWORKS, help="the task's first by default")
    parser.add_argument("--start", type=Path, required=True, help="its weights")
    parser.add_argument("--originals", type=Path, required=True, help="folder of pictures")
    arguments = parser.parse_args()
    task = TASKS[arguments.task]
    name = arguments.network or task.networks[0]
    shown: dict[str, Callable[[Tensor], Tensor]] = {NETWORKS[name].title: load_network(name, arguments.start).eval()}
    if task.scale > 1:
        shown["bicubic"] = enlarge
    pictures = read_pictures(arguments.originals, side=None)
    for title, restore in shown.items():
        psnr, pattern = measured(restore, pictures, task)
        print(f"{title}: PSNR-Y {psnr:.2f} dB, pattern {pattern:+.1f} dB over {len(pictures)} pictures")


if __name__ == "__main__":
    main()
