"""A target's features, computed once and reused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from iqaloss.scorers.base import check_images


@dataclass
class EncodedTarget:
    """A target's features, computed once and reused; made by :meth:`IQALoss.encode`.

    Attributes:
        features: Name to feature map ``[B, C, h, w]``, without gradient.
        shape: Shape of the target images.
        max_side: The loss's ``max_side``, to which the images were shrunk before.

    Example:
        >>> import torch
        >>> encoded = EncodedTarget({"map": torch.zeros(4, 8, 2, 2)}, (4, 3, 64, 64))
        >>> encoded[1:3].shape
        (2, 3, 64, 64)
    """

    features: dict[str, Tensor] = field(default_factory=dict)
    shape: tuple[int, ...] = ()
    max_side: int | None = None

    def __getitem__(self, part: slice) -> EncodedTarget:
        """Returns some images of the batch."""
        features = {name: value[part] for name, value in self.features.items()}
        count = len(range(*part.indices(self.shape[0])))
        return EncodedTarget(features, (count, *self.shape[1:]), self.max_side)


def check_target(pred: Tensor, target: object, mode: str, min_side: int) -> Tensor | EncodedTarget:
    """Returns a target that fits the prediction.

    Raises:
        TypeError: If it is neither a tensor nor encoded.
        ValueError: If there is none, or its shape is another than the prediction's.
    """
    if target is None:
        raise ValueError(f'mode="{mode}" compares with a target: call loss_fn(pred, target); mode="nr" needs none')
    if not isinstance(target, (Tensor, EncodedTarget)):
        raise TypeError(f"target must be a tensor or loss_fn.encode(target), got {type(target).__name__}")
    if tuple(target.shape) != tuple(pred.shape):
        raise ValueError(f"pred and target differ in shape: pred {list(pred.shape)}, target {list(target.shape)}")
    if isinstance(target, Tensor):
        check_images(target, min_side, "target")
    return target


def check_encoded(target: EncodedTarget, names: Sequence[str], max_side: int | None, crop: int | None) -> None:
    """Raises ``ValueError`` unless an encoded target holds what a loss compares, of images as the loss sees them."""
    missing = [name for name in names if name not in target.features]
    if missing:
        raise ValueError(f"the encoded target lacks {', '.join(missing)}; encode it again with this loss")
    if crop is not None or target.max_side != max_side:
        raise ValueError(
            f"the target was encoded with max_side={target.max_side} and no crop, and this loss has "
            f"max_side={max_side} and crop={crop}: pass the target's images"
        )
