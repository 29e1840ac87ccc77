"""One measured cost, and the file that holds many."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

Key = tuple[str, str, int, int, str, str, bool]


@dataclass(frozen=True)
class Row:
    """What one contestant costs at one size.

    Attributes:
        name: Package and network, as in ``lpips:vgg``.
        mode: ``nr``, ``fr``, ``fr-encoded``, ``both``, ``shipped``, ``tuned`` for a backbone folded and with
            channels last, or ``step`` for a training step of a network.
        side: Side of the square images in pixels.
        batch: Images in a batch.
        seconds: Median time of a forward and backward pass.
        peak_bytes: Most memory held at once beyond the built loss and its input, gradient buffers of weights included.
        forward_flops: FLOPs of the forward pass.
        backward_flops: FLOPs of the backward pass.
        saved_bytes: Distinct tensors that autograd keeps for the backward pass, weights and images left out.
        device: The hardware and, on a CPU, its threads.
        precision: ``fp32`` or ``bf16``.
        compiled: Whether ``torch.compile`` made the timed function; FLOPs and saved bytes are those of the original.
        spread: How far the medians of the two runs lie apart, over the median of all rounds.
    """

    name: str
    mode: str
    side: int
    batch: int
    seconds: float
    peak_bytes: int
    forward_flops: int
    backward_flops: int
    saved_bytes: int
    device: str = "cpu"
    precision: str = "fp32"
    compiled: bool = False
    spread: float = 0.0

    @property
    def key(self) -> Key:
        """What tells rows apart."""
        return (self.name, self.mode, self.side, self.batch, self.device, self.precision, self.compiled)


def read(path: Path) -> list[Row]:
    """Reads rows.

    Raises:
        ValueError: If the file is no list of rows.
    """
    if not path.exists():
        return []
    needed = {field.name for field in fields(Row)}
    loaded: Any = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(loaded, list) or not all(isinstance(item, dict) and set(item) <= needed for item in loaded):
        raise ValueError(f"{path} is no list of rows of this benchmark; give another file or move it away")
    return [Row(**item) for item in loaded]


def write(path: Path, rows: Iterable[Row]) -> None:
    """Writes rows to a temporary file and renames it, so that a run cut short leaves a whole file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")
    os.replace(partial, path)
