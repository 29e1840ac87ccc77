"""How long `import iqaloss` takes on top of `import torch`: python -m benchmarks.import_time."""

from __future__ import annotations

import statistics
import subprocess
import sys

CODE = "import time, torch; start = time.perf_counter(); import iqaloss; print(time.perf_counter() - start)"


def main(repeats: int = 5) -> float:
    """Prints and returns the median over fresh processes, in seconds."""
    times = [
        float(subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout)
        for _ in range(repeats)
    ]
    median = statistics.median(times)
    print(f"import iqaloss: {median:.3f} s on top of import torch (median of {repeats}, bound 0.3 s)")
    return median


if __name__ == "__main__":
    main()
