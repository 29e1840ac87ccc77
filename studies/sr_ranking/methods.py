"""The super-resolution methods: interpolations, published networks, our own networks trained with many losses."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor, nn

from benchmarks.arena.contestants import contestants
from benchmarks.arena.networks import load_network
from benchmarks.arena.photos import load_photos, photos_in
from benchmarks.arena.running import Budget, Setting, train
from iqaloss.data.images import to_image
from iqaloss.evaluation.panel import Panel
from iqaloss.scorers.registry import entry

Upscale = Callable[[Tensor], Tensor]
"""From a small picture ``[3, h, w]`` in [0, 1] to one four times as large."""

BUDGET = Budget(steps=75, batch=2, patch=96, rate=2e-4)


@dataclass(frozen=True)
class Given:
    """What the methods are made from.

    Attributes:
        start: RLFN's published x4 file.
        photos: Originals that our own networks learn from.
        ntire: A copy of ofsoundof/NTIRE2022_ESR.
        upscayl: A copy of upscayl/custom-models.
        panel: The judges, some of which are losses here.
        folder: Their weights.
    """

    start: Path
    photos: Path
    ntire: Path
    upscayl: Path
    panel: Panel
    folder: Path | None


def interpolated(rule: Image.Resampling, sharpen: bool = False) -> Callable[[Given], Upscale]:
    """Pillow's upscale, and perhaps an unsharp mask over it."""

    def upscale(small: Tensor) -> Tensor:
        image = to_image(small)
        image = image.resize((4 * image.width, 4 * image.height), rule)
        if sharpen:
            image = image.filter(ImageFilter.UnsharpMask(2, 150, 0))
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255

    return lambda given: upscale


def _module(network: nn.Module) -> Upscale:
    network.eval()

    @torch.no_grad()
    def upscale(small: Tensor) -> Tensor:
        result: Tensor = network(small[None])[0]
        return result

    return upscale


def published(module: str, name: str, file: str, span: float = 1.0, **options: Any) -> Callable[[Given], Upscale]:
    """A network of NTIRE 2022's challenge on efficient super-resolution, run by its own code."""

    def build(given: Given) -> Upscale:
        sys.path.insert(0, str(given.ntire))
        try:
            network: nn.Module = getattr(importlib.import_module(module), name)(**options)
        finally:
            sys.path.remove(str(given.ntire))
        tensors = torch.load(given.ntire / "model_zoo" / file, map_location="cpu", weights_only=True)
        network.load_state_dict(tensors.get("params", tensors))
        upscale = _module(network)
        return lambda small: upscale(small * span) / span

    return build


def community(name: str) -> Callable[[Given], Upscale]:
    """A network of the upscayl community, run by ncnn."""

    def build(given: Given) -> Upscale:
        import ncnn

        network = ncnn.Net()
        network.opt.num_threads, network.opt.use_fp16_arithmetic = 1, False
        for load, suffix in ((network.load_param, "param"), (network.load_model, "bin")):
            if load(str(given.upscayl / "models" / f"{name}.{suffix}")):
                raise FileNotFoundError(f"ncnn cannot read {name}.{suffix} in {given.upscayl / 'models'}")

        def upscale(small: Tensor) -> Tensor:
            extractor = network.create_extractor()
            extractor.input("data", ncnn.Mat(np.ascontiguousarray(small.numpy())))
            return torch.from_numpy(np.array(extractor.extract("output")[1]))

        return upscale

    return build


def tuned(loss: str, weight: float, steps: int = BUDGET.steps) -> Callable[[Given], Upscale]:
    """RLFN, tuned with L1 and a contestant of the arena."""

    def build(given: Given) -> Upscale:
        photos = load_photos(photos_in(given.photos), BUDGET.patch)
        budget = replace(BUDGET, steps=steps)
        setting = Setting("x4", "rlfn", given.start, budget, photos, torch.zeros(0, 3, 1, 1))
        distance = contestants()[loss].build(given.panel, given.folder)
        return _module(train(setting, distance, weight, seed=1)[0])

    return build


METHODS: Mapping[str, Callable[[Given], Upscale]] = {
    "nearest": interpolated(Image.Resampling.NEAREST),
    "bilinear": interpolated(Image.Resampling.BILINEAR),
    "bicubic": interpolated(Image.Resampling.BICUBIC),
    "lanczos": interpolated(Image.Resampling.LANCZOS),
    "unsharp": interpolated(Image.Resampling.BICUBIC, sharpen=True),
    "imdn": published(
        "models.imdn_baseline", "IMDN", "imdn_baseline.pth", in_nc=3, out_nc=3, nc=64, nb=8, upscale=4
    ),
    "bsrn": published(
        "models.team18_bsrn", "BSRN", "team18_bsrn.pth",
        num_in_ch=3, num_feat=48, num_block=5, num_out_ch=3, upscale=4, conv="BSConvU", upsampler="pixelshuffledirect",
    ),
    "rlfn": lambda given: _module(load_network("rlfn", given.start)),
    "realesrgan": community("RealESRGAN_General_x4_v3"),
    "realesrgan-wdn": community("RealESRGAN_General_WDN_x4_v3"),
    "realesr-anime": community("realesr-animevideov3-x4"),
    "lsdir-compact": community("4xLSDIRCompactC3"),
    "lpips-vgg": tuned("lpips_vgg", 0.3),
    "lpips-alex": tuned("lpips_alex", 0.3),
    "dists": tuned("dists", 0.3),
    "variation": tuned("variation", 0.1),
    "iqa-nr": tuned("mdiqa_nr", 0.1),
    "iqa-fr": tuned("mdiqa_fr", 1.0),
}  # fmt: skip
"""Name to what makes it; pictures are four times as large as their inputs, in each."""

OPTIMIZED = {"lpips-vgg": "vgg", "dists": "vgg", "lpips-alex": "alex"}
"""Methods trained with a judge, to that judge's family."""

OURS = ("iqa-nr", "iqa-fr")
"""Methods trained with losses of ours."""


def taught_by(name: str) -> tuple[str, ...]:
    """Returns the families of judges that a method was trained with, or that taught its scorer.

    Example:
        >>> taught_by("dists"), taught_by("bicubic")
        (('vgg',), ())
    """
    if name in OURS:
        return entry("mdiqa-mobile").card.taught_by
    return (OPTIMIZED[name],) if name in OPTIMIZED else ()


def outputs(given: Given, small: Tensor, folders: Sequence[Path]) -> Iterator[str]:
    """Writes what every method makes of small pictures ``[N, 3, h, w]``; yields each one that is done.

    Args:
        given: What methods are made from.
        small: The pictures.
        folders: They are dealt out to these, one after the other.
    """
    for name, build in METHODS.items():
        files = [folders[k % len(folders)] / name / f"{k // len(folders):03}.png" for k in range(len(small))]
        if not all(file.is_file() for file in files):
            upscale = build(given)
            for picture, file in zip(small, files):
                file.parent.mkdir(parents=True, exist_ok=True)
                to_image(upscale(picture).clamp(0, 1)).save(file)
        yield name
