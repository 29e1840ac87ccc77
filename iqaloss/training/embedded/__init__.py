"""How the embedded scorer ``mdiqa-mobile`` is trained: ``python -m iqaloss.training.embedded``."""
