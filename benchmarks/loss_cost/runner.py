"""Takes every contestant through every size."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import itertools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from benchmarks.loss_cost import ours, peers, training
from benchmarks.loss_cost.measure import RUNS, Step, count, peak, race
from benchmarks.loss_cost.rows import Row
from benchmarks.loss_cost.setting import Built, Contestant, Setting, images
from iqaloss._progress import Stages
from testing.costs import StepCosts

PEERS_FILE = "benchmarks/loss_cost/peers.txt"
SAFE_PIXELS = 512 * 512
"""Sizes up to this many pixels are tried without knowing what memory they need."""
MARGIN = 1.2
"""Free memory must exceed what is expected by this factor."""


@dataclass(frozen=True)
class Size:
    """Side of the square images in pixels, and how many of them."""

    side: int
    batch: int

    @property
    def pixels(self) -> int:
        """Pixels of the whole batch."""
        return self.side**2 * self.batch


def everyone() -> list[Contestant]:
    """Returns all contestants, in the order of the table."""
    return [*ours.contestants(), *peers.contestants(), *training.contestants()]


@dataclass
class Runner:
    """Measures contestants in one setting.

    Attributes:
        setting: Where and how they run.
        rows: What is known already; new rows join it.
        rounds: Rounds of each of the two runs.
        budget: Seconds for the rounds of one size.
        save: Called after every size.
        progress: Whom to tell how far it is.
        left_out: Title and, if it was one size alone, its name, to the reason; what was not measured.
    """

    setting: Setting
    rows: list[Row]
    rounds: int
    budget: float
    save: Callable[[], None] = lambda: None
    progress: Stages = field(default_factory=lambda: Stages(shown=False))
    left_out: dict[str, str] = field(default_factory=dict)
    _built: dict[str, Built] = field(default_factory=dict)

    def run(self, contestants: Sequence[Contestant], sizes: Iterable[Size]) -> None:
        """Measures every contestant at every size that has no row yet, small sizes first."""
        present = [contestant for contestant in contestants if not self._lacks(contestant)]
        for size in sorted(sizes, key=lambda size: (size.pixels, size.side)):
            self._size([one for one in present if self._fits(one, size)], size)

    def _lacks(self, contestant: Contestant) -> bool:
        missing = [name for name in contestant.needs if importlib.util.find_spec(name) is None]
        if missing:
            reason = f"{', '.join(missing)} is not installed; {PEERS_FILE} says how to install what is compared"
            self._leave_out(contestant.title, reason)
        return bool(missing)

    def _fits(self, contestant: Contestant, size: Size) -> bool:
        if (contestant.sides and size.side not in contestant.sides) or 0 < contestant.most_pixels < size.pixels:
            return False
        if size.side < contestant.min_side:
            self._leave_out(
                f"{contestant.title} at {size.side}", f"takes sides of {contestant.min_side} pixels and more"
            )
            return False
        return self._key(contestant, size) not in {row.key for row in self.rows}

    def _key(self, contestant: Contestant, size: Size) -> tuple[str, str, int, int, str, str, bool]:
        setting = self.setting
        where = (setting.label, setting.precision, setting.compiled)
        return (contestant.name, contestant.mode, size.side, size.batch, *where)

    def _leave_out(self, what: str, reason: str) -> None:
        if what not in self.left_out:
            self.left_out[what] = reason
            if self.progress.shown:
                sys.stderr.write(f"left out: {what}: {reason}\n")

    def _size(self, contestants: Sequence[Contestant], size: Size) -> None:
        if not contestants:
            return
        per_run = [min(one.rounds or self.rounds, self.rounds) for one in contestants]
        where = f"{size.side}x{size.side}, batch {size.batch}, {self.setting.precision}"
        total = len(contestants) + RUNS * sum(per_run)
        done = itertools.count(1)
        ready: list[tuple[Contestant, Step, StepCosts, int]] = []
        for contestant in contestants:
            prepared = self._prepare(contestant, size)
            self.progress(where, next(done), total, f"counted {contestant.title}")
            if prepared is not None:
                ready.append((contestant, *prepared))
        if not ready:
            return
        steps = [(step, contestant.rounds) for contestant, step, _, _ in ready]
        race(steps, self.setting, self.rounds, self.budget, lambda: self.progress(where, next(done), total, "timing"))
        for contestant, step, counts, most in ready:
            self.rows.append(
                Row(
                    *self._key(contestant, size)[:4],
                    seconds=step.seconds,
                    peak_bytes=most,
                    forward_flops=counts.forward_flops,
                    backward_flops=counts.backward_flops,
                    saved_bytes=counts.saved_bytes,
                    device=self.setting.label,
                    precision=self.setting.precision,
                    compiled=self.setting.compiled,
                    spread=round(step.spread, 4),
                )
            )
            step.clear()
        self.save()

    def _prepare(self, contestant: Contestant, size: Size) -> tuple[Step, StepCosts, int] | None:
        """Builds, warms up, counts and takes the peak; None, with the reason kept, where that cannot be done."""
        title = f"{contestant.title} at {size.side}, batch {size.batch}"
        try:
            if contestant.title not in self._built:
                self._built[contestant.title] = contestant.build(self.setting)
            built = self._built[contestant.title]
            expected, free = self._expected(contestant, built, size), free_bytes(self.setting.device)
            if expected is not None and free is not None and MARGIN * expected > free:
                self._leave_out(title, f"needs about {expected / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free")
                return None
            step = Step(built, *images(self.setting, size.side, size.batch))
            with eagerly(self.setting):
                counts = count(step)
            if self.setting.compiled:
                step.run()
            most = peak(step, self.setting.device)
        except ImportError as error:
            self._leave_out(contestant.title, str(error))
            return None
        except RuntimeError as error:
            if "memory" not in str(error):
                raise
            self._leave_out(title, "out of memory")
            gc.collect()
            return None
        return step, counts, most

    def _expected(self, contestant: Contestant, built: Built, size: Size) -> float | None:
        """Returns the memory that a step will need, from a smaller one, or None for a size that is small itself."""
        if size.pixels <= SAFE_PIXELS:
            return None
        smaller = {
            row.side**2 * row.batch: row.peak_bytes
            for row in self.rows
            if (row.name, row.mode, row.device) == (contestant.name, contestant.mode, self.setting.label)
            and row.side**2 * row.batch <= size.pixels
        }
        if smaller:
            pixels = max(smaller)
            return smaller[pixels] * size.pixels / pixels
        if size.batch == 1:
            return None
        one = Step(built, *images(self.setting, size.side, 1))
        return float(peak(one, self.setting.device) * size.batch)


def free_bytes(device: str) -> int | None:
    """Returns how much memory is free, or None where that is not told."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    with contextlib.suppress(OSError):
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        told: Mapping[str, str] = dict(line.split(":", 1) for line in lines)
        if "MemAvailable" in told:
            return int(told["MemAvailable"].split()[0]) * 1024
    return None


def eagerly(setting: Setting) -> contextlib.AbstractContextManager[object]:
    """Turns compilation off for a while: what is compiled cannot be counted."""
    return torch.compiler.set_stance("force_eager") if setting.compiled else contextlib.nullcontext()
