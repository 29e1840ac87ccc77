"""No-reference terms seen from the target's: as good as the target is what a restoration can be."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

RELATIVE: dict[str, Callable[[Tensor], Tensor]] = {
    "target": torch.relu,
    "target_signed": lambda difference: difference,
}
"""What becomes of the difference between a term of the prediction and the target's."""


def relative_terms(terms: Mapping[str, Tensor], of_target: Mapping[str, Tensor], to: str) -> dict[str, Tensor]:
    """Returns how much worse than its target a prediction is, term by term.

    ``"target_signed"`` is the difference, ``NR(pred) - NR(target)``: the published pseudo full-reference loss
    (Kashkarov et al., arXiv 2405.20392), with the gradient of the plain loss. ``"target"`` is 0, without a gradient,
    where the prediction is no worse: nothing is gained by looking better than the original.

    Args:
        terms: The prediction's terms ``[B]``.
        of_target: The target's; no gradient flows into them.
        to: ``"target"`` or ``"target_signed"``.

    Example:
        >>> terms, of_target = {"score": torch.tensor([0.25, 0.5])}, {"score": torch.tensor([0.375, 0.375])}
        >>> relative_terms(terms, of_target, "target")["score"].tolist()
        [0.0, 0.125]
        >>> relative_terms(terms, of_target, "target_signed")["score"].tolist()
        [-0.125, 0.125]
    """
    return {name: RELATIVE[to](term - of_target[name].detach()) for name, term in terms.items()}
