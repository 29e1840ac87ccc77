"""Any metric of pyiqa as a correct loss: sign, range, freezing, precision and the target's graph put right.

>>> import pyiqa  # doctest: +SKIP
>>> loss_fn = wrap(pyiqa.create_metric("topiq_nr"))  # doctest: +SKIP
>>> loss_fn(pred).backward()  # doctest: +SKIP
"""

from __future__ import annotations

from iqaloss.integrations.pyiqa.loss import PyiqaLoss, wrap
from iqaloss.integrations.pyiqa.scorer import PyiqaScorer

__all__ = ["PyiqaLoss", "PyiqaScorer", "wrap"]
