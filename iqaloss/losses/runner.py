"""How a frozen scorer runs, not what it says: precision, memory format, and what is kept for the way back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from iqaloss._errors import check_choice, shown
from iqaloss.losses.checks import check_count, check_switch
from iqaloss.losses.encoded import EncodedTarget, each_tensor
from iqaloss.losses.micro_batches import WHOLE, Terms, rows_of, score_in_micro_batches
from iqaloss.losses.recompute import recomputing
from iqaloss.scorers.base import Request, ScoreOutput, Scorer

PRECISIONS: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
Context = contextlib.AbstractContextManager[Any]


class Asks(Protocol):
    """What a loss asks of a scorer, and what it makes of the answer."""

    def request(self) -> Request:
        """What is computed of the prediction."""
        ...

    def target_request(self) -> Request:
        """What is computed of the target."""
        ...

    def conditions(self, rows: slice) -> dict[str, Any]:
        """What the scorer takes beside some images of the batch."""
        ...

    def terms(self, output: ScoreOutput, reference: ScoreOutput) -> dict[str, Tensor]:
        """The terms ``[B]`` by name, of what the scorer says of prediction and target."""
        ...


@dataclass(frozen=True)
class Runner:
    """A frozen scorer and how it runs.

    Attributes:
        scorer: The scorer.
        precision: None follows the caller's autocast, ``"fp32"`` turns it off and ``"bf16"`` on; networks of
            convolutions stay in float32, see :func:`iqaloss.scorers.layers.precision.exact`.
        checkpoint: Whether the scorer's stages are computed again on the way back; a compiler chooses on its own.
        channels_last: Whether images go in with the channels last in memory, which convolutions hand on; ``"auto"``
            where that is faster.
        micro_batch: How many images are scored at a time, each group's graph dropped before the next; None for all.
        convolutional: Whether the scorer is a network of convolutions, see :func:`is_convolutional`.
    """

    scorer: Scorer = field(repr=False)
    precision: str | None = None
    checkpoint: bool = False
    channels_last: bool | str = "auto"
    micro_batch: int | None = None
    convolutional: bool = field(init=False)

    def __post_init__(self) -> None:
        """Checks the options."""
        if self.precision is not None:
            check_choice("precision", self.precision, PRECISIONS)
        check_switch("checkpoint", self.checkpoint)
        check_channels_last(self.channels_last)
        object.__setattr__(self, "micro_batch", check_count("micro_batch", self.micro_batch))
        object.__setattr__(self, "convolutional", is_convolutional(self.scorer))
        if any(weight.is_inference() for weight in (*self.scorer.parameters(), *self.scorer.buffers())):
            raise ValueError("the scorer was built in inference mode, so that no gradient passes it: build it outside")

    @property
    def one_way(self) -> list[str]:
        """The options that are on and have a backward pass of their own."""
        return [name for name in ("micro_batch", "checkpoint") if getattr(self, name)]

    def terms_of(
        self, loss: Asks, images: Tensor, target: Tensor | EncodedTarget | None, rows: slice | None = None
    ) -> Terms:
        """Scores a batch and returns the loss's terms ``[B]`` by name, and their sum.

        Args:
            loss: What is asked, and what becomes of the answer.
            images: The prepared prediction.
            target: The prepared target, what was computed of it, or None.
            rows: Where the images stand in the batch; None: they are all of it, and cut into micro-batches.
        """
        if rows is None and self.micro_batch is not None:
            return score_in_micro_batches(
                lambda some, rows: self.terms_of(loss, some, some_of(target, rows), rows),
                images,
                self.micro_batch,
            )
        rows = rows or WHOLE
        reference = ScoreOutput() if target is None else self.reference(loss, target, rows)
        terms = loss.terms(self.run(images, loss.request(), loss.conditions(rows)), reference)
        return terms, torch.stack([*terms.values()]).sum(0)

    def reference(self, loss: Asks, target: Tensor | EncodedTarget, rows: slice) -> ScoreOutput:
        """Returns what a target's prediction is compared with, without a graph."""
        if isinstance(target, EncodedTarget):
            return target.output
        with torch.no_grad():
            return self.run(target, loss.target_request(), loss.conditions(rows))

    def encode(self, loss: Asks, target: Tensor) -> ScoreOutput:
        """Returns what is compared of a prepared target, without a graph, computed in micro-batches where chosen."""
        found = [self.reference(loss, target[rows], rows) for rows in rows_of(len(target), self.micro_batch)]
        return each_tensor(found, torch.cat) if found[1:] else found[0]

    def run(self, images: Tensor, request: Request, conditions: Mapping[str, Any]) -> ScoreOutput:
        """Runs the scorer on prepared images ``[B, 3, H, W]`` in ``[0, 1]``."""
        scorer = self.scorer
        if self.checkpoint and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            scorer = recomputing(scorer)
        with autocast(self.precision, images.device):
            if wants_channels_last(self.channels_last, self.convolutional, images.device, images.dtype, self.precision):
                images = images.contiguous(memory_format=torch.channels_last)
            return scorer(images, request, **conditions)


def moved(change: Callable[[Tensor], Tensor], tensor: Tensor) -> Tensor:
    """Applies what moves a module to one of its tensors, but for a cast to half precision.

    Example:
        >>> moved(Tensor.half, torch.zeros(2)).dtype, moved(Tensor.double, torch.zeros(2)).dtype
        (torch.float32, torch.float64)
    """
    if not tensor.is_floating_point():
        return change(tensor)
    like = change(tensor.detach().reshape(-1)[:0])
    halves = like.dtype in (torch.float16, torch.bfloat16) and like.dtype != tensor.dtype
    return tensor.to(like.device) if halves else change(tensor)


def some_of(target: Tensor | EncodedTarget | None, rows: slice) -> Tensor | EncodedTarget | None:
    """Returns what belongs to some of the images, or tiles, that the scorer sees."""
    return target.rows(rows) if isinstance(target, EncodedTarget) else None if target is None else target[rows]


def autocast(precision: str | None, device: torch.device) -> Context:
    """Returns the context of a loss's own precision; one that changes nothing for None."""
    if precision is None:
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16, enabled=PRECISIONS[precision] is torch.bfloat16)


def check_channels_last(value: bool | str) -> bool | str:
    """Returns True, False or ``"auto"``; raises ``ValueError`` or ``TypeError`` for anything else."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise TypeError(f'channels_last must be True, False or "auto", got {shown(value)}')
    return check_choice("channels_last", value, ("auto",))


def wants_channels_last(
    option: bool | str, convolutional: bool, device: torch.device, dtype: torch.dtype, precision: str | None
) -> bool:
    """Whether a network should see images with the channels last in memory.

    ``"auto"`` says yes to a network of convolutions where these are faster so: on a CPU (by a twentieth for ResNet-50,
    by a quarter for EfficientNet-Lite0), and on a GPU in half precision, where tensor cores want it.

    Args:
        option: What the user chose.
        convolutional: See :func:`is_convolutional`.
        device: Where the images are.
        dtype: Their dtype.
        precision: The loss's own precision, None for the caller's.
    """
    if isinstance(option, bool):
        return option
    if device.type != "cuda":
        return convolutional
    half = torch.is_autocast_enabled("cuda") if precision is None else precision == "bf16"
    return convolutional and (half or dtype in (torch.float16, torch.bfloat16))


def is_convolutional(network: nn.Module) -> bool:
    """Whether more than a quarter of a network's weights are those of convolutions.

    The dense layers of a convolutional network hold many weights and see few positions.

    Example:
        >>> is_convolutional(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(8, 1)))
        True
    """
    inside = sum(module.weight.numel() for module in network.modules() if isinstance(module, nn.Conv2d))
    return 4 * inside > sum(parameter.numel() for parameter in network.parameters())
