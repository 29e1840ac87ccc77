"""Scores as rewards for the fine-tuning of generators: the callable that diffusers and TRL users write by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from iqaloss._errors import shown
from iqaloss.losses.iqa_loss import IQALoss
from iqaloss.losses.mdiqa_loss import MDIQALoss

References = Mapping[str, Any] | Callable[[str], Any]
"""Prompt to its true image."""


class IQAReward:
    """Rewards images: ``(images, prompts) -> [float, ...]``, each in [0, 1], higher is better.

    The no-reference reward is one minus the loss. With references the full-reference one, half and half with it by
    default, ties images to their references (arXiv 2510.18851 mixes so), which is what keeps a generator from making
    pictures that the score alone likes.

    Args:
        loss: A no-reference loss; :class:`~iqaloss.MDIQALoss` at its defaults where none is given.
        references: Prompt to its true image, as a mapping or a function; None for no full-reference reward.
        mix: Share of the full-reference reward.

    Raises:
        ValueError: If the loss compares, or the share is outside [0, 1].

    Example:
        >>> reward = IQAReward()
        >>> rewards = reward(torch.rand(2, 3, 64, 64), ["a cat", "a dog"])
        >>> len(rewards), all(0 <= each <= 1 for each in rewards)
        (2, True)
    """

    def __init__(self, loss: IQALoss | None = None, references: References | None = None, mix: float = 0.5) -> None:
        score = MDIQALoss() if loss is None else loss
        if score.compares:
            raise ValueError('a reward needs a loss with mode="nr"; the other half is made of references')
        if not 0.0 <= mix <= 1.0:
            raise ValueError(f"mix is the share of the full-reference reward, 0 to 1; got {shown(mix)}")
        self.score = score
        self.distance = (
            None if references is None else IQALoss(score.scorer, "fr", input_range=score.inputs.input_range)
        )
        self.references, self.mix = references, mix

    @torch.no_grad()
    def __call__(self, images: Any, prompts: Sequence[str], *rest: Any, **more: Any) -> list[float]:
        """Rewards images.

        Args:
            images: A tensor ``[B, 3, H, W]`` in the loss's range, or a list of PIL images or of tensors.
            prompts: Their prompts.
            *rest: Metadata that a trainer may pass, which is not looked at.
            **more: The same by name.
        """
        if len(images) != len(prompts):
            raise ValueError(f"{len(images)} images have {len(prompts)} prompts: one for each is needed")
        return [self._one(as_batch(image, self._like), prompt) for image, prompt in zip(images, prompts)]

    @property
    def _like(self) -> Tensor:
        return self.score.scorer.mean

    def _one(self, image: Tensor, prompt: str) -> float:
        found = _bounded(self.score(image))
        if self.distance is None or self.references is None:
            return found
        true = self.references(prompt) if callable(self.references) else self.references[prompt]
        close = _bounded(self.distance(image, as_batch(true, self._like)))
        return (1.0 - self.mix) * found + self.mix * close


def _bounded(loss: Tensor) -> float:
    return float((1.0 - loss).clamp(0.0, 1.0))


def as_batch(image: Any, like: Tensor) -> Tensor:
    """Returns a PIL image or a tensor ``[3, H, W]`` as a batch of one, where and as ``like`` is."""
    if not isinstance(image, Tensor):
        from iqaloss.data.images import to_tensor

        image = to_tensor(image.convert("RGB"))
    return image[None].to(like.device, like.dtype)
