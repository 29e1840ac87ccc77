"""Scorers for other runtimes: ONNX files, held against onnxruntime, and torch.export programs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from iqaloss._errors import optional
from iqaloss._files import replacing
from iqaloss._version import __version__
from iqaloss.scorers.base import Request, Scorer

INPUT, SCORE = "images", "score"
SUFFIXES = (".onnx", ".pt2")
OPSET = 18
CLOSE = 1e-4
"""How far an exported file's scores may be from the scorer's."""


class Outputs(nn.Module):
    """A scorer whose outputs are a tuple: the overall score and every dimension, ``[B]`` each.

    Args:
        scorer: The scorer, frozen.

    Example:
        >>> from iqaloss.scorers.factory import create_tiny
        >>> outputs = Outputs(create_tiny("mdiqa-mobile"))
        >>> outputs.names[:2], len(outputs(torch.rand(1, 3, 64, 64)))
        (('score', 'brightness'), 6)
    """

    def __init__(self, scorer: Scorer) -> None:
        super().__init__()
        self.scorer = scorer
        self.request = scorer.resolve(Request(score=True, dimensions=None))
        self.names = (SCORE, *scorer.dimension_names)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Scores images."""
        output = self.scorer(images, self.request)
        return (output.score, *(output.dimensions[name] for name in self.names[1:]))


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: The file.
        difference: How far its scores are from the scorer's, at most, on pictures of another batch size.
    """

    path: Path
    difference: float


def metadata(scorer: Scorer, digest: str, height: int, width: int) -> dict[str, str]:
    """Returns what a file must say of itself: what it is, of which weights, and what it wants to see."""
    card = scorer.card
    return {
        "iqaloss.version": __version__,
        "iqaloss.scorer": card.name,
        "iqaloss.sha256": digest,
        "iqaloss.paper": card.paper,
        "iqaloss.license": card.code_license,
        "iqaloss.input": f"float32 RGB in [0, 1], [batch, 3, {height}, {width}]; it normalizes them itself",
        "iqaloss.mean": json.dumps(card.mean),
        "iqaloss.std": json.dumps(card.std),
        "iqaloss.score_range": json.dumps(card.score_range),
        "iqaloss.dimensions": json.dumps(scorer.dimension_names),
    }


def export_scorer(scorer: Scorer, path: str | Path, digest: str, height: int = 256, width: int = 256) -> Exported:
    """Writes a scorer for other runtimes: for any batch size, and images of one size.

    Args:
        scorer: The scorer; a frozen, folded copy of it is exported.
        path: ``.onnx``, or ``.pt2`` for ``torch.export``.
        digest: Of its weights, to be written into the file.
        height: Of the images.
        width: Of the images.

    Raises:
        ImportError: If onnx, onnxscript or onnxruntime is not installed.
        ValueError: For another suffix, or if the file's scores are not the scorer's.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"the file must end with {' or '.join(SUFFIXES)}, got {path}")
    outputs = Outputs(scorer.copy().freeze().fold()).eval()
    example = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    batch = torch.export.Dim("batch", min=1, max=4096)
    program = torch.export.export(outputs, (example,), dynamic_shapes=({0: batch},), strict=False)
    facts = metadata(scorer, digest, height, width)
    with replacing(path) as temporary:
        if path.suffix == ".pt2":
            torch.export.save(program, temporary, extra_files={"metadata.json": json.dumps(facts)})
        else:
            _write_onnx(program, outputs, facts, temporary)
        difference = _difference(temporary, outputs, height, width)
        if not difference < CLOSE:
            raise ValueError(f"scores of the exported file are {difference:.2g} from the scorer's; nothing was written")
    return Exported(path, difference)


def _write_onnx(program: Any, outputs: Outputs, facts: dict[str, str], path: Path) -> None:
    onnx = optional("onnx", "onnx", "export", "exporting to ONNX")
    optional("onnxscript", "onnxscript", "export", "exporting to ONNX")
    made = torch.onnx.export(
        program, dynamo=True, input_names=[INPUT], output_names=list(outputs.names), opset_version=OPSET, verbose=False
    )
    if made is None:
        raise ValueError("torch.onnx made no program")
    model = made.model_proto
    for key, value in facts.items():
        item = model.metadata_props.add()
        item.key, item.value = key, value
    onnx.save(model, str(path))


@torch.no_grad()
def _difference(path: Path, outputs: Outputs, height: int, width: int) -> float:
    """Scores three pictures, which the export has not seen, with the file and with the scorer."""
    images = torch.rand(3, 3, height, width, generator=torch.Generator().manual_seed(1))
    if path.suffix == ".pt2":
        found = torch.export.load(path).module()(images)
    else:
        runtime = optional("onnxruntime", "onnxruntime", "export", "checking an ONNX file")
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        found = [torch.from_numpy(each) for each in session.run(None, {INPUT: images.numpy()})]
    return max(float((a - b).abs().max()) for a, b in zip(found, outputs(images)))
