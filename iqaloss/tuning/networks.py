"""From a checkpoint to a network that can be trained, and back to a checkpoint of the same kind."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iqaloss._errors import missing_package
from iqaloss._files import replacing
from iqaloss.scorers.state_dicts import load_strict, read_file, unwrap
from iqaloss.tuning.conditional import MARK, conditional, is_conditional
from iqaloss.tuning.key_names import renamed_back, traced_names
from iqaloss.tuning.msrresnet import build_msrresnet, is_msrresnet

WRAPPERS = ("params_ema", "params", "state_dict", "model")
"""Keys under which files hold a state dict beside other things."""

PREFIX = "module."


@dataclass
class RestorationNetwork:
    """A network with all that is known of it.

    Attributes:
        module: The network, float RGB ``[B, 3, H, W]`` in [0, 1] to the same ``scale`` times as large.
        title: Its architecture.
        scale: How many times larger its output is; 1 for denoising, deblurring and the like.
        multiple: What the sides of its input must be multiples of.
        least: The smallest side that it takes.
        path: Where it comes from.
        names: Name of a tensor in the network to its name in the file.
    """

    module: nn.Module
    title: str
    scale: int
    path: Path
    names: Mapping[str, str]
    multiple: int = 1
    least: int = 1

    def __call__(self, images: Tensor) -> Tensor:
        """Restores images of any size."""
        return restore(self.module, images, self.scale, self.multiple, self.least)

    def save(self, state: Mapping[str, Tensor], path: Path) -> bool:
        """Writes tuned tensors as the given file has them.

        Args:
            state: The tuned network's state dict.
            path: Where to; its suffix should be the given file's.

        Returns:
            Whether the names are the given file's. Otherwise they are spandrel's, which it reads too.
        """
        held = read_file(self.path)
        original = unwrap(held, str(self.path))
        whole = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
        named = renamed_back(original, whole, self.names)
        write_checkpoint(held, whole if named is None else named, path)
        return named is not None


def restore(module: nn.Module, images: Tensor, scale: int, multiple: int = 1, least: int = 1) -> Tensor:
    """Runs a network on images of any size: they are padded by their edges to what it takes, and the rest cut off.

    Raises:
        ValueError: If the network returns something else than images ``scale`` times as large.
    """
    height, width = images.shape[-2:]
    down, right = (max(least, -(-side // multiple) * multiple) - side for side in (height, width))
    padded = F.pad(images, (0, right, 0, down), mode="replicate") if down or right else images
    restored = module(padded)
    if not isinstance(restored, Tensor):
        raise ValueError(f"{type(module).__name__} returns {type(restored).__name__} in training, not images")
    want = tuple(scale * side for side in padded.shape[-2:])
    if restored.shape[-2:] != want:
        raise ValueError(f"{type(module).__name__} makes {tuple(restored.shape[-2:])} of {tuple(padded.shape[-2:])}")
    return restored[..., : scale * height, : scale * width]


def load_network(path: str | Path) -> RestorationNetwork:
    """Loads a checkpoint: MSRResNet, which the project's own is, and all that spandrel reads.

    Args:
        path: A ``.safetensors``, ``.pth``, ``.pt`` or ``.ckpt`` file.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If it takes spandrel, which is not installed.
        ValueError: If it holds no network that is known, or one that does not turn RGB into RGB.

    Example:
        >>> load_network("4x_mine.pth").scale  # doctest: +SKIP
        4
    """
    path = Path(path)
    state = unwrap(read_file(path), str(path))
    if is_msrresnet(state):
        module = build_msrresnet(state)
        if is_conditional(state):
            module = conditional(module, state[MARK].shape[1])
        load_strict(module, state, source=str(path))
        return RestorationNetwork(module, "MSRResNet", module.scale, path, {name: name for name in module.state_dict()})
    return _by_spandrel(path, state)


def _by_spandrel(path: Path, state: dict[str, Tensor]) -> RestorationNetwork:
    if importlib.util.find_spec("spandrel") is None:
        raise missing_package("spandrel", "tune", f"loading {path.name}, which is no MSRResNet,")
    import spandrel
    from spandrel import ImageModelDescriptor, ModelLoader

    def load(tensors: Mapping[str, Tensor]) -> Any:
        whole = {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
        return ModelLoader().load_from_state_dict(spandrel.canonicalize_state_dict(whole))

    try:
        found = load(state)
    except Exception as error:
        why = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ValueError(f"spandrel {spandrel.__version__} knows no network that {path} fits: {why}") from error
    if not isinstance(found, ImageModelDescriptor) or (found.input_channels, found.output_channels) != (3, 3):
        raise ValueError(f"{path} holds a {found.architecture.name} that does not turn RGB images into RGB images")
    try:
        names = traced_names(state, lambda tensors: load(tensors).model)
    except Exception:  # a loader that reads sizes from numbers
        inside = found.model.state_dict()
        names = {name: name for name in inside if name in state and state[name].shape == inside[name].shape}
    needs = found.size_requirements
    return RestorationNetwork(
        found.model, found.architecture.name, found.scale, path, names, max(1, needs.multiple_of), max(1, needs.minimum)
    )


def trainable(module: nn.Module) -> nn.Module:
    """Makes a network ready for training; batch norms keep their statistics, which small patches would spoil."""
    module.requires_grad_(True).train()
    for inner in module.modules():
        if isinstance(inner, nn.modules.batchnorm._BatchNorm):
            inner.eval()
    return module


def write_checkpoint(held: Any, state: Mapping[str, Tensor], path: Path) -> None:
    """Writes a state dict in the wrappers, and with the prefix, of what a file held."""
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        with replacing(path) as temporary:
            save_file(dict(state), temporary, {"format": "pt"})
        return
    keys = [key for key in WRAPPERS if isinstance(held, Mapping) and isinstance(held.get(key), Mapping)]
    inner = held[keys[0]] if keys else held
    prefix = PREFIX if inner and all(str(name).startswith(PREFIX) for name in inner) else ""
    named = {prefix + name: value for name, value in state.items()}
    kept = [key for key in keys if key in ("params_ema", "params")] or keys[:1]
    with replacing(path) as temporary:
        torch.save({key: copy.copy(named) for key in kept} if kept else named, temporary)
