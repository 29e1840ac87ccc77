"""Training objectives as pure functions of predictions and human scores.

Every function takes predictions and targets of B images (any shape with B elements), returns a scalar, and is
finite with finite gradients for a batch of one, tied targets and constant predictions.
"""

from __future__ import annotations

from iqaloss.training.objectives.levels import level_cross_entropy, quality_levels
from iqaloss.training.objectives.pairs import fidelity, preferences, ranking, vote_preferences
from iqaloss.training.objectives.scores import l1, mse, norm_in_norm, plcc, plcc_unbiased

__all__ = [
    "fidelity",
    "l1",
    "level_cross_entropy",
    "mse",
    "norm_in_norm",
    "plcc",
    "plcc_unbiased",
    "preferences",
    "quality_levels",
    "ranking",
    "vote_preferences",
]
