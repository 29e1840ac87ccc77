"""How far is a picture from its original? Measures that no loss of this package was trained with."""

from iqaloss.evaluation.panel.judges import JUDGES, Judge
from iqaloss.evaluation.panel.panel import Panel, load_panel

__all__ = ["JUDGES", "Judge", "Panel", "load_panel"]
