"""Finds what is wrong with a recipe before anything is built."""

from __future__ import annotations

import difflib
import inspect
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from iqaloss._errors import shown, unknown_name
from iqaloss.integrations.basicsr.loss_checks import check_loss, check_metric
from iqaloss.integrations.basicsr.metrics import calculate_iqa
from iqaloss.integrations.basicsr.model import MODELS
from iqaloss.integrations.basicsr.picture_checks import check_pictures
from iqaloss.integrations.basicsr.recipe import RecipeError
from iqaloss.integrations.basicsr.value_checks import check_loss_names, check_model_keys, check_values
from iqaloss.losses.registry import SUM, list_losses
from iqaloss.scorers.state_dicts import read_file

SCHEDULERS = ("MultiStepLR", "MultiStepRestartLR", "CosineAnnealingRestartLR")
LOSS_SLOTS = ("pixel_opt", "perceptual_opt", "gan_opt", "ldl_opt")
LOADER_KEYS = ("batch_size_per_gpu", "num_worker_per_gpu")


def check_recipe(options: Mapping[str, Any]) -> None:
    """Checks a recipe.

    Args:
        options: What the recipe holds. BasicSR must be imported and :func:`.register` called.

    Raises:
        RecipeError: Listing every problem with its place, and the nearest valid name for each unknown one.
    """
    problems = [
        *_check_keys(options),
        *check_values(options),
        *_check_machine(options),
        *_check_registered(options),
        *_check_data(options.get("datasets")),
        *_check_paths(options.get("path")),
        *_check_train(options),
        *_check_metrics(options.get("val")),
        *check_pictures(options),
    ]
    if problems:
        lines = "".join(f"\n  - {problem}" for problem in problems)
        raise RecipeError(f"the recipe {options.get('name', '')!r} has {len(problems)} problem(s):{lines}")


def names_in(registry: Any) -> list[str]:
    """Returns the names under which things can be built from a BasicSR registry."""
    return sorted({key.removesuffix("_basicsr") for key in registry.keys()} | set(registry.keys()))  # noqa: SIM118


def _entry(registry: Any, name: str) -> Any:
    entries = dict(iter(registry))
    return entries.get(name) or entries.get(f"{name}_basicsr")


def _section(options: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = options.get(key)
    return value if isinstance(value, Mapping) else {}


def _check_keys(options: Mapping[str, Any]) -> Iterable[str]:
    for key in ("name", "model_type", "datasets", "network_g", "train"):
        if options.get(key) in (None, "", {}):
            yield f"{key} is missing{_near(key, options)}"
    train = _section(options, "train")
    for key in ("optim_g", "scheduler", "total_iter"):
        if train and train.get(key) in (None, {}):
            yield f"train.{key} is missing{_near(key, train)}"
    for key in ("datasets", "network_g", "train", "path", "val", "logger"):
        if options.get(key) is not None and not isinstance(options[key], Mapping):
            yield f"{key} must be a mapping, got {shown(options[key])}"


def _near(key: str, given: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, [str(name) for name in given], n=1)
    return f"; is {near[0]!r} meant for it?" if near else ""


def _check_machine(options: Mapping[str, Any]) -> Iterable[str]:
    import torch

    wanted, there = options.get("num_gpu", "auto"), torch.cuda.device_count()
    if wanted == "auto":
        return
    if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 0:
        yield f"num_gpu must be a number or auto, got {wanted!r}"
    elif wanted > there:
        yield f"num_gpu is {wanted}, this machine has {there}; num_gpu: auto takes what is there, 0 is the CPU"


def _check_registered(options: Mapping[str, Any]) -> Iterable[str]:
    from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, MODEL_REGISTRY

    model = options.get("model_type")
    if model and model not in names_in(MODEL_REGISTRY):
        yield f"model_type: {unknown_name('model', model, names_in(MODEL_REGISTRY))}"
    elif model:
        yield from check_model_keys(options, _entry(MODEL_REGISTRY, model))
    for key, network in options.items():
        if str(key).startswith("network_") and isinstance(network, Mapping):
            yield from _check_call(key, network, ARCH_REGISTRY, "network")
    for phase, dataset in _section(options, "datasets").items():
        if isinstance(dataset, Mapping) and dataset.get("type") not in names_in(DATASET_REGISTRY):
            yield f"datasets.{phase}: {unknown_name('dataset', dataset.get('type'), names_in(DATASET_REGISTRY))}"


def _check_call(place: str, options: Mapping[str, Any], registry: Any, kind: str) -> Iterable[str]:
    """Checks a mapping that BasicSR turns into a call: its ``type`` is registered and takes the other keys."""
    if options.get("type") not in names_in(registry):
        yield f"{place}: {unknown_name(kind, options.get('type'), names_in(registry))}"
        return
    parameters = inspect.signature(_entry(registry, options["type"])).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for key in options:
        if key != "type" and key not in parameters:
            yield f"{place}: {unknown_name('option', key, parameters)}"


def _check_data(datasets: Any) -> Iterable[str]:
    if not isinstance(datasets, Mapping):
        return
    if "train" not in datasets:
        yield f"datasets.train is missing{_near('train', datasets)}"
    for phase, dataset in datasets.items():
        place = f"datasets.{phase}"
        if str(phase).split("_")[0] not in ("train", "val"):
            yield f"{place}: a dataset is called train, val or val_<number>"
        if not isinstance(dataset, Mapping):
            yield f"{place} must be a mapping, got {dataset!r}"
            continue
        for key in ("io_backend", *(LOADER_KEYS if phase == "train" else ())):
            if dataset.get(key) is None:
                yield f"{place}.{key} is missing{_near(key, dataset)}"
        for key, value in dataset.items():
            if str(key).startswith(("dataroot", "meta_info")) and value is not None:
                yield from _check_source(f"{place}.{key}", value)


def _check_source(place: str, value: Any) -> Iterable[str]:
    path = Path(os.path.expanduser(str(value)))
    if not path.exists():
        yield f"{place}: there is nothing at {path} (seen from {Path.cwd()})"
    elif path.is_dir() and not any(path.iterdir()):
        yield f"{place}: the folder {path} is empty"


def _check_paths(paths: Any) -> Iterable[str]:
    if paths is not None and not isinstance(paths, Mapping):
        yield f"path must be a mapping, got {paths!r}"
        return
    for key, value in (paths or {}).items():
        if value is not None and str(key).startswith(("pretrain_network", "resume_state")):
            path = Path(os.path.expanduser(str(value)))
            if not path.is_file():
                yield f"path.{key}: there is no file {path} (seen from {Path.cwd()})"
                continue
            try:
                read_file(path)
            except ValueError as error:
                yield f"path.{key}: {error}"


def _check_train(options: Mapping[str, Any]) -> Iterable[str]:
    from basicsr.utils.registry import LOSS_REGISTRY

    train = _section(options, "train")
    for key in ("optim_g", "optim_d"):
        if key in train and _section(train, key).get("type") != "Adam":
            yield f"train.{key}: {unknown_name('optimizer', _section(train, key).get('type'), ['Adam'])}"
    scheduler = _section(train, "scheduler")
    if scheduler and scheduler.get("type") not in SCHEDULERS:
        yield f"train.scheduler: {unknown_name('scheduler', scheduler.get('type'), SCHEDULERS)}"
    for slot in LOSS_SLOTS:
        loss = _section(train, slot)
        if loss and loss.get("type") in (*list_losses(), SUM):
            yield from check_loss(f"train.{slot}", loss)
        elif loss:
            yield from _check_call(f"train.{slot}", loss, LOSS_REGISTRY, "loss")
    named = train.get("iqa_opt")
    if named is None:
        return
    if options.get("model_type") not in MODELS:
        yield f"train.iqa_opt is read by {', '.join(MODELS)}, not by {options.get('model_type')}"
    if not isinstance(named, Mapping) or not all(isinstance(loss, Mapping) for loss in named.values()):
        yield "train.iqa_opt must map names of your choice to losses, such as {sharp: {type: MDIQALoss}}"
        return
    yield from check_loss_names(named)
    for name, loss in named.items():
        yield from check_loss(f"train.iqa_opt.{name}", loss)


def _check_metrics(val: Any) -> Iterable[str]:
    from basicsr.utils.registry import METRIC_REGISTRY

    for name, metric in _section(val or {}, "metrics").items():
        place = f"val.metrics.{name}"
        if not isinstance(metric, Mapping):
            yield f"{place} must be a mapping with a type, got {metric!r}"
        elif metric.get("type") != calculate_iqa.__name__:
            yield from _check_call(place, metric, METRIC_REGISTRY, "metric")
        else:
            yield from check_metric(place, metric)
