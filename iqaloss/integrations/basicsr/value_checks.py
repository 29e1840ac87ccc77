"""Finds numbers and names in a recipe that cannot be right, and keys that a model misses or nobody reads."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from functools import cache
from typing import Any

from iqaloss._errors import unknown_name
from iqaloss.integrations.basicsr.kinds import check_kinds

STOCK_LOGS = ("pix", "percep", "style", "g_pix", "g_percep", "g_style", "g_gan", "d_real", "d_fake", "g_ldl")
"""Names of BasicSR's own losses in the log, ``l_`` aside."""

_FILLED_IN = {"path", "is_train", "num_gpu", "dist", "rank", "world_size", "train", "datasets", "val", "name", "logger"}
_ALWAYS = {
    *("model_type", "scale", "manual_seed", "auto_resume", "dist_params", "root_path", "find_unused_parameters"),
    *("launcher", "degradation", "high_order_degradation"),
    "notes",  # whatever its author wants to keep beside a recipe
}
_TRAIN = {"total_iter", "warmup_iter", "scheduler", "optim_g", "iqa_opt", "perceptual_opt", "pixel_opt"}
_ADVERSARIAL = ("gan_opt", "optim_d")
_TRAINED_ON = {"gt_size", "use_hflip", "use_rot"}
"""What datasets read in a training alone."""
_KNOWN = {
    "logger": ("print_freq", "save_checkpoint_freq", "use_tb_logger", "wandb"),
    "path": (
        *("pretrain_network_*", "param_key_*", "strict_load_*", "resume_state", "ignore_resume_networks"),
        *("experiments_root", "models", "training_states", "log", "visualization"),
    ),
}
"""The keys of sections that no model reads more of."""
_READABLE = ("basicsr", "iqaloss", "builtins")


def check_values(options: Mapping[str, Any]) -> Iterable[str]:
    """Yields what is wrong with names and numbers; missing ones, but for the validation's step, are found elsewhere."""
    yield from check_kinds(options)
    val, datasets = options.get("val"), options.get("datasets")
    if isinstance(val, Mapping):
        if val.get("val_freq") is None:
            yield "val.val_freq is missing: the number of steps between validations; leave val out for none"
        if isinstance(datasets, Mapping) and not any(str(phase).startswith("val") for phase in datasets):
            yield "datasets.val is missing, which val needs: leave val out for no validation"
    for section, known in _KNOWN.items():
        given = options.get(section)
        for key in given if isinstance(given, Mapping) else ():
            if not any(fnmatch(str(key), each) for each in known):
                yield f"{section}: {unknown_name('option', key, known)}"
    yield from _check_machine_needs(options)


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


@cache
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
        needed = {key for key in needed if key.startswith("network_")}
    yield from _lacking("", options, needed - _FILLED_IN - {"network_g"}, model)
    yield from _unread("", options, known | _FILLED_IN | _ALWAYS, model)
    read_always, in_train = read_keys(model, r"(?:train_opt|opt\['train'\])")
    train = options.get("train")
    if isinstance(train, Mapping):
        # Other keys are asked for first. A discriminator's optimizer is not, nor is its loss, where there is one.
        yield from _lacking("train.", train, set(_ADVERSARIAL) if "optim_d" in read_always else set(), model)
        yield from _unread("train.", train, in_train | _TRAIN, model)


def _lacking(place: str, given: Mapping[str, Any], needed: set[str], model: type) -> Iterable[str]:
    for key in sorted(needed):
        if given.get(key) in (None, {}):
            yield f"{place}{key} is missing: {model.__name__} reads it{_meant(key, given)}"


def _unread(place: str, given: Mapping[str, Any], read: set[str], model: type) -> Iterable[str]:
    for key in given:
        if key not in read and not (str(key).startswith("network_") and not place):
            near = difflib.get_close_matches(str(key), read, n=1)
            hint = f"; did you mean {place}{near[0]}?" if near else ""
            yield f"{place}{key} is not read by {model.__name__} or anything else{hint}"


def _meant(key: str, given: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, [str(name) for name in given], n=1)
    return f"; is {near[0]!r} meant for it?" if near else ""


def check_dataset_keys(place: str, data: Mapping[str, Any], dataset: type, *, training: bool) -> Iterable[str]:
    """Yields keys that a dataset of BasicSR reads and are missing."""
    if not dataset.__module__.startswith("basicsr."):
        return
    source = inspect.getsource(dataset)
    asked = set(re.findall(r"""(?:['"](\w+)['"] in|opt\.get\(['"](\w+)['"]) ?""", source))
    may_lack = {name for pair in asked for name in pair} | {"phase", "name"} | (set() if training else _TRAINED_ON)
    for key in sorted(set(re.findall(r"""(?<!\w)(?:self\.)?opt\[['"](\w+)['"]\]""", source)) - may_lack):
        null = re.search(rf"opt\[['\"]{key}['\"]\] is not None", source)
        if key not in data if null else data.get(key) is None:
            yield f"{place}.{key} is missing: {dataset.__name__} reads it{_meant(key, data)}"
