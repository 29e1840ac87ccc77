"""What each value of a BasicSR recipe must be, as data: its own code takes anything, and ends in a word of Python's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from iqaloss._errors import shown

Check = Callable[[Any], "str | None"]
"""Returns what a value must be, or None where it is that."""

LARGEST = 2**53
_LONGEST = 200
"""Most letters of a folder's name; file systems allow 255, and some are added."""


def is_number(value: object) -> bool:
    """Whether a value is a number; True and False are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def whole(least: int = 0, most: int = LARGEST) -> Check:
    """A whole number between these, also one that is written ``3e5``."""

    def problem(value: Any) -> str | None:
        if not is_number(value) or (isinstance(value, float) and not value.is_integer()):
            return "a whole number"
        return f"at least {least}" if value < least else f"at most {most}" if value > most else None

    return problem


def real(low: float, high: float) -> Check:
    """A finite number between these."""
    return lambda value: None if is_number(value) and low <= value <= high else f"a number between {low:g} and {high:g}"


def several(each: Check, count: int | None = None) -> Check:
    """A list of values of one kind."""

    def problem(value: Any) -> str | None:
        if not isinstance(value, (list, tuple)) or len(value) != (len(value) if count is None else count):
            return "a list" if count is None else f"a list of {count}"
        wrong = next((said for said in map(each, value) if said), None)
        return wrong and f"a list, each of it {wrong}"

    return problem


def flag(value: Any) -> str | None:
    """True or false."""
    return None if isinstance(value, int) and value in (0, 1) else "true or false"


def word(value: Any) -> str | None:
    """Text."""
    return None if isinstance(value, str) and value and "\0" not in value else "text"


def folder_name(value: Any) -> str | None:
    """The name of a folder right inside the one it is put into, on every system."""
    fits = isinstance(value, str) and value.strip(". ") and not re.search(r"[\\/:\0]", value) and len(value) <= _LONGEST
    return None if fits else "one plain name of a folder, without slashes"


def template(value: Any) -> str | None:
    """Text with braces for a name."""
    return None if isinstance(value, str) and re.fullmatch(r"[^{}]*\{\}[^{}]*", value) else "text with {} for the name"


def one_of(*words: str) -> Check:
    """One of some words."""
    return lambda value: None if isinstance(value, str) and value in words else f"one of {', '.join(words)}"


def mapping(value: Any) -> str | None:
    """A mapping."""
    return None if isinstance(value, Mapping) else "a mapping"


_SHARE, _SIZE, _FACTOR = real(0, 1), whole(1, 2**31), real(-1e6, 1e6)
_SPAN, _SHARES = several(real(0, 1e6), 2), several(real(0, 1e6))
_RATE, _STEPS = real(0, 1e6), whole(1)

KINDS: dict[str, Check] = {
    "name": folder_name,
    "scale": whole(1, 1024),
    "manual_seed": whole(0, 2**32 - 10_001),  # NumPy's seeds end there, and each process adds its number
    "gt_size": _SIZE,
    "queue_size": _SIZE,
    **dict.fromkeys(("gt_usm", "l1_gt_usm", "percep_gt_usm", "gan_gt_usm", "high_order_degradation"), flag),
    **{f"resize_prob{again}": several(real(0, 1e6), 3) for again in ("", "2")},
    **{
        f"{name}{again}": _SPAN
        for name in ("resize_range", "noise_range", "poisson_scale_range", "jpeg_range")
        for again in ("", "2")
    },
    **{f"{name}{again}": _SHARE for name in ("gaussian_noise_prob", "gray_noise_prob") for again in ("", "2")},
    "second_blur_prob": _SHARE,
    "datasets.*.name": folder_name,
    "datasets.*.filename_tmpl": template,
    "datasets.*.gt_size": _SIZE,
    "datasets.*.io_backend": mapping,
    "datasets.*.io_backend.type": one_of("disk", "lmdb", "memcached"),
    "datasets.*.prefetch_mode": one_of("cpu", "cuda"),
    "datasets.*.dataset_enlarge_ratio": real(1e-6, 1e9),
    "datasets.*.batch_size_per_gpu": _SIZE,
    "datasets.*.num_worker_per_gpu": whole(0, 2**16),
    "datasets.*.num_prefetch_queue": whole(1, 2**16),
    **{f"datasets.*.{name}": flag for name in ("use_hflip", "use_rot", "pin_memory", "persistent_workers")},
    **{f"datasets.*.{name}": several(real(0, 1e6), 3) for name in ("mean", "std")},
    **{
        f"datasets.*.{name}{again}": check
        for name, check in {
            "blur_kernel_size": whole(3, 21),  # BasicSR pads kernels to 21
            "kernel_list": several(word),
            "kernel_prob": _SHARES,
            "sinc_prob": _SHARE,
            "blur_sigma": _SPAN,
            "betag_range": _SPAN,
            "betap_range": _SPAN,
        }.items()
        for again in ("", "2")
    },
    "datasets.*.final_sinc_prob": _SHARE,
    "path.pretrain_network_*": word,
    "path.strict_load_*": flag,
    "path.param_key_*": word,
    "path.resume_state": word,
    "path.ignore_resume_networks": several(word),
    "train.total_iter": _STEPS,
    "train.ema_decay": _SHARE,
    "train.warmup_iter": whole(-1),
    "train.net_d_iters": _STEPS,
    "train.net_d_init_iters": whole(),
    **{f"train.{name}": mapping for name in ("scheduler", "pixel_opt", "perceptual_opt", "gan_opt", "ldl_opt")},
    **{f"train.optim_*.{name}": check for name, check in {"lr": _RATE, "weight_decay": _RATE, "eps": _SHARE}.items()},
    "train.optim_*": mapping,
    "train.optim_*.betas": several(real(0, 1 - 1e-9), 2),
    "train.scheduler.type": word,
    "train.scheduler.gamma": _RATE,
    **{f"train.scheduler.{name}": several(whole()) for name in ("milestones", "restarts")},
    "train.scheduler.periods": several(_STEPS),
    "train.scheduler.restart_weights": several(_FACTOR),
    "train.scheduler.eta_min": _RATE,
    "val.val_freq": _STEPS,
    "val.save_img": flag,
    "val.pbar": flag,
    "val.suffix": word,
    "val.metrics": mapping,
    "logger.print_freq": _STEPS,
    "logger.save_checkpoint_freq": _STEPS,
    "logger.use_tb_logger": flag,
    "logger.wandb": mapping,
}
"""Where a value stands, each star for any letters of a key, and what it must be; null is as good as left out."""


def check_kinds(options: Mapping[str, Any]) -> Iterable[str]:
    """Yields the values of a recipe that are of the wrong kind or size, with their place."""
    for pattern, check in KINDS.items():
        for place, value in _found(options, pattern.split("."), ""):
            said = None if value is None else check(value)
            if said:
                yield f"{place} must be {said}, got {shown(value)}"


def _found(options: Any, words: list[str], above: str) -> Iterable[tuple[str, Any]]:
    if not isinstance(options, Mapping):
        return
    wanted = re.compile(re.escape(words[0]).replace(r"\*", ".*"))
    for key, value in options.items():
        if isinstance(key, str) and wanted.fullmatch(key):
            if len(words) == 1:
                yield f"{above}{key}", value
            else:
                yield from _found(value, words[1:], f"{above}{key}.")
