"""Training steps of BasicSR's super-resolution networks, 64 to 256: what a loss is a share of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.loss_cost.setting import Built, Contestant, Setting

SCALE = 4
SIDE = 256

NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "MSRResNet": ("srresnet_arch", {"num_feat": 64, "num_block": 16, "upscale": SCALE}),
    "RRDBNet": ("rrdbnet_arch", {"num_in_ch": 3, "num_out_ch": 3, "num_feat": 64, "num_block": 23, "num_grow_ch": 32}),
    "SwinIR": (
        "swinir_arch",
        {
            "upscale": SCALE,
            "img_size": SIDE // SCALE,
            "window_size": 8,
            "img_range": 1.0,
            "depths": [6] * 6,
            "embed_dim": 180,
            "num_heads": [6] * 6,
            "mlp_ratio": 2,
            "upsampler": "pixelshuffle",
            "resi_connection": "1conv",
        },
    ),
}
"""Name of the network to its module in ``basicsr.archs`` and its options: the published x4 sizes."""


def _step(name: str) -> Callable[[Setting], Built]:
    def build(setting: Setting) -> Built:
        import importlib

        from iqaloss.integrations.basicsr.compat import import_basicsr

        import_basicsr()
        module, options = NETWORKS[name]
        torch.manual_seed(0)
        network = getattr(importlib.import_module(f"basicsr.archs.{module}"), name)(**options).to(setting.device)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-6)
        call = setting.call(network)

        def bind(_: Tensor, target: Tensor) -> Callable[[], Tensor]:
            small = nn.functional.avg_pool2d(target, SCALE)

            def forward() -> Tensor:
                with setting.autocast():
                    restored = call(small)
                return nn.functional.l1_loss(restored.float(), target)

            return forward

        def finish() -> None:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        return Built((network,), bind, finish)

    return build


def contestants() -> Iterator[Contestant]:
    """Yields a whole training step of each network: forward, L1, backward, Adam."""
    for name in NETWORKS:
        yield Contestant(
            f"basicsr:{name}",
            "step",
            _step(name),
            needs=("basicsr",),
            sides=(SIDE,),
            most_pixels=4 * SIDE**2,
            quick=name == "RRDBNet",
            rounds=2,
        )
