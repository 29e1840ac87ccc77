"""A super-resolution network learns with a steerable perceptual loss, on real photographs, on a CPU.

``python -m examples.demo`` goes on from a light x4 MSRResNet that was trained with the pixel loss alone, in four ways
for equally many steps, through BasicSR: the pixel loss alone, with :class:`~iqaloss.MDIQALoss`, with sharpness
weighing 4, and with three times as much of it as is recommended. It leaves a picture of held-out crops side by side,
a table with judges that are not ours, TensorBoard logs and checkpoints that BasicSR loads.
"""

from __future__ import annotations

from examples.demo.plan import Plan
from examples.demo.run import run_demo

__all__ = ["Plan", "run_demo"]
