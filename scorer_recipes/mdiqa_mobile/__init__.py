"""How the embedded scorer ``mdiqa-mobile`` is trained: ``python -m scorer_recipes.mdiqa_mobile``."""
