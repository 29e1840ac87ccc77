"""BasicSR models that train with any number of named quality losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from iqaloss.integrations.basicsr.losses import GROUP, LossGroup, set_step

MODELS = {"IQASRModel": "SRModel", "IQASRGANModel": "SRGANModel", "IQARealESRGANModel": "RealESRGANModel"}
"""Our models, and the stock one that each extends."""


def grouped(train: Mapping[str, Any]) -> dict[str, Any]:
    """Translates ``train.iqa_opt`` to what a stock model understands: one perceptual loss that holds them all.

    So the stock model's own step does the rest: the sum, the backward pass, averaging of weights, several GPUs.

    Example:
        >>> grouped({"iqa_opt": {"sharp": {"type": "MDIQALoss"}}})
        {'perceptual_opt': {'type': 'IQALossGroup', 'losses': {'sharp': {'type': 'MDIQALoss'}}, 'perceptual': None}}
    """
    options = dict(train)
    named = options.pop("iqa_opt", None)
    if named:
        options["perceptual_opt"] = {"type": GROUP, "losses": named, "perceptual": options.get("perceptual_opt")}
    return options


class NamedLosses:
    """Mixed into a BasicSR model: reads ``train.iqa_opt`` and logs each term as ``l_<name>_<term>``."""

    opt: dict[str, Any]
    log_dict: dict[str, float]
    cri_perceptual: Any

    def __init__(self, opt: dict[str, Any]) -> None:
        if opt.get("is_train"):
            opt = {**opt, "train": grouped(opt["train"])}
        super().__init__(opt)  # type: ignore[call-arg]

    def load_network(self, net: Any, load_path: str, strict: bool = True, param_key: str = "params") -> None:
        """Loads a network, also from a ``.safetensors`` file, which the stock models cannot read."""
        if str(load_path).endswith(".safetensors"):
            bare = self.get_bare_model(net)  # type: ignore[attr-defined]
            bare.load_state_dict(load_file(load_path), strict=strict)
        else:
            super().load_network(net, load_path, strict, param_key)  # type: ignore[misc]

    def optimize_parameters(self, current_iter: int) -> None:
        """Does one step, with the losses' weights of this iteration."""
        set_step(self, current_iter)
        super().optimize_parameters(current_iter)  # type: ignore[misc]

    def reduce_loss_dict(self, loss_dict: dict[str, Tensor]) -> dict[str, float]:
        """Reports the terms in place of their sum."""
        group = getattr(self, "cri_perceptual", None)
        if isinstance(group, LossGroup) and group.terms:
            stock = {key: value for key, value in loss_dict.items() if key not in ("l_percep", "l_g_percep")}
            loss_dict, group.terms = {**stock, **group.terms}, {}
        reduced: dict[str, float] = super().reduce_loss_dict(loss_dict)  # type: ignore[misc]
        return reduced


def register() -> None:
    """Puts the models into BasicSR's model registry, once."""
    import basicsr.models  # noqa: F401  fills the registry
    from basicsr.utils.registry import MODEL_REGISTRY

    entries = dict(iter(MODEL_REGISTRY))
    for name, stock in MODELS.items():
        if name not in entries:
            base = entries.get(stock) or entries[f"{stock}_basicsr"]
            doc = f"BasicSR's {stock} with named quality losses under ``train.iqa_opt``."
            MODEL_REGISTRY.register(type(name, (NamedLosses, base), {"__doc__": doc, "__module__": __name__}))
