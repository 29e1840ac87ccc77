"""Votes of people who compared the outputs of two methods."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Votes:
    """Comparisons of two methods' outputs, a row each; made by :func:`make_votes`.

    Attributes:
        source: Where they come from, for messages.
        methods: Names of the methods, sorted.
        first, second: Numbers of the two methods of each row.
        cast: Votes for the first, votes for the second, and ties, ``[rows, 3]``; whole numbers.
        images, groups, subjects, outputs: For each row, where it is known, the picture that both methods were given,
            the group that it is counted in, who voted, and the names of the two images that were seen.
    """

    source: str
    methods: tuple[str, ...]
    first: Ints
    second: Ints
    cast: Floats
    images: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    subjects: tuple[str, ...] | None = None
    outputs: tuple[tuple[str, str], ...] | None = None

    def __len__(self) -> int:
        return len(self.first)

    @cached_property
    def won(self) -> Floats:
        """Votes for the first of each row; a tie is half a vote for either."""
        return np.asarray(self.cast[:, 0] + self.cast[:, 2] / 2, np.float64)

    @cached_property
    def total(self) -> Floats:
        """Votes of each row."""
        return np.asarray(self.cast.sum(1), np.float64)

    def counts(self) -> Floats:
        """Returns C of Eq. 2, ``[methods, methods]``: ``C[i, j]`` votes for i over j, ties counted half."""
        out = np.zeros((len(self.methods), len(self.methods)))
        np.add.at(out, (self.first, self.second), self.won)
        np.add.at(out, (self.second, self.first), self.total - self.won)
        return out

    @property
    def seen(self) -> tuple[tuple[str, str], ...]:
        """Names of the two images of each of :attr:`trials`; a ValueError where the votes do not name them."""
        if self.trials[0].outputs is None:
            raise ValueError(f"{self.source} does not name the images that were compared: their scores cannot be found")
        return self.trials[0].outputs

    def take(self, rows: Iterable[int]) -> Votes:
        """Returns the given rows; the methods stay."""
        kept = np.fromiter(rows, np.int64)
        columns = {name: getattr(self, name) for name in ("images", "groups", "subjects", "outputs")}
        labels: Any = {name: column and tuple(column[row] for row in kept) for name, column in columns.items()}
        return replace(self, first=self.first[kept], second=self.second[kept], cast=self.cast[kept], **labels)

    @cached_property
    def trials(self) -> tuple[Votes, Ints]:
        """Rows of the same two images put together, whichever stood first, and the trial of each row.

        Without images, all rows of two methods in a group are one trial.
        """
        swapped = self.first > self.second
        first, second = np.where(swapped, self.second, self.first), np.where(swapped, self.first, self.second)
        numbers: dict[tuple[Any, ...], int] = {}
        keys = zip(first, second, *(column or [""] * len(self) for column in (self.images, self.groups)))
        of_row = np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
        heads = np.unique(of_row, return_index=True)[1]
        cast = np.zeros((len(heads), 3))
        np.add.at(cast, of_row, np.where(swapped[:, None], self.cast[:, [1, 0, 2]], self.cast))
        kept = self.take(heads)
        outputs = kept.outputs and tuple(pair[::-1] if swapped[row] else pair for row, pair in zip(heads, kept.outputs))
        sides: dict[str, Any] = {"first": first[heads], "second": second[heads]}
        return replace(kept, **sides, cast=cast, subjects=None, outputs=outputs), of_row


def make_votes(
    first: Sequence[str], second: Sequence[str], cast: Any, *,
    source: str = "votes", lines: Sequence[int] | None = None, **labels: Sequence[Any] | None,
) -> Votes:  # fmt: skip
    """Builds votes from columns: names of methods, and votes for the first, the second and perhaps ties.

    Args:
        first, second, cast: See :class:`Votes`; the methods by name.
        source, lines: What to call the votes and their rows in messages.
        **labels: ``images``, ``groups``, ``subjects`` and ``outputs``.

    Example:
        >>> make_votes(["A", "B"], ["B", "A"], [[3, 1], [0, 2]]).counts()
        array([[0., 5.],
               [1., 0.]])
    """
    if not len(first):
        raise ValueError(f"{source} has no votes")
    numbers = np.asarray(cast, np.float64).reshape(len(first), -1)
    numbers = np.pad(numbers, ((0, 0), (0, 3 - numbers.shape[1])))
    whole = ((numbers >= 0) & (numbers == np.round(numbers))).all(1) & (numbers.sum(1) > 0)
    for row, (one, other) in enumerate(zip(first, second)):
        at = f"{source} line {row + 1 if lines is None else lines[row]}"
        if not one or not other:
            raise ValueError(f"{at}: a method has no name, got {one!r} and {other!r}")
        if one == other:
            raise ValueError(f"{at}: {one!r} is compared with itself")
        if not whole[row]:
            raise ValueError(f"{at}: needs whole numbers of votes, at least one, got {numbers[row].tolist()}")
    methods = tuple(sorted({*first, *second}))
    number = {name: index for index, name in enumerate(methods)}
    a, b = (np.array([number[name] for name in names], np.int64) for names in (first, second))
    columns: dict[str, Any] = {name: None if column is None else tuple(column) for name, column in labels.items()}
    return Votes(source, methods, a, b, numbers, **columns)
