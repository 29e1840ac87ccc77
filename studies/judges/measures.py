"""What is judged: the panel, SSIM, total variation and our own losses, all turned so that a higher value is better."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from iqaloss import IQALoss, MDIQALoss
from iqaloss.evaluation.panel import load_panel
from iqaloss.evaluation.panel.measures import LUMA_601
from iqaloss.evaluation.patterns import total_variation

Values = dict[str, Tensor]

OURS = "mdiqa-mobile"


@dataclass(frozen=True)
class Candidate:
    """What is held against people.

    Attributes:
        title: What it is called in tables.
        sees_target: Whether it compares with the original.
    """

    title: str
    sees_target: bool = True


CANDIDATES: Mapping[str, Candidate] = {
    "psnr_y": Candidate("PSNR-Y"),
    "ssim": Candidate("SSIM"),
    "lpips_vgg": Candidate("LPIPS-VGG"),
    "lpips_alex": Candidate("LPIPS-Alex"),
    "dists": Candidate("DISTS"),
    "vit": Candidate("ViT"),
    "tv_distance": Candidate("difference of TV"),
    "tv": Candidate("TV alone", sees_target=False),
    "mdiqa_fr": Candidate("MDIQALoss, fr"),
    "mdiqa_nr_below": Candidate("MDIQALoss, nr, below target"),
    "mdiqa_nr_signed": Candidate("MDIQALoss, nr, less target's"),
    "mdiqa_nr": Candidate("MDIQALoss, nr", sees_target=False),
    "score": Candidate("IQALoss, nr (one score)", sees_target=False),
}
"""Every candidate, in the order of tables. ``below``: being better than its target is no gain; ``signed``: it is."""


def ssim(pred: Tensor, target: Tensor) -> Tensor:
    """SSIM of the luminance, with the Gaussian window of 11 pixels of its paper, ``[B]``."""
    from kornia.metrics import ssim as ssim_map

    luma = pred.new_tensor(LUMA_601).view(1, 3, 1, 1)
    maps = ssim_map((pred * luma).sum(1, keepdim=True), (target * luma).sum(1, keepdim=True), 11, padding="valid")
    return maps.flatten(1).mean(1)


def plain(pred: Tensor, target: Tensor) -> Values:
    """Candidates without a network."""
    own, wanted = total_variation(pred), total_variation(target)
    return {"ssim": ssim(pred, target), "tv_distance": -(own - wanted).abs(), "tv": -own}


def ours() -> Callable[[Tensor, Tensor], Values]:
    """Our losses at their defaults, as distances and as scores."""
    nr, fr = (MDIQALoss(mode=mode, scorer=OURS, reduction="none") for mode in ("nr", "fr"))
    one = IQALoss(OURS, reduction="none")

    def measure(pred: Tensor, target: Tensor) -> Values:
        loss, wanted = nr(pred), nr(target)
        return {
            "mdiqa_fr": -fr(pred, target),
            "mdiqa_nr_below": -(loss - wanted).clamp_min(0.0),
            "mdiqa_nr_signed": wanted - loss,
            "mdiqa_nr": -loss,
            "score": -one(pred),
        }

    return measure


def _once(call: Callable[..., Any]) -> Callable[..., Any]:
    """Lets a network see a batch of one and the same picture as that picture, and repeats what it says."""

    def seen(self: Any, images: Tensor, *rest: Any, **options: Any) -> Any:
        count = len(images)
        if count == 1 or not torch.equal(images, images[:1].expand_as(images)):
            return call(self, images, *rest, **options)
        found = call(self, images[:1], *rest, **options)
        return tree_map(lambda value: value.expand(count, *value.shape[1:]), found)

    return seen


@contextlib.contextmanager
def targets_once() -> Iterator[None]:
    """Halves the work where a batch has one target, inside the context: its networks see the target once."""
    from DISTS_pytorch import DISTS
    from lpips import pretrained_networks
    from timm.models import VisionTransformer

    places: tuple[tuple[Any, str], ...] = (
        (pretrained_networks.vgg16, "forward"),
        (pretrained_networks.alexnet, "forward"),
        (DISTS, "forward_once"),
        (VisionTransformer, "forward_intermediates"),
    )
    with contextlib.ExitStack() as stack:
        for owner, name in places:
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, _once(getattr(owner, name)))
        yield


def load_candidates(folder: Path | None = None) -> Callable[[Tensor, Tensor], Values]:
    """Returns a function from prediction and target ``[B, 3, H, W]`` in [0, 1] to what each candidate says ``[B]``.

    Args:
        folder: The panel's weights; judges that are missing are left out.
    """
    panel, own = load_panel(folder=folder), ours()
    signs = {judge.name: 1.0 if judge.higher_is_better else -1.0 for judge in panel.judges}

    @torch.no_grad()
    def measure(pred: Tensor, target: Tensor) -> Values:
        with targets_once():
            found = {name: signs[name] * value for name, value in panel.measure(pred, target).items()}
        found |= plain(pred, target) | own(pred, target)
        return {name: found[name] for name in CANDIDATES if name in found}

    return measure


def load_without_target() -> Callable[[Tensor, Tensor], Values]:
    """Returns the same of the candidates that see no target."""
    own = ours()

    @torch.no_grad()
    def measure(pred: Tensor, target: Tensor) -> Values:
        found = plain(pred, pred) | own(pred, pred)
        return {name: found[name] for name, candidate in CANDIDATES.items() if not candidate.sees_target}

    return measure
