"""What users rely on changes on purpose only."""

from __future__ import annotations

import copy

import pytest

from tests.contracts import surface

pytest.importorskip("typer")

ACCEPT = (
    "The public surface changed:\n  {}\nIf you did not mean it, undo it. If you did: `make surface` "
    "(python -m tests.contracts.surface --write), add a line to Unreleased in CHANGELOG.md, and commit both."
)


def test_the_public_surface_is_the_accepted_one() -> None:
    changes = surface.differences(surface.recorded(), surface.surface())
    assert not changes, ACCEPT.format("\n  ".join(changes))


def test_a_change_is_told_by_name() -> None:
    before = surface.recorded()
    now = copy.deepcopy(before)
    del now["losses"]["MDIQALoss"]["mode"]
    now["losses"]["MDIQALoss"]["mood"] = "'nr'"
    now["recipes"]["Recipe"]["title"] = "int = 7"
    assert surface.differences(before, now) == [
        "gone     losses > MDIQALoss > mode: 'nr'",
        "new      losses > MDIQALoss > mood: 'nr'",
        f"changed  recipes > Recipe > title: {before['recipes']['Recipe']['title']} -> int = 7",
    ]


def test_every_command_is_in_the_surface() -> None:
    assert {"iqaloss score", "iqaloss evaluate", "iqaloss finetune", "iqaloss train", "iqaloss restore train"} <= set(
        surface.commands()
    )
