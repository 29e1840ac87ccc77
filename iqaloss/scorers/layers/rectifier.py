"""The rectifier h: features of an image become a scale and a shift for its score."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Rectifier(nn.Module):
    """A small MLP over tokens whose two outputs are averaged over the tokens.

    Args:
        width: Channels of the tokens, and of the hidden layer.
        link: ``"affine"`` or ``"positive"``, see :func:`rectify`.
    """

    def __init__(self, width: int, link: str) -> None:
        super().__init__()
        self.link = link
        self.hidden = nn.Linear(width, width)
        self.dropout = nn.Dropout(0.1)
        self.out = nn.Linear(width, 2)
        if link == "affine":  # start from the score as it is; |a| + 1 has no slope there, so it starts at random
            nn.init.zeros_(self.out.weight)
            self.out.bias.data.copy_(torch.tensor([1.0, 0.0]))

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Returns scale and shift, each ``[B]``, for tokens ``[B, T, C]``."""
        both = self.out(self.dropout(torch.relu(self.hidden(tokens)))).mean(dim=1)
        return both[:, 0], both[:, 1]


def rectify(quality: Tensor, scale: Tensor, shift: Tensor, link: str) -> Tensor:
    """Returns the rectified score: ``a q + b`` (``"affine"``, Eq. 4's Q) or ``(|a| + 1) q + b`` (``"positive"``).

    Example:
        >>> rectify(torch.tensor([3.0]), torch.tensor([-1.0]), torch.tensor([0.5]), "positive")
        tensor([6.5000])
    """
    return (scale if link == "affine" else scale.abs() + 1) * quality + shift
