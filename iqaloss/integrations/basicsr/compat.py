"""What BasicSR 1.4.2 needs and today's torch and torchvision, or a machine without CUDA, do not give it."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from iqaloss._errors import missing_package
from iqaloss._files import replacing

_REMOVED = "torchvision.transforms.functional_tensor"


def supply_removed_torchvision() -> None:
    """Supplies the torchvision module that BasicSR imports and torchvision 0.17 removed, where it is missing."""
    if _REMOVED in sys.modules or importlib.util.find_spec(_REMOVED) is not None:
        return
    from torchvision.transforms.functional import rgb_to_grayscale

    module = ModuleType(_REMOVED)
    module.rgb_to_grayscale = rgb_to_grayscale  # type: ignore[attr-defined]
    sys.modules[_REMOVED] = module


def import_basicsr() -> ModuleType:
    """Imports BasicSR.

    Raises:
        ImportError: If it is not installed or a library of the system is missing, with what helps.
    """
    if importlib.util.find_spec("basicsr") is None:
        error = missing_package("basicsr", "basicsr", "training with BasicSR")
        if sys.version_info >= (3, 13):
            error.msg += "; BasicSR 1.4.2 cannot be built on Python 3.13: use Python 3.10 to 3.12"
        raise error
    supply_removed_torchvision()
    try:
        return importlib.import_module("basicsr")
    except ImportError as error:
        if "libGL" in str(error) or "libgthread" in str(error):
            raise ImportError(
                f"BasicSR needs OpenCV, which cannot be loaded ({error}); on a machine without a display run "
                "pip install --force-reinstall --no-deps opencv-python-headless"
            ) from error
        raise


def load_training_state(path: str | Path) -> dict[str, Any]:
    """Reads a BasicSR training state on any device.

    BasicSR maps it to the current CUDA device and so cannot resume without one. The optimizers move their state to
    their parameters' device themselves.
    """
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


@contextlib.contextmanager
def cpu_in_place_of_cuda(active: bool) -> Iterator[None]:
    """Lets BasicSR's Real-ESRGAN models work on a CPU for a while.

    They call ``.cuda()`` whatever the device is, also where the recipe says ``num_gpu: 0``; and they filter images
    that on a CPU are not contiguous, which BasicSR's ``filter2D`` cannot view.
    """
    if not active:
        yield
        return
    from basicsr.models import realesrgan_model, realesrnet_model
    from basicsr.utils.img_process_util import filter2D

    def unchanged(self: Any, *_: Any, **__: Any) -> Any:
        return self

    def filter_contiguous(images: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        filtered: torch.Tensor = filter2D(images.contiguous(), kernel)
        return filtered

    with contextlib.ExitStack() as stack:
        for owner, name, stand_in in (
            (torch.Tensor, "cuda", unchanged),
            (torch.nn.Module, "cuda", unchanged),
            (realesrgan_model, "filter2D", filter_contiguous),
            (realesrnet_model, "filter2D", filter_contiguous),
        ):
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, stand_in)
        yield


@contextlib.contextmanager
def safe_files(noted: Callable[[Any], Any] = lambda saved: saved) -> Iterator[list[OSError]]:
    """Lets ``torch.save`` write whole files and ``torch.load`` read tensors and plain values, unless told otherwise.

    So a killed run leaves no torn checkpoint, and a checkpoint of somebody else runs no code: before torch 2.6 BasicSR
    lets it.

    Args:
        noted: Adds to what is saved.

    Yields:
        The errors of files that could not be written: BasicSR tries three times, then goes on without a word.
    """
    save, load = torch.save, torch.load
    failed: list[OSError] = []

    def save_and_rename(obj: Any, path: str | Path, *args: Any, **options: Any) -> None:
        try:
            with replacing(path) as temporary:
                save(noted(obj), temporary, *args, **options)
        except OSError as error:
            failed.append(error)
            raise

    def load_values(*args: Any, **options: Any) -> Any:
        return load(*args, **{"weights_only": True, **options})

    torch.save, torch.load = save_and_rename, load_values  # type: ignore[assignment]
    try:
        yield failed
    finally:
        torch.save, torch.load = save, load
