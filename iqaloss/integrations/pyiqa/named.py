"""A pyiqa metric as a registered scorer: built, trained, saved and loaded by its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from iqaloss.integrations.pyiqa.scorer import PyiqaScorer
from iqaloss.scorers.registry import register_scorer


@dataclass(frozen=True)
class PyiqaConfig:
    """Which metric it is; it is stored with a checkpoint.

    Attributes:
        metric: Its name in pyiqa.
        score_range: Its smallest and largest value; pyiqa's own where None.
    """

    metric: str
    score_range: tuple[float, float] | None = None


class NamedPyiqaScorer(PyiqaScorer):
    """A pyiqa metric that is built from its name, with the weights that pyiqa has for it.

    Args:
        card: Unused: the metric says itself what is known of it.
        config: Which metric it is.
    """

    config_class = PyiqaConfig  # type: ignore[assignment]

    def __init__(self, card: Any, config: PyiqaConfig) -> None:
        try:
            import pyiqa
        except ImportError as error:
            where = "best in an environment of its own, for it pins other packages"
            raise ImportError(
                f"the scorer pyiqa:{config.metric} needs the package 'pyiqa': pip install pyiqa, {where}"
            ) from error
        super().__init__(pyiqa.create_metric(config.metric, device="cpu"), config.score_range)
        self.config = config


def register_metric(metric: str, score_range: tuple[float, float] | None = None) -> str:
    """Registers a no-reference metric of pyiqa as a scorer for the rest of the process and returns its name.

    Then ``create_scorer("pyiqa:METRIC", None)`` builds it, recipes may train it, and a checkpoint of it loads by
    ``create_scorer("pyiqa:METRIC", weights=path)``. The commands do this for names that begin with ``pyiqa:``.

    Args:
        metric: Its name in pyiqa.
        score_range: Its smallest and largest value; needed where pyiqa states none.

    Raises:
        ValueError: If it is a full-reference metric, which has no score of one image.

    Example:
        >>> register_metric("topiq_nr")  # doctest: +SKIP
        'pyiqa:topiq_nr'
    """
    config = PyiqaConfig(metric, score_range)
    built = NamedPyiqaScorer(None, config)
    if built.compares:
        raise ValueError(f"{built.card.name} compares with a target and has no score of one image")
    register_scorer(built.card, NamedPyiqaScorer, config=config, tiny=config)
    return built.card.name
