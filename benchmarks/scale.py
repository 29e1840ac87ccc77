"""How does memory grow with the number of images? Scores synthetic ones and measures the process as it goes.

    python benchmarks/scale.py --images 10000

The images (64x64 JPEG, by default) are written to a temporary folder and scored by a small random scorer with
``score_source``, as ``iqaloss score --out`` does. After every part the resident memory of the process is read; the
slope is that of a least-squares line through the second half, when caches are warm. The growth that ten million
images would make at that slope is stated beside the scatter of the measurement.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from iqaloss._processes import Ranks
from iqaloss.data.open import open_images
from iqaloss.evaluation.scoring.runner import RunOptions, describe_run, score_source
from iqaloss.evaluation.scoring.score_files import ScoreFiles
from iqaloss.scorers.factory import create_tiny


def resident_mb() -> float:
    """Resident memory of this process in MB (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no VmRSS")


def encoded(generator: np.random.Generator, side: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(generator.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(out, "JPEG")
    return out.getvalue()


def write_images(folder: Path, count: int, side: int, kind: str) -> Path:
    """Writes the images as a flat folder, or as shards of 1,000."""
    generator = np.random.default_rng(0)
    folder.mkdir()
    if kind == "folder":
        for index in range(count):
            (folder / f"{index:08d}.jpg").write_bytes(encoded(generator, side))
        return folder
    for start in range(0, count, 1000):
        with tarfile.open(folder / f"shard-{start // 1000:05d}.tar", "w") as tar:
            for index in range(start, min(start + 1000, count)):
                content = encoded(generator, side)
                member = tarfile.TarInfo(f"{index:08d}.jpg")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return folder


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--source", choices=("folder", "shards"), default="folder")
    parser.add_argument("--scorer", default="mdiqa-mobile", help="its tiny configuration is used")
    parser.add_argument("--rows", type=int, default=250)
    parser.add_argument("--batch-size", type=int, default=16)
    chosen = parser.parse_args(arguments)

    torch.manual_seed(0)
    options = RunOptions(batch_size=chosen.batch_size, workers=2, device="cpu", rows=chosen.rows)
    scorer = create_tiny(chosen.scorer)
    seen: list[int] = []
    memory: list[float] = []

    def note(images: int) -> None:
        gc.collect()
        seen.append((seen[-1] if seen else 0) + images)
        memory.append(resident_mb())
        sys.stderr.write(f"\r{seen[-1]} images, {memory[-1]:.1f} MB")
        sys.stderr.flush()

    with tempfile.TemporaryDirectory(prefix="iqaloss-scale-") as place:
        source = open_images(write_images(Path(place) / "images", chosen.images, chosen.side, chosen.source))
        files = ScoreFiles(Path(place) / "scores", describe_run(scorer, options))
        start = time.perf_counter()
        score_source(scorer, source, files, options, ranks=Ranks(), progress=note)
        seconds = time.perf_counter() - start
    sys.stderr.write("\n")
    half = len(seen) // 2
    thousands, late = np.array(seen[half:]) / 1000, np.array(memory[half:])
    slope, intercept = np.polyfit(thousands, late, 1)
    scatter = float(np.std(late - (slope * thousands + intercept)))
    report = {
        "images": chosen.images,
        "source": chosen.source,
        "slope_mb_per_1000_images": round(float(slope), 4),
        "scatter_mb": round(scatter, 3),
        "memory_mb_first_file": round(memory[0], 1),
        "memory_mb_half": round(memory[half], 1),
        "memory_mb_end": round(memory[-1], 1),
        "images_per_second": round(chosen.images / seconds, 1),
    }
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
