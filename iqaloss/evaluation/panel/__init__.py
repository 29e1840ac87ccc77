"""How far is a picture from its original? What others' networks, and one sum over pixels, say of it."""

from iqaloss.evaluation.panel.judges import JUDGES, Judge
from iqaloss.evaluation.panel.panel import Panel, load_panel

__all__ = ["JUDGES", "Judge", "Panel", "load_panel"]
