"""Frozen image quality models as losses for image restoration."""

from iqaloss._version import __version__
from iqaloss.losses.iqa_loss import IQALoss
from iqaloss.losses.mdiqa_loss import MDIQALoss
from iqaloss.scorers.factory import create_scorer, load_official
from iqaloss.scorers.registry import list_scorers

__all__ = ["IQALoss", "MDIQALoss", "__version__", "create_scorer", "list_scorers", "load_official"]
