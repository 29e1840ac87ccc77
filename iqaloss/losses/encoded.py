"""What a loss compares with a prediction, computed of a target once and reused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from iqaloss._errors import shown
from iqaloss.losses.inputs import Inputs
from iqaloss.scorers.base import Request, ScoreOutput
from iqaloss.scorers.image_checks import check_images


@dataclass
class EncodedTarget:
    """What a loss compares with a prediction, computed of a target once and reused; made by :meth:`IQALoss.encode`.

    Attributes:
        output: What the scorer says of the target, without gradient: feature maps ``[B, C, h, w]``, and the scores
            where the loss is relative to them.
        shape: Shape of the target images.
        fixed: The options of the loss that change what its scorer sees, such as ``max_side``.

    Example:
        >>> import torch
        >>> encoded = EncodedTarget(ScoreOutput(features={"map": torch.zeros(4, 8, 2, 2)}), (4, 3, 64, 64))
        >>> encoded[1:3].shape
        (2, 3, 64, 64)
    """

    output: ScoreOutput = field(default_factory=ScoreOutput)
    shape: tuple[int, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def features(self) -> dict[str, Tensor]:
        """Name to feature map."""
        return self.output.features

    def __getitem__(self, rows: slice) -> EncodedTarget:
        """Returns some images of the batch, in the order of a slice; ``encoded[2:3]`` is one image.

        Raises:
            TypeError: For anything but a slice.
            ValueError: If no image is left.
        """
        if not isinstance(rows, slice):
            raise TypeError(f"an encoded target is cut by slices, encoded[2:3] for one image; got {shown(rows)}")
        batch = self.shape[0]
        chosen = range(*rows.indices(batch))
        if not chosen:
            raise ValueError(f"no image is left of the {batch} that are encoded: {shown(rows)}")
        places = [*chosen]
        output = each_tensor([self.output], lambda some: some[0].unflatten(0, (batch, -1))[places].flatten(0, 1))
        return EncodedTarget(output, (len(places), *self.shape[1:]), self.fixed)

    def rows(self, rows: slice) -> EncodedTarget:
        """Returns some of what the scorer saw, for micro-batches: images, or their tiles."""
        return EncodedTarget(each_tensor([self.output], lambda some: some[0][rows]), self.shape, self.fixed)


def each_tensor(outputs: Sequence[ScoreOutput], make: Callable[[list[Tensor]], Tensor]) -> ScoreOutput:
    """Makes one output of several that hold the same names, tensor by tensor.

    Example:
        >>> import torch
        >>> halves = [ScoreOutput({"sharpness": torch.tensor([value])}) for value in (0.25, 0.5)]
        >>> each_tensor(halves, torch.cat).dimensions["sharpness"]
        tensor([0.2500, 0.5000])
    """
    first = outputs[0]
    names = ("dimensions", "features", "extras")
    found = {
        kind: {name: make([getattr(one, kind)[name] for one in outputs]) for name in getattr(first, kind)}
        for kind in names
    }
    return ScoreOutput(**found, overall=None if first.overall is None else make([one.score for one in outputs]))


def check_target(
    target: object, shape: Sequence[int], device: torch.device, looks_at: str, request: Request, inputs: Inputs
) -> Tensor | EncodedTarget:
    """Returns a target that a prediction can be compared with.

    Args:
        target: What the caller gave.
        shape: The prediction's shape.
        device: Where it is.
        looks_at: How the loss looks at the target, for messages.
        request: What the loss needs of the target.
        inputs: What the loss makes of images.

    Raises:
        TypeError: If it is neither a tensor nor encoded.
        ValueError: If there is none, its shape is another than the prediction's, or it was encoded by another loss.
    """
    if target is None:
        raise ValueError(f'{looks_at} compares with a target: call loss_fn(pred, target); mode="nr" needs none')
    if not isinstance(target, (Tensor, EncodedTarget)):
        raise TypeError(f"target must be a tensor or loss_fn.encode(target), got {type(target).__name__}")
    if isinstance(target, Tensor):
        check_images(target, inputs.min_side, "target", device)
    if tuple(target.shape) != tuple(shape):
        raise ValueError(f"pred and target differ in shape: pred {list(shape)}, target {list(target.shape)}")
    if isinstance(target, Tensor):
        return target
    missing = missing_in(target.output, request)
    if missing:
        raise ValueError(f"the encoded target lacks {', '.join(missing)}; encode it again with this loss")
    if inputs.random or target.fixed != inputs.fixed:
        was, now = (
            ", ".join(f"{name}={value}" for name, value in each.items())
            for each in (target.fixed, {**inputs.fixed, **inputs.random})
        )
        raise ValueError(f"the target was encoded with {was}, and this loss has {now}: pass the target's images")
    return target


def missing_in(output: ScoreOutput, request: Request) -> list[str]:
    """Names what a request needs and an output lacks.

    Example:
        >>> import torch
        >>> missing_in(ScoreOutput({"sharpness": torch.zeros(1)}), Request(True, ("sharpness",), ("map",)))
        ['score', 'map']
    """
    score = ["score"] if request.score and output.overall is None else []
    wanted = ("dimensions", "features", "extras")
    return score + [
        name for kind in wanted for name in getattr(request, kind) or () if name not in getattr(output, kind)
    ]
