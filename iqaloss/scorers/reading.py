"""What a checkpoint file holds, read without running code in it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch


def read_file(path: str | Path) -> Any:
    """Reads a ``.safetensors`` file or a ``torch.save`` file of tensors and plain values.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is corrupt or holds anything else; the message names it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such checkpoint file: {path}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return _load(path)
    except Exception as error:
        raise ValueError(f"cannot read the checkpoint {path} ({path.stat().st_size} bytes): {error}") from error


def _load(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        # Training loops keep their results beside the weights, as numpy's numbers.
        with torch.serialization.safe_globals(_number_types()):
            return torch.load(path, map_location="cpu", weights_only=True)


def _number_types() -> list[Any]:
    """What numpy's numbers are made of, under the names of numpy 1 and 2."""
    import numpy

    scalar = numpy.float64(0).__reduce__()[0]
    both = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    return [*both, numpy.dtype, *(type(numpy.dtype(name)) for name in ("float64", "float32", "int64"))]
