"""Our losses, the limit that they are held against, and L1."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from benchmarks.loss_cost.setting import Built, Contestant, Setting
from iqaloss import IQALoss, create_scorer, list_scorers
from iqaloss.scorers.base import Scorer
from iqaloss.scorers.mdiqa.model import MDIQA
from iqaloss.scorers.registry import entry

MOBILE = "mdiqa-mobile"
MODES = {"nr": "nr", "fr": "fr", "fr-encoded": "fr", "both": "both"}
"""Mode of the table to mode of the loss; in fr-encoded the target's features are computed before the clock starts."""


@functools.cache
def scorer(name: str, device: str) -> Scorer:
    """Builds a scorer, folded as a loss has it, once for all modes; see :func:`unfolded`."""
    return unfolded(name).to(device).fold()


def unfolded(name: str) -> Scorer:
    """Builds a frozen scorer; one whose weights cannot be had gets random ones, which cost the same."""
    torch.manual_seed(0)
    known = entry(name).card.embedded is not None
    return create_scorer(name) if known else create_scorer(name, weights=None, frozen=True)


def as_built(loss: IQALoss, setting: Setting, *, encoded: bool) -> Built:
    """Makes a contestant of one of our losses."""
    loss = loss.to(setting.device)
    call = setting.call(loss)

    def bind(pred: Tensor, target: Tensor) -> Callable[[], Tensor]:
        reference = loss.encode(target) if encoded else target
        return lambda: call(pred, reference)

    return Built((loss.scorer,), bind)


def _loss(name: str, mode: str) -> Callable[[Setting], Built]:
    def build(setting: Setting) -> Built:
        loss = IQALoss(scorer(name, setting.device), MODES[mode], precision=setting.precision)
        return as_built(loss, setting, encoded=mode == "fr-encoded")

    return build


def bare(
    network: nn.Module,
    mean: Tensor,
    std: Tensor,
    setting: Setting,
    layout: torch.memory_format = torch.contiguous_format,
) -> Built:
    """A frozen network that gives feature maps, called with normalised images and nothing around it."""
    network = network.to(setting.device).requires_grad_(False).eval()
    mean, std = mean.to(setting.device), std.to(setting.device)
    call = setting.call(network)

    def bind(pred: Tensor, _: Tensor) -> Callable[[], Tensor]:
        def forward() -> Tensor:
            with setting.autocast():
                levels = call(((pred - mean) / std).contiguous(memory_format=layout))
            return levels[-1].float().mean()

        return forward

    return Built((network,), bind)


def _backbone_of(built: Scorer) -> tuple[nn.Module, Tensor, Tensor]:
    if not isinstance(built, MDIQA):
        raise TypeError(f"{MOBILE} is no MDIQA scorer but a {type(built).__name__}: say here what its backbone is")
    first = built.branches[built.config.branches[0].name]
    return first.backbone.trunk, built.mean, built.std  # type: ignore[union-attr, return-value]


def _backbone(setting: Setting) -> Built:
    return bare(*_backbone_of(unfolded(MOBILE)), setting)


def _tuned_backbone(setting: Setting) -> Built:
    """The same, folded and with channels last, as the loss runs it."""
    return bare(*_backbone_of(scorer(MOBILE, setting.device)), setting, torch.channels_last)


def _network(setting: Setting) -> Built:
    built = scorer(MOBILE, setting.device)
    call, request = setting.call(built), IQALoss(built, "nr").nr_request()

    def bind(pred: Tensor, _: Tensor) -> Callable[[], Tensor]:
        def forward() -> Tensor:
            with setting.autocast():
                output = call(pred.contiguous(memory_format=torch.channels_last), request)
            return output.score.float().mean()

        return forward

    return Built((built,), bind)


def _l1(setting: Setting) -> Built:
    call = setting.call(nn.functional.l1_loss)
    return Built((), lambda pred, target: lambda: call(pred, target))


def contestants() -> Iterator[Contestant]:
    """Yields L1, the limits, and each of our scorers in each mode."""
    yield Contestant("l1", "fr", _l1)
    yield Contestant(f"backbone:{MOBILE}", "nr", _backbone)
    yield Contestant(f"backbone:{MOBILE}", "tuned", _tuned_backbone)
    yield Contestant(f"network:{MOBILE}", "nr", _network)
    for mode in MODES:
        yield Contestant(f"iqaloss:{MOBILE}", mode, _loss(MOBILE, mode), min_side=entry(MOBILE).card.min_side)
    for name in list_scorers():
        card = entry(name).card
        if name == MOBILE:
            continue
        for mode in ("nr", "fr", "fr-encoded"):
            yield Contestant(
                f"iqaloss:{name}",
                mode,
                _loss(name, mode),
                needs=tuple(card.needs),
                min_side=card.min_side,
                sides=(256,),
                most_pixels=4 * 256**2,
                quick=False,
            )
