"""Splits that lie in a file: names of images, an image a line, or a published MATLAB file of many random splits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from iqaloss._errors import optional

_MATLAB = re.compile(r"(?P<file>.+\.mat)(?::(?P<rows>train|test)(?::(?P<number>\d+))?)?", re.IGNORECASE)
_NEEDED = ("im_names", "index", "ref_ids")
_FOLDS = 5
"""The last of this many folds of an order is its test set."""


def is_split_file(split: str) -> bool:
    """Whether the name of a split is that of a file.

    Example:
        >>> is_split_file("test"), is_split_file("test.txt"), is_split_file("AGIQA-1K.mat:train")
        (False, True, True)
    """
    return split.lower().endswith(".txt") or _MATLAB.fullmatch(split) is not None


def names_no_rows(split: str) -> bool:
    """Whether the name of a split is a MATLAB file's without a word which of its rows are meant."""
    found = _MATLAB.fullmatch(split)
    return found is not None and found["rows"] is None


def listed_names(split: str) -> set[str]:
    """Returns the names of a split file's images, without folders.

    A MATLAB file is one as MoE-AGIQA's authors publish: ``im_names``, the contents ``ref_ids`` of the images, and in
    ``index`` many random orders of the contents. The last fifth of an order is its test set.

    Args:
        split: A ``.txt`` file, or a ``.mat`` file, with ``:train`` or ``:test`` (the default) behind it, and behind
            that ``:N`` for another than the first order, which has the number 0.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If a package is missing that reads it.
        ValueError: If it holds something else.
    """
    found = _MATLAB.fullmatch(split)
    if found is None:
        lines = Path(split).read_text(encoding="utf-8").splitlines()
        return {line.strip().replace("\\", "/").rsplit("/", 1)[-1] for line in lines} - {""}
    path, number = Path(found["file"]), int(found["number"] or 0)
    names, orders, contents = _read(path)
    if number >= orders.shape[1]:
        raise ValueError(f"{path} holds the splits 0 to {orders.shape[1] - 1}, got {number}")
    order = orders[:, number]
    last = order[len(order) * (_FOLDS - 1) // _FOLDS :]
    tested = {name for name, content in zip(names, contents) if content in last}
    return tested if (found["rows"] or "test").lower() == "test" else set(names) - tested


def _read(path: Path) -> tuple[list[str], Any, Any]:
    """Names of the images ``[N]``, orders of contents ``[C, orders]``, and the images' contents ``[N]``."""
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    matlab = optional("scipy.io.matlab", "scipy", "train", "reading a MATLAB file")
    try:
        held = _flat(path, matlab.loadmat(path))
    except NotImplementedError:  # what MATLAB writes since version 7.3 is HDF5
        held = _from_hdf5(path)
    except (ValueError, OSError, TypeError, matlab.MatReadError) as error:
        raise ValueError(f"{path} cannot be read as a MATLAB file of splits: {error}") from error
    names, orders, contents = (held[name] for name in _NEEDED)
    if len(names) != len(contents) or len(orders) != len(set(contents.tolist())):
        raise ValueError(
            f"{path} holds {len(names)} names for {len(contents)} contents, "
            f"and orders of {len(orders)} for {len(set(contents.tolist()))} different ones"
        )
    return names, orders, contents


def _check(path: Path, held: Mapping[str, Any]) -> None:
    missing = [name for name in _NEEDED if name not in held]
    if missing:
        known = ", ".join(name for name in held if name[0] not in "_#") or "nothing"
        raise ValueError(f"no {', '.join(missing)}; it holds {known}, and a file of splits has {', '.join(_NEEDED)}")


def _flat(path: Path, held: Mapping[str, Any]) -> dict[str, Any]:
    _check(path, held)
    names = [str(np.ravel(cell)[0]) if np.size(cell) else "" for cell in held["im_names"].ravel()]
    return {"im_names": names, "index": np.atleast_2d(held["index"]).T, "ref_ids": held["ref_ids"].ravel()}


def _from_hdf5(path: Path) -> dict[str, Any]:
    h5py = optional("h5py", "h5py", "train", f"{path}, a MATLAB file of version 7.3,")
    with h5py.File(path) as held:
        try:
            _check(path, held)
        except ValueError as error:
            raise ValueError(f"{path} cannot be read as a MATLAB file of splits: {error}") from error
        # HDF5 turns MATLAB's axes round; a cell refers to its text, which is UTF-16.
        names = [held[cell][()].astype("<u2").tobytes().decode("utf-16-le") for cell in held["im_names"][()].ravel()]
        return {"im_names": names, "index": held["index"][()], "ref_ids": held["ref_ids"][()].ravel()}
