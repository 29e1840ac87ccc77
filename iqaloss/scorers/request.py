"""What a caller asks of a scorer, and what comes back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from torch import Tensor


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
        Request(score=True, dimensions=('sharpness',), features=(), extras=())
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

    def only(self, request: Request) -> ScoreOutput:
        """Returns what a resolved request names and nothing else, in the request's order."""
        return ScoreOutput(
            _named(self.dimensions, request.dimensions),
            _named(self.features, request.features),
            _named(self.extras, request.extras),
            self.overall if request.score else None,
        )


def _named(values: dict[str, Tensor], names: Iterable[str] | None) -> dict[str, Tensor]:
    return {name: values[name] for name in names or ()}
