"""Random numbers that follow from the step or the picture alone, whatever was drawn before.

A training that goes on in another process draws what it would have drawn: a library that is imported late, a
validation or a prefetcher takes no number from anybody.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterator

import numpy as np
import torch

_NUMPY = 2**32


def begin(*words: int) -> None:
    """Begins the random numbers of Python, NumPy and torch, on every device, with those that belong to some numbers.

    Example:
        >>> begin(1, 2)
        >>> first = random.random()
        >>> begin(1, 2)
        >>> first == random.random()
        True
    """
    seed = _seed(words)
    random.seed(seed)
    np.random.seed(seed % _NUMPY)
    torch.manual_seed(seed)


@contextlib.contextmanager
def drawing(*words: int) -> Iterator[None]:
    """Inside, the random numbers of the CPU are those of :func:`begin`; outside, nobody notices."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    seed = _seed(words)
    random.seed(seed)
    np.random.seed(seed % _NUMPY)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


def _seed(words: tuple[int, ...]) -> int:
    digest = hashlib.sha256(repr(words).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
