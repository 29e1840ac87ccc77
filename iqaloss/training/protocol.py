"""A training repeated with other seeds and splits, for each of some variants: medians with their spread, resumable."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from iqaloss._files import write_text
from iqaloss.training.engine.checkpointing import STATE
from iqaloss.training.engine.trainer import Trainer
from iqaloss.training.recipes.files import recipe_from
from iqaloss.training.specs.recipe import Recipe

RESULT = "result.json"


@dataclass(frozen=True)
class Outcome:
    """One training of a protocol.

    Attributes:
        variant: The changes that make its variant; empty for the recipe as it is.
        seed: Its seed, that of the split too.
        best: SRCC and PLCC of its best validation, which is what the papers report; their mean is the Main Score.
        last: Those of its last one, which no test rows chose.
    """

    variant: str
    seed: int
    best: Mapping[str, float]
    last: Mapping[str, float]


def crossed(values: Mapping[str, Any], test: Sequence[str]) -> dict[str, Any]:
    """Returns a recipe's values for a cross-database run: trained on whole sets, validated on other whole sets.

    Args:
        values: The recipe's plain values.
        test: The sets to validate on.

    Example:
        >>> split = {"name": "train", "data": "BID", "shares": {"train": 0.8, "test": 0.2}, "share": "train"}
        >>> made = crossed({"data": {"train": [split], "validation": [split]}}, ["LIVE-C"])
        >>> made["data"]["train"], made["data"]["validation"]
        ([{'name': 'train', 'data': 'BID'}], [{'name': 'LIVE-C', 'data': 'LIVE-C'}])
    """
    out = copy.deepcopy(dict(values))
    whole = ("shares", "share", "split", "split_seed")
    for spec in (*out["data"]["train"], *out["data"]["validation"]):
        for name in whole:
            spec.pop(name, None)
    like = {key: value for key, value in out["data"]["validation"][0].items() if key not in ("images", "layout")}
    out["data"]["validation"] = [{**like, "name": Path(place).name, "data": place} for place in test]
    return out


def seeded(values: Mapping[str, Any], changes: Sequence[str], seed: int) -> Recipe:
    """Returns the recipe of one run: its seed decides order, crops and, where the recipe splits, the split."""
    out = copy.deepcopy(dict(values))
    for spec in (*out["data"]["train"], *out["data"].get("validation", ())):
        if spec.get("shares"):
            spec["split_seed"] = seed
    out["run"] = {**out["run"], "seed": seed}
    return recipe_from(out, changes, "protocol")


def place_of(out: str | Path, variant: int, seed: int) -> Path:
    """Returns the folder of one run of a protocol: of a variant, by its number, and a seed."""
    return Path(out) / f"variant-{variant}" / f"seed-{seed}"


def run_protocol(
    values: Mapping[str, Any],
    out: str | Path,
    *,
    variants: Sequence[str] = ("",),
    changes: Sequence[str] = (),
    seeds: Sequence[int] = tuple(range(10)),
    cpu: bool = False,
    bar: bool = False,
    tell: Callable[[Outcome], object] | None = None,
) -> Iterator[Outcome]:
    """Trains every variant from every seed; what is finished is not done again, what was stopped goes on.

    Args:
        values: The recipe's plain values; with ``shares``, each seed makes its own split by content group.
        out: Folder; a folder for each run goes into it.
        variants: Changes of the recipe that make a variant, with spaces between them; empty for none.
        changes: Changes of all.
        seeds: The seeds.
        cpu: Whether to stay off accelerators.
        bar: Whether each training shows a bar.
        tell: Called after each run.

    Yields:
        The runs, variant by variant.
    """
    for number, variant in enumerate(variants):
        for seed in seeds:
            place = place_of(out, number, seed)
            recipe = seeded(values, [*changes, *variant.split()], seed)
            known = json.loads((place / RESULT).read_text()) if (place / RESULT).is_file() else {}
            if known.get("variant") != variant or "best" not in known:
                known = {"variant": variant, "seed": seed, **_train(recipe, place, cpu, bar)}
                write_text(place / RESULT, json.dumps(known, indent=2) + "\n")
            outcome = Outcome(**known)
            if tell is not None:
                tell(outcome)
            yield outcome


def _train(recipe: Recipe, place: Path, cpu: bool, bar: bool) -> dict[str, dict[str, float]]:
    trainer = Trainer(recipe, place, resume=(place / STATE).is_file(), bar=bar, cpu=cpu)
    trainer.fit()
    history = [{name: float(one[name]) for name in ("srcc", "plcc")} for one in trainer.state.history]
    if not history:
        raise ValueError("the recipe validates on nothing: a protocol needs held-out rows")
    return {"best": max(history, key=lambda one: one[recipe.run.key]), "last": history[-1]}


def summary(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Returns a row for each variant: the median of its runs, with the lowest and the highest.

    Example:
        >>> low = {"srcc": 0.1, "plcc": 0.1}
        >>> runs = [Outcome("", seed, {"srcc": seed / 10, "plcc": 0.5}, low) for seed in (7, 8, 9)]
        >>> summary(runs)[0]["srcc"], summary(runs)[0]["srcc_spread"]
        (0.8, (0.7, 0.9))
    """
    rows = []
    for variant in dict.fromkeys(one.variant for one in outcomes):
        runs = [one for one in outcomes if one.variant == variant]
        row: dict[str, Any] = {"variant": variant or "as it is", "runs": len(runs)}
        columns = {name: [one.best[name] for one in runs] for name in ("srcc", "plcc")}
        columns["main_score"] = [(one.best["srcc"] + one.best["plcc"]) / 2 for one in runs]
        columns |= {f"last_{name}": [one.last[name] for one in runs] for name in ("srcc", "plcc")}
        for name, values in columns.items():
            row[name] = round(float(np.median(values)), 6)
            row[f"{name}_spread"] = (round(min(values), 6), round(max(values), 6))
        rows.append(row)
    return rows
