"""What the commands that train have in common: options, and the run that they describe."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

from iqaloss._errors import check_device
from iqaloss.evaluation.probes.pictures import Report
from scorer_recipes.mdiqa_mobile.data import DecodedImages, read_rated, some_of, split_rows
from scorer_recipes.mdiqa_mobile.recipe import Recipe
from scorer_recipes.mdiqa_mobile.run import Run
from scorer_recipes.mdiqa_mobile.speed import keep_memory

S = TypeVar("S")

PHOTOGRAPHS = "photographs.npy"
"""Where a run keeps its decoded photographs."""


def add_data(parser: argparse.ArgumentParser, out: str) -> None:
    """Adds where photographs come from and where files go."""
    parser.add_argument("--data", type=Path, required=True, help="BIQ2021 folder, or images beside scores.csv")
    parser.add_argument("--out", type=Path, required=True, help=out)
    parser.add_argument("--cache", type=Path, help="file of decoded photographs (default: OUT/photographs.npy)")


def add_training(parser: argparse.ArgumentParser, settings: type[Any], about: Mapping[str, str], state: str) -> None:
    """Adds what any training takes, and an option for each field of its settings that is explained."""
    parser.add_argument("--resume", action="store_true", help=f"continue from OUT/{state} with the same settings")
    parser.add_argument("--stop", type=int, help="stop at this step; the learning rate still follows --steps")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ... (default cpu)")
    for field in dataclasses.fields(settings):
        if field.name in about:
            option, text = "--" + field.name.replace("_", "-"), f"{about[field.name]} (default {field.default})"
            parser.add_argument(option, type=type(field.default), default=field.default, help=text)


def begin(given: argparse.Namespace, settings: type[S], *states: str) -> S:
    """Prepares this process and the output folder, and returns the settings.

    Raises:
        ValueError: If the device cannot be used, or there is a state and ``--resume`` is not given.
    """
    check_device(given.device)
    if given.threads:
        torch.set_num_threads(given.threads)
    keep_memory()
    given.out.mkdir(parents=True, exist_ok=True)
    for state in states:
        if (given.out / state).is_file() and not given.resume:
            raise ValueError(f"{given.out / state} exists: pass --resume to continue, or another --out")
    fields = {field.name for field in dataclasses.fields(settings)}  # type: ignore[arg-type]
    return settings(**{name: value for name, value in vars(given).items() if name in fields})


def open_run(given: argparse.Namespace, recipe: Recipe, progress: Report) -> Run:
    """Reads the photographs that the options name."""
    rated, count = read_rated(given.data), getattr(given, "photographs", None)
    training = split_rows(rated)[0]
    if count is not None:
        rated = some_of(rated, training, count)
        training = list(range(count))
    images = DecodedImages(rated, given.cache or given.out / PHOTOGRAPHS)
    return Run(images, rated, training, recipe, given.out, progress, getattr(given, "device", "cpu"))
