"""Loading an official state dict whose keys differ from ours by a prefix only."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from iqaloss.scorers.checkpoints import load_strict, rename_keys


def load_prefixed(
    module: nn.Module, state: Mapping[str, Tensor], table: Sequence[tuple[str, str]], *, source: str
) -> None:
    """Loads a state dict strictly, with its prefixes exchanged; errors name the tensors as the file does.

    Args:
        module: What to load into.
        state: The state dict as published.
        table: Pairs of a published prefix and ours; the first that fits a key is taken.
        source: What the state dict is, for the error.

    Raises:
        ValueError: With the published names of the missing, unexpected and misshapen tensors.
    """
    renamed = rename_keys(state, [(re.escape(official), ours) for official, ours in table])
    try:
        load_strict(module, renamed, source=source)
    except ValueError as error:
        message = str(error)
        # Longer prefixes first: one of ours may begin with another of ours.
        for official, ours in sorted(table, key=lambda pair: -len(pair[1])):
            message = re.sub(rf"(?<![\w.]){re.escape(ours)}", official, message)
        raise ValueError(message) from None
