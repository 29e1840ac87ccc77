"""How a cost is measured: FLOPs, saved bytes, peak memory, and time in rounds that take every contestant in turn."""

from __future__ import annotations

import contextlib
import gc
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from benchmarks.loss_cost.setting import Built, Setting
from testing.costs import StepCosts, step_costs

RUNS = 2
LEAST_ROUNDS = 1
SHORT = 0.5
"""Seconds; a shorter step runs once more, and the second time counts."""


@dataclass
class Step:
    """A contestant at one size, ready to run.

    Attributes:
        built: The contestant.
        pred: The prediction.
        target: The target.
        runs: The rounds' times, run by run.
    """

    built: Built
    pred: Tensor
    target: Tensor
    runs: list[list[float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.forward = self.built.bind(self.pred, self.target)

    def run(self) -> None:
        """Runs one whole step; gradients that a peer leaves on its weights stay there, as they do in training."""
        self.forward().backward()
        self.built.finish()
        self.pred.grad = None

    @property
    def seconds(self) -> float:
        """Median over the rounds of all runs."""
        return median(value for run in self.runs for value in run)

    @property
    def spread(self) -> float:
        """How far the runs' medians lie apart, over the median of all."""
        medians = [median(run) for run in self.runs]
        return (max(medians) - min(medians)) / self.seconds

    def clear(self) -> None:
        """Drops the gradients of weights."""
        for module in self.built.modules:
            module.zero_grad(set_to_none=True)


def count(step: Step) -> StepCosts:
    """Counts the FLOPs of forward and backward pass and the bytes that autograd keeps, weights and images left out."""
    known = [step.pred, step.target]
    for module in step.built.modules:
        known += [*module.parameters(), *module.buffers()]
    costs = step_costs(step.forward, Tensor.backward, known)
    step.built.finish()
    step.pred.grad = None
    return costs


def peak(step: Step, device: str) -> int:
    """Returns the most bytes that two steps in a row hold beyond what was there before them.

    Before the first step no weight has a gradient; in the second those that the first left are there, as in training.
    On a CPU the allocations are those of torch's own allocator, as its profiler records them: scratch that a library
    takes elsewhere is not among them. On CUDA it is the allocator's own peak.
    """
    step.clear()
    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step.run()
        step.run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        step.run()
        step.run()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        recorded.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    return highest([(event["ts"], event["args"]["Bytes"]) for event in events if event["name"] == "[memory]"])


def highest(changes: Sequence[tuple[float, int]]) -> int:
    """Returns the highest sum of the changes in the order of their times."""
    held = most = 0
    for _, change in sorted(changes, key=lambda item: item[0]):
        held += change
        most = max(most, held)
    return most


def clock(run: Callable[[], None], device: str) -> float:
    """Returns the seconds that a step takes; on CUDA between two events."""
    if device == "cuda":
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin.record()
        run()
        end.record()
        torch.cuda.synchronize()
        return begin.elapsed_time(end) / 1e3
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Collects garbage once and then leaves it for a while, so that no contestant pays for what another left."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def race(
    steps: Sequence[tuple[Step, int]], setting: Setting, rounds: int, budget: float, tick: Callable[[], None]
) -> None:
    """Times every step once a round, in an order that shifts by one from round to round; two runs, one after the other.

    Args:
        steps: Each step, warm, with the most rounds of a run that it takes part in (0 for all).
        setting: Where they run.
        rounds: Rounds of a run, if the budget lasts.
        budget: Seconds for both runs; once a run has had its half of them, no further round begins.
        tick: Called after every step.
    """
    for _ in range(RUNS):
        if setting.device == "cuda":
            torch.cuda.empty_cache()
            for step, _most in steps:
                step.run()
        run: list[list[float]] = [[] for _ in steps]
        begun = time.perf_counter()
        for turn in range(rounds):
            if turn >= LEAST_ROUNDS and time.perf_counter() - begun > budget / RUNS:
                break
            with _no_garbage_collection():
                for place in range(len(steps)):
                    index = (place + turn) % len(steps)
                    step, most = steps[index]
                    if not most or turn < most:
                        seconds = clock(step.run, setting.device)
                        if seconds < SHORT:  # what ran before leaves caches cold: a short step is timed warm
                            seconds = clock(step.run, setting.device)
                        run[index].append(seconds)
                        tick()
        for (step, _most), seconds in zip(steps, run):
            step.runs.append(seconds)
