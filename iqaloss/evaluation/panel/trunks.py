"""Weights of the networks that judges look with: from a folder, else by the library's own download."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from iqaloss.evaluation.panel.judges import ALEX, VGG

TRUNKS = {"vgg16": VGG, "alexnet": ALEX}
"""torchvision's networks to the file of their convolutions."""


def stored(folder: Path | None, name: str) -> dict[str, Tensor] | None:
    """Returns the tensors of a file of a folder as float32; None where there is no such file."""
    from safetensors.torch import load_file

    if folder is None or not (folder / name).is_file():
        return None
    return {key: value.float() for key, value in load_file(folder / name).items()}


@contextlib.contextmanager
def trunks_from(folder: Path | None, *, random: bool = False) -> Iterator[None]:
    """Lets torchvision's VGG16 and AlexNet take their convolutions out of a folder, inside the context.

    ``lpips`` and ``DISTS_pytorch`` build torchvision's ImageNet networks themselves and have no option for weights.

    Args:
        folder: Holds the files of :data:`TRUNKS`; a network whose file it lacks is downloaded as ever.
        random: Such a network gets random convolutions, always the same, in place of a download.
    """
    from torchvision import models

    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        for name, file in TRUNKS.items():
            tensors = stored(folder, file)
            if tensors is not None or random:
                make = getattr(models, name)
                stack.callback(setattr, models, name, make)
                setattr(models, name, _maker(make, tensors))
        yield


def _maker(make: Callable[..., Any], tensors: dict[str, Tensor] | None) -> Callable[..., Any]:
    def build(*_: Any, **__: Any) -> Any:
        if tensors is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                return make(weights=None)
        with torch.device("meta"):  # the classifier, nine tenths of the network, is never made
            network = make(weights=None)
        network.features.load_state_dict(tensors, assign=True)
        return network

    return build
