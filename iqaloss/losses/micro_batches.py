"""A batch scored micro-batch by micro-batch: the gradient of all of it, the memory of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

WHOLE = slice(None)
"""All images of a batch."""

Terms = tuple[dict[str, Tensor], Tensor]
"""The terms of a loss by name, and their sum, each ``[B]``."""

ScoreSome = Callable[[Tensor, slice], Terms]
"""Gives the terms and their sum for some images ``[k, C, H, W]``, told where they stand in the batch."""


def rows_of(batch: int, size: int | None) -> Iterator[slice]:
    """Yields which images of a batch go together, ``size`` at a time; all of them where it is None.

    Example:
        >>> list(rows_of(5, 2))
        [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    size = size or batch
    for start in range(0, batch, size):
        yield slice(start, min(start + size, batch))


def score_in_micro_batches(score: ScoreSome, images: Tensor, size: int) -> Terms:
    """Scores a batch a few images at a time.

    Each micro-batch is differentiated as soon as it is scored and its graph is dropped, so that a batch keeps no more
    than its images' gradient. That is exact, because the terms of an image depend on no other image.

    Args:
        score: Gives the terms of some images, and their sum.
        images: ``[B, C, H, W]``.
        size: Images in a micro-batch.

    Returns:
        The terms ``[B]`` by name, without gradient, and their sum ``[B]`` with the gradient of the images.

    Example:
        >>> def score(images, rows):
        ...     squares = images.square().flatten(1).sum(1)
        ...     return {"squares": squares}, squares
        >>> images = torch.ones(3, 1, 2, 2, requires_grad=True)
        >>> terms, values = score_in_micro_batches(score, images, 2)
        >>> values.sum().backward()
        >>> images.grad.unique()
        tensor([2.])
    """
    if torch.compiler.is_compiling():
        raise RuntimeError(
            "micro_batch= differentiates on the way forward, which a compiled or exported graph cannot hold: use "
            "micro_batch=None, or leave the loss out of what is compiled"
        )
    names: list[str] = []
    stacked, values = _MicroBatched.apply(images, score, size, names, torch.is_grad_enabled() and images.requires_grad)
    return dict(zip(names, stacked.unbind())), values


class _MicroBatched(torch.autograd.Function):
    """The sum of the terms, with a gradient that was computed on the way forward."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, score: ScoreSome, size: int, names: list[str], differentiate: bool
    ) -> tuple[Tensor, Tensor]:
        gradient = torch.empty_like(images) if differentiate else None
        found = []
        for rows in rows_of(images.shape[0], size):
            some = images[rows].detach()
            with torch.set_grad_enabled(differentiate):
                terms, values = score(some.requires_grad_(differentiate), rows)
                if gradient is not None:
                    (gradient[rows],) = torch.autograd.grad(values.sum(), some)
            names[:] = terms
            found.append(torch.stack([*terms.values()]).detach())
        joined = torch.cat(found, dim=1)
        ctx.mark_non_differentiable(joined)
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return joined, joined.sum(0)

    @staticmethod
    def backward(ctx: Any, _: Tensor, of_values: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "a loss with micro_batch= has first derivatives only: it keeps no graph that create_graph=True could "
                "differentiate again; use micro_batch=None"
            )
        (gradient,) = ctx.saved_tensors
        return gradient * of_values[:, None, None, None].to(gradient.dtype), None, None, None, None
