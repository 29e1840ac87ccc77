"""Low-rank adaptation: few numbers learn, the network's own stay, and the tuned file is an ordinary one."""

from __future__ import annotations

from torch import Tensor, nn

from iqaloss._errors import optional

BASE, LEARNED = ".base_layer.", ".lora_"


def add_lora(module: nn.Module, rank: int) -> list[str]:
    """Puts low-rank adapters on every convolution without groups and every linear layer; only they ask for a gradient.

    Args:
        module: The network, changed in place.
        rank: Their rank; 4 is a good beginning (arXiv 2504.18524 tunes a restoration network so).

    Returns:
        The names of the layers.

    Raises:
        ImportError: If peft is not installed.
        ValueError: If the rank is below 1, or the network has no such layer.
    """
    if rank < 1:
        raise ValueError(f"the rank of LoRA must be at least 1, got {rank}")
    peft = optional("peft", "peft", "tune", "LoRA")
    names = [
        name
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1)
    ]
    if not names:
        raise ValueError(f"{type(module).__name__} has neither a convolution nor a linear layer for LoRA")
    config = peft.LoraConfig(r=rank, lora_alpha=rank, target_modules=names, lora_dropout=0.0)
    module.requires_grad_(False)
    peft.inject_adapter_in_model(config, module)
    return names


def merged_state(module: nn.Module) -> dict[str, Tensor]:
    """Returns the state dict of a network, its adapters added to the layers that they sit on.

    Example:
        >>> list(merged_state(nn.Linear(2, 1)))
        ['weight', 'bias']
    """
    layers = {name: layer for name, layer in module.named_modules() if hasattr(layer, "get_delta_weight")}
    state = {
        name.replace(BASE, "."): value.detach().clone()
        for name, value in module.state_dict().items()
        if LEARNED not in name
    }
    for name, layer in layers.items():
        for adapter in layer.active_adapters:  # type: ignore[union-attr]
            state[f"{name}.weight"] += layer.get_delta_weight(adapter).detach()  # type: ignore[operator]
    return state
