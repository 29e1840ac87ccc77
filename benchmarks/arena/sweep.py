"""The trainings of an arena: which there are, kept as files, gone on with where a run was stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from benchmarks.arena.contestants import Contestant
from benchmarks.arena.curves import Sweep
from benchmarks.arena.running import Setting, measure, restore, train
from iqaloss._files import write_text
from iqaloss._progress import progress
from iqaloss.data.images import to_image
from iqaloss.evaluation.panel import Panel
from iqaloss.scorers.base import Scorer

BASE = "l1"
"""The contestant that every sweep begins with."""


@dataclass(frozen=True)
class Job:
    """One training: who, with which factor, from which seed."""

    contestant: Contestant
    weight: float
    seed: int

    @property
    def name(self) -> str:
        """Name of its file."""
        return f"{self.contestant.name}/{self.weight:g}-{self.seed}"


def jobs(contestants: Mapping[str, Contestant], seeds: Sequence[int]) -> list[Job]:
    """Returns all trainings: the whole table of the first seed before the second, so that a stop leaves a table."""
    return [
        Job(contestant, weight, seed)
        for seed in seeds
        for contestant in contestants.values()
        for weight in contestant.weights
    ]


def run(
    setting: Setting, todo: Sequence[Job], out: Path, panel: Panel, scorer: Scorer, folder: Path | None
) -> dict[str, str]:
    """Trains what is not there yet.

    Args:
        setting: What all share.
        todo: The trainings.
        out: Each leaves ``runs/NAME.json`` here, with what is measured of every picture, and its pictures.
        panel: The judges.
        scorer: Ours.
        folder: Where weights of others lie.

    Returns:
        Contestants that could not take part, and why.
    """
    save_pictures(setting.truth, out / "pictures" / "original")
    absent: dict[str, str] = {}
    built: dict[str, Any] = {}
    with progress(f"{setting.task}", len(todo)) as advance:
        for done, job in enumerate(todo, start=1):
            name, file = job.contestant.name, run_file(out, job)
            if name not in absent and not _kept(file, setting):
                if name not in built:
                    built.clear()
                    try:
                        built[name] = job.contestant.build(panel, folder)
                    except (ImportError, ValueError, FileNotFoundError) as error:
                        absent[name] = str(error)
                        continue
                network, steps, seconds = train(setting, built[name], job.weight, job.seed)
                restored = restore(setting, network)
                save_pictures(restored, out / "pictures" / job.name)
                row = {
                    "setting": setting.facts(),
                    "steps": steps,
                    "seconds": seconds,
                    "measures": measure(restored, setting.truth, panel, scorer),
                }
                write_text(file, json.dumps(row))
            advance(done, note=job.name)
    return absent


def run_file(out: Path, job: Job) -> Path:
    """Where a training's measures lie."""
    return out / "runs" / f"{job.name}.json"


def _kept(file: Path, setting: Setting) -> bool:
    if not file.is_file():
        return False
    # Through JSON, as the stored one went: tuples and lists are alike then.
    return json.loads(file.read_text())["setting"] == json.loads(json.dumps(setting.facts()))


def save_pictures(pictures: Tensor, folder: Path) -> None:
    """Keeps crops, for contact sheets and for the eye."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, picture in enumerate(pictures):
        to_image(picture).save(folder / f"{index:02d}.png")


def rows(out: Path, todo: Sequence[Job]) -> Iterator[tuple[Job, dict[str, Any]]]:
    """Yields the trainings that are there."""
    for job in todo:
        file = run_file(out, job)
        if file.is_file():
            yield job, json.loads(file.read_text())


def sweeps(out: Path, todo: Sequence[Job]) -> tuple[dict[str, Sweep], dict[str, float]]:
    """Gathers the stored trainings, seeds that all of a contestant's weights have.

    Returns:
        Contestant to its sweep, L1 alone first in each; contestant to milliseconds of a step, the least of its runs.
    """
    found: dict[str, dict[float, dict[int, Any]]] = {}
    costs: dict[str, float] = {}
    for job, row in rows(out, todo):
        found.setdefault(job.contestant.name, {}).setdefault(job.weight, {})[job.seed] = row["measures"]
        cost = 1000 * row["seconds"] / row["steps"]
        costs[job.contestant.name] = min(cost, costs.get(job.contestant.name, cost))
    base = next(iter(found.pop(BASE).values()), {})
    seeds = sorted(set(base).intersection(*(runs for weights in found.values() for runs in weights.values())))
    result = {BASE: _sweep({0.0: base}, seeds)}
    result.update({name: _sweep({0.0: base, **weights}, seeds) for name, weights in found.items()})
    return result, costs


def _sweep(runs: Mapping[float, Mapping[int, Any]], seeds: Sequence[int]) -> Sweep:
    weights = tuple(sorted(runs))
    names = list(runs[weights[0]][seeds[0]])
    values = {name: np.array([[runs[w][s][name] for s in seeds] for w in weights]) for name in names}
    return Sweep(weights, values)
