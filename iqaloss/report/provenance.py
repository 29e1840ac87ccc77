"""What made a result: versions of packages and digests of files."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable
from pathlib import Path

from iqaloss._version import __version__
from iqaloss.scorers.registry import entry
from iqaloss.scorers.state_dicts import sha256_of

PACKAGES = ("torch", "torchvision", "timm", "kornia", "numpy", "pillow")
"""Packages whose version may move a number."""


def installed(package: str) -> str | None:
    """Returns the version of an installed package, or None.

    Example:
        >>> installed("no-such-package") is None
        True
    """
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def versions(more: Iterable[str] = ()) -> dict[str, str]:
    """Returns the versions of this package, of Python and of those packages that are installed.

    Example:
        >>> list(versions())[:2]
        ['iqaloss', 'python']
    """
    found = {"iqaloss": __version__, "python": platform.python_version()}
    for package in (*PACKAGES, *more):
        if (version := installed(package)) is not None:
            found[package] = version
    return found


def file_digest(path: str | Path) -> str:
    """Returns the SHA-256 of a file, or says that it is a folder."""
    return "a folder" if Path(path).is_dir() else sha256_of(path)


def scorer_digest(name: str, weights: str | Path | None = None) -> str:
    """Returns the SHA-256 of a scorer's weights: of a given file, or of those inside the package.

    Example:
        >>> len(scorer_digest("mdiqa-mobile"))
        64
    """
    if weights not in (None, "default"):
        return file_digest(str(weights))
    embedded = entry(name).card.embedded
    return "none" if embedded is None else embedded.sha256
