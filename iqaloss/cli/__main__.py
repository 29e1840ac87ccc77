"""``python -m iqaloss.cli``: the same as the command ``iqaloss``."""

from __future__ import annotations

import sys

from iqaloss.cli import main

if __name__ == "__main__":
    sys.exit(main())
