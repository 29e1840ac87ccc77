"""A page that scores pictures in a browser, offline, with an exported scorer and onnxruntime-web beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from iqaloss._files import replacing, write_text

PAGE = Path(__file__).with_name("score.html")
RUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
"""What the page needs of the npm package onnxruntime-web, out of its folder `dist`."""

MODEL, FACTS = "scorer.onnx", "scorer.json"


def page_facts(metadata: Mapping[str, str], height: int, width: int) -> dict[str, object]:
    """Returns what the page must know of a model, out of what the model's file says of itself.

    Args:
        metadata: The ``iqaloss.*`` entries of an exported file.
        height: Of the images that it takes.
        width: Of the images that it takes.

    Example:
        >>> page_facts({"iqaloss.dimensions": '["sharpness"]', "iqaloss.score_range": "[0, 1]"}, 64, 96)["outputs"]
        ['score', 'sharpness']
    """
    told = {name.removeprefix("iqaloss."): text for name, text in metadata.items()}
    parsed = {name: json.loads(told[name]) for name in ("score_range", "dimensions")}
    words = {name: told.get(name, "") for name in ("scorer", "version", "paper", "license", "sha256")}
    outputs = ["score", *parsed["dimensions"]]
    return {
        **words,
        "model": MODEL,
        "input": "images",
        "outputs": outputs,
        "score_range": parsed["score_range"],
        "height": height,
        "width": width,
    }


def write_page(model: str | Path, facts: Mapping[str, object], folder: str | Path) -> list[str]:
    """Writes the page, the model and what is known of it into a folder.

    Args:
        model: An exported ``.onnx`` file; it is copied.
        facts: What :func:`page_facts` returns.
        folder: Where to write; it is made.

    Returns:
        Which of the files of onnxruntime-web are not there yet.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / MODEL) as temporary:
        shutil.copyfile(model, temporary)
    write_text(folder / FACTS, json.dumps(facts, indent=1) + "\n")
    write_text(folder / "index.html", PAGE.read_text(encoding="utf-8"))
    return [name for name in RUNTIME if not (folder / name).is_file()]
