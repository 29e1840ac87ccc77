"""Features of frozen ImageNet backbones for the ablations, computed once and kept in memory-mapped files.

The paper's form of PMT-IQA reads each scale as ``GAP(Conv1x1(f))``. Both are linear and the convolution touches one
position at a time, so this equals ``Conv1x1(GAP(f))``: behind a frozen backbone the spatial means of the four stages
are all that training needs, exactly. LAR-IQA's heads read the backbones' class scores.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from iqaloss.scorers.cards import ScorerCard
from iqaloss.scorers.pmt_iqa.config import PAPER
from iqaloss.scorers.pmt_iqa.model import PMTIQA
from iqaloss.scorers.registry import entry

STAGES = (256, 512, 1024, 2048)
"""Channels of the four stages of a ResNet-50."""
CLASSES = 1000
_CAFFE_MEAN = (103.939, 116.779, 123.68)
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_BATCH = 20


@dataclass(frozen=True)
class Source:
    """One feature file: a backbone that sees one view of the image.

    Attributes:
        name: Name of the file.
        weights: File of the ImageNet weights in the weights folder.
        view: ``"resized"``: the whole image in a square; ``"crop"``: its centre in its own resolution.
        width: Values for each image.
        load: Builds the frozen function from the weights; it takes RGB in ``[0, 1]`` and returns ``[B, width]``.
    """

    name: str
    weights: str
    view: str
    width: int
    load: Callable[[Path], Callable[[Tensor], Tensor]]


def pmt_card() -> ScorerCard:
    """Returns the card of PMT-IQA."""
    return entry("pmt-iqa").card


def load_resnet(path: Path) -> Callable[[Tensor], Tensor]:
    """Returns the spatial means of a ResNet-50's stages, as PMT-IQA's backbone yields them, ``[B, 3840]``.

    The weights are those of the first, Caffe-made ResNet-50: the stride sits on the first convolution of a
    bottleneck, BatchNorm has eps 1e-3, and the input is BGR from 0 to 255 less its mean. Convolutions run in bfloat16
    and channels last, three times as fast on a CPU; the means differ by under 1 percent, alike for every variant.
    """
    scorer = PMTIQA(pmt_card(), PAPER)
    trunk: Any = scorer.trunk
    for stage in (trunk.layer2, trunk.layer3, trunk.layer4):
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    for module in trunk.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-3
    _load(trunk, path, dropped=("fc.",))
    trunk.eval().requires_grad_(False)
    mean = torch.tensor(_CAFFE_MEAN).view(3, 1, 1)

    def means(images: Tensor) -> Tensor:
        ready = (255 * images.flip(1) - mean).contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, torch.bfloat16):
            return torch.cat([level.float().mean(dim=(2, 3)) for level in scorer.levels(ready)], dim=1)

    return means


def load_mobilenet(path: Path) -> Callable[[Tensor], Tensor]:
    """Returns the class scores of a MobileNetV2, ``[B, 1000]``."""
    import timm

    model: Any = timm.create_model("mobilenetv2_100", pretrained=False, num_classes=CLASSES)
    _load(model, path)
    model.eval().requires_grad_(False)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (_IMAGENET_MEAN, _IMAGENET_STD))
    return lambda images: model(((images - mean) / std).contiguous(memory_format=torch.channels_last))


_RESNET, _MOBILENET = "resnet50_caffe.fp16.safetensors", "mobilenetv2_100.fp16.safetensors"
PMT = Source("resnet50_resized", _RESNET, "resized", sum(STAGES), load_resnet)
AUTHENTIC = Source("mobilenetv2_resized", _MOBILENET, "resized", CLASSES, load_mobilenet)
SYNTHETIC = Source("mobilenetv2_crop", _MOBILENET, "crop", CLASSES, load_mobilenet)


def _load(model: nn.Module, path: Path, dropped: tuple[str, ...] = ()) -> None:
    from safetensors.torch import load_file

    state = {key: value.float() if value.is_floating_point() else value for key, value in load_file(path).items()}
    state = {key: value for key, value in state.items() if not key.startswith(dropped or ("\0",))}
    found = model.load_state_dict(state, strict=False)
    missing = [key for key in found.missing_keys if not key.endswith("num_batches_tracked")]
    if missing or found.unexpected_keys:
        raise ValueError(f"{path} does not fit: missing {missing[:3]}, unexpected {found.unexpected_keys[:3]}")


def read_view(path: Path, view: str, side: int) -> Tensor:
    """Returns one view of an image file, RGB in ``[0, 1]``, ``[3, side, side]``."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    if view == "resized":
        image = image.resize((side, side), Image.Resampling.BILINEAR)
    else:
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 255


@torch.no_grad()
def features(
    source: Source,
    paths: Sequence[Path],
    wanted: Sequence[int],
    weights: Path,
    cache: Path,
    side: int,
    report: Callable[[str], None],
) -> NDArray[np.float32]:
    """Returns a source's features of the wanted images; what the cache lacks is computed and added to it.

    Args:
        source: The backbone and view.
        paths: All images of the data set; the cache has a line for each, NaN where nothing was computed.
        wanted: Indices into ``paths``.
        weights: Folder of ImageNet weights.
        cache: Folder of the feature files.
        side: Side of the square that the backbone sees, in pixels.
        report: Takes lines on the progress.

    Returns:
        ``[len(wanted), source.width]``, in the order of ``wanted``.
    """
    cache.mkdir(parents=True, exist_ok=True)
    file = cache / f"{source.name}_{side}_{len(paths)}.npy"
    if not file.exists():
        empty = np.lib.format.open_memmap(file, "w+", np.float32, (len(paths), source.width))
        empty[:] = np.nan
        empty.flush()
    stored = np.lib.format.open_memmap(file, "r+")
    order = list(wanted)
    missing = [index for index in order if np.isnan(stored[index, 0])]
    if missing:
        run, start = source.load(weights / source.weights), time.perf_counter()
        for first in range(0, len(missing), _BATCH):
            part = missing[first : first + _BATCH]
            stored[part] = run(torch.stack([read_view(paths[i], source.view, side) for i in part])).numpy()
            if first // _BATCH % 10 == 0:
                seconds = (time.perf_counter() - start) / (first + len(part))
                report(f"{source.name}: {first + len(part)} of {len(missing)} images, {seconds:.3f} s each")
        stored.flush()
    return np.array(stored[order])
