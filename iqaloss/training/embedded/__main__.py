"""Command line of the embedded scorer's training: ``python -m iqaloss.training.embedded``."""

from __future__ import annotations

import sys

from iqaloss.training.embedded.commands import main

if __name__ == "__main__":
    sys.exit(main())
