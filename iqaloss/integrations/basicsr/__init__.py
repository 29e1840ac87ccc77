"""The losses, a metric and models inside BasicSR 1.4.2.

In a training script of your own, before BasicSR builds anything::

    from iqaloss.integrations.basicsr import register
    register()

or train a recipe at once: ``python -m iqaloss.integrations.basicsr -opt recipe.yml``.

After :func:`register`, a stock ``SRModel``, ``SRGANModel`` or ``RealESRGANModel`` takes
``perceptual_opt: {type: MDIQALoss, weights: {sharpness: 2.0}, mode: nr}``; ``IQASRModel`` and its siblings take
any number of named losses under ``train.iqa_opt``; and validation takes ``calculate_iqa``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from iqaloss.integrations.basicsr.registering import register

__all__ = ["register", "train"]


def train(
    recipe: str | Path | Mapping[str, Any],
    *,
    root: str | Path = ".",
    overrides: Sequence[str] = (),
    auto_resume: bool = False,
    launcher: str | None = None,
    progress: bool = True,
    log_lines: bool = True,
) -> Path:
    """Trains a BasicSR recipe, on CPU or CUDA.

    Args:
        recipe: A YAML file in BasicSR's format, or the options that it would hold.
        root: Folder under which ``experiments/`` and ``tb_logger/`` are written.
        overrides: Changes to the recipe such as ``"train:total_iter=1000"``.
        auto_resume: Whether to go on from the newest training state of the experiment, if there is one.
        launcher: ``"none"``, ``"pytorch"`` (torchrun) or ``"slurm"``; by default ``"pytorch"`` under torchrun.
        progress: Whether to show a progress bar on the console.
        log_lines: Whether to show log lines above it; they stand in the log file in any case.

    Returns:
        The experiment's folder; the trained network is ``models/net_g_latest.pth`` in it.

    Raises:
        RecipeError: For everything that is wrong with the recipe, at once, before anything is built; and where BasicSR
            ends in an error of its own, with that as the cause.
        ValueError: If another training is writing into the same folder.
        OSError: If a file cannot be written; what was saved before is whole.

    Example:
        >>> train("restoration_recipes/msrresnet_x4_nr.yml", overrides=["num_gpu=0"])  # doctest: +SKIP
    """
    from iqaloss.integrations.basicsr.engine import run
    from iqaloss.integrations.basicsr.recipe import read_recipe

    options = read_recipe(recipe, overrides)
    return run(
        options,
        root=Path(root),
        auto_resume=auto_resume,
        launcher=launcher,
        progress=progress,
        log_lines=progress and log_lines,
    )
