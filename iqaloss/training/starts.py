"""The files that the recipes start from: who publishes them, and how a program gets them where it may."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from iqaloss._errors import optional
from iqaloss._files import replacing
from iqaloss.scorers import downloads
from iqaloss.scorers.cards import WeightFile
from iqaloss.training.specs.recipe import Recipe


@dataclass(frozen=True)
class StartFile:
    """A published file that recipes start from.

    Attributes:
        by: Who fetches it: ``"timm"`` and ``"open_clip"``, which save it under their names of tensors, or ``"https"``.
        what: The tag, the model, or the address.
        license: Under which terms.
    """

    by: str
    what: str
    license: str


_IMAGENET = "that of timm's weights: Apache-2.0"
_OPENAI = "that of OpenAI's CLIP: MIT"
_MANIQA = "https://github.com/chaofengc/IQA-PyTorch/releases/download/v0.1-weights/MANIQA_PIPAL-ae6d356b.pth"

START_FILES: Mapping[str, StartFile] = {
    "resnet50.a1_in1k.safetensors": StartFile("timm", "resnet50.a1_in1k", _IMAGENET),
    "resnet50.tv_in1k.safetensors": StartFile("timm", "resnet50.tv_in1k", "torchvision's: BSD-3-Clause"),
    "mobilenetv3_large_100.ra_in1k.safetensors": StartFile("timm", "mobilenetv3_large_100.ra_in1k", _IMAGENET),
    "vit_base_patch16_224.augreg_in21k_ft_in1k.safetensors": StartFile(
        "timm", "vit_base_patch16_224.augreg_in21k_ft_in1k", _IMAGENET
    ),
    "vit_base_patch16_384.augreg_in21k_ft_in1k.safetensors": StartFile(
        "timm", "vit_base_patch16_384.augreg_in21k_ft_in1k", _IMAGENET
    ),
    "clip_rn50.safetensors": StartFile("open_clip", "RN50", _OPENAI),
    "clip_vit_b32.safetensors": StartFile("open_clip", "ViT-B-32-quickgelu", _OPENAI),
    "ImageReward.pt": StartFile(
        "https", "https://huggingface.co/THUDM/ImageReward/resolve/main/ImageReward.pt", "Apache-2.0"
    ),
    "MANIQA_PIPAL-ae6d356b.pth": StartFile("https", _MANIQA, "IQA-PyTorch's: PolyForm Noncommercial 1.0.0"),
    "vocab.txt": StartFile(
        "https", "https://huggingface.co/google-bert/bert-base-uncased/resolve/main/vocab.txt", "Apache-2.0"
    ),
}
"""File name to where it comes from."""


def starts_of(recipe: Recipe) -> list[Path]:
    """Returns the files that a recipe starts from, a tokenizer's vocabulary among them, each once."""
    named = [start.file for start in recipe.start] + [getattr(recipe.options, "tokenizer", None)]
    return [Path(name) for name in dict.fromkeys(named) if name]


def advice(file: str | Path) -> str:
    """Returns where a missing start file comes from, in one line.

    Example:
        >>> advice("runs/sr_iqa_base/best.safetensors")
        'iqaloss train sr_iqa_base makes it'
        >>> advice("mine.pt")
        'it is a file of yours'
    """
    path = PurePath(file)
    if path.name in START_FILES:
        found = START_FILES[path.name]
        what = f"{found.by} {found.what}" if found.by != "https" else found.what
        return f"iqaloss models get {path.name} fetches it: {what}, license: {found.license}"
    if path.parts[:1] == ("runs",) and len(path.parts) > 2:
        return f"iqaloss train {path.parts[1]} makes it"
    return "it is a file of yours"


def fetched(paths: Iterable[Path], source: downloads.Source | None = None) -> Iterator[str]:
    """Fetches start files to where they are looked for, and yields a line for each.

    Args:
        paths: The files, whose names say what they are.
        source: How those that come over https are fetched.

    Raises:
        ValueError: If nothing may be fetched.
        OSError: If a server does not answer.
        ImportError: If the package is missing that fetches a file.
    """
    source = source or downloads.Source()
    for path in paths:
        known = START_FILES.get(path.name)
        if known is None or path.is_file():
            yield f"{path}: {'is there' if path.is_file() else advice(path)}"
            continue
        if known.by == "https":
            file = WeightFile(path.name, (path.name,), known.what, known.license, url=known.what)
            downloads.get(file, path.parent, source)
        elif source.stays_offline:
            raise ValueError(f"{path} is not there, and nothing is fetched offline; {advice(path)}")
        else:
            _save(_LOADERS[known.by](known.what), path)
        yield f"{path}: fetched by {known.by} (license: {known.license})"


def _timm(tag: str) -> Mapping[str, Any]:
    import timm

    return dict(timm.create_model(tag, pretrained=True).state_dict())


def _open_clip(model: str) -> Mapping[str, Any]:
    open_clip = optional("open_clip", "open_clip_torch", "clip", "CLIP's weights")
    return dict(open_clip.create_model(model, pretrained="openai").state_dict())


_LOADERS = {"timm": _timm, "open_clip": _open_clip}


def _save(state: Mapping[str, Any], path: Path) -> None:
    from safetensors.torch import save_file

    with replacing(path) as aside:
        save_file({name: value.contiguous() for name, value in state.items()}, aside)
