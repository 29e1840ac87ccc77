"""The contract that every scorer keeps: images in, scores, dimensions and features out."""

from __future__ import annotations

import abc
import contextlib
import copy
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from iqaloss._errors import shown, unknown_name
from iqaloss.scorers.cards import ScorerCard
from iqaloss.scorers.image_checks import check_images
from iqaloss.scorers.layers.fold import fold_batch_norms
from iqaloss.scorers.layers.precision import full_precision
from iqaloss.scorers.request import Request, ScoreOutput

S = TypeVar("S", bound="Scorer")


class Scorer(nn.Module, abc.ABC):
    """A model that scores images; subclasses implement :meth:`compute`.

    A scorer is called with float RGB images ``[B, 3, H, W]`` in ``[0, 1]`` and normalises them
    itself, inside the differentiated graph. :meth:`freeze` makes it a fixed function: no parameter
    asks for a gradient and ``train()``, also a parent's, leaves it in eval mode.

    Args:
        card: What is known of the model, as data.
        config: The architecture, a frozen dataclass of plain values; it is stored with checkpoints.
    """

    config_class: ClassVar[type[Any]]
    """The dataclass that describes the architecture."""

    one_graph: ClassVar[bool] = False
    """Whether ``torch.compile`` may make one graph for images of all sizes, rather than one for each size."""

    def __init__(self, card: ScorerCard, config: Any) -> None:
        super().__init__()
        self.card = card
        self.config = config
        self.frozen = False
        self.folded = False
        self.calibration: Any = None  # what corrects the score, where it was calibrated
        shape = (1, 3, 1, 1)
        self.register_buffer("mean", torch.tensor(card.mean).view(shape), persistent=False)
        self.register_buffer("std", torch.tensor(card.std).view(shape), persistent=False)

    mean: Tensor
    std: Tensor

    @property
    def dimension_names(self) -> tuple[str, ...]:
        """Names of the dimensions, in the model's own order; empty for a model with one score."""
        return self.card.dimensions

    @property
    @abc.abstractmethod
    def feature_names(self) -> tuple[str, ...]:
        """Names of the feature maps that full-reference mode may compare."""

    @property
    def distance_names(self) -> tuple[str, ...]:
        """Names of the distances that full-reference mode may take: one for each feature map."""
        return self.feature_names

    def compared(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Names of the feature maps that some distances are taken between."""
        return names

    def distances(
        self, features: Mapping[str, Tensor], target: Mapping[str, Tensor], names: Sequence[str]
    ) -> dict[str, Tensor]:
        """Returns distances ``[B]`` by name, in float32: mean absolute differences; no gradient flows into the target.

        Args:
            features: The feature maps that :meth:`compared` names.
            target: The same of what they are compared with.
            names: Out of :attr:`distance_names`.
        """
        return {
            name: (features[name].float() - target[name].detach().float()).abs().flatten(1).mean(1) for name in names
        }

    @property
    def extra_names(self) -> tuple[str, ...]:
        """Names of further outputs."""
        return ()

    @abc.abstractmethod
    def compute(self, images: Tensor, request: Request, **conditions: Any) -> ScoreOutput:
        """Scores checked images; ``request`` has no ``None`` left in it, and its names are in the model's order.

        Args:
            images: Float RGB in ``[0, 1]``, ``[B, 3, H, W]``, in the dtype of the weights.
            request: What to compute; anything else must not be computed.
            **conditions: What the model takes beside the image, such as a prompt.

        Returns:
            All that was asked for; what came up on the way to it may be among it, the caller leaves it out.
        """

    def forward(self, images: Tensor, request: Request | None = None, **conditions: Any) -> ScoreOutput:
        """Scores images.

        Args:
            images: Float RGB in ``[0, 1]``, ``[B, 3, H, W]``.
            request: What to compute; everything by default.
            **conditions: What the model takes beside the image (see the model's :meth:`compute`).

        Returns:
            Exactly what the request names, in the model's order.

        Raises:
            TypeError: If the images are not a floating tensor.
            ValueError: If their shape does not fit the model, or a requested name does not exist.
        """
        check_images(images, self.card.min_side, "images", self.mean.device, not self.one_graph)
        if request is not None and not isinstance(request, Request):
            raise TypeError(f"request must be a Request, got {shown(request)}")
        request = self.resolve(request or Request.everything())
        images = images.to(self.mean.dtype)
        calibrated = self.calibration if request.score else None
        wanted = request if calibrated is None else self.resolve(request | Request(features=calibrated.features))
        # Maps that are compared differ by less than bfloat16 can tell: the sign of each difference is its gradient.
        compared = bool(request.features) and not self.training
        with full_precision(images.device) if compared else contextlib.nullcontext():
            output = self.compute(images, wanted, **conditions)
        if calibrated is not None:
            output.overall = calibrated(output)
        return output.only(request)

    def resolve(self, request: Request) -> Request:
        """Returns the request with checked names in the model's order, and all of them in place of every ``None``."""
        return Request(
            request.score,
            self._names("dimension", request.dimensions, self.dimension_names),
            self._names("feature", request.features, self.feature_names),
            self._names("extra output", request.extras, self.extra_names),
        )

    def _names(self, kind: str, given: tuple[str, ...] | None, valid: tuple[str, ...]) -> tuple[str, ...]:
        if given is None:
            return valid
        for name in given:
            if name not in valid:
                self.raise_unknown(kind, name, valid)
        return tuple(name for name in valid if name in given)

    def raise_unknown(self, kind: str, name: str, valid: tuple[str, ...]) -> None:
        """Raises ``ValueError`` for an unknown name; says which model has it where the card knows."""
        elsewhere = self.card.dimensions_elsewhere.get(name) if kind == "dimension" else None
        if elsewhere:
            raise ValueError(f"{self.card.name} has no dimension {name!r}: {elsewhere}. It has: {', '.join(valid)}")
        raise ValueError(f"{self.card.name}: {unknown_name(kind, name, valid)}")

    def normalize(self, images: Tensor) -> Tensor:
        """Subtracts the card's mean and divides by its standard deviation."""
        return (images - self.mean) / self.std

    def freeze(self: S) -> S:
        """Makes the scorer a fixed function: no parameter gradients, eval mode for good."""
        self.requires_grad_(False)
        self.frozen = True
        return self.train(False)

    def unfreeze(self: S) -> S:
        """Makes every parameter trainable again and lets ``train()`` have its usual effect."""
        self._refuse_folded("unfrozen")
        self.requires_grad_(True)
        self.frozen = False
        return self

    def fold(self: S) -> S:
        """Rewrites a frozen scorer, for good, into one that computes the same faster and keeps less for its gradient.

        Batch norms become part of the convolutions before them, and a scorer may have modules of its own to join. The
        weights then have other names: a folded scorer can be copied, moved and pickled, but neither unfrozen, nor
        saved, nor loaded into. Fold a :meth:`copy` to keep one that can. A second call changes nothing.

        Raises:
            RuntimeError: If the scorer is not frozen.

        Example:
            >>> from iqaloss.scorers.factory import create_tiny
            >>> create_tiny("mdiqa-mobile").fold().folded
            True
        """
        if self.folded:
            return self
        if not self.frozen or any(parameter.requires_grad for parameter in self.parameters()):
            raise RuntimeError(f"{self.card.name} is trainable: only a frozen scorer is folded; call freeze() first")
        with torch.inference_mode(False):  # what is folded may train a network later
            self.rewrite()
        self.folded = True
        return self

    def rewrite(self) -> None:
        """What :meth:`fold` does; a subclass adds to it what it can join."""
        fold_batch_norms(self, self.run_example)

    def run_example(self) -> Any:
        """Runs every part of the scorer once, on a small grey image, and returns all outputs."""
        side = max(64, self.card.min_side)
        return self(self.mean.new_full((1, 3, side, side), 0.5))

    def _refuse_folded(self, verb: str) -> None:
        if self.folded:
            raise RuntimeError(
                f"this {self.card.name} is folded and cannot be {verb}: its weights have other names and values; "
                "build it again without fold()"
            )

    def _load_from_state_dict(self, *args: Any, **options: Any) -> None:
        self._refuse_folded("loaded into")
        super()._load_from_state_dict(*args, **options)

    def train(self: S, mode: bool = True) -> S:
        """Sets training mode, unless the scorer is frozen: then it stays in eval mode."""
        return super().train(mode and not self.frozen)

    def copy(self: S) -> S:
        """Returns an independent copy with the same weights."""
        return copy.deepcopy(self)
