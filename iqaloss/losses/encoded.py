"""A target's features, computed once and reused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from iqaloss.losses.inputs import Inputs
from iqaloss.scorers.image_checks import check_images


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

    def __getitem__(self, rows: slice) -> EncodedTarget:
        """Returns some images of the batch."""
        features = {name: value[rows] for name, value in self.features.items()}
        count = len(range(*rows.indices(self.shape[0])))
        return EncodedTarget(features, (count, *self.shape[1:]), self.max_side)


def check_target(
    target: object, shape: Sequence[int], mode: str, names: Sequence[str], inputs: Inputs
) -> Tensor | EncodedTarget:
    """Returns a target that a prediction can be compared with.

    Args:
        target: What the caller gave.
        shape: The prediction's shape.
        mode: The loss's mode, for messages.
        names: The feature maps that the loss compares.
        inputs: What the loss makes of images.

    Raises:
        TypeError: If it is neither a tensor nor encoded.
        ValueError: If there is none, its shape is another than the prediction's, or it was encoded by another loss.
    """
    if target is None:
        raise ValueError(f'mode="{mode}" compares with a target: call loss_fn(pred, target); mode="nr" needs none')
    if not isinstance(target, (Tensor, EncodedTarget)):
        raise TypeError(f"target must be a tensor or loss_fn.encode(target), got {type(target).__name__}")
    if tuple(target.shape) != tuple(shape):
        raise ValueError(f"pred and target differ in shape: pred {list(shape)}, target {list(target.shape)}")
    if isinstance(target, Tensor):
        check_images(target, inputs.min_side, "target")
        return target
    missing = [name for name in names if name not in target.features]
    if missing:
        raise ValueError(f"the encoded target lacks {', '.join(missing)}; encode it again with this loss")
    if inputs.crop is not None or target.max_side != inputs.max_side:
        raise ValueError(
            f"the target was encoded with max_side={target.max_side} and no crop, and this loss has "
            f"max_side={inputs.max_side} and crop={inputs.crop}: pass the target's images"
        )
    return target
