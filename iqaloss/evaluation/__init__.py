"""How good a scorer is: correlations with human scores, and scoring at scale."""

from iqaloss.evaluation.metrics import Metrics, measure

__all__ = ["Metrics", "measure"]
