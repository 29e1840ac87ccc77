"""From a recipe file to the options that BasicSR builds from."""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from iqaloss import _yaml
from iqaloss._errors import unknown_name

LOGGER_DEFAULTS = {"print_freq": 100, "save_checkpoint_freq": 5000, "use_tb_logger": True, "wandb": None}


class RecipeError(ValueError):
    """A recipe that cannot be trained, with everything that is wrong with it."""


def read_recipe(source: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Reads a recipe and applies changes to it.

    Args:
        source: A YAML file, or the options that it would hold.
        overrides: Changes such as ``"train:total_iter=1000"``; the value is read as YAML.

    Returns:
        The options, independent of the source.

    Raises:
        RecipeError: If the file is missing or is no mapping, or a change names a key that does not exist.

    Example:
        >>> read_recipe({"train": {"total_iter": 5}}, ["train:total_iter=7"])
        {'train': {'total_iter': 7}}
    """
    if isinstance(source, Mapping):
        options = copy.deepcopy(dict(source))
    else:
        path = Path(source)
        if not path.is_file():
            raise RecipeError(f"no recipe at {path}")
        try:
            options = _yaml.read_yaml(path, exponents=True)
        except ValueError as error:
            raise RecipeError(str(error)) from None
        if not isinstance(options, dict):
            raise RecipeError(f"{path} holds no options: a recipe is a mapping, this is {type(options).__name__}")
    for change in overrides:
        _apply(options, change)
    return options


def parse_yaml(text: str, source: str) -> Any:
    """Parses YAML in which ``1e-4`` is a number; what is wrong with it is an error of the recipe."""
    try:
        return _yaml.parse_yaml(text, source, exponents=True)
    except ValueError as error:
        raise RecipeError(str(error)) from None


def _apply(options: dict[str, Any], change: str) -> None:
    keys, equals, value = change.partition("=")
    *path, last = (key.strip() for key in keys.split(":"))
    if not equals or not last:
        raise RecipeError(f"a change is written key:key=value, such as train:total_iter=1000; got {change!r}")
    place: Any = options
    for key in path:
        if not isinstance(place, dict) or key not in place:
            raise RecipeError(f"{change!r}: {unknown_name('key', key, place if isinstance(place, dict) else ())}")
        place = place[key]
    if not isinstance(place, dict):
        raise RecipeError(f"{change!r}: {':'.join(path)} is a value, it has no key {last!r}")
    place[last] = parse_yaml(value, change)


def complete(options: dict[str, Any], root: Path, rank: int, world_size: int) -> dict[str, Any]:
    """Adds what BasicSR expects beside what a recipe says: phases, paths, the seed and the machine.

    Args:
        options: A checked recipe.
        root: Folder under which ``experiments/`` is written.
        rank: This process's number.
        world_size: How many processes train together.
    """
    import torch

    done = copy.deepcopy(options)
    for section in ("train", "val", "path", "logger"):  # null stands for a key that is left out
        if isinstance(done.get(section), Mapping):
            done[section] = {key: value for key, value in done[section].items() if value is not None}
    for key, value in done["train"].items():
        if key.startswith("optim_") and "betas" in value:
            value["betas"] = [float(beta) for beta in value["betas"]]  # torch takes no whole numbers for them
    done.update(dist=world_size > 1, rank=rank, world_size=world_size, is_train=True, root_path=str(root))
    if done.get("num_gpu", "auto") == "auto":
        done["num_gpu"] = torch.cuda.device_count()
    if done.get("manual_seed") is None:
        done["manual_seed"] = random.randint(1, 10000)
    done["logger"] = {**LOGGER_DEFAULTS, **(done.get("logger") or {})}
    done["train"].setdefault("warmup_iter", -1)
    if done.get("val") is not None:
        done["val"].setdefault("save_img", False)
    for phase, dataset in done["datasets"].items():
        dataset["phase"] = phase.split("_")[0]
        dataset.setdefault("name", phase)
        if "scale" in done:
            dataset["scale"] = done["scale"]
        for key, value in dataset.items():
            if key.startswith(("dataroot", "meta_info")) and isinstance(value, str):
                dataset[key] = os.path.expanduser(value)
    paths = done["path"] = dict(done.get("path") or {})
    for key, value in paths.items():
        if isinstance(value, str):
            paths[key] = os.path.expanduser(value)
    experiment = root / "experiments" / done["name"]
    paths["experiments_root"] = paths["log"] = str(experiment)
    for folder in ("models", "training_states", "visualization"):
        paths[folder] = str(experiment / folder)
    return done


def with_text_keys(options: Any) -> Any:
    """Returns options whose keys are text, as BasicSR prints them: those of a schedule are numbers.

    Example:
        >>> with_text_keys({"loss_weight": {0: 0.0, 1000: 0.03}})
        {'loss_weight': {'0': 0.0, '1000': 0.03}}
    """
    if not isinstance(options, Mapping):
        return options
    return {str(key): with_text_keys(value) for key, value in options.items()}
