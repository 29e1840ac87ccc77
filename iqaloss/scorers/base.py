"""The contract that every scorer keeps: images in, scores, dimensions and features out."""

from __future__ import annotations

import abc
import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from iqaloss._errors import unknown_name

if TYPE_CHECKING:
    from iqaloss.scorers.cards import ScorerCard

S = TypeVar("S", bound="Scorer")


@dataclass(frozen=True)
class Request:
    """What a caller needs of a scorer; the scorer computes nothing else, and by default nothing at all.

    Attributes:
        score: Whether the overall score is needed.
        dimensions: Names of the needed dimension scores; ``None`` means all of them.
        features: Names of the needed feature maps; ``None`` means all of them.
        extras: Names of further outputs (see the scorer's docstring); ``None`` means all of them.

    Example:
        >>> Request(dimensions=("sharpness",)) | Request(score=True)
        Request(score=True, dimensions=('sharpness',))
    """

    score: bool = False
    dimensions: tuple[str, ...] | None = ()
    features: tuple[str, ...] | None = ()
    extras: tuple[str, ...] | None = ()

    @classmethod
    def everything(cls) -> Request:
        """Returns the request for all that a scorer can tell."""
        return cls(True, None, None, None)

    def __or__(self, other: Request) -> Request:
        """Returns the request that serves both."""
        return Request(
            self.score or other.score,
            _union(self.dimensions, other.dimensions),
            _union(self.features, other.features),
            _union(self.extras, other.extras),
        )


def _union(a: tuple[str, ...] | None, b: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if a is None or b is None:
        return None
    return a + tuple(name for name in b if name not in a)


@dataclass
class ScoreOutput:
    """What a scorer returns for a batch of B images.

    Attributes:
        dimensions: Name to score ``[B]``, higher is better, in the model's own order.
        features: Name to feature map ``[B, C, h, w]``: what full-reference mode compares.
        extras: Further outputs by name, such as MDIQA's instance weights ``[B, D]``.
        overall: The overall score ``[B]``, or None where the request left it out.
    """

    dimensions: dict[str, Tensor] = field(default_factory=dict)
    features: dict[str, Tensor] = field(default_factory=dict)
    extras: dict[str, Tensor] = field(default_factory=dict)
    overall: Tensor | None = None

    @property
    def score(self) -> Tensor:
        """Overall score ``[B]``, higher is better."""
        if self.overall is None:
            raise ValueError("the overall score was not computed: the request had score=False")
        return self.overall


class Scorer(nn.Module, abc.ABC):
    """A model that judges images; subclasses implement :meth:`compute`.

    A scorer is called with float RGB images ``[B, 3, H, W]`` in ``[0, 1]`` and normalises them
    itself, inside the differentiated graph. :meth:`freeze` makes it a fixed function: no parameter
    asks for a gradient and ``train()``, also a parent's, leaves it in eval mode.

    Args:
        card: What is known of the model, as data.
        config: The architecture, a frozen dataclass of plain values; it is stored with checkpoints.
    """

    config_class: ClassVar[type[Any]]
    """The dataclass that describes the architecture."""

    def __init__(self, card: ScorerCard, config: Any) -> None:
        super().__init__()
        self.card = card
        self.config = config
        self.frozen = False
        self.folded = False
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
    def extra_names(self) -> tuple[str, ...]:
        """Names of further outputs."""
        return ()

    @abc.abstractmethod
    def compute(self, images: Tensor, request: Request, **conditions: Any) -> ScoreOutput:
        """Scores checked images; ``request`` has no ``None`` left in it.

        Args:
            images: Float RGB in ``[0, 1]``, ``[B, 3, H, W]``, in the dtype of the weights.
            request: What to compute; anything else must not be computed.
            **conditions: What the model takes beside the image, such as a prompt.
        """

    def forward(self, images: Tensor, request: Request | None = None, **conditions: Any) -> ScoreOutput:
        """Scores images.

        Args:
            images: Float RGB in ``[0, 1]``, ``[B, 3, H, W]``.
            request: What to compute; everything by default.
            **conditions: What the model takes beside the image (see the model's :meth:`compute`).

        Raises:
            TypeError: If the images are not a floating tensor.
            ValueError: If their shape does not fit the model, or a requested name does not exist.
        """
        check_images(images, self.card.min_side)
        return self.compute(images.to(self.mean.dtype), self.resolve(request or Request.everything()), **conditions)

    def resolve(self, request: Request) -> Request:
        """Returns the request with every ``None`` replaced by all names, after checking the names."""
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
        return given

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

        Batch norms become part of the convolutions before them, and a scorer may have parts of its own to join. The
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
        self.rewrite()
        self.folded = True
        return self

    def rewrite(self) -> None:
        """What :meth:`fold` does; a subclass adds to it what it can join."""
        from iqaloss.scorers.layers.fold import fold_batch_norms

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

    @classmethod
    def open_official(cls, role: str, loaded: Any) -> Any:
        """Returns the state dict inside what an official file holds; for files that are wrapped in a way of their own.

        Args:
            role: The role that the file was given for.
            loaded: What the file holds.
        """
        return loaded

    @classmethod
    def from_official(cls: type[S], card: ScorerCard, parts: Mapping[str, Mapping[str, Tensor]], **options: Any) -> S:
        """Builds the scorer from official state dicts, one for each role on the card.

        Args:
            card: The card that the scorer carries.
            parts: Role to state dict, with the official key names.
            **options: Config fields that the checkpoint leaves open.

        Raises:
            ValueError: If a role, a tensor or a shape does not fit.
        """
        raise ValueError(f"{card.name} has no official checkpoint format; pass weights=<file made by iqaloss>")


def check_images(images: Tensor, min_side: int = 1, name: str = "images") -> None:
    """Raises a clear error unless ``images`` is a float tensor ``[B, 3, H, W]`` with sides of at least ``min_side``."""
    if not isinstance(images, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor of shape [B, 3, H, W], got {type(images).__name__}")
    if not images.is_floating_point():
        raise TypeError(
            f"{name} must be a floating tensor in [0, 1], got dtype {images.dtype}; divide a uint8 image by 255 first"
        )
    shape = list(images.shape)
    if images.ndim != 4:
        hint = "; add a batch dimension with images[None]" if images.ndim == 3 else ""
        raise ValueError(f"{name} must have shape [B, 3, H, W], got {shape}{hint}")
    if shape[1] != 3:
        hint = "; the channels come second: images.permute(0, 3, 1, 2)" if shape[3] == 3 else ""
        raise ValueError(f"{name} must have 3 channels (RGB), got {shape[1]} in shape {shape}{hint}")
    if shape[0] == 0:
        raise ValueError(f"{name} is an empty batch: shape {shape}")
    if min(shape[2:]) < min_side:
        raise ValueError(f"{name} must have sides of at least {min_side} pixels, got {shape[2]}x{shape[3]}")
