"""A super-resolution network learns with a steerable perceptual loss, on real photographs, on a CPU.

``python -m examples.demo`` trains a light x4 MSRResNet through BasicSR with the pixel loss alone, and from there goes
on in three ways for equally many steps: the pixel loss alone, with :class:`~iqaloss.MDIQALoss` and sharpness weighing
1, and with sharpness weighing 4. It leaves a picture of held-out crops side by side, a table, TensorBoard logs and
checkpoints that BasicSR loads.
"""

from __future__ import annotations

from examples.demo.plan import Plan
from examples.demo.run import run_demo

__all__ = ["Plan", "run_demo"]
