"""Which pictures, with which human scores? Tables, published sets, folders and shards, through one door."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iqaloss.data.library import Library
    from iqaloss.data.manifest import Manifest, ManifestError
    from iqaloss.data.open import SequentialSet, open_images, open_rated
    from iqaloss.data.scales import Scale

__all__ = ["Library", "Manifest", "ManifestError", "Scale", "SequentialSet", "open_images", "open_rated"]

_MODULES = {
    "Library": "library",
    "Manifest": "manifest",
    "ManifestError": "manifest",
    "Scale": "scales",
    "SequentialSet": "open",
    "open_images": "open",
    "open_rated": "open",
}


def __getattr__(name: str) -> Any:
    """Imports a name when it is first asked for, so that `import iqaloss` stays light."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
