"""How good a scorer is: correlations with human scores, and scoring at scale."""

from iqaloss.evaluation.agreement.metrics import Metrics, measure

__all__ = ["Metrics", "measure"]
