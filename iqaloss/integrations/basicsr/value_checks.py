"""Finds numbers and names in a recipe that cannot be right, and keys that a model misses or nobody reads."""

from __future__ import annotations

import difflib
import inspect
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from iqaloss._errors import shown

WHOLE: dict[str, tuple[int, float]] = {
    "scale": (1, math.inf),
    "manual_seed": (0, 2**32 - 10_001),  # NumPy's seeds end there, and each process adds its number
    "gt_size": (1, math.inf),
    "queue_size": (1, math.inf),
    "train.total_iter": (1, math.inf),
    "val.val_freq": (1, math.inf),
    "logger.print_freq": (1, math.inf),
    "logger.save_checkpoint_freq": (1, math.inf),
    "datasets.train.batch_size_per_gpu": (1, math.inf),
    "datasets.train.num_worker_per_gpu": (0, math.inf),
    "datasets.train.gt_size": (1, math.inf),
}
"""Keys whose value is a whole number between these."""

REAL: dict[str, tuple[float, float]] = {
    "train.ema_decay": (0, 1),
    "train.warmup_iter": (-1, math.inf),
    "train.optim_g.lr": (0, 1e6),
    "train.optim_d.lr": (0, 1e6),
    "train.optim_g.weight_decay": (0, 1e6),
    "train.scheduler.gamma": (0, 1e6),
    "datasets.train.dataset_enlarge_ratio": (1e-6, 1e9),
}
"""Keys whose value is a finite number between these."""

STOCK_LOGS = ("pix", "percep", "style", "g_pix", "g_percep", "g_style", "g_gan", "d_real", "d_fake", "g_ldl")
"""Names of BasicSR's own losses in the log, ``l_`` aside."""

_FILLED_IN = {"path", "is_train", "num_gpu", "dist", "rank", "world_size", "train", "datasets", "val", "name", "logger"}
_ALWAYS = {
    *("model_type", "scale", "manual_seed", "auto_resume", "dist_params", "root_path", "find_unused_parameters"),
    *("launcher", "degradation", "high_order_degradation"),
    "notes",  # whatever its author wants to keep beside a recipe
}
_TRAIN = {"total_iter", "warmup_iter", "scheduler", "optim_g", "iqa_opt", "perceptual_opt", "pixel_opt"}
_READABLE = ("basicsr", "iqaloss", "builtins")
_LONGEST = 200
"""Most letters of a folder's name; file systems allow 255, and some are added."""


def check_values(options: Mapping[str, Any]) -> Iterable[str]:
    """Yields what is wrong with names and numbers; missing ones, but for the validation's step, are found elsewhere."""
    name = options.get("name")
    if name is not None and (not isinstance(name, str) or not _plain(name)):
        yield f"name must be one plain name of a folder, without slashes, got {shown(name)}"
    if isinstance(options.get("val"), Mapping) and options["val"].get("val_freq") is None:
        yield "val.val_freq is missing: the number of steps between validations; leave val out for none"
    for key, (least, most) in WHOLE.items():
        yield from _check_whole(key, _at(options, key), least, most)
    for key, (low, high) in REAL.items():
        yield from _check_real(key, _at(options, key), low, high)
    yield from _check_machine_needs(options)


def _check_whole(key: str, value: Any, least: int, most: float) -> Iterable[str]:
    if value is None:
        return
    if not _is_number(value) or value != value // 1:
        yield f"{key} must be a whole number, got {shown(value)}"
    elif not value >= least or math.isinf(value):
        yield f"{key} must be at least {least}, got {shown(value)}"
    elif value > most:
        yield f"{key} must be at most {most:.0f}, got {shown(value)}"


def _check_real(key: str, value: Any, low: float, high: float) -> Iterable[str]:
    if value is not None and not (_is_number(value) and low <= value <= high and abs(value) < math.inf):
        yield f"{key} must be a number between {low:g} and {high:g}, got {shown(value)}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _plain(name: str) -> bool:
    """Whether a name is that of a folder right inside the one it is put into, on every system."""
    return bool(name.strip(". ")) and len(name) <= _LONGEST and not re.search(r"[\\/:\0]", name)


def _at(options: Any, key: str) -> Any:
    for word in key.split("."):
        options = options.get(word) if isinstance(options, Mapping) else None
    return options


def _check_machine_needs(options: Mapping[str, Any]) -> Iterable[str]:
    import torch

    on_cpu = options.get("num_gpu") == 0 or not torch.cuda.is_available()
    if _at(options, "datasets.train.prefetch_mode") == "cuda" and on_cpu:
        yield "datasets.train.prefetch_mode: cuda needs a GPU, and this training has none: leave it out or set cpu"


def check_loss_names(named: Mapping[str, Any]) -> Iterable[str]:
    """Yields names of ``train.iqa_opt`` under which BasicSR's log holds a loss of its own."""
    for name in named:
        if name in STOCK_LOGS:
            yield f"train.iqa_opt.{name}: the log has BasicSR's own loss as l_{name}; choose another name"


def read_keys(model: type, inside: str) -> tuple[set[str], set[str]]:
    """Returns the keys that a model's code reads of its options, those that must be there and all.

    Args:
        model: The class; what it inherits counts.
        inside: A regular expression of the mapping that it reads, such as ``"train_opt"``.
    """
    needed: set[str] = set()
    every: set[str] = set()
    for base in model.__mro__:
        if not base.__module__.startswith(("basicsr", "iqaloss")) or base.__module__.endswith("basicsr.model"):
            continue
        source = inspect.getsource(base)
        needed |= set(re.findall(rf"{inside}\[['\"](\w+)['\"]\]", source))
        every |= set(re.findall(rf"{inside}\.get\(\s*['\"](\w+)['\"]", source))
    return needed, needed | every


def check_model_keys(options: Mapping[str, Any], model: type) -> Iterable[str]:
    """Yields keys that a model of BasicSR reads and are missing, and keys, also of ``train``, that nobody reads."""
    if not all(base.__module__.startswith(_READABLE) for base in model.__mro__):
        return  # a model of the user's own may read anything in any way
    needed, known = read_keys(model, r"(?<!\w)(?:self\.)?opt")
    if options.get("high_order_degradation", True) is False:
        needed = set()
    for key in sorted(needed - _FILLED_IN - set(options)):
        if not key.startswith("network_"):
            yield f"{key} is missing: {model.__name__} reads it{_meant(key, options)}"
    yield from _unread("", options, known | _FILLED_IN | _ALWAYS, model)
    _, in_train = read_keys(model, r"(?:train_opt|opt\['train'\])")
    train = options.get("train")
    yield from _unread("train.", train if isinstance(train, Mapping) else {}, in_train | _TRAIN, model)


def _unread(place: str, given: Mapping[str, Any], read: set[str], model: type) -> Iterable[str]:
    for key in given:
        if key not in read and not (str(key).startswith("network_") and not place):
            near = difflib.get_close_matches(str(key), read, n=1)
            hint = f"; did you mean {place}{near[0]}?" if near else ""
            yield f"{place}{key} is not read by {model.__name__} or anything else{hint}"


def _meant(key: str, given: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, [str(name) for name in given], n=1)
    return f"; is {near[0]!r} meant for it?" if near else ""
