"""Under which names a checkpoint's tensors come to be in a network, found by numbered tensors through the loader.

A loader may rename what it reads: spandrel reads ESRGAN under the names of 2018. A file of tuned weights must have the
names of the file that was given, for the model's own code to load it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

Load = Callable[[Mapping[str, Tensor]], nn.Module]


def traced_names(state: Mapping[str, Tensor], load: Load) -> dict[str, str]:
    """Returns, by the name inside the network, the name inside the file.

    Args:
        state: The file's tensors.
        load: Builds a network with the tensors that it is given.

    Returns:
        Only those whose tensor arrives whole. Whole numbers are left as they are, since loaders read sizes from them.

    Example:
        >>> def load(state):
        ...     layer = nn.Linear(2, 1)
        ...     layer.load_state_dict({"weight": state["old.w"], "bias": state["old.b"]})
        ...     return layer
        >>> traced_names({"old.w": torch.rand(1, 2), "old.b": torch.rand(1)}, load)
        {'weight': 'old.w', 'bias': 'old.b'}
    """
    numbered = {
        name: torch.full(value.shape, float(number)) if value.is_floating_point() else value
        for number, (name, value) in enumerate(state.items(), start=1)
    }
    names = list(state)
    found: dict[str, str] = {}
    for inside, value in load(numbered).state_dict().items():
        if not value.is_floating_point() or not value.numel():
            continue
        number = float(value.flatten()[0])
        if number.is_integer() and 1 <= number <= len(names) and bool((value == number).all()):
            name = names[int(number) - 1]
            if state[name].shape == value.shape:
                found[inside] = name
    return found


def renamed_back(
    original: Mapping[str, Tensor], tuned: Mapping[str, Tensor], names: Mapping[str, str]
) -> dict[str, Tensor] | None:
    """Returns tuned tensors under the names of the original file; None where one has no name in it.

    Tensors of the file that the network does not have, or that are whole numbers, stay as they were.

    Args:
        original: The file's tensors.
        tuned: The network's.
        names: What :func:`traced_names` found.
    """
    floating = {name for name, value in tuned.items() if value.is_floating_point()}
    if floating - names.keys():
        return None
    return {**original, **{names[inside]: tuned[inside] for inside in floating}}
