"""What pyiqa's networks keep where torch does not look for it."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn


def hidden_modules(net: nn.Module) -> Iterator[nn.Module]:
    """Finds networks that a module keeps in plain lists or dicts, where ``to()`` and ``eval()`` miss them."""
    seen = {id(module) for module in net.modules()}
    for module in net.modules():
        for value in list(vars(module).values()):
            held = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
            for inner in held:
                if isinstance(inner, nn.Module) and id(inner) not in seen:
                    seen.add(id(inner))
                    yield inner


def drop_graphs(net: nn.Module) -> None:
    """Detaches what a network keeps of its last pass, such as attention maps: it would hold that step's graph."""
    for module in net.modules():
        kept = [key for key, value in vars(module).items() if isinstance(value, Tensor) and value.grad_fn is not None]
        for key in kept:
            setattr(module, key, getattr(module, key).detach())
