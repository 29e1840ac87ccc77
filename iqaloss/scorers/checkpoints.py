"""Our own checkpoint files: a scorer's weights, its config and notes, in one safetensors file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from iqaloss._configs import parse
from iqaloss._errors import shown
from iqaloss._files import replacing
from iqaloss.scorers.base import Scorer
from iqaloss.scorers.cards import EmbeddedFile
from iqaloss.scorers.state_dicts import read_state_dict, sha256_of, without_counters

FORMAT = "1"
TRAINED = "iqaloss.trained"
"""Note that says which modules of the scorer a training let learn."""
UNFINISHED = "iqaloss.unfinished"
"""Note that says why a file is no whole scorer yet."""
_VOCABULARY = "iqaloss.vocabulary"

_COUNTS = ("depth", "layers", "text_layers", "blocks", "experts", "crops", "windows", "heads", "text_heads")
"""Fields of configs that say how often something is built or run."""
_FEW, _USUAL = 64, 4096
"""What such a count, and any other size, may always be."""


@dataclass(frozen=True)
class OwnFile:
    """What one of our files holds: the architecture, its weights, what its calibration reads, its words."""

    config: Any
    state: dict[str, Tensor]
    calibration: Any = None
    vocabulary: tuple[str, ...] | None = None


def save(scorer: Scorer, path: str | Path, *, dtype: torch.dtype | None = None, **notes: str) -> Path:
    """Writes a scorer's weights and config to a safetensors file, through a temporary file and a rename.

    Args:
        scorer: The scorer to write.
        path: The file to write, ending in ``.safetensors``.
        dtype: Storage type of floating tensors; their own by default.
        **notes: Further text to store with it, such as the data it was trained on.

    Example:
        >>> save(create_scorer("mdiqa-mobile"), "mine.safetensors")  # doctest: +SKIP
    """
    from safetensors.torch import save_file

    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"a scorer is saved as .safetensors, got {path.name!r}")
    if scorer.folded:
        raise ValueError(f"this {scorer.card.name} is folded: its weights have other names; save it before fold()")
    tensors = {
        key: (value.to(dtype) if dtype is not None and value.is_floating_point() else value).detach().cpu().contiguous()
        for key, value in without_counters(scorer.state_dict()).items()
    }
    metadata = {
        **notes,
        "iqaloss.format": FORMAT,
        "iqaloss.scorer": scorer.card.name,
        "iqaloss.config": json.dumps(dataclasses.asdict(scorer.config)),
    }
    if scorer.calibration is not None:
        metadata["iqaloss.calibration"] = json.dumps(dataclasses.asdict(scorer.calibration.config))
    tokenizer = getattr(scorer, "tokenizer", None)
    if tokenizer is not None:
        metadata[_VOCABULARY] = json.dumps(list(tokenizer.ids), ensure_ascii=False)
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)
        _sort_metadata(temporary)
    return path


def _sort_metadata(path: Path) -> None:
    """Puts a safetensors file's metadata in order: the library's own, and so the digest, changes from run to run."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        written = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(size)
        if len(written) != size:
            raise ValueError(f"the header of {path} has {size} bytes, {len(written)} when its metadata are in order")
        file.seek(8)
        file.write(written)


def read_metadata(path: str | Path) -> dict[str, str]:
    """Returns the text stored beside the tensors of a safetensors file; empty if there is none."""
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except Exception as error:
        raise ValueError(f"cannot read the checkpoint {path}: {error}") from error


def made_for(path: Path) -> str | None:
    """Returns the name of the scorer that a file of ours holds; None for any other file."""
    own = path.suffix == ".safetensors" and path.is_file()
    return read_metadata(path).get("iqaloss.scorer") if own else None


def read_own(path: Path, name: str, config_class: type[Any], *, sha256: str | None = None) -> OwnFile:
    """Reads a file written by :func:`save`.

    Args:
        path: The file.
        name: The scorer that it must hold.
        config_class: The dataclass of that scorer's architecture.
        sha256: The digest that it must have; None for any.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is corrupt, of another format, or holds another scorer.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such checkpoint file: {path}")
    if sha256 is not None and sha256_of(path) != sha256:
        raise ValueError(f"{path} is corrupt: its sha256 is {sha256_of(path)}, expected {sha256}")
    metadata = read_metadata(path)
    made_by = metadata.get("iqaloss.scorer")
    if made_by is None:
        raise ValueError(f"{path} was not written by iqaloss; for official files see load_official")
    if metadata.get("iqaloss.format") != FORMAT:
        raise ValueError(f"{path} has format {metadata.get('iqaloss.format')!r}; this version reads {FORMAT!r}")
    if made_by != name:
        raise ValueError(f'{path} holds a {made_by!r}, not a {name!r}: create_scorer("{made_by}", weights=…)')
    if UNFINISHED in metadata:
        raise ValueError(f"{path} is no whole {name}: {metadata[UNFINISHED]}")
    config = parse(config_class, _read_json(metadata, "iqaloss.config", path), f"the config in {path}")
    calibration = _read_json(metadata, "iqaloss.calibration", path) if "iqaloss.calibration" in metadata else None
    vocabulary = _read_json(metadata, _VOCABULARY, path) if _VOCABULARY in metadata else None
    state = read_state_dict(path)
    check_sizes(config, state, f"the config in {path}")
    return OwnFile(config, state, calibration, _words(vocabulary, path))


def _words(found: Any, path: Path) -> tuple[str, ...] | None:
    if found is None:
        return None
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        raise ValueError(f"{path}: its field {_VOCABULARY!r} must be a list of words")
    return tuple(found)


def _read_json(metadata: dict[str, str], key: str, path: Path) -> Any:
    if key not in metadata:
        raise ValueError(f"{path} lacks the field {key!r} beside its tensors, which says how its scorer is built")
    try:
        return json.loads(metadata[key])
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ValueError(f"{path}: its field {key!r} is no JSON: {why}") from None


def check_sizes(config: Any, state: dict[str, Tensor], where: str) -> None:
    """Raises ``ValueError`` for a number in a config that the tensors beside it cannot have come from.

    So nothing is built whose size a file only claims: no layer is wider than the largest tensor, no network deeper than
    there are tensors. Seeds are no sizes.

    Args:
        config: A dataclass of sizes and names, nested ones included.
        state: The tensors that it belongs to.
        where: What the config is called in the error.
    """
    largest = max([_USUAL, len(state), *(side for tensor in state.values() for side in tensor.shape)])
    for name, value in _numbers(config, ""):
        most = max(len(state), _FEW) if name.rpartition(".")[2] in _COUNTS else largest
        if not name.endswith("seed") and not 0 <= value <= most:
            raise ValueError(f"{where}: {name} must be between 0 and {most}, as its tensors are, got {shown(value)}")


def _numbers(value: Any, name: str) -> Iterator[tuple[str, int]]:
    """The whole numbers in a config, with their places."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _numbers(getattr(value, field.name), f"{name}.{field.name}".lstrip("."))
    elif isinstance(value, tuple):
        for place, item in enumerate(value):
            yield from _numbers(item, f"{name}[{place}]")
    elif isinstance(value, int) and not isinstance(value, bool):
        yield name, value


def embedded_path(file: EmbeddedFile) -> Path:
    """Returns the path of a checkpoint inside the package."""
    return Path(__file__).parent / "weights" / file.filename
