"""A batch judged piece by piece: the gradient of all of it, the memory of one piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

Judge = Callable[[Tensor, slice], dict[str, Tensor]]
"""Gives the terms ``[k]`` by name for some images ``[k, C, H, W]`` and where they stand in the batch."""


def pieces(batch: int, chunk: int) -> Iterator[slice]:
    """Yields the slices of a batch.

    Example:
        >>> list(pieces(5, 2))
        [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    for start in range(0, batch, chunk):
        yield slice(start, min(start + chunk, batch))


def score_in_micro_batches(judge: Judge, images: Tensor, chunk: int) -> tuple[dict[str, Tensor], Tensor]:
    """Judges a batch piece by piece.

    Each piece is differentiated as soon as it is judged and its graph is dropped, so that a batch keeps no more than
    its images' gradient. That is exact, because the terms of an image depend on no other image.

    Args:
        judge: Gives the terms of a piece.
        images: ``[B, C, H, W]``.
        chunk: Images in a piece.

    Returns:
        The terms ``[B]`` by name, without gradient, and their sum ``[B]`` with the gradient of the images.

    Example:
        >>> images = torch.ones(3, 1, 2, 2, requires_grad=True)
        >>> terms, values = score_in_micro_batches(lambda part, _: {"sum": part.square().flatten(1).sum(1)}, images, 2)
        >>> values.sum().backward()
        >>> images.grad.unique()
        tensor([2.])
    """
    if torch.compiler.is_compiling():
        raise RuntimeError(
            "chunk= differentiates on the way forward, which a compiled or exported graph cannot hold: use chunk=None, "
            "or leave the loss out of what is compiled"
        )
    names: list[str] = []
    stacked, values = _Chunked.apply(images, judge, chunk, names, torch.is_grad_enabled() and images.requires_grad)
    return dict(zip(names, stacked.unbind())), values


class _Chunked(torch.autograd.Function):
    """The sum of the terms, with a gradient that was computed on the way forward."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, judge: Judge, chunk: int, names: list[str], differentiate: bool
    ) -> tuple[Tensor, Tensor]:
        gradient = torch.empty_like(images) if differentiate else None
        found = []
        for part in pieces(images.shape[0], chunk):
            piece = images[part].detach()
            with torch.set_grad_enabled(differentiate):
                terms = judge(piece.requires_grad_(differentiate), part)
                stacked = torch.stack(list(terms.values()))
                if gradient is not None:
                    (gradient[part],) = torch.autograd.grad(stacked.sum(), piece)
            names[:] = terms
            found.append(stacked.detach())
        joined = torch.cat(found, dim=1)
        ctx.mark_non_differentiable(joined)
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return joined, joined.sum(0)

    @staticmethod
    def backward(ctx: Any, _: Tensor, of_values: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "a loss with chunk= has first derivatives only: it keeps no graph that create_graph=True could "
                "differentiate again; use chunk=None"
            )
        (gradient,) = ctx.saved_tensors
        return gradient * of_values[:, None, None, None].to(gradient.dtype), None, None, None, None
