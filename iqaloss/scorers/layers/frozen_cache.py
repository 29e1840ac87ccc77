"""Values that depend on fixed weights and on sizes only, kept from call to call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from iqaloss.scorers.layers.precision import neutral

_Stamp = tuple[tuple[int, int], ...]


class FrozenCache(nn.Module):
    """Keeps what was computed from frozen parameters; a part of the module that owns these.

    Nothing is kept while a parameter is trained, and what was kept is dropped when one changes, by a loaded state
    dict, ``to()``, or an operation in place. It is never saved, copied or pickled. While torch.compile or
    torch.export trace, the value is computed in the graph.

    Args:
        most: Number of values kept; the one that was made first goes first.

    Example:
        >>> table = nn.Linear(2, 2).requires_grad_(False)
        >>> cache = FrozenCache()
        >>> double = lambda: 2 * table.weight
        >>> cache(1, [table.weight], double) is cache(1, [table.weight], double)
        True
    """

    def __init__(self, most: int = 4) -> None:
        super().__init__()
        self.most = most
        self._kept: dict[Any, tuple[tuple[Tensor, ...], _Stamp, Tensor]] = {}

    def forward(self, key: Any, sources: Sequence[Tensor], compute: Callable[[], Tensor]) -> Tensor:
        """Returns what ``compute`` returns.

        Args:
            key: Tells this value from others of the same parameters, such as a size.
            sources: The parameters that the value depends on; none for a constant.
            compute: Computes it.
        """
        if torch.compiler.is_compiling():
            return compute()
        if not all(_fixed(source) for source in sources):
            self._kept = {}
            return compute()
        stamp = tuple((source._version, source.data_ptr()) for source in sources)
        found = self._kept.get(key)
        if found is not None and found[1] == stamp and all(a is b for a, b in zip(found[0], sources)):
            return found[2]
        with neutral(*{source.device for source in sources}):
            value = compute()
        # Neither a stand-in without values nor memory that belongs to a graph being captured outlives the call.
        if type(value) is Tensor and not (value.is_cuda and torch.cuda.is_current_stream_capturing()):
            kept = [item for item in tuple(self._kept.items()) if item[0] != key]
            # A new dict: another thread may be reading the one that was there.
            self._kept = dict([*kept[max(0, len(kept) + 1 - self.most) :], (key, (tuple(sources), stamp, value))])
        return value

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> FrozenCache:
        self._kept = {}
        return super()._apply(fn, recurse)

    def _load_from_state_dict(self, *args: Any, **options: Any) -> None:
        self._kept = {}
        super()._load_from_state_dict(*args, **options)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": {}}


def _fixed(source: Tensor) -> bool:
    # A parameter proper: not what a function transform put in its place.
    return type(source) is nn.Parameter and not source.requires_grad and not source.is_inference()
