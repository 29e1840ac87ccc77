"""Predictions against human scores, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from iqaloss._errors import optional
from iqaloss.evaluation.evaluate import Evaluation


def scatter(evaluation: Evaluation, path: str | Path, *, most: int = 20_000, seed: int = 0) -> Path:
    """Draws a scatter plot with the fitted logistic.

    Args:
        evaluation: What to draw.
        path: The picture to write; its suffix sets the format.
        most: Most points to draw; of more images a random part is drawn, the curve is that of all.
        seed: Seed of the part.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    figure_class = optional("matplotlib.figure", "matplotlib", "plot", "drawing a scatter plot").Figure
    x, y = evaluation.pred, evaluation.target
    shown = np.arange(x.size)
    if x.size > most:
        shown = np.random.default_rng(seed).choice(x.size, most, replace=False)
    figure = figure_class(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    size = float(np.clip(4000 / max(1, shown.size), 6, 30))
    axes.scatter(x[shown], y[shown], s=size, alpha=0.5, linewidths=0, rasterized=True)
    metrics = evaluation.metrics
    if metrics.curve is not None:
        line = np.linspace(x.min(), x.max(), 200)
        axes.plot(line, metrics.curve(line), color="black", linewidth=1.5, label="fitted logistic")
        axes.legend(loc="upper left", frameon=False)
    axes.set_xlabel(f"{evaluation.scorer}")
    axes.set_ylabel("human score")
    axes.set_title(f"{evaluation.dataset}: SRCC {metrics.srcc:.3f}, PLCC {metrics.plcc_fit:.3f} (n = {metrics.n})")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    return path


def comparison(evaluations: Sequence[Evaluation], path: str | Path, option: str, *, most: int = 40) -> Path:
    """Draws what one scorer says of the same images with several values of an option, a line for each value.

    LAR-IQA's Figure 3 is such a picture: the predictions in four color spaces.

    Args:
        evaluations: One for each value, and for each set.
        path: The picture to write; its suffix sets the format.
        option: Name of the option, for the title.
        most: Most images of a set to draw, spread over their human scores.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    figure_class = optional("matplotlib.figure", "matplotlib", "plot", "drawing a comparison").Figure
    names = list(dict.fromkeys(one.dataset for one in evaluations))
    figure = figure_class(figsize=(7, 3.5 * len(names)), layout="constrained")
    for axes, name in zip(np.atleast_1d(figure.subplots(len(names))), names):
        for one in (one for one in evaluations if one.dataset == name):
            order = np.argsort(one.target, kind="stable")
            shown = order[np.linspace(0, order.size - 1, min(most, order.size)).round().astype(int)]
            axes.plot(one.pred[shown], marker=".", linewidth=1, label=f"{one.scorer} (SRCC {one.metrics.srcc:.3f})")
        axes.set_xlabel("images, worst human score first")
        axes.set_ylabel("predicted score")
        axes.set_title(f"{name}: {option}")
        axes.legend(frameon=False, fontsize="small")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    return path
