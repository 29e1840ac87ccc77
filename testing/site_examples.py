"""An extension of griffe, which reads docstrings for the site: examples are code."""

from __future__ import annotations

from typing import Any

import griffe


class Examples(griffe.Extension):
    """Calls ``Example:`` what griffe calls ``Examples:``; the former would become prose."""

    def on_instance(self, *, obj: Any, **others: Any) -> None:
        """Renames the section of a docstring."""
        if obj.docstring is not None:
            obj.docstring.value = obj.docstring.value.replace("Example:\n", "Examples:\n")
