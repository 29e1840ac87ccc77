"""``iqaloss doctor``: what is installed, what is broken, and how to mend it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import typer

from iqaloss.cli import options

EXTRAS = {
    "cli": ("typer", "rich", "yaml"),
    "train": ("accelerate", "tensorboard", "scipy", "pyarrow", "openpyxl"),
    "tune": ("spandrel", "peft"),
    "plot": ("matplotlib", "skimage"),
    "clip": ("open_clip",),
    "text": ("tokenizers",),
    "serve": ("starlette", "uvicorn"),
    "export": ("onnx", "onnxruntime", "onnxscript"),
    "lightning": ("lightning",),
    "torchmetrics": ("torchmetrics",),
    "panel": ("lpips", "DISTS_pytorch"),
    "search": ("optuna",),
    "download": ("pooch", "requests"),
    "basicsr": ("basicsr",),
}
"""Extra to the modules that it brings."""

GOOD, ABSENT, BROKEN = "good", "absent", "broken"


@dataclass(frozen=True)
class Finding:
    """What was looked at.

    Attributes:
        what: Its name.
        state: ``good``, ``absent`` (which is no fault) or ``broken``.
        told: What was found.
        mend: What to do about it.
    """

    what: str
    state: str
    told: str
    mend: str = ""


def doctor(as_json: options.AsJson = False) -> None:
    """Look at the installation: versions, extras, devices, weights, and a score with its gradient.

    The exit status is 1 where something is broken; an extra that is absent is not.

    Example: iqaloss doctor
    """
    found = list(examine())
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], indent=1))
    else:
        for one in found:
            typer.echo(f"{one.state:7} {one.what}: {one.told}" + (f"\n        -> {one.mend}" if one.mend else ""))
    if any(one.state == BROKEN for one in found):
        raise typer.Exit(1)


def examine() -> Iterator[Finding]:
    """Yields what is found, thing by thing."""
    from iqaloss.report.provenance import versions

    yield Finding("versions", GOOD, ", ".join(f"{name} {version}" for name, version in versions().items()))
    for extra, modules in EXTRAS.items():
        yield _extra(extra, modules)
    for what, look, mend in CHECKS:
        try:
            yield Finding(what, GOOD, look())
        except Exception as error:
            why = next(iter(str(error).splitlines()), "")
            yield Finding(what, BROKEN, f"{type(error).__name__}: {why}", mend)


def _extra(extra: str, modules: tuple[str, ...]) -> Finding:
    import importlib.util

    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    what, mend = f"extra {extra}", f"pip install 'iqaloss[{extra}]'"
    if missing:
        return Finding(what, ABSENT, f"without {', '.join(missing)}", mend)
    for module in modules:
        try:
            _import(module)
        except Exception as error:
            why = next(iter(str(error).splitlines()), "")
            again = f"pip install --force-reinstall 'iqaloss[{extra}]'"
            return Finding(what, BROKEN, f"import {module}: {type(error).__name__}: {why}", again)
    return Finding(what, GOOD, ", ".join(modules))


def _import(module: str) -> None:
    import importlib

    if module == "basicsr":  # current torchvision lacks what it imports, which we supply
        from iqaloss.integrations.basicsr import register

        register()
    importlib.import_module(module)


def _devices() -> str:
    import torch

    found = [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    if torch.cuda.is_available():
        torch.ones(1, device="cuda").sum().item()
    if torch.backends.mps.is_available():
        found.append("mps")
    return ", ".join(["cpu", *found])


def _weights() -> str:
    from iqaloss.scorers.checkpoints import embedded_path
    from iqaloss.scorers.registry import entry
    from iqaloss.scorers.state_dicts import sha256_of

    file = entry("mdiqa-mobile").card.embedded
    if file is None:
        raise ValueError("the package names no weights")
    if (found := sha256_of(embedded_path(file))) != file.sha256:
        raise ValueError(f"{file.filename} has the digest {found[:12]}, not {file.sha256[:12]}")
    return f"{file.filename}, sha256 {file.sha256[:12]}"


def _score() -> str:
    import torch

    from iqaloss import MDIQALoss

    pixels = torch.full((1, 3, 64, 64), 0.5, requires_grad=True)
    value = MDIQALoss()(pixels)
    value.backward()
    if pixels.grad is None or not bool(torch.isfinite(pixels.grad).all()):
        raise ValueError("the gradient of the loss is not finite")
    return f"MDIQALoss of a grey image is {value.item():.3f}, its gradient is finite"


AGAIN = "pip install --force-reinstall iqaloss"
CHECKS: tuple[tuple[str, Callable[[], str], str], ...] = (
    ("devices", _devices, "install the torch that fits your driver: https://pytorch.org/get-started/locally"),
    ("weights", _weights, AGAIN),
    ("loss", _score, AGAIN),
)
"""Name, what looks, and what to do where it fails."""
