"""What `iqaloss rank select` takes as pictures grow in number: peak memory, seconds of CPU, and the cache on disk.

python -m benchmarks.rank_select [--methods 12] [--pictures 250 500] [--side 64]

Each size runs in a process of its own, on pictures of noise that lie in a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image


def write_pictures(folder: Path, methods: int, pictures: int, side: int) -> list[str]:
    """A folder for each method, and one of inputs."""
    generator = np.random.default_rng(0)
    names = [f"method{number:02}" for number in range(methods)]
    for name in (*names, "inputs"):
        (folder / name).mkdir(parents=True)
        for number in range(pictures):
            pixels = generator.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:05}.png", compress_level=1)
    return [str(folder / name) for name in names]


def run(folders: list[str]) -> None:
    """One selection; prints what it took."""
    from iqaloss.cli import main

    root, started = Path(folders[0]).parent, time.process_time()
    words = ["rank", "select", *folders, "--inputs", str(root / "inputs"), "--out", str(root / "pairs.csv")]
    if main(words):
        raise SystemExit("select failed")
    cache = sum(file.stat().st_size for file in (root / "pairs.cache").iterdir())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "darwin" else 1024)
    told = {"peak_mib": round(peak, 1), "seconds": round(time.process_time() - started, 1)}
    print(json.dumps({**told, "cache_bytes": cache}))


def measure(methods: int, pictures: int, side: int) -> dict[str, float]:
    """Measures one size in a process of its own."""
    with tempfile.TemporaryDirectory() as temporary:
        folders = write_pictures(Path(temporary), methods, pictures, side)
        command = [sys.executable, "-m", "benchmarks.rank_select", "--run", *folders]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", type=int, default=12)
    parser.add_argument("--pictures", type=int, nargs="+", default=[250, 500])
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--run", nargs="+", metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run(options.run)
        return
    found = {count: measure(options.methods, count, options.side) for count in options.pictures}
    for count, values in found.items():
        print(f"{options.methods} x {count}: {values['peak_mib']} MiB, {values['seconds']} s, cache "
              f"{values['cache_bytes'] / count:.0f} bytes a picture")  # fmt: skip
    (few, first), (many, last) = min(found.items()), max(found.items())
    if many > few:
        slope = 1024 * (last["peak_mib"] - first["peak_mib"]) / (many - few)
        print(
            f"slope: {slope:.2f} KiB a picture, {(last['seconds'] - first['seconds']) / (many - few):.3f} s a picture"
        )


if __name__ == "__main__":
    main()
