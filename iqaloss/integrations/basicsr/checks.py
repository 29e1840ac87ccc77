"""Finds what is wrong with a recipe before anything is built."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from iqaloss._errors import shown, unknown_name
from iqaloss.integrations.basicsr.call_checks import check_arguments, check_call, entry_of, names_in
from iqaloss.integrations.basicsr.loss_checks import check_loss, check_metric
from iqaloss.integrations.basicsr.metrics import calculate_iqa
from iqaloss.integrations.basicsr.model import MODELS
from iqaloss.integrations.basicsr.picture_checks import check_pictures
from iqaloss.integrations.basicsr.recipe import RecipeError
from iqaloss.integrations.basicsr.value_checks import (
    check_dataset_keys,
    check_loss_names,
    check_model_keys,
    check_values,
)
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
        yield f"num_gpu must be a number or auto, got {shown(wanted)}"
    elif wanted > there:
        yield f"num_gpu is {wanted}, this machine has {there}; num_gpu: auto takes what is there, 0 is the CPU"


def _check_registered(options: Mapping[str, Any]) -> Iterable[str]:
    from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, MODEL_REGISTRY

    model = options.get("model_type")
    if not isinstance(model, str) or model not in names_in(MODEL_REGISTRY):
        if model is not None:
            yield f"model_type: {unknown_name('model', model, names_in(MODEL_REGISTRY))}"
    else:
        yield from check_model_keys(options, entry_of(MODEL_REGISTRY, model))
    for key, network in options.items():
        if str(key).startswith("network_"):
            if isinstance(network, Mapping):
                yield from check_call(key, network, ARCH_REGISTRY, "network", build=True)
            elif network is not None and key != "network_g":
                yield f"{key} must be a mapping, got {shown(network)}"
    for phase, dataset in _section(options, "datasets").items():
        if not isinstance(dataset, Mapping):
            continue
        kind, known = dataset.get("type"), names_in(DATASET_REGISTRY)
        if not isinstance(kind, str) or kind not in known:
            yield f"datasets.{phase}.type: {unknown_name('dataset', kind, known)}"
        else:
            scale = {} if options.get("scale") is None else {"scale": options["scale"]}
            found, training = entry_of(DATASET_REGISTRY, kind), phase == "train"
            yield from check_dataset_keys(f"datasets.{phase}", {**dataset, **scale}, found, training=training)


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
            yield f"{place} must be a mapping, got {shown(dataset)}"
            continue
        for key in ("io_backend", *(LOADER_KEYS if phase == "train" else ())):
            if dataset.get(key) is None:
                yield f"{place}.{key} is missing{_near(key, dataset)}"
        backend = dataset.get("io_backend")
        if isinstance(backend, Mapping) and backend.get("type") is None:
            yield f"{place}.io_backend.type is missing: disk, lmdb or memcached"
        for key, value in dataset.items():
            if str(key).startswith(("dataroot", "meta_info")) and value is not None:
                yield from _check_source(f"{place}.{key}", value)


def _check_source(place: str, value: Any) -> Iterable[str]:
    if not isinstance(value, str) or not value:
        yield f"{place} must be the path of a file or folder, got {shown(value)}"
        return
    path = Path(os.path.expanduser(value))
    try:
        if not path.exists():
            yield f"{place}: there is nothing at {path} (seen from {Path.cwd()})"
        elif path.is_dir() and not any(path.iterdir()):
            yield f"{place}: the folder {path} is empty"
    except (OSError, ValueError) as error:  # a name that no file can have, a folder that is locked
        yield f"{place}: {shown(value)} cannot be read: {error}"


def _check_paths(paths: Any) -> Iterable[str]:
    if paths is not None and not isinstance(paths, Mapping):
        yield f"path must be a mapping, got {shown(paths)}"
        return
    for key, value in (paths or {}).items():
        if isinstance(value, str) and value and str(key).startswith(("pretrain_network", "resume_state")):
            path = Path(os.path.expanduser(value))
            try:
                if path.is_file():
                    read_file(path)
                else:
                    yield f"path.{key}: there is no file {path} (seen from {Path.cwd()})"
            except (OSError, ValueError) as error:
                yield f"path.{key}: {error}"


def _check_train(options: Mapping[str, Any]) -> Iterable[str]:
    import torch
    from basicsr.models import lr_scheduler
    from basicsr.utils.registry import LOSS_REGISTRY

    train = _section(options, "train")
    for key in ("optim_g", "optim_d"):
        optimizer = dict(_section(train, key))
        if key in train and optimizer.pop("type", None) != "Adam":
            yield f"train.{key}: {unknown_name('optimizer', _section(train, key).get('type'), ['Adam'])}"
        elif key in train:
            yield from check_arguments(f"train.{key}", optimizer, torch.optim.Adam)
            if "lr" not in optimizer:
                yield f"train.{key}.lr is missing"
    scheduler = dict(_section(train, "scheduler"))
    kind = scheduler.pop("type", None)
    if train.get("scheduler") and (not isinstance(kind, str) or kind not in SCHEDULERS):
        yield f"train.scheduler: {unknown_name('scheduler', kind, SCHEDULERS)}"
    elif scheduler:
        found = lr_scheduler.CosineAnnealingRestartLR if "Cosine" in str(kind) else lr_scheduler.MultiStepRestartLR
        yield from check_arguments("train.scheduler", scheduler, found)
    for slot in LOSS_SLOTS:
        loss = _section(train, slot)
        if loss and loss.get("type") in (*list_losses(), SUM):
            yield from check_loss(f"train.{slot}", loss)
        elif loss:
            yield from check_call(
                f"train.{slot}", loss, LOSS_REGISTRY, "loss", build=loss.get("type") != "PerceptualLoss"
            )
    named = train.get("iqa_opt")
    if named is None:
        return
    model = options.get("model_type")
    if isinstance(model, str) and model not in MODELS:
        yield f"train.iqa_opt is read by {', '.join(MODELS)}, not by {model}"
    if not isinstance(named, Mapping) or not all(isinstance(loss, Mapping) for loss in named.values()):
        yield "train.iqa_opt must map names of your choice to losses, such as {sharp: {type: MDIQALoss}}"
        return
    yield from check_loss_names(named)
    for name, loss in named.items():
        yield from check_loss(f"train.iqa_opt.{name}", loss)


def _check_metrics(val: Any) -> Iterable[str]:
    from basicsr.utils.registry import METRIC_REGISTRY

    for name, metric in _section(val if isinstance(val, Mapping) else {}, "metrics").items():
        place = f"val.metrics.{name}"
        if not isinstance(metric, Mapping):
            yield f"{place} must be a mapping with a type, got {shown(metric)}"
        elif metric.get("type") != calculate_iqa.__name__:
            yield from check_call(place, metric, METRIC_REGISTRY, "metric")
        else:
            yield from check_metric(place, metric)
