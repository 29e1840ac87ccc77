"""How does a score become a loss? The equations, the frozen scorer around them, and names and weights."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iqaloss.losses.encoded import EncodedTarget
    from iqaloss.losses.iqa_loss import IQALoss
    from iqaloss.losses.lar_iqa_loss import LARIQALoss
    from iqaloss.losses.loss_sum import IQALossSum
    from iqaloss.losses.mdiqa_loss import MDIQALoss
    from iqaloss.losses.moe_agiqa_loss import MoEAGIQALoss
    from iqaloss.losses.pmt_iqa_loss import PMTIQALoss
    from iqaloss.losses.sr_iqa_loss import SRIQALoss

__all__ = [
    "EncodedTarget",
    "IQALoss",
    "IQALossSum",
    "LARIQALoss",
    "MDIQALoss",
    "MoEAGIQALoss",
    "PMTIQALoss",
    "SRIQALoss",
]

_MODULES = {
    "EncodedTarget": "encoded",
    "IQALoss": "iqa_loss",
    "IQALossSum": "loss_sum",
    "LARIQALoss": "lar_iqa_loss",
    "MDIQALoss": "mdiqa_loss",
    "MoEAGIQALoss": "moe_agiqa_loss",
    "PMTIQALoss": "pmt_iqa_loss",
    "SRIQALoss": "sr_iqa_loss",
}


def __getattr__(name: str) -> Any:
    """Imports a loss when it is first asked for, so that `import iqaloss` stays light."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
