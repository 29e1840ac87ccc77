"""Command line of the embedded scorer's training: ``python -m scorer_recipes.mdiqa_mobile``."""

from __future__ import annotations

import sys

from scorer_recipes.mdiqa_mobile.commands import main

if __name__ == "__main__":
    sys.exit(main())
