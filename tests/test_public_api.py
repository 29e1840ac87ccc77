"""The public surface: few names, a light import, no download."""

from __future__ import annotations

import subprocess
import sys

import pytest

import iqaloss

HEAVY = ("basicsr", "open_clip", "transformers", "torchvision", "timm", "kornia", "scipy", "matplotlib", "safetensors")


def test_the_public_names_are_these() -> None:
    assert sorted(iqaloss.__all__) == [
        "IQALoss",
        "MDIQALoss",
        "__version__",
        "create_scorer",
        "list_scorers",
        "load_official",
    ]
    assert all(hasattr(iqaloss, name) for name in iqaloss.__all__)


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("use", ["", "; iqaloss.list_scorers()"])
def test_importing_and_listing_load_nothing_heavy(use: str) -> None:
    loaded = run(f"import sys, iqaloss{use}; print([m for m in {HEAVY} if m in sys.modules])")
    assert loaded == "[]"


def test_every_loss_is_exported() -> None:
    import iqaloss.losses
    from iqaloss.losses.registry import list_losses

    assert {*list_losses(), "EncodedTarget", "IQALossSum"} == set(iqaloss.losses.__all__)
    assert all(getattr(iqaloss.losses, name).__name__ == name for name in iqaloss.losses.__all__)
    with pytest.raises(AttributeError, match=r"no attribute .MDIQALos."):
        _ = iqaloss.losses.MDIQALos  # type: ignore[attr-defined]


def test_import_adds_few_modules_to_torch() -> None:
    added = run(
        "import sys, torch; n = set(sys.modules); import iqaloss;"
        "print(len([m for m in set(sys.modules) - n if not m.startswith('iqaloss')]))"
    )
    assert int(added) <= 40
