"""What processes exchange: predictions with their gradient, random states, validation results."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


def world() -> tuple[int, int]:
    """Returns ``(rank, number of processes)``; ``(0, 1)`` where nothing is distributed."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


class _Gather(torch.autograd.Function):
    """Joins equally shaped tensors of all ranks; see :func:`gather_with_gradient`."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        rank, count = world()
        pieces = [torch.empty_like(values) for _ in range(count)]
        dist.all_gather(pieces, values.contiguous())
        ctx.rank, ctx.count, ctx.size = rank, count, values.shape[0]
        return torch.cat(pieces)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        start = ctx.rank * ctx.size
        return ctx.count * gradients[0][start : start + ctx.size]


def gather_with_gradient(values: Tensor) -> Tensor:
    """Joins the values of all ranks along the first axis, in the order of the ranks.

    Every rank must go on to compute the same loss from the joined values, as losses over a whole batch
    (NiN, PLCC, ranking) need to. The gradient that comes back is then the same on every rank, so that each
    takes its own slice without talking to the others; the slice is multiplied by the number of ranks because
    data-parallel training divides by it. Rank-averaged parameter gradients so equal those of one process
    on the joined batch.

    Args:
        values: ``[b, ...]``, the same shape on every rank.

    Returns:
        ``[ranks * b, ...]``; the values themselves with one process.

    Example:
        >>> gather_with_gradient(torch.tensor([1.0, 2.0]))
        tensor([1., 2.])
    """
    return values if world()[1] == 1 else _Gather.apply(values)


def gather_objects(value: Any) -> list[Any]:
    """Returns a picklable value of every rank, in the order of the ranks, on every rank."""
    count = world()[1]
    if count == 1:
        return [value]
    found: list[Any] = [None] * count
    dist.all_gather_object(found, value)
    return found
